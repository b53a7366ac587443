"""How places are told apart by their names, and how they are shown.

In: what the user or a list wrote. Out: whether it is a remote address, its ending, the name it is stored under, and the
input that it means.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from snellen.records.inputs import Input

SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".ico", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo"),
    *(".png", ".pnm", ".pgm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Endings by which the images of a folder or an archive are told from its other files; a named file needs none."""

PACKED = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4", ".tgz", ".tbz2", ".txz")
"""Endings of archives that are compressed as a whole."""

REMOTE = re.compile(r"(?:[a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE)
WEB = ("http://", "https://")
SECRET = re.compile(r"(?<=://)[^/?#@]*@")


def is_remote(place: str) -> bool:
    """Tell whether ``place`` is an address for fsspec; ``file://`` is a path."""
    return REMOTE.match(place) is not None


def local(place: str) -> str:
    """Return the path that ``file://`` or ``local://`` stands before, and anything else as it is."""
    found = re.match(r"(?:file|local)://", place, re.IGNORECASE)
    return place[found.end() :] if found else place


def ending(place: str) -> str:
    """Return the ending of a place in lower case, with its dot; that of compressed archives whole."""
    path = urlsplit(place).path if place.startswith(WEB) else place
    name = path.rpartition("/")[2].lower()
    return next((end for end in PACKED if name.endswith(end)), os.path.splitext(name)[1])


def printable(path: str) -> str:
    """Return ``path`` with ``/`` between its parts, and with escapes for bytes that are not text.

    A password in a remote address is left out.
    """
    shown = SECRET.sub("", path) if is_remote(path) else _posix(path)
    return os.fsencode(shown).decode("utf-8", "backslashreplace")


def _posix(path: str) -> str:
    """Do as ``Path.as_posix``, which keeps every part of every path it has seen."""
    if os.sep != "/":
        return Path(path).as_posix()
    parts = "/".join(part for part in path.split("/") if part not in ("", "."))
    return "/" + parts if path.startswith("/") else parts or "."


def named(place: str) -> Input:
    """Return the input that is the whole of a local file, or of a remote one."""
    place = local(place)
    return Input(path=printable(place), place=place, kind="url" if is_remote(place) else "file")


def listed(place: str, beside: str, where: str) -> Input:
    """Return the input that a list names; relative to the folder of the list ``beside``, which says it at ``where``.

    An empty place is an input too, whose outcome is ``missing``: a list may have a gap, and every row has an outcome.
    """
    if not place:
        return Input(path=f"{printable(beside)}/{where}", place="")
    if is_remote(place) or not beside:
        return named(place)
    if is_remote(beside):
        return named(f"{beside.partition('?')[0].rpartition('/')[0]}/{place}")
    return named(os.path.join(os.path.dirname(beside), place))


def hidden(name: str) -> bool:
    """Tell whether a file or one of the folders it is in is hidden; ``name`` is relative."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))
