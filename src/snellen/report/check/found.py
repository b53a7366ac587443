"""What checks write down: what they looked at, what contradicts, what they could not look at."""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal

from snellen.records.checked import NAMES, CheckedCard, Contradiction, Unchecked

CLOSE = 1e-3
"""How far two figures may lie apart, relatively, that should be equal but for rounding."""


class Findings:
    """Collects, check by check."""

    def __init__(self) -> None:
        self._found: list[Contradiction] = []
        self._looked: Counter[str] = Counter()
        self._skipped: dict[tuple[str, str], list[str]] = {}

    def judge(self, name: str, place: str, *, holds: bool, seen: str, expected: str) -> None:
        """Count one more thing that was looked at; note the contradiction where it does not hold."""
        assert name in NAMES, name
        self._looked[name] += 1
        if not holds:
            self._found.append(Contradiction(name=name, place=place, seen=seen, expected=expected))

    def equal(self, name: str, place: str, seen: float, expected: float, close: float = CLOSE) -> None:
        """Hold a figure to what it follows from, but for rounding."""
        holds = near(seen, expected, close)
        self.judge(name, place, holds=holds, seen=number(seen), expected=f"about {number(expected)}")

    def skip(self, name: str, because: str, place: str = "") -> None:
        """Note what could not be looked at, and why; places of one reason are told together."""
        assert name in NAMES, name
        places = self._skipped.setdefault((name, because), [])
        if place and place not in places:
            places.append(place)

    def card(self, file: str, kind: Literal["report", "markdown"]) -> CheckedCard:
        """Return everything, in the order of the checks' names."""
        order = list(NAMES)
        return CheckedCard(
            file=file,
            kind=kind,
            contradictions=tuple(sorted(self._found, key=lambda one: order.index(one.name))),
            unchecked=tuple(
                Unchecked(name=name, places=tuple(places), because=because)
                for (name, because), places in self._skipped.items()
            ),
            looked={name: self._looked[name] for name in order if self._looked[name]},
        )


def near(a: float, b: float, close: float = CLOSE) -> bool:
    """Tell whether two figures are the same but for rounding."""
    return math.isclose(a, b, rel_tol=close, abs_tol=1e-12)


def number(value: float) -> str:
    """Return a number in up to nine digits; whole ones as such."""
    return f"{value:.9g}"
