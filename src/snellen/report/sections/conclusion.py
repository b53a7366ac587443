"""The conclusion, in one paragraph made of the verdicts and the key figures; and the files beside the card."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.report import ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.cautions import told
from snellen.report.sections.common import device_of, fastest, joined, named, rows, smallest
from snellen.report.sections.parts import Code, Name, Paragraph, Say, Section, Table, Text, headed, text, word


def conclusion(record: ReportRecord) -> Section:
    """Return the conclusion."""
    sentences: list[Say] = [*_verdict(record), *_rules(record), *_speed(record), *told(record)]
    return Section("conclusion", (Paragraph(text("conclusion.whole", {"text": joined(sentences, "join.sentences")})),))


def _verdict(record: ReportRecord) -> Iterator[Text]:
    trial, verdict = record.trial, record.trial.verdict
    values: dict[str, Say] = {
        "model": Name(record.facts.title),
        "device": device_of(trial.candidate.device),
        "runtime": Name(trial.candidate.runtime),
        "dtype": Name(trial.candidate.dtype),
    }
    if verdict is None:
        yield text("conclusion.none", values)
        return
    values["rule"] = Name(verdict.rule)
    if verdict.ratio is None:  # an output is not finite, or the rule has no such figure
        yield text("conclusion.unrated", {**values, "outcome": word("outcome", verdict.outcome)})
    else:
        ratio = f.apart(verdict.ratio, 1.0)[0]
        found: dict[str, Say] = {"ratio": ratio, "precision": named(verdict.precision)}
        yield text(f"conclusion.{verdict.outcome}", {**values, **found, "required": named(verdict.expected)})
    if verdict.outcome == "fail" and verdict.culprit:
        yield text("conclusion.culprit", {"culprit": Name(verdict.culprit)})
    if verdict.outcome == "fail" and trial.cause:
        yield text("conclusion.cause", {"cause": Name(trial.cause)})


def _rules(record: ReportRecord) -> Iterator[Text]:
    """Say what the other rules make of the same figures."""
    own = record.trial.verdict.rule if record.trial.verdict else None
    others = [verdict for verdict in record.trial.verdicts if verdict.rule != own]
    for outcome in ("pass", "limited", "fail", "inconclusive"):
        found = [Name(verdict.rule) for verdict in others if verdict.outcome == outcome]
        if found:
            count = {"count": str(len(found)), "rules": joined(found)}
            yield text("conclusion.rules", {"outcome": word("outcome", outcome), **count})


def _speed(record: ReportRecord) -> Iterator[Text]:
    first, best = smallest(record.bench), fastest(record.bench)
    if first is None and best is None:
        yield Text("conclusion.unmeasured")
    if first is not None:
        yield text("conclusion.latency", {"batch": str(first[0].batch), "value": f.ms(first[1].p50_ms)})
    if best is not None:
        yield text("conclusion.throughput", {"batch": str(best.batch), "value": f.number(best.images_per_s, 5)})


def files(record: ReportRecord) -> Section:
    """Return what lies beside the card, and how it was made."""
    made = rows(_made(record))
    parts: list[Code | Paragraph | Table] = [
        Code(Text("code.made"), "sh", record.command),
        Table("made", headed("what", "value"), made),
    ]
    if record.files:
        listed = tuple(
            (Name(one.name), word("file", one.name), f.count(one.bytes), named(one.sha256)) for one in record.files
        )
        parts.insert(0, Table("files", headed("file", "holds", "bytes", "sha256"), listed, (2,)))
    else:
        parts.insert(0, Paragraph(Text("files.none")))
    return Section("files", tuple(parts))


def _made(record: ReportRecord) -> Iterator[tuple[str, Say]]:
    yield "started_at", record.started_at
    yield "snellen", record.version
    for part, seconds in record.seconds.items():
        yield "seconds", text("value.spent", {"part": word("part", part), "seconds": f.number(seconds)})
