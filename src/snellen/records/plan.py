"""How an encoder is run on a machine, and the plan that says which way was found to be best there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from snellen.errors import UsageError
from snellen.records.model import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How work is laid out over a device; None leaves it to the runtime."""

    batch: int | None = None  # images encoded together
    streams: int | None = None  # batches under way at the same time
    threads: int | None = None  # of the CPU, over all streams


FREE = Layout()
"""Everything left to the runtime."""


SHOWN = 8  # digits of a digest

Goal = Literal["throughput", "latency", "memory"]
GOALS: tuple[Goal, ...] = ("throughput", "latency", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A runtime, the dtype it computes in, and how the work is laid out: what a plan chooses.

    Raises UsageError for a calibration beside another dtype than int8.
    """

    runtime: str
    dtype: str = "float32"
    layout: Layout = FREE
    calibration: str | None = None  # digest of the images that int8 was calibrated on; None: the package's photographs

    def __post_init__(self) -> None:
        if self.calibration is not None and self.dtype != "int8":
            raise UsageError(f"a calibration was named beside {self.dtype}", expected="int8, which alone has one")

    def __str__(self) -> str:
        parts = [self.runtime, self.dtype]
        parts += [f"{name} {value}" for name, value in asdict(self.layout).items() if value is not None]
        parts += [f"images {self.calibration[:SHOWN]}"] if self.calibration else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The setup that was proven and measured to be best for an encoder on a machine, for a goal."""

    setup: Setup
    goal: str  # one of GOALS
    choice: Choice
    digest: str  # of the weights
    recipe_hash: str
    device: str
    machine: str  # fingerprint of the machine and the versions it was measured with
    made_at: str  # UTC, ISO 8601
    version: str  # of snellen

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-serialisable values."""
        return {"schema": "snellen.plan/1", **asdict(self)}
