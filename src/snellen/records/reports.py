"""Saved reports and measurements back from JSON, as strictly as ``reading`` reads every record. Standard library only.

In: JSON values. Out: a ReportRecord, BenchRecord or CompareRecord.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snellen.records import bench, report
from snellen.records.bench import BenchRecord, CompareRecord
from snellen.records.reading import read, refuse, said, shown
from snellen.records.report import MARKER, ReportRecord

COMPARE = "snellen.compare/1"

KINDS = ("file", "hub", "modelscope", "seed")
"""Of a model's origin; whether weights are trained is read from it."""


def read_report(document: object) -> ReportRecord:
    """Return the report that ``ReportRecord.to_dict`` made ``document`` of.

    Raises UsageError, naming the place, where it is of another schema, or a field is missing, unknown or of another
    type, or a figure that none can be, or where mark and record differ on whether the device was simulated.
    """
    record = read(ReportRecord, _fields(document, report.SCHEMA))
    for at, model in (
        ("model", record.model),
        ("trial.model", record.trial.model),
        ("bench.model", record.bench.model),
    ):
        _check_origin(model, at)
    _check_mark(document, simulated=record.simulated, by="trial.candidate.simulated")
    return record


def read_bench(document: object) -> BenchRecord:
    """Return the measurement that ``BenchRecord.to_dict`` made ``document`` of; raises UsageError like the others."""
    record = read(BenchRecord, _fields(document, bench.SCHEMA))
    _check_mark(document, simulated=record.simulated, by="simulated")
    return record


def read_compare(document: object) -> CompareRecord:
    """Return the comparison that ``CompareRecord.to_dict`` made ``document`` of; raises UsageError like the others."""
    return read(CompareRecord, _fields(document, COMPARE))


def _fields(document: object, schema: str) -> dict[str, Any]:
    """Return what a document of this schema holds beside its schema and its mark."""
    if not isinstance(document, Mapping):
        refuse(f"the document is {said(document)}", f"an object with the schema {schema!r}")
    if document.get("schema") != schema:
        refuse(f"the schema is {shown(document.get('schema'))}", f"{schema!r}")
    return {key: value for key, value in document.items() if key not in {"schema", MARKER}}


def _check_origin(model: Mapping[str, Any], at: str) -> None:
    """Refuse a model that does not say where its weights come from: every rendering says it first."""
    origin = model.get("origin")
    if not isinstance(origin, Mapping):
        refuse(f"{at}.origin is {said(origin)}", "an object")
    if origin.get("kind") not in KINDS:
        refuse(f"{at}.origin.kind is {shown(origin.get('kind'))}", " or ".join(map(repr, KINDS)))


def _check_mark(document: object, *, simulated: bool, by: str) -> None:
    marked = isinstance(document, Mapping) and MARKER in document
    if marked != simulated:
        seen = f"marked {MARKER}" if marked else f"not marked {MARKER}"
        refuse(f"the document is {seen}, and {by} is {shown(simulated)}", "both, or neither")
