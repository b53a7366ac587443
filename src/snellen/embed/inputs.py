"""Which images are meant: files, folders, globs and a list on stdin become one list of paths.

In: what the user named. Out: paths in a stable order. Nothing that was named is dropped: a path that does not exist
stays in the list, and becomes an input that is reported missing. Names given twice stay twice.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from snellen.errors import UsageError

SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".ico", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo"),
    *(".png", ".pnm", ".pgm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Endings by which a folder's images are told from its other files; a file that is named needs none of them."""


def expand(sources: Iterable[str], stdin: BinaryIO) -> Iterator[str]:
    """Yield the paths that ``sources`` mean, in the order of the sources.

    A folder stands for the images in it and below it, sorted; a pattern with ``*``, ``?`` or ``[`` for the files it
    matches, sorted; ``-`` for the paths on ``stdin``, one a line. Anything else is a path.
    Raises UsageError for a folder without images, a pattern that matches no file, and an empty list.
    """
    for source in sources:
        if source == "-":
            yield from _some(_listed(stdin), "the list on stdin is empty", "paths of images, one a line")
        elif os.path.isdir(source):
            yield from _some(_walk(source, set()), f"the folder {source!r} holds no images", "files ending in .jpg ...")
        elif glob.has_magic(source) and not os.path.lexists(source):
            yield from _some(
                _matching(source), f"the pattern {source!r} matches no file", "a pattern such as 'photos/**/*.jpg'"
            )
        else:
            yield source


def printable(path: str) -> str:
    """Return ``path`` with ``/`` between its parts, and with escapes for bytes that are not text."""
    return os.fsencode(Path(path).as_posix()).decode("utf-8", "backslashreplace")


def _listed(stdin: BinaryIO) -> Iterator[str]:
    for line in stdin:
        path = os.fsdecode(line.rstrip(b"\r\n"))
        if path:
            yield path


def _walk(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Yield the images below ``folder``, names sorted; hidden files are left out, no real folder is entered twice."""
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        ordered = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir():
            yield from _walk(entry.path, seen)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield entry.path


def _matching(pattern: str) -> Iterator[str]:
    """Yield the files that ``pattern`` matches, sorted; each once, for ``**`` walks round links that form a loop."""
    seen = set()
    for path in sorted(glob.iglob(pattern, recursive=True)):
        folder, name = os.path.split(path)
        real = os.path.join(os.path.realpath(folder), name)
        if real not in seen and not os.path.isdir(path):
            seen.add(real)
            yield path


def _some(paths: Iterator[str], seen: str, expected: str) -> Iterator[str]:
    """Yield ``paths``; raise UsageError if there are none."""
    count = 0
    for count, path in enumerate(paths, start=1):  # noqa: B007
        yield path
    if not count:
        raise UsageError(seen, expected=expected, todo="check the spelling, or name the files themselves")
