"""What a reader has to know before any figure, and the key figures themselves."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.report import ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.common import device_of, fastest, is_failed, named, outcome, peak, rows, smallest
from snellen.report.sections.parts import Name, Paragraph, Say, Section, Table, Text, headed, text

KINDS = ("allocated_peak_bytes", "device_used_bytes", "process_peak_bytes")


def told(record: ReportRecord) -> tuple[Text, ...]:
    """Return what has to be said before anything else of one report; nothing of one that is what it seems."""
    found = []
    if record.simulated or record.bench.simulated:
        found.append(text("caution.simulated", {"device": device_of(record.trial.candidate.device)}))
    if not record.trained:
        found.append(text("caution.seeded", {"seed": Name(f"seed:{record.model['origin'].get('seed')}")}))
    if record.random_inputs:
        found.append(text("caution.random", {"count": str(len(record.trial.inputs.names))}))
    return tuple(found)


def cautions(record: ReportRecord, other: ReportRecord | None) -> Section:
    """Return the cautions: of this report, and of the one it is compared with."""
    mine = [Paragraph(one, "caution") for one in told(record)]
    theirs = [Paragraph(text("caution.other", {"what": one}), "caution") for one in (told(other) if other else ())]
    return Section("cautions", (*mine, *theirs))


def summary(record: ReportRecord) -> Section:
    """Return the verdict and the key figures."""
    table = Table("summary", headed("what", "value"), rows(_key_figures(record)))
    return Section("summary", (table,))


def _key_figures(record: ReportRecord) -> Iterator[tuple[str, Say]]:
    trial, verdict, bench = record.trial, record.trial.verdict, record.bench
    yield "verdict", outcome(verdict)
    if verdict is not None:
        yield "rule", Name(verdict.rule)
        yield "precision_met", named(verdict.precision)
        yield "precision_required", named(verdict.expected or trial.expect)
        yield "ratio", f.number(verdict.ratio)
    if is_failed(record):
        yield "culprit", named(verdict.culprit if verdict else None)
        yield "cause", named(trial.cause)
    yield "device", device_of(trial.candidate.device)
    yield "runtime", Name(" ".join(filter(None, (trial.candidate.runtime, trial.candidate.version))))
    yield "dtype", Name(trial.candidate.dtype)
    yield "parameters", f.count(record.facts.parameters)
    yield from _speed(record)
    for kind in KINDS:
        size = peak(bench, kind)
        if size is not None:
            yield f"{kind}_mib", f.mib(size)


def _speed(record: ReportRecord) -> Iterator[tuple[str, Say]]:
    bench = record.bench
    first, best = smallest(bench), fastest(bench)
    if first is not None:
        point, latency = first
        yield "latency", text("value.at_batch", {"value": f.ms(latency.p50_ms), "batch": str(point.batch)})
    if best is not None:
        value = {"value": f.number(best.images_per_s, 5), "batch": str(best.batch)}
        yield "throughput", text("value.at_batch", value)
    if first is not None and bench.baseline is not None:
        batch = str(first[0].batch)
        speedup = bench.baseline.speedup.get(batch)
        if speedup is not None:
            yield "speedup", text("value.at_batch", {"value": f.number(speedup), "batch": batch})
