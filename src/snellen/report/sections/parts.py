"""What a section is made of: no language, no markup; texts by their keys, figures as they are printed.

In: keys and values. Out: parts for Markdown, HTML and the terminal to render, so that none says more than another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Literal, TypeAlias

from snellen.report.phrases import known, template


@dataclass(frozen=True, slots=True)
class Name:
    """Something programs read, shown as it is and in type of its own: a switch, a file, a command."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the phrases, with the values that stand in it."""

    key: str
    values: Mapping[str, Say] = field(default_factory=dict)


Say: TypeAlias = "str | Name | Text"
"""What stands in a cell or a sentence: a plain string is the same in every language."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph; a caution stands out."""

    text: Text
    kind: Literal["plain", "caution"] = "plain"


@dataclass(frozen=True, slots=True)
class Points:
    """A list of texts."""

    items: tuple[Say, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """Sentences in the words of what judged; English in every language. ``by`` introduces them."""

    by: Text
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to be typed or pasted, under a text that says what for."""

    what: Text
    language: Literal["sh", "python"]
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table under the title ``table.<key>``; ``numeric``: columns that lean right; ``notes`` stand below it."""

    key: str
    header: tuple[Say, ...]
    rows: tuple[tuple[Say, ...], ...]
    numeric: tuple[int, ...] = ()
    notes: tuple[Text, ...] = ()

    @property
    def title(self) -> Text:
        """The text above it."""
        return Text(f"table.{self.key}")


Part: TypeAlias = "Paragraph | Points | Quote | Code | Table"


@dataclass(frozen=True, slots=True)
class Section:
    """One section, under the title ``section.<key>``: its parts in order."""

    key: str
    parts: tuple[Part, ...]

    @property
    def title(self) -> Text:
        """The text above it."""
        return Text(f"section.{self.key}")

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""
        return tuple(part for part in self.parts if isinstance(part, Table))


@dataclass(frozen=True, slots=True)
class Style:
    """How a rendering writes: what is done to plain text, and to a name."""

    text: Callable[[str], str]
    name: Callable[[str], str]


PLAIN = Style(text=str, name=str)


def said(lang: str, what: Say, style: Style = PLAIN) -> str:
    """Return ``what`` in a language, every letter of it through ``style``, so that no value can bring markup in."""
    if isinstance(what, str):
        return style.text(what)
    if isinstance(what, Name):
        return style.name(what.text)
    parts = []
    for literal, name, _, _ in Formatter().parse(template(lang, what.key)):
        for number, piece in enumerate(literal.split("`")):
            if piece:
                parts.append(style.name(piece) if number % 2 else style.text(piece))
        if name:
            parts.append(said(lang, what.values[name], style))
    return "".join(parts)


def text(key: str, values: Mapping[str, Say] | None = None) -> Text:
    """Return the text of ``key``."""
    return Text(key, values or {})


def word(group: str, name: str) -> Say:
    """Return the text of ``group.name`` where there is one; else the name itself, as it stands in the record."""
    key = f"{group}.{name}"
    return Text(key) if known(key) else Name(name)


def headed(*names: str) -> tuple[Text, ...]:
    """Return the headers ``column.<name>``."""
    return tuple(Text(f"column.{name}") for name in names)
