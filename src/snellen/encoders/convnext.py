"""ConvNeXt as DINOv3 uses it: four stages of convolutions, read as one pooled token and a map of patch tokens.

B batch, C channels of a stage, h x w its map, D = C of the last stage, N = h * w of the last stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from snellen.encoders.config import ConvNeXtConfig
from snellen.encoders.features import Features, Keep, Tap, check_pixels


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:  # [B, C, h, w]
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A depth-wise 7 x 7 convolution, then an MLP at every place; scaled and added to what came in."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, h, w]
        y = self.norm(self.mix(x).permute(0, 2, 3, 1))  # [B, h, w, C]
        y = self.down(gelu(self.up(y))) * self.scale
        return x + y.permute(0, 3, 1, 2)


class Stage(nn.Module):
    """A change of resolution, then blocks. The first stage's is conv then norm, the others' norm then conv."""

    def __init__(self, config: ConvNeXtConfig, index: int) -> None:
        super().__init__()
        width = config.widths[index]
        if index == 0:
            self.down = nn.Sequential(nn.Conv2d(3, width, 4, 4), ChannelNorm(width, config.eps))
        else:
            before = config.widths[index - 1]
            self.down = nn.Sequential(ChannelNorm(before, config.eps), nn.Conv2d(before, width, 2, 2))
        self.blocks = nn.ModuleList(Block(width, config.eps) for _ in range(config.depths[index]))
        first = f"stage.{index}.down" if index else "stem"
        self.names = (first, *(f"stage.{index}.block.{i:02d}" for i in range(config.depths[index])))

    def forward(self, x: Tensor, keep: Keep) -> Tensor:  # [B, C before, h, w]
        x = keep(self.names[0], self.down(x))
        for name, block in zip(self.names[1:], self.blocks, strict=True):
            x = keep(name, block(x))
        return x  # [B, C, h, w]


class ConvNeXt(nn.Module):
    """A ConvNeXt as its configuration describes it.

    Stages, in order, all [B, C, h, w] but the last two: ``stem``, ``stage.0.block.00`` ..., ``stage.1.down``,
    ``stage.1.block.00`` ..., ``stage.3.block.02``; ``norm`` [B, 1 + N, D] the normed mean and the normed map;
    ``pooled`` [B, D].
    """

    def __init__(self, config: ConvNeXtConfig) -> None:
        super().__init__()
        self.config = config
        body = [Stage(config, index) for index in range(4)]
        self.body = nn.ModuleList(body)
        self.norm = nn.LayerNorm(config.width, config.eps)
        self.stages = (*(name for stage in body for name in stage.names), "norm", "pooled")
        self.block_stages = tuple(name for stage in body for name in stage.names[1:])
        self.layer_stages = tuple(stage.names[-1] for stage in body)
        self.map_stages = self.layer_stages  # what timm's features_only returns

    def forward(self, pixels: Tensor, stages: Iterable[str] = (), tap: Tap | None = None) -> Features:
        """Encode pixels [B, 3, h, w]; raise InputError for a size, UnknownName for a stage, that it does not have.

        ``tap`` sees every stage, and may put another tensor in its place.
        """
        keep = Keep(stages, self.stages, tap)
        self.grid(pixels)
        x = pixels.to(self.norm.weight.dtype)  # no memory format: torch_npu refuses one beside a cast
        for stage in self.body:
            x = stage(x, keep)  # [B, C, h, w]
        return self.features(x, keep)

    @property
    def block_modules(self) -> tuple[nn.Module, ...]:
        """The blocks of all stages, in the order of ``block_stages``."""
        return tuple(block for stage in self.body for block in cast("Stage", stage).blocks)

    def grid(self, pixels: Tensor) -> tuple[int, int]:
        """Return the grid (h, w) of the last map for ``pixels``; raise InputError where there is none."""
        check_pixels(pixels, self.config.stride)
        return pixels.shape[2] // self.config.stride, pixels.shape[3] // self.config.stride

    def features(self, x: Tensor, keep: Keep) -> Features:
        """Norm the last map [B, D, h, w] and its mean, name the parts, and pool them."""
        grid = (x.shape[2], x.shape[3])
        mean = x.mean((2, 3))[:, None]  # [B, 1, D]
        tokens = keep("norm", self.norm(torch.cat([mean, x.flatten(2).transpose(1, 2)], dim=1)))  # [B, 1 + N, D]
        cls, patches = tokens[:, 0], tokens[:, 1:]
        pooled = patches.mean(1) if self.config.pool == "patch_mean" else cls
        pooled = keep("pooled", pooled)
        return Features(cls=cls, registers=tokens[:, :0], patches=patches, grid=grid, pooled=pooled, stages=keep.kept)

    def as_map(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return a stage's map, which it is already, [B, C, h, w]; ``grid`` is not needed."""
        return x
