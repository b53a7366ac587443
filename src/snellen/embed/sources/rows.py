"""Rows of Parquet files, by number: each row group is read once when its rows are asked for in order.

In: a file, a column and the number of a row, from any number of threads. Out: the bytes of the image. Of each row group
under way the last rows that were read are kept, so that threads may ask a little out of order; a row before those makes
it be read from its beginning again. pyarrow reads a page at a time, and a page may be as long as its row group.
"""

from __future__ import annotations

import bisect
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any

from snellen.embed.sources import tables
from snellen.embed.sources.data import LIMIT, Data, large, nothing, unreadable
from snellen.embed.sources.names import listed, printable
from snellen.errors import ImageError, Unavailable
from snellen.records.inputs import Input

FILES = 4
"""Parquet files that are kept open by one reader."""
GROUPS = 16
"""Row groups under way in one file; threads are spread over several where they are short."""
AT_ONCE = 4 << 20
"""Bytes that are read at once, in whole rows."""
KEPT = 32 << 20
"""Bytes that are kept of a row group, in whole reads; and of all row groups of a file, beside those of the last two."""

Opener = Callable[[str], tuple[Any, int, int | None]]
Cell = tuple[bytes | None, str | None]  # the bytes, or the path


class Tables:
    """Parquet files that are being read; thread-safe.

    ``opener`` gives a stream, its size and the time of the file; ``follow`` reads an input that a row names.
    """

    def __init__(self, opener: Opener, follow: Callable[[Input], Data]) -> None:
        self._opener, self._follow = opener, follow
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _File] = OrderedDict()

    def read(self, item: Input) -> Data:
        """Return the image of one row; where it has a path and no bytes, what is there.

        Nothing tells of the latter whether it changed. Raises ImageError, Missing for a row that holds nothing, and
        TooLarge.
        """
        with self._lock:
            file = self._files.get(item.place)
            if file is None:
                file = self._files[item.place] = _File(item.place)
            self._files.move_to_end(item.place)
            while len(self._files) > FILES:
                self._files.popitem(last=False)
        content, path = file.read(item, self._opener)
        if content is not None:
            return Data(content, file.size, file.modified_ns)
        if not path:
            raise nothing(_name(item))
        return replace(self._follow(listed(path, item.place, "")), size=file.size, modified_ns=None)

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            self._files.clear()


class _File:
    """One file: opened when its first row is asked for, read by one thread at a time."""

    def __init__(self, place: str) -> None:
        self.size = 0
        self.modified_ns: int | None = None
        self._place = place
        self._lock = threading.Lock()
        self._table: Any = None
        self._starts: list[int] = []
        self._groups: OrderedDict[tuple[str, int], _Group] = OrderedDict()

    def read(self, item: Input, opener: Opener) -> Cell:
        with self._lock:
            if self._table is None:
                self._open(opener)
            return self._cell(item)

    def _open(self, opener: Opener) -> None:
        stream, self.size, self.modified_ns = opener(self._place)
        try:
            table = tables.opened(stream)
            counts = (table.metadata.row_group(group).num_rows for group in range(table.num_row_groups))
            self._starts = list(accumulate(counts, initial=0))
        except tables.FAULTS as error:
            raise _damaged(repr(printable(self._place)), error) from error
        self._table = table

    def _cell(self, item: Input) -> Cell:
        row = item.row or 0
        if item.column is None:
            name = repr(printable(self._place))
            raise _damaged(name, f"row {row} and those behind it in its row group could not be read to list them")
        if row >= self._starts[-1]:
            raise _changed(self._place, f"it has {self._starts[-1]} rows")
        number = bisect.bisect_right(self._starts, row) - 1
        key = item.column, number
        if key not in self._groups:
            self._groups[key] = _Group(self._table, self._column(item.column), number)
        self._groups.move_to_end(key)
        self._trim()
        return self._groups[key].cell(row - self._starts[number], _name(item))

    def _trim(self) -> None:
        """Let go of the row groups that were not asked for recently."""
        while len(self._groups) > GROUPS or (
            len(self._groups) > 2 and sum(group.size for group in self._groups.values()) > KEPT
        ):
            self._groups.popitem(last=False)

    def _column(self, name: str) -> tables.Column:
        if name in self._table.schema_arrow.names:
            column = tables.find(self._table, self._place, name)
            if column is not None and column.kind != "path":
                return column
        raise _changed(self._place, f"its column {name!r} holds no images")


