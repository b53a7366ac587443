"""Notes on what verdicts are worth: where rules disagree, and what a figure is blind to."""

from __future__ import annotations

from snellen.records.report import ReportRecord
from snellen.records.verify import Verdict
from snellen.report.sections import figures as f
from snellen.report.sections.common import joined
from snellen.report.sections.notes.note import Note, Values, when
from snellen.report.sections.parts import Name

CALIBRATED = "calibrated"
ALIKE = 0.999
"""A cosine above it is taken for a proof by many reports."""
FAR = 100.0
"""The largest relative error over the mean one, from which on one element near zero decides it."""


def _calibrated(record: ReportRecord) -> Verdict | None:
    return next((verdict for verdict in record.trial.verdicts if verdict.rule == CALIBRATED), None)


def _others(record: ReportRecord, own: str, outcome: str) -> Values | None:
    """Return the rules of one outcome, where the calibrated one has the other."""
    verdict = _calibrated(record)
    if verdict is None or verdict.outcome != own:
        return None
    found = [Name(one.rule) for one in record.trial.verdicts if one.rule != CALIBRATED and one.outcome == outcome]
    return {"rules": joined(found)} if found else None


def _cosine(record: ReportRecord) -> Values | None:
    """Tell that every cosine looks right although the verdict is a fail."""
    verdict = _calibrated(record)
    cosines = [output.golden.cosine for output in record.trial.outputs if output.golden.elements]
    known = [value for value in cosines if value is not None]
    if verdict is None or verdict.outcome != "fail" or not known or len(known) < len(cosines) or min(known) <= ALIKE:
        return None
    return {"cosine": f.cosine(min(known))}


def _near_zero(record: ReportRecord) -> Values | None:
    """Tell of the output whose largest relative error says most about its smallest element."""
    found = []
    for output in record.trial.outputs:
        most, mean = output.single.max_relative, output.single.mean_relative
        if most is not None and mean and most > FAR * mean:
            found.append((most / mean, output.name, most, mean))
    if not found:
        return None
    _, name, most, mean = max(found)
    return {"output": Name(name), "most": f.number(most), "mean": f.number(mean)}


def _bundle(record: ReportRecord) -> Values | None:
    golden = record.trial.golden
    return None if golden == "computed here" else {"golden": golden}


def _left_out(record: ReportRecord) -> Values | None:
    left = record.trial.inputs.left_out
    return {"count": str(left)} if left else None


def _unseen(record: ReportRecord) -> Values | None:
    stages = record.trial.stages
    return when(stages and all(stage.isolated is None for stage in stages))


NOTES = (
    Note("rules_blind", lambda record: _others(record, "fail", "pass")),
    Note("rules_strict", lambda record: _others(record, "pass", "fail")),
    Note("cosine_blind", _cosine),
    Note("near_zero", _near_zero),
    Note("stages_unseen", _unseen),
    Note("golden_bundle", _bundle),
    Note("left_out", _left_out),
)
