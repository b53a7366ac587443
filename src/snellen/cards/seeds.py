"""Random inputs through the candidate and through the CPU's float32 run: the table that reports give, seed by seed.

In: a runner and the model it was made of. Out: a row for every seed and output, and how long one input takes the CPU.
Random pixels are no images: no verdict rests on these rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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


def compared(runner: Runner, model: Model, seeds: Sequence[int] = inputs.REPORTED) -> tuple[tuple[SeedRow, ...], float]:
    """Hold the candidate against the CPU's float32 run; return the rows, and the CPU's seconds for one input.

    Raises CandidateError where the candidate raises.
    """
    pixels = inputs.seeded(seeds).pixels(model.recipe)
    begun = time.perf_counter()
    single = encode(lambda batch, tap: trusted.run(model.encoder, batch, trusted.SINGLE, tap), pixels)
    seconds = (time.perf_counter() - begun) / len(pixels)
    mine = encode(running(runner, "on random inputs"), pixels)
    names = [name for name in single if name in mine]
    found = [
        _row(seed, name, rows(mine[name])[place], rows(single[name])[place])
        for place, seed in enumerate(seeds)
        for name in names
    ]
    return tuple(found), seconds


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
