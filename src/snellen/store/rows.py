"""Outcomes and vectors as Arrow, and back: a column of lists is one array of numbers, never Python lists of them.

n rows, m of them with a vector, D numbers in a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from snellen.records import Outcome
from snellen.store.layout import rows_schema

if TYPE_CHECKING:
    from numpy import float32, uint8
    from numpy.typing import NDArray

    Vector = NDArray[float32]
    Row = tuple[Outcome, Vector | None]

_TEXTS = ("image_path", "error_message", "notes")
OUTCOME = tuple(field.name for field in fields(Outcome))


def batch(rows: Sequence[Row]) -> Any:
    """Return ``rows`` as an Arrow record batch; vectors are [D] float32, all of one width."""
    import pyarrow

    schema = rows_schema()
    columns = {name: [getattr(outcome, name) for outcome, _ in rows] for name in OUTCOME}
    for name in _TEXTS:
        columns[name] = [clean(value) for value in columns[name]]
    arrays = [
        _lists([vector for _, vector in rows])
        if field.name == "embedding"
        else pyarrow.array(columns[field.name], field.type)
        for field in schema
    ]
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def _lists(vectors: Sequence[Vector | None]) -> Any:
    """Return vectors as an Arrow array of lists, null for None."""
    import numpy
    import pyarrow

    there = numpy.array([vector is not None for vector in vectors], bool)
    good = [vector for vector in vectors if vector is not None]
    values = numpy.stack(good).astype(numpy.float32, copy=False) if good else numpy.zeros((0, 0), numpy.float32)
    offsets = numpy.zeros(len(vectors) + 1, numpy.int32)
    numpy.cumsum(there * values.shape[1], out=offsets[1:])
    return pyarrow.ListArray.from_arrays(
        pyarrow.array(offsets), pyarrow.array(values.reshape(-1)), mask=pyarrow.array(~there)
    )


def vectors(column: Any, width: int) -> tuple[NDArray[Any], Vector]:
    """Return which rows have a vector [n] bool, and the vectors [m, D] of those, from an Arrow column of lists.

    Raises ValueError where a list is not of ``width`` numbers, or a number is null.
    """
    import numpy
    import pyarrow
    import pyarrow.compute

    chunks = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    there, found = [numpy.zeros(0, bool)], []
    for chunk in chunks:
        lengths = pyarrow.compute.list_value_length(chunk).drop_null().to_numpy(zero_copy_only=False)
        values = chunk.flatten()
        if values.null_count or (lengths != width).any():
            raise ValueError(f"a vector is not {width} numbers")
        there.append(chunk.is_valid().to_numpy(zero_copy_only=False))
        found.append(values.to_numpy(zero_copy_only=True).reshape(-1, width))
    none = numpy.zeros((0, width), numpy.float32)
    return numpy.concatenate(there), found[0] if len(found) == 1 else numpy.concatenate([none, *found])


def outcomes(table: Any) -> list[Outcome]:
    """Return the rows of an Arrow table or batch as outcomes."""
    columns = [table.column(name).to_pylist() for name in OUTCOME]
    notes = OUTCOME.index("notes")
    columns[notes] = [tuple(value or ()) for value in columns[notes]]
    return [Outcome(**dict(zip(OUTCOME, row, strict=True))) for row in zip(*columns, strict=True)]


def keys(column: Any) -> tuple[NDArray[Any], NDArray[uint8]]:
    """Return which rows have a sha256 [n] bool, and the first 16 bytes of those [m, 16], from a column of hex."""
    import numpy

    there = numpy.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
    text = numpy.array(column.drop_null().to_pylist(), "S64")
    digits = text.view(numpy.uint8).reshape(-1, 64)[:, :32]
    values = numpy.where(digits >= ord("a"), digits - (ord("a") - 10), digits - ord("0")).astype(numpy.uint8)
    return there, ((values[:, 0::2] << 4) | values[:, 1::2]).astype(numpy.uint8)


def clean(value: object) -> object:
    """Return text that UTF-8 can hold: what else a file name may have in it is escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, tuple):
        return [clean(part) for part in value]
    return value
