"""One candidate after another: opened, verified, and only then measured.

In: groups of setups. Out: a ``Trial`` for every setup, and the best of them still open, for the final.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from snellen.devices import Device
from snellen.errors import SnellenError, Unavailable
from snellen.records.plan import Setup
from snellen.records.tuning import Goal, Outcome, Trial
from snellen.runtimes import INT8
from snellen.timing.memory import is_full
from snellen.tuning import candidates as kinds
from snellen.tuning import rows
from snellen.tuning.budget import Budget
from snellen.tuning.candidates import Group
from snellen.tuning.ceilings import Ceilings
from snellen.tuning.opened import MemoryFull, Opened, Opens, Stopped

if TYPE_CHECKING:
    from snellen.verification.glance import Judged

Progress = Callable[[str], None]

LOSSY = (INT8,)
"""Dtypes that lose more than any class of the verifier allows; what they keep is judged by limits of their own."""
TWIN = "it is the default, with what that leaves to the runtime spelt out"
NOT_ALLOWED = "lossy beyond any class, so not picked unless allowed"
KEEPS = ("openvino",)
"""Runtimes that keep what they convert: a later process holds less than the one that converted."""
PATIENCE = 3.0  # times its estimate that a candidate is given
LEAST_PART = 0.3  # of the time for trials, that it is given at least
GAIN = 1.02  # a larger batch that gives less than this is no gain
WITHOUT_GAIN = 2  # larger batches without a gain, one after another, after which no larger one is tried
LEAST_ROUNDS = 3  # of the final; of fewer nobody can say how far they scatter
ROUNDS = (LEAST_ROUNDS, 5)  # that time is kept for
MOST_SHARE = 1.2
"""Of the machine's own rate of products, what an encoder may reach: nothing that computes gets past it by more than the
two measurements scatter."""
HALF = 0.5  # of the default's rate: what a setup that holds less memory must reach


@dataclass(frozen=True, kw_only=True)
class Case:
    """What every trial shares."""

    device: Device
    goal: Goal
    opens: Opens
    images: rows.Images
    operations: int  # of one image
    ceilings: Ceilings
    allowed: tuple[str, ...]
    budget: Budget
    say: Progress
    spoilt: str = ""  # why int8 on the package's photographs cannot be judged, where it cannot

    def tell(self, what: object, doing: str) -> None:
        """Say how far it is."""
        self.say(f"{what}: {doing}; {max(self.budget.left, 0):.0f} s left")


@dataclass
class Search:
    """The trials so far. ``default`` and ``best`` are open; whoever made the search closes it."""

    case: Case
    trials: list[Trial] = field(default_factory=list)
    default: tuple[Trial, Opened] | None = None
    best: tuple[Trial, Opened | None] | None = None
    open: set[Any] = field(default_factory=set)
    made: set[tuple[str, str]] = field(default_factory=set)  # runtimes and dtypes whose derived files are there

    def try_default(self, setup: Setup, waiting: int) -> None:
        """Try what is run where there is no plan; all the time there is may go into it."""
        opened = self._tried(Group(runtime=setup.runtime, dtype=setup.dtype), self.case.budget.end, waiting)
        trial = self.trials[-1]
        if opened is not None and trial.outcome == "passed":
            self.default = (trial, opened)
            self.case.budget.saw_default(setup, trial.batch or 1, trial.images_per_s or 1.0, ROUNDS)

    def try_group(self, group: Group, waiting: int) -> None:
        """Try the setups of a group, while ``waiting`` others are still to be measured."""
        case, budget, first = self.case, self.case.budget, group.setups[0]
        refused = kinds.refused(group, case.device)
        if refused or (first.dtype == INT8 and first.calibration is None and case.spoilt):
            self._note(group.setups, "not here" if refused else "failed", refused or case.spoilt)
            return
        measuring = budget.measuring(first, first.layout.batch or 1, budget.seconds_each(waiting))
        needed = budget.preparing(first) + budget.judged_s + measuring
        if needed > budget.for_trials:
            self._note(group.setups, "skipped", _no_time(needed, budget.for_trials))
            return
        given = min(budget.for_trials, max(PATIENCE * needed, LEAST_PART * budget.for_trials))
        self._tried(group, budget.clock() + given, waiting)

    def close(self) -> None:
        """Close whatever is open."""
        for opened in list(self.open):
            self._close(opened)

    def _tried(self, group: Group, until: float, waiting: int = 0) -> Opened | None:
        """Open, verify and measure a group; leave it open where the best so far is one of it."""
        case, first, known = self.case, group.setups[0], len(self.trials)
        case.tell(first, "preparing")
        begun, opened, spent = case.budget.clock(), None, {}
        try:
            if case.goal == "memory" and first.runtime in KEEPS and (first.runtime, first.dtype) not in self.made:
                case.opens.open(first, until).close()  # what converting leaves in memory is not what running holds
                self.made.add((first.runtime, first.dtype))
            opened = case.opens.open(first, until)
            self.open.add(opened)
            spent["prepare_s"] = case.budget.clock() - begun
            case.budget.saw_prepared(first, spent["prepare_s"])
            self._verify_and_measure(group, opened, spent, waiting)
        except Exception as error:  # noqa: BLE001  (whatever a candidate raises is its outcome)
            self._give_up(group.setups[len(self.trials) - known :], error, spent)
            if opened is not None and self.best is not None and self.best[1] is opened:
                self.best = (self.best[0], None)  # it may be broken, and is opened anew for the final
        if opened is not None and not self._is_kept(opened):
            self._close(opened)
            return None
        return opened

    def _give_up(self, setups: Sequence[Setup], error: Exception, spent: dict[str, float]) -> None:
        """Take in the setups of a group that an error left."""
        outcome, because = outcome_of(error)
        if isinstance(error, (MemoryFull, Stopped)) or is_full(error):
            self._note(setups[:1], outcome, because, **spent)
            self._note(setups[1:], "skipped", f"{setups[0]} before it: {because}")
        else:
            self._note(setups, outcome, because, **spent)

    def _verify_and_measure(self, group: Group, opened: Opened, spent: dict[str, float], waiting: int) -> None:
        case, first, begun = self.case, group.setups[0], self.case.budget.clock()
        case.tell(first, "verifying")
        judged = case.images.glance.judge(opened.runner, first.dtype)
        if opened.gone is not None:
            raise opened.gone
        spent["verify_s"] = case.budget.clock() - begun
        case.budget.judged_s = max(case.budget.judged_s, spent["verify_s"])
        if judged.outcome != "pass":
            self._note(group.setups, "failed", judged.because, worst=judged.worst, figures=judged.figures, **spent)
            return
        best, without = 0.0, 0
        for number, setup in enumerate(group.setups):
            if without >= WITHOUT_GAIN:
                self._note([setup], "skipped", f"{WITHOUT_GAIN} larger batches in a row gave nothing more")
                continue
            if self._is_default(setup, opened):
                self._note([setup], "skipped", TWIN)
                continue
            trial = self._measured(setup, opened, judged, waiting + len(group.setups) - number)
            if number == 0:
                trial = replace(trial, prepare_s=spent["prepare_s"], verify_s=spent["verify_s"])
            self._add(trial, opened)
            rate = trial.images_per_s or 0.0
            without = 0 if rate > GAIN * best else without + 1
            best = max(best, rate)

    def _measured(self, setup: Setup, opened: Opened, judged: Judged, waiting: int) -> Trial:
        """Measure one setup of a group that passed; its rows are looked at first, at this very batch."""
        case, budget = self.case, self.case.budget
        batch = setup.layout.batch or opened.runner.batch
        told = Trial(
            setup=setup,
            outcome="skipped",
            because=judged.because,
            may_be_picked=setup.dtype not in LOSSY or setup.dtype in case.allowed,
            worst=judged.worst,
            figures=dict(judged.figures),
        )
        seconds = budget.seconds_each(waiting)
        needed = budget.measuring(setup, batch, seconds)
        if self.default is not None and needed > budget.for_trials:
            return replace(told, because=_no_time(needed, budget.for_trials))
        case.tell(setup, "measuring")
        wrong = case.images.misplaced(opened.runner, batch, setup.dtype)
        return replace(told, outcome="failed", because=wrong) if wrong else self._rated(told, opened, batch, seconds)

    def _rated(self, told: Trial, opened: Opened, batch: int, seconds: float) -> Trial:
        """Measure a setup whose rows are right, and see that they were and are while it is measured."""
        case, dtype, begun = self.case, told.setup.dtype, self.case.budget.clock()
        measured = opened.rate(case.images.batches(batch), seconds)
        rate = measured.value
        wrong = case.images.wrong(measured.answers, batch, dtype)
        wrong = wrong or case.images.misplaced(opened.runner, batch, dtype)
        share = case.ceilings.share(dtype, rate.images_per_s * case.operations, MOST_SHARE)
        if wrong is None and share is not None and share > MOST_SHARE:
            wrong = f"{share:.3g} times what this machine reaches in products of matrices: it does not compute"
        told = replace(told, batch=batch, measure_s=case.budget.clock() - begun)
        if wrong:
            return replace(told, outcome="failed", because=wrong)
        case.budget.saw_rate(told.setup, rate.images_per_s)
        return replace(
            told,
            outcome="passed",
            because=told.because if told.may_be_picked else f"{told.because}; {NOT_ALLOWED}",
            images_per_s=rate.images_per_s,
            samples_s=rate.samples,
            spread=rate.spread,
            steady=rate.steady,
            warm_batches=rate.warm_batches,
            latency_s=rate.latency_s,
            latencies_s=rate.latencies_s,
            memory_bytes=measured.memory_bytes,
            ceiling_share=share,
            beside=self._beside(opened),
        )

    def fail(self, trial: Trial, because: str) -> None:
        """Take back what was measured of a setup that no longer gives what it gave."""
        number = next(i for i, one in enumerate(self.trials) if one is trial)
        self.trials[number] = replace(
            trial, outcome="failed", because=because, images_per_s=None, latency_s=None, ceiling_share=None
        )

    def _is_default(self, setup: Setup, opened: Opened) -> bool:
        """Tell whether a setup is the default's, where that leaves something to the runtime."""
        if self.default is None:
            return False
        trial, cores = self.default[0], self.case.budget.cores
        if (setup.runtime, setup.dtype, setup.calibration) != (trial.setup.runtime, trial.setup.dtype, None):
            return False
        mine = kinds.resolved(setup, setup.layout.batch or opened.runner.batch, cores)
        return mine == kinds.resolved(trial.setup, trial.batch, cores)

    def _beside(self, opened: Opened) -> tuple[str, ...]:
        """Return which others are open."""
        held = (one for one in (self.default, self.best) if one is not None and one[1] not in (None, opened))
        return tuple(dict.fromkeys(str(one[0].setup) for one in held))

    def _add(self, trial: Trial, opened: Opened) -> None:
        """Take a trial in; where it is the best so far, it stays open and the one before is closed."""
        self.trials.append(trial)
        default = self.default[0] if self.default else None
        if is_better(trial, self.best[0] if self.best else None, self.case.goal, default):
            before, self.best = self.best, (trial, opened)
            if before is not None and before[1] is not None and not self._is_kept(before[1]):
                self._close(before[1])

    def _note(self, setups: Sequence[Setup], outcome: Any, because: str, **told: Any) -> None:
        """Take in setups that were not measured, all for one reason."""
        for setup in setups:
            may = setup.dtype not in LOSSY or setup.dtype in self.case.allowed
            self.trials.append(Trial(setup=setup, outcome=outcome, because=because, may_be_picked=may, **told))

    def _is_kept(self, opened: Opened) -> bool:
        return any(held is not None and held[1] is opened for held in (self.default, self.best))

    def _close(self, opened: Opened) -> None:
        self.open.discard(opened)
        with suppress(Exception):  # it may be broken in any way
            opened.close()


