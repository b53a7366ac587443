"""What golden, reference and candidate are shown: photographs by default, random numbers only when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from snellen.errors import UsageError
from snellen.images import decode
from snellen.recipes import Recipe
from snellen.records.verify import InputsRecord

PHOTOS = Path(__file__).parent.parent / "photos"
OWN = (
    "astronaut.jpg",
    "camera.jpg",
    "cat.jpg",
    "clock.png",
    "coffee.jpg",
    "gravel.jpg",
    "hubble.jpg",
    "rocket_portrait.jpg",
)
"""The eight photographs of the package that are used: colour and grey, fine and coarse, wide and tall."""

MOST = 64
"""Images of a folder that are used: each costs a float64 run, and more say hardly more."""

REPORTED = (42, 123, 256, 789, 1024)
"""The seeds of the fifth report."""

LARGEST = 2**63 - 1
"""The largest seed that torch's generators take everywhere."""

Kind = Literal["photographs", "images", "random", "pixels"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Images by path, seeds, or pixels as they are; ``photographs``, ``images``, ``seeded`` and ``given`` make it."""

    kind: Kind
    paths: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = ()
    tensor: Tensor | None = None
    left_out: int = 0  # images that were named, but are more than are used

    def pixels(self, recipe: Recipe) -> Tensor:
        """Return the pixels [n, 3, h, w], float32, as the recipe makes them. Raises ImageError."""
        if self.tensor is not None:
            return self.tensor.detach().to("cpu", torch.float32).clone()
        if self.kind == "random":
            return torch.stack([_noise(seed, recipe.size) for seed in self.seeds])
        return torch.stack([recipe.pixels(decode(path)) for path in self.paths])

    def record(self, pixels: Tensor) -> InputsRecord:
        """Say what was shown."""
        names = [path.name for path in self.paths] or [f"seed {seed}" for seed in self.seeds]
        return InputsRecord(
            kind=self.kind,
            names=tuple(names or (f"row {row}" for row in range(len(pixels)))),
            shape=tuple(pixels.shape),
            sha256=hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest(),
            seeds=self.seeds,
            left_out=self.left_out,
        )


def photographs() -> Inputs:
    """Take the package's own photographs."""
    return Inputs("photographs", tuple(PHOTOS / name for name in OWN))


def images(paths: Iterable[str | Path]) -> Inputs:
    """Take images by path. Raises UsageError for none."""
    found = tuple(Path(path) for path in paths)
    if not found:
        raise UsageError("there is no image to compare on", todo="name images or a folder with some")
    return Inputs("images", found[:MOST], left_out=max(0, len(found) - MOST))


def seeded(seeds: Sequence[int]) -> Inputs:
    """Take normally distributed pixels, one input for each seed. Raises UsageError for none, one twice or too large."""
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0 or max(seeds) > LARGEST:
        raise UsageError(
            f"the seeds are {list(seeds)}",
            expected="different numbers from 0 to 2**63 - 1",
            todo=",".join(map(str, REPORTED)),
        )
    return Inputs("random", seeds=tuple(seeds))


def given(pixels: Tensor) -> Inputs:
    """Take pixels [n, 3, h, w] as they are, after any recipe."""
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels):
        raise UsageError(f"the pixels have shape {list(pixels.shape)}", expected="[n, 3, h, w], n at least 1")
    return Inputs("pixels", tensor=pixels)


def _noise(seed: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, *size, generator=generator)
