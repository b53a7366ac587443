"""What was found when a card was read again: contradictions, and what could not be checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

SCHEMA = "snellen.check/1"

NAMES: dict[str, str] = {
    "form": "the record is one that can be read: every field is there, of its type, and no other",
    "simulated": "a simulated device is said first, and everywhere",
    "weights": "drawn weights are not said to be trained, and are said first",
    "same": "model, device and setup are the same throughout",
    "cosine": "a cosine lies from -1 to 1",
    "negative": "times, sizes and errors are not below 0",
    "memory": "memory that is not known is left out: it is never 0",
    "blank": "no figure is left blank without a reason",
    "order": "least, median, mean, largest and percentiles are in order",
    "samples": "figures of a distribution follow from its samples",
    "percentile": "a percentile is given only where the samples support it",
    "throughput": "throughput follows from latency and batch",
    "batch": "a larger batch takes longer, unless the host is said to be what binds",
    "speedup": "a speed-up follows from the two latencies",
    "ceiling": "no share of what the machine can do is above all of it",
    "verdict": "what is said to pass is within its own limits, and what is said to fail is not",
    "parameters": "parameters, bytes and dtype fit each other",
    "shape": "shapes fit the grid, the tokens and the width",
    "maximum": "one error is not given with two values",
    "files": "the files that are named lie there, with the size and the digest that are named",
}
"""Every check by its name, and what it holds a card to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two things a card says that cannot both be true, or one that cannot be."""

    name: str  # one of NAMES
    place: str  # of a record: "bench.points[2].images_per_s"; of Markdown: "line 41"
    seen: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """What a check could not look at, and why."""

    name: str  # one of NAMES
    places: tuple[str, ...]  # none: the whole
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCard:
    """One file, read again."""

    file: str
    kind: Literal["report", "markdown"]
    contradictions: tuple[Contradiction, ...]
    unchecked: tuple[Unchecked, ...]
    looked: dict[str, int]  # how many figures or statements each check looked at

    @property
    def exit_code(self) -> int:
        """Return 1 for a contradiction, 3 where nothing at all could be checked, else 0."""
        return 1 if self.contradictions else 0 if self.looked else 3

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-serialisable values."""
        return {"schema": SCHEMA, **asdict(self)}
