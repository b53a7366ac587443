"""Same name, same numbers, from the photograph to the vector: each library's whole pipeline against ours."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import snellen
from parity.compare import SINGLE, relative
from snellen.errors import UsageError

PHOTOS = Path(__file__).parent.parent / "examples" / "photos"
PICTURES = [str(PHOTOS / name) for name in ("rocket_portrait.jpg", "cat.jpg", "clock.png")]  # turned; colour; grey

TIMM = [
    "vit_small_patch14_reg4_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m",
    "convnext_tiny.dinov3_lvd1689m",
    "vit_small_patch16_224.augreg_in21k_ft_in1k",
]
TRANSFORMERS = [
    "facebook/dinov2-small",
    "facebook/dinov2-with-registers-small",
    "facebook/dinov3-vits16-pretrain-lvd1689m",
    "facebook/dinov3-convnext-tiny-pretrain-lvd1689m",
    "google/vit-base-patch16-224-in21k",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """Write drawn weights of a name as a library keeps them, once for all tests."""
    made: dict[tuple[str, str], Path] = {}

    def make(name: str, dialect: str) -> Path:
        if (name, dialect) not in made:
            made[name, dialect] = tmp_path_factory.mktemp("weights") / "out"
            snellen.convert("seed:5", made[name, dialect], dialect=dialect, name=name)
        return made[name, dialect]

    return make


def as_timm_does(weights: Path, name: str) -> torch.Tensor:
    """Embed the pictures with timm alone, as its documentation shows."""
    import timm
    from PIL import Image

    overlay = {"file": str(weights / "model.safetensors")}
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay).eval()
    if model.num_classes:
        model.reset_classifier(0)
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.inference_mode():
        return torch.cat([model(transform(Image.open(picture).convert("RGB"))[None]) for picture in PICTURES])


def as_transformers_does(weights: Path) -> torch.Tensor:
    """Embed the pictures with transformers alone, as its documentation shows."""
    from transformers import AutoImageProcessor, AutoModel
    from transformers.image_utils import load_image

    processor, model = AutoImageProcessor.from_pretrained(weights), AutoModel.from_pretrained(weights).eval()
    with torch.inference_mode():
        inputs = [processor(load_image(picture), return_tensors="pt") for picture in PICTURES]
        return torch.cat([model(**one).pooler_output for one in inputs])


def as_if_trained(weights: Path, folder: Path) -> Path:
    """Copy a folder of drawn weights without the mark that says so, so that they pass for trained ones."""
    from safetensors.torch import load_file, save_file

    shutil.copy(weights / "config.json", folder)
    save_file(load_file(weights / "model.safetensors"), folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("name", TIMM)
def test_a_timm_name_gives_timms_vector(name: str, folder) -> None:
    weights = folder(name, "timm")
    ours = torch.from_numpy(snellen.load(name, weights=str(weights)).embed(PICTURES))
    assert relative(ours, as_timm_does(weights, name)) <= SINGLE


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_hugging_face_id_gives_the_pooler_output(name: str, folder) -> None:
    weights = folder(name, "transformers")
    ours = torch.from_numpy(snellen.load(name, weights=str(weights)).embed(PICTURES))
    assert (
        relative(ours, as_transformers_does(weights)) <= 2e-5
    )  # the last bits of the resize differ, and are amplified


def test_the_libraries_do_differ(folder) -> None:
    """The two tests above would prove little if any name gave the same vector."""
    weights = str(folder("facebook/dinov3-vits16-pretrain-lvd1689m", "transformers"))
    by_name = {
        name: torch.from_numpy(snellen.load(name, weights=weights).embed(PICTURES))
        for name in ("facebook/dinov3-vits16-pretrain-lvd1689m", "vit_small_patch16_dinov3_qkvb", "dinov3_vits16")
    }
    first, *others = by_name.values()
    assert all(relative(other, first) > 0.01 for other in others)


def test_the_pooling_alone_differs(folder) -> None:
    weights = str(folder("vit_small_patch16_dinov3.lvd1689m", "timm"))
    model = snellen.load("vit_small_patch16_dinov3.lvd1689m", weights=weights)
    token = snellen.load(model.record.name, weights=weights, recipe=model.recipe.with_pool("cls").text)
    assert not np.allclose(model.embed(PICTURES[:1]), token.embed(PICTURES[:1]), atol=1e-3)
    assert torch.equal(model.features(PICTURES[0]).cls, token.features(PICTURES[0]).pooled)


@pytest.mark.parametrize(
    "name",
    ["vit_small_patch16_dinov3.lvd1689m", "convnext_tiny.dinov3_lvd1689m", "vit_small_patch14_reg4_dinov2.lvd142m"],
)
def test_feature_maps_are_timms_features_only(name: str, folder) -> None:
    import timm

    weights = folder(name, "timm")
    model = snellen.load(name, weights=str(weights))
    ours = model.feature_maps(PICTURES[1])
    overlay = {"file": str(weights / "model.safetensors")}
    theirs = timm.create_model(name, pretrained=True, features_only=True, pretrained_cfg_overlay=overlay).eval()
    with torch.inference_mode():
        maps = theirs(torch.stack([model.recipe.pixels(snellen.images.decode(PICTURES[1]))]))
    assert len(ours) == len(maps)
    assert max(relative(mine, other) for mine, other in zip(ours.values(), maps, strict=True)) <= SINGLE


def test_layers_by_number_and_name() -> None:
    model = snellen.load("vit_small_patch16_dinov3", weights="seed:0")
    assert list(model.feature_maps(PICTURES[1], [-1, 0, "block.05"])) == ["block.11", "block.00", "block.05"]
    with pytest.raises(UsageError, match="there is no layer 12"):
        model.feature_maps(PICTURES[1], [12])
    with pytest.raises(UsageError, match="no layer with a map named 'norm'"):
        model.feature_maps(PICTURES[1], ["norm"])


def test_classes_are_those_of_the_library(folder, tmp_path: Path) -> None:
    import timm
    from PIL import Image

    name = "vit_small_patch16_224.augreg_in21k_ft_in1k"
    weights = as_if_trained(folder(name, "timm"), tmp_path)
    ours = snellen.load(name, weights=str(weights)).classify(PICTURES[1], top=3)[0]
    overlay = {"file": str(weights / "model.safetensors")}
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        best = model(transform(Image.open(PICTURES[1]).convert("RGB"))[None]).softmax(1).topk(3)
    info = timm.data.ImageNetInfo()
    assert [label for label, _ in ours] == [info.index_to_description(i) for i in best.indices[0].tolist()]
    assert [value for _, value in ours] == pytest.approx(best.values[0].tolist(), rel=1e-4)


@pytest.mark.parametrize("name", ["google/vit-base-patch16-224-in21k", "vit_small_patch16_224.augreg_in21k"])
def test_in21k_checkpoints_are_not_classified_with(name: str, folder, tmp_path: Path) -> None:
    dialect = "transformers" if "/" in name else "timm"
    model = snellen.load(name, weights=str(as_if_trained(folder(name, dialect), tmp_path)))
    with pytest.raises(UsageError, match="no classifier whose classes have names"):
        model.classify(PICTURES[1])


def test_one_image_or_many_in_any_form() -> None:
    from PIL import Image

    model = snellen.load("convnext_tiny.dinov3_lvd1689m", weights="seed:0")
    data = Path(PICTURES[1]).read_bytes()
    image = Image.open(PICTURES[1]).convert("RGB")
    forms = [PICTURES[1], Path(PICTURES[1]), data, image, np.asarray(image)]
    alone = [model.embed(form) for form in forms]
    assert {rows.shape for rows in alone} == {(1, 768)}
    together = model.embed(forms, batch_size=2)
    assert together.dtype == np.float32
    assert np.allclose(together, np.concatenate(alone), atol=1e-5)
    assert model.embed([]).shape == (0, 768)
    assert np.array_equal(model.embed(iter([data])), alone[2])


def test_names_share_one_digest(folder) -> None:
    name = "facebook/dinov3-vits16-pretrain-lvd1689m"
    weights = str(folder(name, "transformers"))
    records = [snellen.load(each, weights=weights).record for each in (name, "dinov3_vits16")]
    assert records[0].digest == records[1].digest
    assert records[0].recipe_hash != records[1].recipe_hash
