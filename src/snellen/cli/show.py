"""How data looks on a terminal: aligned tables, fields under each other, one JSON document; and talk on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import click

from snellen.records import ModelRecord

T = TypeVar("T")


def document(value: object) -> None:
    """Print one JSON document to stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns to stdout; columns of numbers to the right."""
    from rich.cells import cell_len

    lines = [list(header), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    right = [all(_is_number(line[i]) for line in lines[1:]) for i in range(len(header))]
    for line in lines:
        cells = (
            f"{' ' * (width - cell_len(cell))}{cell}" if to_right else f"{cell}{' ' * (width - cell_len(cell))}"
            for cell, width, to_right in zip(line, widths, right, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def fields(values: Mapping[str, object]) -> None:
    """Print names and values under each other to stdout; a list or mapping takes a line for each of its entries."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        lines = [f"{key}: {entry}" for key, entry in value.items()] if isinstance(value, Mapping) else value
        entries = list(map(_text, lines)) if isinstance(lines, (list, tuple)) else [_text(lines)]
        for number, entry in enumerate(entries or ["-"]):
            click.echo(f"{'' if number else name:<{width}}  {entry}")


def headline(record: ModelRecord) -> str:
    """Return one line that says which encoder it was, and that seeded weights are no trained ones."""
    origin = record.origin
    where = origin.repo or origin.path or ""
    weights = where if origin.trained else f"seed:{origin.seed}, drawn at random: these numbers mean nothing"
    place = f"{record.dtype} on {record.device} ({record.runtime})"
    return f"{record.variant} | weights {weights} | recipe {record.recipe_hash} | pool {record.pool} | {place}"


def say(text: str, *, quiet: bool = False) -> None:
    """Print talk to stderr, unless ``quiet``."""
    if not quiet:
        click.echo(text, err=True)


def plain(text: str) -> str:
    """Return text that does nothing but show: what else is in a file's name (a new line, an escape) is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def progress(items: Iterable[T], total: int, what: str, *, quiet: bool) -> Iterator[T]:
    """Yield ``items`` while a bar on stderr counts them; no bar where stderr is no terminal, or when ``quiet``."""
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, what, total=total, console=Console(stderr=True), transient=True)


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "", 1).lstrip("-").isdigit()
