"""Scales of plots: from values to places, with the ticks that belong to them.

In: the values that are drawn and the places between which. Out: a ``Scale``. Every place is finite and lies between
the two ends, whatever the value: what lies beyond is drawn at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from snellen.report.plots import HIGH_END, LOW_END

WIDE = 20.0  # values that differ by more are drawn on a logarithmic scale
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
FEWEST = 2  # decades
AIR = 1.004  # beyond the outermost ratios
RATIOS = (0.01, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear or logarithmic scale between two places."""

    low: float
    high: float
    start: float  # the place of ``low``
    end: float
    log: bool
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the place of a value."""
        low, high, value = ((_log(v) if self.log else v) for v in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def linear(values: Iterable[float], start: float, end: float) -> Scale:
    """Return a scale from 0 to a round number that no value exceeds."""
    most = max((v for v in values if math.isfinite(v)), default=0.0)
    step = _step(most / 4) if most > 0 else 0.25
    count = max(math.ceil(most / step - 1e-9), 1) if most > 0 else 4
    ticks = tuple(step * number for number in range(count + 1))
    return Scale(low=0.0, high=ticks[-1], start=start, end=end, log=False, ticks=ticks)


def decades(values: Iterable[float | None], start: float, end: float, *, apart: float) -> Scale:
    """Return a logarithmic scale over two decades or more, whose labels are ``apart`` from each other at least."""
    found = [min(max(v, LOW_END), HIGH_END) for v in values if v is not None and v > 0]
    high = math.ceil(math.log10(max(found)) - 1e-9) if found else 0
    low = min(math.floor(math.log10(min(found)) + 1e-9), high - FEWEST) if found else high - FEWEST
    each = max(1, math.ceil(apart * (high - low) / abs(end - start)))
    ticks = tuple(10.0**power for power in range(low, high + 1, each))
    return Scale(low=10.0**low, high=10.0**high, start=start, end=end, log=True, ticks=ticks)


def fitting(values: Iterable[float], start: float, end: float, *, apart: float = 14) -> Scale:
    """Return a linear scale from 0, or a logarithmic one where the values lie too far apart for it."""
    found = [value for value in values if value > 0]
    if not found or max(found) / min(found) <= WIDE:
        return linear(found, start, end)
    powers = range(math.floor(math.log10(min(found))), math.ceil(math.log10(max(found))) + 1)
    steps = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    low = max(step for step in steps if step <= min(found) * (1 + 1e-9))
    high = min(step for step in steps if step >= max(found) * (1 - 1e-9))
    scale = Scale(low=low, high=high, start=start, end=end, log=True, ticks=())
    within = [step for step in steps if low <= step <= high]
    if min(abs(scale.at(a) - scale.at(b)) for a, b in pairwise(within)) < apart:
        within = [step for step in within if math.log10(step).is_integer()]
    return Scale(low=low, high=high, start=start, end=end, log=True, ticks=tuple(within))


def doubling(values: Iterable[int], start: float, end: float) -> Scale:
    """Return a logarithmic scale with a tick at each value: equal steps where each is twice the last."""
    ticks = tuple(float(value) for value in sorted(set(values)))
    low, high = (ticks[0], ticks[-1]) if len(ticks) > 1 else (ticks[0] / 2, ticks[0] * 2)
    return Scale(low=low, high=high, start=start, end=end, log=True, ticks=ticks)


def around_one(values: Iterable[float], start: float, end: float, *, apart: float) -> Scale:
    """Return a logarithmic scale of ratios about 1, which is always a tick."""
    found = [min(max(value, RATIOS[0]), RATIOS[-1]) for value in values]
    low = min([0.98, *found]) / AIR
    high = max([1.02, *found]) * AIR
    scale = Scale(low=low, high=high, start=start, end=end, log=True, ticks=())
    ticks = [1.0]
    for ratio in sorted(RATIOS, key=lambda r: abs(math.log(r)), reverse=True):  # the outermost first
        if low <= ratio <= high and all(abs(scale.at(ratio) - scale.at(tick)) >= apart for tick in ticks):
            ticks.append(ratio)
    return Scale(low=low, high=high, start=start, end=end, log=True, ticks=tuple(sorted(ticks)))


def power(tick: float) -> str:
    """Return the label of a power of ten."""
    exponent = round(math.log10(tick))
    return f"{tick:g}" if -2 <= exponent <= 2 else f"1e{exponent}"


def thinned(places: Iterable[float], apart: float) -> tuple[int, ...]:
    """Return which of several places, in order, may carry a label, so that two are never nearer than ``apart``."""
    kept: list[int] = []
    last = -math.inf
    for index, place in enumerate(places):
        if place - last >= apart:
            kept.append(index)
            last = place
    return tuple(kept)


def _step(rough: float) -> float:
    """Return the round number that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in STEPS if step * power >= rough * (1 - 1e-9))


def _log(value: float) -> float:
    return math.log10(min(max(value, LOW_END), HIGH_END))
