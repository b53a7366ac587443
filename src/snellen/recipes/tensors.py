"""What of a recipe is torch's: the resize of numbers, and bringing 8-bit pixels to the encoder's range on a device."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from snellen.recipes.steps import Resize, Triple

if TYPE_CHECKING:
    from numpy.typing import NDArray


def resize(
    pixels: NDArray[Any], step: Resize, height: int, width: int, covered: tuple[float, float] | None = None
) -> NDArray[Any]:
    """Resize [3,h,w] of uint8 or float32; the dtype stays.

    ``covered``: how much of (h, w) is taken, from the left and the top; nearly all of it.
    """
    old = pixels.shape[-2:]
    size: tuple[int, int] | None = (height, width)
    scales = None
    if covered is not None and covered != old:
        # torch rounds side x scale down to get the new side: by a hair more it cannot miss it.
        size, scales = None, tuple(new / side * (1 + 1e-9) for new, side in zip((height, width), covered, strict=True))
    made = functional.interpolate(
        torch.from_numpy(pixels)[None],
        size,
        scale_factor=scales,
        mode=step.filter,
        align_corners=False,
        antialias=not step.aliased,
    )
    array: NDArray[Any] = made[0].numpy()
    return array


def normalise(pixels: torch.Tensor, mean: Triple | None, std: Triple | None) -> torch.Tensor:
    """Turn uint8 [...,3,h,w] into float32 on the same device: divide by 255, subtract ``mean``, divide by ``std``."""
    whole = _constant((255.0,), pixels.device)  # by a number of Python's a GPU multiplies with the reciprocal
    scaled = pixels.to(torch.float32).div(whole)
    if mean is None or std is None:
        return scaled
    means, stds = (_constant(three, pixels.device) for three in (mean, std))
    return scaled.sub_(means[:, None, None]).div_(stds[:, None, None])


@lru_cache(maxsize=64)
def _constant(numbers: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return numbers on a device, where they stay: copying them for each batch would wait for the one before."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=torch.float32, device=device)
