"""Images and paths in Parquet files: a row each.

In: a Parquet file. Out: an input for every row of the column that holds the images: their bytes, a struct {bytes, path}
as Hugging Face data sets have it, or their paths. The bytes are not read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from snellen.embed.sources.lists import COLUMNS, column_of
from snellen.embed.sources.names import listed, printable
from snellen.errors import UsageError
from snellen.records.store import Input

ROWS = 4096
"""Paths that are read at once."""


@dataclass(frozen=True, slots=True)
class Column:
    """The column that holds images, and how; ``bytes_at`` is its place among the columns as they are stored."""

    name: str
    kind: Literal["struct", "bytes", "path"]
    bytes_at: int | None = None
    has_path: bool = False


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
    except (OSError, ValueError):
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
    columns = {field.name: _column(table, field) for field in table.schema_arrow}
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


def _column(table: Any, field: Any) -> Column | None:
    """Return what a column holds, None where it can hold neither an image nor a path."""
    from pyarrow import types

    name, kind = field.name, field.type
    stored = {table.schema.column(i).path: i for i in range(len(table.schema))}
    if types.is_struct(kind):
        inner = {part.name: part.type for part in kind}
        has_path = "path" in inner and is_text(inner["path"])
        if "bytes" in inner and is_bytes(inner["bytes"]):
            return Column(name, "struct", stored[f"{name}.bytes"], has_path)
        return None
    if is_bytes(kind):
        return Column(name, "bytes", stored[name])
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
    first = given = 0
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        if column.kind == "path":
            found = _paths(table, place, column, group, first)
        elif column.has_path and _nulls(table, column, group) != 0:
            found = _mixed(table, place, column, group, first)
        else:
            found = (_row(place, column, row) for row in range(first, first + count))
        try:
            for given, item in enumerate(found, start=first + 1):  # noqa: B007
                yield item
        except (OSError, ValueError):
            yield Input(path=printable(place), place=place, kind="parquet", row=max(given, first))
            return
        first += count


def _row(place: str, column: Column, row: int) -> Input:
    path = f"{printable(place)}/{column.name}[{row}]"
    return Input(path=path, place=place, kind="parquet", row=row, column=column.name)


def _nulls(table: Any, column: Column, group: int) -> int | None:
    """Return how many images of a row group have no bytes, None where the file does not say."""
    statistics = table.metadata.row_group(group).column(column.bytes_at).statistics
    return int(statistics.null_count) if statistics is not None and statistics.has_null_count else None


def _paths(table: Any, place: str, column: Column, group: int, first: int) -> Iterator[Input]:
    for batch in table.iter_batches(ROWS, row_groups=[group], columns=[column.name], use_threads=False):
        for row, path in enumerate(batch.column(0).to_pylist(), start=first):
            yield listed(path or "", place, f"{column.name}[{row}]")
        first += batch.num_rows


def _mixed(table: Any, place: str, column: Column, group: int, first: int) -> Iterator[Input]:
    """Yield the rows of a row group of which some have a path and no bytes.

    Where none has bytes only the paths are read; otherwise, and where nothing says how many have, the bytes as well.
    """
    from pyarrow import compute

    none = _nulls(table, column, group) == table.metadata.row_group(group).num_rows
    wanted = [f"{column.name}.path"] if none else [column.name]
    size = ROWS if none else 16
    for batch in table.iter_batches(size, row_groups=[group], columns=wanted, use_threads=False):
        images = batch.column(0)
        paths = compute.struct_field(images, "path").to_pylist()
        empty = [True] * len(paths) if none else compute.struct_field(images, "bytes").is_null().to_pylist()
        for row, (path, is_empty) in enumerate(zip(paths, empty, strict=True), start=first):
            yield listed(path, place, "") if is_empty and path else _row(place, column, row)
        first += batch.num_rows
