"""The sweep over batch sizes: every one warmed up, then all of them measured in rounds, in an order drawn anew.

In: cases and batch sizes. Out: for each its samples, round by round, or what became of it. A machine's drift over a
minute falls on every batch size and on every case alike, and shows in how rounds differ. What does not fit into memory,
or raises, is left out of the rounds; the sweep goes on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from snellen.benchmark.cases import Case, Timed
from snellen.benchmark.memory import Peaks, Room, free, most
from snellen.errors import SnellenError
from snellen.records.bench import Memory
from snellen.timing.latency import Visit, Warm
from snellen.timing.memory import is_full
from snellen.timing.statistics import stability

Outcome = Literal["measured", "out of memory", "not tried", "raised"]
Progress = Callable[[str], None]

ROUNDS = (5, 20)  # at least, at most: fewer say little of how rounds differ
ROUND_S = 0.4  # of one batch size: with more seconds there are more rounds
HELD = 64 << 20  # bytes of a batch's pixels that are kept from one visit to the next
SAID = 300  # letters of an error that are repeated


@dataclass
class Track:
    """One batch size of one case, and what became of it."""

    case: Case
    batch: int
    timed: Timed | None = None
    outcome: Outcome = "measured"
    because: str = ""
    warm: Warm | None = None  # until it was
    visits: list[Visit] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    attempts: int = 1

    @property
    def alive(self) -> bool:
        """Whether it is measured."""
        return self.outcome == "measured"

    @property
    def samples_ms(self) -> tuple[float, ...]:
        """All samples, in the order they were taken, to the nanosecond."""
        return tuple(round(1e3 * sample.seconds, 6) for visit in self.visits for sample in visit.samples)

    def ready(self) -> Timed:
        """Return it ready to be measured; large pixels are made anew, or those of all sizes would lie in memory."""
        timed = self.timed or self.case.timed(self.batch)
        self.timed = timed if self.batch * self.case.pixel_bytes <= HELD else None
        return timed

    def end(self, outcome: Outcome, because: str) -> None:
        """Let go of what it holds; it is not measured any more."""
        self.outcome, self.because, self.timed = outcome, because, None
        self.visits.clear()

    def survives(self, do: Callable[[], None]) -> bool:
        """Do something with it; where that raises, it has come to its end."""
        try:
            do()
        except Exception as error:  # noqa: BLE001  (whatever a runner raises is its outcome)
            outcome: Outcome = "out of memory" if is_full(error) else "raised"
            because = said(error)
        else:
            return True
        self.end(outcome, because)
        free(self.case.runner.device)  # not before: the error's frames hold what did not fit
        return False


class Sweep:
    """Cases that take turns, each at every batch size."""

    def __init__(
        self, cases: Sequence[Case], batches: Sequence[int], seconds: float, *, seed: int, say: Progress
    ) -> None:
        """Take the cases; the first is the one that matters, the others are measured where it is."""
        self.seconds, self._say = seconds, say
        self._drawn = random.Random(seed)
        self.cases = tuple(cases)
        self.tracks = tuple(Track(case, batch) for batch in sorted(batches) for case in cases)
        self.rooms = {id(case): Room(case.runner.device, case.image_bytes) for case in cases}

    def run(self) -> None:
        """Warm up, measure, and measure again, once, what was not stable."""
        for track in self.tracks:
            self._warm(track)
        self._rounds(self.tracks)
        shaky = sorted({track.batch for track in self.tracks if track.visits and not _stable(track)})
        if not shaky:
            return
        again = [track for track in self.tracks if track.batch in shaky and track.alive]
        for track in again:
            track.visits.clear()
            track.attempts += 1
        self._say(f"not stable, measured again: batch {', '.join(map(str, shaky))}")
        self._rounds(again)

    def of(self, case: Case) -> tuple[Track, ...]:
        """Return the tracks of a case, from the smallest batch size on."""
        return tuple(track for track in self.tracks if track.case is case)

    def _warm(self, track: Track) -> None:
        refused = self._refused(track)
        if refused:
            track.end("not tried", refused)
            return
        self._say(f"warming up: {track.case.setup}, batch {track.batch}")
        peaks = Peaks(track.case.runner.device)

        def warm() -> None:
            peaks.begin()
            track.warm = track.ready().warm(self.seconds)
            track.memory = peaks.end()

        if track.survives(warm):
            self.rooms[id(track.case)].saw(track.batch, track.memory)

    def _refused(self, track: Track) -> str:
        """Return why a batch size is not tried; nothing where it is."""
        before = [other for other in self.of(track.case) if other.batch < track.batch]
        full = next((other.batch for other in before if other.outcome == "out of memory"), None)
        if full is not None:
            return f"a batch of {full} did not fit into memory"
        if track.case is not self.cases[0]:
            first = next(other for other in self.of(self.cases[0]) if other.batch == track.batch)
            if not first.alive:
                return f"{first.case.setup} was not measured at this batch size: {first.outcome}"
        return self.rooms[id(track.case)].refuses(track.batch)

    def _rounds(self, tracks: Iterable[Track]) -> None:
        """Visit every batch size of every case once a round."""
        count = min(max(ROUNDS[0], int(self.seconds / ROUND_S)), ROUNDS[1])
        alive = [track for track in tracks if track.alive]
        for number in range(count):
            self._say(f"round {number + 1} of {count}: {len(alive)} to measure")
            for track in self._drawn.sample(alive, len(alive)):
                self._visit(track, self.seconds / count)
            alive = [track for track in alive if track.alive]

    def _visit(self, track: Track, seconds: float) -> None:
        peaks = Peaks(track.case.runner.device)

        def visit() -> None:
            peaks.begin()
            track.visits.append(track.ready().visit(seconds))
            track.memory = most(track.memory, peaks.end())

        track.survives(visit)


def said(error: Exception) -> str:
    """Return the first line of an error."""
    if isinstance(error, SnellenError):
        return error.seen
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:SAID]


def _stable(track: Track) -> bool:
    return stability(track.samples_ms, track.attempts).stable
