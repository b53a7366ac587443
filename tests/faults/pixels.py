"""Faults of preprocessing: what happens to pixels [B, 3, h, w] before the encoder sees them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def normalised_twice(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    """Subtract the mean and divide by the deviation once more."""
    return lambda x: (x - _column(mean, x)) / _column(std, x)


def range_off(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    """Divide 8-bit numbers by 256 instead of 255."""

    def before(x: Tensor) -> Tensor:
        unit = x * _column(std, x) + _column(mean, x)
        return (unit * (255 / 256) - _column(mean, x)) / _column(std, x)

    return before


def pixels_rounded(x: Tensor) -> Tensor:
    """Round the pixels to bfloat16."""
    return x.bfloat16().to(x.dtype)


def pixels_mirrored(x: Tensor) -> Tensor:
    """Mirror the picture."""
    return x.flip(3)


def pixels_shifted(x: Tensor) -> Tensor:
    """Move the picture by one pixel, as a crop that rounds the other way does."""
    return x.roll(1, dims=3)


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype).view(1, 3, 1, 1)
