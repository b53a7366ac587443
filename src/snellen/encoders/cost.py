"""What one image costs an encoder, counted from the configuration: operations, and bytes that are moved.

A multiply-add counts as two operations. Matrix products and convolutions are counted, attention among them; norms,
activations and additions, under one per cent, are not. Bytes are those of what enters and leaves each of the same
layers: at least these are moved, unless layers are made one; scores of attention, and what lies between a product and
the next, need not be.
"""

from __future__ import annotations

from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig


def operations(config: EncoderConfig, height: int, width: int) -> int:
    """Count the operations of one image of ``height`` x ``width`` pixels."""
    if isinstance(config, ViTConfig):
        return 2 * _vit(config, height, width)
    return 2 * _convnext(config, height, width)


def bytes_moved(config: EncoderConfig, height: int, width: int, item_bytes: int) -> int:
    """Count the bytes of activations in and out of every layer, for one image; weights are not among them.

    ``item_bytes``: of one number.
    """
    if isinstance(config, ViTConfig):
        return item_bytes * _vit_items(config, height, width)
    return item_bytes * _convnext_items(config, height, width)


def _vit(config: ViTConfig, height: int, width: int) -> int:
    tokens = config.tokens(height, width)
    patches = tokens - config.prefix
    matrices = 4 * config.width**2 + (3 if config.mlp == "swiglu" else 2) * config.width * config.hidden
    attention = 2 * tokens**2 * config.width
    stem = patches * 3 * config.patch**2 * config.width
    tail = config.pooler * config.width**2 + config.classes * config.width
    return stem + config.depth * (tokens * matrices + attention) + tail


def _convnext(config: ConvNeXtConfig, height: int, width: int) -> int:
    total, before, kernel = 0, 3, 4
    for stage, (depth, channels) in enumerate(zip(config.depths, config.widths, strict=True)):
        places = (height >> (2 + stage)) * (width >> (2 + stage))
        total += places * kernel**2 * before * channels
        total += depth * places * (49 * channels + 8 * channels**2)
        before, kernel = channels, 2
    return total


def _vit_items(config: ViTConfig, height: int, width: int) -> int:
    """Count numbers: q, k and v (1 in, 3 out), attention (3, 1), its output (1, 1), then the MLP up and down."""
    tokens = config.tokens(height, width)
    stem = 3 * height * width + (tokens - config.prefix) * config.width
    attention = (1 + 3) + (3 + 1) + (1 + 1)
    hidden = (2 if config.mlp == "swiglu" else 1) + 1  # a gate and a value go out of the first matrix, one comes in
    block = tokens * ((attention + 2) * config.width + hidden * config.hidden)
    tail = config.pooler * 2 * config.width + (config.width + config.classes if config.classes else 0)
    return stem + config.depth * block + tail


def _convnext_items(config: ConvNeXtConfig, height: int, width: int) -> int:
    """Count numbers: of a block, the depth-wise convolution (1 in, 1 out), the MLP up (1, 4) and down (4, 1)."""
    total, before, kernel = 0, 3, 4
    for stage, (depth, channels) in enumerate(zip(config.depths, config.widths, strict=True)):
        places = (height >> (2 + stage)) * (width >> (2 + stage))
        total += places * (kernel**2 * before + channels)
        total += depth * places * (2 + 5 + 5) * channels
        before, kernel = channels, 2
    return total
