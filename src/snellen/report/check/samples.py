"""Whether the figures of a measurement follow from its samples, and whether the samples support them.

In: a report's document. Out: findings. The statistics are worked out again here, plainly, from the samples kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev

from snellen.report.check.found import CLOSE, Findings, number
from snellen.report.check.numbers import rising
from snellen.report.check.walk import Part

UNSURE = 0.01
"""A percentile is supported where, with 99 % confidence, a sample at least reaches it."""
MIDDLE, WHOLE = 50, 100
NEAR = 0.05
"""What lies within so much of the median counts as near to it."""


def needed(percent: float) -> int:
    """Return how many samples support a percentile; one supports the median."""
    if percent <= MIDDLE:
        return 1
    return math.ceil(math.log(UNSURE) / math.log(percent / 100))


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return a percentile by linear interpolation between the two samples it lies between."""
    ordered = sorted(samples)
    whole, part = divmod(percent / 100 * (len(ordered) - 1), 1)
    below = ordered[int(whole)]
    above = ordered[min(int(whole) + 1, len(ordered) - 1)]
    return below + part * (above - below)


def check(document: Part, out: Findings) -> None:
    """Look at every batch size that was measured, of this run and of the baseline."""
    for point in (*document["bench.points"].parts(), *document["bench.baseline.points"].parts()):
        if point["latency"]:
            _latency(point, out)
            _counts(point, out)
    _ceiling(document["bench.ceiling"], out)
    _bandwidth(document["bench.bandwidth"], out)


def _latency(point: Part, out: Findings) -> None:
    latency, samples = point["latency"], point["samples_ms"].numbers
    count = latency["count"].number
    rising(latency, ("min_ms", "mean_ms", "max_ms"), out)
    rising(latency, ("low_ms", "high_ms"), out)
    _percentiles(latency, count, samples, out)
    if not samples:
        out.skip("samples", "there are none", point["samples_ms"].place)
        return
    follows = {
        "count": float(len(samples)),
        "mean_ms": fmean(samples),
        "min_ms": min(samples),
        "max_ms": max(samples),
    }
    if len(samples) > 1:
        follows |= {"std_ms": stdev(samples), "cv_percent": 100 * stdev(samples) / fmean(samples)}
    for name, expected in follows.items():
        given = latency[name].number
        if given is not None:
            _equal(latency[name].place, given, expected, out)


def _percentiles(latency: Part, count: float | None, samples: Sequence[float], out: Findings) -> None:
    """Hold each percentile to the samples, and to how many there are; and all of them to their order."""
    before: tuple[float, float] | None = None
    for one in latency["percentiles"].parts():
        percent, value = one["percent"].number, one["ms"].number
        if percent is None or value is None:
            continue
        name, place = f"p{percent:g}", one["ms"].place
        if not 0 < percent < WHOLE:
            out.judge("percentile", place, holds=False, seen=name, expected="a percentile between 0 and 100")
            continue
        if count is not None:
            least = needed(percent)
            enough, seen = count >= least, f"{name} of {count:.0f} samples"
            out.judge("percentile", place, holds=enough, seen=seen, expected=f"null: it needs {least} samples")
        if samples:
            _equal(place, value, percentile(samples, percent), out)
        if before is not None:
            in_order = percent >= before[0] and value >= before[1] * (1 - CLOSE)
            expected = f"at least p{before[0]:g}, {number(before[1])}"
            out.judge("order", place, holds=in_order, seen=f"{name} {number(value)}", expected=expected)
        before = percent, value
        rising(one, ("ms", "upper_ms"), out)
        most, bound = latency["max_ms"].number, one["upper_ms"].number
        if most is not None and bound is not None:  # it is one of the samples
            holds, expected = bound <= most * (1 + CLOSE), f"at most the largest sample, {number(most)}"
            out.judge("order", one["upper_ms"].place, holds=holds, seen=number(bound), expected=expected)


def _counts(point: Part, out: Findings) -> None:
    """Hold rounds, enqueue times and the stability verdict to the samples."""
    samples, rounds = point["samples_ms"].numbers, point["rounds"].numbers
    if samples and rounds:
        _equal(point["rounds"].place, sum(rounds), len(samples), out)
    enqueue, middle = point["enqueue_ms"].numbers, point["enqueue_p50_ms"].number
    if samples and enqueue:
        _equal(point["enqueue_ms"].place, len(enqueue), len(samples), out)
    if enqueue and middle is not None:
        _equal(point["enqueue_p50_ms"].place, middle, median(enqueue), out)
    share = point["stability.near_share"].number
    if samples and share is not None:
        centre = median(samples)
        near = sum(abs(sample - centre) <= NEAR * centre for sample in samples) / len(samples)
        holds = abs(share - near) <= max(0.02, 1.5 / len(samples))  # a sample at the very edge may count or not
        place = point["stability.near_share"].place
        out.judge("samples", place, holds=holds, seen=number(share), expected=f"about {number(near)}")
    _halves(point["stability"], samples, out)


def _halves(stability: Part, samples: Sequence[float], out: Findings) -> None:
    """Hold the medians of both halves to the samples, and a verdict of stable to them."""
    half = len(samples) // 2
    if not half:
        return
    halves = {"first_half_p50_ms": median(samples[:half]), "second_half_p50_ms": median(samples[half:])}
    for name, worked_out in halves.items():
        given = stability[name].number
        if given is not None:
            _equal(stability[name].place, given, worked_out, out)
    if stability["stable"].true:
        low, high = sorted(halves.values())
        holds = high - low <= NEAR * low * (1 + CLOSE)
        seen, expected = f"stable, and halves of {number(low)} and {number(high)}", f"halves within {NEAR:.0%}"
        out.judge("samples", stability["stable"].place, holds=holds, seen=seen, expected=expected)


def _ceiling(ceiling: Part, out: Findings) -> None:
    """Hold the rate of matrix products to the fastest of them."""
    rate, side, samples = ceiling["operations_per_s"].number, ceiling["side"].number, ceiling["samples_s"].numbers
    if rate and side and samples:
        _equal(ceiling["operations_per_s"].place, rate, 2 * side**3 / min(samples), out, 0.05)


def _bandwidth(copies: Part, out: Findings) -> None:
    """Hold the rate of copies to what the samples allow: read and written, of the fastest at most."""
    rate, size, samples = copies["bytes_per_s"].number, copies["size_bytes"].number, copies["samples_s"].numbers
    if rate and size and samples:
        most = 2 * size / min(samples)
        place = copies["bytes_per_s"].place
        out.judge("samples", place, holds=rate <= most * 1.05, seen=number(rate), expected=f"at most {number(most)}")


def _equal(place: str, given: float, expected: float, out: Findings, close: float = CLOSE) -> None:
    """Hold a figure to what the samples give."""
    out.equal("samples", place, given, expected, close)
