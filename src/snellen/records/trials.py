"""A saved trial back from JSON, as strictly as ``reading`` reads every record. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

from snellen.records.reading import read, refuse, said, shown
from snellen.records.verify import SCHEMA, TrialRecord

MARKER = "SIMULATED"


def read_trial(document: object) -> TrialRecord:
    """Return the trial that ``TrialRecord.to_dict`` made ``document`` of.

    Raises UsageError, naming the place, where it is of another schema, or a field is missing, unknown or of another
    type, or a figure that none can be, or where it is marked as simulated and says that it was not.
    """
    if not isinstance(document, Mapping):
        refuse(f"the document is {said(document)}", f"an object with the schema {SCHEMA!r}")
    if document.get("schema") != SCHEMA:
        refuse(f"the schema is {shown(document.get('schema'))}", f"{SCHEMA!r}")
    record = read(TrialRecord, {key: value for key, value in document.items() if key not in {"schema", MARKER}})
    origin = record.model.get("origin")
    if origin is not None and not isinstance(origin, Mapping):  # the one part of a model that is read further
        refuse(f"model.origin is {said(origin)}", "an object")
    if MARKER in document and not record.candidate.simulated:
        refuse(f"the document is marked {MARKER}, and candidate.simulated is false", "both, or neither")
    return record
