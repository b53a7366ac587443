"""Local files: whole ones, pieces of archives, and streams to list from; never a pipe or a device.

In: paths. Out: bytes. ``Handles`` keeps a few files open for pieces that are read from them, in any number of threads.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from snellen.embed.sources.data import LIMIT, Data, check_regular, cut_short, explained, large

OPEN = 16
"""Archives that are kept open by one reader."""

FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)  # opening a pipe would wait


def opened(path: str) -> tuple[int, os.stat_result]:
    """Open a regular file; raise ImageError for anything else, and what the system raises."""
    check_regular(path, os.stat(path).st_mode)
    descriptor = os.open(path, FLAGS)
    try:
        status = os.fstat(descriptor)
        check_regular(path, status.st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


def stream(path: str) -> io.BufferedReader:
    """Open a regular file as a stream; raise as ``opened`` does."""
    return os.fdopen(opened(path)[0], "rb")


def whole(path: str) -> Data:
    """Read a file. Raises ImageError, Missing and TooLarge."""
    try:
        descriptor, status = opened(path)
        try:
            if status.st_size > LIMIT:
                raise large(repr(path), status.st_size)
            content = _all(descriptor, status.st_size)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # a name too long, a null in the name, a disk that fails
        raise explained(path, error) from error
    if len(content) > LIMIT:
        raise large(repr(path))
    return Data(content, status.st_size, status.st_mtime_ns)


def _all(descriptor: int, size: int) -> bytes:
    """Read to the end, which may lie elsewhere than ``size`` says, but not far beyond LIMIT."""
    pieces, total, wanted = [], 0, size + 1
    while total <= LIMIT and (piece := os.read(descriptor, wanted)):
        pieces.append(piece)
        total += len(piece)
        wanted = 1 << 16
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@dataclass(slots=True)
class _Handle:
    descriptor: int
    modified_ns: int
    users: int = 0


class Handles:
    """Files open for reading pieces of them, at most OPEN and as many as there are threads; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Handle] = OrderedDict()

    def piece(self, path: str, offset: int, size: int) -> Data:
        """Read ``size`` bytes from ``offset`` on; raise what ``whole`` raises, and ImageError where fewer are there."""
        if size > LIMIT:
            raise large(f"a piece of {path!r}", size)
        try:
            with self._held(path) as handle:
                content = _piece(handle.descriptor, offset, size)
        except (OSError, ValueError) as error:
            raise explained(path, error) from error
        if len(content) < size:
            raise cut_short(f"{path!r}, from byte {offset} on,", size, len(content))
        return Data(content, size, handle.modified_ns)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1].descriptor)

    @contextmanager
    def _held(self, path: str) -> Iterator[_Handle]:
        with self._lock:
            handle = self._open.get(path)
            if handle is None:
                descriptor, status = opened(path)
                handle = self._open[path] = _Handle(descriptor, status.st_mtime_ns)
            self._open.move_to_end(path)
            handle.users += 1
            self._trim()
        try:
            yield handle
        finally:
            with self._lock:
                handle.users -= 1
                self._trim()

    def _trim(self) -> None:
        """Close those that nobody reads from, oldest first, until no more than OPEN are left."""
        idle = [path for path, handle in self._open.items() if not handle.users]
        for path in idle[: max(0, len(self._open) - OPEN)]:
            os.close(self._open.pop(path).descriptor)


def _piece(descriptor: int, offset: int, size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0 and (piece := os.pread(descriptor, size, offset)):
        pieces.append(piece)
        offset += len(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
