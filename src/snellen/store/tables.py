"""The rows of a part as an Arrow table, and a part written from the batches of its journal.

In: a path, or record batches. Out: a table of the columns that are asked for; a Parquet file whose row groups do not
depend on how the rows came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from snellen.store.files import damaged
from snellen.store.layout import METADATA_KEY, ROW_GROUP, rows_schema

_PACKED = ("image_path", "error_message", "sha256", "notes.list.element")


def table_of(path: Path, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None) -> Any:
    """Return ``columns`` of a part, or of some of its row groups; raise UsageError where the file is damaged."""
    from pyarrow import ArrowException, parquet

    names = None if columns is None else list(columns)
    try:
        with parquet.ParquetFile(path) as file:
            if groups is None:
                return file.read(columns=names, use_threads=False)
            return file.read_row_groups(list(groups), columns=names, use_threads=False)
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    except (ArrowException, OSError) as error:
        raise damaged(path, f"cannot be read: {error}") from error


def write(stream: BinaryIO | Any, batches: Iterable[Any], metadata: Mapping[str, Any]) -> None:
    """Write the rows of ``batches`` as Parquet, ROW_GROUP of them a row group."""
    from pyarrow import parquet

    schema = rows_schema().with_metadata({METADATA_KEY: json.dumps(metadata)})
    # Numbers of a vector neither repeat nor shrink: a dictionary of them, or packing, would only cost time.
    packed = {name: "zstd" if name in _PACKED else "none" for name in _leaves(schema)}
    writer = parquet.ParquetWriter(stream, schema, compression=packed, use_dictionary=["status", "error_message"])
    try:
        for table in _grouped(batches, schema):
            writer.write_table(table, row_group_size=ROW_GROUP)
    finally:
        writer.close()


def _grouped(batches: Iterable[Any], schema: Any) -> Iterator[Any]:
    import pyarrow

    held = schema.empty_table()
    for batch in batches:
        held = pyarrow.concat_tables([held, pyarrow.Table.from_batches([batch], schema)])
        while len(held) >= ROW_GROUP:
            yield held.slice(0, ROW_GROUP).combine_chunks()
            held = held.slice(ROW_GROUP)
    if len(held):
        yield held.combine_chunks()


def _leaves(schema: Any) -> list[str]:
    """Return the columns as Parquet names them."""
    import pyarrow

    return [f"{field.name}.list.element" if pyarrow.types.is_list(field.type) else field.name for field in schema]
