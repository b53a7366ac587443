"""Other ways to compute the same: what compilers, converters and careful people do to an encoder.

Each function changes an encoder, a copy made for it, so that in exact arithmetic nothing changes. B batch, T tokens,
D width, H heads, E = D / H.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from faults.computing import Turn, attention
from faults.edits import Edit, down, up
from faults.places import blocks, linears, norms, put, set_forward
from snellen.encoders.build import Encoder
from snellen.encoders.config import ViTConfig


def scale_folded(encoder: Encoder) -> None:
    """Fold LayerScale into the map before it."""
    for block in blocks(encoder):
        if isinstance(encoder.config, ViTConfig):
            pairs = ((block.attention.out, block.scale1.factor), (down(block), block.scale2.factor))
        else:
            pairs = ((block.down, block.scale),)
        for linear, factor in pairs:
            put(linear.weight, linear.weight * factor[:, None])
            put(linear.bias, linear.bias * factor)
            put(factor, torch.ones_like(factor))


def norm_folded(encoder: Encoder) -> None:
    """Fold each norm's weight and bias into the map after it."""
    for block in blocks(encoder):
        for norm, linear in ((block.norm1, block.attention.qkv), (block.norm2, up(block))):
            if linear.bias is not None:
                put(linear.bias, linear.bias + linear.weight @ norm.bias)
                put(norm.bias, torch.zeros_like(norm.bias))
            put(linear.weight, linear.weight * norm.weight)
            put(norm.weight, torch.ones_like(norm.weight))


def value_bias_folded(encoder: Encoder) -> None:
    """Move the values' bias behind the attention: each row of its weights adds up to one."""
    for block in blocks(encoder):
        value, out = block.attention.qkv.bias.chunk(3)[2], block.attention.out
        put(out.bias, out.bias + out.weight @ value)
        put(value, torch.zeros_like(value))


def key_bias_dropped(encoder: Encoder) -> None:
    """Leave the keys' bias out: without a rotation it adds the same to every logit of a row."""
    for block in blocks(encoder):
        key = block.attention.qkv.bias.chunk(3)[1]
        put(key, torch.zeros_like(key))


def query_weights_scaled(encoder: Encoder) -> None:
    """Scale the queries' weights instead of the logits."""
    scale = encoder.config.head_width**-0.5
    for block in blocks(encoder):
        for parameter in block.attention.qkv.parameters():
            put(parameter, torch.cat([parameter.chunk(3)[0] * scale, *parameter.chunk(3)[1:]]))
        set_forward(block.attention, attention(mix=_unscaled))


def _unscaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).softmax(-1) @ v


def attention_explicit(encoder: Encoder) -> None:
    """Write the attention out: logits, softmax, product."""
    for block in blocks(encoder):
        set_forward(block.attention, attention(mix=_explicit))


