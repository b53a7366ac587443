"""Whether one measurement is slower than another, batch size by batch size, and how sure that is.

In: two records. Out: a record of both beside each other, from their saved samples or from samples taken again. What is
judged are the medians of rounds, by how they differ: samples of one round are alike, and count as one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Literal

from snellen._version import __version__
from snellen.benchmark.circumstances import cautions, differing, moved
from snellen.errors import CandidateError, UsageError
from snellen.records.bench import BenchRecord, Compared, CompareRecord, Point
from snellen.timing.statistics import by_round, interval, percentile, student

Verdict = Literal["slower", "faster", "the same", "undecided"]
Interval = tuple[float, float]
Pair = tuple[Point, Point]

THRESHOLD = 0.05
SECONDS = 2.0  # for each batch size of each of the two, where they are measured again
FEWEST = 2  # rounds, of which it can be told how they differ
SPAN = (10.0, 90.0)  # percentiles, between which the level of what was not stable may lie


def compare(
    first: BenchRecord, second: BenchRecord, *, names: tuple[str, str], threshold: float = THRESHOLD
) -> CompareRecord:
    """Compare two measurements from their saved samples; ``names`` is what they are called.

    Slower is what takes more than 1 + ``threshold`` times as long, faster what takes less than one over that, with
    95 % confidence; the same is what lies between the two with as much. Where a measurement was not stable, how its
    rounds differ says too little, and the interval reaches as far as the samples do. Raises UsageError for measurements
    of different modes, or that have no batch size in common.
    """
    _check(first, second, threshold)
    pairs = list(_pairs(first, second))
    rows = tuple(_row(pair, _saved(pair), threshold) for pair in pairs)
    return _record(first, second, names=names, threshold=threshold, rows=rows)


def again(  # noqa: PLR0913  (each is a question a person asks by itself, and most have a good default)
    first: BenchRecord,
    second: BenchRecord,
    *,
    names: tuple[str, str],
    threshold: float = THRESHOLD,
    seconds: float = SECONDS,
    progress: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> CompareRecord:
    """Measure both again here, in turns within every round, and compare them round by round.

    Raises UsageError where what a record names is something else now, CandidateError where nothing could be measured,
    and what ``load`` and ``runtimes.make`` raise where a model, a device or a runtime is not here.
    """
    from snellen.benchmark.turns import taken

    _check(first, second, threshold)
    batches = [one.batch for one, _ in _pairs(first, second)]
    now = taken((first, second), batches, seconds=seconds, say=progress or (lambda _: None), clock=clock)
    pairs = list(_pairs(*now))
    if not pairs:
        told = "; ".join(dict.fromkeys(point.because for record in now for point in record.points if point.because))
        raise CandidateError(f"nothing could be measured again: {told}", todo="--compare without --again")
    rows = tuple(_row(pair, _in_turns(*map(medians, pair)), threshold) for pair in pairs)
    found = _record(*now, names=names, threshold=threshold, rows=rows)
    return replace(
        found,
        again=True,
        differing=(*found.differing, *moved((first, second), now)),
        first_points=now[0].points,
        second_points=now[1].points,
    )


def medians(point: Point) -> tuple[float, ...]:
    """Return the median of each round of a batch size."""
    return by_round(point.samples_ms, point.rounds)


def judged(found: Interval | None, threshold: float) -> Verdict:
    """Say what an interval of ratios means: beyond the threshold as a whole, within it as a whole, or neither."""
    if found is None:
        return "undecided"
    low, high = found
    if low > 1 + threshold:
        return "slower"
    if high < 1 / (1 + threshold):
        return "faster"
    return "the same" if low >= 1 / (1 + threshold) and high <= 1 + threshold else "undecided"


def welch(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Return between what the second over the first lies, with 95 % confidence; None for fewer than two rounds of one.

    Welch's t over the logarithms of the rounds' medians: the two need not scatter alike. Degrees of freedom are rounded
    down, which makes the interval wider.
    """
    if min(len(first), len(second)) < FEWEST:
        return None
    logs = [[math.log(value) for value in values] for values in (first, second)]
    errors = [_variance(values) / len(values) for values in logs]
    apart, error = _mean(logs[1]) - _mean(logs[0]), sum(errors)
    if error == 0:
        return math.exp(apart), math.exp(apart)
    freedom = error**2 / sum(one**2 / (len(values) - 1) for one, values in zip(errors, logs, strict=True))
    reach = student(max(int(freedom), 1)) * math.sqrt(error)
    return math.exp(apart - reach), math.exp(apart + reach)


