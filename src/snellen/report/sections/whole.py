"""All sections of a card, in order."""

from __future__ import annotations

from snellen.records.report import ReportRecord
from snellen.report.sections.accuracy import accuracy
from snellen.report.sections.cautions import cautions, summary
from snellen.report.sections.compared import compared
from snellen.report.sections.conclusion import conclusion, files
from snellen.report.sections.drift import drift
from snellen.report.sections.environment import environment
from snellen.report.sections.evidence import evidence
from snellen.report.sections.memory import memory
from snellen.report.sections.model import model
from snellen.report.sections.notes import notes
from snellen.report.sections.parts import Paragraph, Part, Points, Quote, Section, Text
from snellen.report.sections.performance import performance
from snellen.report.sections.quick_start import quick_start


def sections(record: ReportRecord, other: ReportRecord | None = None) -> tuple[Section, ...]:
    """Return the sections of a card; ``other`` adds one that sets it beside this report. Empty ones are left out."""
    beside = (compared(record, other),) if other is not None else ()
    whole = (
        cautions(record, other),
        summary(record),
        model(record),
        environment(record),
        quick_start(record),
        evidence(record),
        accuracy(record),
        drift(record),
        performance(record),
        memory(record),
        *beside,
        _notes(record),
        conclusion(record),
        files(record),
    )
    return tuple(section for section in whole if section.parts)


def _notes(record: ReportRecord) -> Section:
    """Return the notes that apply, and what fell out in the words of what left it out."""
    found = notes(record)
    parts: list[Part] = [Points(found)] if found else [Paragraph(Text("notes.none"))]
    if record.notes:
        parts.append(Quote(Text("quote.left_out"), record.notes))
    return Section("notes", tuple(parts))
