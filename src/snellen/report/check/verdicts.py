"""Whether what passes is within its limits: every verdict reached again from the record's own figures.

In: a report's document, and the record read of it. Out: findings. The rules are those of the verification room.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.errors import SnellenError
from snellen.records.report import ReportRecord
from snellen.records.verify import Verdict
from snellen.report.check.found import Findings, near, number
from snellen.report.check.walk import Part
from snellen.verification import rules

EXCEEDS = "selftest.perturbed"
"""The one check that passes above its limit: a planted fault has to be seen."""


def check(document: Part, record: ReportRecord | None, out: Findings, *, changed: bool = False) -> None:
    """Look at every verdict and at every check that has a limit. ``changed``: the record's figures were mended."""
    for one in document["trial.checks"].parts():
        _limit(one, out)
    for tried in document["tune.trials"].parts():
        worst = tried["worst"]
        if tried["outcome"].text == "passed" and worst.number is not None:
            seen = f"passed at {number(worst.number)} times its limit"
            out.judge("verdict", worst.place, holds=worst.number <= 1, seen=seen, expected="at most 1")
    if record is None:
        out.skip("verdict", "it cannot be read, so that no rule can judge it again", "trial")
    elif changed:
        out.skip("verdict", "figures in it cannot be, so that no rule can judge it again", "trial.outputs")
    else:
        for place, verdict in _verdicts(record):
            _again(place, verdict, record, out)
        _maxima(document, out)


def _limit(check: Part, out: Findings) -> None:
    """Hold a check that passed to the limit beside it."""
    value, limit = check["value"].number, check["limit"].number
    if check["status"].text != "pass" or value is None or limit is None:
        return
    exceeds = check["name"].text == EXCEEDS
    holds = value > limit if exceeds else value <= limit
    expected = f"{'more than' if exceeds else 'at most'} {number(limit)}"
    out.judge("verdict", check["value"].place, holds=holds, seen=f"passed at {number(value)}", expected=expected)


def _verdicts(record: ReportRecord) -> Iterator[tuple[str, Verdict]]:
    if record.trial.verdict is not None:
        yield "trial.verdict", record.trial.verdict
    for index, verdict in enumerate(record.trial.verdicts):
        yield f"trial.verdicts[{index}]", verdict


def _again(place: str, verdict: Verdict, record: ReportRecord, out: Findings) -> None:
    """Let the rule judge the record's figures once more."""
    try:
        now = rules.apply(verdict.rule, record.trial)
    except SnellenError as error:
        out.skip("verdict", error.seen, place)
        return
    same = now.outcome == verdict.outcome
    expected = f"{now.outcome}: {now.because}"
    out.judge("verdict", place, holds=same, seen=f"{verdict.outcome} by the rule {verdict.rule}", expected=expected)
    if same and now.ratio is not None and verdict.ratio is not None:
        holds, seen = near(now.ratio, verdict.ratio), number(verdict.ratio)
        out.judge("verdict", f"{place}.ratio", holds=holds, seen=seen, expected=f"about {number(now.ratio)}")


def _maxima(document: Part, out: Findings) -> None:
    """Hold the largest error of an output to those of its inputs, and rows of one seed to each other."""
    for output in document["trial.outputs"].parts():
        largest = [image["max_abs"].number for image in output["images"].parts()]
        given = output["single.max_abs"].number
        known = [value for value in largest if value is not None]
        if given is not None and known and len(known) == len(largest):
            out.equal("maximum", output["single.max_abs"].place, given, max(known))
    before: dict[tuple[object, object], Part] = {}
    for row in document["seeds"].parts():
        key, value = (row["seed"].value, row["output"].value), row["max_abs"].number
        if key in before and value is not None and (first := before[key].number) is not None:
            out.equal("maximum", row["max_abs"].place, value, first)
        before.setdefault(key, row["max_abs"])
