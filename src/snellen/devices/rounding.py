"""What a matrix unit does to its operands: keep fewer bits of each float32 number.

The classes are ordered from the most exact to the least. tf32 (NVIDIA) and hf32 (Ascend) keep the range of float32 and
10 explicit bits of the mantissa, float16 the same bits in a smaller range, bfloat16 the range and 7 bits.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from snellen.records.precision import BITS, PRECISIONS, Precision

__all__ = ["BITS", "PRECISIONS", "How", "Precision", "lower"]

How = Literal["nearest", "truncate"]


def lower(x: Tensor, precision: Precision, how: How = "nearest") -> Tensor:
    """Round float32 numbers to a class and return them as float32: to nearest, ties to even, or towards zero.

    NaN and infinity stay what they are; what is too large for float16 becomes infinite when rounded to nearest, as in
    the hardware's own conversion.
    """
    if precision == "float32":
        return x
    if how == "nearest" and precision == "float16":
        return x.half().float()
    if how == "nearest" and precision == "bfloat16":
        return x.bfloat16().float()
    cut = _cut(x, 24 - BITS[precision], how)
    return _into_half(x, cut) if precision == "float16" else cut


def _cut(x: Tensor, dropped: int, how: How) -> Tensor:
    """Drop the last ``dropped`` bits of the mantissa, in integer arithmetic."""
    bits = x.contiguous().view(torch.int32)
    if how == "nearest":
        bits = bits + ((1 << (dropped - 1)) - 1) + ((bits >> dropped) & 1)
    kept = (bits & -(1 << dropped)).view(torch.float32)
    return torch.where(x.isfinite(), kept, x)


def _into_half(x: Tensor, cut: Tensor) -> Tensor:
    """Put numbers that were cut to float16's bits into its range, towards zero: subnormal steps, largest number."""
    step = 2.0**-24
    small = torch.where(x.abs() < 2.0**-14, torch.trunc(x / step) * step, cut)
    return torch.where(x.isfinite(), small.clamp(-65504.0, 65504.0), x)