def is_better(trial: Trial, than: Trial | None, goal: Goal, default: Trial | None) -> bool:
    """Tell whether a trial is better for a goal than the best one so far.

    Memory: the lowest peak of those that reach half the default's rate; a setup that saves memory by taking for ever is
    nobody's choice.
    """
    mine = merit(trial, goal, default)
    theirs = None if than is None else merit(than, goal, default)
    return mine is not None and (theirs is None or mine > theirs)


def merit(trial: Trial, goal: Goal, default: Trial | None) -> float | None:
    """Return a number that is larger the better a trial is for a goal; None where it cannot be picked."""
    if trial.outcome != "passed" or not trial.may_be_picked or trial.images_per_s is None:
        return None
    if goal == "throughput":
        return trial.images_per_s
    if goal == "latency":
        return None if trial.latency_s is None else 1 / trial.latency_s
    too_slow = default is not None and trial.images_per_s < HALF * (default.images_per_s or 0.0)
    return None if trial.memory_bytes is None or too_slow else -float(trial.memory_bytes)


def outcome_of(error: Exception) -> tuple[Outcome, str]:
    """Return the outcome that an error means, and the reason."""
    if isinstance(error, Unavailable):
        return "not here", "; ".join(filter(None, (error.seen, error.todo)))
    if isinstance(error, SnellenError):
        return "stopped" if isinstance(error, Stopped) else "raised", error.seen
    return "raised", f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _no_time(needed: float, left: float) -> str:
    return f"it takes about {needed:.0f} s, and {max(left, 0):.0f} s are left for trials"
