"""A sample of a store's rows, the same for the same seed, spread over its runs, and over each run from end to end.

In: a store, how many. Out: outcomes, vectors and inputs of rows, of such as were embedded rather than copied if there
are any near.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from snellen.records import Outcome
from snellen.records.inputs import Input
from snellen.records.store import Manifest, RunRecord

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.typing import NDArray

    from snellen.store import Store

TRIES = 8
"""Rows looked at in one stretch of a run for one that was embedded itself, and is no copy of another row."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One row of a sample."""

    outcome: Outcome
    vector: NDArray[float32]  # [D]
    input: Input
    part: int
    run: int


def draw(store: Store, count: int, seed: int = 0) -> list[Drawn]:
    """Return at most ``count`` rows in the order of their ids."""
    import numpy

    generator = numpy.random.default_rng(seed)
    good = store.good()
    stretches = [stretch for some in _stretches(store.manifest, good, count) for stretch in some]
    tries = [generator.permutation(stretch)[:TRIES].tolist() for stretch in stretches]
    chosen: list[Outcome] = []
    while tries:
        last = {some[0] for some in tries if len(some) == 1}
        looked = store.outcomes(sorted(some[0] for some in tries))
        taken = {outcome.id: outcome for outcome in looked if outcome.status == "done" or outcome.id in last}
        chosen += taken.values()
        tries = [some[1:] for some in tries if some[0] not in taken]
    chosen.sort(key=lambda outcome: outcome.id)
    ids = [outcome.id for outcome in chosen]
    rows = zip(chosen, store.vectors(ids), store.inputs(ids), strict=True)
    return [Drawn(outcome, vector, item, *place(store.manifest, outcome.id)) for outcome, vector, item in rows]


def _stretches(manifest: Manifest, good: NDArray[int64], count: int) -> Iterator[list[NDArray[int64]]]:
    """Yield for each run its good rows, cut into as many stretches as rows shall be drawn of it."""
    import numpy

    ends = numpy.searchsorted(good, [run.first_id for run in manifest.runs] + [numpy.iinfo(numpy.int64).max])
    runs = [good[start:end] for start, end in pairwise(ends) if end > start]
    for run, share in zip(runs, shares([len(run) for run in runs], count), strict=True):
        yield [stretch for stretch in numpy.array_split(run, max(1, share)) if share]


def shares(sizes: list[int], count: int) -> list[int]:
    """Divide ``count`` among runs: half of it evenly, so that no run goes unseen, the rest by their sizes.

    Where there are more runs than are drawn, the newest are.
    """
    given = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda at: -at)
    for at in order * max(1, count // (2 * max(1, len(sizes)))):  # evenly, the newest first
        if sum(given) < count and given[at] < sizes[at]:
            given[at] += 1
    left = count - sum(given)
    rest = [size - mine for size, mine in zip(sizes, given, strict=True)]
    total = sum(rest)
    if total:
        given = [mine + min(room, left * room // total) for mine, room in zip(given, rest, strict=True)]
    for at in sorted(order, key=lambda at: given[at] - sizes[at]):  # what rounding down left over
        given[at] += min(count - sum(given), sizes[at] - given[at])
    return given


def place(manifest: Manifest, id_: int) -> tuple[int, int]:
    """Return the part and the run of a row."""
    run = next(run for run in manifest.runs if _holds(run, id_))
    return run.first_part + (id_ - run.first_id) // run.part_rows, run.number


def _holds(run: RunRecord, id_: int) -> bool:
    return run.first_id <= id_ < run.first_id + run.rows
