"""Carry out the steps of a recipe: Pillow while the pixels are an image, numpy once they are numbers.

The arithmetic is that of torchvision and of the processors of transformers, down to the truncation of the
longer side and the rounding of the crop, without importing either. torch is imported for what it alone does the same
way: a resize of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy
from PIL import Image

from snellen.errors import ImageError
from snellen.recipes.steps import CenterCrop, Resize, Scale, ShortestEdge, Step, Tensor, Triple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]  # [3,h,w] of uint8 or float32
    Pixels = Image.Image | Array

RESIZED_PIXELS = 1 << 26
"""Most pixels a resize may make: 200 MB of 8-bit RGB, 800 MB of float32.

The shorter side at 256 that is an aspect ratio of 1024, at 518 one of 250; beyond that a photograph is a
scan line, and a 1 x 60000 pixel file would ask for gigabytes.
"""

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def run(image: Image.Image, steps: Iterable[Step]) -> Array:
    """Return ``image`` after ``steps``: [3,h,w], contiguous, uint8 unless ``Scale`` is among them, then float32.

    What is returned is nobody else's.
    """
    pixels: Pixels = image
    for step in steps:
        pixels = _one(pixels, step)
    return numpy.ascontiguousarray(_array(pixels))


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


def _one(pixels: Pixels, step: Step) -> Pixels:
    if isinstance(step, Tensor):
        return _array(pixels)
    if isinstance(step, Scale):
        return _scale(_array(pixels))
    if isinstance(step, CenterCrop):
        return _crop(pixels, step)
    return _resize(pixels, step)


def _array(pixels: Pixels) -> Array:
    if isinstance(pixels, Image.Image):
        return numpy.asarray(pixels).transpose(2, 0, 1).copy()  # [h, w, 3] -> [3, h, w]
    return pixels


def _scale(pixels: Array) -> Array:
    """Turn 0..255 of uint8 into 0..1 of float32."""
    floats = pixels.astype(numpy.float32, order="C")
    floats /= numpy.float32(255)
    return floats


def _size(pixels: Pixels) -> tuple[int, int]:
    if isinstance(pixels, Image.Image):
        return pixels.height, pixels.width
    return pixels.shape[-2], pixels.shape[-1]


def _resize(pixels: Pixels, step: Resize) -> Pixels:
    old = _size(pixels)
    height, width = resized(step, *old)
    if (height, width) == old:
        return pixels
    if isinstance(pixels, Image.Image):
        return pixels.resize((width, height), FILTERS[step.filter])
    from snellen.recipes import tensors

    return tensors.resize(pixels, step, height, width)


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
