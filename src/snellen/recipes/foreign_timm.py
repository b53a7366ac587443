"""timm's ``pretrained_cfg``: the evaluation transform that ``create_transform`` builds from it, as a recipe and back.

In: the dictionary, as timm's hub ``config.json`` holds it, or a recipe. Out: text for ``Recipe.parse``, or the keys
that decide the transform. timm resizes Pillow images and leaves the EXIF orientation alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from snellen.encoders.config import Pool
from snellen.recipes.foreign_values import canonical, is_number, refused, resize_and_crop, side, triple, unsaid
from snellen.recipes.recipe import Recipe
from snellen.recipes.steps import PILLOW_FILTERS, CenterCrop, Scale, ShortestEdge, Squash, Step, Tensor
from snellen.recipes.table import STATS

FILE = "pretrained_cfg"
DEFAULTS: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": STATS["imagenet"][0],
    "std": STATS["imagenet"][1],
}
"""What timm takes where the key is absent, null or zero."""


def from_timm(pretrained_cfg: Mapping[str, Any], pool: Pool) -> str:
    """Return the text of timm's evaluation transform for a ``pretrained_cfg``, with ``pool`` for the pooling.

    Raises RecipeError naming the key that cannot be done exactly.
    """
    cfg = {key: pretrained_cfg.get(key) or default for key, default in DEFAULTS.items()}
    height, width = _input_size(cfg["input_size"])
    share, mode, filter_ = cfg["crop_pct"], cfg["crop_mode"], cfg["interpolation"]
    if not is_number(share) or share <= 0:
        raise refused(FILE, "crop_pct", share, "a number above 0")
    if mode not in ("center", "squash"):
        raise refused(FILE, "crop_mode", mode, "center or squash")
    if filter_ not in PILLOW_FILTERS:
        raise refused(FILE, "interpolation", filter_, " or ".join(PILLOW_FILTERS))
    tall, wide = (side(FILE, "crop_pct", math.floor(length / share)) for length in (height, width))
    crop = CenterCrop(height, width)
    steps: list[Step]
    if mode == "squash":
        steps = [Squash(tall, wide, filter_), *([crop] if (tall, wide) != (height, width) else [])]
    elif tall == wide:
        steps = [ShortestEdge(tall, filter_), crop]
    else:
        raise refused(FILE, "input_size", cfg["input_size"], "a square, where crop_mode is 'center'")
    mean, std = triple(FILE, "mean", cfg["mean"]), triple(FILE, "std", cfg["std"], positive=True)
    return canonical(Recipe(False, (*steps, Scale()), mean, std, pool))


def to_timm(recipe: Recipe) -> dict[str, Any]:
    """Return the keys of a ``pretrained_cfg`` with which timm makes the pixels of ``recipe``, bit for bit.

    The pooling is not among them. Raises RecipeError where timm's evaluation transform cannot do these steps.
    """
    target = "timm's pretrained_cfg"
    if recipe.apply_orientation:
        raise unsaid(recipe, target, "'stored': timm leaves the EXIF orientation alone")
    if recipe.steps[-1:] != (Scale(),) or Tensor() in recipe.steps:
        raise unsaid(recipe, target, "'scale' after the resize: timm resizes Pillow images, not tensors")
    resize, crop = resize_and_crop(recipe.steps[:-1], recipe, target)
    if crop and crop.floor:
        raise unsaid(recipe, target, "'center_crop' without 'floor': timm rounds half a pixel to even")
    size = recipe.size
    before = (resize.height, resize.width) if isinstance(resize, Squash) else (resize.length, resize.length)
    share = _share(size, before)
    if share is None:
        raise unsaid(
            recipe, target, "one number by which both sides of the output, divided, give those before the crop"
        )
    return {
        "input_size": (3, *size),
        "crop_pct": share,
        "crop_mode": "squash" if isinstance(resize, Squash) else "center",
        "interpolation": resize.filter,
        "mean": recipe.mean or (0.0, 0.0, 0.0),
        "std": recipe.std or (1.0, 1.0, 1.0),
    }


def _input_size(size: object) -> tuple[int, int]:
    if not isinstance(size, (list, tuple)) or len(size) != 3 or size[0] != 3:
        raise refused(FILE, "input_size", size, "3 channels, height, width")
    return side(FILE, "input_size", size[1]), side(FILE, "input_size", size[2])


def _share(after: tuple[int, int], before: tuple[int, int]) -> float | None:
    """Return the shortest decimal number by which ``after`` divides into ``before``, rounded down; None without one."""
    largest = min(new / old for new, old in zip(after, before, strict=True))
    for digits in range(1, 18):
        for less in (0.0, 10.0**-digits):
            share = round(largest - less, digits)
            if share > 0 and all(math.floor(new / share) == old for new, old in zip(after, before, strict=True)):
                return share
    return None
