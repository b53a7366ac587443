"""One note of a card: its text, and what in a record makes it apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from snellen.records.report import ReportRecord
from snellen.report.sections.parts import Say

Values = Mapping[str, Say]
NOTHING: Values = {}
"""The values of a note that has none, and applies."""


@dataclass(frozen=True, slots=True)
class Note:
    """A text ``note.<key>`` that stands in a card where ``applies`` gives its values; None where it does not apply."""

    key: str
    applies: Callable[[ReportRecord], Values | None]


def when(fact: object) -> Values | None:
    """Return no values where something is so, None where it is not."""
    return NOTHING if fact else None
