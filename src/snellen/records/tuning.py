"""The record of a search for the best setup: every candidate with its outcome and reason, and what was picked.

Raw samples stand beside every figure that is made of them. What was not measured is None, never 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from snellen.records.model import Choice
from snellen.records.plan import Plan, Setup
from snellen.records.timing import Machine

SCHEMA = "snellen.tune/1"

Goal = Literal["throughput", "latency", "memory"]
GOALS: tuple[Goal, ...] = ("throughput", "latency", "memory")

Outcome = Literal["passed", "failed", "raised", "stopped", "skipped", "not here"]
"""Of one candidate.

``passed``   verified, and then measured
``failed``   computes something else, and was therefore not measured
``raised``   gave an error instead of features
``stopped``  was ended because it took longer than there was time for
``skipped``  was not tried; the reason says why
``not here`` its package is not installed, or the device does not compute in its dtype
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One candidate."""

    setup: Setup
    outcome: Outcome
    because: str
    may_be_picked: bool = True  # False for what is lossy beyond any class, unless it was allowed
    worst: float | None = None  # the largest error over its limit; at most 1 passes
    figures: dict[str, float] = field(default_factory=dict)  # of the verification
    batch: int | None = None  # images encoded together, as measured
    images_per_s: float | None = None
    spread: float | None = None  # of that rate over consecutive parts, relative to it
    samples_s: tuple[float, ...] = ()  # from the end of the warm-up to the completion of each batch
    latency_s: float | None = None  # of one image alone: the median of
    latencies_s: tuple[float, ...] = ()
    memory_bytes: int | None = None  # peak of what ran it, while it ran
    ceiling_share: float | None = None  # of the machine's measured rate of matrix products in this dtype
    prepare_s: float | None = None
    verify_s: float | None = None
    measure_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The best candidate against the default, in turns: one entry a round. For latency, of images one at a time."""

    setup: Setup
    default_images_per_s: tuple[float, ...]
    images_per_s: tuple[float, ...]
    ratio: float  # median of the rounds' ratios, above 1 where the candidate is faster
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRecord:
    """One search, whole. ``plan`` is None where nothing could be picked; ``choice`` says why, either way."""

    model: dict[str, Any]  # ModelRecord.to_dict()
    goal: Goal
    device: dict[str, Any]  # as it describes itself
    machine: Machine
    images: tuple[str, ...]  # the names of those that were verified with
    calibrated: tuple[str, ...] = ()  # of those that int8 was calibrated on; the package's photographs are not named
    operations_per_image: int
    ceilings_operations_per_s: dict[str, float]  # by dtype
    default: Setup
    trials: tuple[Trial, ...]
    choice: Choice
    final: Final | None = None
    plan: Plan | None = None
    allowed: tuple[str, ...] = ()  # lossy dtypes that may be picked
    notes: tuple[str, ...] = ()
    budget_s: float
    used_s: float
    golden_s: float | None = None
    started_at: str = ""  # UTC, ISO 8601
    version: str  # of snellen

    @property
    def picked(self) -> Trial | None:
        """Return the trial of the setup that was picked."""
        if self.plan is None:
            return None
        return next((trial for trial in self.trials if trial.setup == self.plan.setup), None)

    @property
    def exit_code(self) -> int:
        """Return what the command line exits with: 0 where there is a plan, 3 where nothing passed."""
        return 0 if self.plan is not None else 3

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": SCHEMA, **asdict(self)}
