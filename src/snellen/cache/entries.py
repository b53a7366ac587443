"""Entries: folders with a manifest, which is written last, says what has to be there, and is what is locked.

Its modification time is the time of the last use. Whoever holds an entry has a shared lock on the manifest; it is
evicted only under an exclusive one. Everything that moves an entry is done within ``drafts.gate``.
"""

from __future__ import annotations

import json
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from snellen.cache import drafts

MANIFEST = "snellen-entry.json"
SCHEMA = "snellen.cache/1"


class Held:
    """An entry in use: as long as this is open, no process evicts it. ``path`` is its folder, to be read only."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        # Closed and not unlocked: a forked process shares the lock, and its end must not take it from this one.
        self._release = weakref.finalize(self, os.close, descriptor)

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let it go; a second time does nothing."""
        self._release()


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as the keeper of the limit sees it."""

    used: int  # ns
    size: int  # bytes, of all its files
    path: Path


def find(base: Path, place: Path) -> Held | None:
    """Return a whole entry, held; discard a damaged one and return None."""
    held = _take(place)
    if held is None and _stands(place):
        # A cache that may only be read keeps its damaged entry, which counts as absent all the same.
        with suppress(OSError), _clearing() as cleared, drafts.gate(base):
            held = _take(place)  # it may have been replaced by now
            if held is None and _stands(place):
                cleared.append(drafts.set_aside(base, place))
    if held is not None:
        with suppress(OSError):  # a cache that may only be read: its owner's limit knows nothing of this use
            os.utime(place / MANIFEST)
    return held


def seal(folder: Path) -> None:
    """Bring all files of a folder to the disk, and write its manifest; raise ValueError if they make no entry."""
    files: dict[str, int] = {}
    folders = [folder]
    folder.stat()  # a search in a folder that is gone finds nothing, and no fault
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            folders.append(path)
        else:
            files[path.relative_to(folder).as_posix()] = _sync(path)
    if not files or MANIFEST in files:
        raise ValueError(f"an entry needs files, none of them named {MANIFEST}; there are {sorted(files)}")
    with (folder / MANIFEST).open("x", encoding="utf-8") as file:
        json.dump({"schema": SCHEMA, "files": files}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    for inner in reversed(folders):
        drafts.sync_folder(inner)


def publish(base: Path, draft: Path, place: Path, most: int) -> Held:
    """Move a sealed folder to its place, evict what is over ``most`` bytes, and return the entry, held.

    Where a whole entry stands already, that one is returned and the draft stays where it is.
    """
    with _clearing() as cleared, drafts.gate(base):
        held = _take(place)
        if held is None:
            if _stands(place):  # damaged
                cleared.append(drafts.set_aside(base, place))
            place.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(place)
            drafts.sync_folder(place.parent)
            held = _take(place)
        if held is None:
            raise OSError(f"'{place}' is not as it was written a moment ago")
        cleared.extend(evict(base, place, most))
    return held


def evict(base: Path, keep: Path, most: int) -> list[Path]:
    """Set aside the longest unused entries until the rest fits into ``most`` bytes; return where they are now."""
    gone = []
    stored = sorted(_stored(base), key=lambda entry: (entry.used, entry.path))
    total = sum(entry.size for entry in stored)
    for entry in stored:
        if total <= most:
            break
        aside = None if entry.path == keep else _set_aside_unused(base, entry.path)
        if aside is not None:
            gone.append(aside)
            total -= entry.size
    return gone


def _take(place: Path) -> Held | None:
    """Return an entry, held, if it is whole; the files themselves are not opened."""
    while True:
        try:
            descriptor = os.open(place / MANIFEST, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            drafts.lock(descriptor, shared=True)
            # Otherwise it was moved away before it could be locked, and another may stand there now.
            still = drafts.same(descriptor, place / MANIFEST)
            files = _listed(descriptor) if still else {}
            whole = bool(files) and all(_size(place / name) == size for name, size in files.items())
        except BaseException:
            os.close(descriptor)
            raise
        if whole:
            return Held(place, descriptor)
        os.close(descriptor)
        if still:
            return None


def _stands(place: Path) -> bool:
    """Return whether there is anything; raise OSError where there could not be."""
    try:
        place.lstat()
    except FileNotFoundError:
        return False
    return True


def _listed(descriptor: int) -> dict[str, int]:
    """Return the names and sizes in a manifest, none of them if it is damaged."""
    with open(descriptor, "rb", closefd=False) as file:
        try:
            manifest = json.load(file)
        except (ValueError, RecursionError):
            return {}
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        return {}
    files = manifest.get("files")
    return files if isinstance(files, dict) else {}


def _size(path: Path) -> int | None:
    """Return the size of a file, or None if there is no such file, or no such name could be."""
    try:
        found = path.stat()
    except PermissionError:
        raise
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _sync(path: Path) -> int:
    """Bring a file to the disk and return its size."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"an entry is made of files of its own, and '{path.name}' is none")
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # it may have been made read-only
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _stored(base: Path) -> Iterator[Stored]:
    """Give everything that stands where entries do, whole or not."""
    for folder in (base / "entries").glob("*/*"):
        manifest = folder / MANIFEST
        used = (manifest if manifest.exists() else folder).lstat().st_mtime_ns
        found = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
        yield Stored(used=used, size=sum(path.lstat().st_size for path in found), path=folder)


def _set_aside_unused(base: Path, place: Path) -> Path | None:
    """Move an entry away, or return None because somebody holds it."""
    try:
        descriptor = os.open(place / MANIFEST, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):  # without a manifest nobody can hold it
        return drafts.set_aside(base, place)
    try:
        return drafts.set_aside(base, place) if drafts.try_lock(descriptor) else None
    finally:
        os.close(descriptor)


@contextmanager
def _clearing() -> Iterator[list[Path]]:
    """Give a list of what to remove afterwards, when the gate is open again, for that may take long."""
    paths: list[Path] = []
    try:
        yield paths
    finally:
        for path in paths:
            drafts.remove(path)
