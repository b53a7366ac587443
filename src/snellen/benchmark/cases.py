"""What is measured, one batch size at a time: a runner one batch after another, or a stream through it.

In: a runner. Out: samples. Pixels are drawn with a seed: what they show changes no encoder's speed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from snellen.records.bench import Mode
from snellen.records.plan import Setup
from snellen.timing import rates
from snellen.timing.latency import OneByOne, Sample, Visit, Warm

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.runtimes.base import Runner

    Array = NDArray[float32]

Clock = Callable[[], float]

BATCHES = 2  # different ones that a stream is made of
DIFFERENT = 8  # images of a batch: drawing thousands takes longer than encoding them


class Timed(Protocol):
    """One batch size, ready to be measured."""

    def warm(self, limit_s: float) -> Warm:
        """Run until it no longer gets faster, or the time is up."""

    def visit(self, seconds: float) -> Visit:
        """Take samples for so long, and one at least."""


class InStream:
    """A continuous stream of batches. A sample is how long one takes of it, over the whole of a visit."""

    def __init__(self, runner: Runner, batches: list[Array], clock: Clock) -> None:
        self._runner, self._batches, self._clock = runner, batches, clock

    def warm(self, limit_s: float) -> Warm:
        """Stream until the rate no longer rises, or the time is up."""
        found = rates.stream(self._runner, self._batches, limit_s / 2, clock=self._clock)
        return Warm(found.warm_batches + len(found.samples), found.steady)

    def visit(self, seconds: float) -> Visit:
        """Stream for so long, after a warm-up."""
        found = rates.stream(self._runner, self._batches, seconds, clock=self._clock)
        return Visit((Sample(found.batch / found.images_per_s),), uncounted=found.warm_batches)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A runner, and how it is measured. ``image_bytes``: memory that one image needs at most."""

    runner: Runner
    setup: Setup
    mode: Mode
    size: tuple[int, int]  # of the pixels: height, width
    image_bytes: int
    seed: int
    clock: Clock

    @property
    def pixel_bytes(self) -> int:
        """What the pixels of one image take."""
        return 4 * 3 * self.size[0] * self.size[1]

    def timed(self, batch: int) -> Timed:
        """Return a batch size, ready to be measured."""
        if self.mode == "latency":
            return self.alone(batch)
        return InStream(self.runner, [self._drawn(batch, number) for number in range(BATCHES)], self.clock)

    def alone(self, batch: int) -> OneByOne:
        """Return a batch size to be run one batch at a time, whatever the mode."""
        return OneByOne(self.runner, self._drawn(batch, 0), self.clock)

    def _drawn(self, batch: int, number: int) -> Array:
        import numpy as np

        drawn = np.random.default_rng((self.seed, batch, number))
        images = drawn.standard_normal((min(batch, DIFFERENT), 3, *self.size), dtype=np.float32)
        return np.resize(images, (batch, 3, *self.size))  # over and over; no two rows stay alike, see ``feed``
