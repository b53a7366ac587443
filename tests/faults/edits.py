"""Faults of parameters and settings: each function changes an encoder, a copy made for it, in one way.

D width, H heads, E = D / H, F hidden width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from faults.places import blocks, linears, middle, middle_index, norms, put
from snellen.checkpoints.seeded import draw
from snellen.encoders.build import Encoder
from snellen.encoders.config import ViTConfig

Edit = Callable[[Encoder], object]
ROW, COLUMN = 7, 11  # of the one weight, or the one row, that is changed


def up(block: nn.Module) -> nn.Linear:
    """Return the first linear map of a block's MLP."""
    inner = getattr(block, "mlp", block)
    return inner.gate_value if hasattr(inner, "gate_value") else inner.up


def down(block: nn.Module) -> nn.Linear:
    """Return the last linear map of a block's MLP."""
    inner = getattr(block, "mlp", block)
    return inner.out if hasattr(inner, "gate_value") else inner.down


def patch(encoder: Encoder) -> nn.Conv2d:
    """Return the convolution that sees the pixels."""
    return encoder.patch if isinstance(encoder.config, ViTConfig) else encoder.body[0].down[0]


def tanh_gelu(encoder: Encoder, where: list[nn.Module] | None = None) -> None:
    """Approximate the GELU in the blocks named (all)."""
    for block in where or blocks(encoder):
        block.mlp.approximate = "tanh"


def tanh_gelu_once(encoder: Encoder) -> None:
    tanh_gelu(encoder, [middle(encoder)])


def eps_everywhere(encoder: Encoder) -> None:
    """Take another family's eps: 1e-5 where it is small, 1e-6 where it is 1e-5."""
    for norm in norms(encoder):
        norm.eps = 1e-6 if norm.eps > 5e-6 else 1e-5


def eps_once(encoder: Encoder) -> None:
    for norm in norms(middle(encoder)):
        norm.eps = 1e-6 if norm.eps > 5e-6 else 1e-5


def eps_1e_6(encoder: Encoder) -> None:
    """Take 1e-6 where the family has 1e-12."""
    for norm in norms(encoder):
        norm.eps = 1e-6


def positions_shifted(encoder: Encoder) -> None:
    """Read the position table one row off."""
    put(encoder.position, encoder.position.roll(1, dims=1))


def positions_resized_otherwise(encoder: Encoder) -> None:
    """Resize the table without antialiasing, or with it where there should be none."""
    other = "bicubic_antialias" if encoder.config.resize == "bicubic" else "bicubic"
    encoder.config = replace(encoder.config, resize=other)


def positions_transposed(encoder: Encoder) -> None:
    """Read the table column by column."""
    first, side = int(encoder.config.class_token), encoder.config.grid
    table = encoder.position[:, first:].unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)
    put(encoder.position, torch.cat([encoder.position[:, :first], table], dim=1))


def class_without_position(encoder: Encoder) -> None:
    put(encoder.position[:, :1], torch.zeros_like(encoder.position[:, :1]))


def head_zeroed(encoder: Encoder) -> None:
    """Let one head of the middle block say nothing."""
    out = middle(encoder).attention.out.weight
    width = encoder.config.head_width
    put(out[:, width : 2 * width], torch.zeros_like(out[:, width : 2 * width]))


def heads_swapped(encoder: Encoder) -> None:
    """Put two heads' outputs in each other's place."""
    out, width = middle(encoder).attention.out.weight, encoder.config.head_width
    put(out, torch.cat([out[:, width : 2 * width], out[:, :width], out[:, 2 * width :]], dim=1))


def weight_scaled(encoder: Encoder, factor: float = 1.5) -> None:
    """Multiply one weight of the middle block's MLP."""
    weight = up(middle(encoder)).weight
    put(weight[ROW, COLUMN], weight[ROW, COLUMN] * factor)


def weight_times(factor: float) -> Edit:
    """Multiply one weight of the middle block's MLP by a factor of choice."""
    return lambda encoder: weight_scaled(encoder, factor)


def attention_weight_scaled(encoder: Encoder) -> None:
    """Multiply one weight of the middle block's values."""
    weight = middle(encoder).attention.qkv.weight
    row = 2 * encoder.config.width + ROW
    put(weight[row, COLUMN], weight[row, COLUMN] * 1.5)


def channel_scaled(encoder: Encoder) -> None:
    """Change one channel of one weight by a tenth."""
    weight = down(middle(encoder)).weight
    put(weight[ROW], weight[ROW] * 1.1)


def row_negated(encoder: Encoder) -> None:
    weight = up(middle(encoder)).weight
    put(weight[ROW], -weight[ROW])


