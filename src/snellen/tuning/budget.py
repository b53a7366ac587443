"""What a step will cost, judged by what was seen so far; a step that does not fit is not begun.

In: the seconds there are, what steps took. Out: estimates, always on the safe side. A clock is an argument, so that a
test needs none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from snellen.records.plan import Setup

FINAL = (0.12, 0.4)  # of the budget, that is kept for the default against the best: at least, at most
MANY = 0.2  # of the budget, that more rounds of the final than the fewest may take
CLOSING = 0.5  # seconds kept for ending processes and writing the plan
WAITING = 2  # batches a runtime may have under way for each stream
RUNS = 2  # of everything under way, in a measurement: one to warm up, one that counts
LOOKED = 3  # batches whose rows are looked at before a measurement, and again after it
SINGLES = 4  # images that are timed one by one, at least
LONGER = 1.8  # a measurement than the seconds it is asked to last: a warm-up before, single images after
SAFETY = 1.15  # what is begun wrongly can still be ended
PREPARED = {"eager": 0.7, "openvino": 0.6, "onnxruntime": 1.0, "compiled": 6.0}
"""How long preparing takes beside what the default took, where none of the runtime was prepared since.

The default is the first: what it converted is found by the others of its runtime.
"""
FIRST_S, PER_GIGABYTE_S = 8.0, 12.0  # of preparing the default, before anything was seen: a process, a conversion
QUANTISING_S, QUANTISED_IMAGES = 6.0, 80  # of calibrating an 8-bit network: a start, and images that are run for it
TWO = 1.8  # turns of the default: one of its own, and one of something faster
SHORTEST_S, LONGEST_S = 0.5, 6.0  # of one measurement


@dataclass
class Budget:
    """The time there is, and what is known of how long things take."""

    seconds: float
    began: float  # by ``clock``
    clock: Callable[[], float] = time.monotonic
    gigabytes: float = 0.0  # of weights, in float32
    cores: int = 1  # of the CPU
    final_s: float = 0.0  # what the rounds of the final take, and looking at rows after them
    prepared: dict[str, float] = field(default_factory=dict)  # runtime -> what preparing took last
    first_prepared: float | None = None
    guess: float = 1.0  # images a second, before any were measured
    rates: dict[tuple[str, str], float] = field(default_factory=dict)  # runtime, dtype -> the slowest that was seen
    judged_s: float = 0.0  # the longest that judging took

    @property
    def used(self) -> float:
        """Seconds that are gone."""
        return self.clock() - self.began

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - self.used - CLOSING

    @property
    def end(self) -> float:
        """When everything has to be done, by the clock."""
        return self.began + self.seconds - CLOSING

    @property
    def for_final(self) -> float:
        """Seconds that trials leave for the final."""
        least, most = FINAL
        return min(max(least * self.seconds, self.final_s), most * self.seconds)

    @property
    def for_trials(self) -> float:
        """Seconds that are left for trials."""
        return self.left - self.for_final

    def saw_prepared(self, setup: Setup, seconds: float) -> None:
        """Remember what preparing took; the last of a runtime, for the first may have made what all others find."""
        if self.first_prepared is None:
            self.first_prepared = seconds
        elif setup.dtype != "int8":
            self.prepared[setup.runtime] = seconds

    def saw_rate(self, setup: Setup, images_per_s: float) -> None:
        """Remember a rate: the slowest, to be on the safe side."""
        key = (setup.runtime, setup.dtype)
        self.rates[key] = min(images_per_s, self.rates.get(key, images_per_s))

    def saw_default(self, setup: Setup, batch: int, images_per_s: float, rounds: tuple[int, int]) -> None:
        """Keep the time for rounds of the default against something faster: at least, and at most, so many.

        Of a slow encoder only the fewest are kept time for, or there would be nothing to hold them against.
        """
        least, most = rounds
        one, after = TWO * self.streaming(setup, batch, images_per_s), TWO * self.looking(setup, batch)
        count = most if most * one + after <= MANY * self.seconds else least
        self.final_s = count * one + after

    def preparing(self, setup: Setup) -> float:
        """Estimate what preparing takes."""
        first = self.first_prepared
        if first is None:
            first = FIRST_S + PER_GIGABYTE_S * self.gigabytes
        known = self.prepared.get(setup.runtime, first * PREPARED.get(setup.runtime, 1.0))
        if setup.dtype == "int8":
            known += QUANTISING_S + QUANTISED_IMAGES / self.rate(setup)
        return SAFETY * known

    def measuring(self, setup: Setup, batch: int, seconds: float) -> float:
        """Estimate what looking at the rows of a setup and measuring it for some seconds takes."""
        rate = self.rate(setup)
        before_and_after = 2 * self.looking(setup, batch) + SAFETY * SINGLES / rate
        return before_and_after + self.streaming(setup, batch, rate) + LONGER * seconds

    def looking(self, setup: Setup, batch: int) -> float:
        """Estimate what looking at the rows of a setup takes."""
        return SAFETY * LOOKED * batch / self.rate(setup)

    def streaming(self, setup: Setup, batch: int, images_per_s: float) -> float:
        """Estimate the least that one stream takes: all that is under way, to warm up and to count."""
        streams = setup.layout.streams or (self.cores if setup.runtime == "openvino" else 1)
        return SAFETY * RUNS * batch * WAITING * streams / images_per_s

    def rate(self, setup: Setup) -> float:
        """Return the rate to reckon with: the slowest seen of this runtime and dtype, or of all."""
        known = self.rates.get((setup.runtime, setup.dtype))
        return known or min(self.rates.values(), default=self.guess)

    def seconds_each(self, measurements: int) -> float:
        """Return how long one of so many measurements should be: they get longer with what is left."""
        return min(max(self.for_trials / (3 * max(measurements, 1)), SHORTEST_S), LONGEST_S)
