"""Every raw sample of a measurement as a table, for whoever wants to compute something else from it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from snellen.records.bench import BenchRecord, Point

HEADER = ("run", "device", "runtime", "dtype", "batch", "round", "sample", "latency_ms", "enqueue_ms")


def table(bench: BenchRecord) -> str:
    """Return one line for each sample, in the order they were taken; a simulated device is called so in every line."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    place = f"{bench.device['name']}{' SIMULATED' if bench.simulated else ''}"
    writer.writerows(_lines(("candidate", place, bench.setup.runtime, bench.setup.dtype), bench.points))
    if bench.baseline is not None:
        other = bench.baseline
        writer.writerows(_lines(("baseline", other.device, other.setup.runtime, other.setup.dtype), other.points))
    return stream.getvalue()


def _lines(what: tuple[str, ...], points: Sequence[Point]) -> Iterator[tuple[object, ...]]:
    for point in points:
        belongs = [number for number, count in enumerate(point.rounds, start=1) for _ in range(count)]
        for place, latency in enumerate(point.samples_ms):
            enqueue = point.enqueue_ms[place] if place < len(point.enqueue_ms) else ""
            round_ = belongs[place] if place < len(belongs) else ""
            yield *what, point.batch, round_, place + 1, latency, enqueue
