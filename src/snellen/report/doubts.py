"""What the figures of a measurement of speed do not bear, in plain words, each with its remedy.

In: the record of a measurement. Out: sentences. Nothing is judged here: what is unstable, host-bound or unsupported
is what the record says is.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.bench import BenchRecord, Point
from snellen.report.figures import listed

LONGER = "measure longer with --seconds"
REMEDIES = {
    "out of memory": "take smaller batches, or end what else holds memory",
    "raised": "'snellen verify' says whether the encoder runs there at all",
    "not tried": "",
}


def doubts(record: BenchRecord) -> Iterator[str]:
    """Yield what is to be minded before a figure is quoted."""
    points = [point for point in record.points if point.outcome == "measured"]
    yield from _unmeasured(record)
    yield from _unstable(points)
    bound = [point.batch for point in points if point.host_bound]
    if bound:
        yield (
            f"at batch {listed(bound)} the host was busy for most of the time and the device waited for it: take "
            "larger batches, or another --runtime, which asks less of the host"
        )
    falling = [point.batch for point in points if point.steady is False]
    if falling:
        yield f"batch {listed(falling)}: times were still falling when the warm-up was over; {LONGER}"
    if record.mode == "latency":  # a sample of a stream is a whole visit
        yield from _unsupported(points)
    yield from _busy(record)


def _unmeasured(record: BenchRecord) -> Iterator[str]:
    for point in record.points:
        if point.outcome != "measured":
            told = ": ".join(filter(None, (point.outcome, point.because)))
            sought = record.largest_batch is not None and point.batch > record.largest_batch  # the end was looked for
            remedy = "" if sought else REMEDIES[point.outcome]
            yield "; ".join(filter(None, (f"batch {point.batch} has no figures, {told}", remedy)))


def _unstable(points: list[Point]) -> Iterator[str]:
    """Yield in one line what is not stable, and why the least stable is not."""
    shaky = [(point.stability, point.batch) for point in points if point.stability and not point.stability.stable]
    if shaky:
        least, batch = min(shaky, key=lambda pair: pair[0].near_share)
        again = ", measured twice" if least.attempts > 1 else ""
        batches = listed(number for _, number in shaky)
        told = f"not stable{again}: batch {batches} (batch {batch}: {least.because})"
        yield f"{told}; end what else runs here, or {LONGER}"


def _unsupported(points: list[Point]) -> Iterator[str]:
    """Yield which percentiles are not given, those of the same batch sizes together, and what they need."""
    absent: dict[str, dict[int, str]] = {}
    for point in sorted(points, key=lambda point: -len(point.samples_ms)):  # the reasons are told of the most samples
        for one in point.latency.percentiles if point.latency else ():
            if one.ms is None:
                absent.setdefault(f"p{one.percent:g}", {})[point.batch] = one.because
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, reasons in absent.items():
        alike.setdefault(tuple(reasons), []).append(name)
    for batches, names in alike.items():
        because = "; ".join(absent[name][batches[0]] for name in names)
        yield f"no {', '.join(names)} at batch {listed(sorted(batches))} (batch {batches[0]}: {because}); {LONGER}"


def _busy(record: BenchRecord) -> Iterator[str]:
    """Yield that something else ran before, judged by half of the threads there are."""
    threads = record.machine.threads
    if record.load_before and threads and record.load_before[0] > threads / 2:
        busy = f"{record.load_before[0]:.2g} processes over the minute before, on {threads} threads"
        yield f"something else was running ({busy}): end it and measure again"
