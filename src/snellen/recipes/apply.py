"""Carry out the steps of a recipe: Pillow while the pixels are an image, torch once they are a tensor.

The arithmetic is that of torchvision and of the processors of transformers, down to the truncation of the
longer side and the rounding of the crop, without importing either.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy
import torch
from PIL import Image
from torch.nn import functional

from snellen.errors import ImageError
from snellen.recipes.steps import CenterCrop, Resize, Scale, ShortestEdge, Step, Tensor, Triple

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

Pixels = Image.Image | torch.Tensor
"""An RGB image, or [3,h,w] of uint8 or float32."""


def run(image: Image.Image, steps: Iterable[Step]) -> torch.Tensor:
    """Return ``image`` after ``steps``: [3,h,w], uint8 unless ``Scale`` is among them, then float32."""
    pixels: Pixels = image
    for step in steps:
        pixels = _one(pixels, step)
    return _tensor(pixels).contiguous()


def scale(pixels: torch.Tensor) -> torch.Tensor:
    """Turn 0..255 of uint8 into 0..1 of float32."""
    return pixels.to(torch.float32).div(255)


def standardise(pixels: torch.Tensor, mean: Triple | None, std: Triple | None) -> torch.Tensor:
    """Subtract ``mean`` and divide by ``std``, a channel at a time; pixels [...,3,h,w] of float32."""
    if mean is None or std is None:
        return pixels
    # In float32 from the start, as the libraries do: the last bit depends on it.
    means, stds = (torch.tensor(three, dtype=torch.float32, device=pixels.device) for three in (mean, std))
    return pixels.sub(means[:, None, None]).div_(stds[:, None, None])


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
        return _tensor(pixels)
    if isinstance(step, Scale):
        return scale(_tensor(pixels))
    if isinstance(step, CenterCrop):
        return _crop(pixels, step)
    return _resize(pixels, step)


def _tensor(pixels: Pixels) -> torch.Tensor:
    if isinstance(pixels, torch.Tensor):
        return pixels
    return torch.from_numpy(numpy.array(pixels)).permute(2, 0, 1).contiguous()


def _size(pixels: Pixels) -> tuple[int, int]:
    if isinstance(pixels, torch.Tensor):
        return pixels.shape[-2], pixels.shape[-1]
    return pixels.height, pixels.width


def _resize(pixels: Pixels, step: Resize) -> Pixels:
    old = _size(pixels)
    height, width = resized(step, *old)
    if (height, width) == old:
        return pixels
    if isinstance(pixels, Image.Image):
        return pixels.resize((width, height), FILTERS[step.filter])
    return functional.interpolate(
        pixels[None], (height, width), mode=step.filter, align_corners=False, antialias=not step.aliased
    )[0]


def _crop(pixels: Pixels, step: CenterCrop) -> Pixels:
    height, width = _size(pixels)
    top, left = _offset(height, step.height, step.floor), _offset(width, step.width, step.floor)
    bottom, right = top + step.height, left + step.width
    if isinstance(pixels, Image.Image):
        return pixels.crop((left, top, right, bottom))  # outside the image Pillow gives black
    pad = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
    padded = functional.pad(pixels, pad)
    top, left = max(top, 0), max(left, 0)
    return padded[:, top : top + step.height, left : left + step.width]


def _offset(length: int, wanted: int, floor: bool) -> int:
    """Return where a crop of ``wanted`` pixels begins on a side of ``length``; negative where it must be padded."""
    if wanted > length:
        return -((wanted - length) // 2)
    margin = length - wanted
    return margin // 2 if floor else round(margin / 2)
