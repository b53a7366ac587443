"""The table of odd files: what each is, how it is made, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snellen.records import Status

Make = Callable[[], bytes]


@dataclass(frozen=True)
class Odd:
    """One odd input, among good ones.

    ``file`` is its name in the folder, ``ledger`` the name it has in the ledger where that is another, ``make`` gives
    its bytes or writes it, ``says`` is part of the message, or of the notes of an image that is embedded.
    """

    group: str
    name: str
    file: str
    make: Callable[[], bytes] | Callable[[Path], None]
    status: Status
    says: str
    ledger: str | None = None
    found: bool = True  # by a walk through the folder; otherwise it has to be named

    def write(self, folder: Path) -> None:
        """Put it into the folder."""
        path = folder / self.file
        if self.make.__code__.co_argcount:
            self.make(path)
        else:
            path.write_bytes(self.make())


class Table:
    """Rows of one group, collected by a decorator."""

    def __init__(self, group: str) -> None:
        self.group, self.rows = group, list[Odd]()

    def row(self, name: str, file: str, status: Status, says: str = "", **more) -> Callable[[Callable], Callable]:
        """Return a decorator that adds a row whose file is made by the function."""

        def add(make: Callable) -> Callable:
            self.rows.append(Odd(self.group, name, file, make, status, says, **more))
            return make

        return add

    def bytes(self, name: str, file: str, content: bytes, status: Status, says: str = "") -> None:
        """Add a row whose bytes are at hand."""
        self.rows.append(Odd(self.group, name, file, lambda: content, status, says))
