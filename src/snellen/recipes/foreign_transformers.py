"""transformers' ``preprocessor_config.json`` as a recipe, and back.

In: the file's contents, or a recipe. Out: text for ``Recipe.parse``, or contents for the file. Meant is always the
processor that transformers 5 uses by default, which resizes torch tensors; the spellings of other generations
(``...FeatureExtractor``, ``...Fast``, ``...Pil``) load as the same one there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from snellen.encoders.config import Pool
from snellen.errors import RecipeError, nearest
from snellen.recipes.foreign_values import (
    OTHERWISE,
    canonical,
    is_number,
    refused,
    resize_and_crop,
    side,
    triple,
    unsaid,
)
from snellen.recipes.recipe import Recipe
from snellen.recipes.steps import CenterCrop, Resize, Scale, ShortestEdge, Squash, Step, Tensor, Triple
from snellen.recipes.table import STATS

Json = dict[str, Any]

FILE = "preprocessor_config.json"
FLOAT_CLASS = "DINOv3ViTImageProcessor"
"""The class that scales first and resizes float32; the others resize 8-bit numbers."""

# What a class does where the file is silent; a null in the file counts as silence.
ALWAYS: Json = {
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "do_pad": False,
    "use_square_size": False,
}
CROPPING: Json = {
    **ALWAYS,
    "size": {"shortest_edge": 224},
    "default_to_square": False,
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "image_mean": STATS["clip"][0],
    "image_std": STATS["clip"][1],
}
SQUASHING: Json = {
    **ALWAYS,
    "size": {"height": 224, "width": 224},
    "default_to_square": True,
    "resample": 2,
    "do_center_crop": False,
    "crop_size": None,
}
CLASSES: dict[str, Json] = {
    "BitImageProcessor": CROPPING,
    "CLIPImageProcessor": CROPPING,
    "ViTImageProcessor": {**SQUASHING, "image_mean": STATS["half"][0], "image_std": STATS["half"][1]},
    FLOAT_CLASS: {**SQUASHING, "image_mean": STATS["imagenet"][0], "image_std": STATS["imagenet"][1]},
}
BY_FAMILY = {
    "dinov2": "BitImageProcessor",
    "dinov3_vit": FLOAT_CLASS,
    "vit": "ViTImageProcessor",
    "aimv2": "CLIPImageProcessor",
}
"""The class that transformers takes where a file names none; it has none for DINOv3 ConvNeXt."""

FILTERS = {2: "bilinear", 3: "bicubic"}
"""Filters by their number in Pillow, as far as torch has them."""


def from_processor(document: Mapping[str, Any], pool: Pool, family: str | None = None) -> str:
    """Return the text of the recipe that a ``preprocessor_config.json`` describes, with ``pool`` for the pooling.

    ``family`` decides the class of a file that names none, as old ones do. Pictures are taken upright, as
    transformers' ``load_image`` turns them, and are RGB whatever ``do_convert_rgb`` says.
    Raises RecipeError naming the key that cannot be done exactly.
    """
    name = _class_name(document, family)
    full = {**CLASSES[name], **{key: value for key, value in document.items() if value is not None}}
    for key, only in (("do_resize", True), ("do_rescale", True), ("do_pad", False), ("use_square_size", False)):
        if full[key] is not only:
            raise refused(FILE, key, full[key], f"{str(only).lower()}: nothing else is done here")
    _check_factor(full["rescale_factor"])
    inner: list[Step] = [_resize(full), *_crop(full)]
    steps: list[Step] = [Scale(), *inner] if name == FLOAT_CLASS else [Tensor(), *inner, Scale()]
    mean, std = _stats(full)
    return canonical(Recipe(True, tuple(steps), mean, std, pool))


def to_processor(recipe: Recipe, family: str) -> Json:
    """Return the ``preprocessor_config.json`` with which transformers makes the pixels of ``recipe``.

    ``family`` chooses between classes that do the same. The pooling is not part of such a file.
    Raises RecipeError where no processor does these steps.
    """
    floats = recipe.steps[:1] == (Scale(),)
    resize, crop = _sayable(recipe, floats)
    # With this ending, transformers 4 takes the class that resizes tensors as well.
    name = FLOAT_CLASS if floats else BY_FAMILY.get(family, FLOAT_CLASS)
    name = "BitImageProcessor" if name == FLOAT_CLASS and not floats else name
    document: Json = {
        "image_processor_type": f"{name}Fast",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": _height_width(resize) if isinstance(resize, Squash) else {"shortest_edge": resize.length},
        "resample": next(number for number, filter_ in FILTERS.items() if filter_ == resize.filter),
        "do_center_crop": crop is not None,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": recipe.mean is not None,
    }
    if crop:
        document["crop_size"] = _height_width(crop)
    if recipe.mean is not None and recipe.std is not None:
        document |= {"image_mean": list(recipe.mean), "image_std": list(recipe.std)}
    return document


def _class_name(document: Mapping[str, Any], family: str | None) -> str:
    """Return the class a file means, whatever backend or generation its name is spelt for."""
    key = "image_processor_type" if document.get("image_processor_type") is not None else "feature_extractor_type"
    named = document.get(key)
    if named is None:
        named = BY_FAMILY.get(family or "")
    if named is None:
        raise RecipeError(
            f"{FILE} names no image_processor_type", expected=f"one of {', '.join(CLASSES)}", todo=OTHERWISE
        )
    name = str(named).replace("FeatureExtractor", "ImageProcessor")
    name = name.removesuffix("Fast") if name.endswith("Fast") else name.removesuffix("Pil")
    if name not in CLASSES:
        offer = nearest(name, CLASSES)
        meant = f"; did you mean {' or '.join(offer)}?" if offer else ""
        raise refused(FILE, key, named, f"one of {', '.join(CLASSES)}{meant}")
    return name


def _check_factor(factor: object) -> None:
    """Refuse every factor that differs from 1/255 by what float32 can tell."""
    if not is_number(factor) or not math.isclose(factor, 1 / 255, rel_tol=1e-8):
        raise refused(FILE, "rescale_factor", factor, f"1/255 = {1 / 255!r}")


def _resize(full: Json) -> Resize:
    number, size = full["resample"], full["size"]
    if not isinstance(number, int) or number not in FILTERS:
        known = " or ".join(f"{key} ({name})" for key, name in FILTERS.items())
        raise refused(FILE, "resample", number, f"{known}: what Pillow calls its filters, as far as torch has them")
    if isinstance(size, int) and not _flag(full, "default_to_square"):
        size = {"shortest_edge": size}
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        if not _flag(full, "do_center_crop"):
            raise refused(FILE, "do_center_crop", False, "true, where size has only a shortest_edge")
        return ShortestEdge(side(FILE, "size", size["shortest_edge"]), FILTERS[number])
    return Squash(*_sides("size", size), FILTERS[number])


def _crop(full: Json) -> list[CenterCrop]:
    if not _flag(full, "do_center_crop"):
        return []
    return [CenterCrop(*_sides("crop_size", full["crop_size"]), floor=True)]


def _stats(full: Json) -> tuple[Triple, Triple] | tuple[None, None]:
    if not _flag(full, "do_normalize"):
        return None, None
    return triple(FILE, "image_mean", full["image_mean"]), triple(FILE, "image_std", full["image_std"], positive=True)


def _sides(key: str, size: object) -> tuple[int, int]:
    """Read height and width, written as a dictionary, as a pair, or as the one side of a square."""
    if isinstance(size, int):
        size = (size, size)
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        size = (size["height"], size["width"])
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        form = "height and width, or one number" + (", or shortest_edge alone" if key == "size" else "")
        raise refused(FILE, key, size, form)
    return side(FILE, key, size[0]), side(FILE, key, size[1])


def _flag(full: Json, key: str) -> bool:
    value = full[key]
    if not isinstance(value, bool):
        raise refused(FILE, key, value, "true or false")
    return value


def _sayable(recipe: Recipe, floats: bool) -> tuple[Resize, CenterCrop | None]:
    """Return the resize and the crop, if the processors do just that in just this way."""
    target = f"a {FILE}"
    if not recipe.apply_orientation:
        raise unsaid(recipe, target, "'upright': transformers applies the EXIF orientation when it loads an image")
    if not floats and (recipe.steps[:1], recipe.steps[-1:]) != ((Tensor(),), (Scale(),)):
        raise unsaid(recipe, target, "'tensor' before the resize: the processors resize tensors, not Pillow images")
    resize, crop = resize_and_crop(recipe.steps[1:] if floats else recipe.steps[1:-1], recipe, target)
    if crop and not crop.floor:
        raise unsaid(recipe, target, f"'{crop} floor': the processors round half a pixel down")
    if resize.aliased:
        raise unsaid(recipe, target, f"'{resize}' without 'aliased': the processors always antialias")
    return resize, crop


def _height_width(step: Squash | CenterCrop) -> dict[str, int]:
    return {"height": step.height, "width": step.width}
