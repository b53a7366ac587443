"""What reading and writing the libraries' files has in common: values checked one by one, and what the errors say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from snellen.errors import RecipeError
from snellen.recipes.parse import LONGEST_SIDE
from snellen.recipes.recipe import Recipe
from snellen.recipes.steps import CenterCrop, Resize, ShortestEdge, Squash, Step, Triple

OTHERWISE = "give the text of a recipe, or another name whose recipe to use"


def refused(file: str, key: str, value: object, expected: str) -> RecipeError:
    """Build the error for a value in a file that no recipe can do."""
    return RecipeError(f"{file} sets {key} to {value!r}, which no recipe can do", expected=expected, todo=OTHERWISE)


def unsaid(recipe: Recipe, target: str, needed: str) -> RecipeError:
    """Build the error for a recipe that ``target`` has no words for."""
    return RecipeError(
        f"{target} cannot express the recipe '{recipe.text}'",
        expected=needed,
        todo="pass the library's own recipe instead",
    )


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether ``value`` is a finite number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def side(file: str, key: str, value: object) -> int:
    """Return a length in pixels; raise RecipeError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST_SIDE:
        raise refused(file, key, value, f"sides of 1 to {LONGEST_SIDE} pixels")
    return value


def triple(file: str, key: str, value: object, *, positive: bool = False) -> Triple:
    """Return three numbers, one a channel; raise RecipeError for anything else."""
    numbers = value if isinstance(value, (list, tuple)) else ()
    if len(numbers) != 3 or not all(map(is_number, numbers)) or (positive and min(numbers) <= 0):
        raise refused(file, key, value, f"three numbers{' above 0' * positive}, one a channel")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def canonical(recipe: Recipe) -> str:
    """Return the text, read once more so that nothing leaves here which ``Recipe.parse`` would refuse."""
    return Recipe.parse(recipe.text).text


def resize_and_crop(steps: Sequence[Step], recipe: Recipe, target: str) -> tuple[Resize, CenterCrop | None]:
    """Take apart what stands between the conversions: one resize, and perhaps one crop after it."""
    if recipe.dct is not None:
        raise unsaid(recipe, target, f"no 'dct {recipe.dct:g}': the libraries decode files in full")
    if len(steps) in (1, 2) and isinstance(steps[0], (Squash, ShortestEdge)):
        crop = steps[1] if len(steps) == 2 else None
        if crop is None or isinstance(crop, CenterCrop):
            return steps[0], crop
    raise unsaid(recipe, target, "one resize, with at most one center_crop after it")
