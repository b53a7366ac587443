"""Pixels against the libraries themselves: timm's transforms and the processors of transformers.

timm resizes with Pillow: equal to the last bit. transformers resizes tensors: equal to float32 rounding.
The largest differences are printed (``pytest -s``); negative controls show that the comparison can fail.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from snellen.images import Picture, decode
from snellen.recipes import Recipe, builtin

ROUNDING = 1e-3
"""Allowed difference from transformers, in 8-bit steps; measured at most 1e-4. The rounding of a pixel would be 1."""

SIZES = ((1, 1), (1, 40), (37, 1), (224, 224), (256, 256), (255, 257), (341, 256), (343, 300), (640, 427), (427, 640))
TIMM = {
    "vit_small_patch14_dinov2.lvd142m": {"family": "dinov2"},
    "vit_giant_patch14_reg4_dinov2.lvd142m": {"family": "dinov2"},
    "vit_small_patch16_dinov3.lvd1689m": {"family": "dinov3_vit"},
    "vit_7b_patch16_dinov3.sat493m": {"family": "dinov3_vit", "stats": "sat"},
    "convnext_tiny.dinov3_lvd1689m": {"family": "dinov3_convnext"},
    "vit_base_patch16_224.orig_in21k": {"family": "vit"},
    "vit_base_patch16_224.augreg2_in21k_ft_in1k": {"family": "vit"},
    "aimv2_large_patch14_224.apple_pt": {"family": "aimv2"},
    "aimv2_huge_patch14_336.apple_pt": {"family": "aimv2", "size": 336},
    "aimv2_3b_patch14_448.apple_pt": {"family": "aimv2", "size": 448},
}


def pictures(seed: int, count: int = 6) -> list[Picture]:
    """Return smooth and noisy pictures of the sizes above and of ``count`` random ones, portrait and landscape."""
    rng = np.random.default_rng(seed)
    sizes = [*SIZES, *((int(h), int(w)) for h, w in rng.integers(20, 700, (count, 2)))]
    return [decode(_pixels(rng, height, width, noisy=index % 2 == 0)) for index, (height, width) in enumerate(sizes)]


def _pixels(rng: np.random.Generator, height: int, width: int, *, noisy: bool) -> np.ndarray:
    if noisy:
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width] / 40
    return np.stack([127 + 127 * np.sin(x + k) * np.cos(y * k + 1) for k in (1, 2, 3)], axis=2).astype(np.uint8)


def timm_transform(name: str):
    import timm
    from timm.data import create_transform, resolve_data_config

    return create_transform(**resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict()))


@pytest.mark.parametrize("name", TIMM)
def test_timm_to_the_last_bit(name):
    options = dict(TIMM[name])
    recipe = Recipe.parse(builtin("timm", options.pop("family"), **options))
    transform = timm_transform(name)
    for picture in pictures(1):
        assert torch.equal(recipe(picture), transform(picture.rgb)), (picture.width, picture.height)


def test_every_timm_checkpoint_of_these_families_is_covered_by_those_above():
    import timm
    from timm.data import resolve_data_config

    def config(name: str) -> str:
        return repr(resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict()))

    kinds = ("vit_*_dinov2.lvd142m", "*dinov3*", "aimv2_*", "vit_*_patch1[46]_224.*in*k*")
    names = {name for kind in kinds for name in timm.list_pretrained(kind)}
    assert len(names) > 50
    assert {config(name) for name in names} == {config(name) for name in TIMM}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("bicubic", "bilinear"),
        ("shortest_edge 248", "shortest_edge 249"),
        ("center_crop 224", "center_crop 224 floor"),
        ("stored |", "stored | tensor |"),
        ("mean 0.5 ", "mean 0.5000001 "),
        ("248 bicubic | center_crop 224", "224 bicubic | center_crop 224"),
    ],
)
def test_timm_differs_from_a_wrong_recipe(right, wrong):
    text = builtin("timm", "vit")
    assert right in text
    recipe, transform = Recipe.parse(text.replace(right, wrong, 1)), timm_transform("vit_base_patch16_224.orig_in21k")
    assert not all(torch.equal(recipe(picture), transform(picture.rgb)) for picture in pictures(1))


def processors(family: str):
    """Return the processor that AutoImageProcessor picks by default, and the Pillow one where there is one.

    Settings as in the preprocessor_config.json of facebook/dinov2-base, facebook/dinov3-vits16-pretrain-lvd1689m,
    google/vit-base-patch16-224 and apple/aimv2-large-patch14-224.
    """
    from transformers import BitImageProcessor, CLIPImageProcessor, DINOv3ViTImageProcessor, ViTImageProcessor
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    imagenet = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    square = {"height": 224, "width": 224}
    settings = {
        "dinov2": {"size": {"shortest_edge": 256}, "crop_size": square, "resample": 3, **imagenet},
        "dinov3_vit": {"size": square, "resample": 2, **imagenet},
        "vit": {"size": square, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        "aimv2": {"size": {"shortest_edge": 224}, "crop_size": square, "resample": 3},
    }
    classes = {
        "dinov2": (BitImageProcessor, BitImageProcessorPil),
        "dinov3_vit": (DINOv3ViTImageProcessor,),
        "vit": (ViTImageProcessor, ViTImageProcessorPil),
        "aimv2": (CLIPImageProcessor, CLIPImageProcessorPil),
    }
    return [kind(**settings[family]) for kind in classes[family]]


def processed(processor, picture: Picture) -> torch.Tensor:
    return torch.as_tensor(np.asarray(processor(images=picture.upright(), return_tensors="pt")["pixel_values"]))[0]


def steps(one: torch.Tensor, two: torch.Tensor, recipe: Recipe) -> float:
    """Return the largest difference in 8-bit steps."""
    assert one.shape == two.shape
    assert recipe.std is not None
    return float(((one - two).abs() * torch.tensor(recipe.std)[:, None, None]).max()) * 255


@pytest.mark.parametrize("family", ["dinov2", "dinov3_vit", "vit", "aimv2"])
def test_transformers_to_float32_rounding(family):
    recipe, processor = Recipe.parse(builtin("transformers", family)), processors(family)[0]
    assert processor.backend == "torchvision"
    worst = max(steps(recipe(picture), processed(processor, picture), recipe) for picture in pictures(2))
    print(f"\n{family}: {worst:.1e} 8-bit steps from {type(processor).__name__}")  # noqa: T201
    assert worst < ROUNDING


@pytest.mark.parametrize("family", ["dinov2", "vit", "aimv2"])
def test_the_pillow_processors_are_as_far_from_here_as_from_their_own_twin(family):
    recipe, (default, pillow) = Recipe.parse(builtin("transformers", family)), processors(family)
    smooth = pictures(2)[1::2]
    here = max(steps(recipe(picture), processed(pillow, picture), recipe) for picture in smooth)
    twin = max(steps(processed(default, picture), processed(pillow, picture), recipe) for picture in smooth)
    name = type(pillow).__name__
    print(f"\n{family}: {here:.2f} 8-bit steps from {name}, which is {twin:.2f} from its twin")  # noqa: T201
    assert here == pytest.approx(twin, abs=ROUNDING)
    assert here < 2.5


def test_a_recipe_with_pillow_resizes_is_the_pillow_processor():
    recipe = Recipe.parse(builtin("transformers", "dinov2").replace("tensor | ", ""))
    pillow = processors("dinov2")[1]
    assert max(steps(recipe(picture), processed(pillow, picture), recipe) for picture in pictures(2)) < ROUNDING


@pytest.mark.parametrize(
    ("family", "right", "wrong"),
    [
        ("dinov2", "bicubic", "bilinear"),
        ("dinov2", "center_crop 224 floor", "center_crop 224"),
        ("dinov2", "tensor | ", ""),
        ("dinov2", "shortest_edge 256", "shortest_edge 257"),
        ("dinov3_vit", "bilinear", "bicubic"),
        ("dinov3_vit", "bilinear", "bilinear aliased"),
        ("dinov3_vit", "scale | squash 224 bilinear", "tensor | squash 224 bilinear | scale"),
        ("vit", "tensor | squash 224 bilinear | scale", "scale | squash 224 bilinear"),
        ("aimv2", "0.48145466", "0.485"),
    ],
)
def test_transformers_differs_from_a_wrong_recipe(family, right, wrong):
    text = builtin("transformers", family)
    assert right in text
    recipe, processor = Recipe.parse(text.replace(right, wrong, 1)), processors(family)[0]
    assert (
        max(steps(recipe(picture), processed(processor, picture), recipe) for picture in pictures(2)) > 100 * ROUNDING
    )


def test_transformers_applies_exif_when_it_loads_and_timm_does_not(tmp_path):
    from transformers.image_utils import load_image

    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "sideways.jpg"
    Image.fromarray(_pixels(np.random.default_rng(5), 60, 90, noisy=False)).save(path, exif=exif)
    picture = decode(path)
    assert picture.orientation == 6
    assert np.array_equal(np.asarray(picture.upright()), np.asarray(load_image(str(path))))

    recipe, processor = Recipe.parse(builtin("transformers", "dinov2")), processors("dinov2")[0]
    loaded = torch.as_tensor(processor(images=load_image(str(path)), return_tensors="pt")["pixel_values"])[0]
    assert steps(recipe(picture), loaded, recipe) < ROUNDING

    timm_recipe, transform = Recipe.parse(builtin("timm", "dinov2")), timm_transform("vit_small_patch14_dinov2.lvd142m")
    assert torch.equal(timm_recipe(picture), transform(Image.open(path).convert("RGB")))
    assert not torch.equal(Recipe.parse(timm_recipe.text.replace("stored", "upright"))(picture), timm_recipe(picture))


@pytest.mark.parametrize(("family", "edge", "side"), [("dinov2", 256, 224), ("aimv2", 256, 224), ("aimv2", 384, 336)])
def test_original_crops_to_the_last_bit(family, edge, side):
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    recipe = Recipe.parse(builtin("original", family, size=side))
    transform = transforms.Compose(
        [
            transforms.Resize(edge, interpolation=InterpolationMode.BICUBIC),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    for picture in pictures(3):
        assert torch.equal(recipe(picture), transform(picture.rgb))


def test_original_dinov3_resizes_eight_bit_tensors():
    from torchvision.transforms import v2

    recipe = Recipe.parse(builtin("original", "dinov3_vit", stats="sat"))
    transform = v2.Compose(
        [
            v2.ToImage(),
            v2.Resize((256, 256), antialias=True),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.43, 0.411, 0.296), (0.213, 0.156, 0.143)),
        ]
    )
    worst = max(steps(recipe(picture), torch.as_tensor(transform(picture.rgb)), recipe) for picture in pictures(4))
    assert worst < ROUNDING


def test_original_vit_is_tensorflows_resize():
    """tf.image.resize takes two neighbours a direction at pixel centres and never averages more: written out here."""
    recipe = Recipe.parse(builtin("original", "vit"))

    def along(values: np.ndarray, length: int, axis: int) -> np.ndarray:
        place = (np.arange(length) + 0.5) * values.shape[axis] / length - 0.5
        low = np.floor(place)
        share = (place - low).reshape([-1 if k == axis else 1 for k in range(3)])
        first, second = (np.clip(low + k, 0, values.shape[axis] - 1).astype(int) for k in (0, 1))
        return np.take(values, first, axis) * (1 - share) + np.take(values, second, axis) * share

    for picture in pictures(6):
        values = np.asarray(picture.rgb).astype(np.float64)
        expected = (along(along(values, 224, 0), 224, 1) - 127.5) / 127.5
        got = recipe(picture)
        assert steps(got, torch.from_numpy(expected.transpose(2, 0, 1)), recipe) < 0.05  # float32 coordinates

    antialiased = Recipe.parse(recipe.text.replace(" aliased", ""))
    picture = pictures(6)[8]
    assert steps(antialiased(picture), recipe(picture), recipe) > 1


def test_resized_lengths_are_torchvisions():
    from torchvision.transforms.functional import _compute_resized_output_size

    from snellen.recipes.apply import resized
    from snellen.recipes.steps import ShortestEdge

    rng = np.random.default_rng(8)
    for _ in range(4000):
        height, width, length = (int(number) for number in rng.integers(1, (3000, 3000, 600)))
        if length * max(height, width) / min(height, width) * length > 1e7:
            continue
        expected = tuple(_compute_resized_output_size((height, width), [length]))
        assert resized(ShortestEdge(length, "bicubic"), height, width) == expected


@pytest.mark.parametrize("words", ["", "tensor | "])
def test_crops_that_need_padding_are_torchvisions(words):
    from torchvision.transforms import CenterCrop, PILToTensor

    rng = np.random.default_rng(9)
    for _ in range(60):
        height, width, tall, wide = (int(number) for number in rng.integers(1, 30, 4))
        picture = decode(_pixels(rng, height, width, noisy=True))
        recipe = Recipe.parse(f"stored | {words}center_crop {tall} {wide} | scale | pool cls")
        expected = PILToTensor()(CenterCrop((tall, wide))(picture.rgb))
        assert torch.equal(recipe.uint8(picture), expected), (height, width, tall, wide)
