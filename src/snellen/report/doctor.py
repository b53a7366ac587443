"""A look at a machine as a page of plain text: what would stop a run first, then everything by group.

In: the record of a look. Out: text without colours. Sentences are wrapped to the width; a command that mends something
stands whole on a line of its own, so that it can be copied. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snellen.records.doctor import DoctorRecord, Finding, Severity
from snellen.report.text import cells, clip, one_line, wrapped

WIDTH = 110
SIMULATED = "SIMULATED: a simulated device stands in the place of a real one; its figures say nothing about hardware"
MARKS: dict[Severity, str] = {"fine": "ok", "note": "note", "warning": "WARNING", "stop": "STOP"}
MARK = max(map(len, MARKS.values()))
SIGN = "$ "  # before what mends it


def page(record: DoctorRecord, width: int = WIDTH) -> str:
    """Return the page; no line but a command is wider than ``width``, of which 60 cells are needed."""
    lines = [SIMULATED, ""] if record.facts.get("simulated") else []
    lines = [clip(line, width) for line in lines]
    lines += _head(record, width)
    for group, findings in _grouped(record.findings).items():
        lines += ["", group, *(line for finding in findings for line in _finding(finding, width))]
    return "\n".join([*lines, "", *wrapped(verdict(record), width)]) + "\n"


def verdict(record: DoctorRecord) -> str:
    """Return in one sentence whether something would stop a run, and what."""
    device = record.facts.get("device")
    on = f" on {device}" if device else ""
    stops = list(dict.fromkeys(finding.name for finding in record.findings if finding.severity == "stop"))
    if not stops:
        return f"nothing that was seen would stop a run{on}"
    return f"a run{on} would stop: {', '.join(stops)}"


def _head(record: DoctorRecord, width: int) -> Iterator[str]:
    facts, count = record.facts, dict.fromkeys(MARKS, 0)
    for finding in record.findings:
        count[finding.severity] += 1
    found = ", ".join(f"{number} {MARKS[severity]}" for severity, number in reversed(count.items()) if number)
    where = ", ".join(str(facts[name]) for name in ("system",) if facts.get(name))
    python = f", Python {facts['python']}" if facts.get("python") else ""
    yield from wrapped(f"snellen {record.version} on {where}{python}: {found}", width)


def _grouped(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Put findings under the part of their name before the point, worst first within each group."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.name.partition(".")[0], []).append(finding)
    order = list(MARKS)
    return {group: sorted(those, key=lambda finding: -order.index(finding.severity)) for group, those in groups.items()}


def _finding(finding: Finding, width: int) -> Iterator[str]:
    _, _, name = finding.name.partition(".")
    first = f"  {MARKS[finding.severity]:<{MARK}}  {name}: "
    then = " " * (MARK + 4)
    if finding.severity == "fine":
        yield clip(first + one_line(finding.seen), max(width, cells(first) + 1))
        return
    yield from wrapped(finding.seen, width, first=first, then=then)
    if finding.matters:
        yield from wrapped(finding.matters, width, first=then, then=then)
    if finding.mend:
        yield f"{then}{SIGN}{one_line(finding.mend)}"
