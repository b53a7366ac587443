"""What a device's own software leaves behind in the working directory, such as a compiler's account of what it fused.

In: the names that a device's software writes. Out: the files that appeared or changed meanwhile, by the name they get
beside a report. They are read, never moved: the software may want them again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from snellen.cards.log import Log

FOLDER = "stack"
MOST_BYTES = 8 << 20
"""Bytes that are kept of all files together; what would exceed it is named in a note."""
MOST_FILES = 200


class Leavings:
    """Remembers how things stand when it is made; ``found`` says what has come since."""

    def __init__(self, names: Collection[str], folder: Path | None = None) -> None:
        """``names``: files and folders of the working directory (or of ``folder``), which may hold ``*``."""
        self._names, self._folder = names, (folder or Path.cwd()).absolute()
        self._before = {path: _stamp(path) for path in self._files()}

    def found(self, log: Log) -> dict[str, bytes]:
        """Return the contents of files that are new or changed; note those that are left where they are."""
        kept: dict[str, bytes] = {}
        left: list[str] = []
        room = MOST_BYTES
        for path in self._files():
            if self._before.get(path) == _stamp(path):
                continue
            name = path.relative_to(self._folder).as_posix()
            try:
                data = path.read_bytes() if path.stat().st_size <= room and len(kept) < MOST_FILES else None
            except OSError:  # gone again, or not for us to read
                data = None
            if data is None:
                left.append(name)
            else:
                kept[f"{FOLDER}/{name}"] = data
                room -= len(data)
        if left:
            log.note(_note(left))
        return kept

    def _files(self) -> Iterator[Path]:
        """Yield the files that are there now, in the order of their names; links are not followed."""
        for name in self._names:
            for path in sorted(self._folder.glob(name)):
                inside = sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else [path]
                yield from (item for item in inside if item.is_file() and not item.is_symlink())


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _note(left: list[str]) -> str:
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    count = "1 file" if len(left) == 1 else f"{len(left)} files"
    return (
        f"{count} of the device's own software stayed where they are, for only {MOST_BYTES >> 20} MiB "
        f"and {MOST_FILES} files are kept: {', '.join(left[:3])}{more}"
    )
