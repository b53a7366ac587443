"""The encoder as one graph for one input size: what runtimes outside of torch are given.

What depends on the size alone, positions brought to its grid and rotary tables, is worked out beforehand, by the
encoder's own code, and is a constant of the graph. The batch stays free. The parameters are the encoder's own, not
copies.

B batch.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from snellen.encoders.build import Encoder
from snellen.encoders.features import Features
from snellen.encoders.vit import ViT
from snellen.runtimes.outputs import OWN, shapes_of

if TYPE_CHECKING:
    from torch.export import ExportedProgram

STAGE = "stage."
"""What stands before the name of an output that is a stage."""


@dataclass(frozen=True)
class Graph:
    """An exported encoder: one input ``pixels`` [B, 3, h, w] of float32, and the outputs ``names``, in order."""

    program: ExportedProgram
    names: tuple[str, ...]
    size: tuple[int, int]
    grid: tuple[int, int]


@torch.no_grad()
def exported(encoder: Encoder, size: tuple[int, int], stages: Iterable[str] = ()) -> Graph:
    """Export an encoder for pixels of ``size`` (h, w), with the ``stages`` asked for among its outputs.

    Raises InputError for a size the encoder does not take, UnknownName for a stage it does not have.
    """
    own = next(encoder.parameters())
    pixels = torch.zeros(2, 3, *size, device=own.device)  # any batch above 1 stands for all
    grid, stages = encoder.grid(pixels), tuple(stages)
    shapes = shapes_of(encoder.config, grid, len(pixels))
    names = tuple(name for name in OWN if 0 not in shapes.get(name, (0,)))  # of no registers there is nothing
    module = _Named(_at_size(encoder, grid, pixels.to(own.dtype)), names, stages)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecated types, which it serialises
        program = torch.export.export(module, (pixels,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False)
    return Graph(program, (*names, *(STAGE + name for name in stages)), size, grid)


def features(outputs: dict[str, Tensor], grid: tuple[int, int]) -> Features:
    """Put the outputs of a graph together again; a graph has no output for registers that are not there."""
    patches = outputs["patches"]
    return Features(
        cls=outputs.get("cls"),
        registers=outputs.get("registers", patches[:, :0]),
        patches=patches,
        grid=grid,
        pooled=outputs["pooled"],
        logits=outputs.get("logits"),
        stages={name.removeprefix(STAGE): x for name, x in outputs.items() if name.startswith(STAGE)},
    )


def _at_size(encoder: Encoder, grid: tuple[int, int], pixels: Tensor) -> Encoder:
    """Return the encoder, of the same parameters, for which positions and rotary tables of a grid are constants."""
    if not isinstance(encoder, ViT):
        return encoder
    fixed: Any = copy.copy(encoder)  # its methods are replaced; its parameters are those of the encoder
    if encoder.config.position == "learned":
        positions = encoder.positions(grid).clone()
        fixed.positions = lambda _: positions
    turn = encoder.turn(grid, pixels)
    fixed.turn = lambda _, __: turn
    return fixed  # type: ignore[no-any-return]


class _Named(nn.Module):
    """An encoder whose outputs are a tuple; a graph has no names but those of its places."""

    def __init__(self, encoder: Encoder, names: Sequence[str], stages: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.names, self.stages = encoder, names, stages

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:  # each [B, ...]
        found = self.encoder(pixels, self.stages)
        return (*(getattr(found, name) for name in self.names), *(found.stages[name] for name in self.stages))
