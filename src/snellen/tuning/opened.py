"""What the search drives: a runner that can be measured, here or in a process of its own.

In: a function that makes runners. Out: the same face as ``apart.Apart``, without its power to end what takes too long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from snellen.devices import Device
from snellen.errors import CandidateError
from snellen.model.model import Model
from snellen.records.plan import Layout, Setup
from snellen.records.timing import Rate, Stream
from snellen.timing import rates
from snellen.timing.feed import Answer
from snellen.tuning.child import prime, watched
from snellen.tuning.shown import meant

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.runtimes.base import Runner
    from snellen.runtimes.openvino.quantise import Calibration

    Array = NDArray[float32]

T = TypeVar("T")

Make = Callable[[str, Model, Device, str, Layout, "Calibration | str | None"], "Runner"]
"""What ``runtimes.make`` is: runtime, model, device, dtype, layout and calibration -> a runner."""


class Stopped(CandidateError):
    """A candidate took longer than there was time for."""


class MemoryFull(CandidateError):
    """A candidate needs more memory than there is."""


@dataclass(frozen=True)
class Measured(Generic[T]):
    """What was measured, the most bytes that were held meanwhile, and what the last batches gave."""

    value: T
    memory_bytes: int | None
    answers: tuple[Answer, ...]


class Opened(Protocol):
    """A candidate, open."""

    until: float  # by time.monotonic: when it is ended, where it can be
    gone: CandidateError | None  # what ended it, where something did

    @property
    def runner(self) -> Runner:
        """The runner that is verified."""

    def rate(self, pixels: Sequence[Array], seconds: float) -> Measured[Rate]:
        """Measure throughput and latency."""

    def stream(self, pixels: Sequence[Array], seconds: float) -> Measured[Stream]:
        """Measure throughput alone."""

    def latencies(self, pixels: Sequence[Array], seconds: float) -> Measured[tuple[float, ...]]:
        """Time single images."""

    def close(self) -> None:
        """Give back what is held."""


class Opens(Protocol):
    """What opens candidates."""

    def open(self, setup: Setup, until: float) -> Opened:
        """Open one."""

    def close(self) -> None:
        """Give back what is held."""


class Here:
    """A runner of this process."""

    def __init__(self, runner: Runner, until: float) -> None:
        self.runner, self.until = runner, until
        self.gone: CandidateError | None = None

    def rate(self, pixels: Sequence[Array], seconds: float) -> Measured[Rate]:
        """Measure throughput and latency."""
        return self._measured(lambda kept: rates.measure(self.runner, pixels, seconds, kept=kept))

    def stream(self, pixels: Sequence[Array], seconds: float) -> Measured[Stream]:
        """Measure throughput alone."""
        return self._measured(lambda kept: rates.stream(self.runner, pixels, seconds, kept=kept))

    def latencies(self, pixels: Sequence[Array], seconds: float) -> Measured[tuple[float, ...]]:
        """Time single images."""
        return self._measured(lambda kept: rates.latencies(self.runner, pixels, seconds, kept=kept))

    def close(self) -> None:
        """Close the runner."""
        self.runner.close()

    def _measured(self, measure: Callable[[list[Answer]], Any]) -> Measured[Any]:
        if time.monotonic() > self.until:
            raise Stopped("there was no time left for it")
        kept: list[Answer] = []
        found, memory = watched(self.runner, lambda: measure(kept))
        return Measured(found, memory, tuple(kept))


class InProcess:
    """Opens candidates in this process, with a function of somebody's own."""

    def __init__(self, make: Make, model: Model, device: Device, calibration: Calibration | None = None) -> None:
        self._make, self._model, self._device, self._calibration = make, model, device, calibration

    def open(self, setup: Setup, until: float) -> Here:
        """Make a runner."""
        calibration = meant(setup, self._calibration)
        runner = self._make(setup.runtime, self._model, self._device, setup.dtype, setup.layout, calibration)
        prime(runner, self._model)
        return Here(runner, until)

    def close(self) -> None:
        """Hold nothing."""
