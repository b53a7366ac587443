"""Accuracy: the verdict and what it rests on, every other rule's verdict, the verifier's own tests."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.report import ReportRecord
from snellen.records.verify import Check, TrialRecord, Verdict
from snellen.report.sections import figures as f
from snellen.report.sections.common import is_failed, joined, named, outcome, rows, yes
from snellen.report.sections.findings import finding, judged
from snellen.report.sections.parts import (
    Name,
    Paragraph,
    Part,
    Points,
    Quote,
    Say,
    Section,
    Table,
    Text,
    headed,
    text,
    word,
)
from snellen.report.sections.tensors import tensors
from snellen.verification.ratios import of_outputs

LIMITS = ("output", "error", "trusted", "limit", "token", "token_trusted", "token_limit", "over_limit")


def accuracy(record: ReportRecord) -> Section:
    """Return how near to the golden it is, and what every rule says of that."""
    return Section("accuracy", tuple(_parts(record)))


def _parts(record: ReportRecord) -> Iterator[Part]:
    trial = record.trial
    yield Paragraph(_method(trial))
    yield Table("verdict", headed("what", "value"), rows(_verdict(record)))
    yield from _findings(trial.verdict)
    limits = tuple(_limits(trial))
    if limits:
        note = text("below.limits", {"class": Name(trial.expect)})
        yield Table("limits", headed(*LIMITS), limits, tuple(range(1, len(LIMITS))), (note,))
    yield from _rules(trial)
    yield from tensors(record)
    yield from _checks(trial)
    if trial.toggles and is_failed(record):
        toggles = tuple(
            (Name(", ".join(t.switches)), named(t.precision), f.number(t.error), yes(t.explains)) for t in trial.toggles
        )
        yield Table("toggles", headed("switches", "precision", "over_limit", "explains"), toggles, (2,))


def _method(trial: TrialRecord) -> Text:
    inputs = trial.inputs
    values: dict[str, Say] = {
        "inputs": word("inputs", inputs.kind),
        "names": joined([str(name) for name in inputs.names]),
        "shape": f.shape(inputs.shape),
        "digest": Name(inputs.sha256),
        "golden": Text("golden.here") if trial.golden == "computed here" else trial.golden,
    }
    return text("accuracy.method", values)


def _verdict(record: ReportRecord) -> Iterator[tuple[str, Say]]:
    trial, verdict = record.trial, record.trial.verdict
    yield "verdict", outcome(verdict)
    if verdict is None:
        return
    yield "rule", Name(verdict.rule)
    yield "dtype", Name(trial.dtype)
    yield "precision_met", named(verdict.precision)
    yield "precision_required", named(verdict.expected or trial.expect)
    yield "ratio", f.apart(verdict.ratio, 1.0)[0] if verdict.ratio is not None else f.NONE
    if is_failed(record):
        yield "culprit", named(verdict.culprit)
        yield "cause", named(trial.cause)


def _findings(verdict: Verdict | None) -> Iterator[Part]:
    """Yield the reason in the verifier's words, and its findings; those that are figures in the reader's language."""
    if verdict is None:
        yield Paragraph(Text("accuracy.unjudged"))
        return
    yield Quote(Text("quote.verdict"), (verdict.because,))
    told = [(sentence, finding(sentence)) for sentence in verdict.findings]
    readable = tuple(one for _, one in told if one is not None)
    if readable:
        yield Points(readable)
    rest = tuple(sentence for sentence, one in told if one is None)
    if rest:
        yield Quote(Text("quote.findings"), rest)


def _limits(trial: TrialRecord) -> Iterator[tuple[Say, ...]]:
    for one in of_outputs(trial):
        error, limit = f.apart(one.error.frobenius, one.allowed.frobenius)
        token, most = f.apart(one.error.token, one.allowed.token)
        trusted = f.number(one.reference.frobenius), f.number(one.reference.token)
        ratio = f.NONE if one.value is None else f.apart(one.value, 1.0)[0]
        yield Name(one.what), error, trusted[0], limit, token, trusted[1], most, ratio


def _rules(trial: TrialRecord) -> Iterator[Part]:
    """Yield a row for every rule, and in its own words what cannot be put into one."""
    header = headed("rule", "origin", "outcome", "place", "metric", "figure", "limit", "over_limit", "demands")
    body, quoted = [], []
    for verdict in trial.verdicts:
        figure = judged(verdict.because)
        told: tuple[Say, ...] = (f.NONE, f.NONE, f.NONE, f.NONE)
        if figure is not None:
            told = (figure.where, word("metric", figure.metric), figure.value, figure.limit)
        elif trial.verdict is None or verdict.because != trial.verdict.because:  # that one is quoted above
            quoted.append(f"{verdict.rule}: {verdict.because}")
        head = (Name(verdict.rule), word("rule", verdict.rule), outcome(verdict))
        body.append((*head, *told, f.number(verdict.ratio), _demands(verdict)))
    if body:
        yield Table("rules", header, tuple(body), (5, 6, 7), (Text("below.rules"),))
    if quoted:
        yield Quote(Text("quote.rules"), tuple(quoted))


def _demands(verdict: Verdict) -> Say:
    """Return the limits that a rule's findings name, each once."""
    found = [figure.demand for sentence in verdict.findings if (figure := judged(sentence)) is not None]
    distinct = {f"{one.key} {one.values}": one for one in found}
    return joined(list(distinct.values()), "join.clauses")


def _checks(trial: TrialRecord) -> Iterator[Part]:
    if not trial.checks:
        return
    header = headed("check", "status", "figure", "limit", "because")
    note = Text("below.checks")
    yield Table("checks", header, tuple(map(_check, trial.checks)), (2, 3), (note,))


def _check(check: Check) -> tuple[Say, ...]:
    value, limit = f.apart(check.value, check.limit)
    what = joined([word("check", check.name), Name(check.name)], "join.name")
    return what, word("status", check.status), value, limit, check.because
