"""What was found when cards were read again, line by line as compilers tell it.

In: checked cards. Out: text, each line beginning with its file.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.checked import CheckedCard, Unchecked
from snellen.report.text import one_line

FEW = 4  # places that are named


def lines(card: CheckedCard, *, brief: bool = False) -> Iterator[str]:
    """Yield a line for each contradiction, then for what was not checked unless ``brief``, and the sum."""
    for one in card.contradictions:
        yield one_line(f"{card.file}: {one.place}: {one.name}: {one.seen}; expected: {one.expected}")
    for left in () if brief else card.unchecked:
        yield one_line(f"{card.file}: not checked, {left.name}: {_where(left)}{left.because}")
    yield total(card)


def _where(left: Unchecked) -> str:
    """Return the first places that could not be looked at, and how many others there are."""
    others = f" and {len(left.places) - FEW} more" if len(left.places) > FEW else ""
    return f"{', '.join(left.places[:FEW])}{others}: " if left.places else ""


def total(card: CheckedCard) -> str:
    """Return how many contradictions there are, and what that rests on."""
    count = len(card.contradictions)
    found = "no contradiction" if not count else "1 contradiction" if count == 1 else f"{count} contradictions"
    if not card.looked:
        return f"{card.file}: nothing in it could be checked"
    looked = f"{sum(card.looked.values())} figures and statements in {len(card.looked)} checks"
    return f"{card.file}: {found}; looked at {looked}"
