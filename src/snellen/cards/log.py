"""What was said during a run, with the time at which it was said; it becomes ``log.txt``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from snellen.errors import SnellenError

T = TypeVar("T")

Progress = Callable[[str], None]


def shortly(error: Exception) -> str:
    """Say in one line what was raised; an error of snellen's own says it itself."""
    if isinstance(error, SnellenError):
        return error.seen
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0] or 'no message'}"


class Log:
    """Keeps what is said, and passes it on; counts seconds by part."""

    def __init__(self, progress: Progress | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self._progress, self._clock = progress or (lambda _: None), clock
        self._begun = clock()
        self._lines: list[tuple[float, str]] = []

    def __call__(self, text: str) -> None:
        """Say something."""
        self._lines.append((self._clock() - self._begun, text))
        self._progress(text)

    def note(self, text: str) -> None:
        """Say something that belongs into the record as well; once is enough."""
        if text not in self.notes:
            self.notes.append(text)
            self(f"note: {text}")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside to a part; it counts too where it fails."""
        begun = self._clock()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + self._clock() - begun, 3)

    def attempt(self, part: str, what: str, make: Callable[[], T]) -> T | None:
        """Return what comes of an attempt; where it raises, None, and a note that ``what`` fell out."""
        try:
            with self.part(part):
                return make()
        except Exception as error:  # noqa: BLE001  (whatever it was, the rest of a card stands)
            self.note(f"{what} fell out: {shortly(error)}")
            return None

    def text(self, *head: str) -> str:
        """Return everything that was said, a line each, with the seconds since the beginning before it."""
        lines = [*head, *(f"{at:9.2f} s  {text}" for at, said in self._lines for text in said.splitlines() or [""])]
        return "\n".join(lines) + "\n"
