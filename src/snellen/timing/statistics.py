"""What samples say: percentiles that their number supports, an interval for the median, whether they are of one thing.

In: milliseconds, in the order they were taken. Out: ``snellen.records.bench``. Standard library only.

A percentile is that of the samples, by linear interpolation between neighbours. Whether so few samples support it is
what early stopping in the LoadGen of MLPerf asks: where p in 100 lie below the true percentile, n samples all do with a
chance of p ** n, and that may be one in a hundred. The bound is the sample that the true percentile is at most, with
99 % confidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise
from statistics import median

from snellen.errors import UsageError
from snellen.records.bench import Latency, Percentile, Stability

PERCENTS = (50.0, 90.0, 95.0, 99.0)
RISK = 0.01  # that a bound does not hold
CONFIDENCE = 0.95  # of an interval

NEAR = 0.05  # of the median: what lies within is near it
MOST = 0.8  # of the samples, that have to be near the median
APART = 0.05  # of one half's median, that the other half's may lie away


def latency(samples_ms: Sequence[float], rounds: Sequence[int]) -> Latency:
    """Return what samples say; ``rounds`` tells how many of them belong to each round.

    Raises UsageError for no samples, and for rounds that do not add up to them.
    """
    if not samples_ms or sum(rounds) != len(samples_ms):
        raise UsageError(
            f"{len(samples_ms)} samples in rounds of {sum(rounds)}", expected="one sample or more, each in a round"
        )
    ordered, count = sorted(samples_ms), len(samples_ms)
    mean, middle = math.fsum(ordered) / count, percentile(ordered, 50)
    std = math.sqrt(math.fsum((x - mean) ** 2 for x in ordered) / (count - 1)) if count > 1 else None
    found = interval(by_round(samples_ms, rounds))
    # The interval is that of the rounds' medians, which may all lie on one side of the samples' own.
    low, high = (None, None) if found is None else (min(found[0], middle), max(found[1], middle))
    return Latency(
        count=count,
        mean_ms=mean,
        std_ms=std,
        cv_percent=None if std is None or not mean else 100 * std / mean,
        min_ms=ordered[0],
        max_ms=ordered[-1],
        percentiles=tuple(_percentile(ordered, percent) for percent in PERCENTS),
        low_ms=low,
        high_ms=high,
    )


def stability(samples_ms: Sequence[float], attempts: int) -> Stability:
    """Judge whether samples are of one thing: their halves agree, and most lie near the median."""
    if not samples_ms:
        raise UsageError("there are no samples to judge", expected="one or more")
    half = len(samples_ms) // 2
    first, second = (median(part) for part in (samples_ms[:half] or samples_ms, samples_ms[half:]))
    middle = median(samples_ms)
    near = sum(abs(x - middle) <= NEAR * middle for x in samples_ms) / len(samples_ms)
    wrong = []
    if not half:
        wrong.append("there is one sample alone")
    if abs(second - first) > APART * min(first, second):
        wrong.append(f"the second half took {second:.3g} ms, the first {first:.3g} ms")
    if near < MOST:
        wrong.append(f"{near:.0%} of the samples lie within {NEAR:.0%} of their median, fewer than {MOST:.0%}")
    fine = f"the halves agree within {APART:.0%}, and {near:.0%} of the samples lie within {NEAR:.0%} of their median"
    return Stability(
        stable=not wrong,
        because="; ".join(wrong) or fine,
        first_half_p50_ms=first,
        second_half_p50_ms=second,
        near_share=near,
        attempts=attempts,
    )


def by_round(samples: Sequence[float], rounds: Sequence[int]) -> tuple[float, ...]:
    """Return the median of each round that has samples."""
    ends = [0, *accumulate(rounds)]
    return tuple(median(samples[begin:end]) for begin, end in pairwise(ends) if end > begin)


def interval(medians: Sequence[float]) -> tuple[float, float] | None:
    """Return between what the median lies, with 95 % confidence; None for fewer than two rounds.

    Student's t over the logarithms: what disturbs a machine makes a round slower by a factor, and ratios are judged by
    the same rule. Samples of one round are alike, so that it is rounds that count.
    """
    if len(medians) < 2 or min(medians) <= 0:
        return None
    logs = [math.log(x) for x in medians]
    middle = math.fsum(logs) / len(logs)
    spread = math.sqrt(math.fsum((x - middle) ** 2 for x in logs) / (len(logs) - 1))
    reach = student(len(logs) - 1) * spread / math.sqrt(len(logs))
    return math.exp(middle - reach), math.exp(middle + reach)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of sorted samples, by linear interpolation between neighbours."""
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@cache
def needed(percent: float) -> int:
    """Return the smallest number of samples that supports a percentile: all below it are one chance in a hundred."""
    return math.ceil(math.log(RISK) / math.log(percent / 100))


@cache
def exceedances(count: int, percent: float) -> int | None:
    """Return how many of so many samples may lie above the bound of a percentile; None where there is no bound.

    The most for which so few samples above the true percentile would be one chance in a hundred: binomial.
    """
    below, above = math.log(percent / 100), math.log1p(-percent / 100)
    term, total, most = count * below, 0.0, None
    for number in range(count):
        total += math.exp(term)
        if total > RISK:
            break
        most = number
        term += math.log((count - number) / (number + 1)) + above - below
    return most


def upper(ordered: Sequence[float], percent: float) -> float | None:
    """Return what a percentile is at most, with 99 % confidence; None where no sample is high enough."""
    beyond = exceedances(len(ordered), percent)
    return None if beyond is None else ordered[len(ordered) - 1 - beyond]


@cache
def student(freedom: int) -> float:
    """Return how far Student's t strays from 0 to either side, at most, with 95 % confidence."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < CONFIDENCE:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < CONFIDENCE else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """Return the chance that Student's t is no further from 0 than ``t``.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 (odd degrees of freedom) and 26.7.4 (even).
    """
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = total = cosine if odd else 1.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    if not odd:
        return sine * total
    return 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))


def _percentile(ordered: Sequence[float], percent: float) -> Percentile:
    """Return a percentile, or why there is none; the median is always given."""
    least = needed(percent)
    missing = percent != 50 and len(ordered) < least
    return Percentile(
        percent=percent,
        ms=None if missing else percentile(ordered, percent),
        upper_ms=upper(ordered, percent),
        because=f"p{percent:g} needs {least} samples, and there are {len(ordered)}" if missing else "",
    )
