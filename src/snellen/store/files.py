"""Files that appear whole or not at all, and plain words for what a disk objects to.

In: bytes, or a block that writes a file aside. Out: the file in its place, on the disk, its name too.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from snellen.cache import drafts
from snellen.errors import Unavailable, UsageError

AGAIN = "give the same command again: it goes on from what is written, and none of that is lost"
_CHUNK = 1 << 20


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """Raise Unavailable, saying what the disk said, where it refuses what is written into a store."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"the store {str(folder)!r} cannot be written: {error.strerror or error}",
            expected="a folder that may be written to, on a disk with room for the vectors",
            todo=f"{_remedy(error)}, then {AGAIN}",
        ) from error


def _remedy(error: OSError) -> str:
    """Return what helps against what the disk said."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space"
    return "see to it that this folder can be made and written to, or name another one"


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the file system knows how."""
    try:
        drafts.sync_folder(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


@contextmanager
def placed(path: Path, aside: Path) -> Iterator[None]:
    """Move ``aside``, which the block writes, to ``path`` when the block ends well; remove it otherwise."""
    try:
        yield
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            aside.unlink()


def put(path: Path, data: bytes, aside: Path) -> None:
    """Write a small file."""
    with placed(path, aside), aside.open("wb") as file:
        file.write(data)


def to_json(document: object) -> bytes:
    """Return a document as it is stored."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def from_json(path: Path) -> Any:
    """Return what a file of a store holds; raise FileNotFoundError where none is.

    Raises UsageError where it is no JSON, Unavailable where it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        raise Unavailable(
            f"{str(path)!r} cannot be read: {error.strerror or error}",
            expected="the files of a store, and the right to read them",
            todo="look at the disk, and at who may read the folder",
        ) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"is not JSON: {error}") from error


def damaged(path: Path, how: str) -> UsageError:
    """Return the error of a store whose file ``path`` is not as it was written."""
    return UsageError(
        f"the store is damaged: {str(path)!r} {how}",
        expected="the files of a store as snellen wrote them",
        todo="bring that file back from a copy, or embed into another folder",
    )


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            seen.update(chunk)
    return seen.hexdigest()


class Hashing:
    """A stream to write to that knows the sha256 and the size of what went through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._seen = stream, hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """What was written so far, digested."""
        return self._seen.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._stream.closed

    def write(self, data: Any) -> int:
        """Write all of ``data``."""
        view = memoryview(data)
        self._stream.write(view)
        self._seen.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Return how much was written."""
        return self.size

    def flush(self) -> None:
        """Hand over what is buffered."""
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: whoever opened the stream closes it."""
