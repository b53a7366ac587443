"""The vision transformer: DINOv2, DINOv3, Google ViT and AIMv2 are one network with different settings.

B batch, N patches, T = P + N tokens (P prefix tokens: class token, then registers), D width, H heads, E = D / H,
F hidden width of the MLP.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention, silu

from snellen.encoders.config import ViTConfig
from snellen.encoders.features import Features, Keep, Tap, check_pixels
from snellen.encoders.position import resize_table, rotate, rotation

Turn = tuple[Tensor, Tensor] | None


class RMSNorm(nn.Module):
    """Divide by the root mean square, in float32 at least, then scale."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return wide.to(x.dtype) * self.weight


def make_norm(config: ViTConfig) -> nn.Module:
    """Build the norm that ``config`` names."""
    if config.norm == "rms":
        return RMSNorm(config.width, config.eps)
    return nn.LayerNorm(config.width, config.eps)


class Attention(nn.Module):
    """Multi-head self-attention, with rotary positions where a turn is given."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.qkv_bias != "none")
        self.out = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor, turn: Turn) -> Tensor:  # [B, T, D]
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # [B, T, 3, H, E]
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, E]
        if turn is not None:
            q, k = rotate(q, turn), rotate(k, turn)
        mixed = scaled_dot_product_attention(q, k, v)  # [B, H, T, E]
        return self.out(mixed.transpose(1, 2).flatten(2))  # [B, T, D]


class MLP(nn.Module):
    """Two linear maps with a GELU between them."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.hidden, bias=config.bias)
        self.down = nn.Linear(config.hidden, config.width, bias=config.bias)
        self.approximate = "tanh" if config.mlp == "gelu_tanh" else "none"

    def forward(self, x: Tensor) -> Tensor:
        return self.down(gelu(self.up(x), approximate=self.approximate))


