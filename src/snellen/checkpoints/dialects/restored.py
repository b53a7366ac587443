"""Tensors the encoders have no use for, made anew when a dialect is written whose own loader insists on them."""

from __future__ import annotations

import torch
from torch import Tensor

from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.encoders.position import periods


def same(beside: Tensor, config: EncoderConfig) -> Tensor:
    """Return the tensor that stands beside it, once more."""
    return beside


def zeros_row(beside: Tensor, config: EncoderConfig) -> Tensor:
    """Return zeros [1, D] for a class token [1, 1, D]."""
    return torch.zeros_like(beside[0])


def no_rows(beside: Tensor, config: EncoderConfig) -> Tensor:
    """Return an empty table [1, 0, D] for a class token [1, 1, D]."""
    return torch.zeros_like(beside[:, :0])


def zeros(beside: Tensor, config: EncoderConfig) -> Tensor:
    """Return zeros of the same shape."""
    return torch.zeros_like(beside)


def ones(beside: Tensor, config: EncoderConfig) -> Tensor:
    """Return ones of the same shape."""
    return torch.ones_like(beside)


def rounded_periods(beside: Tensor, config: EncoderConfig) -> Tensor:
    """Return the rotary periods [E / 4] in bfloat16, as the original files store them."""
    assert isinstance(config, ViTConfig)  # only rotary transformers have periods
    return periods(config.head_width, rounded=True).bfloat16().to(beside.device)


def no_classes(beside: Tensor, config: EncoderConfig) -> Tensor:
    """Return the kernel [D, 0] of a classifier without classes, beside the final norm's weight [D]."""
    return beside.new_zeros(*beside.shape, 0)


def no_class_biases(beside: Tensor, config: EncoderConfig) -> Tensor:
    """Return the bias [0] of a classifier without classes."""
    return beside.new_zeros(0)
