"""Faults of computation: another forward stands in for a module's own.

B batch, T tokens, D width, H heads, E = D / H.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from faults.places import blocks, linears, middle, set_forward, set_method
from snellen.encoders.build import Encoder
from snellen.encoders.config import ViTConfig
from snellen.encoders.position import rotate, rotation

Turn = tuple[Tensor, Tensor]
Mix = Callable[[Tensor, Tensor, Tensor], Tensor]


def attention(turner: Callable[[Tensor, Turn], Tensor] = rotate, mix: Mix = scaled_dot_product_attention) -> Any:
    """Return an attention that turns queries and keys, and mixes values, in another way."""

    def forward(self: nn.Module, x: Tensor, turn: Turn | None) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, E]
        if turn is not None:
            q, k = turner(q, turn), turner(k, turn)
        return self.out(mix(q, k, v).transpose(1, 2).flatten(2))

    return forward


def scale_of_width(encoder: Encoder) -> None:
    """Divide the logits by the root of the whole width instead of the head's, in every block."""
    mix = partial(scaled_dot_product_attention, scale=encoder.config.width**-0.5)
    for block in blocks(encoder):
        set_forward(block.attention, attention(mix=mix))


def scale_five_percent(encoder: Encoder) -> None:
    """Scale the middle block's logits 5 % too much."""
    mix = partial(scaled_dot_product_attention, scale=1.05 * encoder.config.head_width**-0.5)
    set_forward(middle(encoder).attention, attention(mix=mix))


def causal(encoder: Encoder) -> None:
    """Let no token of the middle block see the ones after it."""
    set_forward(middle(encoder).attention, attention(mix=partial(scaled_dot_product_attention, is_causal=True)))


def last_token_hidden(encoder: Encoder) -> None:
    """Let the middle block's queries not see the last token, as a mask that is one too short does."""

    def mix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, k[:, :, :-1], v[:, :, :-1])

    set_forward(middle(encoder).attention, attention(mix=mix))


def padded_token_seen(encoder: Encoder) -> None:
    """Let every block see one token of zeros more, as padding without a mask is."""

    def mix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, *(torch.cat([t, torch.zeros_like(t[:, :, :1])], 2) for t in (k, v)))

    for block in blocks(encoder):
        set_forward(block.attention, attention(mix=mix))


