"""What several sections say in the same way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from snellen.records.bench import BenchRecord, Latency, Point
from snellen.records.report import ReportRecord
from snellen.records.verify import Verdict
from snellen.report.sections.figures import NONE
from snellen.report.sections.parts import Name, Say, Text, text, word

RARE = 0.01
"""The chance that a percentile may be wrong by; as ``snellen.timing.statistics`` has it."""


ALONE = "latency"
"""The mode in which one batch runs after another, so that a sample is a latency."""


def yes(flag: bool | None) -> Say:
    """Return yes, no, or a dash for what is not known."""
    return NONE if flag is None else Text("word.yes" if flag else "word.no")


def outcome(verdict: Verdict | None) -> Say:
    """Return what a verdict says."""
    return Text("outcome.none") if verdict is None else word("outcome", verdict.outcome)


def named(value: object) -> Say:
    """Return something programs read; a dash where there is none."""
    return NONE if value is None or value == "" else Name(str(value))


def joined(items: Sequence[Say], how: str = "join.list") -> Say:
    """Return several as one: with what a language puts between them."""
    if not items:
        return NONE
    whole = items[0]
    for item in items[1:]:
        whole = text(how, {"first": whole, "rest": item})
    return whole


def device_of(device: dict[str, Any]) -> Say:
    """Return a device: its name and what it is."""
    product = device.get("product")
    if not product:
        return named(device.get("name"))
    return text("value.device", {"name": named(device.get("name")), "product": str(product)})


def measured(bench: BenchRecord) -> Iterator[tuple[Point, Latency]]:
    """Yield the batch sizes that were measured one by one, and what their samples say."""
    for point in bench.points:
        if point.outcome == "measured" and point.latency is not None:
            yield point, point.latency


def fastest(bench: BenchRecord) -> Point | None:
    """Return the batch size with the highest throughput."""
    rated = [point for point in bench.points if point.images_per_s is not None]
    return max(rated, key=lambda point: point.images_per_s or 0.0, default=None)


def smallest(bench: BenchRecord) -> tuple[Point, Latency] | None:
    """Return the smallest batch size whose latency was measured; in a stream, where batches overlap, none was."""
    found = measured(bench) if bench.mode == ALONE else ()
    return min(found, key=lambda pair: pair[0].batch, default=None)


def peak(bench: BenchRecord, kind: str) -> int | None:
    """Return the most memory of a kind over all batch sizes."""
    known = [getattr(point.memory, kind) for point in bench.points]
    return max((size for size in known if size is not None), default=None)


def needed(percent: float) -> int:
    """Return how many samples support a percentile: so many that all of them below it would be rare."""
    return math.ceil(math.log(RARE) / math.log(percent / 100))


def unsupported(bench: BenchRecord) -> Iterator[tuple[int, float, int]]:
    """Yield (batch, percentile, samples) where a percentile is not given."""
    for point, latency in measured(bench):
        for one in latency.percentiles:
            if one.ms is None:
                yield point.batch, one.percent, latency.count


def rows(pairs: Iterable[tuple[str, Say]]) -> tuple[tuple[Say, ...], ...]:
    """Return rows of a table of facts: what it is, and what it is here."""
    return tuple((Text(f"fact.{key}"), value) for key, value in pairs)


def is_failed(record: ReportRecord) -> bool:
    """Tell whether the verdict is a fail."""
    return record.trial.verdict is not None and record.trial.verdict.outcome == "fail"
