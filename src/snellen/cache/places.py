"""Where the cache lies, how large it may grow, what may be a name in it, and how its troubles are said."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snellen.errors import Unavailable, UsageError

LIMIT = 20 * 1024**3
"""Bytes that entries may take together unless SNELLEN_CACHE_LIMIT says otherwise."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# Lower case only, and no dot at an end: some file systems take A for a, and "a." for "a".
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")
_UNITS = {"": 1, "b": 1} | {
    unit: factor**power
    for power, letter in enumerate("kmgt", start=1)
    for unit, factor in ((f"{letter}b", 1000), (f"{letter}ib", 1024))
}


def root() -> Path:
    """Return the cache's folder: SNELLEN_CACHE, else $XDG_CACHE_HOME/snellen, else ~/.cache/snellen; it may not exist.

    As the XDG specification has it, XDG_CACHE_HOME counts only if it is an absolute path.
    """
    chosen, shared = os.environ.get("SNELLEN_CACHE", ""), os.environ.get("XDG_CACHE_HOME", "")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        return Path(shared) / "snellen" if os.path.isabs(shared) else Path.home() / ".cache" / "snellen"
    except RuntimeError as error:  # there is no such user, or this one has no home
        raise Unavailable(
            f"there is no place for the cache: {error}",
            expected="a folder for files that can be made again",
            todo="set SNELLEN_CACHE to a folder that may be written to",
        ) from error


def limit() -> int:
    """Return how many bytes entries may take together: SNELLEN_CACHE_LIMIT, else 20 GiB; 0 keeps the newest only.

    Raises UsageError if the setting is no size.
    """
    text = os.environ.get("SNELLEN_CACHE_LIMIT", "").strip()
    if not text:
        return LIMIT
    match = _SIZE.fullmatch(text.lower())
    if match is None or match[2] not in _UNITS:
        raise UsageError(
            f"SNELLEN_CACHE_LIMIT is {text!r}, which is no size",
            expected="a number of bytes, or one with kB, MB, GB, TB, KiB, MiB, GiB or TiB",
            todo="for example SNELLEN_CACHE_LIMIT=20GiB",
        )
    return int(float(match[1]) * _UNITS[match[2]])


def safe(name: str) -> str:
    """Return a kind or key as it is; raise UsageError unless it can be a file name everywhere."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot be a name in the cache",
            expected="a hex digest, or up to 128 of a-z, 0-9, '-', '_' and '.', the ends being letters or digits",
            todo="use a digest of it",
        )
    return name


def about_disk(error: OSError) -> bool:
    """Return whether an error says that no more can be written."""
    return error.errno in _FULL


def refusal(base: Path, error: OSError) -> Unavailable:
    """Return the error that says what the system has against the cache's folder."""
    return Unavailable(
        f"the cache in '{base}' cannot be used: {error.strerror or error}",
        expected="a folder that may be written to, with room, on a file system that locks files",
        todo="set SNELLEN_CACHE to such a folder, or free some space; what was not finished is not kept",
    )


@contextmanager
def reaching(base: Path) -> Iterator[None]:
    """Raise Unavailable, saying what the system said, where it refuses what is done in the cache."""
    try:
        yield
    except OSError as error:
        raise refusal(base, error) from error
