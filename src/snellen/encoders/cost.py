"""What one image costs an encoder: operations counted from the configuration, attention among them.

A multiply-add counts as two operations. Matrix products and convolutions are counted; norms, activations and
additions, under one per cent, are not.
"""

from __future__ import annotations

from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig


def operations(config: EncoderConfig, height: int, width: int) -> int:
    """Count the operations of one image of ``height`` x ``width`` pixels."""
    if isinstance(config, ViTConfig):
        return 2 * _vit(config, height, width)
    return 2 * _convnext(config, height, width)


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
