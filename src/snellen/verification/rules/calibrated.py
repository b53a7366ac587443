"""The calibrated rule: an error is judged by the error a trusted run of the required class makes on the same inputs.

In: a record. Out: a verdict that says what was met, where it first went wrong, and what to do. The order of questions:
is the trial itself sound, are all numbers finite, did it run there, are outputs and stages within their limits, does it
behave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snellen.records.verify import Check, StageRecord, TrialRecord, Verdict, Verdicts
from snellen.verification.ratios import Ratio, of_outputs, of_stages, over
from snellen.verification.rules.sentences import beyond, met, where

NAME = "calibrated"

ASKED = ("behaviour.order", "behaviour.batch")
"""Questions that a pass says were left open, where they were."""


def judge(record: TrialRecord) -> Verdict:
    """Judge a record by the calibrated limits."""
    outputs, stages = of_outputs(record), of_stages(record)
    worst = max((*outputs, *stages), key=lambda r: r.size, default=None)
    findings = tuple(_findings(record, outputs, stages))
    culprit = first_culprit(record)

    def verdict(outcome: Verdicts, because: str, blame: str | None = None) -> Verdict:
        return Verdict(
            rule=NAME,
            outcome=outcome,
            because=because,
            culprit=blame,
            precision=met(record) if outcome != "inconclusive" else None,
            expected=record.expect,
            ratio=worst.value if worst else None,
            findings=findings,
        )

    unsure = _unsure(record)
    if unsure:
        return verdict("inconclusive", unsure)
    broken = [o for o in record.outputs if o.golden.nonfinite]
    if broken:
        counts = ", ".join(f"{o.golden.nonfinite} of {o.golden.elements} in {o.name}" for o in broken)
        return verdict("fail", f"NaN or infinity where the golden is finite: {counts}", culprit)
    largest = max(outputs, key=lambda r: r.size)
    if not all(r.passes for r in (*outputs, *stages)):
        return verdict("fail", beyond(record, largest.what, culprit), culprit)
    misbehaves = _failed(record, "behaviour.")
    if misbehaves:
        return verdict("fail", f"{misbehaves.name.partition('.')[2]}: {misbehaves.because}")
    warnings = [check.because for check in record.checks if check.status == "warn"]
    if warnings:
        return verdict("limited", f"the numbers are right, but {'; '.join(warnings)}")
    return verdict("pass", _passed(record, largest))


def _unsure(record: TrialRecord) -> str | None:
    """Return why nothing can be concluded, or None where something can."""
    unsound = _failed(record, "selftest.", "reference.")
    if unsound:
        return f"there is no verdict: {unsound.because}"
    if not record.outputs:
        return "there is no verdict: no output of the candidate could be compared"
    if not any(check.name == "reference.noise" for check in record.checks):
        return f"there is no verdict: the record does not say how far off the CPU's own {record.expect} run is"
    elsewhere = _failed(record, "placement.")
    place = record.candidate.device.get("name", "the device")
    return f"it did not run on {place} alone: {elsewhere.because}" if elsewhere else None


def first_culprit(record: TrialRecord) -> str | None:
    """Return the first stage that errs more than its limit when fed the golden's input, else when running freely."""
    alone = next((r.what for r in of_stages(record) if not r.passes), None)
    return alone or next((stage.name for stage in record.stages if _drifts(record, stage)), None)


def _drifts(record: TrialRecord, stage: StageRecord) -> bool:
    """Tell whether a stage of the free run drifts further than the reference, of which only the dtype's own is kept."""
    if stage.cumulative is None or record.expect != record.dtype:
        return False
    return not over(stage.name, stage.cumulative, stage.reference_cumulative, stage.rounding, record.expect).passes


def _failed(record: TrialRecord, *kinds: str) -> Check | None:
    return next((c for c in record.checks if c.status == "fail" and c.name.startswith(kinds)), None)


def _passed(record: TrialRecord, worst: Ratio) -> str:
    e, r = worst.error.frobenius, worst.reference.frobenius
    assert e is not None
    assert r is not None
    times = f"{e / r:.2f} times" if r else "as near as"
    because = f"{worst.what} lie {e:.2e} from float64, {times} the CPU's own {record.expect} run ({r:.2e})"
    open_questions = [c.name.partition(".")[2] for c in record.checks if c.status == "unknown" and c.name in ASKED]
    left = f"; not looked at: {', '.join(open_questions)}" if open_questions else ""
    return f"{because}; {where(record)}{left}"


def _findings(record: TrialRecord, outputs: Iterable[Ratio], stages: Iterable[Ratio]) -> Iterator[str]:
    """Yield what speaks for the outcome, the worst first."""
    named = [*((r, f"output {r.what}") for r in outputs), *((r, f"stage {r.what}") for r in stages)]
    for r, what in sorted((pair for pair in named if not pair[0].passes), key=lambda pair: -pair[0].size):
        times = "is not finite" if r.value is None else f"errs {r.value:.4g} times its limit"
        yield f"{what} {times}"
    for check in record.checks:
        if check.status in ("fail", "warn"):
            yield f"{check.name}: {check.because}"
    for toggle in record.toggles:
        effect = "explains it" if toggle.explains else "does not explain it"
        yield f"{' and '.join(toggle.switches)} set to strict {effect}"
