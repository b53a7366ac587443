"""Random inputs through the candidate and through the CPU's float32 run: the table that reports give, seed by seed.

In: a runner and the model it was made of. Out: a row for every seed and output, and how long one input takes the CPU.
Random pixels are no images: no verdict rests on these rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snellen.model.model import Model
from snellen.records.report import SeedRow
from snellen.runtimes.base import Runner
from snellen.verification import inputs, trusted
from snellen.verification.candidate import running
from snellen.verification.drift import encode, rows
from snellen.verification.metrics import image

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """The rows, and the seconds that one input took: the candidate, and the CPU."""

    rows: tuple[SeedRow, ...]
    image_s: float
    cpu_s: float


def compared(runner: Runner, model: Model, seeds: Sequence[int] = inputs.REPORTED) -> Seeded:
    """Hold the candidate against the CPU's float32 run; raise CandidateError where it raises."""
    pixels = inputs.seeded(seeds).pixels(model.recipe)
    begun = time.perf_counter()
    single = encode(lambda batch, tap: trusted.run(model.encoder, batch, trusted.SINGLE, tap), pixels)
    between = time.perf_counter()
    mine = encode(running(runner, "on random inputs"), pixels)
    ended = time.perf_counter()
    names = [name for name in single if name in mine]
    found = (
        _row(seed, name, rows(mine[name])[place], rows(single[name])[place])
        for place, seed in enumerate(seeds)
        for name in names
    )
    count = len(pixels)
    return Seeded(rows=tuple(found), image_s=(ended - between) / count, cpu_s=(between - begun) / count)


def _row(seed: int, name: str, mine: Tensor, single: Tensor) -> SeedRow:
    found = image(mine, single)
    return SeedRow(
        seed=seed,
        output=name,
        max_abs=found.max_abs,
        mean_abs=found.mean_abs,
        relative=found.mean_ratio,
        cosine=found.cosine,
    )
