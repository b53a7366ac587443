"""Notes on speed and memory: what the figures do not bear, and what would make them better."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from snellen.records.bench import Point
from snellen.records.report import ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.common import measured, needed, smallest, unsupported
from snellen.report.sections.notes.note import Note, Values
from snellen.report.sections.parts import Name
from snellen.report.sections.places import CUDA, NPU, kind

SLOWER = 2.0
"""A first run this many times as long as the median is worth a note."""
FLAT = 1.1
"""A batch of several images that takes less than this much longer than one of fewer leaves the device waiting."""
BUSY = 0.5
"""Processes per thread before the run, from which on something else was running."""


def _batches(points: Iterable[Point]) -> Values | None:
    found = [str(point.batch) for point in points]
    return {"batches": f.listed(found)} if found else None


def _host_bound(record: ReportRecord) -> Values | None:
    return _batches(point for point in record.bench.points if point.host_bound)


def _full(record: ReportRecord) -> Values | None:
    return _batches(point for point in record.bench.points if point.outcome == "out of memory")


def _of_kind(found: Values | None, record: ReportRecord, *kinds: str) -> Values | None:
    return found if kind(record) in kinds else None


def _first_run(record: ReportRecord) -> Values | None:
    first, found = record.bench.start.first_run_ms, smallest(record.bench)
    if found is None or first < SLOWER * found[1].p50_ms:
        return None
    return {"first": f.ms(first), "steady": f.ms(found[1].p50_ms), "batch": str(found[0].batch)}


def _percentiles(record: ReportRecord) -> Values | None:
    absent = list(unsupported(record.bench))
    if not absent:
        return None
    percent = max(percent for _, percent, _ in absent)
    batches = dict.fromkeys(str(batch) for batch, _, _ in absent)
    return {"batches": f.listed(batches), "percent": f"p{percent:g}", "needed": str(needed(percent))}


def _unstable(record: ReportRecord) -> Values | None:
    return _batches(point for point in record.bench.points if point.stability and not point.stability.stable)


def _unsteady(record: ReportRecord) -> Values | None:
    return _batches(point for point in record.bench.points if point.steady is False)


def _flat(record: ReportRecord) -> Values | None:
    """Tell that more images take no longer: the device waits for something else than arithmetic."""
    found = sorted(measured(record.bench), key=lambda pair: pair[0].batch)
    for (few, short), (many, long) in pairwise(found):
        if long.p50_ms < FLAT * short.p50_ms and many.batch >= 2 * few.batch:
            times = {"short": f.ms(short.p50_ms), "long": f.ms(long.p50_ms)}
            return {"few": str(few.batch), "many": str(many.batch), **times}
    return None


def _busy(record: ReportRecord) -> Values | None:
    load, threads = record.bench.load_before, record.bench.machine.threads
    if not load or not threads or load[0] <= BUSY * threads:
        return None
    return {"load": f.number(load[0]), "threads": str(threads)}


def _tuned(record: ReportRecord) -> Values | None:
    """Tell that the setup which was found is not the one on trial."""
    plan = record.tune.plan if record.tune else None
    candidate = record.trial.candidate
    if plan is None or (plan.setup.runtime, plan.setup.dtype) == (candidate.runtime, candidate.dtype):
        return None
    return {"setup": Name(str(plan.setup)), "runtime": Name(candidate.runtime), "dtype": Name(candidate.dtype)}


def _baseline(record: ReportRecord) -> Values | None:
    found = record.bench.baseline
    return None if found is None else {"device": Name(found.device), "setup": Name(str(found.setup))}


NOTES = (
    Note("host_bound", _host_bound),
    Note("task_queue", lambda record: _of_kind(_host_bound(record), record, NPU)),
    Note("flat", _flat),
    Note("out_of_memory", _full),
    Note("allocator_npu", lambda record: _of_kind(_full(record), record, NPU)),
    Note("allocator_cuda", lambda record: _of_kind(_full(record), record, CUDA)),
    Note("first_run", _first_run),
    Note("percentiles", _percentiles),
    Note("unstable", _unstable),
    Note("unsteady", _unsteady),
    Note("busy", _busy),
    Note("tuned", _tuned),
    Note("baseline", _baseline),
)
