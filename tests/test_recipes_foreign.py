"""Files of the libraries into recipes and back, against the libraries themselves reading the same files.

timm: to the last bit. transformers, through AutoImageProcessor on a folder: to float32 rounding. Negative controls
change one word of a recipe or one key of a file and expect other pixels.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from snellen import zoo
from snellen.errors import RecipeError
from snellen.images import Picture, decode
from snellen.recipes import FAMILIES, Recipe, builtin
from snellen.recipes.foreign import from_processor, from_timm, to_processor, to_timm
from snellen.recipes.foreign_timm import DEFAULTS
from snellen.recipes.foreign_transformers import BY_FAMILY, CLASSES
from snellen.zoo.conventions import pool_for, recipe_for

ROUNDING = 1e-3
"""Allowed difference from transformers, in 8-bit steps; the rounding of a pixel would be 1."""

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
SQUARE = {"height": 224, "width": 224}

# As published on the hub (the repositories' preprocessor_config.json), by the family whose recipe they state.
PUBLISHED = {
    "dinov2": {
        "crop_size": SQUARE,
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_processor_type": "BitImageProcessor",
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 256},
        **IMAGENET,
    },
    "dinov3_vit": {
        "crop_size": None,
        "data_format": "channels_first",
        "default_to_square": True,
        "device": None,
        "disable_grouping": None,
        "do_center_crop": None,
        "do_convert_rgb": None,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "input_data_format": None,
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        "return_tensors": None,
        "size": SQUARE,
        **IMAGENET,
    },
    "vit": {
        "do_normalize": True,
        "do_resize": True,
        "size": 224,
        **HALF,
        "feature_extractor_type": "ViTFeatureExtractor",
    },
    "aimv2": {
        "crop_size": SQUARE,
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 224},
    },
}
PUBLISHED["dinov3_convnext"] = PUBLISHED["dinov3_vit"]

# Further files that mean something: spellings, silences, other sizes, other geometries.
FILES = {
    **PUBLISHED,
    "bit, silent": {"image_processor_type": "BitImageProcessor"},
    "clip, silent": {"image_processor_type": "CLIPImageProcessorFast"},
    "vit, silent": {"image_processor_type": "ViTImageProcessor"},
    "dinov3, silent": {"image_processor_type": "DINOv3ViTImageProcessor"},
    "pil": {"image_processor_type": "BitImageProcessorPil", "size": {"shortest_edge": 120}, "crop_size": 100},
    "one number, shortest edge": {"image_processor_type": "BitImageProcessorFast", "size": 111, "crop_size": 98},
    "one number, square": {"image_processor_type": "BitImageProcessor", "size": 111, "default_to_square": True},
    "a pair": {"image_processor_type": "ViTImageProcessor", "size": [70, 98], "resample": 3},
    "oblong": {"image_processor_type": "DINOv3ViTImageProcessor", "size": {"height": 96, "width": 64}, "resample": 3},
    "squash and crop": {
        "image_processor_type": "ViTImageProcessor",
        "size": 99,
        "do_center_crop": True,
        "crop_size": {"height": 70, "width": 84},
    },
    "float crop": {
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "size": {"shortest_edge": 99},
        "do_center_crop": True,
        "crop_size": 96,
    },
    "padded crop": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 60}, "crop_size": 81},
    "no statistics": {"image_processor_type": "ViTImageProcessor", "do_normalize": False, "size": 64},
    "not RGB": {"image_processor_type": "CLIPImageProcessor", "do_convert_rgb": False},
}


def pictures() -> list[Picture]:
    """Return noise and waves, portrait and landscape, larger and smaller than what becomes of them."""
    rng = np.random.default_rng(7)
    sizes = ((224, 224), (256, 256), (341, 257), (200, 433), (37, 64), (150, 31))
    noise = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in sizes]
    y, x = np.mgrid[:311, :230] / 30
    waves = np.stack([127 + 127 * np.sin(x + k) * np.cos(y * k + 1) for k in (1, 2, 3)], axis=2).astype(np.uint8)
    return [decode(pixels) for pixels in (*noise, waves)]


def automatic(folder, document):
    """Return the processor that transformers builds from a folder with this file."""
    from transformers import AutoImageProcessor

    (folder / "preprocessor_config.json").write_text(json.dumps(document))
    processor = AutoImageProcessor.from_pretrained(folder)
    assert processor.backend == "torchvision"
    return processor


def difference(processor, recipe: Recipe) -> float:
    """Return the largest difference in 8-bit steps over all pictures; infinite where the shapes differ."""
    worst, std = 0.0, torch.tensor(recipe.std or (1.0, 1.0, 1.0))[:, None, None]
    for picture in pictures():
        theirs = torch.as_tensor(np.asarray(processor(picture.upright(), return_tensors="pt")["pixel_values"]))[0]
        ours = recipe(picture)
        if ours.shape != theirs.shape:
            return float("inf")
        worst = max(worst, float(((ours - theirs).abs() * std).max()) * 255)
    return worst


def transform(cfg, how):
    from timm.data import create_transform, resolve_data_config

    return create_transform(**resolve_data_config(**{how: dict(cfg)}))


def same_bits(cfg, recipe: Recipe, how: str = "pretrained_cfg") -> bool:
    theirs = transform(cfg, how)
    return all(torch.equal(recipe(picture), theirs(picture.rgb)) for picture in pictures())


# transformers


@pytest.mark.parametrize("family", PUBLISHED)
def test_published_files_are_the_table(family):
    pool = Recipe.parse(builtin("transformers", family)).pool
    assert from_processor(PUBLISHED[family], pool) == builtin("transformers", family)


def test_published_sizes_and_statistics_are_the_table():
    large = {**PUBLISHED["aimv2"], "size": {"shortest_edge": 448}, "crop_size": {"height": 448, "width": 448}}
    assert from_processor(large, "patch_mean") == builtin("transformers", "aimv2", size=448)
    satellite = {**PUBLISHED["dinov3_vit"], "image_mean": [0.43, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143]}
    assert from_processor(satellite, "cls") == builtin("transformers", "dinov3_vit", stats="sat")


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_pixels_that_transformers_makes_of_it(name, tmp_path):
    recipe = Recipe.parse(from_processor(FILES[name], "cls"))
    assert recipe.pool == "cls"
    assert difference(automatic(tmp_path, FILES[name]), recipe) < ROUNDING


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("dinov2", "resample", 2),
        ("dinov2", "size", {"shortest_edge": 257}),
        ("dinov2", "crop_size", 223),
        ("dinov2", "image_processor_type", "DINOv3ViTImageProcessorFast"),
        ("dinov3_vit", "image_processor_type", "ViTImageProcessor"),
        ("dinov3_vit", "image_std", [0.229, 0.224, 0.226]),
        ("vit", "do_normalize", False),
        ("one number, square", "default_to_square", False),
    ],
)
def test_one_changed_key_gives_other_pixels(name, key, value, tmp_path):
    document = {**FILES[name], key: value}
    assert difference(automatic(tmp_path, document), Recipe.parse(from_processor(FILES[name], "cls"))) > 10 * ROUNDING
    assert from_processor(document, "cls") != from_processor(FILES[name], "cls")


def test_silences_are_those_of_the_classes():
    import transformers

    for name, defaults in CLASSES.items():
        kind = getattr(transformers, name)
        for key, value in defaults.items():
            theirs = getattr(kind, key, None)
            same = tuple(theirs) == value if isinstance(theirs, list) else theirs == value
            assert same or (theirs is None and value is False), (name, key)


@pytest.mark.parametrize("family", BY_FAMILY)
def test_a_file_that_names_no_class_takes_that_of_the_model(family, tmp_path):
    import transformers
    from transformers import AutoConfig

    kinds = {"aimv2": "aimv2_vision_model"}
    AutoConfig.for_model(kinds.get(family, family)).save_pretrained(tmp_path)
    document = {"size": {"height": 56, "width": 70}, "do_center_crop": False}
    processor = automatic(tmp_path, document)
    assert type(processor) is getattr(transformers, BY_FAMILY[family])
    assert difference(processor, Recipe.parse(from_processor(document, "cls", family))) < ROUNDING


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_processor_type": None}, "image_processor_type"),
        ({"image_processor_type": "SiglipImageProcessor"}, "SiglipImageProcessor"),
        ({"image_processor_type": "BitImageProcesor"}, "did you mean BitImageProcessor"),
        ({"do_resize": False}, "do_resize"),
        ({"do_rescale": False}, "do_rescale"),
        ({"do_rescale": "yes"}, "do_rescale"),
        ({"rescale_factor": 1 / 256}, "rescale_factor"),
        ({"rescale_factor": "1/255"}, "rescale_factor"),
        ({"do_pad": True}, "do_pad"),
        ({"use_square_size": True}, "use_square_size"),
        ({"do_normalize": 1}, "do_normalize"),
        ({"image_mean": []}, "image_mean"),
        ({"image_mean": 0.5}, "image_mean"),
        ({"image_std": [0.2, 0.2]}, "image_std"),
        ({"image_std": [0.2, 0.0, 0.2]}, "image_std"),
        ({"image_mean": [float("nan")] * 3}, "image_mean"),
        ({"resample": 1}, "resample"),
        ({"resample": 0}, "resample"),
        ({"resample": "bicubic"}, "resample"),
        ({"resample": [3]}, "resample"),
        ({"size": {"shortest_edge": 256, "longest_edge": 512}}, "size"),
        ({"size": {"longest_edge": 512}}, "size"),
        ({"size": {"shortest_edge": 0}}, "size"),
        ({"size": {"shortest_edge": 224.0}}, "size"),
        ({"size": True}, "size"),
        ({"size": [1, 2, 3]}, "size"),
        ({"size": 1_000_000}, "size"),
        ({"do_center_crop": False}, "do_center_crop"),
        ({"crop_size": {"shortest_edge": 224}}, "crop_size"),
    ],
)
def test_what_no_recipe_can_do_is_refused_by_name(changes, named):
    from_processor(PUBLISHED["dinov2"], "cls")
    with pytest.raises(RecipeError, match=named) as caught:
        from_processor({**PUBLISHED["dinov2"], **changes}, "cls")
    assert caught.value.expected
    assert caught.value.todo


def test_a_crop_without_a_size_is_refused():
    with pytest.raises(RecipeError, match="crop_size"):
        from_processor({"image_processor_type": "ViTImageProcessor", "do_center_crop": True}, "cls")


WRITTEN = {
    **{f"own, {family}": (builtin("transformers", family), family) for family in FAMILIES},
    "aimv2 at 448": (builtin("transformers", "aimv2", size=448), "aimv2"),
    "eight bits for dinov3": ("upright | tensor | squash 64 80 bicubic | scale | pool cls", "dinov3_vit"),
    "floats for vit": ("upright | scale | shortest_edge 70 bilinear | center_crop 56 floor | pool cls", "vit"),
    "a crop for vit": (builtin("transformers", "dinov2"), "vit"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_transformers_makes_a_recipes_pixels_from_the_file_written_for_it(name, tmp_path):
    text, family = WRITTEN[name]
    recipe = Recipe.parse(text)
    document = to_processor(recipe, family)
    assert difference(automatic(tmp_path, document), recipe) < ROUNDING
    assert from_processor(json.loads(json.dumps(document)), recipe.pool) == recipe.text


@pytest.mark.parametrize(("right", "wrong"), [("bicubic", "bilinear"), ("256", "255"), ("tensor | ", "")])
def test_another_recipe_has_other_pixels_than_the_written_file(right, wrong, tmp_path):
    text = builtin("transformers", "dinov2")
    processor = automatic(tmp_path, to_processor(Recipe.parse(text), "dinov2"))
    assert difference(processor, Recipe.parse(text.replace(right, wrong, 1))) > 10 * ROUNDING


def test_written_files_name_the_familys_class():
    names = {family: to_processor(Recipe.parse(builtin("transformers", family)), family) for family in BY_FAMILY}
    assert {family: f"{name}Fast" for family, name in BY_FAMILY.items()} == {
        family: document["image_processor_type"] for family, document in names.items()
    }


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (builtin("timm", "dinov2"), "upright"),
        (builtin("timm", "vit").replace("stored", "upright"), "tensor"),
        (builtin("original", "dinov3_vit"), "upright"),
        (builtin("transformers", "dinov2").replace(" floor", ""), "floor"),
        ("upright | scale | squash 224 bilinear aliased | pool cls", "aliased"),
        ("upright | tensor | center_crop 224 floor | scale | pool cls", "one resize"),
        ("upright | tensor | squash 224 bicubic | squash 99 bicubic | scale | pool cls", "one resize"),
        ("upright | tensor | squash 224 bicubic | scale | center_crop 99 floor | pool cls", "tensor"),
    ],
)
def test_recipes_that_no_processor_does_are_refused(text, because):
    with pytest.raises(RecipeError, match="cannot express") as caught:
        to_processor(Recipe.parse(text), "dinov2")
    assert because in caught.value.expected


# timm


def timm_names() -> list[str]:
    return [name for variant in zoo.ROWS for name in variant.timm]


def test_every_timm_name_of_the_zoo_has_the_recipe_of_its_pretrained_cfg():
    import timm

    assert len(timm_names()) > 40
    for name in timm_names():
        named = zoo.find(name)
        cfg = json.loads(json.dumps(timm.get_pretrained_cfg(name).to_dict()))
        assert from_timm(cfg, pool_for(named.variant, "timm")) == recipe_for(named.variant, "timm"), name


TIMM_FILES = {
    "nothing": {"tag": "x"},
    "nulls": dict.fromkeys(DEFAULTS),
    "wide crop": {"input_size": [3, 96, 96], "crop_pct": 0.6, "interpolation": "bilinear"},
    "padded crop": {"input_size": (3, 96, 96), "crop_pct": 1.3},
    "lanczos": {"input_size": (3, 90, 90), "crop_pct": 0.95, "interpolation": "lanczos", "crop_mode": "center"},
    "box": {"input_size": (3, 64, 64), "crop_pct": 1.0, "interpolation": "box"},
    "squash": {"input_size": (3, 96, 96), "crop_pct": 1.0, "crop_mode": "squash"},
    "squash and crop": {"input_size": (3, 96, 128), "crop_pct": 0.9, "crop_mode": "squash"},
    "statistics": {"input_size": (3, 56, 56), "mean": [0, 0, 0], "std": [1, 1, 1]},
}


@pytest.mark.parametrize("name", TIMM_FILES)
def test_a_pretrained_cfg_gives_the_pixels_that_timm_makes_of_it(name):
    cfg = TIMM_FILES[name]
    recipe = Recipe.parse(from_timm(cfg, "patch_mean"))
    assert recipe.pool == "patch_mean"
    assert same_bits(cfg, recipe)
    back = to_timm(recipe)
    assert same_bits(back, recipe)
    assert from_timm(back, "patch_mean") == recipe.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("crop_pct", 0.59),
        ("interpolation", "bicubic"),
        ("crop_mode", "squash"),
        ("crop_mode", "border"),
        ("mean", [0.485, 0.456, 0.407]),
    ],
)
def test_one_changed_key_of_a_pretrained_cfg_gives_other_bits(key, value):
    cfg = TIMM_FILES["wide crop"]
    assert not same_bits({**cfg, key: value}, Recipe.parse(from_timm(cfg, "cls")))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"crop_mode": "border"}, "crop_mode"),
        ({"crop_mode": "centre"}, "crop_mode"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"interpolation": "random"}, "interpolation"),
        ({"crop_pct": -1}, "crop_pct"),
        ({"crop_pct": "0.9"}, "crop_pct"),
        ({"crop_pct": 1e-9}, "crop_pct"),
        ({"crop_pct": 1e9}, "crop_pct"),
        ({"input_size": 224}, "input_size"),
        ({"input_size": [1, 224, 224]}, "input_size"),
        ({"input_size": [3, 224.0, 224]}, "input_size"),
        ({"input_size": [3, 224, 336]}, "input_size"),
        ({"mean": [0.5]}, "mean"),
        ({"std": [0.5, 0.5, 0]}, "std"),
    ],
)
def test_a_pretrained_cfg_that_no_recipe_can_do_is_refused_by_name(changes, named):
    with pytest.raises(RecipeError, match=named) as caught:
        from_timm({"input_size": (3, 224, 224), **changes}, "cls")
    assert caught.value.expected


@pytest.mark.parametrize("how", ["pretrained_cfg", "args"])
@pytest.mark.parametrize("text", [*(builtin("timm", family) for family in FAMILIES), builtin("original", "dinov2")])
def test_timm_makes_a_recipes_bits_from_the_keys_written_for_it(text, how):
    recipe = Recipe.parse(text)
    cfg = to_timm(recipe)
    assert list(cfg) == list(DEFAULTS)
    assert same_bits(cfg, recipe, how)
    assert from_timm(json.loads(json.dumps(cfg)), recipe.pool) == recipe.text


def test_the_share_is_the_shortest_that_works():
    assert to_timm(Recipe.parse(builtin("timm", "vit")))["crop_pct"] == 0.9
    assert to_timm(Recipe.parse(builtin("original", "dinov2")))["crop_pct"] == 0.875
    assert to_timm(Recipe.parse(builtin("timm", "aimv2", size=448)))["crop_pct"] == 1.0


def test_every_edge_can_be_said_as_a_share():
    for size in (1, 14, 96, 224, 518):
        for edge in range(1, 700):
            recipe = Recipe.parse(f"stored | shortest_edge {edge} bicubic | center_crop {size} | scale | pool cls")
            assert int(size / to_timm(recipe)["crop_pct"]) == edge


def test_a_recipe_without_statistics_is_the_same_bits_with_neutral_ones():
    recipe = Recipe.parse("stored | squash 56 bilinear | scale | pool cls")
    assert same_bits(to_timm(recipe), recipe)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (builtin("transformers", "vit"), "stored"),
        (builtin("original", "dinov3_vit"), "Pillow"),
        (builtin("original", "vit"), "Pillow"),
        (builtin("timm", "vit").replace("crop 224", "crop 224 floor"), "floor"),
        ("stored | center_crop 224 | scale | pool cls", "one resize"),
        ("stored | squash 224 448 bicubic | center_crop 224 | scale | pool cls", "one number"),
    ],
)
def test_recipes_that_timm_does_not_do_are_refused(text, because):
    with pytest.raises(RecipeError, match="cannot express") as caught:
        to_timm(Recipe.parse(text))
    assert because in caught.value.expected
