"""The table of bad inputs: what a row is, and how it is rendered.

A row is written as a decorated function: the decorator says what is to come out, the function prepares the place and
returns how to call: the arguments of a command line, or a function for the Python face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.errors import SnellenError

if TYPE_CHECKING:
    import pytest

ANYTHING = "…"  # in an expected text: words of another library or of the system, which differ between versions

Call = list[str] | Callable[[], Any]


@dataclass(frozen=True)
class Place:
    """Where a row happens: an empty folder, which is the working directory, and what is undone afterwards."""

    path: Path
    patch: pytest.MonkeyPatch
    keep: Callable[[Any], Any]  # enters a context until the row is over

    def file(self, name: str, content: bytes | str = b"") -> Path:
        """Write one file, and the folders above it."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


@dataclass(frozen=True)
class Row:
    """One bad input and the message it gives.

    ``evident``: what was expected need not be said, because the words of ``seen`` or ``todo`` say it already.
    """

    group: str
    name: str
    kind: type[Exception]
    call: Callable[[Place], Call]
    seen: str = ""
    expected: str = ""
    todo: str = ""
    evident: bool = False

    @property
    def message(self) -> str:
        """The whole text, as snellen lays it out."""
        return str(SnellenError(self.seen, expected=self.expected, todo=self.todo))


@dataclass
class Table:
    """The rows of one group, in the order they are written."""

    group: str
    rows: list[Row] = field(default_factory=list)

    def row(
        self,
        name: str,
        kind: type[Exception],
        *,
        seen: str = "",
        expected: str = "",
        todo: str = "",
        evident: bool = False,
    ) -> Callable[[Callable[[Place], Call]], Callable[[Place], Call]]:
        """Add the decorated function as a row."""

        def add(call: Callable[[Place], Call]) -> Callable[[Place], Call]:
            self.rows.append(Row(self.group, name, kind, call, seen, expected, todo, evident))
            return call

        return add
