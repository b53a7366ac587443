"""Throughput, latency, and ratios in alternation.

In: a runner and premade pixels. Out: a ``Rate`` with its raw samples. Throughput is that of a continuous stream: it is
counted from one completion to another, with work under way at both ends, so neither filling nor draining the runner's
queue enters. The stream is drained and the device waited for before anything else is measured. What is fed is never the
same twice, and what the last batches gave can be kept and judged: see ``feed``.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Protocol

from snellen.errors import CandidateError, UsageError
from snellen.records.timing import Rate, Rounds, Stream
from snellen.timing.feed import Answer, Feed

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]

Clock = Callable[[], float]

RISE = 1.1  # a group of batches this much faster than the one before it: the warm-up is not over
PARTS = 5  # of a stream, between which the spread is taken
SINGLES = (3, 20)  # single images that are timed: at least, at most


class Waits(Protocol):
    """What is asked of a device here."""

    def synchronize(self) -> None:
        """Wait until everything queued is done."""


class Streams(Protocol):
    """What is asked of a runner here."""

    @property
    def device(self) -> Waits:
        """Where it runs."""

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches of pixels, in order."""


def measure(
    runner: Streams,
    pixels: Sequence[Array],
    seconds: float,
    *,
    clock: Clock = time.perf_counter,
    kept: list[Answer] | None = None,
) -> Rate:
    """Measure throughput for about ``seconds`` after a warm-up, then latency for about a quarter of that.

    ``pixels``: at least two different batches [b, 3, h, w] of one shape. ``kept``: takes what the last batches gave.
    Raises CandidateError where a runner does not give back a row for every image.
    """
    found = stream(runner, pixels, seconds, clock=clock, kept=kept)
    singles = latencies(runner, pixels, seconds / 4, clock=clock, kept=kept)
    return Rate(
        images_per_s=found.images_per_s,
        latency_s=median(singles),
        samples=found.samples,
        spread=found.spread,
        batch=found.batch,
        latencies_s=singles,
        warm_batches=found.warm_batches,
        steady=found.steady,
    )


def stream(
    runner: Streams,
    pixels: Sequence[Array],
    seconds: float,
    *,
    clock: Clock = time.perf_counter,
    kept: list[Answer] | None = None,
) -> Stream:
    """Measure the throughput of a continuous stream of batches, see ``measure``."""
    _check(pixels)
    source = Feed(pixels)
    runner.device.synchronize()
    flow = _Flow(source, runner.vectors(source), clock, batch=len(pixels[0]))
    warm, steady = _warmed(flow, seconds / 2)
    times = [warm[-1]]
    while times[-1] - times[0] < seconds or not _whole(times, flow.under_way):
        times.append(flow.next())
    flow.drain()
    runner.device.synchronize()
    if kept is not None:
        kept.extend(source.last)
    first, last = _whole(times, flow.under_way)
    samples = tuple(time - times[first] for time in times[first + 1 : last + 1])
    batch = len(pixels[0])
    return Stream(
        images_per_s=batch * len(samples) / samples[-1],
        samples=samples,
        spread=_spread(samples, flow.under_way),
        batch=batch,
        under_way=flow.under_way,
        warm_batches=len(warm) + first,
        steady=steady,
    )


def latencies(
    runner: Streams,
    pixels: Sequence[Array],
    seconds: float,
    *,
    clock: Clock = time.perf_counter,
    kept: list[Answer] | None = None,
) -> tuple[float, ...]:
    """Time single images, each from pixels to vector with nothing else under way; the first is not counted."""
    _check(pixels)
    source = Feed([batch[:1] for batch in pixels])
    found: list[float] = []
    least, most = SINGLES
    for one in source:
        runner.device.synchronize()
        begin = clock()
        given = list(runner.vectors([one]))
        runner.device.synchronize()
        found.append(clock() - begin)
        _check_rows([len(vectors) for vectors in given], [1])
        source.take(given[0])
        source.ended = len(found) > most or (len(found) > least and sum(found[1:]) >= seconds)
    if kept is not None:  # numbered as in all of ``pixels``
        kept.extend(Answer((answer.rows[0] * len(pixels[0]),), answer.vectors) for answer in source.last)
    return tuple(found[1:])


