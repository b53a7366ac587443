"""A sweep over batch sizes as a small plot of text: the rate and the latency of each, beside each other.

In: batch sizes that were measured. Out: lines no wider than asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snellen.records.bench import Latency, Point
from snellen.report.plots import LogAxis

GAP = 3  # cells between the two plots


def plotted(points: Sequence[Point], width: int) -> Iterator[str]:
    """Yield a line for each of at least two batch sizes; rate and latency stand on logarithmic axes of their own."""
    if len(points) < 2:
        return
    room = max(len(f"{point.batch}") for point in points)
    cells = (width - room - 2 * GAP) // 2
    latencies = [point.latency for point in points if point.latency is not None]
    left = LogAxis.over([point.images_per_s for point in points], cells)
    right = LogAxis.over([end for one in latencies for end in (one.min_ms, one.max_ms)], cells)

    def row(first: str, rate: str, latency: str) -> str:
        return f"{first:>{room}}{' ' * GAP}{rate:<{cells}}{' ' * GAP}{latency if latencies else ''}"

    yield row("", "images/s", "ms a batch: < min, o median, > max")
    for point in points:
        rate = "" if point.images_per_s is None else left.row({"o": point.images_per_s})
        yield row(f"{point.batch}", rate, _box(right, point.latency))
    yield row("", left.ruler(), right.ruler())
    yield row("", left.labels(), right.labels())


def _box(axis: LogAxis, latency: Latency | None) -> str:
    return "" if latency is None else axis.row({"<": latency.min_ms, "o": latency.p50_ms, ">": latency.max_ms})
