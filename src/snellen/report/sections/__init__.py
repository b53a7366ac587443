"""A report as sections, in no language: what every rendering of a card says, and in which order.

In: a ReportRecord, and another one to set beside it. Out: sections of texts by key, tables and lines of code.
"""

from __future__ import annotations

from snellen.records.report import ReportRecord
from snellen.report.sections.parts import (
    PLAIN,
    Code,
    Name,
    Paragraph,
    Part,
    Points,
    Quote,
    Say,
    Section,
    Style,
    Table,
    Text,
    said,
)
from snellen.report.sections.whole import sections

__all__ = [
    "PLAIN",
    "Code",
    "Name",
    "Paragraph",
    "Part",
    "Points",
    "Quote",
    "ReportRecord",
    "Say",
    "Section",
    "Style",
    "Table",
    "Text",
    "said",
    "sections",
]
