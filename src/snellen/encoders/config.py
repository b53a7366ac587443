"""What an encoder is, by what it does: two frozen records, resolved numbers only.

A field names a behaviour, never a family. The rows that fill these records stand in ``snellen.zoo``;
checkpoints found in the wild may fill them too (from their ``config.json``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pool = Literal["cls", "patch_mean", "tanh_cls"]
"""How one vector comes out of the tokens.

``cls``        the normalised class token (ConvNeXt: the normalised mean of the last map)
``patch_mean`` the mean over the normalised patch tokens; class token and registers left out
``tanh_cls``   tanh(W cls + b), the "pre-logits" layer that only the ViT in21k checkpoints carry
"""

Resize = Literal["bicubic", "bicubic_antialias", "bicubic_offset", "linear_corners", "none"]
"""How a learned position table is brought to another grid:

``bicubic``            to the exact size, without antialiasing (transformers DINOv2, ViT)
``bicubic_antialias``  to the exact size, with antialiasing (timm; DINOv2 with registers everywhere)
``bicubic_offset``     by the scale factor (n + 0.1) / grid, without antialiasing (original DINOv2)
``linear_corners``     linearly, the corner positions staying where they are (the JAX ViT's scipy zoom)
``none``               the table fits one grid only (AIMv2)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTConfig:
    """A vision transformer."""

    patch: int
    width: int
    depth: int
    heads: int
    hidden: int  # exact MLP width
    mlp: Literal["gelu", "gelu_tanh", "swiglu"] = "gelu"  # gelu: by the error function; gelu_tanh: its approximation
    norm: Literal["layer", "rms"] = "layer"
    eps: float = 1e-6
    position: Literal["learned", "rope"] = "learned"
    grid: int | None = None  # side of the learned table, in patches
    resize: Resize = "none"
    rope_rounding: bool = False  # round the RoPE periods to bfloat16: original DINOv3 names do, the libraries' do not
    class_token: bool = True  # the learned table then has a row for it
    registers: int = 0
    patch_norm: bool = False  # a norm between the patch projection and the position
    layer_scale: bool = False
    qkv_bias: Literal["all", "no_key", "none"] = "all"
    bias: bool = True  # attention output and MLP
    pooler: bool = False  # the tanh layer's weights are there
    classes: int = 0  # outputs of the classifier on the class token; 0: no classifier
    pool: Pool = "cls"

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def stride(self) -> int:
        """Pixels an input side must be a multiple of."""
        return self.patch

    @property
    def prefix(self) -> int:
        """Tokens that stand before the patches."""
        return int(self.class_token) + self.registers

    def tokens(self, height: int, width: int) -> int:
        """Count the tokens of an input of ``height`` x ``width`` pixels."""
        return self.prefix + (height // self.patch) * (width // self.patch)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvNeXtConfig:
    """A ConvNeXt whose outputs are read as one pooled token and a map of patch tokens."""

    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    eps: float = 1e-6
    pool: Pool = "cls"

    @property
    def width(self) -> int:
        """Width of the embedding: that of the last stage."""
        return self.widths[-1]

    @property
    def stride(self) -> int:
        """Pixels an input side must be a multiple of."""
        return 32

    def tokens(self, height: int, width: int) -> int:
        """Count the tokens of an input of ``height`` x ``width`` pixels: the pooled one and the last map."""
        return 1 + (height // 32) * (width // 32)


EncoderConfig = ViTConfig | ConvNeXtConfig
