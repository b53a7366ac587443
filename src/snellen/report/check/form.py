"""Whether a document is a report at all: read as strictly as any record.

In: a document. Out: the record where it is one, else a finding. What other checks name by themselves (a cosine above 1,
a mark that is not like the flag) is mended in a copy first, so that one mistake is found once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snellen.errors import SnellenError
from snellen.records.report import MARKER, ReportRecord
from snellen.records.reports import read_report
from snellen.report.check.found import Findings
from snellen.report.check.numbers import is_size

UNREAD = "the record cannot be read: "


def check(document: Any, out: Findings) -> tuple[ReportRecord | None, bool]:
    """Read a document; return the record, and whether figures in it were mended, on which no verdict rests then."""
    copy, changed = _mended(document)
    try:
        record = read_report(copy)
    except SnellenError as error:
        seen = error.seen.removeprefix(UNREAD)
        out.judge("form", "the record", holds=False, seen=seen, expected=error.expected)
        return None, changed
    out.judge("form", "the record", holds=True, seen="", expected="")
    return record, changed


def _mended(document: Any) -> tuple[Any, bool]:
    """Return a copy without what other checks name, and whether a figure was changed."""
    copy = _copied(document)
    if not isinstance(copy, dict):
        return copy, False
    changed = sum(_mend(part) for part in _objects(copy)) > 0  # every one is mended, not only the first
    copy.pop(MARKER, None)
    trial = copy.get("trial")
    candidate = trial.get("candidate") if isinstance(trial, dict) else None
    if isinstance(candidate, dict) and candidate.get("simulated") is True:
        copy = {MARKER: "the device was simulated", **copy}
    return copy, changed


def _mend(part: dict[str, Any]) -> bool:
    """Bring the figures of an object back to where they can be; tell whether one was not."""
    changed = False
    for name, value in part.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if "cosine" in name and abs(value) > 1:
            part[name], changed = (1.0 if value > 0 else -1.0), True
        elif is_size(name) and value < 0:
            part[name], changed = 0, True
    return changed


def _copied(value: Any) -> Any:
    """Return a copy of JSON values that can be changed."""
    if isinstance(value, Mapping):
        return {name: _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, (list, tuple)) else value


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a document, itself first."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _objects(part)
    elif isinstance(value, list):
        for part in value:
            yield from _objects(part)
