"""A file that appears whole or not at all: written beside its place under another name, renamed when complete.

In: the path where it shall stand. Out: a stream to write to, and plain words for what a disk may object to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snellen.errors import Unavailable, UsageError


def check(path: Path, endings: Collection[str]) -> None:
    """Raise UsageError unless ``path`` ends in one of ``endings`` and can be a file in a folder that exists."""
    if path.suffix.lower() not in endings:
        ending = f"ends in {path.suffix}" if path.suffix else "has no ending"
        raise UsageError(
            f"the output {str(path)!r} {ending}", expected=" or ".join(endings), todo="choose one of these"
        )
    if path.is_dir():
        raise UsageError(f"the output {str(path)!r} is a folder", expected="a file", todo="add a file name to it")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {str(path.parent)!r} does not exist", todo=f"mkdir -p {path.parent}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise Unavailable, saying what the disk said, where it refuses what is written for ``path``."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{str(path)!r} cannot be written: {error.strerror or error}",
            expected="a folder that may be written to, with room for the file",
            todo="free some space, or write somewhere else; nothing was changed",
        ) from error


def beside(path: Path) -> Path:
    """Return the name under which ``path`` is written before it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Give the place to write a file to; it is moved to ``path`` when the block ends well, and removed otherwise."""
    temporary = beside(path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Draft:
    """An unfinished file. ``publish`` puts it in its place; ``discard`` removes what was not published."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = beside(path)
        with writing(path):
            self.stream = self._temporary.open("wb")

    def publish(self) -> None:
        """Make sure that the bytes are on the disk, and rename the file."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        self._temporary.replace(self._path)

    def discard(self, abandon: Callable[[], None]) -> None:
        """Remove the file, after ``abandon`` has let go of the stream; do nothing if it is published.

        Its room is given back first, for letting go may want to write, and the disk may be full.
        """
        if self.stream.closed:
            return
        with suppress(OSError):
            os.ftruncate(self.stream.fileno(), 0)
            abandon()
        with suppress(OSError):
            self.stream.close()
        self._temporary.unlink(missing_ok=True)
