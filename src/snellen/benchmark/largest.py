"""The largest batch that fits: doubled until memory ends, then halved in between; nothing dies of it.

In: a case. Out: the batch, and what stopped the search. On an accelerator every size is run, once. On a CPU, where the
system would end the process, sizes are run up to the one that is foretold to take what may be taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from snellen.benchmark.cases import Case
from snellen.benchmark.memory import Peaks, Room
from snellen.benchmark.sweep import Progress, Track

LIMIT_S = 60.0  # for the search
MARGIN = 1.25  # times as long as expected that a batch may take: what is begun shall be over in time


@dataclass
class Search:
    """One search; ``seconds`` holds what a run of each batch took that fitted."""

    case: Case
    room: Room
    say: Progress
    limit_s: float = LIMIT_S
    seconds: dict[int, float] = field(default_factory=dict)
    found: int | None = None  # the largest that fits; None: not even one image does
    full: Track | None = None  # the smallest that did not fit
    raised: Track | None = None  # what raised another error than that of memory
    stopped: str = ""  # why the search did not come to its end

    def __post_init__(self) -> None:
        self._began = self.case.clock()

    def run(self) -> None:
        """Look for it."""
        low, high = 0, 1
        while self._fits(high):
            low, high = high, 2 * high
        while high - low > 1 and not self.stopped:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(middle) else (low, middle)
        self.found = low or None

    def _fits(self, batch: int) -> bool:
        """Run a batch, once, if it may be run."""
        if self.seconds and self._expected(batch) > self.limit_s - (self.case.clock() - self._began):
            self.stopped = f"the search ended before batch {batch}: there was no time left for it"
            return False
        track, device = Track(self.case, batch), self.case.runner.device
        refused = self.room.refuses(batch)
        if refused:
            track.end("not tried", refused)
        else:
            self.say(f"looking for the largest batch that fits: {batch}")
            peaks = Peaks(device)

            def once() -> None:
                peaks.begin()
                self.seconds[batch] = self.case.alone(batch).once().seconds
                self.room.saw(batch, peaks.end())

            track.survives(once)
        if track.alive:
            return True
        if track.outcome == "raised":
            self.stopped, self.raised = f"a batch of {batch} raised an error: {track.because}", track
        elif self.full is None or batch < self.full.batch:
            self.full = track
        return False

    def _expected(self, batch: int) -> float:
        """Return how long a batch may take: like the largest that was run, image by image, and a margin."""
        run = max(self.seconds)
        return self.seconds[run] * batch / run * MARGIN
