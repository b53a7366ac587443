"""The best candidate against the default, in turns, and the choice between the two.

In: a search that is over. Out: the setup that is picked, the reason, and the rounds it rests on. The default stays
unless the other is ahead of it in every round, and not by a hair. What both gave in the rounds is judged, and their
rows are looked at once more after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from snellen.errors import SnellenError
from snellen.records import Choice
from snellen.records.plan import Setup
from snellen.records.timing import ratio
from snellen.records.tuning import Final, Trial
from snellen.timing import rates
from snellen.timing.feed import Answer
from snellen.tuning.budget import SAFETY, Budget
from snellen.tuning.opened import Opened
from snellen.tuning.trials import HALF, LEAST_ROUNDS, TWIN, Search

MOST = 7  # rounds
SHORT, LONG = 0.05, 4.0  # seconds that a stream is asked to last
PART = 0.9  # of the time that is left: what the rounds may take by the estimate
STREAM = 1.5  # what a stream takes, over the seconds it is asked to last: it is warmed up for half of them
AHEAD = 1.02  # times the default's rate in the median of the rounds, that is worth another setup
SAVING = 0.98  # of the default's memory, that is less than it


@dataclass(frozen=True)
class Picked:
    """What is to be run, and why; ``setup`` is None where nothing can be picked."""

    setup: Setup | None
    choice: Choice
    final: Final | None = None


def pick(search: Search) -> Picked:
    """Choose between the default and the best candidate. Raises nothing a candidate raises."""
    best, default = search.best, search.default
    if best is None:
        return _nothing(search)
    if default is None:
        return _without_default(search, best[0])
    kept = default[0].setup
    if best[0].setup == kept:
        return _chosen(kept, f"the default: {_others(search)}")
    if search.case.goal == "memory" and not _saves(best[0], default[0]):
        return _chosen(kept, f"the default: {best[0].setup} holds no less memory")
    final = _tried(search, best[0], best[1], default)
    if search.default is None:  # it no longer gives what it gave
        return _alone(search, best[0])
    return _chosen(kept, f"the default: {final}") if isinstance(final, str) else _decided(search, best[0], kept, final)


def _alone(search: Search, best: Trial) -> Picked:
    """Pick where the default went wrong in the final, and the other did not."""
    first = search.trials[0]
    told = f"the default {first.setup} {first.outcome} in the final: {first.because}"
    if any(trial is best for trial in search.trials):  # it was not taken back
        return _chosen(best.setup, f"the best that passed; {told}")
    return Picked(None, Choice("none", f"{told}; and so did {best.setup}"))


def _tried(search: Search, best: Trial, opened: Opened | None, default: tuple[Trial, Opened]) -> Final | str:
    """Hold the final; whatever breaks in it, the default is what was proven."""
    try:
        return _final(search, best, opened, default)
    except Exception as error:  # noqa: BLE001
        said = error.seen if isinstance(error, SnellenError) else f"{type(error).__name__}: {error}"
        return f"the final against {best.setup} came to no end ({said})"


def _decided(search: Search, best: Trial, kept: Setup, final: Final) -> Picked:
    range_ = f"{final.ratio:.2f} times the default's rate ({final.least:.2f} to {final.most:.2f})"
    told = f"{best.setup}: {range_} in {len(final.images_per_s)} rounds in turns"
    if search.case.goal == "memory":
        default = search.default[0] if search.default else best
        held = f"{_mib(best)} MiB beside the default's {_mib(default)}, at {range_}"
        if final.least >= HALF:
            return Picked(best.setup, Choice(str(best.setup), f"verified, and holds least: {held}"), final)
        return Picked(kept, Choice(str(kept), f"the default: {best.setup} falls below half its rate ({held})"), final)
    if final.least > 1 and final.ratio >= AHEAD:
        return Picked(best.setup, Choice(str(best.setup), f"verified, and {range_}, measured in turns"), final)
    short = "not every round was ahead of it" if final.least <= 1 else f"that is less than {AHEAD} times its rate"
    return Picked(kept, Choice(str(kept), f"the default: {short} ({told})"), final)


def _final(search: Search, best: Trial, opened: Opened | None, default: tuple[Trial, Opened]) -> Final | str:
    """Measure the two in turns; return what stood in the way where there was no time, or one of them is wrong."""
    case, budget = search.case, search.case.budget
    if opened is None:
        again = _again(search, best)
        if isinstance(again, str):
            return again
        opened = again
    cost = sum(_least(search, trial) for trial in (best, default[0]))
    after = sum(budget.looking(trial.setup, trial.batch or 1) for trial in (best, default[0]))
    there = PART * (budget.left - after)
    rounds = min(int(there / cost), MOST)
    if rounds < LEAST_ROUNDS:
        needed = f"{LEAST_ROUNDS} rounds take about {LEAST_ROUNDS * cost + after:.0f} s"
        left = f"{max(budget.left, 0):.0f} s are left"
        return f"there was no time to measure {best.setup} against it in turns ({needed}, and {left})"
    seconds = min(max((there / rounds - cost) / 2 / STREAM, SHORT), LONG)
    case.tell(best.setup, f"against the default, {rounds} rounds")
    opened.until = default[1].until = budget.end
    turns = {"best": Turns(search, best, opened), "default": Turns(search, *default)}
    found = list(_rounds(turns, rounds, seconds, budget, after))
    if len(found) < LEAST_ROUNDS:
        return f"there was time for {len(found)} rounds against {best.setup} only"
    wrong = _wrong(search, turns)
    return wrong or _rated(best, found)


def _again(search: Search, best: Trial) -> Opened | str:
    """Open the best once more; what is opened anew is looked at anew."""
    case, budget = search.case, search.case.budget
    if budget.preparing(best.setup) > budget.left / 2:
        return f"{best.setup} would have to be prepared again for the final, and there is no time"
    opened = case.opens.open(best.setup, budget.end)
    search.open.add(opened)
    wrong = case.images.misplaced(opened.runner, best.batch or 1, best.setup.dtype)
    if wrong is None:
        return opened
    search.fail(best, f"opened again for the final: {wrong}")
    return f"{best.setup} was opened again for the final, and {wrong}"


def _wrong(search: Search, turns: Mapping[str, Turns]) -> str:
    """Judge what both gave in the rounds, and their rows once more; take back whoever is wrong, and say so."""
    told = ""
    for name, turn in turns.items():
        wrong = turn.wrong or search.case.images.misplaced(turn.opened.runner, turn.batch, turn.trial.setup.dtype)
        if not wrong:
            continue
        search.fail(turn.trial, f"in the final: {wrong}")
        if name == "default":
            search.default = None
        told = told or f"the final against {turn.trial.setup} was lost, for {wrong}"
    return told


def _rated(best: Trial, found: Sequence[Mapping[str, float]]) -> Final:
    fast, slow = (tuple(values[name] for values in found) for name in ("best", "default"))
    over = ratio(fast, slow)
    return Final(
        setup=best.setup,
        default_images_per_s=slow,
        images_per_s=fast,
        ratio=over.median,
        least=over.least,
        most=over.most,
    )


def _rounds(
    cases: Mapping[str, Turns], rounds: int, seconds: float, budget: Budget, after: float
) -> Iterator[dict[str, float]]:
    """Yield what each round measured; none is begun that would not be done in time, judged by the longest so far."""
    longest = 0.0
    for number in range(rounds):
        if SAFETY * longest + after > budget.left:
            return
        begun = budget.clock()
        yield from rates.interleaved(cases, 1, seconds, seed=number).values
        longest = max(longest, budget.clock() - begun)


def _least(search: Search, trial: Trial) -> float:
    """Return the least seconds that one turn of a setup takes."""
    if search.case.goal == "latency":
        return 5 * (trial.latency_s or 1.0)
    return search.case.budget.streaming(trial.setup, trial.batch or 1, trial.images_per_s or 1.0)


@dataclass
class Turns:
    """One of the two: called, it measures for some seconds; ``wrong`` says what it gave that is not right."""

    search: Search
    trial: Trial
    opened: Opened
    wrong: str | None = None

    @property
    def batch(self) -> int:
        """Images at once."""
        return self.trial.batch or 1

    def __call__(self, seconds: float) -> float:
        """Return images a second, or one over the seconds of one."""
        images = self.search.case.images
        batches = images.batches(self.batch)
        if self.search.case.goal == "latency":
            singles = self.opened.latencies(batches, seconds)
            self._judge(singles.answers)
            return 1 / median(singles.value)
        stream = self.opened.stream(batches, seconds)
        self._judge(stream.answers)
        return stream.value.images_per_s

    def _judge(self, answers: Iterable[Answer]) -> None:
        self.wrong = self.wrong or self.search.case.images.wrong(answers, self.batch, self.trial.setup.dtype)


def _saves(best: Trial, default: Trial) -> bool:
    if best.memory_bytes is None or default.memory_bytes is None:
        return False
    return best.memory_bytes < SAVING * default.memory_bytes


def _without_default(search: Search, best: Trial) -> Picked:
    """Pick without a final where the default itself cannot be run here, or computes something else."""
    first = search.trials[0]
    if first.outcome in {"stopped", "skipped"}:
        because = f"the default was not measured ({first.because}), so nothing is known to be faster"
        return Picked(None, Choice("none", because))
    return _chosen(best.setup, f"the best that passed; the default {first.setup} {first.outcome}: {first.because}")


def _others(search: Search) -> str:
    """Say what became of the others where none of them was better."""
    measured = sum(trial.outcome == "passed" and trial.may_be_picked for trial in search.trials) - 1
    untried = sum(trial.outcome in {"skipped", "stopped"} and trial.because != TWIN for trial in search.trials)
    none = "no other that may be picked was measured"
    if measured:
        none = f"none of the others that were measured and may be picked is better ({measured})"
    return none + (f", and {untried} were not tried to the end" if untried else "")


def _nothing(search: Search) -> Picked:
    failed = [trial for trial in search.trials if trial.outcome in {"failed", "raised", "stopped"}]
    told = "; ".join(f"{trial.setup}: {trial.outcome}, {trial.because}" for trial in (failed or search.trials)[:3])
    return Picked(None, Choice("none", f"no candidate that may be picked passed ({told})"))


def _chosen(setup: Setup, because: str) -> Picked:
    return Picked(setup, Choice(str(setup), because))


def _mib(trial: Trial) -> str:
    return "-" if trial.memory_bytes is None else f"{trial.memory_bytes / 2**20:.0f}"
