"""Counting: what a rule caught, missed and refused.

Caught: the outcome of a fault's trial is anything but "pass". Refused: the outcome of a healthy run is neither "pass"
nor "limited". In: one ``Row`` for each trial. Out: a ``Tally`` for each rule, and the rows that must not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

JUDGE = "calibrated"


@dataclass(frozen=True, kw_only=True)
class Floor:
    """A fault's own size over the size from which on it cannot hide, wherever something is judged.

    ``ratio``: the largest of all, above 1 where the fault is above the noise floor. ``size``: the relative error there,
    None where a fault has none. ``seen``: from which size on it would be above.
    """

    ratio: float
    size: float | None
    seen: float | None
    at: str
    stages: dict[str, float]  # each isolated stage's own ratio


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial and what every rule made of it."""

    name: str
    subject: str
    kind: str  # a fault's kind, or "healthy"
    outcomes: dict[str, str]  # rule -> outcome
    floor: Floor | None = None  # of faults
    culprit: str | None = None  # as the calibrated rule named it
    expected: str | None = None
    because: str = ""
    precision: str | None = None
    cause: str | None = None
    asked: tuple[str, str | None] | None = (
        None  # class and switch that must be named, where a device's arithmetic is it
    )
    ratio: float | None = None  # of healthy runs: the largest error over its limit

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong in it."""
        return self.kind == "healthy"

    @property
    def above(self) -> bool:
        """Whether it is a fault above the noise floor, which must be caught."""
        return self.floor is not None and self.floor.ratio > 1

    def caught(self, rule: str) -> bool:
        """Whether a rule caught the fault."""
        return self.outcomes[rule] != "pass"

    def refused(self, rule: str) -> bool:
        """Whether a rule refused the healthy run."""
        return self.outcomes[rule] not in ("pass", "limited")

    @property
    def misread(self) -> bool:
        """Whether the arithmetic of a device was taken for another class, or another switch was blamed for it."""
        return self.asked is not None and self.asked != (self.precision, self.cause)

    @property
    def misnamed(self) -> bool:
        """Whether a block fault that can be seen was blamed on another stage, or on none."""
        return self.kind == "block" and self.expected is not None and self.culprit != self.expected


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What one rule made of all trials."""

    rule: str
    caught: int
    missed: int
    refused: int
    faults: int
    healthy: int


@dataclass(frozen=True)
class Wrong:
    """Everything that must not be: a finding of the verifier, not of the corpus."""

    missed: list[Row] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)
    misnamed: list[Row] = field(default_factory=list)
    misread: list[Row] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return bool(self.missed or self.refused or self.misnamed or self.misread)


def tally(rows: Iterable[Row]) -> list[Tally]:
    """Count for each rule; faults below the noise floor are left out."""
    rows = list(rows)
    faults = [row for row in rows if row.above]
    healthy = [row for row in rows if row.healthy]
    return [_one(rule, faults, healthy) for rule in (rows[0].outcomes if rows else ())]


def _one(rule: str, faults: Sequence[Row], healthy: Sequence[Row]) -> Tally:
    caught = sum(row.caught(rule) for row in faults)
    return Tally(
        rule=rule,
        caught=caught,
        missed=len(faults) - caught,
        refused=sum(row.refused(rule) for row in healthy),
        faults=len(faults),
        healthy=len(healthy),
    )


def wrong(rows: Iterable[Row], rule: str = JUDGE) -> Wrong:
    """Return the trials a rule got wrong. A table of no faults, or no healthy runs, proves nothing and is refused."""
    rows = list(rows)
    if not any(row.above for row in rows) or not any(row.healthy for row in rows):
        raise ValueError("a table without faults or without healthy runs proves nothing")
    return Wrong(
        missed=[row for row in rows if row.above and not row.caught(rule)],
        refused=[row for row in rows if row.healthy and row.refused(rule)],
        misnamed=[row for row in rows if row.misnamed],
        misread=[row for row in rows if row.misread],
    )
