"""Plain text for terminals: figures in few letters, aligned tables, wrapped sentences; nothing over a width.

In: numbers and words. Out: lines. Widths are counted in terminal cells: an ideograph takes two.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

GAP = "  "
LARGE, SMALL = 1000, 1e-2  # figures between the two are written without an exponent


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table: its header, which way it leans, and how soon it goes where room is short (0: never)."""

    header: str
    right: bool = False
    goes: int = 0


def cells(text: str) -> int:
    """Return how many cells ``text`` takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def clip(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, with an ellipsis where something was cut."""
    if cells(text) <= width:
        return text
    kept = ""
    for letter in text:
        if cells(kept + letter) >= width:
            break
        kept += letter
    return kept + "…"


def one_line(text: str) -> str:
    """Return ``text`` without line breaks and other control characters, which could move the cursor."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def figure(value: float | None) -> str:
    """Return a figure with two or three digits that count; a dash where there is none."""
    if value is None:
        return "-"
    size = abs(value)
    if size == 0:
        return "0"
    if size >= LARGE or size < SMALL:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.3g}"


def cosine(value: float | None) -> str:
    """Return a cosine with ten digits; nearer to 1 than that is what float32 leaves."""
    return "-" if value is None else f"{value:.10f}"


def shape(sizes: Sequence[int]) -> str:
    """Return a shape as ``8x256x384``."""
    return "x".join(map(str, sizes))


def wrapped(text: str, width: int, *, first: str = "", then: str | None = None) -> list[str]:
    """Return ``text`` in lines of at most ``width`` cells; ``first`` and ``then`` stand before them."""
    hang = " " * cells(first) if then is None else then
    room = max(width - max(cells(first), cells(hang)), 1)
    clean = one_line(text)
    if cells(clean) > len(clean):  # ideographs: counted double, so that a line of nothing else fits too
        room = max(room // 2, 1)
    lines = textwrap.wrap(clean, room) or [""]
    return [f"{first if number == 0 else hang}{line}".rstrip() for number, line in enumerate(lines)]


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int, *, indent: str = "") -> Iterator[str]:
    """Yield aligned lines; where ``width`` is short columns go, and then the last one is wrapped into what is left."""
    body = [[one_line(cell) for cell in row] for row in rows]
    kept = _kept(columns, body, width - cells(indent))
    widths = [max(cells(columns[i].header), *(cells(row[i]) for row in body), 0) for i in kept]
    before = cells(indent) + sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    for row in ([column.header for column in columns], *body):
        parts = [_aligned(row[i], size, columns[i].right) for i, size in zip(kept, widths, strict=True)]
        start = indent + "".join(part + GAP for part in parts[:-1])
        if before + widths[-1] <= width:
            yield (start + parts[-1]).rstrip()
        else:
            yield from (clip(line, width) for line in wrapped(row[kept[-1]], width, first=start, then=" " * before))


def _kept(columns: Sequence[Column], body: Sequence[Sequence[str]], room: int) -> list[int]:
    """Leave out the columns that go first until the others fit, or until none of those that stay may go."""
    widths = [max(cells(column.header), *(cells(row[i]) for row in body), 0) for i, column in enumerate(columns)]
    kept = list(range(len(columns)))
    while sum(widths[i] for i in kept) + len(GAP) * (len(kept) - 1) > room:
        may_go = [i for i in kept if columns[i].goes]
        if not may_go:
            break
        kept.remove(min(may_go, key=lambda i: columns[i].goes))
    return kept


def _aligned(cell: str, size: int, right: bool) -> str:
    space = " " * (size - cells(cell))
    return space + cell if right else cell + space