def convolution_channel_zeroed(encoder: Encoder) -> None:
    put(patch(encoder).weight[ROW], torch.zeros_like(patch(encoder).weight[ROW]))


def patch_bias_dropped(encoder: Encoder) -> None:
    put(patch(encoder).bias, torch.zeros_like(patch(encoder).bias))


def layer_scale_skipped(encoder: Encoder) -> None:
    """Leave one block's scale of the MLP out."""
    block = middle(encoder)
    factor = block.scale2.factor if isinstance(encoder.config, ViTConfig) else block.scale
    put(factor, torch.ones_like(factor))


def qkv_bias_dropped(encoder: Encoder) -> None:
    for block in blocks(encoder):
        put(block.attention.qkv.bias, torch.zeros_like(block.attention.qkv.bias))


def qkv_bias_dropped_once(encoder: Encoder) -> None:
    bias = middle(encoder).attention.qkv.bias
    put(bias, torch.zeros_like(bias))


def key_bias_added(encoder: Encoder) -> None:
    """Give the keys of one block the bias they must not have; behind a rotation it does not cancel in the softmax."""
    bias = middle(encoder).attention.qkv.bias.chunk(3)
    put(bias[1], bias[0])


def queries_and_keys_swapped(encoder: Encoder) -> None:
    for parameter in middle(encoder).attention.qkv.parameters():
        q, k, v = parameter.chunk(3)
        put(parameter, torch.cat([k, q, v]))


def mlp_bias_dropped(encoder: Encoder) -> None:
    bias = up(middle(encoder)).bias
    put(bias, torch.zeros_like(bias))


def norm_bias_dropped(encoder: Encoder) -> None:
    norm = next(norms(middle(encoder)))
    put(norm.bias, torch.zeros_like(norm.bias))


def norm_weight_squared(encoder: Encoder) -> None:
    """Apply one norm's weight twice."""
    norm = next(norms(middle(encoder)))
    put(norm.weight, norm.weight.square())


def norms_swapped(encoder: Encoder) -> None:
    block = middle(encoder)
    block.norm1, block.norm2 = block.norm2, block.norm1


def other_seed(encoder: Encoder) -> None:
    """Draw one layer's weights from another seed."""
    name = next(name for name, module in encoder.named_modules() if module is up(middle(encoder)))
    weight = up(middle(encoder)).weight
    put(weight, draw(4711, f"{name}.weight", tuple(weight.shape), encoder.config))


def weights_transposed(encoder: Encoder) -> None:
    out = middle(encoder).attention.out.weight
    put(out, out.T.clone())


def blocks_swapped(encoder: Encoder) -> None:
    """Run the middle block and the one after it in the wrong order."""
    i = middle_index(encoder)
    encoder.blocks[i], encoder.blocks[i + 1] = encoder.blocks[i + 1], encoder.blocks[i]


def colours_swapped(encoder: Encoder) -> None:
    """Take blue for red."""
    put(patch(encoder).weight, patch(encoder).weight.flip(1))


def gate_and_value_swapped(encoder: Encoder) -> None:
    for parameter in up(middle(encoder)).parameters():
        put(parameter, torch.cat(parameter.chunk(2)[::-1]))


def registers_permuted(encoder: Encoder) -> None:
    """Put the registers in another order; where none has a position, only their own outputs change."""
    put(encoder.registers, encoder.registers.roll(1, dims=1))


def register_for_class(encoder: Encoder) -> None:
    """Take the first register for the class token."""
    cls, first = encoder.cls.clone(), encoder.registers[:, :1].clone()
    put(encoder.cls, first)
    put(encoder.registers[:, :1], cls)


def once_bfloat16(encoder: Encoder) -> None:
    """Round every parameter to bfloat16 once, as a checkpoint saved so holds it."""
    for parameter in encoder.parameters():
        put(parameter, _through(parameter, torch.bfloat16))


def layer_once_float16(encoder: Encoder) -> None:
    """Round one layer's weights to float16 once."""
    weight = up(middle(encoder)).weight
    put(weight, _through(weight, torch.float16))


def layer_once_int8(encoder: Encoder) -> None:
    """Round one layer's weights to 8 bits, a scale for each row."""
    weight = down(middle(encoder)).weight
    scale = weight.abs().amax(1, keepdim=True) / 127
    put(weight, (weight / scale).round() * scale)


def _through(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).to(x.dtype)


def rope_rounded(encoder: Encoder) -> None:
    encoder.config = replace(encoder.config, rope_rounding=True)


def last_weight_scaled(encoder: Encoder) -> None:
    """Multiply one weight of the last block by 1.5: nothing comes after it that could enlarge the fault."""
    weight = list(linears(blocks(encoder)[-1]))[-1].weight
    put(weight[ROW, COLUMN], weight[ROW, COLUMN] * 1.5)
