"""A report in a few lines for a terminal: what has to be known first, the key figures, the conclusion, where to look.

In: a ReportRecord, a language, and another record to set beside it. Out: lines without colours, none wider than asked
for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from snellen.records.report import ReportRecord
from snellen.report.card_markdown import title
from snellen.report.phrases import language
from snellen.report.sections import Paragraph, Section, Table, Text, said, sections
from snellen.report.sections.notes import notes
from snellen.report.text import Column, cells, clip, one_line, table

WIDTH = 100
REPORT, CARDS = "report.json", ("README.md", "README.zh-CN.md", "index.html")
TITLED = ("compared",)
"""Sections whose tables are shown with their titles and headers; the key figures need neither."""
KEPT = 2  # columns after this one go where room is short, the last first
FIRST = 99

_WIDE = "\u2e80-\uffff"
_PIECE = re.compile(rf"[（“]*(?:[^\s{_WIDE}]+|[{_WIDE}])[，。、；：）”]*\s*")
"""What is not broken: a word, or an ideograph; closing signs stay with what they close."""


def terminal(
    record: ReportRecord, lang: str = "en", width: int = WIDTH, other: ReportRecord | None = None
) -> Iterator[str]:
    """Yield the lines; 40 cells are needed. Raises UnknownName for a language."""
    chosen = language(lang)
    found = {section.key: section for section in sections(record, other)}
    for line in _lines(record, chosen, width, found):
        yield clip(line.rstrip(), width)


def _lines(record: ReportRecord, lang: str, width: int, found: dict[str, Section]) -> Iterator[str]:
    if "cautions" in found:
        yield from _paragraphs(lang, width, found["cautions"])
        yield ""
    yield from folded(said(lang, title(record)), width)
    yield ""
    for key in ("summary", *TITLED):
        if key in found:
            for one in found[key].tables:
                yield from _table(lang, width, one, titled=key in TITLED)
                yield ""
    yield from _paragraphs(lang, width, found["conclusion"])
    yield ""
    yield from folded(said(lang, Text("terminal.notes", {"count": str(len(notes(record)))})), width)
    listed = ", ".join((*CARDS, REPORT, *(one.name for one in record.files)))
    yield from folded(said(lang, Text("terminal.look", {"files": listed})), width)


def _paragraphs(lang: str, width: int, section: Section) -> Iterator[str]:
    for part in section.parts:
        if isinstance(part, Paragraph):
            yield from folded(said(lang, part.text), width, then="  " if part.kind == "caution" else "")


def _table(lang: str, width: int, part: Table, *, titled: bool) -> Iterator[str]:
    heads = [said(lang, head) if titled else "" for head in part.header]
    columns = [
        Column(header=head, right=number in part.numeric, goes=max(FIRST - number, 1) if number > KEPT else 0)
        for number, head in enumerate(heads)
    ]
    body = [[said(lang, cell) for cell in row] for row in part.rows]
    if titled:
        yield from folded(said(lang, part.title), width)
    yield from (line for line in table(columns, body, width, indent="  ") if line.strip())


def folded(text: str, width: int, *, then: str = "") -> Iterator[str]:
    """Yield ``text`` in lines of at most ``width`` cells, broken between words and between ideographs."""
    line = ""
    for piece in _PIECE.findall(one_line(text)):
        if cells(line) + cells(piece.rstrip()) > width and line.strip():
            yield line.rstrip()
            line = then
        rest = piece
        while cells(line) + cells(rest.rstrip()) > width:  # a word longer than a line
            kept = clip(rest, width - cells(line) + 1).removesuffix("…") or rest[0]
            yield line + kept
            line, rest = then, rest[len(kept) :]
        line += rest
    if line.strip():
        yield line.rstrip()
