"""Read the text of a recipe into its parts, or say which step is wrong and what it should be.

In: text. Out: ``Parts``. The order of the steps carries meaning, so it is checked here once and for all:
orientation, ``dct``, resizes and crops with ``tensor`` and ``scale`` between them, then mean and std, then pool.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

from snellen.encoders.config import Pool
from snellen.errors import RecipeError, nearest
from snellen.recipes.steps import (
    PILLOW_FILTERS,
    TORCH_FILTERS,
    CenterCrop,
    Scale,
    ShortestEdge,
    Squash,
    Step,
    Tensor,
    Triple,
)

POOLS: tuple[Pool, ...] = get_args(Pool)
LARGEST_DCT = 16
DECIMAL = re.compile(r"[0-9]{1,2}(\.[0-9])?")
LONGEST_SIDE = 16_384
"""Longest side a recipe may ask for: far above any encoder's, and far below what a slip of the finger can cost."""

AGAIN = "write the step so, or take the whole recipe of a model by its name"

ORDER = ("stored", "upright", "dct", "tensor", "scale", "mean", "std", "pool")
GEOMETRY = ("shortest_edge", "squash", "center_crop")
STEPS = ("stored", "upright", "dct", *GEOMETRY, "tensor", "scale", "mean", "std", "pool")


@dataclass
class Parts:
    """What a text was read into; ``Recipe`` freezes it."""

    upright: bool = False
    dct: float | None = None
    steps: list[Step] = field(default_factory=list)
    mean: Triple | None = None
    std: Triple | None = None
    pool: Pool = "cls"


@dataclass(frozen=True)
class _Place:
    """One step of a text: where it stands, as it was written, and its words in lower case."""

    number: int
    text: str

    @property
    def words(self) -> list[str]:
        return self.text.lower().split()

    def wrong(self, why: str, *, expected: str = "", todo: str = "") -> RecipeError:
        seen = f"step {self.number} of the recipe, {self.text!r}: {why}"
        return RecipeError(seen, expected=expected, todo=todo or AGAIN)


def parse(text: str) -> Parts:
    """Read a recipe.

    Raises RecipeError naming the step that is unknown, malformed, missing or out of place.
    """
    places = [_Place(number, part.strip()) for number, part in enumerate(text.split("|"), start=1)]
    for place in places:
        _check_name(place)
    _check_order(places)
    parts = Parts()
    for place in places:
        READERS[place.words[0]](place, parts)
    _check_size(parts)
    if parts.dct is not None:
        _check_reduced(places[1], parts.steps)
    return parts


def changed(text: str, changes: Sequence[str]) -> str:
    """Return a recipe's text with steps put in the place of those it has, or where they belong; parsing checks it."""
    steps = text.split("|")
    for change in changes:
        name = change.split()[:1]
        kept = [step for step in steps if step.split()[:1] != name]
        at = 1 if name == ["dct"] else len(kept)
        steps = [*kept[:at], change, *kept[at:]]
    return " | ".join(step.strip() for step in steps)


def output_size(steps: list[Step] | tuple[Step, ...]) -> tuple[int, int] | None:
    """Return (height, width) after ``steps``, or None where it depends on the image."""
    size: tuple[int, int] | None = None
    for step in steps:
        if isinstance(step, (Squash, CenterCrop)):
            size = (step.height, step.width)
        elif isinstance(step, ShortestEdge):
            size = None
    return size


def _check_name(place: _Place) -> None:
    if not place.words:
        raise place.wrong("nothing stands between two bars", expected="one of " + ", ".join(STEPS))
    name = place.words[0]
    if name not in STEPS:
        offer = nearest(name, STEPS)
        todo = f"did you mean {' or '.join(offer)}?" if offer else "see the steps above"
        raise place.wrong(f"there is no step {name!r}", expected="one of " + ", ".join(STEPS), todo=todo)


def _check_order(places: list[_Place]) -> None:
    if places[0].words[0] not in ("stored", "upright"):
        raise places[0].wrong(
            "a recipe says first what happens to the EXIF orientation",
            expected="'stored' (left alone) or 'upright' (applied) as the first step",
        )
    reached, before = -1, places[0]
    for place in places:
        name = place.words[0]
        rank = max(ORDER.index(name), 1) if name in ORDER else -1  # stored and upright share a place
        if 0 <= rank <= reached or (rank < 0 and reached >= ORDER.index("mean")):
            raise place.wrong(
                f"out of place: it cannot come after {before.text!r}",
                expected="stored or upright, resizes and crops with tensor and scale between them, mean, std, pool",
            )
        if rank >= 0:
            reached, before = rank, place
    names = [place.words[0] for place in places]
    if "dct" in names[2:]:
        raise places[names.index("dct")].wrong(
            "out of place: it says how files are decoded", expected="'dct' right after 'stored' or 'upright'"
        )
    for needed in ("scale", "pool", *(["mean", "std"] if {"mean", "std"} & set(names) else [])):
        if needed not in names:
            raise RecipeError(f"the recipe has no step {needed!r}", expected=_example(needed), todo=f"add {needed!r}")


def _check_size(parts: Parts) -> None:
    if output_size(parts.steps) is None:
        raise RecipeError(
            "the recipe leaves the size of the pixels open",
            expected="'squash H W FILTER' or 'center_crop H W' as the last resize or crop",
            todo="add a center_crop",
        )


def _check_reduced(place: _Place, steps: list[Step]) -> None:
    first = next(step for step in steps if isinstance(step, (Squash, ShortestEdge, CenterCrop)))
    if isinstance(first, CenterCrop):
        raise place.wrong(
            f"'{first}' before any resize cuts pixels of the whole file out",
            expected="a resize as the first step that changes the size",
            todo="leave 'dct' out",
        )
    if first.aliased:
        raise place.wrong(
            f"'{first}' takes single pixels of the whole file, which a reduced one does not have",
            expected="a first resize without 'aliased'",
            todo="leave 'dct' out",
        )


