"""The record of a search for the best setup: every candidate with its outcome and reason, and what was picked.

Raw samples stand beside every figure that is made of them. What was not measured is None, never 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from snellen.records.model import Choice
from snellen.records.plan import GOALS, Goal, Plan, Setup
from snellen.records.timing import Ceiling, Machine

__all__ = ["GOALS", "SCHEMA", "Final", "Goal", "Outcome", "Trial", "TuneRecord"]

SCHEMA = "snellen.tune/1"

Outcome = Literal["passed", "failed", "raised", "stopped", "skipped", "not here"]
"""Of one candidate.

``passed``   verified, and then measured
``failed``   computes something else, before it was measured or while it was: its rate is not told
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
    steady: bool | None = None  # whether the warm-up ended because the rate no longer rose; else its time was up
    warm_batches: int | None = None  # that were not counted
    beside: tuple[str, ...] = ()  # other setups that were open meanwhile, and held memory
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
    ceilings: tuple[Ceiling, ...]  # the machine's own rate, a dtype each; a note says why there is none
    load_before: tuple[float, ...] | None = None  # processes that ran or waited, over 1, 5 and 15 minutes
    load_after: tuple[float, ...] | None = None
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
    def exit_code(self) -> int:
        """Return what the command line exits with: 0 where there is a plan, 3 where nothing passed."""
        return 0 if self.plan is not None else 3

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": SCHEMA, **asdict(self)}
