"""Notes on the encoder: its weights, its input, what it can and cannot say."""

from __future__ import annotations

from snellen.records.report import ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.common import joined
from snellen.report.sections.notes.note import Note, Values, when
from snellen.report.sections.parts import Name

FREE = "Apache-2.0"


def _origin(record: ReportRecord) -> str:
    return str(record.model["origin"]["kind"])


def _seeded(record: ReportRecord) -> Values | None:
    return None if record.trained else {"seed": Name(f"seed:{record.model['origin'].get('seed')}")}


def _fixed(record: ReportRecord) -> Values | None:
    return {"size": f.by(record.facts.input_size)} if record.facts.fixed_size else None


def _resized(record: ReportRecord) -> Values | None:
    """Tell that a learned table of positions was brought to another grid."""
    config = record.facts.config
    side = config.get("grid")
    if config.get("position") != "learned" or side is None or tuple(record.facts.grid) == (side, side):
        return None
    return {"stored": f.by((side, side)), "grid": f.by(record.facts.grid), "how": Name(str(config.get("resize")))}


def _classes(record: ReportRecord) -> int:
    return int(record.facts.config.get("classes") or 0)


def _periods(record: ReportRecord, rounded: bool) -> Values | None:
    config = record.facts.config
    return when(config.get("position") == "rope" and config.get("rope_rounding") is rounded)


def _no_bias(record: ReportRecord) -> Values | None:
    """Tell that q, k and v have no bias where everything else has one: other libraries' files carry zeros there."""
    config = record.facts.config
    return when(config.get("qkv_bias") == "none" and config.get("bias") is True)


def _cast(record: ReportRecord) -> Values | None:
    stored, dtype = record.facts.stored, record.trial.candidate.dtype
    if not record.trained or not stored or set(stored) == {dtype}:
        return None
    return {"stored": joined([Name(name) for name in stored]), "dtype": Name(dtype)}


def _unproven(record: ReportRecord) -> Values | None:
    """Tell, of a float32 card, that lower precision is not proven by it."""
    dtype = record.trial.candidate.dtype
    return {"dtype": Name(dtype)} if dtype == "float32" else None


def _lower(record: ReportRecord) -> Values | None:
    dtype = record.trial.candidate.dtype
    return {"dtype": Name(dtype)} if dtype != "float32" else None


def _licence(record: ReportRecord) -> Values | None:
    licence = record.facts.licence
    return None if licence is None or licence == FREE else {"licence": licence}


def _hub(record: ReportRecord) -> Values | None:
    if _origin(record) not in ("hub", "modelscope"):
        return None
    return {"repo": Name(str(record.model["origin"].get("repo")))}


NOTES = (
    Note("seeded", _seeded),
    Note("fixed_size", _fixed),
    Note("positions_resized", _resized),
    Note("no_classifier", lambda record: when(not _classes(record))),
    Note("drawn_classifier", lambda record: when(_classes(record) and not record.trained)),
    Note("periods_rounded", lambda record: _periods(record, True)),
    Note("periods_exact", lambda record: _periods(record, False)),
    Note("no_qkv_bias", _no_bias),
    Note("cast", _cast),
    Note("mixed_precision", _unproven),
    Note("lower_precision", _lower),
    Note("licence", _licence),
    Note("git_lfs", _hub),
    Note("mirror", lambda record: when(_origin(record) == "hub")),
    Note("local_file", lambda record: when(_origin(record) == "file")),
)