class _Group:
    """One row group under way: what comes next, and the last rows that came, ``size`` bytes of them."""

    def __init__(self, table: Any, column: tables.Column, number: int) -> None:
        self._table, self._column, self._number = table, column, number
        group = table.metadata.row_group(number)
        self._count = group.num_rows
        self._rows = max(1, min(1024, AT_ONCE * self._count // max(1, group.total_byte_size)))
        self._failed: tuple[int, str] | None = None  # the first row that cannot be read, and why
        self._begin()

    def cell(self, row: int, name: str) -> Cell:
        """Return what a row of the group holds; raise ImageError where it cannot be read, and TooLarge."""
        if self._failed and row >= self._failed[0]:
            raise _damaged(name, self._failed[1])
        if self._kept and row < self._kept[0][0]:
            self._begin()
        while row >= self._end:
            self._advance(name)
        first, parts = next(kept for kept in self._kept if row < kept[0] + len(kept[1][0]))
        content = parts[0][row - first].as_buffer()
        if content is not None and content.size > LIMIT:
            raise large(name, content.size)
        if content is not None:
            return bytes(content), None
        return None, tables.texts(parts[1].slice(row - first, 1))[0] if len(parts) > 1 else None

    def _begin(self) -> None:
        self._kept: deque[tuple[int, list[Any]]] = deque()
        self._end = self.size = 0
        self._batches: Iterator[Any] = self._table.iter_batches(
            self._rows, row_groups=[self._number], columns=[self._column.name], use_threads=False
        )

    def _advance(self, name: str) -> None:
        """Read the next rows, and let go of the oldest where more than KEPT bytes are kept."""
        from pyarrow import compute

        try:
            images = next(self._batches).column(0)
            parts = [compute.struct_field(images, part) for part in self._column.parts] or [images]
        except Unavailable as error:  # the network, and not the file
            self._begin()
            raise unreadable(name, error.seen) from error
        except (*tables.FAULTS, StopIteration) as error:
            self._failed = self._end, str(error) or "it ends before its last row"
            raise _damaged(name, self._failed[1]) from error
        self._kept.append((self._end, parts))
        self._end += len(images)
        self.size += _size(parts)
        while len(self._kept) > 1 and self.size > KEPT:
            self.size -= _size(self._kept.popleft()[1])
        if self._end >= self._count:
            self._batches = iter(())  # what it holds of the file goes


def _size(parts: list[Any]) -> int:
    return sum(part.nbytes for part in parts)


def _name(item: Input) -> str:
    return f"row {item.row} of {printable(item.place)!r}"


def from_file(path: str) -> tuple[Any, int, int | None]:
    """Return a stream over a regular local file, its size and its time; raise as ``files.opened`` does."""
    import pyarrow

    from snellen.embed.sources import files

    descriptor, status = files.opened(path)
    os.close(descriptor)
    return pyarrow.OSFile(path), status.st_size, status.st_mtime_ns


def _damaged(name: str, why: object) -> ImageError:
    return ImageError(
        f"{name} cannot be read: the Parquet file is damaged or cut short ({why})",
        expected="a whole Parquet file",
        todo="fetch it again, or leave it out",
    )


def _changed(place: str, how: str) -> ImageError:
    return ImageError(
        f"the Parquet file {printable(place)!r} has changed since it was listed: {how}",
        expected="files that stay as they are while they are read",
        todo="embed it again",
    )