class SwiGLU(nn.Module):
    """SiLU of a gate times a value; gate and value are one joined matrix, the gate first."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.gate_value = nn.Linear(config.width, 2 * config.hidden, bias=config.bias)
        self.out = nn.Linear(config.hidden, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.gate_value(x).chunk(2, dim=-1)  # [B, T, F] each
        return self.out(silu(gate) * value)


class LayerScale(nn.Module):
    """Multiply each channel by a learned factor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Block(nn.Module):
    """Attention, then MLP; each normed before and added to what came in."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm1 = make_norm(config)
        self.attention = Attention(config)
        self.scale1 = LayerScale(config.width) if config.layer_scale else nn.Identity()
        self.norm2 = make_norm(config)
        self.mlp = SwiGLU(config) if config.mlp == "swiglu" else MLP(config)
        self.scale2 = LayerScale(config.width) if config.layer_scale else nn.Identity()

    def forward(self, x: Tensor, turn: Turn) -> Tensor:  # [B, T, D]
        x = x + self.scale1(self.attention(self.norm1(x), turn))
        return x + self.scale2(self.mlp(self.norm2(x)))


class ViT(nn.Module):
    """A vision transformer as its configuration describes it.

    Stages, in order: ``patches`` [B, N, D] the projected (and, in AIMv2, normed) patches before any position;
    ``tokens`` [B, T, D] what enters the first block; ``block.00`` ... [B, T, D]; ``norm`` [B, T, D]; ``pooled`` [B, D].
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch = nn.Conv2d(3, width, config.patch, config.patch)
        self.patch_norm = make_norm(config) if config.patch_norm else nn.Identity()
        if config.class_token:
            self.cls = nn.Parameter(torch.zeros(1, 1, width))
        if config.registers:
            self.registers = nn.Parameter(torch.zeros(1, config.registers, width))
        if config.position == "learned":
            rows = (config.grid or 0) ** 2 + int(config.class_token)
            self.position = nn.Parameter(torch.zeros(1, rows, width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = make_norm(config)
        if config.pooler:
            self.pooler = nn.Linear(width, width)
        if config.classes:
            self.head = nn.Linear(width, config.classes)
        self.block_stages = tuple(f"block.{i:02d}" for i in range(config.depth))
        self.stages = ("patches", "tokens", *self.block_stages, "norm", "pooled")
        self.layer_stages = self.block_stages
        self.map_stages = self.block_stages[-3:]  # what timm's features_only returns

    def forward(self, pixels: Tensor, stages: Iterable[str] = (), tap: Tap | None = None) -> Features:
        """Encode pixels [B, 3, h, w]; raise InputError for a size, UnknownName for a stage, that it does not have.

        ``tap`` sees every stage, and may put another tensor in its place.
        """
        keep = Keep(stages, self.stages, tap)
        grid = self.grid(pixels)
        x = self.patch(pixels.to(self.patch.weight.dtype)).flatten(2).transpose(1, 2)  # [B, N, D]
        x = keep("patches", self.patch_norm(x))
        x = keep("tokens", self.place(x, grid))  # [B, T, D]
        turn = self.turn(grid, x)
        for name, block in zip(self.block_stages, self.blocks, strict=True):
            x = keep(name, block(x, turn))
        x = keep("norm", self.norm(x))
        return self.features(x, grid, keep)

    @property
    def block_modules(self) -> tuple[nn.Module, ...]:
        """The blocks, in the order of ``block_stages``."""
        return tuple(self.blocks)

    def grid(self, pixels: Tensor) -> tuple[int, int]:
        """Return the patch grid (h, w) of ``pixels``; raise InputError where there is none."""
        config = self.config
        fixed = config.grid * config.patch if config.grid and config.resize == "none" else None
        check_pixels(pixels, config.patch, only=fixed)
        return pixels.shape[2] // config.patch, pixels.shape[3] // config.patch

    def place(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Add learned positions and put the prefix tokens in front, [B, N, D] -> [B, T, D].

        Registers have no position.
        """
        config = self.config
        prefix: list[Tensor] = []
        if config.class_token:
            prefix.append(self.cls)
        if config.position == "learned":
            prefix = [token + self.position[:, :1] for token in prefix]
            patches = patches + self.positions(grid)
        if config.registers:
            prefix.append(self.registers)
        return torch.cat([*(token.expand(patches.shape[0], -1, -1) for token in prefix), patches], dim=1)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Return the learned positions of all patches of a grid (h, w), [1, h * w, D]."""
        return resize_table(self.position[:, int(self.config.class_token) :], grid, self.config.resize)

    def turn(self, grid: tuple[int, int], x: Tensor) -> Turn:
        """Return the rotary cosines and sines of all tokens, or None where positions are learned."""
        config = self.config
        if config.position != "rope":
            return None
        dtype = torch.promote_types(x.dtype, torch.float32)
        return rotation(grid, config.prefix, config.head_width, config.rope_rounding, dtype, x.device)

    def features(self, x: Tensor, grid: tuple[int, int], keep: Keep) -> Features:
        """Name the parts of the normed tokens [B, T, D], and pool them."""
        first, prefix = int(self.config.class_token), self.config.prefix
        cls = x[:, 0] if first else None
        return Features(
            cls=cls,
            registers=x[:, first:prefix],
            patches=x[:, prefix:],
            grid=grid,
            pooled=keep("pooled", self.pool(x)),
            logits=self.head(cls) if self.config.classes else None,
            stages=keep.kept,
        )

    def pool(self, x: Tensor) -> Tensor:
        """Reduce the normed tokens [B, T, D] to one vector each, [B, D]."""
        if self.config.pool == "patch_mean":
            return x[:, self.config.prefix :].mean(1)
        return torch.tanh(self.pooler(x[:, 0])) if self.config.pool == "tanh_cls" else x[:, 0]

    def as_map(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Lay a block's patch tokens out as an image, [B, T, D] -> [B, D, h, w]; the prefix is left out."""
        return x[:, -grid[0] * grid[1] :].transpose(1, 2).unflatten(2, grid)
