"""The journal of an unfinished part: what is done so far, one frame after the other, behind a lock.

In: frames, as bytes. Out: the same frames, after a death too: what was being written when the process died, or the
power went, is known by its checksum and dropped. The head says which part of which run it is of, and who holds it.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

from snellen.store.files import damaged, sync_folder
from snellen.store.lock import Locked, described, holder, open_alone

_HEAD = 512  # what it is of, then who holds it, padded with spaces
_HOLDER = 256
_FRAME = struct.Struct("<4sIQ")  # a word, the checksum and the length of what follows
_WORD = b"rows"
_SYNC_S = 5.0
"""Seconds between two moments in which the disk is waited for; a death of the process loses nothing in between."""


class Journal:
    """An open journal; ``frames`` are whole, ``notes`` say what was dropped."""

    def __init__(self, path: Path, of: str, *, wait: float = 0) -> None:
        """Open the journal at ``path``; ``of`` says what it must be of, or what is in it does not count.

        Raises Locked where a process that lives writes it, after ``wait`` seconds.
        """
        self.path, self.notes = path, list[str]()
        self.frames: list[tuple[int, int]] = []  # where the bytes of each start, and how many they are
        descriptor = open_alone(path, wait=wait)
        if descriptor is None:
            raise _refused(path)
        self._descriptor, self._end, self._synced = descriptor, _HEAD, time.monotonic()
        try:
            self._read_all(f"snellen journal 1 {of}".encode().ljust(_HOLDER))
            os.pwrite(descriptor, json.dumps(holder("writes this part")).encode()[:_HOLDER].ljust(_HOLDER), _HOLDER)
        except BaseException:
            self.close()
            raise

    def read(self, number: int) -> bytes:
        """Return a frame; raise UsageError where it is not what was written: then the disk lost it meanwhile."""
        data = self._frame(self.frames[number][0] - _FRAME.size, self._end)
        if data is None:
            raise damaged(self.path, "has lost what was written to it")
        return data

    def append(self, data: bytes) -> None:
        """Add a frame; where the disk refuses, the journal is as it was before."""
        frame = _FRAME.pack(_WORD, zlib.crc32(data), len(data)) + data
        try:
            self._write(frame, self._end)
            if time.monotonic() - self._synced >= _SYNC_S:
                os.fsync(self._descriptor)
                self._synced = time.monotonic()
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self.frames.append((self._end + _FRAME.size, len(data)))
        self._end += len(frame)

    def cut(self, number: int, why: str) -> None:
        """Drop frame ``number`` and those after it."""
        start = self.frames[number][0] - _FRAME.size
        self._drop(start, why)
        del self.frames[number:]

    def remove(self) -> None:
        """Remove the file: the part is finished."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def close(self) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read_all(self, of: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        if size < _HEAD or os.pread(self._descriptor, _HOLDER, 0) != of:
            if size > _HEAD:
                self.notes.append(f"the journal {self.path.name} was of another run, and is dropped")
            os.ftruncate(self._descriptor, 0)
            self._write(of + b" " * (_HEAD - _HOLDER), 0)
            sync_folder(self.path.parent)
            return
        while self._end < size:
            data = self._frame(self._end, size)
            if data is None:
                self._drop(self._end, f"the last {size - self._end} bytes of the journal were not whole")
                return
            self.frames.append((self._end + _FRAME.size, len(data)))
            self._end += _FRAME.size + len(data)

    def _frame(self, start: int, size: int) -> bytes | None:
        head = os.pread(self._descriptor, _FRAME.size, start)
        if len(head) < _FRAME.size:
            return None
        word, checksum, length = _FRAME.unpack(head)
        if word != _WORD or length > size - start - _FRAME.size:
            return None
        data = os.pread(self._descriptor, length, start + _FRAME.size)
        return data if zlib.crc32(data) == checksum else None

    def _drop(self, start: int, why: str) -> None:
        os.ftruncate(self._descriptor, start)
        self._end = start
        self.notes.append(f"{why}, and are done again")

    def _write(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written


def _refused(path: Path) -> Locked:
    entry: object = None
    with suppress(OSError, ValueError), path.open("rb") as file:
        entry = json.loads(file.read(_HEAD)[_HOLDER:])
    return Locked(
        f"{path.stem} is in work: {described(entry)}",
        expected="one process for each part",
        todo="give every worker of --shard another number, or wait until that process has ended",
    )
