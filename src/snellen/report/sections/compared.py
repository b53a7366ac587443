"""Two reports side by side: two devices, two versions, before and after. Nothing is judged, ratios are told."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.bench import BenchRecord, Latency
from snellen.records.report import ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.common import device_of, measured, named, outcome, peak
from snellen.report.sections.parts import Name, Paragraph, Part, Say, Section, Table, Text, headed

NUMERIC = (1, 2, 3)


def compared(record: ReportRecord, other: ReportRecord) -> Section:
    """Return this report beside another one."""
    return Section("compared", tuple(_parts(record, other)))


def _parts(record: ReportRecord, other: ReportRecord) -> Iterator[Part]:
    yield Paragraph(Text("compared.how"))
    if record.facts.digest != other.facts.digest:
        yield Paragraph(Text("compared.weights"), "caution")
    if record.trial.inputs.sha256 != other.trial.inputs.sha256:
        yield Paragraph(Text("compared.inputs"), "caution")
    pairs = zip(_setup(record), _setup(other), strict=True)
    setup = tuple((Text(f"fact.{key}"), mine, theirs) for (key, mine), (_, theirs) in pairs)
    yield Table("compared_setup", headed("what", "this", "other"), setup)
    versions = tuple(_versions(record, other))
    if versions:
        yield Table("compared_versions", headed("package", "this", "other"), versions)
    errors = tuple(_errors(record, other))
    if errors:
        yield Table("compared_accuracy", headed("output", "this_error", "other_error", "ratio"), errors, NUMERIC)
    rules = tuple(_rules(record, other))
    if rules:
        yield Table("compared_rules", headed("rule", "this", "other"), rules)
    speed = tuple(_speed(record.bench, other.bench))
    if speed:
        header = headed("batch", "this_p50", "other_p50", "ratio", "this_throughput", "other_throughput")
        yield Table("compared_speed", header, speed, tuple(range(6)), (Text("below.compared"),))


def _setup(record: ReportRecord) -> Iterator[tuple[str, Say]]:
    trial, verdict, bench = record.trial, record.trial.verdict, record.bench
    yield "variant", Name(record.facts.title)
    yield "device", device_of(trial.candidate.device)
    yield "runtime", Name(" ".join(filter(None, (trial.candidate.runtime, trial.candidate.version))))
    yield "dtype", Name(trial.candidate.dtype)
    yield "verdict", outcome(verdict)
    yield "ratio", f.number(verdict.ratio) if verdict else f.NONE
    yield "precision_met", named(verdict.precision) if verdict else f.NONE
    yield "load_s", f.number(bench.start.load_s)
    yield "prepare_s", f.number(bench.start.prepare_s)
    yield "first_run_ms", f.ms(bench.start.first_run_ms)
    for kind in ("allocated_peak_bytes", "device_used_bytes", "process_peak_bytes"):
        yield f"{kind}_mib", f.mib(peak(bench, kind))
    yield "started_at", record.started_at


def _versions(record: ReportRecord, other: ReportRecord) -> Iterator[tuple[Say, ...]]:
    """Yield the software that differs."""
    mine = {**record.environment.packages, **record.environment.stack, "python": record.environment.python}
    theirs = {**other.environment.packages, **other.environment.stack, "python": other.environment.python}
    for name in dict.fromkeys((*mine, *theirs)):
        if mine.get(name) != theirs.get(name):
            yield Name(name), named(mine.get(name)), named(theirs.get(name))


def _errors(record: ReportRecord, other: ReportRecord) -> Iterator[tuple[Say, ...]]:
    there = {output.name: output.golden.relative_frobenius for output in other.trial.outputs}
    for output in record.trial.outputs:
        mine, theirs = output.golden.relative_frobenius, there.get(output.name)
        if output.name in there:
            yield Name(output.name), *f.apart(mine, theirs), _ratio(mine, theirs)


def _rules(record: ReportRecord, other: ReportRecord) -> Iterator[tuple[Say, ...]]:
    there = {verdict.rule: verdict for verdict in other.trial.verdicts}
    for verdict in record.trial.verdicts:
        if verdict.rule in there:
            yield Name(verdict.rule), outcome(verdict), outcome(there[verdict.rule])


def _speed(bench: BenchRecord, other: BenchRecord) -> Iterator[tuple[Say, ...]]:
    here = {point.batch: (point, latency) for point, latency in measured(bench)}
    there = {point.batch: (point, latency) for point, latency in measured(other)}
    for batch in sorted(set(here) & set(there)):
        (mine, latency), (theirs, latency_there) = here[batch], there[batch]
        rates = f.number(mine.images_per_s, 5), f.number(theirs.images_per_s, 5)
        yield str(batch), *_medians(latency, latency_there), *rates


def _medians(mine: Latency, theirs: Latency) -> tuple[str, str, str]:
    return f.ms(mine.p50_ms), f.ms(theirs.p50_ms), _ratio(mine.p50_ms, theirs.p50_ms)


def _ratio(mine: float | None, theirs: float | None) -> str:
    return f.NONE if mine is None or not theirs else f.number(mine / theirs)