def interleaved(x: Tensor, turn: Turn) -> Tensor:
    """Rotate neighbouring elements instead of halves."""
    cos, sin = (t[..., : x.shape[-1] // 2].repeat_interleave(2, -1) for t in turn)
    even, odd = x[..., ::2], x[..., 1::2]
    return (x * cos + torch.stack([-odd, even], -1).flatten(-2) * sin).to(x.dtype)


def rotation_interleaved(encoder: Encoder) -> None:
    for block in blocks(encoder):
        set_forward(block.attention, attention(interleaved))


def rotation_reversed(encoder: Encoder) -> None:
    """Turn the middle block's queries and keys the other way round."""

    def turner(x: Tensor, turn: Turn) -> Tensor:
        return rotate(x, (turn[0], -turn[1]))

    set_forward(middle(encoder).attention, attention(turner))


def keys_not_turned(encoder: Encoder) -> None:
    """Turn the middle block's queries only."""

    def forward(self: nn.Module, x: Tensor, turn: Turn) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(scaled_dot_product_attention(rotate(q, turn), k, v).transpose(1, 2).flatten(2))

    set_forward(middle(encoder).attention, forward)


def registers_turned(encoder: Encoder) -> None:
    """Give the prefix tokens the angle of the first patch."""

    def turn(self: nn.Module, grid: tuple[int, int], x: Tensor) -> Turn:
        prefix = self.config.prefix
        dtype = torch.promote_types(x.dtype, torch.float32)
        turned = rotation(grid, prefix, self.config.head_width, False, dtype, x.device)
        cos, sin = (torch.cat([t[prefix : prefix + 1].expand(prefix, -1), t[prefix:]]) for t in turned)
        return cos, sin

    set_method(encoder, "turn", turn)


def axes_swapped(encoder: Encoder) -> None:
    """Take x for y in the rotary angles."""

    def turn(self: nn.Module, grid: tuple[int, int], x: Tensor) -> Turn:
        dtype = torch.promote_types(x.dtype, torch.float32)
        cos, sin = rotation(grid, self.config.prefix, self.config.head_width, False, dtype, x.device)
        quarter = cos.shape[-1] // 4
        order = torch.arange(4 * quarter).unflatten(0, (4, quarter))[[1, 0, 3, 2]].flatten()
        return cos[:, order], sin[:, order]

    set_method(encoder, "turn", turn)


def quick_gelu(encoder: Encoder) -> None:
    """Approximate the middle block's GELU by a sigmoid."""
    _activation(encoder, lambda x: x * torch.sigmoid(1.702 * x))


def tanh_gelu_convnext(encoder: Encoder) -> None:
    """Approximate the GELU of a ConvNeXt's middle block."""
    _activation(encoder, partial(gelu, approximate="tanh"))


def gelu_for_silu(encoder: Encoder) -> None:
    """Take a GELU for the SiLU of the middle block's gate."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        gate, value = self.gate_value(x).chunk(2, dim=-1)
        return self.out(gelu(gate) * value)

    set_forward(middle(encoder).mlp, forward)


def _activation(encoder: Encoder, activation: Callable[[Tensor], Tensor]) -> None:
    block = middle(encoder)
    if isinstance(encoder.config, ViTConfig):
        set_forward(block.mlp, lambda self, x: self.down(activation(self.up(x))))
        return

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        y = self.norm(self.mix(x).permute(0, 2, 3, 1))
        return x + (self.down(activation(self.up(y))) * self.scale).permute(0, 3, 1, 2)

    set_forward(block, forward)


def lowered(module: nn.Module, dtype: torch.dtype) -> None:
    """Let a module compute in another dtype, its parameters rounded too, and hand back the one it was given."""

    def forward(self: nn.Module, x: Tensor, *rest: Any) -> Tensor:
        inner = deepcopy(self)
        del inner.forward
        return inner.to(dtype)(x.to(dtype), *rest).to(x.dtype)

    set_forward(module, forward)


def block_bfloat16(encoder: Encoder) -> None:
    lowered(middle(encoder), torch.bfloat16)


def mlp_bfloat16(encoder: Encoder) -> None:
    """Compute the middle block's MLP, its second linear map only, in bfloat16."""
    lowered(list(linears(middle(encoder)))[-1], torch.bfloat16)


def norm_bfloat16(encoder: Encoder) -> None:
    """Compute the last norm in bfloat16."""
    lowered(encoder.norm, torch.bfloat16)


def attention_float16(encoder: Encoder) -> None:
    """Mix the middle block's values in float16."""

    def mix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        given, (q, k, v) = q.dtype, (q.half(), k.half(), v.half())
        logits = (q.float() @ k.float().mT * q.shape[-1] ** -0.5).half()
        return (logits.float().softmax(-1).half().float() @ v.float()).half().to(given)

    set_forward(middle(encoder).attention, attention(mix=mix))


def accumulation_float16(encoder: Encoder) -> None:
    """Add up the products of every linear map of the middle block in float16, 16 products at a time."""

    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float16)
        for a, w in zip(x.split(16, -1), self.weight.split(16, -1), strict=True):
            total = (total + (a @ w.mT).half()).half()
        wide = total.to(x.dtype)
        return wide if self.bias is None else wide + self.bias

    for linear in linears(middle(encoder)):
        set_forward(linear, forward)


def last_block_skipped(encoder: Encoder) -> None:
    set_forward(blocks(encoder)[-1], lambda self, x, *rest: x)


def residual_dropped(encoder: Encoder) -> None:
    """Leave out what came into the MLP of the middle block."""

    def forward(self: nn.Module, x: Tensor, turn: Turn | None) -> Tensor:
        x = x + self.scale1(self.attention(self.norm1(x), turn))
        return self.scale2(self.mlp(self.norm2(x)))

    set_forward(middle(encoder), forward)


def final_norm_skipped(encoder: Encoder) -> None:
    set_forward(encoder.norm, lambda self, x: x)


def patch_norm_skipped(encoder: Encoder) -> None:
    set_forward(encoder.patch_norm, lambda self, x: x)


def unbiased_variance(encoder: Encoder) -> None:
    """Divide the first norm's variance in the middle block by D - 1."""

    def forward(self: nn.LayerNorm, x: Tensor) -> Tensor:
        wide = x - x.mean(-1, keepdim=True)
        return wide * torch.rsqrt(x.var(-1, keepdim=True) + self.eps) * self.weight + self.bias

    set_forward(middle(encoder).norm1, forward)


def pool_all_tokens(encoder: Encoder) -> None:
    """Average over the prefix tokens too."""
    set_method(encoder, "pool", lambda self, x: x.mean(1))


def pool_patches(encoder: Encoder) -> None:
    """Average over the patches where the class token was asked for."""
    set_method(encoder, "pool", lambda self, x: x[:, self.config.prefix :].mean(1))


def pool_class(encoder: Encoder) -> None:
    """Take the class token where the patches' mean, or the tanh layer, was asked for."""
    set_method(encoder, "pool", lambda self, x: x[:, 0])


def patches_by_column(encoder: Encoder) -> None:
    """Lay the patches out column by column."""

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        y = nn.Conv2d.forward(self, x)
        return y.mT.reshape(y.shape)

    set_forward(encoder.patch, forward)


def depthwise_padding(encoder: Encoder) -> None:
    """Repeat the border instead of padding with zeros, in a ConvNeXt's middle block."""
    convolution = middle(encoder).mix
    convolution.padding_mode = "replicate"
    convolution._reversed_padding_repeated_twice = [3, 3, 3, 3]


def map_shifted(encoder: Encoder) -> None:
    """Move what a ConvNeXt's middle block mixes one place to the right."""

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, x).roll(1, dims=3)

    set_forward(middle(encoder).mix, forward)


def pool_map(encoder: Encoder) -> None:
    """Average a ConvNeXt's normed map where the average itself is normed."""
    encoder.config = replace(encoder.config, pool="patch_mean")
