"""The bytes of one input, and what is said where there are none.

In: a place that could not be read. Out: an error worded as ``snellen.images`` words it; ``Missing`` for what does not
exist, ``TooLarge`` for more than LIMIT bytes, ``ImageError`` for all else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from stat import S_ISDIR, S_ISREG

from snellen.errors import ImageError, TooLarge

LIMIT = 1 << 30
"""Most bytes that one input may have."""


class Missing(ImageError):
    """An input that does not exist."""


@dataclass(frozen=True, slots=True)
class Data:
    """The bytes of one input.

    ``size`` and ``modified_ns`` are what tells, without reading it, whether it changed: of the file; for an image in
    an archive its own size and the archive's time; for one in a Parquet file the size and the time of that file.
    ``modified_ns`` is None where nothing tells.
    """

    content: bytes
    size: int
    modified_ns: int | None


def missing(name: str) -> Missing:
    """Return the error for a place that does not exist; ``name`` as it is shown."""
    return Missing(f"{name} does not exist", expected="an image file", todo="check the spelling")


def nothing(name: str) -> Missing:
    """Return the error for a row of a list that names or holds nothing."""
    return Missing(
        f"{name} is empty: it names no image", expected="a path or an image", todo="fill it, or leave it out"
    )


def forbidden(name: str) -> ImageError:
    """Return the error for a place that may not be read."""
    todo = f"allow it: chmod u+r {name}"
    return ImageError(f"{name} may not be read by this user", expected="a readable file", todo=todo)


def unreadable(name: str, why: object) -> ImageError:
    """Return the error for a place that the system refuses to read."""
    todo = "check the path and the disk, or leave it out"
    return ImageError(f"{name} cannot be read: {why}", expected="an image file", todo=todo)


def large(name: str, size: int | None = None) -> TooLarge:
    """Return the error for an input of more than LIMIT bytes."""
    seen = f"{name} has {size} bytes" if size else f"{name} has more than {LIMIT} bytes"
    return TooLarge(seen, expected=f"at most {LIMIT}", todo="shrink it, or leave it out")


def cut_short(name: str, size: int, there: int) -> ImageError:
    """Return the error for an input of which the end is not there."""
    return ImageError(
        f"{name} is cut short: {there} of {size} bytes are there",
        expected="the whole of it",
        todo="fetch it again, or leave it out",
    )


def check_regular(path: str, mode: int) -> None:
    """Raise ImageError for a folder, and for a device or a pipe, which might never end."""
    name = repr(path)
    if S_ISDIR(mode):
        with os.scandir(path):  # raises PermissionError where that is why it was not walked through
            raise ImageError(f"{name} is a folder", expected="an image file", todo="name the files inside it")
    if not S_ISREG(mode):
        raise ImageError(f"{name} is a device or a pipe", expected="an image file", todo="pass its bytes instead")


def explained(path: str, error: Exception) -> ImageError:
    """Return what an error of the system means for a local input."""
    name = repr(path)
    if isinstance(error, FileNotFoundError):
        return missing(name)
    if isinstance(error, PermissionError):
        return forbidden(name)
    return unreadable(name, error)
