"""What weights are taken for: folders as the libraries themselves save them, and every contradiction refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import snellen
from parity.cases import dialect
from parity.compare import SINGLE, relative
from parity.oracles import draw_everything
from snellen.errors import CheckpointError, KeyMismatch, SnellenError, UsageError
from snellen.images import decode

PHOTO = Path(__file__).parent.parent / "examples" / "photos" / "cat.jpg"
SMALL = "vit_small_patch16_dinov3.lvd1689m"
CLASSIFIER = "vit_small_patch16_224.augreg_in21k_ft_in1k"
MEANS = {"image_mean": [0.43, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143]}


def saved_by_timm(name: str, folder: Path, **changes: object) -> torch.nn.Module:
    """Let timm build, draw and save a model as it does for the hub."""
    import timm
    from timm.models import save_for_hf

    model = timm.create_model(name, pretrained=False, **changes).eval()
    draw_everything(model, seed=2)
    save_for_hf(model, folder, model_args=changes or None, safe_serialization="both")
    (folder / "pytorch_model.bin").unlink(missing_ok=True)
    return model


def timm_embeds(model: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.forward_head(model.forward_features(pixels), pre_logits=True)


def saved_by_transformers(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    draw_everything(model, seed=2)
    model.eval().save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (SMALL, {}),
        ("vit_small_patch14_dinov2.lvd142m", {}),
        ("vit_small_patch14_dinov2.lvd142m", {"img_size": 224}),
        ("convnext_tiny.dinov3_lvd1689m", {}),
        (CLASSIFIER, {}),
        (CLASSIFIER, {"num_classes": 10}),
        (CLASSIFIER, {"img_size": 384}),
        (SMALL, {"global_pool": "token"}),
        (CLASSIFIER, {"global_pool": "avg", "fc_norm": False}),
    ],
)
def test_what_timm_saves_loads_and_pools_as_there(name: str, changes: dict, tmp_path: Path) -> None:
    changes = {key: value for key, value in changes.items() if key != "fc_norm"} | (
        {"fc_norm": False} if "fc_norm" in changes else {}
    )
    theirs = saved_by_timm(name, tmp_path, **changes)
    if "fc_norm" in changes:  # an argument that changes the network: by the folder's word alone it is refused
        with pytest.raises(CheckpointError, match="fc_norm"):
            snellen.load(str(tmp_path))
        return
    model = snellen.load(str(tmp_path))
    pixels = model.recipe.pixels(decode(PHOTO))[None]
    ours = torch.from_numpy(model.embed_pixels(pixels))
    assert relative(ours, timm_embeds(theirs, pixels)) <= SINGLE


def test_a_name_takes_the_folders_pooling_too(tmp_path: Path) -> None:
    theirs = saved_by_timm(SMALL, tmp_path, global_pool="token")
    model = snellen.load(SMALL, weights=tmp_path)
    pixels = model.recipe.pixels(decode(PHOTO))[None]
    assert relative(torch.from_numpy(model.embed_pixels(pixels)), timm_embeds(theirs, pixels)) <= SINGLE
    assert model.record.pool == "cls"


@pytest.mark.parametrize("classes", [10, 1000])
def test_a_fine_tuned_classifier_is_read_with_its_names(classes: int, tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    names = {i: f"thing {i}" for i in range(classes)}
    config = ViTConfig(num_hidden_layers=12, hidden_size=768, id2label=names, label2id={v: k for k, v in names.items()})
    theirs = saved_by_transformers(ViTForImageClassification(config), tmp_path)
    model = snellen.load(tmp_path)
    pixels = model.recipe.pixels(decode(PHOTO))[None]
    with torch.inference_mode():
        best = theirs(pixels).logits.softmax(1).topk(3)
    answers = model.classify(PHOTO, top=3)[0]
    assert [label for label, _ in answers] == [f"thing {i}" for i in best.indices[0].tolist()]
    assert [value for _, value in answers] == pytest.approx(best.values[0].tolist(), rel=1e-3)


def test_placeholder_names_are_not_replaced_by_imagenets(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    saved_by_transformers(ViTForImageClassification(ViTConfig(num_hidden_layers=12, num_labels=1000)), tmp_path)
    with pytest.raises(UsageError, match="no classifier whose classes have names"):
        snellen.load(tmp_path).classify(PHOTO)


def test_timms_label_names_are_read(tmp_path: Path) -> None:
    saved_by_timm(CLASSIFIER, tmp_path, num_classes=3)
    document = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**document, "label_names": ["cat", "dog", "owl"]}))
    assert {label for label, _ in snellen.load(tmp_path).classify(PHOTO)[0]} == {"cat", "dog", "owl"}


def described(folder: Path, **changes: object) -> Path:
    """Write DINOv2-S as transformers keeps it, with a config.json that says something else."""
    snellen.convert("seed:1", folder, dialect="transformers", name="facebook/dinov2-small")
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_attention_heads": 12}, "heads 12 instead of 6"),
        ({"layer_norm_eps": 1e-2}, "eps 0.01 instead of 1e-06"),
        ({"hidden_act": "relu"}, "hidden_act"),
    ],
)
def test_a_name_does_not_overrule_the_folder(changes: dict, said: str, tmp_path: Path) -> None:
    folder = described(tmp_path / "x", **changes)
    with pytest.raises(SnellenError, match=said):
        snellen.load("facebook/dinov2-small", weights=folder)


def test_a_folder_that_names_other_weights_is_refused(tmp_path: Path) -> None:
    snellen.convert("seed:1", tmp_path / "x", dialect="timm", name=CLASSIFIER)
    with pytest.raises(KeyMismatch, match=r"names vit_small_patch16_224\.augreg_in21k_ft_in1k"):
        snellen.load("vit_small_patch16_224.augreg_in1k", weights=tmp_path / "x")
    assert snellen.load(CLASSIFIER, weights=tmp_path / "x").record.variant == CLASSIFIER


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Make the folder of DINOv3-L as transformers describes it, its tensors of size one in all but name."""
    from bad_cases.making import hollow  # tensors that take no room on the disk
    from snellen.checkpoints.dialects.rules import plan
    from snellen.checkpoints.hub_config import write_config
    from snellen.model.identify import LIBRARY
    from snellen.zoo.conventions import config_for

    row = snellen.find("facebook/dinov3-vitl16-pretrain-sat493m").variant
    config = config_for(row, LIBRARY["transformers"])
    hollow(tmp_path / "model.safetensors", plan(dialect(row.family, "transformers"), config).written())
    (tmp_path / "config.json").write_text(json.dumps(write_config(row.family, config, 224)))
    return tmp_path


