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
from itertools import accumulate
from typing import Any

from snellen.embed.sources import tables
from snellen.embed.sources.data import LIMIT, Data, large, nothing, unreadable
from snellen.errors import ImageError, Unavailable
from snellen.records.store import Input

FILES = 4
"""Parquet files that are kept open by one reader."""
GROUPS = 16
"""Row groups under way in one file; threads are spread over several where they are short."""
AT_ONCE = 4 << 20
"""Bytes that are read at once, in whole rows."""
KEPT = 32 << 20
"""Bytes that are kept of a row group, in whole reads; and of all row groups of a file, beside those of the last two."""


class Tables:
    """Parquet files that are being read; thread-safe. ``open_`` gives a stream, its size and the time of the file."""

    def __init__(self, open_: Callable[[str], tuple[Any, int, int | None]]) -> None:
        self._opener = open_
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _File] = OrderedDict()

    def read(self, item: Input) -> Data:
        """Return the image of one row. Raises ImageError, Missing for a row that holds nothing, and TooLarge."""
        with self._lock:
            file = self._files.get(item.place)
            if file is None:
                file = self._files[item.place] = _File(item.place)
            self._files.move_to_end(item.place)
            while len(self._files) > FILES:
                self._files.popitem(last=False)
        return file.read(item, self._opener)

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            self._files.clear()


class _File:
    """One file: opened when its first row is asked for, read by one thread at a time."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._table: Any = None
        self._size = 0
        self._modified_ns: int | None = None
        self._starts: list[int] = []
        self._groups: OrderedDict[tuple[str, int], _Group] = OrderedDict()

    def read(self, item: Input, opener: Callable[[str], tuple[Any, int, int | None]]) -> Data:
        name = f"row {item.row} of {self._place!r}"
        with self._lock:
            if self._table is None:
                self._open(opener)
            content = self._content(item, name)
        if content is None:
            raise nothing(name)
        return Data(content, self._size, self._modified_ns)

    def _open(self, opener: Callable[[str], tuple[Any, int, int | None]]) -> None:
        stream, self._size, self._modified_ns = opener(self._place)
        try:
            self._table = tables.opened(stream)
        except (OSError, ValueError) as error:
            raise _damaged(repr(self._place), error) from error
        metadata = self._table.metadata
        counts = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._starts = list(accumulate(counts, initial=0))

    def _content(self, item: Input, name: str) -> bytes | None:
        if item.column is None:
            raise _damaged(repr(self._place), f"it could not be read from row {item.row or 0} on when it was listed")
        row = item.row or 0
        if row >= self._starts[-1]:
            raise _changed(self._place, f"it has {self._starts[-1]} rows")
        number = bisect.bisect_right(self._starts, row) - 1
        key = item.column, number
        group = self._groups.get(key)
        if group is None:
            column = self._column(item.column)
            group = self._groups[key] = _Group(self._table, column, number)
        self._groups.move_to_end(key)
        self._trim()
        return group.content(row - self._starts[number], name)

    def _trim(self) -> None:
        """Let go of the row groups that were not asked for recently."""
        while len(self._groups) > GROUPS or (len(self._groups) > 2 and sum(group.size for group in self._groups.values()) > KEPT):
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
        size = group.column(column.bytes_at).total_uncompressed_size
        self._count = group.num_rows
        self._rows = max(1, min(1024, AT_ONCE * self._count // max(1, size)))
        self._failed: tuple[int, str] | None = None  # the first row that cannot be read, and why
        self._begin()

    def content(self, row: int, name: str) -> bytes | None:
        """Return the bytes of a row of the group, None for null; raise ImageError where they cannot be read."""
        if self._failed and row >= self._failed[0]:
            raise _damaged(name, self._failed[1])
        if self._kept and row < self._kept[0][0]:
            self._begin()
        while row >= self._end:
            self._advance(name)
        first, images = next(kept for kept in self._kept if row < kept[0] + len(kept[1]))
        value = images[row - first].as_buffer()
        if value is not None and value.size > LIMIT:
            raise large(name, value.size)
        return None if value is None else bytes(value)

    def _begin(self) -> None:
        self._kept: deque[tuple[int, Any]] = deque()
        self._end = self.size = 0
        self._batches: Iterator[Any] = self._table.iter_batches(
            self._rows, row_groups=[self._number], columns=[self._column.name], use_threads=False
        )

    def _advance(self, name: str) -> None:
        """Read the next rows, and let go of the oldest where more than KEPT bytes are kept."""
        from pyarrow import compute

        try:
            batch = next(self._batches)
            images = batch.column(0)
            if self._column.kind == "struct":
                images = compute.struct_field(images, "bytes")
        except Unavailable as error:  # the network, and not the file
            self._begin()
            raise unreadable(name, error.seen) from error
        except (OSError, ValueError, StopIteration) as error:
            self._failed = self._end, str(error) or "it ends before its last row"
            raise _damaged(name, self._failed[1]) from error
        self._kept.append((self._end, images))
        self._end += len(images)
        self.size += images.nbytes
        while len(self._kept) > 1 and self.size > KEPT:
            self.size -= self._kept.popleft()[1].nbytes
        if self._end == self._count:
            self._batches = iter(())  # what it holds of the file goes


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
        f"the Parquet file {place!r} has changed since it was listed: {how}",
        expected="files that stay as they are while they are read",
        todo="embed it again",
    )
