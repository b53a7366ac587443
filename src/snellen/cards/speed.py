"""The measurement of a card: as many batch sizes as there is time for, and a record even where nothing was measured.

In: a model, where it runs, and what one image takes there. Out: a BenchRecord; what was left out, and why, is a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from snellen._version import __version__
from snellen.benchmark.bench import bench
from snellen.benchmark.figures import costs
from snellen.cards.log import Log, shortly
from snellen.devices import Device
from snellen.model.model import Model
from snellen.records.bench import BenchRecord, Point, Start
from snellen.records.model import ModelRecord
from snellen.records.plan import Setup
from snellen.records.reading import plain
from snellen.timing import machine

BATCHES = (1, 2, 4, 8)
BASELINE = "cpu"
RUNS = 12
"""About how often one batch size is run, warm-up and all, where runs are long: what a measurement costs is foretold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much is measured."""

    batch_sizes: tuple[int, ...] = BATCHES
    seconds: float = 2.0  # for each batch size, at least
    budget_s: float = 150.0  # for all of them together, about
    load_s: float | None = None  # from files to a model in memory, where that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What runs where, and what was seen of it before: one image's seconds, there and on the CPU."""

    device: Device
    runtime: str
    version: str | None
    dtype: str
    prepare_s: float
    first_s: float
    image_s: float
    cpu_s: float
    cached: bool | None = None  # whether what was compiled was there already

    @property
    def baseline(self) -> str | None:
        """What it is compared with: the CPU's eager float32, unless it is that itself."""
        own = (self.device.kind, self.runtime, self.dtype) == ("cpu", "eager", "float32")
        return None if own else BASELINE

    @property
    def start(self) -> Start:
        """What came before the steady state, of one image."""
        return Start(load_s=None, prepare_s=self.prepare_s, first_run_ms=1e3 * self.first_s, cached=self.cached)


def measured(model: Model, record: ModelRecord, place: Place, settings: Settings, log: Log) -> BenchRecord:
    """Measure the batch sizes that there is time for. Nothing is raised because a measurement fails: it is noted.

    The start is that of the runner which was looked at: when the measurement makes its own, all is compiled and warm.
    """
    sizes = tuple(affordable(place, settings))
    if left := [size for size in settings.batch_sizes if size not in sizes]:
        log.note(
            f"batch size {', '.join(map(str, left))} was not measured: at {place.image_s:.2f} s an image it would have "
            f"taken more than the {settings.budget_s:.0f} s that a card spends on its measurement"
        )
    try:
        found = bench(
            model,
            batch_sizes=sizes,
            device=place.device.name,
            runtime=place.runtime,
            dtype=place.dtype,
            mode="latency",
            seconds=settings.seconds,
            baseline=place.baseline,
            progress=log,
        )
    except Exception as error:  # noqa: BLE001  (whatever it was, the rest of the card stands)
        said = shortly(error)
        log.note(f"nothing was measured: {said}")
        found = unmeasured(model, record, place, sizes, said)
    return replace(found, start=replace(place.start, load_s=settings.load_s))


def affordable(place: Place, settings: Settings) -> Iterator[int]:
    """Yield the batch sizes, from the smallest on, that fit into the budget together; the smallest always does."""
    spent = 0.0
    for number, size in enumerate(sorted(settings.batch_sizes)):
        each = [place.image_s, *([place.cpu_s] if place.baseline else [])]
        spent += sum(max(settings.seconds, RUNS * size * seconds) for seconds in each)
        if number and spent > settings.budget_s:
            return
        yield size


def unmeasured(
    model: Model, record: ModelRecord, place: Place, batch_sizes: Sequence[int], because: str
) -> BenchRecord:
    """Return the record of a measurement that failed: what is known without it, and why there is no more."""
    cost = costs(model, place.dtype)
    return BenchRecord(
        model=plain(record.to_dict()),
        mode="latency",
        setup=Setup(runtime=place.runtime, dtype=place.dtype),
        runtime_version=place.version,
        device=plain(place.device.describe()),
        simulated=place.device.simulated,
        machine=machine.describe(),
        shape=(3, *model.recipe.size),
        operations_per_image=cost.operations,
        weights_bytes=cost.weights_bytes,
        bytes_per_image=cost.image_bytes,
        ceiling=None,
        bandwidth=None,
        start=place.start,
        points=tuple(Point(batch=size, outcome="raised", because=because) for size in batch_sizes),
        notes=(because,),
        seed=0,
        started_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        used_s=0.0,
        version=__version__,
    )