def test_what_tells_two_rows_apart_decides_or_nothing_does(large: Path) -> None:
    with pytest.raises(CheckpointError, match=r"could be .*lvd1689m or .*sat493m"):
        snellen.load(large)
    processor = {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 224, "width": 224}}
    (large / "preprocessor_config.json").write_text(json.dumps({**processor, **MEANS}))
    found = snellen.inspect(large).finding
    assert found.variant == "facebook/dinov3-vitl16-pretrain-sat493m"
    assert "colour means" in found.why
    (large / "preprocessor_config.json").write_text(json.dumps(processor))
    assert snellen.inspect(large).finding.variant == "facebook/dinov3-vitl16-pretrain-lvd1689m"


def test_a_conversion_keeps_the_preprocessing_beside_the_weights(tmp_path: Path) -> None:
    snellen.convert("seed:1", tmp_path / "a", dialect="transformers", name="facebook/dinov2-small")
    path = tmp_path / "a" / "preprocessor_config.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **MEANS}))
    kept = snellen.convert(tmp_path / "a", tmp_path / "b", dialect="transformers")
    assert snellen.load(tmp_path / "b").recipe == snellen.load(tmp_path / "a").recipe
    assert not any("preprocessing" in note for note in kept.notes)
    other = snellen.convert(tmp_path / "a", tmp_path / "c", dialect="timm")
    assert any("preprocessing beside the source" in note for note in other.notes)


