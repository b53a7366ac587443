"""Whether rates follow from latencies: throughput, shares of ceilings, speed-ups, and batch sizes among each other.

In: a report's document. Out: findings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from snellen.report.check.found import CLOSE, Findings, near, number
from snellen.report.check.samples import MIDDLE
from snellen.report.check.walk import Part

NOISE = 0.1
"""How far above a measured ceiling a rate may lie, at least: both are measured, at different moments."""
FASTER = 0.9
"""A larger batch may take this much of the smaller one's time, for kernels differ between sizes; less is impossible."""
GROWS, ALIKE = 4, 1.1
"""A batch so many times as large takes more than so many times as long, unless something else binds."""
IDLE = 0.5
"""A device that reaches less than this share of its ceiling has room for a larger batch in the same time."""


def check(document: Part, out: Findings) -> None:
    """Look at every rate of a measurement of speed."""
    bench = document["bench"]
    for points in (bench["points"].parts(), bench["baseline.points"].parts()):
        measured = [point for point in points if point["latency"]]
        for point in measured:
            _throughput(bench, point, out)
        steady = [point for point in measured if point["stability.stable"].value is not False]
        if len(steady) < len(measured):
            out.skip("batch", "the samples of some batch sizes are not stable", bench["points"].place)
        grow(list(_batches(steady, simulated=bench["simulated"].true)), out)
    for point in bench["points"].parts():
        _shares(bench, point, out)
    _files(bench["files"], out)
    _largest(bench, out)
    _speedup(bench, out)
    _tuned(document["tune"], out)


