"""Carry out the steps of a recipe: Pillow while the pixels are an image, numpy once they are numbers.

The arithmetic is that of torchvision and of the processors of transformers, down to the truncation of the
longer side and the rounding of the crop, without importing either. torch is imported for what it alone does the same
way: a resize of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy
from PIL import Image

from snellen.errors import ImageError
from snellen.recipes.steps import CenterCrop, Resize, Scale, ShortestEdge, Squash, Step, Tensor, Triple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]  # [3,h,w] of uint8 or float32
    Pixels = Image.Image | Array

SCALES = (1, 2, 4, 8)
"""By what a JPEG's sides may have been divided; what is left over makes one more pixel."""

RESIZED_PIXELS = 1 << 26
"""Most pixels a resize may make: 200 MB of 8-bit RGB, 800 MB of float32.

The shorter side at 256 that is an aspect ratio of 1024, at 518 one of 250; beyond that a photograph is a
scan line, and a 1 x 60000 pixel file would ask for gigabytes.
"""

STRIP = 1 << 18
"""Bytes that are taken out of an image at a time: whole photographs would go through memory three times."""

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def run(image: Image.Image, steps: Iterable[Step], full: tuple[int, int] | None = None) -> Array:
    """Return ``image`` after ``steps``: [3,h,w], contiguous, uint8 unless ``Scale`` is among them, then float32.

    ``full``: (height, width) of what ``image`` is a reduced decoding of; the first resize makes of it what it would
    have made of that. What is returned is nobody else's.
    """
    pixels: Pixels = image
    for step in steps:
        if isinstance(step, (Squash, ShortestEdge)):
            pixels, full = _resize(pixels, step, full), None
        else:
            pixels = _one(pixels, step)
    return numpy.ascontiguousarray(_array(pixels))


def least(steps: Iterable[Step], factor: float, height: int, width: int, *, turned: bool) -> tuple[int, int] | None:
    """Return ``factor`` times the (height, width) that the first resize makes of a file's; None where it refuses it.

    ``turned``: the file may yet be turned, and it is not known which way.
    """
    first = next(step for step in steps if isinstance(step, (Squash, ShortestEdge)))
    try:
        sides = resized(first, height, width)
    except ImageError:
        return None  # to be raised when the pixels are known to be good
    if turned and isinstance(first, Squash):
        sides = (max(sides), max(sides))
    return math.ceil(factor * sides[0]), math.ceil(factor * sides[1])


def standardise(pixels: NDArray[numpy.float32], mean: Triple | None, std: Triple | None) -> NDArray[numpy.float32]:
    """Subtract ``mean`` and divide by ``std``, a channel at a time, in place; pixels [3,h,w]."""
    if mean is None or std is None:
        return pixels
    # In float32 from the start, as the libraries do: the last bit depends on it.
    pixels -= numpy.array(mean, numpy.float32)[:, None, None]
    pixels /= numpy.array(std, numpy.float32)[:, None, None]
    return pixels


def resized(step: Resize, height: int, width: int) -> tuple[int, int]:
    """Return (height, width) after ``step``; the longer side is truncated, not rounded.

    Raises ImageError above RESIZED_PIXELS.
    """
    if not isinstance(step, ShortestEdge):
        return step.height, step.width
    short, long = sorted((height, width))
    longer = int(step.length * long / short)
    if step.length * longer > RESIZED_PIXELS:
        raise ImageError(
            f"an image of {width} x {height} pixels is too long and thin: with its shorter side at {step.length} "
            f"pixels the longer one has {longer}",
            expected=f"at most {RESIZED_PIXELS} pixels after '{step}'",
            todo="crop it, or use a recipe that squashes",
        )
    return (longer, step.length) if width <= height else (step.length, longer)


def _one(pixels: Pixels, step: Tensor | Scale | CenterCrop) -> Pixels:
    if isinstance(step, Tensor):
        return _array(pixels)
    if isinstance(step, Scale):
        return _scale(_array(pixels))
    return _crop(pixels, step)


def _array(pixels: Pixels) -> Array:
    """Return pixels as numbers [3,h,w]; those of an image lie in memory as [h,w,3], which torch resizes fastest."""
    if not isinstance(pixels, Image.Image):
        return pixels
    made = numpy.empty((pixels.height, pixels.width, 3), numpy.uint8)
    rows = max(1, STRIP // (3 * pixels.width))
    for top in range(0, pixels.height, rows):
        part = pixels.crop((0, top, pixels.width, min(top + rows, pixels.height)))
        made[top : top + rows] = numpy.asarray(part)
    return made.transpose(2, 0, 1)


def _scale(pixels: Array) -> Array:
    """Turn 0..255 of uint8 into 0..1 of float32."""
    floats = pixels.astype(numpy.float32, order="C")
    floats /= numpy.float32(255)
    return floats


def _size(pixels: Pixels) -> tuple[int, int]:
    if isinstance(pixels, Image.Image):
        return pixels.height, pixels.width
    return pixels.shape[-2], pixels.shape[-1]


def _resize(pixels: Pixels, step: Resize, full: tuple[int, int] | None) -> Pixels:
    old = _size(pixels)
    height, width = resized(step, *(full or old))
    if (height, width) == old:
        return pixels
    covered = None if full is None else _covered(old, full)
    if isinstance(pixels, Image.Image):
        box = covered and (0, 0, covered[1], covered[0])
        return pixels.resize((width, height), FILTERS[step.filter], box=box)
    from snellen.recipes import tensors

    return tensors.resize(pixels, step, height, width, covered)


def _covered(old: tuple[int, int], full: tuple[int, int]) -> tuple[float, float]:
    """Return how many of the reduced pixels (height, width) the file fills: the last of them need not be full."""
    scale = max(scale for scale in SCALES if tuple(-(-side // scale) for side in full) == old)
    return full[0] / scale, full[1] / scale


def _crop(pixels: Pixels, step: CenterCrop) -> Pixels:
    height, width = _size(pixels)
    top, left = _offset(height, step.height, step.floor), _offset(width, step.width, step.floor)
    bottom, right = top + step.height, left + step.width
    if isinstance(pixels, Image.Image):
        return pixels.crop((left, top, right, bottom))  # outside the image Pillow gives black
    pad = ((0, 0), (max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)))
    padded = numpy.pad(pixels, pad) if any(map(any, pad)) else pixels
    top, left = max(top, 0), max(left, 0)
    return padded[:, top : top + step.height, left : left + step.width]


def _offset(length: int, wanted: int, floor: bool) -> int:
    """Return where a crop of ``wanted`` pixels begins on a side of ``length``; negative where it must be padded."""
    if wanted > length:
        return -((wanted - length) // 2)
    margin = length - wanted
    return margin // 2 if floor else round(margin / 2)
