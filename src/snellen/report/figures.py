"""Figures as they stand in the tables of a measurement: as many digits as can be compared, and intervals.

In: numbers and None. Out: words; a dash where there is no figure.
"""

from __future__ import annotations

from collections.abc import Iterable

from snellen.report.text import wrapped

LABELS = 11  # cells for the labels of a head
COUNTED = 4  # digits
NONE = "-"


def digits(value: float | None) -> str:
    """Return a figure with four digits that count and no exponent, so that those of a column can be compared."""
    if value is None:
        return NONE
    whole = len(f"{int(abs(float(f'{value:.{COUNTED}g}')))}")  # after rounding: 9.9999 is 10.00
    return f"{value:.{max(COUNTED - whole, 0)}f}"


def seconds(value: float) -> str:
    """Return seconds with their unit."""
    return f"{digits(value)} s"


def percent(value: float | None) -> str:
    """Return a share in per cent."""
    return NONE if value is None else f"{value:.0%}"


def times(value: float | None) -> str:
    """Return how many times as much something is."""
    return NONE if value is None else f"{value:.3f}"


def span(low: float | None, high: float | None) -> str:
    """Return an interval of figures."""
    return NONE if low is None or high is None else f"{digits(low)}–{digits(high)}"


def times_span(low: float | None, high: float | None) -> str:
    """Return an interval of ratios."""
    return NONE if low is None or high is None else f"{low:.3f}–{high:.3f}"


def listed(batches: Iterable[int]) -> str:
    """Return batch sizes, one after the other."""
    return ", ".join(map(str, batches))


def labelled(label: str, text: str, width: int) -> list[str]:
    """Return a line of a head, wrapped to ``width`` cells."""
    return wrapped(text, width, first=f"{label:<{LABELS}}")
