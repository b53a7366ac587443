"""Memory: the most that was held by batch size, beside what the weights take and what the device has."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.report import ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.common import rows
from snellen.report.sections.parts import Paragraph, Part, Say, Section, Table, Text, headed

COLUMNS = ("batch", "allocated_peak", "device_used", "process_peak")


def memory(record: ReportRecord) -> Section:
    """Return what was held."""
    return Section("memory", tuple(_parts(record)))


def _parts(record: ReportRecord) -> Iterator[Part]:
    points = [point for point in record.bench.points if point.outcome == "measured"]
    body = tuple(
        (
            str(point.batch),
            f.mib(point.memory.allocated_peak_bytes),
            f.mib(point.memory.device_used_bytes),
            f.mib(point.memory.process_peak_bytes),
        )
        for point in points
    )
    if body:
        yield Table("memory", headed(*COLUMNS), body, (0, 1, 2, 3), (Text("below.memory"),))
    else:
        yield Paragraph(Text("memory.none"))
    yield Table("memory_sizes", headed("what", "value"), rows(_sizes(record)))


def _sizes(record: ReportRecord) -> Iterator[tuple[str, Say]]:
    bench, device = record.bench, record.environment.device
    yield "run_weights_mib", f.mib(bench.weights_bytes)
    yield "activations_mib", f.mib(bench.bytes_per_image)
    yield "memory_total", f.gib(device.get("total_bytes") or (device.get("memory") or {}).get("total"))
