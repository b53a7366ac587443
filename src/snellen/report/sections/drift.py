"""Drift over layers: every stage running freely, and alone on the golden's input, beside the trusted run."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.report import ReportRecord
from snellen.records.verify import Error, StageRecord, TrialRecord
from snellen.report.curves import stage_over_limit, trusted
from snellen.report.sections import figures as f
from snellen.report.sections.common import named
from snellen.report.sections.parts import Name, Paragraph, Part, Quote, Say, Section, Table, Text, headed, text

COLUMNS: tuple[str, ...] = (
    "stage",
    "cumulative",
    "cumulative_trusted",
    "isolated",
    "isolated_trusted",
    "isolated_token",
)
COLUMNS += ("over_limit", "precision", "culprit")


def drift(record: ReportRecord) -> Section:
    """Return the table of stages."""
    return Section("drift", tuple(_parts(record)))


def _parts(record: ReportRecord) -> Iterator[Part]:
    trial = record.trial
    if trial.candidate.note:
        yield Quote(Text("quote.stages"), (trial.candidate.note,))
    if not trial.stages:
        yield Paragraph(Text("drift.none"))
        return
    yield Paragraph(_said(trial))
    body = tuple(_row(trial, stage) for stage in trial.stages)
    classes = list(dict.fromkeys(trusted(trial, stage)[0] for stage in trial.stages))
    note = text("below.drift", {"free": Name(trial.dtype), "fed": Name(" ".join(classes))})
    yield Table("stages", headed(*COLUMNS), body, (1, 2, 3, 4, 5, 6), (note,))


def _said(trial: TrialRecord) -> Text:
    """Say in one sentence how far it was looked, and where it first goes wrong."""
    shown = sum(stage.isolated is not None for stage in trial.stages)
    free = sum(stage.cumulative is not None for stage in trial.stages)
    counts: dict[str, Say] = {"count": str(len(trial.stages)), "shown": str(shown), "free": str(free)}
    culprit = trial.verdict.culprit if trial.verdict else None
    if culprit in {stage.name for stage in trial.stages}:
        return text("drift.culprit", {**counts, "stage": Name(str(culprit))})
    return text("drift.clean" if shown or free else "drift.unseen", counts)


def _row(trial: TrialRecord, stage: StageRecord) -> tuple[Say, ...]:
    culprit = trial.verdict is not None and trial.verdict.culprit == stage.name
    over = stage_over_limit(trial, stage)
    return (
        Name(stage.name),
        _error(stage.cumulative),
        f.number(stage.reference_cumulative.frobenius),
        _error(stage.isolated),
        f.number(trusted(trial, stage)[1].frobenius),
        f.number(stage.isolated.token) if stage.isolated else f.NONE,
        f.NONE if over is None else f.apart(over, 1.0)[0],
        named(stage.precision),
        Text("word.culprit") if culprit else "",
    )


def _error(error: Error | None) -> Say:
    """Return an error; a dash where the candidate does not show the stage, words where it is not finite."""
    if error is None:
        return f.NONE
    return Text("word.not_finite") if error.frobenius is None else f.number(error.frobenius)
