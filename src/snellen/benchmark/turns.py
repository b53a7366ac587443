"""Two measurements taken again, in turns: what disturbs the machine in a round disturbs both alike.

In: two records. Out: the same two with the samples of now. Nothing is taken for what a record names that is something
else by now: other weights, another preprocessing, a device that is simulated where none was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from snellen import devices
from snellen._version import __version__
from snellen.benchmark import figures
from snellen.benchmark.cases import Case, Clock
from snellen.benchmark.opening import Opener
from snellen.benchmark.sweep import Progress, Sweep
from snellen.devices import Device
from snellen.errors import UsageError
from snellen.records.bench import BenchRecord, Start
from snellen.records.reading import plain
from snellen.timing import machine

if TYPE_CHECKING:
    from snellen.model.model import Model

Load = Callable[..., "Model"]
OTHER = "without --again, the saved samples are compared"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One of the two, ready to be measured."""

    record: BenchRecord
    model: Model
    device: Device
    case: Case
    start: Start

    def now(self, sweep: Sweep) -> BenchRecord:
        """Return the record with what was measured here and now."""
        costs = figures.costs(self.model, self.case.setup.dtype)
        return replace(
            self.record,
            points=tuple(figures.point(track, costs, figures.Limits()) for track in sweep.of(self.case)),
            start=self.start,
            runtime_version=self.case.runner.version,
            device=plain(self.device.describe()),
            machine=machine.describe(),
            version=__version__,
        )


@dataclass
class Opened:
    """Models by what they were loaded from: two records of one encoder take the memory of one."""

    say: Progress
    models: dict[tuple[Any, ...], Model] = field(default_factory=dict)

    def model(self, record: BenchRecord) -> Model:
        """Load what a record names. Raises UsageError where that is something else now."""
        from snellen.model.loading import load

        name, weights = record.model["name"], named(record)
        key = (name, record.model["recipe"], *weights.items())
        if key not in self.models:
            self.say(f"loading {name}")
            self.models[key] = load(name, recipe=record.model["recipe"], **weights)
        _check_same(record, self.models[key])
        return self.models[key]


def taken(
    records: tuple[BenchRecord, BenchRecord],
    batches: Sequence[int],
    *,
    seconds: float,
    say: Progress,
    clock: Clock,
) -> tuple[BenchRecord, BenchRecord]:
    """Measure both in one sweep, and return both as they are now.

    Raises UsageError where a record names what is something else now, and what ``load`` and ``runtimes.make`` raise.
    """
    places = [device(record) for record in records]  # before anything is loaded
    opened = Opened(say)
    with ExitStack() as held:
        turns = []
        for record, place in zip(records, places, strict=True):
            model = opened.model(record)
            opener = Opener(model=model, mode=record.mode, seed=record.seed, clock=clock, say=say, held=held)
            case, start = opener.started(record.setup, place, min(batches), None)
            turns.append(Turn(record=record, model=model, device=place, case=case, start=start))
        sweep = Sweep([turn.case for turn in turns], batches, seconds, seed=records[0].seed, say=say)
        sweep.run()
        first, second = (turn.now(sweep) for turn in turns)
    return first, second


def device(record: BenchRecord) -> Device:
    """Return the device that a record names; one that was simulated is simulated again, and no other."""
    if record.simulated:
        from snellen.devices import simulated

        if not simulated.from_environment():
            simulated.start()
    place = devices.resolve(str(record.device.get("name")))
    if place.simulated != record.simulated:
        was, here = (f"{'' if one else 'not '}simulated" for one in (record.simulated, place.simulated))
        raise UsageError(
            f"{place.name} was {was} when it was measured, and is {here} now", expected="the same device", todo=OTHER
        )
    return place


def named(record: BenchRecord) -> dict[str, str]:
    """Return the weights of a record as ``load`` takes them; nothing where the name alone says it."""
    origin, name = record.model.get("origin") or {}, str(record.model["name"])
    kind = origin.get("kind")
    if kind == "seed" and origin.get("path") is None:
        return {"weights": f"seed:{origin['seed']}"}
    hosted = kind in {"hub", "modelscope"}
    where = str(origin.get("repo") if hosted else origin.get("path"))
    found = {} if _says_itself(name) else {"weights": f"modelscope:{where}" if kind == "modelscope" else where}
    revision = origin.get("revision") if hosted else None
    return {**found, "revision": str(revision)} if revision else found


def _says_itself(name: str) -> bool:
    """Tell whether a model's name is where its weights are."""
    from snellen.model.source import wanted

    try:
        return wanted(name, None).name is None
    except UsageError:  # a name whose weights are nowhere by themselves
        return False


def _check_same(record: BenchRecord, model: Model) -> None:
    """Raise UsageError where weights or preprocessing are not those of the record."""
    pairs = {
        "weights": (record.model.get("digest"), model.record.digest),
        "recipe": (record.model.get("recipe_hash"), model.record.recipe_hash),
        "pixels": (record.shape, (3, *model.recipe.size)),
    }
    for what, (before, now) in pairs.items():
        if before and now and before != now:
            raise UsageError(
                f"the {what} of {record.model['name']} are others now than when it was measured",
                expected=str(before),
                todo=OTHER,
            )
