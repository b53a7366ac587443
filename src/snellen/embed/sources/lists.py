"""Lists of images: lines of text, or a column of a CSV file.

In: a stream over the list. Out: an input for every line or row, in order; a row that names nothing is an input too.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from snellen.embed.sources.names import listed
from snellen.errors import UsageError
from snellen.records.inputs import Input

COLUMNS = ("path", "image_path", "filepath", "file", "url", "image")
"""Names of a column that is taken without being asked for, if there is one of them."""

LONGEST = 1 << 16
"""Most bytes of a line: no path is as long, and a file without line ends would fill the memory."""


def lines(file: BinaryIO, place: str) -> Iterator[Input]:
    """Yield the paths of a list, one a line; empty lines are left out. ``place`` is "" for standard input.

    Raises UsageError for a line that is too long, and for text in UTF-16.
    """
    number = 0
    while line := file.readline(LONGEST + 1):
        if number == 0:
            line = _without_mark(line, place)
        number += 1
        if len(line) > LONGEST:
            raise UsageError(
                f"line {number} of {_name(place)} is longer than {LONGEST} bytes",
                expected="a text file with one path a line",
                todo="name an image without this ending, or a .csv or .parquet list by its own",
            )
        path = os.fsdecode(line.rstrip(b"\r\n"))
        if path:
            yield listed(path, place, f"[{number}]")


def rows(file: BinaryIO, place: str, column: str | None) -> Iterator[Input]:
    """Yield the paths in a column of a CSV file; raise UsageError where it cannot be told which, or cannot be read."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text)
    try:
        head = next(reader, [])
        name = column_of(head, column, place)
        at = head.index(name)
        for number, row in enumerate(reader):
            if row:
                yield listed(row[at] if at < len(row) else "", place, f"{name}[{number}]")
    except csv.Error as error:
        raise UsageError(
            f"line {reader.line_num} of {_name(place)} cannot be read: {error}",
            expected="comma-separated values with a line of names first",
            todo="write the list anew, or as one path a line in a .txt file",
        ) from error
    finally:
        text.detach()


def column_of(names: Sequence[str], asked: str | None, place: str) -> str:
    """Return the column that holds the images: the one that was asked for, or the only one of COLUMNS."""
    found = [name for name in names if (name == asked if asked else name.lower() in COLUMNS)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(map(repr, names[:20])) or "none"
    if asked:
        seen = f"{_name(place)} has {'no column' if not found else 'several columns'} named {asked!r}"
        raise UsageError(seen, expected=f"one of its columns: {shown}", todo="check the spelling")
    seen = f"{_name(place)} has {'no' if not found else 'more than one'} column that is known to name images"
    expected = f"one named {', '.join(COLUMNS)}; its columns: {shown}"
    raise UsageError(seen, expected=expected, todo=f"say which: '{place}::NAME'")


def _without_mark(line: bytes, place: str) -> bytes:
    """Return the first line without the mark that some editors begin a text in UTF-8 with."""
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(f"{_name(place)} is text in UTF-16", expected="text in UTF-8", todo="save it as UTF-8")
    return line.removeprefix(b"\xef\xbb\xbf")


def _name(place: str) -> str:
    return f"the list {place!r}" if place else "the list on stdin"
