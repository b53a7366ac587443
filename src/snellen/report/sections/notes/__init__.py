"""Notes that apply to this model on this device: each is there because of a fact in the record, and never otherwise.

In: a ReportRecord. Out: texts, in the order of importance.
"""

from __future__ import annotations

from snellen.records.report import ReportRecord
from snellen.report.sections.notes import device, model, speed, verdicts
from snellen.report.sections.notes.note import Note
from snellen.report.sections.parts import Text

__all__ = ["NOTES", "Note", "notes"]

NOTES: tuple[Note, ...] = (*verdicts.NOTES, *device.NOTES, *model.NOTES, *speed.NOTES)
"""Every note there is."""


def notes(record: ReportRecord) -> tuple[Text, ...]:
    """Return the notes that apply."""
    found = ((note.key, note.applies(record)) for note in NOTES)
    return tuple(Text(f"note.{key}", values) for key, values in found if values is not None)
