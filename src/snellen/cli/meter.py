"""How far a long run is: done, rate, time left, failures and where the time goes, on stderr.

In: progress as it comes. Out: on a terminal one line that is written over; elsewhere, as in a scheduler's log, a line a
minute. Failures are said as they come, the first few of them: all are in the store.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable

import click

from snellen.cli import show
from snellen.embed.filling import FAILED
from snellen.embed.progress import Progress, shares
from snellen.embed.spent import Spent

SHOWN = 20
"""Failures that are said one by one."""

OFTEN_S, SELDOM_S = 0.5, 60.0
"""How long a line stands, on a terminal and in a log."""


class Meter:
    """Counts what is done of ``total`` inputs by ``workers`` threads; ``start`` of them were done before."""

    def __init__(self, total: int, workers: int, *, start: int = 0, quiet: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.spent = Spent()
        self._total, self._workers, self._start, self._quiet = total, workers, start, quiet
        self._terminal = sys.stderr.isatty()
        self._clock: Callable[[], float] = time.monotonic
        self._begun = self._said = self._clock()

    @property
    def failed(self) -> int:
        """How many inputs could not be embedded."""
        return sum(self.counts[status] for status in FAILED)

    @property
    def done(self) -> int:
        """How many inputs have their outcome from this command."""
        return sum(self.counts.values())

    @property
    def taken(self) -> float:
        """Seconds since it began to count."""
        return self._clock() - self._begun

    @property
    def rate(self) -> float:
        """Inputs a second."""
        return self.done / max(self.taken, 1e-9)

    def add(self, progress: Progress) -> None:
        """Count what was done, and say so when it is time."""
        before = self.failed
        self.counts.update(progress.counts)
        self._start += sum(progress.found.values())
        for note in progress.notes:
            self._clear()
            show.say(note, quiet=self._quiet)
        self.spent += progress.spent
        for number, (path, message) in enumerate(progress.failures, start=before + 1):
            if number <= SHOWN:
                self._clear()
                show.say(f"{show.plain(path)}: {message}")
            if number == SHOWN:
                show.say(f"({SHOWN} were shown; the others are said in the store only, in the column error_message)")
        self._tick()

    def end(self) -> None:
        """Take the line away."""
        self._clear()

    def line(self) -> str:
        """Return how far it is."""
        done, rate = self._start + self.done, self.rate
        share = f" ({done / self._total:.0%})" if self._total else ""
        left = f" | {span((self._total - done) / rate)} left" if rate and self._total > done else ""
        failed = f" | {self.failed:,} failed" if self.failed else ""
        where = shares(self.spent, self._workers)
        return f"{done:,} of {self._total:,}{share} | {rate:,.1f} images/s{left}{failed} | {where}"

    def _tick(self) -> None:
        if self._quiet or self._clock() - self._said < (OFTEN_S if self._terminal else SELDOM_S):
            return
        self._said = self._clock()
        if self._terminal:
            width = shutil.get_terminal_size().columns
            click.echo(f"\r\x1b[K{self.line()[: width - 1]}", err=True, nl=False)
        else:
            show.say(self.line())

    def _clear(self) -> None:
        if self._terminal and not self._quiet:
            click.echo("\r\x1b[K", err=True, nl=False)


def span(seconds: float) -> str:
    """Return a time in the two largest units that it has."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((place for place, (value, _) in enumerate(parts) if value), 3)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value or first == 3)