def _saved(pair: Pair) -> Interval | None:
    """Return the interval of two measurements that were made apart, each at a time of its own."""
    found = welch(*map(medians, pair))
    if found is None or all(point.stability is not None and point.stability.stable for point in pair):
        return found
    ends = [[percentile(sorted(point.samples_ms), percent) for percent in SPAN] for point in pair]
    return min(found[0], ends[1][0] / ends[0][1]), max(found[1], ends[1][1] / ends[0][0])


def _in_turns(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Return the interval of the ratios of rounds that both were measured in: what disturbs a round, disturbs both."""
    return interval([after / before for before, after in zip(first, second, strict=True)])


def _check(first: BenchRecord, second: BenchRecord, threshold: float) -> None:
    """Raise UsageError for what cannot be compared."""
    if not 0 < threshold < 1:
        raise UsageError(f"the threshold is {threshold}", expected="a share between 0 and 1", todo="0.05 is 5 %")
    if first.mode != second.mode:
        raise UsageError(
            f"the first measured {first.mode}, the second {second.mode}",
            expected="two measurements of one mode",
            todo="measure one of them again with the other's --mode",
        )
    for name, record in (("first", first), ("second", second)):
        for point in record.points:
            if sum(point.rounds) != len(point.samples_ms) or any(sample <= 0 for sample in point.samples_ms):
                raise UsageError(
                    f"the samples of batch {point.batch} of the {name} record are not those of its rounds, or not all "
                    "above 0",
                    expected="a record as snellen wrote it",
                    todo="measure again",
                )
    if not list(_pairs(first, second)):
        there = [", ".join(str(point.batch) for point in _sampled(record)) or "none" for record in (first, second)]
        raise UsageError(
            f"the two have no batch size in common that was measured (the first: {there[0]}; the second: {there[1]})",
            expected="one or more",
            todo="measure both with the same -b",
        )


def _pairs(first: BenchRecord, second: BenchRecord) -> Iterator[Pair]:
    """Yield the batch sizes that both measured."""
    others = {point.batch: point for point in _sampled(second)}
    for point in _sampled(first):
        if point.batch in others:
            yield point, others[point.batch]


def _lost(first: BenchRecord, second: BenchRecord) -> Iterator[int]:
    """Yield the batch sizes that the first measured, and at which the second's memory ended or an error was raised."""
    fallen = {point.batch for point in second.points if point.outcome in {"out of memory", "raised"}}
    yield from (point.batch for point in _sampled(first) if point.batch in fallen)


def _sampled(record: BenchRecord) -> list[Point]:
    return [point for point in record.points if point.samples_ms and point.latency is not None]


def _row(pair: Pair, found: Interval | None, threshold: float) -> Compared:
    """Return one batch size of both beside each other; the ratio is that of the geometric means of their rounds."""
    first, second = pair
    assert first.latency is not None  # both have samples
    assert second.latency is not None
    logs = [[math.log(value) for value in medians(point)] for point in pair]
    return Compared(
        batch=first.batch,
        first_p50_ms=first.latency.p50_ms,
        second_p50_ms=second.latency.p50_ms,
        ratio=math.exp(_mean(logs[1]) - _mean(logs[0])),
        low=None if found is None else found[0],
        high=None if found is None else found[1],
        verdict=judged(found, threshold),
    )


def _record(
    first: BenchRecord,
    second: BenchRecord,
    *,
    names: tuple[str, str],
    threshold: float,
    rows: tuple[Compared, ...],
) -> CompareRecord:
    return CompareRecord(
        first=names[0],
        second=names[1],
        threshold=threshold,
        again=False,
        rows=rows,
        differing=tuple(differing(first, second)),
        lost=tuple(_lost(first, second)),
        cautions=tuple(cautions(first, second)),
        started_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    middle = _mean(values)
    return math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1)
