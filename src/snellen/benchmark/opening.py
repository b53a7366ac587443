"""From a model to something that can be measured: its runner, and how long it takes until the first features are there.

In: a model, a setup, a device. Out: a case, and what its start took. What is opened is closed by whoever holds it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from snellen import runtimes
from snellen.benchmark.cases import Case, Clock
from snellen.benchmark.figures import BYTES
from snellen.benchmark.memory import Room, free
from snellen.benchmark.sweep import Progress, said
from snellen.devices import Device
from snellen.encoders.cost import bytes_moved
from snellen.errors import CandidateError, SnellenError, Unavailable
from snellen.model.model import Model
from snellen.records.bench import Mode, Start
from snellen.records.plan import Setup
from snellen.runtimes.base import Runner
from snellen.timing.memory import is_full

BASELINE = Setup(runtime="eager")
"""What a baseline is, on the CPU."""

SMALLER = "end what else uses the device, or take a smaller encoder or dtype"


@dataclass(frozen=True, kw_only=True)
class Opener:
    """Makes cases of one model; all are closed with ``held``."""

    model: Model
    mode: Mode
    seed: int
    clock: Clock
    say: Progress
    held: ExitStack

    def case(self, setup: Setup, device: Device) -> Case:
        """Make a runner, and say how it is measured."""
        size = self.model.recipe.size
        runner = self.held.enter_context(prepared(setup, self.model, device))
        wide = BYTES["float32"]
        return Case(
            runner=runner,
            setup=setup,
            mode=self.mode,
            size=size,
            image_bytes=bytes_moved(self.model.encoder.config, *size, wide) + 2 * wide * 3 * size[0] * size[1],
            seed=self.seed,
            clock=self.clock,
        )

    def started(self, setup: Setup, device: Device, batch: int, load_s: float | None) -> tuple[Case, Start]:
        """Make a case, and run its first batch; time both."""
        self.say(f"preparing {setup} on {device.name}")
        begin = self.clock()
        case = self.case(setup, device)
        prepare_s = self.clock() - begin
        first_s = _first(case, batch)
        return case, Start(load_s=load_s, prepare_s=prepare_s, first_run_ms=1e3 * first_s, cached=case.runner.reused)


def prepared(setup: Setup, model: Model, device: Device) -> Runner:
    """Make a runner; raise Unavailable where its weights do not fit into the device's memory."""
    try:
        runner = runtimes.make(setup.runtime, model, device, setup.dtype, setup.layout, setup.calibration)
        device.synchronize()
        return runner
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        seen = f"the weights do not fit into the memory of {device.name}: {said(error)}"
    free(device)
    raise Unavailable(seen, expected="room for them, and for one image", todo=SMALLER)


def _first(case: Case, batch: int) -> float:
    """Return the seconds of the first run: of a batch, or of one image where the batch does not fit.

    Raises Unavailable where one image does not fit, and CandidateError for anything else but an error of our own.
    """
    device = case.runner.device
    room, full = Room(device, case.image_bytes), ""
    for size in dict.fromkeys((batch, 1)):
        full = room.refuses(size) if size > 1 else ""
        if full:
            continue
        try:
            return case.alone(size).once().seconds
        except SnellenError:
            raise
        except Exception as error:
            if not is_full(error):
                todo = "'snellen verify' tells more of what it computes"
                raise CandidateError(f"{case.setup} on {device.name}: {said(error)}", todo=todo) from error
            full = said(error)
        free(device)
    raise Unavailable(
        f"one image does not fit into the memory of {device.name}: {full}", expected="room for it", todo=SMALLER
    )
