"""A Markdown card as what can be read of it: tables, and lines of text under their headings.

In: text. Out: tables with their rows and lines with their numbers, from 1. Front matter and code that is run are left
out; other fenced text is read, for logs stand there.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

RUN = ("sh", "bash", "shell", "console", "python", "py", "powershell", "yaml", "toml", "mermaid", "cpp", "c")
"""Languages of fences that hold no statements about this card."""
FENCE = re.compile(r"^\s*(```+|~~~+)\s*([\w+-]*)")
HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*$")
RULER = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
COMMENT = re.compile(r"<!--.*?-->")
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
OPENING = 16
"""Lines that are the first of a card, headings and empty ones not counted."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line outside of tables."""

    text: str
    number: int
    heading: str
    block: int  # lines without an empty one between them are of one block
    code: bool = False  # inside a fence that is run


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    cells: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Table:
    """One table, and what stands above it."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    number: int
    heading: str
    caption: str


@dataclass(frozen=True, slots=True)
class Card:
    """One card."""

    tables: tuple[Table, ...]
    lines: tuple[Line, ...]
    opening: str  # its first lines, and its title
    text: str


def read(text: str) -> Card:
    """Read a card."""
    lines = text.replace("\r\n", "\n").split("\n")
    start = _after_front_matter(lines)
    tables, found = _parts(lines, start)
    shown = [line.text for line in found if not line.code]
    return Card(tuple(tables), tuple(found), "\n".join(shown[:OPENING]), text)


def cells(line: str) -> tuple[str, ...]:
    """Split a row of a table; a bar after a backslash, or in a code span, parts nothing."""
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    parts, span, before = [""], False, ""
    for letter in inner:
        span ^= letter == "`"
        if letter == "|" and before != "\\" and not span:
            parts.append("")
        else:
            parts[-1] += letter
        before = letter
    return tuple(plain(part.strip()) for part in parts)


def plain(text: str) -> str:
    """Return text without the backslashes and entities that keep its letters from being markup."""
    return html.unescape(ESCAPED.sub(r"\1", text))


def _after_front_matter(lines: list[str]) -> int:
    """Return where the body begins."""
    if not lines or lines[0].strip() != "---":
        return 0
    return next((at + 1 for at, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)


def _parts(lines: list[str], start: int) -> tuple[list[Table], list[Line]]:
    """Part the body into tables and lines."""
    tables: list[Table] = []
    found: list[Line] = []
    heading, caption, fence, language, block = "", "", "", "", 0
    at = start
    while at < len(lines):
        line, number = COMMENT.sub("", lines[at]), at + 1
        marked = FENCE.match(line)
        at += 1
        if marked and (not fence or line.strip().startswith(fence)):
            fence, language, block = (
                ("", "", block + 1) if fence else (marked.group(1), marked.group(2).lower(), block + 1)
            )
        elif fence:
            found.append(Line(line, number, heading, block, language in RUN))
        elif (title := HEADING.match(line)) is not None:
            heading, caption, block = plain(title.group(2)), "", block + 1
            found.append(Line(heading, number, heading, block))
        elif "|" in line and at < len(lines) and "-" in lines[at] and RULER.match(lines[at]):
            rows = _rows(lines, at + 1)
            tables.append(Table(cells(line), rows, number, heading, caption))
            at, caption, block = at + 1 + len(rows), "", block + 1
        elif line.strip():
            caption = plain(line.strip())
            found.append(Line(plain(line), number, heading, block))
        else:
            block += 1
    return tables, found


def _rows(lines: list[str], at: int) -> tuple[Row, ...]:
    """Return the rows that follow a table's ruler."""
    rows = []
    while at < len(lines) and "|" in lines[at]:
        rows.append(Row(cells(lines[at]), at + 1))
        at += 1
    return tuple(rows)