def _example(name: str) -> str:
    return {
        "scale": "'scale' once, where 8-bit numbers become float32",
        "pool": f"'pool NAME' at the end, NAME one of {', '.join(POOLS)}",
        "mean": "'mean R G B' before 'std R G B'",
        "std": "'std R G B' after 'mean R G B'",
    }[name]


def _orientation(place: _Place, parts: Parts) -> None:
    _plain(place)
    parts.upright = place.words[0] == "upright"


def _plain(place: _Place) -> None:
    if len(place.words) > 1:
        raise place.wrong("nothing may follow the name", expected=repr(place.words[0]))


def _dct(place: _Place, parts: Parts) -> None:
    form = f"'dct N', N a number from 1 to {LARGEST_DCT} with one digit behind the point at most"
    words = place.words[1:]
    if len(words) != 1 or not DECIMAL.fullmatch(words[0]) or not 1 <= float(words[0]) <= LARGEST_DCT:
        raise place.wrong("a JPEG stays so many times larger than the first resize makes it", expected=form)
    parts.dct = float(words[0])


def _tensor(place: _Place, parts: Parts) -> None:
    _plain(place)
    parts.steps.append(Tensor())


def _scale(place: _Place, parts: Parts) -> None:
    _plain(place)
    parts.steps.append(Scale())


def _squash(place: _Place, parts: Parts) -> None:
    form = "'squash H FILTER' or 'squash H W FILTER', with 'aliased' after it if need be"
    sides, words = _sides(place, form)
    filter_, aliased = _filter(place, words, parts, form)
    parts.steps.append(Squash(*sides, filter_, aliased))


def _shortest_edge(place: _Place, parts: Parts) -> None:
    form = "'shortest_edge N FILTER', with 'aliased' after it if need be"
    sides, words = _sides(place, form, most=1)
    filter_, aliased = _filter(place, words, parts, form)
    parts.steps.append(ShortestEdge(sides[0], filter_, aliased))


def _center_crop(place: _Place, parts: Parts) -> None:
    form = "'center_crop H' or 'center_crop H W', with 'floor' after it if need be"
    sides, words = _sides(place, form)
    if words not in ([], ["floor"]):
        raise place.wrong(f"{' '.join(words)!r} is not understood", expected=form)
    parts.steps.append(CenterCrop(*sides, floor=bool(words)))


def _sides(place: _Place, form: str, most: int = 2) -> tuple[tuple[int, int], list[str]]:
    """Take one or two side lengths off the front; return (height, width) and the words after them."""
    words = place.words[1:]
    count = 2 if most == 2 and len(words) > 1 and words[1].isdecimal() else 1
    numbers = [int(word) if word.isascii() and word.isdecimal() and len(word) < 9 else 0 for word in words[:count]]
    if not numbers or not all(1 <= number <= LONGEST_SIDE for number in numbers):
        raise place.wrong(f"a side is a whole number of pixels from 1 to {LONGEST_SIDE}", expected=form)
    return (numbers[0], numbers[-1]), words[count:]


def _filter(place: _Place, words: list[str], parts: Parts, form: str) -> tuple[str, bool]:
    floats = any(isinstance(step, Scale) for step in parts.steps)
    tensors = floats or any(isinstance(step, Tensor) for step in parts.steps)
    known = TORCH_FILTERS if tensors else PILLOW_FILTERS
    if not words:
        raise place.wrong("the filter is missing", expected=form, todo=f"add one of {', '.join(known)}")
    if words[0] not in known:
        offer = nearest(words[0], known)
        after = f" after '{'scale' if floats else 'tensor'}'" if tensors else ""
        todo = f"did you mean {' or '.join(offer)}?" if offer else ""
        raise place.wrong(f"there is no filter {words[0]!r}{after}", expected=" or ".join(known), todo=todo)
    if words[1:] not in ([], ["aliased"]):
        raise place.wrong(f"{' '.join(words[1:])!r} is not understood", expected=form)
    aliased = len(words) > 1
    if aliased and not floats:
        raise place.wrong("8-bit resizes are always antialiased", expected="'aliased' after 'scale' only")
    return words[0], aliased


def _mean(place: _Place, parts: Parts) -> None:
    parts.mean = _triple(place)


def _std(place: _Place, parts: Parts) -> None:
    parts.std = _triple(place)
    if min(parts.std) <= 0:
        raise place.wrong("a standard deviation is above 0", expected="'std R G B'")


def _triple(place: _Place) -> Triple:
    name, *words = place.words
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise place.wrong("three numbers are needed, one a channel", expected=f"'{name} R G B'")
    return numbers[0], numbers[1], numbers[2]


def _pool(place: _Place, parts: Parts) -> None:
    name = " ".join(place.words[1:])
    if name not in POOLS:
        offer = nearest(name, POOLS)
        todo = f"did you mean {' or '.join(offer)}?" if offer else ""
        raise place.wrong(f"there is no pooling {name!r}", expected="pool " + " or ".join(POOLS), todo=todo)
    parts.pool = next(pool for pool in POOLS if pool == name)


READERS: dict[str, Callable[[_Place, Parts], None]] = {
    "stored": _orientation,
    "upright": _orientation,
    "dct": _dct,
    "squash": _squash,
    "shortest_edge": _shortest_edge,
    "center_crop": _center_crop,
    "tensor": _tensor,
    "scale": _scale,
    "mean": _mean,
    "std": _std,
    "pool": _pool,
}
