"""What is not published: drafts, each with a lock that its owner holds, and what remains of those whose owner is dead.

A draft NAME has a lock NAME.lock, which is there before it. What has no lock has no owner: an entry moved here to be
removed. Names are drawn at random and never used twice, so that what is removed by name cannot be somebody else's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from snellen.cache.places import reaching

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
except ImportError:
    LOCKING = False
else:
    LOCKING = True

_LOCK = ".lock"


class Draft:
    """A place of one's own, ``path``, for a file or folder that is still to be created; gone at the end of the block.

    Moving it away publishes it. Raises Unavailable if the cache cannot be written to.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        with reaching(base):
            base.mkdir(mode=0o700, parents=True, exist_ok=True)  # what it holds is executed: nobody else may write it
            _folder(base).mkdir(exist_ok=True)
            sweep(base)
            self.path, self._lock = _own(base)

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        remove(self.path)
        os.close(self._lock)
        with suppress(OSError):  # somebody sweeps it
            _lock_of(self.path).unlink()


def sweep(base: Path) -> None:
    """Remove every draft whose owner is dead, and what is left of entries whose removal was not finished."""
    for item in sorted(_folder(base).iterdir()):
        if item.suffix == _LOCK:
            if _abandoned(item):
                remove(item.with_suffix(""))
        elif not _lock_of(item).exists():
            remove(item)


def set_aside(base: Path, place: Path) -> Path:
    """Move an entry out of sight and return where it is; it is the caller's, or the next sweep's, to remove."""
    aside = _fresh(base)
    place.rename(aside)
    return aside


def remove(path: Path) -> None:
    """Remove a file or folder as far as that is possible; what remains is left to the next sweep."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)  # others may be at it
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def gate(base: Path) -> Iterator[None]:
    """Be the only process that lets entries appear or disappear; what is done inside takes but a moment."""
    descriptor = os.open(base / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        lock(descriptor, shared=False)
        yield
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, shared: bool) -> None:
    """Lock an open file, waiting until that is possible; closing it ends the lock, and so does the process's death."""
    if LOCKING:
        flock(descriptor, LOCK_SH if shared else LOCK_EX)


def try_lock(descriptor: int) -> bool:
    """Lock an open file for oneself alone, or return False because somebody has it."""
    try:
        if LOCKING:
            flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def same(descriptor: int, path: Path) -> bool:
    """Return whether an open file still stands under its name."""
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if os.name == "nt":  # it opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _own(base: Path) -> tuple[Path, int]:
    while True:
        path = _fresh(base)
        descriptor = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            lock(descriptor, shared=False)
        except BaseException:
            os.close(descriptor)
            raise
        if same(descriptor, _lock_of(path)):
            return path, descriptor
        os.close(descriptor)  # swept in the moment before it was locked


def _abandoned(path: Path) -> bool:
    """Remove a lock that nobody holds, and return True; return False if its owner lives."""
    if not LOCKING:
        with suppress(PermissionError, FileNotFoundError):  # a system without flock removes no open file
            path.unlink()
        return not path.exists()
    try:
        descriptor = os.open(path, os.O_RDWR)
    except (FileNotFoundError, PermissionError):  # its owner is done, or another user
        return False
    try:
        if not try_lock(descriptor):
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def _folder(base: Path) -> Path:
    return base / "drafts"


def _fresh(base: Path) -> Path:
    return _folder(base) / os.urandom(12).hex()


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)
