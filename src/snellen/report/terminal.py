"""A trial as a page of plain text for a terminal: the verdict first, then everything it rests on.

In: a trial's record. Out: text without colours, no line wider than asked for. Nothing is judged here: outcomes are
those of the rules, figures those of the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from snellen.records.verify import CandidateRecord, Check, TrialRecord, Verdict
from snellen.report import curves
from snellen.report.text import Column, clip, figure, one_line, shape, table, wrapped

SIMULATED = "SIMULATED: the device was simulated; these figures say nothing about hardware"
WIDTH = 100
LABELS = 11  # cells for the labels of the head
CHANGED = "selftest.perturbed"
NAMED = 3  # image files that are named in the head
NAME = 24  # cells for the name of one
DIGEST = 12  # letters of a digest that are shown

CHECKS = (
    Column(header="check"),
    Column(header="status"),
    Column(header="figure", right=True),
    Column(header="because"),
)
SWITCHES = (
    Column(header=""),  # what stands out comes first, where no terminal is too narrow for it
    Column(header="switch"),
    Column(header="value"),
    Column(header="strict", goes=1),  # where it goes, the line below still says it of those that differ
)
TOGGLES = (
    Column(header="explains it"),
    Column(header="class met"),
    Column(header="ratio", right=True),
    Column(header="with strict"),  # may be several, and then takes several lines
)
LOOSE = "!"
RULES = (Column(header="rule"), Column(header="outcome"), Column(header="ratio", right=True), Column(header="because"))


def trial(record: TrialRecord, width: int = WIDTH) -> str:
    """Return the report of a trial, in lines of at most ``width`` cells; for tables and plots 80 are needed."""
    lines = [SIMULATED, ""] if record.candidate.simulated else []
    lines += [*_head(record, width), "", *_verdict(record, width)]
    for title, section in SECTIONS.items():
        body = list(section(record, width))
        if body:
            lines += ["", title, *body]
    return "\n".join(clip(line.rstrip(), width) for line in lines) + "\n"


def outcome(verdict: Verdict | None) -> str:
    """Return the outcome in capitals; NO VERDICT where none was reached."""
    return verdict.outcome.upper() if verdict else "NO VERDICT"


def is_failed(record: TrialRecord) -> bool:
    """Tell whether there is something to explain: a cause beside any other outcome would accuse what did no harm."""
    return record.verdict is not None and record.verdict.outcome == "fail"


def _head(record: TrialRecord, width: int) -> Iterator[str]:
    yield from _labelled("model", _model(record), width)
    yield from _labelled("weights", _weights(record.model.get("origin") or {}), width)
    yield from _labelled("candidate", _candidate(record.candidate), width)
    if record.candidate.note and record.candidate.stages:
        yield from _labelled("", record.candidate.note, width)
    yield from _labelled("inputs", _inputs(record), width)
    yield from _labelled("golden", record.golden, width)
    yield from _labelled("asked for", f"{record.dtype}, precision class {record.expect}", width)


def _model(record: TrialRecord) -> str:
    model = record.model
    asked, variant = model.get("name"), model.get("variant")
    name = f"{variant} (asked for as {asked})" if asked != variant else f"{variant}"
    return f"{name}, recipe {model.get('recipe_hash', '-')}, pool {model.get('pool', '-')}"


def _weights(origin: dict[str, object]) -> str:
    if origin.get("kind") == "seed":
        return f"seed:{origin.get('seed')}: drawn weights, not trained"
    where = str(origin.get("repo") or origin.get("path") or "-")
    return f"{where} at {origin['revision']}" if origin.get("revision") else where


def _candidate(candidate: CandidateRecord) -> str:
    runtime = f"{candidate.runtime} {candidate.version}" if candidate.version else candidate.runtime
    device = candidate.device
    product = f" ({device['product']})" if device.get("product") else ""
    return f"{runtime} in {candidate.dtype} on {device.get('name', '-')}{product}"


def _inputs(record: TrialRecord) -> str:
    inputs = record.inputs
    drawn = f" from the seeds {', '.join(map(str, inputs.seeds))}" if inputs.seeds else ""
    kind = {"random": "random pixels", "pixels": "pixels handed over"}.get(inputs.kind, inputs.kind)
    more = f" ({inputs.left_out} more were named and left out)" if inputs.left_out else ""
    named = f" {_names(inputs.names)}" if inputs.kind == "images" else ""
    return f"{kind}{named}{drawn}{more}, {shape(inputs.shape)}, sha256 {inputs.sha256[:DIGEST]}"


def _names(names: Sequence[str]) -> str:
    """Return the first few names, shortened, and how many others there are."""
    others = f" and {len(names) - NAMED} others" if len(names) > NAMED + 1 else ""
    shown = names[:NAMED] if others else names
    return ", ".join(clip(name, NAME) for name in shown) + others


def _verdict(record: TrialRecord, width: int) -> Iterator[str]:
    verdict = record.verdict
    yield from _labelled("verdict", outcome(verdict) + (f" (rule {verdict.rule})" if verdict else ""), width)
    if verdict is None:
        failed = [check for check in record.checks if check.status == "fail"]
        because = "; ".join(f"{check.name}: {check.because}" for check in failed) or "no rule was applied"
        yield from _labelled("because", because, width)
        return
    yield from _labelled("because", verdict.because, width)
    if verdict.precision or verdict.expected:
        met = f"{verdict.precision or 'no known class'} met, {verdict.expected or record.expect} required"
        yield from _labelled("precision", met, width)
    if verdict.culprit:
        yield from _labelled("culprit", verdict.culprit, width)
    if record.cause and is_failed(record):
        yield from _labelled("cause", record.cause, width)
    if verdict.ratio is not None:
        yield from _labelled("ratio", f"{figure(verdict.ratio)} times the limit, at the worst place", width)
    for finding in verdict.findings:
        yield from wrapped(finding, width, first=" " * LABELS + "- ")


def _checks(record: TrialRecord, width: int) -> Iterable[str]:
    """Show what failed before what limits, what is unknown and what passed."""
    order = {"fail": 0, "warn": 1, "unknown": 2, "pass": 3}
    checks = sorted(record.checks, key=lambda check: order[check.status])
    rows = [(check.name, check.status, measured(check), check.because) for check in checks]
    return table(CHECKS, rows, width, indent="  ") if rows else ["  none"]


def measured(check: Check) -> str:
    """Return what a check found, and the limit that it was held to; a dash where it is no number."""
    if check.value is None:
        return "-"
    if check.name == CHANGED and check.limit is not None:  # the one check that passes above its limit
        return f"{figure(check.value)}, must exceed {figure(check.limit)}"
    return figure(check.value) + (f" of {figure(check.limit)}" if check.limit is not None else "")


def _switches(record: TrialRecord, width: int) -> Iterator[str]:
    switches = record.candidate.switches
    if switches:
        rows = [("" if s.value == s.strict else LOOSE, s.name, s.value, s.strict) for s in switches]
        yield from table(SWITCHES, rows, width, indent="  ")
        loose = [f"{s.name} (strict: {s.strict})" for s in switches if s.value != s.strict]
        if loose:
            yield from wrapped(f"looser than strict: {', '.join(loose)}", width, first=f"  {LOOSE}  ")
    if record.toggles and is_failed(record):
        rows = [
            (
                "yes" if toggle.explains else "no",
                toggle.precision or "no known one",
                figure(toggle.error),
                ", ".join(toggle.switches),
            )
            for toggle in record.toggles
        ]
        yield from table(TOGGLES, rows, width, indent="  ")
        yield from wrapped(f"cause: {record.cause or 'no switch explains it'}", width, first="  ")


def _rules(record: TrialRecord, width: int) -> Iterable[str]:
    rows = [(v.rule, v.outcome, figure(v.ratio), v.because) for v in record.verdicts]
    return table(RULES, rows, width, indent="  ") if rows else []


def _ran(record: TrialRecord, width: int) -> Iterator[str]:
    if record.seconds:
        spent = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in record.seconds.items())
        yield from wrapped(f"took {spent}", width, first="  ")
    plain = {name: value for name, value in record.environment.items() if isinstance(value, (str, int, float))}
    told = ", ".join(f"{name} {value}" for name, value in plain.items())
    when = f"started {record.started_at}" if record.started_at else ""
    if told or when:
        yield from wrapped("; ".join(filter(None, (when, told))), width, first="  ")


def _labelled(label: str, text: str, width: int) -> list[str]:
    return wrapped(one_line(text), width, first=f"{label:<{LABELS}}")


SECTIONS: dict[str, Callable[[TrialRecord, int], Iterable[str]]] = {
    "OUTPUTS": curves.outputs,
    "LADDER (relative error, logarithmic)": curves.ladder,
    "STAGES (relative error, logarithmic)": curves.drift,
    "CHECKS": _checks,
    "SWITCHES": _switches,
    "ALL RULES, from the same figures": _rules,
    "RUN": _ran,
}
