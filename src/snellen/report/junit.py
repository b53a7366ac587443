"""A trial as JUnit XML, for the test reports of continuous integration.

In: a trial's record. Out: XML as Jenkins, GitLab and others read it: one suite, with a case for the verdict, each
output, each stage (fed the golden's input) and each check. Elements and attributes are those of the schema that
Jenkins' xUnit plugin publishes (junit-10.xsd).

Only the verdict fails a trial, so that its case carries the trial's time and its outcome: a failure for fail (and for
limited, where that was asked for), an error for inconclusive. The other cases say where it went wrong; one that no
rule judged alone is skipped, never passed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from snellen.records.verify import Check, Error, OutputRecord, StageRecord, TrialRecord
from snellen.report.curves import over_limit, stage_over_limit, trusted
from snellen.report.terminal import SIMULATED, is_failed, measured
from snellen.report.text import figure, shape

Kind = Literal["passed", "failure", "error", "skipped"]

CALIBRATED = "calibrated"  # the one rule that has a limit for each output and stage

# What XML 1.0 cannot hold, not even escaped.
UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test case: what became of it, why, and what it printed, which stands beside a failure's message."""

    group: str  # verdict, outputs, stages, checks
    name: str
    kind: Kind = "passed"
    message: str = ""
    printed: str = ""


def trial(record: TrialRecord, *, strict: bool = False) -> str:
    """Return the trial as a JUnit document, ending in a line break; ``strict`` makes a limited verdict a failure.

    One on a simulated device says so in a comment before everything else, and in the name of the suite.
    """
    cases = [
        _verdict(record, strict),
        *(_output(record, output) for output in record.outputs),
        *(_stage(record, stage) for stage in record.stages),
        *map(_check, record.checks),
    ]
    name = _clean(f"snellen.verify.{record.model.get('variant', '-')}")
    spent = f"{record.seconds.get('total', sum(record.seconds.values())):.3f}"
    counts = {"tests": str(len(cases)), "time": spent}
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[attribute] = str(sum(case.kind == kind for case in cases))
    whole = ElementTree.Element("testsuites", {"name": "snellen.verification", **_without(counts, "skipped")})
    simulated = record.candidate.simulated
    marked = f"SIMULATED {name}" if simulated else name
    suite = ElementTree.SubElement(whole, "testsuite", {"name": marked, **counts})
    if record.started_at:
        suite.set("timestamp", _clean(record.started_at)[:19])  # UTC, to the second: what the schema's readers take
    _properties(suite, record)
    for case in cases:
        _add(suite, case, name, spent)
    ElementTree.indent(whole)
    comment = f"<!-- {SIMULATED} -->\n" if simulated else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{comment}{ElementTree.tostring(whole, encoding="unicode")}\n'


def _verdict(record: TrialRecord, strict: bool) -> Case:
    verdict = record.verdict
    if verdict is None:
        return Case(group="verdict", name="verdict", kind="error", message="no verdict was reached")
    kinds: dict[str, Kind] = {"fail": "failure", "inconclusive": "error", "limited": "failure" if strict else "passed"}
    lines = [*verdict.findings, f"cause: {record.cause}" if record.cause and is_failed(record) else ""]
    if verdict.outcome == "limited":
        lines.insert(0, f"limited: {verdict.because}")
    return Case(
        group="verdict",
        name=f"rule {verdict.rule}",
        kind=kinds.get(verdict.outcome, "passed"),
        message=verdict.because,
        printed="\n".join(filter(None, lines)),
    )


def _output(record: TrialRecord, output: OutputRecord) -> Case:
    golden = output.golden
    over = over_limit(record, output)
    run, reference = trusted(record, output)
    lines = (
        f"shape {shape(output.shape)}",
        f"error {figure(golden.relative_frobenius)}, of the trusted run in {run} {figure(reference.frobenius)}",
        f"worst token {figure(golden.worst_token)}, of the trusted run in {run} {figure(reference.token)}",
        f"over the calibrated limit {figure(over)}",
    )
    kind, message = _judged(record, over)
    if golden.nonfinite:
        kind, message = (
            "failure",
            f"{golden.nonfinite} of {golden.elements} numbers are not finite where they should be",
        )
    elif not golden.elements:
        kind, message = "skipped", "the encoder has none: nothing to compare"
    return Case(group="outputs", name=output.name, kind=kind, message=message, printed="\n".join(lines))


