"""How fast an encoder is: a model, a device and batch sizes in, one record with every sample out.

What comes before the steady state (loading, preparing, the first run) is told apart. Batch sizes, and a baseline where
one is asked for, take turns in rounds; ceilings are measured in the same run. Nothing is taken from elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from snellen import devices
from snellen._version import __version__
from snellen.benchmark import figures, files
from snellen.benchmark.asked import ALONE, BATCHES, Asked, Batches, checked
from snellen.benchmark.cases import Case, Clock
from snellen.benchmark.ceilings import SIMULATED, Ceilings
from snellen.benchmark.figures import Limits
from snellen.benchmark.largest import Search
from snellen.benchmark.memory import Room
from snellen.benchmark.opening import BASELINE, Opener
from snellen.benchmark.sweep import Progress, Sweep, Track
from snellen.model.model import Model
from snellen.records.bench import Baseline, BenchRecord, Files, Point
from snellen.records.reading import plain
from snellen.timing import machine

SECONDS = 2.0
LONG_S = 1.0  # a batch that takes longer is not measured where nobody named it

FIXED = "the runtime runs batches of {fixed}: smaller ones are filled up, larger ones taken apart"
ONE_AT_A_TIME = "laid out for one batch at a time, which takes all cores; 'snellen embed' runs several at once"
ABOVE = "batch {batches}: above the measured rate of torch's own products of matrices, which need not be the runtime's"
UNKNOWN = "{stopped}; {found} fits, and whether a larger one does is not known"
SHARED = "process peaks hold whatever lies in the process: libraries, the model, and the baseline where there is one"


def bench(  # noqa: PLR0913  (each is a question a person asks by itself, and all have a good default)
    model: Model,
    *,
    batch_sizes: Batches = BATCHES,
    device: str = "cpu",
    runtime: str | None = None,
    dtype: str = "float32",
    mode: str = "latency",
    seconds: float = SECONDS,
    baseline: str | None = None,
    images: Sequence[str | Path] | None = None,
    load_s: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> BenchRecord:
    """Measure how fast an encoder runs on a device, batch size by batch size.

    ``model`` is loaded in float32 on the CPU. ``batch_sizes`` "max": doubled until memory ends, then the largest that
    fits is looked for. ``runtime``: that of the device by default. ``mode``: latency of one batch after another,
    throughput of a continuous stream, files from image files (``images``, or the package's photographs) to vectors, at
    the one batch size named or at the runtime's own. ``seconds`` for each batch size, at least. ``baseline`` "cpu":
    eager float32 on the CPU, measured in the same rounds. ``load_s``: how long the model took to load, where known.

    Nothing is raised because a batch size does not fit. Raises UsageError for what means nothing, Unavailable for a
    device, dtype or runtime that is not here, or that not even one image fits on.
    """
    asked = checked(
        batch_sizes, device, runtime, dtype, mode=mode, seconds=seconds, baseline=baseline, images=images, seed=seed
    )
    say = progress or (lambda _: None)
    begun, before = clock(), machine.load()
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with ExitStack() as held:
        opener = Opener(model=model, mode=asked.mode, seed=seed, clock=clock, say=say, held=held)
        case, start = opener.started(asked.setup, asked.device, min(asked.batches or (1,)), load_s)
        say("measuring what the device reaches in products of matrices and in copies")
        ceilings = Ceilings(asked.device, asked.setup.dtype, clock)
        ceilings.measure()
        found = _files(opener, asked, case) if asked.mode == "files" else _swept(opener, asked, case)
        cost = figures.costs(model, asked.setup.dtype)
        points = _points(found, cost, ceilings)
        slower = _baseline(model, asked, found, ceilings)
    return BenchRecord(
        model=plain(_run_as(model, asked)),
        mode=asked.mode,
        setup=asked.setup,
        runtime_version=case.runner.version,
        device=plain(asked.device.describe()),
        simulated=asked.device.simulated,
        machine=machine.describe(),
        shape=(3, *model.recipe.size),
        operations_per_image=cost.operations,
        weights_bytes=cost.weights_bytes,
        bytes_per_image=cost.image_bytes,
        ceiling=ceilings.products,
        bandwidth=ceilings.copies,
        start=start,
        points=points,
        largest_batch=found.largest,
        files=found.files,
        baseline=slower,
        load_before=before,
        load_after=machine.load(),
        notes=(*_notes(asked, case, points), *found.notes),
        seed=seed,
        started_at=started,
        used_s=clock() - begun,
        version=__version__,
    )


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured."""

    tracks: tuple[Track, ...]
    slower: tuple[Track, ...] = ()  # the baseline's
    largest: int | None = None
    files: Files | None = None
    notes: tuple[str, ...] = ()


def _swept(opener: Opener, asked: Asked, case: Case) -> Found:
    """Measure batch sizes in rounds, and a baseline among them."""
    batches, search = asked.batches, None
    if not batches:
        search = Search(case, Room(asked.device, case.image_bytes), opener.say)
        search.run()
        batches = _quick(search)
    others = (opener.case(BASELINE, devices.resolve("cpu")),) if asked.baseline else ()
    sweep = Sweep((case, *others), batches, asked.seconds, seed=asked.seed, say=opener.say)
    if search:
        sweep.rooms[id(case)] = search.room  # which knows what fits
    sweep.run()
    return Found(
        tracks=(*sweep.of(case), *(track for track in ((search.full, search.raised) if search else ()) if track)),
        slower=tuple(track for other in others for track in sweep.of(other)),
        largest=search.found if search and not search.stopped else None,
        notes=(UNKNOWN.format(stopped=search.stopped, found=search.found),) if search and search.stopped else (),
    )


def _quick(search: Search) -> tuple[int, ...]:
    """Return the batch sizes that are worth measuring: those that were doubled, and the largest, unless they are slow.

    The smallest is always among them.
    """
    fitted = [batch for batch, seconds in sorted(search.seconds.items()) if seconds <= LONG_S]
    doubled = [batch for batch in fitted if batch & (batch - 1) == 0]
    return tuple(dict.fromkeys([1, *doubled, *(batch for batch in fitted if batch == search.found)]))


def _files(opener: Opener, asked: Asked, case: Case) -> Found:
    """Measure from files to vectors, at one batch size."""
    named = len(asked.batches) == 1
    batch = asked.batches[0] if named else case.runner.batch
    chain = files.chain(opener.model, case, batch, asked.images)
    track = Track(case, batch)
    found = files.measured(chain, track, asked.seconds, seed=asked.seed, say=opener.say)
    notes = [] if named else [f"files go through in batches of {batch}, as the runtime has them"]
    notes += [files.EIGHT_BIT] if chain.engine is not case.runner else []
    return Found(tracks=(track,), files=found, notes=tuple(notes))


def _points(found: Found, cost: figures.Costs, ceilings: Ceilings) -> tuple[Point, ...]:
    """Make points; products of matrices are measured again where a rate lies above them."""
    points = [figures.point(track, cost, ceilings.limits) for track in found.tracks]
    rates = [point.operations_per_s for point in points if point.operations_per_s is not None]
    if rates and ceilings.look_again(max(rates)):
        points = [figures.point(track, cost, ceilings.limits) for track in found.tracks]
    return tuple(points)


def _baseline(model: Model, asked: Asked, found: Found, ceilings: Ceilings) -> Baseline | None:
    """Make the baseline, held against ceilings of its own device and dtype where those were measured."""
    if not found.slower:
        return None
    there = ceilings.limits if asked.device.kind == "cpu" else Limits()
    own = there if asked.setup.dtype == BASELINE.dtype else replace(there, operations_per_s=None)
    return figures.baseline(found.slower, found.tracks, figures.costs(model, BASELINE.dtype), own)


def _run_as(model: Model, asked: Asked) -> dict[str, Any]:
    """Return the model's record as it was run."""
    run = model.record.run_as(asked.setup.dtype, asked.setup.runtime)
    return replace(run, device=asked.device.name).to_dict()


def _notes(asked: Asked, case: Case, points: Sequence[Point]) -> Iterator[str]:
    """Yield what a reader of the figures has to know."""
    if asked.device.simulated:
        yield SIMULATED
    if asked.setup.layout == ALONE.get(asked.setup.runtime):
        yield ONE_AT_A_TIME
    if case.runner.fixed is not None:
        yield FIXED.format(fixed=case.runner.fixed)
    if case.runner.dtype != asked.setup.dtype:
        yield f"{asked.setup.dtype} was asked for, and the runtime computes in {case.runner.dtype}"
    above = [str(point.batch) for point in points if point.ceiling_share is not None and point.ceiling_share > 1]
    if above:
        yield ABOVE.format(batches=", ".join(above))
    if any(point.memory.process_peak_bytes is not None for point in points):
        yield SHARED
