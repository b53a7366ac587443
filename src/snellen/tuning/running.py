"""One search from its golden to its choice: what ``tuner`` was asked for, step by step within the budget.

In: a model and what was asked. Out: what was picked, every trial, and what they rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snellen.devices import Device
from snellen.model.model import Model
from snellen.records import Choice
from snellen.records.plan import SHOWN, Setup
from snellen.records.timing import Ceiling
from snellen.records.tuning import Goal, Trial
from snellen.runtimes import INT8
from snellen.timing import ceiling
from snellen.tuning import candidates as kinds
from snellen.tuning import final
from snellen.tuning.apart import Processes
from snellen.tuning.budget import Budget
from snellen.tuning.candidates import Group
from snellen.tuning.ceilings import PROBE, Ceilings
from snellen.tuning.final import Picked
from snellen.tuning.opened import InProcess, Make, Opens
from snellen.tuning.rows import Images
from snellen.tuning.shown import Shown, shown
from snellen.tuning.trials import Case, Progress, Search
from snellen.verification import glance, trusted

IMAGES = (4, 2)  # that are verified with: fewer where they cost more than a part of the budget
FEW = 0.04  # of the budget, that the golden of four images may take
MOST = 0.4  # of the budget, that the golden may take at all
GOLDEN_COST = (3.0, 2.5)  # in float32 runs at the ceiling: the float64 run, and one trusted run
REACHED = 0.5  # of the ceiling, that an encoder is reckoned to reach before any was measured

ELSEWHERE = "int8 of the images {digest}: whether the images it was judged on are among them is not known"
MEMORY = "memory is the peak of the process while it was measured, torch's own libraries among it"


@dataclass(frozen=True)
class Asked:
    """What was asked for, checked."""

    device: Device
    goal: Goal
    allow: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search came to."""

    picked: Picked
    trials: tuple[Trial, ...]
    names: tuple[str, ...] = ()  # of the images
    calibrated: tuple[str, ...] = ()  # of those that 8-bit networks were calibrated on
    ceilings: tuple[Ceiling, ...] = ()
    notes: tuple[str, ...] = ()
    golden_s: float | None = None


@dataclass(frozen=True)
class Run:
    """One search."""

    model: Model
    asked: Asked
    budget: Budget
    say: Progress
    operations: int
    groups: tuple[Group, ...]

    def search(self, images: Sequence[str | Path] | None, make: Make | None) -> Found:
        """Verify, measure, and choose; nothing is begun that would not be done in time."""
        budget = self.budget
        self.say(f"measuring how fast this machine multiplies matrices; {budget.left:.0f} s left")
        rate = ceiling.measured("float32", side=PROBE).operations_per_s or 1e9
        budget.guess = REACHED * rate / self.operations
        each = self.operations / rate * (GOLDEN_COST[0] + GOLDEN_COST[1] * len(self.dtypes))  # seconds an image
        count = IMAGES[0] if IMAGES[0] * each <= FEW * budget.seconds else IMAGES[1]
        if count * each > MOST * budget.left:
            return self._too_short(count * each)
        ceilings = Ceilings(self.asked.device, budget, rate)
        for dtype in self.dtypes:
            ceilings.measure(dtype)
        seen = shown(images, self.model.recipe, count, eight_bit=INT8 in self.dtypes)
        begun = budget.used
        golden = glance.prepare(
            self.model, seen.pixels, self.dtypes, lambda text: self.say(f"{text}; {max(budget.left, 0):.0f} s left")
        )
        golden_s = budget.used - begun
        search = Search(self._case(Images(seen.pixels.numpy(), golden), ceilings, self._opens(make, seen), seen.spoilt))
        try:
            self._try_all(search, seen)
            picked = final.pick(search)
        finally:
            search.close()
            search.case.opens.close()
        return Found(
            picked=picked,
            trials=tuple(search.trials),
            names=seen.names,
            calibrated=seen.calibrated,
            ceilings=tuple(ceilings.found.values()),
            notes=(*seen.notes, *self._unknown(seen), MEMORY),
            golden_s=golden_s,
        )

    def _too_short(self, golden_s: float) -> Found:
        because = f"the golden takes about {golden_s:.0f} s, and {max(self.budget.left, 0):.0f} s are left"
        trial = Trial(setup=self.default, outcome="skipped", because=because)
        return Found(picked=Picked(None, Choice("none", because)), trials=(trial,))

    def _case(self, images: Images, ceilings: Ceilings, opens: Opens, spoilt: str) -> Case:
        return Case(
            device=self.asked.device,
            goal=self.asked.goal,
            opens=opens,
            images=images,
            operations=self.operations,
            ceilings=ceilings,
            allowed=self.asked.allow,
            budget=self.budget,
            say=self.say,
            spoilt=spoilt,
        )

    def _unknown(self, seen: Shown) -> tuple[str, ...]:
        """Say of which 8-bit setups nobody knows whether they are judged on what they were calibrated on."""
        known = seen.calibration.digest if seen.calibration else None
        named = dict.fromkeys(group.calibration for group in self.groups if group.calibration not in (None, known))
        return tuple(ELSEWHERE.format(digest=str(digest)[:SHOWN]) for digest in named)

    def _opens(self, make: Make | None, seen: Shown) -> Opens:
        if make is None:
            return Processes(self.model, self.asked.device, seen.calibration)
        return InProcess(make, self.model, self.asked.device, seen.calibration)

    @property
    def default(self) -> Setup:
        """What is run where there is no plan."""
        return kinds.default(self.asked.device)

    def _try_all(self, search: Search, seen: Shown) -> None:
        waiting = sum(len(group.batches) for group in self.groups)
        search.try_default(self.default, waiting + 1)
        for group in kinds.calibrated(self.groups, seen.calibration.digest if seen.calibration else None):
            search.try_group(group, waiting)
            waiting -= len(group.batches)

    @cached_property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that are judged: float32, and those that are tried and computed in here."""
        tried = [group.dtype for group in self.groups if not kinds.refused(group, self.asked.device)]
        return tuple(name for name in dict.fromkeys(["float32", *tried]) if name == INT8 or name in trusted.REFERENCE)
