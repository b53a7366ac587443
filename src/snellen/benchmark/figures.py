"""From samples to points: every figure of a batch size, and what of the machine it is held against.

In: tracks, what the encoder costs, ceilings. Out: ``records.bench``. A rate is images over time, so that it goes with
the mean; a share is of a ceiling that was measured in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Literal

from snellen.benchmark.sweep import Track
from snellen.encoders.cost import bytes_moved, operations
from snellen.model.model import Model
from snellen.records.bench import Baseline, Point
from snellen.runtimes import INT8
from snellen.timing.statistics import by_round, interval, latency, stability

Binds = Literal["arithmetic", "memory", "host"]

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}  # of a number
HOST = 0.8  # of the latency: where the host is busy for longer, the device waits for it


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What an encoder costs in a dtype."""

    operations: int  # of an image
    image_bytes: int  # of an image, in and out of every layer
    weights_bytes: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a device does in a second; None: that was not measured."""

    operations_per_s: float | None = None
    bytes_per_s: float | None = None


def costs(model: Model, dtype: str) -> Costs:
    """Count what an encoder costs; of 8 bits are matrices alone."""
    config, item = model.encoder.config, BYTES[dtype]
    weights = model.encoder.parameters()
    return Costs(
        operations=operations(config, *model.recipe.size),
        image_bytes=bytes_moved(config, *model.recipe.size, item),
        weights_bytes=sum(p.numel() * (item if p.ndim > 1 or dtype != INT8 else BYTES["float32"]) for p in weights),
    )


def point(track: Track, cost: Costs, limits: Limits) -> Point:
    """Return what became of a batch size."""
    if not track.visits:
        return Point(batch=track.batch, outcome=track.outcome, because=track.because)
    samples, rounds = track.samples_ms, tuple(len(visit.samples) for visit in track.visits)
    found = latency(samples, rounds)
    per_s = 1e3 * track.batch / found.mean_ms
    reached = per_s * cost.operations
    moved = per_s * (cost.image_bytes + cost.weights_bytes / track.batch)
    enqueued = tuple(_enqueued(track))
    host = median(enqueued) / found.p50_ms if enqueued and found.p50_ms else None
    arithmetic, memory = _share(reached, limits.operations_per_s), _share(moved, limits.bytes_per_s)
    return Point(
        batch=track.batch,
        outcome="measured",
        samples_ms=samples,
        rounds=rounds,
        latency=found,
        images_per_s=per_s,
        enqueue_ms=enqueued,
        enqueue_p50_ms=median(enqueued) if enqueued else None,
        host_bound=None if host is None else host > HOST,
        warm_up=(track.warm.runs if track.warm else 0) + sum(visit.uncounted for visit in track.visits),
        steady=track.warm.steady if track.warm else None,
        stability=stability(samples, track.attempts),
        memory=track.memory,
        operations_per_s=reached,
        ceiling_share=arithmetic,
        bytes_per_s=moved,
        bandwidth_share=memory,
        binds=binds(arithmetic, memory, host),
    )


def binds(arithmetic: float | None, memory: float | None, host: float | None) -> Binds | None:
    """Return what is nearest to its limit; None where only the host's share is known, and leaves the device to it."""
    if arithmetic is None and memory is None and (host is None or host <= HOST):
        return None
    shares: dict[Binds, float | None] = {"arithmetic": arithmetic, "memory": memory, "host": host}
    known = {name: share for name, share in shares.items() if share is not None}
    return max(known, key=lambda name: known[name])


def baseline(slow: Sequence[Track], fast: Sequence[Track], cost: Costs, limits: Limits) -> Baseline:
    """Return the baseline, and how many times as fast the other is, round by round."""
    others = {track.batch: track for track in fast}
    ratios = {
        track.batch: [a / b for a, b in zip(_rounds(track), _rounds(others[track.batch]), strict=True)]
        for track in slow
        if track.visits and others[track.batch].visits
    }
    spans = {batch: interval(values) for batch, values in ratios.items()}
    return Baseline(
        setup=slow[0].case.setup,
        device=slow[0].case.runner.device.name,
        points=tuple(point(track, cost, limits) for track in slow),
        speedup={str(batch): median(values) for batch, values in ratios.items()},
        speedup_low={str(batch): min(span[0], median(ratios[batch])) for batch, span in spans.items() if span},
        speedup_high={str(batch): max(span[1], median(ratios[batch])) for batch, span in spans.items() if span},
    )


def _rounds(track: Track) -> tuple[float, ...]:
    return by_round(track.samples_ms, [len(visit.samples) for visit in track.visits])


def _enqueued(track: Track) -> Iterator[float]:
    for sample in chain.from_iterable(visit.samples for visit in track.visits):
        if sample.enqueue_s is not None:
            yield round(1e3 * sample.enqueue_s, 6)


def _share(reached: float, most: float | None) -> float | None:
    return None if most is None else reached / most
