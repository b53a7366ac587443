"""What an encoder returns, and how a caller asks for what lies inside it.

B batch, N patches, R registers, D width, K classes, h x w the patch grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from snellen.errors import InputError, UnknownName

if TYPE_CHECKING:
    from torch import Tensor

Tap = Callable[[str, "Tensor"], "Tensor"]
"""Sees every stage as it is made, and returns what the next one is fed: the same tensor, or another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The outputs of one batch, all after the final norm.

    A family without a class token (AIMv2) has ``cls`` None; one without registers has ``registers`` of shape [B, 0, D].
    """

    cls: Tensor | None  # [B, D]
    registers: Tensor  # [B, R, D]
    patches: Tensor  # [B, N, D], rows of the grid one after another
    grid: tuple[int, int]  # (h, w), h * w == N
    pooled: Tensor  # [B, D], as the recipe pools
    logits: Tensor | None = None  # [B, K], where a trained classifier was loaded
    stages: dict[str, Tensor] = field(default_factory=dict)  # the stages that were asked for

    @property
    def tokens(self) -> Tensor:
        """Join class token, registers and patches in the encoder's order, [B, (1) + R + N, D]."""
        import torch

        cls = [] if self.cls is None else [self.cls[:, None]]
        return torch.cat([*cls, self.registers, self.patches], dim=1)

    @property
    def map(self) -> Tensor:
        """Lay the patch tokens out as an image, [B, D, h, w]."""
        return self.patches.transpose(1, 2).unflatten(2, self.grid)

    def named(self) -> dict[str, Tensor]:
        """Return every tensor under its name, the stages among them; what is absent is left out."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("grid", "stages")}
        return {name: tensor for name, tensor in {**own, **self.stages}.items() if tensor is not None}


class Keep:
    """Collects the stages a caller asked for, while ``forward`` names each as it is made, and lets a tap see them all.

    Raises UnknownName if one of ``wanted`` is not a stage of this encoder.
    """

    def __init__(self, wanted: Iterable[str], known: Sequence[str], tap: Tap | None = None) -> None:
        self.kept: dict[str, Tensor] = {}
        self._wanted = frozenset(wanted)
        self._tap = tap
        for name in sorted(self._wanted.difference(known)):
            raise UnknownName("stage", name, known, todo=f"this encoder has {known[0]} ... {known[-1]}")

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name in self._wanted:
            self.kept[name] = x
        return x if self._tap is None else self._tap(name, x)


def check_pixels(pixels: Tensor, stride: int, only: int | None = None) -> None:
    """Raise InputError unless ``pixels`` is [B, 3, h, w] with sides that are multiples of ``stride``.

    ``only``: the one side length the encoder takes, for encoders whose positions fit a single grid.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(
            f"pixels have shape {list(pixels.shape)}",
            expected="[batch, 3, height, width]",
            todo="add the batch dimension, or bring the channels to the front",
        )
    height, width = pixels.shape[2:]
    if only is not None and (height, width) != (only, only):
        raise InputError(
            f"the input is {height} x {width} pixels",
            expected=f"{only} x {only}: this encoder's position table fits one size only",
            todo=f"resize to {only} x {only}, or take the variant that was trained at the size you need",
        )
    if height % stride or width % stride or not height or not width:
        sides = " and ".join(f"{side} -> {_neighbours(side, stride)}" for side in dict.fromkeys((height, width)))
        raise InputError(
            f"the input is {height} x {width} pixels, which is not a whole number of {stride} x {stride} patches",
            expected=f"sides that are multiples of {stride} ({sides})",
            todo="resize or crop to one of these; nothing is cut off silently",
        )


def _neighbours(side: int, stride: int) -> str:
    below = side // stride * stride
    if below == side and side:
        return f"{side} is valid"
    return f"{below} or {below + stride}" if below else f"{stride}"
