"""Images and paths in Parquet files: a row each.

In: a Parquet file. Out: an input for every row of the column that holds the images: their bytes, a struct {bytes, path}
as Hugging Face data sets have it, or their paths. The bytes are not read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from snellen.embed.sources.lists import COLUMNS, column_of
from snellen.embed.sources.names import listed, printable
from snellen.errors import UsageError
from snellen.records.inputs import Input

ROWS = 4096
"""Paths that are read at once."""

FAULTS = (OSError, ValueError, TypeError, LookupError, NotImplementedError, MemoryError)
"""What pyarrow raises for a damaged file, as its own exceptions that derive from these."""


@dataclass(frozen=True, slots=True)
class Column:
    """The column that holds images, and how; ``parts`` are those of a struct that are of use."""

    name: str
    kind: Literal["struct", "bytes", "path"]
    parts: tuple[str, ...] = ()


def opened(file: Any) -> Any:
    """Return the ``pyarrow.parquet.ParquetFile`` over a stream; raise OSError or ValueError for what is none."""
    from pyarrow import parquet

    return parquet.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)  # a page at a time, not a whole column


def rows(file: BinaryIO, place: str, asked: str | None, *, found: bool = False) -> Iterator[Input] | None:
    """Return the inputs of a Parquet file; a file that is damaged is an input itself.

    ``found``: nobody named it, it lies in a folder; then it counts only if it holds the images themselves, and None is
    returned otherwise. Raises UsageError where it cannot be told which column holds the images.
    """
    try:
        table = opened(file)
    except FAULTS:
        return iter([damaged(place)])
    column = find(table, place, asked, only_images=found)
    return None if column is None else _rows(table, place, column)


def damaged(place: str) -> Input:
    """Return the input that stands for a Parquet file that cannot be read: reading it says why."""
    return Input(path=printable(place), place=place, kind="parquet")


def find(table: Any, place: str, asked: str | None, *, only_images: bool = False) -> Column | None:
    """Return the column that holds the images; None for ``only_images`` where there is none of them.

    Unless it is asked for: the only struct {bytes, path}; or else the only one of bytes; or else the only one of text
    that has one of the names in COLUMNS. Raises UsageError where there are several, or none.
    """
    columns = {field.name: _column(field) for field in table.schema_arrow}
    if asked is not None:
        column = columns[column_of(list(columns), asked, place)]
        if column is None:
            raise _unusable(table, asked, place)
        return column
    for kind in ("struct", "bytes", "path"):
        of_kind = [each for each in columns.values() if each and each.kind == kind]
        if kind == "path":
            if only_images:
                return None
            texts = [each.name for each in of_kind if each.name.lower() in COLUMNS]
            return columns[column_of(texts or list(columns), None, place)]
        if len(of_kind) == 1:
            return of_kind[0]
        if of_kind:
            names = ", ".join(repr(each.name) for each in of_kind)
            seen = f"{place!r} has more than one column with bytes: {names}"
            raise UsageError(seen, expected="one column of images", todo=f"say which: '{place}::NAME'")
    return None


def _column(field: Any) -> Column | None:
    """Return what a column holds, None where it can hold neither an image nor a path."""
    from pyarrow import types

    name, kind = field.name, field.type
    if types.is_struct(kind):
        inner = {part.name: part.type for part in kind}
        if "bytes" not in inner or not is_bytes(inner["bytes"]):
            return None
        has_path = "path" in inner and is_text(inner["path"])
        return Column(name, "struct", ("bytes", "path") if has_path else ("bytes",))
    if is_bytes(kind):
        return Column(name, "bytes")
    return Column(name, "path") if is_text(kind) else None


def is_bytes(kind: Any) -> bool:
    """Tell whether an Arrow type is one of bytes of any length."""
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def is_text(kind: Any) -> bool:
    """Tell whether an Arrow type is one of text."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _unusable(table: Any, name: str, place: str) -> UsageError:
    kind = table.schema_arrow.field(name).type
    return UsageError(
        f"the column {name!r} of {place!r} is of type {kind}",
        expected="bytes, text with paths, or a struct {bytes, path}; not lists of them",
        todo="write the images in a column of one of these types",
    )


def _rows(table: Any, place: str, column: Column) -> Iterator[Input]:
    if column.kind == "path":
        yield from _paths(table, place, column.name)
        return
    for row in range(table.metadata.num_rows):
        path = f"{printable(place)}/{column.name}[{row}]"
        yield Input(path=path, place=place, kind="parquet", row=row, column=column.name)


def _paths(table: Any, place: str, name: str) -> Iterator[Input]:
    """Yield the paths in a column; for rows of a row group that cannot be read, one input that says so."""
    first = 0
    for group in range(table.num_row_groups):
        row = first
        try:
            for batch in table.iter_batches(ROWS, row_groups=[group], columns=[name], use_threads=False):
                for path in texts(batch.column(0)):
                    yield listed(path or "", place, f"{name}[{row}]")
                    row += 1
        except FAULTS:
            yield Input(path=printable(place), place=place, kind="parquet", row=row)
        first += table.metadata.row_group(group).num_rows


def texts(column: Any) -> list[str | None]:
    """Return paths as the system spells them: not all of them are text."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return [None if path is None else os.fsdecode(path) for path in column.cast(pyarrow.large_binary()).to_pylist()]
