"""A card's folder: all of it at once or nothing, whatever happens while it is written.

In: a folder's name and the files that shall lie in it. Out: the folder. Everything is written into a draft beside it,
brought to the disk, and put in its place by one change of names. A folder that is there is replaced only where it holds
a card, and nothing that a card does not. What a process that died left beside it is cleared away by the next.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from snellen.cache.drafts import LOCKING, lock, remove, same, sync_folder, try_lock
from snellen.draft import writing
from snellen.errors import UsageError

REPORT = "report.json"
FILES = (REPORT, "README.md", "README.zh-CN.md", "index.html", "log.txt", "samples.csv")
"""What a card may consist of, beside the files that its report names."""

SCHEMAS = "snellen.report/"

LOCK, FORMER = ".lock", ".former"

_CURRENT = -100  # AT_FDCWD of Linux: paths are relative to the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, see renameat2(2)


def check(folder: Path) -> None:
    """Raise UsageError where a card may not be put: in the place of a file, or of anything that is not a card."""
    place = folder.resolve()
    if not place.exists():
        return
    if not place.is_dir():
        raise UsageError(f"the output {str(folder)!r} is a file", expected="a folder", todo="name a folder")
    if Path.cwd().is_relative_to(place):
        raise UsageError(
            f"the output {str(folder)!r} is the folder you are in, or one around it",
            expected="a folder of its own, which is replaced as a whole",
            todo="-o card",
        )
    strange = _strange(place, _known(place))
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise UsageError(
            f"the folder {str(folder)!r} holds what is no part of a card: {', '.join(strange[:3])}{more}",
            expected="a new or empty folder, or one with nothing but a card that snellen wrote",
            todo="name another folder, or move these files away; nothing was changed",
        )


def ready(folder: Path) -> None:
    """Refuse, before anything is run, a folder that no card can be put into. Raises as ``publish`` does."""
    place = folder.resolve()
    with writing(folder):
        place.parent.mkdir(parents=True, exist_ok=True)
        _tidy(place)
        check(folder)
        with _draft(place):
            pass


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder of these files, in the place of the card that may be there.

    A process that is killed leaves the former state or the new one, never a part of either. Raises UsageError as
    ``check`` does, Unavailable where the disk refuses.
    """
    place = folder.resolve()
    with writing(folder):
        place.parent.mkdir(parents=True, exist_ok=True)
        _tidy(place)
        check(folder)
        with _draft(place) as draft:
            for name, data in files.items():
                _put(draft / name, data)
            for inside in sorted({(draft / name).parent for name in files}, reverse=True):
                sync_folder(inside)
            check(folder)  # again: writing takes a while, and what came meanwhile would go with the former card
            _move(draft, place)
            sync_folder(place.parent)


def _known(place: Path) -> set[str]:
    """Return the names of the files that may be replaced: none, unless the folder's report says that it is one."""
    try:
        document = json.loads((place / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    if not isinstance(document, dict) or not str(document.get("schema")).startswith(SCHEMAS):
        return set()
    listed = document.get("files")
    entries = listed if isinstance(listed, list) else []
    return {*FILES, *(str(entry.get("name")) for entry in entries if isinstance(entry, dict))}


def _strange(place: Path, known: set[str]) -> list[str]:
    """Return what lies in a folder and is not known; links are what they are, and not followed."""
    found = []
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        is_folder = path.is_dir() and not path.is_symlink()
        if not (any(each.startswith(f"{name}/") for each in known) if is_folder else name in known):
            found.append(name)
    return found


def _put(path: Path, data: bytes) -> None:
    """Write one file, and bring it to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _draft(place: Path) -> Iterator[Path]:
    """Give a new folder beside ``place``, this process's own; what is in its place at the end is removed."""
    while True:
        draft = place.with_name(f".{place.name}.{os.urandom(6).hex()}.draft")
        held = draft.with_suffix(LOCK)
        descriptor = os.open(held, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with suppress(OSError):  # a file system without locks: then nobody clears anything away either
                lock(descriptor, shared=False)
            if not same(descriptor, held):
                continue  # it was cleared away in the moment before it was locked
            try:
                draft.mkdir()
                yield draft
            finally:
                remove(draft)  # unfinished; or, after an exchange, the former card
                held.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


@contextmanager
def _abandoned(held: Path) -> Iterator[bool]:
    """Tell whether the process that owned a lock is dead; while the block lasts, nobody else takes care of it."""
    try:
        descriptor = os.open(held, os.O_RDWR)
    except OSError:  # just gone, or another user's
        yield False
        return
    try:
        free = False
        with suppress(OSError):  # no locks here
            free = LOCKING and try_lock(descriptor)
        yield free
    finally:
        os.close(descriptor)


def _move(draft: Path, place: Path) -> None:
    """Put a draft in its place; what was there lies in the draft's place, or is gone."""
    if not place.exists() or not any(place.iterdir()):
        draft.rename(place)  # over an empty folder, too
        return
    if _exchanged(draft, place):
        return
    aside = draft.with_suffix(FORMER)
    place.rename(aside)
    try:
        draft.rename(place)
    except BaseException:
        aside.rename(place)
        raise
    remove(aside)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change their names in one step; return False where the system has no such step."""
    import ctypes

    try:
        step = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):  # not Linux, or an old one
        return False
    return bool(step(_CURRENT, os.fsencode(one), _CURRENT, os.fsencode(other), _EXCHANGE) == 0)


def _tidy(place: Path) -> None:
    """Clear away what processes that died left; give back a card that one had set aside and not replaced."""
    mine = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{12}}\{LOCK}")
    for held in sorted(place.parent.iterdir()):
        if mine.fullmatch(held.name) is None:
            continue
        with _abandoned(held) as abandoned:
            if not abandoned:
                continue
            former = held.with_suffix(FORMER)
            if former.exists() and not place.exists():
                former.rename(place)
            remove(former)
            remove(held.with_suffix(".draft"))
            held.unlink(missing_ok=True)