def test_a_file_with_another_classifier_says_so(tmp_path: Path) -> None:
    import timm

    model = timm.create_model(CLASSIFIER, pretrained=False, num_classes=10)
    torch.save(model.state_dict(), tmp_path / "ten.pth")
    with pytest.raises(CheckpointError, match="a classifier of 10 classes"):
        snellen.load(tmp_path / "ten.pth")
    assert snellen.load(CLASSIFIER, weights=tmp_path / "ten.pth").encoder.config.classes == 10


@pytest.mark.parametrize("name", [CLASSIFIER, "vit_small_patch16_dinov3_qkvb.lvd1689m"])
def test_a_tag_of_somebodys_own_stands_for_no_row(name: str, tmp_path: Path) -> None:
    theirs = saved_by_timm(name, tmp_path)
    document = json.loads((tmp_path / "config.json").read_text())
    document["pretrained_cfg"]["tag"] = "my_own"
    (tmp_path / "config.json").write_text(json.dumps(document))
    model = snellen.load(tmp_path)
    assert model.record.variant == f"'{tmp_path}'"
    assert not model.labels  # a thousand classes are not ImageNet's for being a thousand
    pixels = model.recipe.pixels(decode(PHOTO))[None]
    assert relative(torch.from_numpy(model.embed_pixels(pixels)), timm_embeds(theirs, pixels)) <= SINGLE


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", SMALL, "convnext_tiny.dinov3_lvd1689m"])
def test_somebodys_linear_probe_is_left_aside_and_said(name: str, tmp_path: Path) -> None:
    saved_by_timm(name, tmp_path, num_classes=10)
    model = snellen.load(tmp_path)
    assert sum("linear probe" in note for note in model.record.notes) == 2
    with pytest.raises(UsageError, match="is not run"):
        model.classify(PHOTO)


def test_an_original_file_decides_how_its_periods_are_rounded(tmp_path: Path) -> None:
    snellen.convert("seed:1", tmp_path / "x.pth", dialect="meta", name="dinov3_vits16")
    rounded = snellen.load("dinov3_vits16", weights=tmp_path / "x.pth")
    state = torch.load(tmp_path / "x.pth", weights_only=True)
    exact = snellen.encoders.position.periods(64, rounded=False)
    torch.save({**state, "rope_embed.periods": exact.float()}, tmp_path / "exact.pth")
    other = snellen.load("dinov3_vits16", weights=tmp_path / "exact.pth")
    assert (rounded.encoder.config.rope_rounding, other.encoder.config.rope_rounding) == (True, False)
    assert any("periods" in choice.value for choice in other.record.choices)
    assert other.encoder.config == replace(rounded.encoder.config, rope_rounding=False)
    torch.save({**state, "rope_embed.periods": exact.float() * 2}, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match="rotary periods of its own"):
        snellen.load("dinov3_vits16", weights=tmp_path / "wrong.pth")


def test_torchs_own_objects_are_understood() -> None:
    model = snellen.load(SMALL, weights="seed:0", dtype=torch.bfloat16, device=torch.device("cpu"))
    assert (model.record.dtype, model.record.device) == ("bfloat16", "cpu")
    with pytest.raises(UsageError, match="a revision"):
        snellen.load(SMALL, weights="seed:0", revision="main")


def test_the_record_says_what_was_stored_and_why_it_pools_so(tmp_path: Path) -> None:
    snellen.convert("seed:1", tmp_path / "x", dialect="timm", name=SMALL)
    notes = snellen.load(tmp_path / "x", dtype="bfloat16").record.notes
    assert "stored as float32, run as bfloat16" in notes
    from snellen.model.loading import standard_recipe

    assert "no pooler_output" in standard_recipe(snellen.find("apple/aimv2-large-patch14-224")).reason
