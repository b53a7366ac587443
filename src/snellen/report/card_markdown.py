"""A report as a card in Markdown, in English or Chinese, with the front matter that model hubs read.

In: a ReportRecord, a language, and another record to set beside it. Out: one Markdown text. What it says is decided by
``snellen.report.sections``; here it is only written down, so that no name in a record can become markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from snellen.records.report import ReportRecord
from snellen.report.front_matter import front_matter
from snellen.report.phrases import language
from snellen.report.sections import (
    Code,
    Name,
    Paragraph,
    Points,
    Quote,
    Say,
    Section,
    Style,
    Table,
    Text,
    said,
    sections,
)
from snellen.report.text import one_line

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_OPENING = re.compile(r"(#|\+|-|=)|(\d+)([.)])")  # what makes a heading, a list or a line of the first letters
_ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("://", ":&#47;/"), ("www.", "www&#46;"))
_UNSAFE = frozenset("`|<>\\&")


def markdown(record: ReportRecord, lang: str, other: ReportRecord | None = None) -> str:
    """Return the card; ``other`` adds a section that sets it beside this report. Raises UnknownName for a language."""
    chosen = language(lang)
    blocks = [f"# {_say(chosen, title(record))}"]
    for section in sections(record, other):
        blocks += _section(chosen, section)
    return f"{front_matter(record, chosen)}\n" + "\n\n".join(blocks) + "\n"


def title(record: ReportRecord) -> Text:
    """Return what the card is of: the encoder and the device."""
    device = record.environment.device
    return Text(
        "title", {"model": Name(record.facts.title), "device": str(device.get("product") or device.get("name"))}
    )


def escaped(text: str) -> str:
    """Return ``text`` as Markdown shows it, in one line: no letter of it is markup, HTML or a link."""
    safe = one_line(text)
    if text[:1].isspace() and safe:
        safe = f" {safe}"
    if text[-1:].isspace() and safe:
        safe = f"{safe} "
    safe = _SPECIAL.sub(r"\\\1", safe)
    for letters, entity in _ENTITIES:
        safe = safe.replace(letters, entity)
    return safe if safe or not text else " "


def named(text: str) -> str:
    """Return ``text`` in the type of code; escaped instead where it holds what code cannot."""
    safe = one_line(text)
    return f"`{safe}`" if safe and _UNSAFE.isdisjoint(safe) else escaped(text)


STYLE = Style(text=escaped, name=named)


def _say(lang: str, what: Say) -> str:
    return said(lang, what, STYLE)


def _line(lang: str, what: Say) -> str:
    """Return a text that begins a line, so that its first letters make no heading and no list."""
    told = _say(lang, what).strip()
    found = _OPENING.match(told)
    if found is None:
        return told
    return f"\\{told}" if found[1] else f"{found[2]}\\{told[len(found[2]) :]}"


def _section(lang: str, section: Section) -> Iterator[str]:
    if section.key != "cautions":  # they stand under the title itself
        yield f"## {_say(lang, section.title)}"
    for part in section.parts:
        yield _PARTS[type(part)](lang, part)


def _paragraph(lang: str, part: Paragraph) -> str:
    told = _line(lang, part.text)
    return f"> **{told}**" if part.kind == "caution" else told


def _points(lang: str, part: Points) -> str:
    return "\n".join(f"- {_line(lang, item)}" for item in part.items)


def _quote(lang: str, part: Quote) -> str:
    sentences = "\n>\n".join(f"> {_line(lang, sentence)}" for sentence in part.sentences)
    return f"{_line(lang, part.by)}\n\n{sentences}"


def _code(lang: str, part: Code) -> str:
    longest = max((len(run) for run in re.findall("`+", part.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{_line(lang, part.what)}\n\n{fence}{part.language}\n{part.text}\n{fence}"


def _table(lang: str, part: Table) -> str:
    rule = ["--:" if number in part.numeric else "---" for number in range(len(part.header))]
    lines = [_row(lang, part.header), f"| {' | '.join(rule)} |", *(_row(lang, row) for row in part.rows)]
    notes = "".join(f"\n\n{_line(lang, note)}" for note in part.notes)
    return f"**{_say(lang, part.title)}**\n\n" + "\n".join(lines) + notes


def _row(lang: str, cells: tuple[Say, ...]) -> str:
    return f"| {' | '.join(_say(lang, cell).strip() for cell in cells)} |"


_PARTS: dict[type, Callable[[str, Any], str]] = {
    Paragraph: _paragraph,
    Points: _points,
    Quote: _quote,
    Code: _code,
    Table: _table,
}