def interleaved(cases: Mapping[str, Callable[[float], float]], rounds: int, seconds: float, *, seed: int = 0) -> Rounds:
    """Measure every case once a round, in an order drawn anew each round; ``seed`` fixes the orders.

    A case is called with ``seconds``, for how long to measure, and returns what it measured.
    """
    if not cases or rounds < 1:
        raise UsageError(f"{len(cases)} cases in {rounds} rounds", expected="one or more of both", todo="name some")
    drawn, values, orders = random.Random(seed), [], []
    for _ in range(rounds):
        order = tuple(drawn.sample(list(cases), len(cases)))
        found = {name: cases[name](seconds) for name in order}
        values.append({name: found[name] for name in cases})
        orders.append(order)
    return Rounds(values=tuple(values), orders=tuple(orders))


@dataclass
class _Flow:
    """What comes out of a runner, by the clock; ``under_way`` is the most it had at once."""

    source: Feed
    results: Iterator[Array]
    clock: Clock
    batch: int  # images
    given: int = 0
    under_way: int = 1

    def __post_init__(self) -> None:
        self.start = self.clock()

    def next(self) -> float:
        """Return the time at which the next batch is done."""
        vectors = next(self.results, None)
        now = self.clock()
        if vectors is None:
            raise CandidateError(f"the runner stopped after {self.given} of {self.source.asked} batches")
        self.under_way = max(self.under_way, self.source.asked - self.given)
        self._take(vectors)
        return now

    def drain(self) -> None:
        """Take what is under way and give nothing more."""
        self.source.ended = True
        for vectors in self.results:
            self._take(vectors)
        _check_rows([self.given], [self.source.asked], "batches")

    def _take(self, vectors: Array) -> None:
        self.source.take(vectors)
        self.given += 1
        _check_rows([len(vectors)], [self.batch])


def _warmed(flow: _Flow, limit_s: float) -> tuple[list[float], bool]:
    """Run until the rate no longer rises, or the time is up; return when each batch was done, and which it was."""
    done = [flow.start]
    while True:
        done.append(flow.next())
        group = max(2, flow.under_way)
        if len(done) > 2 * group and done[-1 - group] - done[-1 - 2 * group] <= RISE * (done[-1] - done[-1 - group]):
            return done[1:], True
        if done[-1] - flow.start >= limit_s and len(done) > 2:
            return done[1:], False


def _whole(times: Sequence[float], under_way: int) -> tuple[int, ...]:
    """Return the completions between which to count, first and last; nothing where there are not enough yet.

    Batches that run at the same time may be done at the same time. A count that began or ended among such a group would
    be too high or too low, so both ends are completions that the next one followed after a wait.
    """
    count = len(times) - 1
    if under_way > 1 and count > 0:
        waits = [i for i in range(count) if times[i + 1] - times[i] >= (times[-1] - times[0]) / count / 2]
        return (waits[0], waits[-1]) if len(waits) > 1 else ()
    return (0, count) if count > 0 else ()


def _spread(samples: Sequence[float], group: int) -> float | None:
    """Return (largest - smallest) / median of the rate over up to ``PARTS`` parts of whole groups."""
    groups = len(samples) // group
    parts = min(PARTS, groups)
    if parts < 2:
        return None
    ends = [round(part * groups / parts) * group for part in range(parts + 1)]
    times = [0.0, *samples]
    rates = [(last - first) / (times[last] - times[first]) for first, last in itertools.pairwise(ends)]
    return (max(rates) - min(rates)) / median(rates)


def _check(pixels: Sequence[Array]) -> None:
    """Raise UsageError for batches that would not measure anything: one alone, or of different shapes."""
    if len(pixels) < 2 or (pixels[0] == pixels[1]).all():
        raise UsageError(
            f"{len(pixels)} batches of pixels, not two different ones", expected="two or more", todo="draw another"
        )
    if len({array.shape for array in pixels}) > 1 or not len(pixels[0]):
        shapes = ", ".join(str(array.shape) for array in pixels)
        raise UsageError(f"batches of the shapes {shapes}", expected="one shape, of an image or more", todo="cut them")


def _check_rows(rows: Sequence[int], expected: Sequence[int], what: str = "rows") -> None:
    if list(rows) != list(expected):
        raise CandidateError(f"the runner gave {list(rows)} {what}", expected=str(list(expected)))
