"""The bytes of every kind of input, for any number of threads.

In: an ``Input`` as ``expand`` gives it. Out: ``Data``. A reader keeps a few archives and Parquet files open; nothing it
reads is written anywhere, and nothing it opens can make it wait for ever: no pipe and no device.
"""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from snellen.embed.sources import files
from snellen.embed.sources.data import Data, explained, missing, nothing, unreadable
from snellen.embed.sources.names import is_remote, printable
from snellen.errors import ImageError, Unavailable
from snellen.records.inputs import Input

if TYPE_CHECKING:
    from snellen.embed.sources.download import Remote
    from snellen.embed.sources.rows import Tables

BUFFERED = 1 << 16
"""Bytes of a remote stream that are read at once: as much as several headers of an archive of small files."""


class Reader:
    """Reads inputs; thread-safe, and to be closed. What plain files do not need is imported when it is."""

    def __init__(self) -> None:
        self._handles = files.Handles()
        self._lock = threading.RLock()
        self._far: Remote | None = None
        self._parquet: Tables | None = None

    @property
    def _remote(self) -> Remote:
        with self._lock:
            if self._far is None:
                from snellen.embed.sources.download import Remote

                self._far = Remote()
            return self._far

    @property
    def _tables(self) -> Tables:
        with self._lock:
            if self._parquet is None:
                from snellen.embed.sources.rows import Tables

                self._parquet = Tables(_table, self.read)
            return self._parquet

    def read(self, item: Input) -> Data:
        """Return the bytes of an input.

        Raises Missing for what does not exist, TooLarge for more than LIMIT bytes, and ImageError for all else that
        keeps it from being read. Raises MissingPackage where a package for remote addresses is not installed.
        """
        if not item.place:
            raise nothing(repr(item.path))
        if item.kind == "tar":
            return self._member(item)
        if item.kind == "parquet":
            return self._tables.read(item)
        return self._remote.whole(item.place) if item.kind == "url" else files.whole(item.place)

    def stat(self, item: Input) -> tuple[int, int] | None:
        """Return what ``Data.size`` and ``Data.modified_ns`` of an input will be; None where that cannot be told."""
        found = self._remote.stat(item.place) if is_remote(item.place) else _stat(item.place)
        if found is None or item.kind != "tar":
            return found
        return None if item.size is None else (item.size, found[1])

    def close(self) -> None:
        """Close all files."""
        self._handles.close()
        if self._parquet is not None:
            self._parquet.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _member(self, item: Input) -> Data:
        """Read a member of an archive, with its header to see that it is still the same."""
        from snellen.embed.sources import tars

        if item.offset is None or item.size is None:
            raise _why_none(item)
        offset, size = item.offset - tars.BLOCK, item.size + tars.BLOCK
        if is_remote(item.place):
            content = tars.checked(item, self._remote.piece(item.place, offset, size))
            return Data(content, item.size, self._remote.time(item.place))
        found = self._handles.piece(item.place, offset, size)
        return Data(tars.checked(item, found.content), item.size, found.modified_ns)


def _stat(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _why_none(item: Input) -> ImageError:
    """Say why a member of an archive has no bytes, which its headers tell."""
    from snellen.embed.sources import tars

    try:
        with stream(item.place) as file:
            return tars.explained(item, file)
    except ImageError as error:
        return error
    except Unavailable as error:
        return unreadable(repr(item.path), error.seen)


def stream(place: str) -> BinaryIO:
    """Open a local or remote file to be read from any place; raise ImageError, Missing, and Unavailable."""
    from snellen.embed.sources import remote

    try:
        if is_remote(place):
            return cast("BinaryIO", io.BufferedReader(remote.stream(place)[0], BUFFERED))
        return files.stream(place)
    except FileNotFoundError as error:
        raise missing(repr(printable(place))) from error
    except (OSError, ValueError) as error:
        raise explained(place, error) from error


def table(place: str) -> tuple[Any, int, int | None]:
    """Open a local or remote file for pyarrow: return it, its size and its time; raise as ``stream`` does."""
    from snellen.embed.sources import remote, rows

    try:
        return remote.stream(place) if is_remote(place) else rows.from_file(place)
    except FileNotFoundError as error:
        raise missing(repr(printable(place))) from error
    except (OSError, ValueError) as error:
        raise explained(place, error) from error


def _table(place: str) -> tuple[Any, int, int | None]:
    """Do as ``table``, but raise no Unavailable: for one input, what cannot be reached is a bad image."""
    try:
        return table(place)
    except Unavailable as error:
        raise unreadable(repr(printable(place)), error.seen) from error