def _throughput(bench: Part, point: Part, out: Findings) -> None:
    """Hold images a second to batch and mean latency, where one batch follows another."""
    rate, batch, mean = point["images_per_s"].number, point["batch"].number, point["latency.mean_ms"].number
    if rate is None or not batch or not mean:
        return
    if bench["mode"].text != "latency":
        out.skip("throughput", "of a stream, in which batches overlap", point["images_per_s"].place)
        return
    out.equal("throughput", point["images_per_s"].place, rate, 1e3 * batch / mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One batch size beside others: how long it takes, and what excuses it from taking longer than a smaller one."""

    batch: float
    ms: float
    place: str
    low: float | None = None  # between which the latency lies with confidence
    high: float | None = None
    host: bool = False  # the host is said to be what binds
    idle: bool = False  # the device has room for more in the same time


def grow(steps: Sequence[Step], out: Findings) -> None:
    """Hold larger batches to taking longer than smaller ones; each is named once, against the smallest it offends."""
    ordered = sorted(steps, key=lambda step: step.batch)
    for at, step in enumerate(ordered):
        found = next((one for one in ordered[:at] if _too_soon(one, step)), None)
        if at:
            seen = f"batch {step.batch:g} takes {number(step.ms)} ms"
            smaller = found or ordered[0]
            expected = (
                f"clearly more than batch {smaller.batch:g}, {number(smaller.ms)} ms: was the device waited for, or is "
                "the host what binds?"
            )
            out.judge("batch", step.place, holds=found is None, seen=seen, expected=expected)


def _too_soon(small: Step, large: Step) -> bool:
    """Tell whether the larger batch is over before it can be."""
    if large.batch <= small.batch:
        return False
    at_most = large.ms if large.high is None else max(large.ms, large.high)
    at_least = small.ms if small.low is None else min(small.ms, small.low)
    if at_most < FASTER * at_least:
        return True
    excused = small.host or large.host or large.idle
    return large.batch >= GROWS * small.batch and large.ms < ALIKE * small.ms and not excused


def _batches(points: Sequence[Part], *, simulated: bool) -> Iterator[Step]:
    """Yield the batch sizes; a simulated device may take any time, so that it counts as one with room for more."""
    for point in points:
        latency, batch, share = point["latency"], point["batch"].number, point["ceiling_share"].number
        middle = (one["ms"].number for one in latency["percentiles"].parts() if one["percent"].number == MIDDLE)
        ms = next(middle, None) or latency["mean_ms"].number
        if batch and ms:
            yield Step(
                batch=batch,
                ms=ms,
                place=latency.place,
                low=latency["low_ms"].number,
                high=latency["high_ms"].number,
                host=point["host_bound"].true,
                idle=simulated or (share is not None and share < IDLE),
            )


def _shares(bench: Part, point: Part, out: Findings) -> None:
    """Hold operations and bytes a second to the rate of images, and their shares to the ceilings."""
    rate, each = point["images_per_s"].number, bench["operations_per_image"].number
    operations, moved = point["operations_per_s"].number, point["bytes_per_s"].number
    if rate and each and operations:
        out.equal("throughput", point["operations_per_s"].place, operations, rate * each, 0.01)
    ceilings = (
        ("ceiling_share", operations, bench["ceiling.operations_per_s"].number, bench["ceiling.samples_s"].numbers),
        ("bandwidth_share", moved, bench["bandwidth.bytes_per_s"].number, bench["bandwidth.samples_s"].numbers),
    )
    for name, reached, most, samples in ceilings:
        share, place = point[name].number, point[name].place
        if reached is None or not most:
            if point["latency"]:
                out.skip("ceiling", "there is no ceiling, or no rate", place)
            continue
        if share is not None:
            out.equal("throughput", place, share, reached / most, 0.01)
        spread = max(samples) / min(samples) - 1 if samples and min(samples) > 0 else 0.0
        above = reached / most
        within = above <= 1 + max(NOISE, spread)
        out.judge("ceiling", place, holds=within, seen=f"{above:.0%} of the ceiling", expected="at most all of it")


def _files(files: Part, out: Findings) -> None:
    """Hold what decoding and model allow together to the two rates."""
    decode, model = files["decode_images_per_s"].number, files["model_images_per_s"].number
    allowed, rate, share = files["allowed_images_per_s"], files["images_per_s"].number, files["share"].number
    if decode and model and allowed.number:
        out.equal("throughput", allowed.place, allowed.number, 1 / (1 / decode + 1 / model), 0.01)
    if rate and share is not None and allowed.number:
        out.equal("throughput", files["share"].place, share, rate / allowed.number, 0.01)


def _largest(bench: Part, out: Findings) -> None:
    """Hold the largest batch that fits to those that did and did not."""
    largest = bench["largest_batch"].number
    if largest is None:
        return
    for point in bench["points"].parts():
        batch, outcome = point["batch"].number, point["outcome"].text
        if batch is None or outcome not in ("measured", "out of memory"):
            continue
        holds = batch <= largest if outcome == "measured" else batch > largest
        seen, place = f"{largest:g}, and batch {batch:g}: {outcome}", bench["largest_batch"].place
        out.judge(
            "batch", place, holds=holds, seen=seen, expected="no batch that fits above it, none below that does not"
        )


def _speedup(bench: Part, out: Findings) -> None:
    """Hold every speed-up to the latencies it is of, round by round."""
    baseline = bench["baseline"]
    if not baseline:
        out.skip("speedup", "none was measured in this run", "bench.baseline")
        return
    mine = {str(point["batch"].value): point for point in bench["points"].parts() if point["latency"]}
    base = {str(point["batch"].value): point for point in baseline["points"].parts() if point["latency"]}
    for batch, part in baseline["speedup"].items():
        given = part.number
        if given is None or batch not in mine or batch not in base:
            out.skip("speedup", "one of the two was not measured", part.place)
            continue
        expected = list(_over(base[batch], mine[batch]))
        holds = any(near(given, one, close) for one, close in expected)
        what = " or ".join(dict.fromkeys(number(one) for one, _ in expected)) or "two latencies"
        out.judge("speedup", part.place, holds=holds, seen=number(given), expected=f"about {what}")
        low, high = (dict(baseline[f"speedup_{end}"].items()).get(batch, Part(None)).number for end in ("low", "high"))
        if low is not None and high is not None:
            within = low * (1 - CLOSE) <= given <= high * (1 + CLOSE)
            bounds = f"between its bounds, {number(low)} and {number(high)}"
            out.judge("speedup", part.place, holds=within, seen=number(given), expected=bounds)


def _over(base: Part, mine: Part) -> Iterator[tuple[float, float]]:
    """Yield the baseline's latency over this one's, and how near to it a speed-up has to be.

    The median of the rounds' ratios where both have as many rounds; else medians of all samples, which may differ more.
    """
    medians = [list(_rounds(point)) for point in (base, mine)]
    if medians[0] and len(medians[0]) == len(medians[1]):
        yield median(a / b for a, b in zip(*medians, strict=True)), 10 * CLOSE
    samples = [point["samples_ms"].numbers for point in (base, mine)]
    if all(samples):
        yield median(samples[0]) / median(samples[1]), 0.05 if medians[0] else 10 * CLOSE
    means = [point["latency.mean_ms"].number for point in (base, mine)]
    if not all(samples) and means[0] and means[1]:
        yield means[0] / means[1], 0.05


def _rounds(point: Part) -> Iterator[float]:
    """Yield the median of each round."""
    samples, at = point["samples_ms"].numbers, 0
    for count in point["rounds"].sizes:
        if samples[at : at + count]:
            yield median(samples[at : at + count])
        at += count


def _tuned(tune: Part, out: Findings) -> None:
    """Hold what a search found to its own figures."""
    final = tune["final"]
    mine, default = final["images_per_s"].numbers, final["default_images_per_s"].numbers
    if mine and len(mine) == len(default) and all(default):
        ratios = [a / b for a, b in zip(mine, default, strict=True)]
        for name, expected in (("ratio", median(ratios)), ("least", min(ratios)), ("most", max(ratios))):
            given = final[name].number
            if given is not None:
                out.equal("speedup", final[name].place, given, expected, 0.01)
