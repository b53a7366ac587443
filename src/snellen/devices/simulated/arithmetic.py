"""Matrix products and convolutions as a matrix unit computes them: operands of fewer bits, sums in another order.

Sums are float32 whatever the operands are. They run over pieces of the summed axis, one after another, so that even
float32 results differ from the CPU's by rounding, as any hardware's do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from snellen.devices.rounding import Precision, lower
from snellen.devices.simulated.machine import MACHINE

Unit = Literal["matmul", "convolution"]

PIECE = 128  # terms of a sum that are added up at once
NARROW_PIECE = 16  # the same where partial sums are float16


@dataclass(frozen=True, slots=True)
class Rounding:
    """What happens to operands, partial sums and results of one operator."""

    operands: Precision = "float32"
    result: Precision = "float32"
    sums: Precision = "float32"


def rounding(unit: Unit) -> Rounding:
    """Return how a unit computes now: as the settings fix it, or as the switches are set at the launch."""
    fixed = MACHINE.settings.arithmetic
    if fixed is not None:
        return Rounding(fixed)
    if MACHINE.options["ACL_PRECISION_MODE"] == "allow_fp32_to_fp16":
        return Rounding("float16", "float16")
    switch = "ALLOW_CONV_HF32" if unit == "convolution" else "ALLOW_MATMUL_HF32"
    return Rounding("hf32" if MACHINE.options[switch] == "enable" else "float32")


def product(a: Tensor, b: Tensor, how: Rounding) -> Tensor:
    """Multiply [..., m, k] by [..., k, n], both matrices or both batches of them; float32."""
    a, b = _operand(a, how), _operand(b, how)
    terms = a.shape[-1]
    piece = NARROW_PIECE if how.sums != "float32" else min(PIECE, max(1, -(-terms // 2)))
    total = torch.matmul(a[..., :piece], b[..., :piece, :])
    for start in range(piece, terms, piece):
        total = lower(total, how.sums)
        stop = start + piece
        if total.ndim == 2:
            total.addmm_(a[:, start:stop], b[start:stop])
        else:
            total.baddbmm_(a[:, :, start:stop], b[:, start:stop])
    return lower(total, how.sums)


def mm(how: Rounding, a: Tensor, b: Tensor) -> Tensor:
    """Compute aten::mm and aten::bmm."""
    return _result(product(a, b, how), a.dtype, how)


def addmm(how: Rounding, bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Compute aten::addmm and aten::baddbmm."""
    total = product(a, b, how)
    if alpha != 1:
        total = total * alpha
    if beta != 0:
        total = total.add_(bias.float(), alpha=beta)
    return _result(total, a.dtype, how)


def mv(how: Rounding, a: Tensor, b: Tensor) -> Tensor:
    """Compute aten::mv."""
    return mm(how, a, b[:, None])[:, 0]


def dot(how: Rounding, a: Tensor, b: Tensor) -> Tensor:
    """Compute aten::dot."""
    return mm(how, a[None], b[:, None])[0, 0]


def attention(  # noqa: PLR0913 # torch's own signature
    how: Rounding,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute aten::scaled_dot_product_attention, [..., T, E] -> [..., T, V]: two products, a softmax between them."""
    if dropout:
        raise NotImplementedError("the simulated npu does not train: attention with dropout")
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    batch = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (x.expand(*batch, *x.shape[-2:]) for x in (q, k, v))
    flat = [x.reshape(-1, *x.shape[-2:]) for x in (q, k, v)]
    scores = product(flat[0], flat[1].transpose(1, 2), how)
    scores = lower(scores.mul_(1 / math.sqrt(q.shape[-1]) if scale is None else scale), how.result)
    scores = _masked(scores.unflatten(0, batch or (1,)), mask, causal)
    weights = torch.softmax(scores, -1).flatten(0, -3)
    mixed = product(_narrowed(weights, q.dtype), flat[2], how)
    return _result(mixed.reshape(*batch, *mixed.shape[-2:]), q.dtype, how)


def convolution(  # noqa: PLR0913 # torch's own signature
    how: Rounding,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """Compute aten::convolution, the sums over the kernel's upper and lower rows apart."""
    wide, kernel = _operand(x, how), _operand(weight, how)
    if transposed:
        total = torch.convolution(wide, kernel, None, stride, padding, dilation, True, output_padding, groups)
    else:
        total = _in_two(wide, kernel, [stride, padding, dilation], groups, how)
    if bias is not None:
        total = total + bias.float().view(-1, *[1] * (total.ndim - 2))
    return _result(total, x.dtype, how)


def _in_two(x: Tensor, kernel: Tensor, geometry: list[Sequence[int]], groups: int, how: Rounding) -> Tensor:
    """Convolve with two halves of the kernel: of its rows, or of its channels where it has one row."""
    stride, padding, dilation = geometry
    step, spread, zero = stride[0], dilation[0], [0] * len(padding)

    def part(piece: Tensor, weight: Tensor) -> Tensor:
        out = torch.convolution(piece, weight, None, stride, zero, dilation, False, zero, groups)
        return lower(out, how.sums)

    x = pad(x, [side for width in reversed(padding) for side in (width, width)])
    rows, channels = kernel.shape[2], kernel.shape[1]
    if rows > 1:
        half = -(-rows // 2)
        last = (x.shape[2] - (rows - 1) * spread - 1) // step * step  # where the last row of results begins
        upper = part(x[:, :, : last + (half - 1) * spread + 1], kernel[:, :, :half])
        lower_part = part(x[:, :, half * spread : last + (rows - 1) * spread + 1], kernel[:, :, half:])
    elif groups == 1 and channels > 1:
        half = -(-channels // 2)
        upper, lower_part = part(x[:, :half], kernel[:, :half]), part(x[:, half:], kernel[:, half:])
    else:
        return part(x, kernel)
    return lower(upper.add_(lower_part), how.sums)


def _operand(x: Tensor, how: Rounding) -> Tensor:
    """Bring an operand to the unit: float32 numbers of no more bits than it takes."""
    return lower(x.float(), how.operands)


def _result(total: Tensor, dtype: torch.dtype, how: Rounding) -> Tensor:
    return lower(total, how.result).to(dtype)


def _narrowed(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Round attention weights to the model's dtype, in which a fused kernel hands them to its second product."""
    return weights.to(dtype) if dtype in (torch.float16, torch.bfloat16) else weights


def _masked(scores: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device="cpu").tril()
    if mask is None:
        return scores
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, -math.inf)
    return scores + mask.float()


UNITS: dict[str, tuple[Unit, Callable[..., Tensor]]] = {
    "aten::mm": ("matmul", mm),
    "aten::bmm": ("matmul", mm),
    "aten::mv": ("matmul", mv),
    "aten::dot": ("matmul", dot),
    "aten::addmm": ("matmul", addmm),
    "aten::baddbmm": ("matmul", addmm),
    "aten::scaled_dot_product_attention": ("matmul", attention),
    "aten::convolution": ("convolution", convolution),
}
"""The operators that a matrix unit computes, by torch's name."""


def unit_of(name: str) -> tuple[Unit | None, Callable[..., Tensor]]:
    """Return what computes an operator, in place or not; no unit where torch's own operator does."""
    return UNITS.get(name.removesuffix("_"), (None, _no_kernel))


def _no_kernel(*_: object) -> Tensor:
    raise NotImplementedError
