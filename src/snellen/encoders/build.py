"""Build the network a configuration describes."""

from __future__ import annotations

import torch

from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.encoders.convnext import ConvNeXt
from snellen.encoders.vit import ViT

Encoder = ViT | ConvNeXt


def build(config: EncoderConfig, device: str = "meta") -> Encoder:
    """Build the encoder, in evaluation mode, without gradients; on the meta device it takes no memory."""
    with torch.device(device):
        encoder = ViT(config) if isinstance(config, ViTConfig) else ConvNeXt(config)
    return encoder.eval().requires_grad_(False)
