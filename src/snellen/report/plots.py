"""Small plots of text: marks on a logarithmic axis, one line for each row.

In: positive numbers. Out: lines of a fixed number of cells, so that several plots stand beside each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LOW_END, HIGH_END = 1e-18, 1e18  # what lies beyond is drawn at the end of the axis
BEYOND = "!"  # what is not finite
JOIN = "·"
FEWEST = 6  # cells between two labels of an axis, so that they can be told apart


@dataclass(frozen=True, slots=True)
class LogAxis:
    """A logarithmic axis over whole decades, ``cells`` wide."""

    low: int  # exponents of ten
    high: int
    cells: int

    @staticmethod
    def over(values: Iterable[float | None], cells: int) -> LogAxis:
        """Return the axis that holds every positive value; one decade where there is none."""
        found = [min(max(value, LOW_END), HIGH_END) for value in values if value is not None and value > 0]
        if not found:
            return LogAxis(-1, 0, cells)
        low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
        return LogAxis(low, max(high, low + 1), cells)

    def cell(self, value: float | None) -> int:
        """Return the cell of a value: the first for zero, the last for None, which is what is not finite."""
        if value is None:
            return self.cells - 1
        if value <= 0:
            return 0
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return min(max(round(share * (self.cells - 1)), 0), self.cells - 1)

    def labels(self) -> str:
        """Return the powers of ten, each beginning at its tick, as many as there is room for."""
        line = [" "] * self.cells
        end = -1
        for power in self._ticks():
            text, start = f"1e{power}", self.cell(10.0**power)
            start = min(start, self.cells - len(text))
            if start > end and start >= 0:
                line[start : start + len(text)] = text
                end = start + len(text)
        return "".join(line).rstrip()

    def ruler(self) -> str:
        """Return the axis itself, with a tick at each label."""
        ticks = {self.cell(10.0**power) for power in self._ticks()}
        return "".join("┼" if cell in ticks else "─" for cell in range(self.cells))

    def row(self, marks: Mapping[str, float | None]) -> str:
        """Return one line with a letter for each value; letters that meet stand side by side, in the values' order.

        A value of zero is drawn as its letter in the first cell, one that is not finite (None) as "!" in the last.
        Dots join the outermost two, so that their distance is seen.
        """
        line = [" "] * self.cells
        ordered = sorted(marks.items(), key=lambda item: math.inf if item[1] is None else item[1])
        places = _apart([self.cell(value) for _, value in ordered], self.cells)
        if places:
            line[places[0] : places[-1] + 1] = JOIN * (places[-1] + 1 - places[0])
        for (mark, value), place in zip(ordered, places, strict=True):
            line[place] = BEYOND if value is None else mark
        return "".join(line)

    def _ticks(self) -> range:
        """Choose the powers of ten that are labelled, so that two labels never touch."""
        between = (self.cells - 1) / (self.high - self.low)
        return range(self.low, self.high + 1, max(1, math.ceil(FEWEST / between)))


def _apart(wanted: list[int], size: int) -> list[int]:
    """Return ascending places as near to the wanted ones as a cell for each allows; those in excess share the last."""
    places: list[int] = []
    for place in wanted:
        places.append(max(place, places[-1] + 1) if places else place)
    last = size
    for number in reversed(range(len(places))):  # what was pushed over the end goes back
        places[number] = max(min(places[number], last - 1), 0)
        last = places[number]
    return places