def _stage(record: TrialRecord, stage: StageRecord) -> Case:
    over = stage_over_limit(record, stage)
    run, reference = trusted(record, stage)
    kind, message = _judged(record, over)
    if stage.isolated is None:
        kind, message = "skipped", record.candidate.note or "the candidate shows no stages"
    elif stage.isolated.frobenius is None:
        kind, message = "failure", "not finite, fed the golden's input"
    elif _to_blame(record, stage):
        kind, message = "failure", f"the first culprit: error {figure(stage.isolated.frobenius)} on the golden's input"
    lines = (
        f"isolated {_figures(stage.isolated)}, of the trusted run in {run} {_figures(reference)}",
        f"cumulative {_figures(stage.cumulative)}, "
        f"of the trusted run in {record.dtype} {_figures(stage.reference_cumulative)}",
        f"isolated over the calibrated limit {figure(over)}",
        f"behaves like {stage.precision}" if stage.precision else "",
    )
    return Case(group="stages", name=stage.name, kind=kind, message=message, printed="\n".join(filter(None, lines)))


def _check(check: Check) -> Case:
    kinds: dict[str, Kind] = {"fail": "failure", "unknown": "skipped"}
    found = "" if check.value is None else f"\nmeasured {measured(check)}"
    printed = f"{check.status}: {check.because}{found}"
    kind = kinds.get(check.status, "passed")
    return Case(group="checks", name=check.name, kind=kind, message=check.because, printed=printed)


def _judged(record: TrialRecord, over: float | None) -> tuple[Kind, str]:
    """Return what is known of one part: good with the whole; in a failed trial, by its own calibrated limit, if any."""
    verdict = record.verdict
    if verdict is None:
        return "skipped", "no verdict was reached"
    if verdict.outcome in {"pass", "limited"}:
        return "passed", ""
    if verdict.outcome == "fail" and verdict.rule == CALIBRATED and over is not None:
        return ("failure", f"{figure(over)} times the limit of {record.expect}") if over > 1 else ("passed", "")
    return "skipped", f"not judged alone; the verdict on the whole is {verdict.outcome}"


def _to_blame(record: TrialRecord, stage: StageRecord) -> bool:
    verdict = record.verdict
    return verdict is not None and verdict.outcome == "fail" and verdict.culprit == stage.name


def _figures(error: Error | None) -> str:
    if error is None:
        return "not shown"
    return "not finite" if error.frobenius is None else f"{figure(error.frobenius)} (worst token {figure(error.token)})"


def _properties(suite: ElementTree.Element, record: TrialRecord) -> None:
    candidate = record.candidate
    values = {
        "SIMULATED": SIMULATED if candidate.simulated else None,
        "model": record.model.get("name"),
        "recipe": record.model.get("recipe_hash"),
        "runtime": candidate.runtime,
        "runtime.version": candidate.version,
        "device": candidate.device.get("name"),
        "device.product": candidate.device.get("product"),
        "dtype": record.dtype,
        "expect": record.expect,
        "golden": record.golden,
        "inputs": f"{record.inputs.kind} {shape(record.inputs.shape)} sha256 {record.inputs.sha256}",
        **{f"switch.{switch.name}": switch.value for switch in candidate.switches},
        **{f"rule.{verdict.rule}": verdict.outcome for verdict in record.verdicts},
    }
    element = ElementTree.SubElement(suite, "properties")
    for name, value in values.items():
        if value is not None:
            ElementTree.SubElement(element, "property", {"name": _clean(name), "value": _clean(str(value))})


def _add(suite: ElementTree.Element, case: Case, name: str, spent: str) -> None:
    time = spent if case.group == "verdict" else "0"  # the readers add the cases up: the trial's time counts once
    attributes = {"classname": f"{name}.{case.group}", "name": _clean(case.name), "time": time}
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if case.kind != "passed":
        found = ElementTree.SubElement(element, case.kind, {"message": _clean(case.message)})
        found.text = _clean("\n".join(filter(None, (case.message, case.printed))))
    elif case.printed:
        ElementTree.SubElement(element, "system-out").text = _clean(case.printed)


def _without(counts: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in counts.items() if key != name}


def _clean(text: str) -> str:
    return UNWRITABLE.sub("\ufffd", text)