def _explicit(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v


def queries_scaled(encoder: Encoder) -> None:
    """Scale queries and keys by the fourth root each."""
    for block in blocks(encoder):
        set_forward(block.attention, attention(mix=_both_scaled))


def _both_scaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    root = q.shape[-1] ** -0.25
    return ((q * root) @ (k * root).mT).softmax(-1) @ v


def attention_online(encoder: Encoder) -> None:
    """Take the keys in pieces of eight and correct the softmax as they come."""
    for block in blocks(encoder):
        set_forward(block.attention, attention(mix=_online))


def _online(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    top = q.new_full((*q.shape[:-1], 1), -torch.inf)
    total, mixed = torch.zeros_like(top), torch.zeros_like(q)
    for keys, values in zip(k.split(8, 2), v.split(8, 2), strict=True):
        logits = q @ keys.mT * q.shape[-1] ** -0.5
        above = torch.maximum(top, logits.amax(-1, keepdim=True))
        weights, kept = torch.exp(logits - above), torch.exp(top - above)
        total, mixed, top = total * kept + weights.sum(-1, keepdim=True), mixed * kept + weights @ values, above
    return mixed / total


def heads_permuted(encoder: Encoder) -> None:
    """Put the heads in another order, everywhere."""
    heads = encoder.config.heads
    for block in blocks(encoder):
        for parameter in block.attention.qkv.parameters():
            put(parameter, parameter.unflatten(0, (3, heads, -1)).roll(1, dims=1).flatten(0, 2))
        out = block.attention.out.weight
        put(out, out.unflatten(1, (heads, -1)).roll(1, dims=1).flatten(1))


def hidden_permuted(encoder: Encoder) -> None:
    """Put the hidden units of every MLP in another order."""
    for block in blocks(encoder):
        first, last = up(block), down(block)
        joined = first.out_features // last.in_features  # two where gate and value are one matrix
        for parameter in first.parameters():
            put(parameter, parameter.unflatten(0, (joined, -1)).flip(1).flatten(0, 1))
        put(last.weight, last.weight.flip(1))


def matmuls_chunked(encoder: Encoder) -> None:
    """Add up each linear map's products in pieces of 32."""

    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        total = sum(a @ w.mT for a, w in zip(x.split(32, -1), self.weight.split(32, -1), strict=True))
        return total if self.bias is None else total + self.bias

    for linear in linears(encoder):
        set_forward(linear, forward)


def matmuls_reversed(encoder: Encoder) -> None:
    """Add up each linear map's products from the last to the first."""

    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        return nn.functional.linear(x.flip(-1), self.weight.flip(-1), self.bias)

    for linear in linears(encoder):
        set_forward(linear, forward)


def and_chunked(edit: Edit) -> Edit:
    """Do something that leaves every bit as it is, and add products in pieces, to be another run than the reference."""

    def both(encoder: Encoder) -> None:
        matmuls_chunked(encoder)
        edit(encoder)

    return both


def convolutions_as_matmuls(encoder: Encoder) -> None:
    """Cut the patches out and multiply them."""

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        side = self.kernel_size[0]
        cut = nn.functional.unfold(x, side, stride=side).mT @ self.weight.flatten(1).mT + self.bias
        return cut.mT.unflatten(2, (x.shape[2] // side, x.shape[3] // side))

    for convolution in (m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.groups == 1):
        set_forward(convolution, forward)


def channels_last(encoder: Encoder) -> None:
    """Keep the channels of images innermost in memory."""

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        weight = self.weight.contiguous(memory_format=torch.channels_last)
        return self._conv_forward(x, weight, self.bias)

    for convolution in (m for m in encoder.modules() if isinstance(m, nn.Conv2d)):
        set_forward(convolution, forward)


def gelu_written_out(encoder: Encoder) -> None:
    """Write the GELU as x times half of one plus the error function."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y * 0.5 * (1 + torch.erf(y / math.sqrt(2))))

    for block in blocks(encoder):
        set_forward(block.mlp, forward)


def silu_written_out(encoder: Encoder) -> None:
    """Write the SiLU as x over one plus the exponential."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        gate, value = self.gate_value(x).chunk(2, dim=-1)
        return self.out(gate / (1 + torch.exp(-gate)) * value)

    for block in blocks(encoder):
        set_forward(block.mlp, forward)


def norms_by_hand(encoder: Encoder) -> None:
    """Write the LayerNorm as mean, variance, root."""

    def forward(self: nn.LayerNorm, x: Tensor) -> Tensor:
        wide = x - x.mean(-1, keepdim=True)
        return wide / torch.sqrt(wide.square().mean(-1, keepdim=True) + self.eps) * self.weight + self.bias

    for norm in norms(encoder):
        if type(norm) is nn.LayerNorm:
            set_forward(norm, forward)


def root_mean_by_hand(encoder: Encoder) -> None:
    """Divide by the root of the mean square, the weight first."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        return x * self.weight / torch.sqrt((x * x).sum(-1, keepdim=True) / x.shape[-1] + self.eps)

    for norm in norms(encoder):
        set_forward(norm, forward)


def rotation_complex(encoder: Encoder) -> None:
    """Rotate by multiplying complex numbers."""

    def turner(x: Tensor, turn: Turn) -> Tensor:
        half = x.shape[-1] // 2
        by = torch.complex(turn[0][:, :half].contiguous(), turn[1][:, :half].contiguous())
        turned = torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous()) * by
        return torch.cat([turned.real, turned.imag], -1)

    for block in blocks(encoder):
        set_forward(block.attention, attention(turner))


def qkv_apart(encoder: Encoder) -> None:
    """Multiply queries, keys and values one after another, each in two halves."""

    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        biases = (None,) * 3 if self.bias is None else self.bias.chunk(3)
        parts = zip(self.weight.chunk(3), biases, strict=True)
        return torch.cat([_in_halves(x, w, b) for w, b in parts], -1)

    for block in blocks(encoder):
        set_forward(block.attention.qkv, forward)


def _in_halves(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    (x1, x2), (w1, w2) = x.chunk(2, -1), weight.chunk(2, -1)
    return nn.functional.linear(x1, w1, bias) + x2 @ w2.mT


def items_one_by_one(encoder: Encoder) -> None:
    """Run every block on one item of the batch at a time."""

    def forward(self: nn.Module, x: Tensor, *rest: Any) -> Tensor:
        return torch.cat([type(self).forward(self, item, *rest) for item in x.split(1)])

    for block in blocks(encoder):
        set_forward(block, forward)
