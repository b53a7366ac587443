"""What lies in a folder, and which files match a pattern: walked in order, without a list of all of them.

In: a folder or a pattern. Out: paths, those of each folder sorted by name. In memory are the names in the folders on
the way down. A folder that cannot be read is given as a path, with a / behind it: as an input it says why.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterator

Seen = set[tuple[int, int]]

STORE = ".snellen"
"""What a folder holds that is a store of vectors."""


def walk(folder: str) -> Iterator[str]:
    """Yield all files below ``folder`` but hidden ones; no real folder is entered twice, and no store is."""
    seen: Seen = set()
    below = [_entries(folder, seen)]
    while below:
        path, is_folder = next(below[-1], ("", False))
        if not path:
            below.pop()
        elif not is_folder:
            yield path
        elif not os.path.isdir(os.path.join(path, STORE)):  # what was made of images is no source of more
            below.append(_entries(path, seen))


def matching(pattern: str) -> Iterator[str]:
    """Yield the files that a pattern with * ? [ ] matches, each once; ** stands for any number of folders.

    Names that begin with a dot are matched only where the pattern says the dot.
    """
    if pattern.endswith("/"):
        return  # matches folders only
    head, *parts = re.split(r"/+", pattern)
    found = _below(head + "/" if pattern.startswith("/") else "", parts if pattern.startswith("/") else [head, *parts])
    if parts.count("**") + (head == "**") < 2:
        yield from found
        return
    given = set()  # several ** may share the folders between them in more than one way
    for path in found:
        if path not in given:
            given.add(path)
            yield path


def _below(folder: str, parts: list[str]) -> Iterator[str]:
    """Yield the files below ``folder``, which ends in / or is empty, that match ``parts``."""
    part, *rest = parts
    if part == "**":
        yield from _anywhere(folder, rest or ["*"], set())
        return
    for name in _names(folder, part) if glob.has_magic(part) else [part]:
        path = folder + name
        if rest and not glob.has_magic(part):
            yield from _below(f"{path}/", rest)
        elif path == folder:
            yield path
        elif rest and os.path.isdir(path):
            yield from _below(f"{path}/", rest)
        elif not rest and os.path.lexists(path) and not os.path.isdir(path):
            yield path


def _anywhere(folder: str, parts: list[str], seen: Seen) -> Iterator[str]:
    """Yield the files that match ``parts`` in ``folder`` or in any folder below it."""
    try:
        if not _first_time(folder or ".", seen):
            return
    except OSError:
        return
    yield from _below(folder, parts)
    for name in _names(folder, "*"):
        if name and os.path.isdir(folder + name):
            yield from _anywhere(f"{folder}{name}/", parts, seen)


def _names(folder: str, part: str) -> list[str]:
    """Return the names in a folder that match one part of a pattern, sorted; [""] of one that cannot be read."""
    matches: Callable[[str], object] = re.compile(fnmatch.translate(part)).match
    shown = part.startswith(".")
    try:
        return sorted(name for name in os.listdir(folder or ".") if matches(name) and (shown or name[0] != "."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        return [""]


def _entries(folder: str, seen: Seen) -> Iterator[tuple[str, bool]]:
    """Yield what lies in a folder and whether it is a folder itself; nothing of one that was entered before."""
    try:
        if not _first_time(folder, seen):
            return
        with os.scandir(folder) as entries:
            found = [(entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    except OSError:
        yield os.path.join(folder, ""), False
        return
    found.sort()
    for name, is_folder in found:
        yield os.path.join(folder, name), is_folder


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _first_time(folder: str, seen: Seen) -> bool:
    status = os.stat(folder)
    key = status.st_dev, status.st_ino
    new = key not in seen
    seen.add(key)
    return new
