"""That it ran: what one image gave, looked at before anything is compared."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.report import ReportRecord, Tensor
from snellen.report.sections import figures as f
from snellen.report.sections.parts import Name, Paragraph, Part, Say, Section, Table, Text, headed, text

COLUMNS = ("output", "shape", "dtype", "device", "least", "most", "mean", "std", "nonfinite", "first_values")
NUMERIC = (4, 5, 6, 7, 8)


def evidence(record: ReportRecord) -> Section:
    """Return the tensors that came out of one image."""
    return Section("evidence", tuple(_parts(record)))


def _parts(record: ReportRecord) -> Iterator[Part]:
    found = record.evidence
    values: dict[str, Say] = {
        "image": found.image,
        "device": Name(found.output_device),
        "seconds": f.number(found.seconds),
        "size": f.by(record.facts.input_size),
    }
    yield Paragraph(text("evidence.ran", values))
    yield Table("outputs", headed(*COLUMNS), tuple(map(_row, found.outputs)), NUMERIC)
    whole = all(one.nonfinite == 0 for one in (*found.outputs, *found.maps))
    yield Paragraph(Text("evidence.finite" if whole else "evidence.nonfinite"))
    if found.maps:
        yield Table("maps", headed("stage", *COLUMNS[1:]), tuple(map(_row, found.maps)), NUMERIC)
    else:
        yield Paragraph(Text("evidence.no_maps"))


def _row(one: Tensor) -> tuple[Say, ...]:
    return (
        Name(one.name),
        f.shape(one.shape),
        Name(one.dtype),
        Name(one.device),
        f.number(one.least),
        f.number(one.most),
        f.number(one.mean),
        f.number(one.std),
        f.count(one.nonfinite),
        f.listed(f.number(value) for value in one.first),
    )
