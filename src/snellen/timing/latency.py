"""The latency of one batch at a time, the device waited for on both sides, and the host's part of it apart.

In: a runner, pixels, a clock. Out: samples. The latency is that from pixels in host memory to features that are
complete on the device, the copy of the pixels among it. On every kind of device everything that was queued before is
waited for first, or it would be counted here; and what was queued is waited for afterwards, or nothing would be. No
batch has been seen before: see ``feed``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from snellen.errors import CandidateError
from snellen.timing.feed import Changed

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.runtimes.base import Runner

    Array = NDArray[float32]

Clock = Callable[[], float]

GROUP = 3  # runs whose median is held against that of as many before; of slow ones, one
FALL = 0.95  # a group that took less than this of the one before it: the warm-up is not over
LEAST_WARM = 0.1  # of the time for a warm-up, that it takes at least: a processor's clock rises slowly
LEAST, SLOW_S = 2, 1.0  # samples of a visit; of a batch that takes longer than this, one
FEW = 0.1  # of a visit's time: a first run that took less is one of many, and is not counted
MOST = 2000  # samples of a visit


@dataclass(frozen=True, slots=True)
class Sample:
    """One batch."""

    seconds: float
    enqueue_s: float | None = None  # until the call returned; None on a device that has computed by then


@dataclass(frozen=True, slots=True)
class Warm:
    """What came before anything was counted."""

    runs: int
    steady: bool  # times no longer fell; else the time for it was up


@dataclass(frozen=True, slots=True)
class Visit:
    """What was measured at one go."""

    samples: tuple[Sample, ...]
    uncounted: int = 0  # runs before them


class OneByOne:
    """Batches of one size through a runner, one after another with nothing else under way."""

    def __init__(self, runner: Runner, pixels: Array, clock: Clock = time.perf_counter) -> None:
        """Copy the pixels [b, 3, h, w]: each run changes them a little."""
        self._runner, self._clock, self._changed = runner, clock, Changed(pixels)
        self._queues = runner.device.kind != "cpu"

    def once(self) -> Sample:
        """Time one batch. Raises CandidateError where the runner does not give back a row for every image."""
        import torch

        self._changed.change()
        pixels = torch.from_numpy(self._changed.pixels)
        device, clock = self._runner.device, self._clock
        device.synchronize()
        begin = clock()
        features = self._runner.run(pixels)
        returned = clock()
        device.synchronize()
        done = clock()
        if len(features.pooled) != len(pixels):
            raise CandidateError(f"the runner gave {len(features.pooled)} rows", expected=str(len(pixels)))
        return Sample(done - begin, returned - begin if self._queues else None)

    def warm(self, limit_s: float) -> Warm:
        """Run until times no longer fall, or the time is up."""
        taken: list[float] = []
        while True:
            taken.append(self.once().seconds)
            spent = sum(taken)
            if spent >= LEAST_WARM * limit_s and settled(taken, limit_s):
                return Warm(len(taken), True)
            if (len(taken) > 1 and spent >= limit_s) or len(taken) >= MOST:
                return Warm(len(taken), False)

    def visit(self, seconds: float) -> Visit:
        """Take samples for so long, and at least ``LEAST`` of them; all count but, where it is one of many, the first.

        It finds caches that another batch size has filled.
        """
        first = self.once()
        found = [] if first.seconds < FEW * seconds else [first]
        spent = sum(sample.seconds for sample in found)
        while len(found) < MOST and (spent < seconds or len(found) < (1 if first.seconds > SLOW_S else LEAST)):
            found.append(self.once())
            spent += found[-1].seconds
        return Visit(tuple(found), uncounted=int(found[0] is not first))


def settled(taken: Sequence[float], limit_s: float) -> bool:
    """Tell whether times no longer fall: the last third of them is as long as the third before it."""
    least = 1 if 2 * GROUP * taken[-1] > limit_s else GROUP
    group = max(least, len(taken) // 3)
    if len(taken) < 2 * group:
        return False
    return median(taken[-group:]) >= FALL * median(taken[-2 * group : -group])
