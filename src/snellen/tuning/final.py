"""The best candidate against the default, in turns, and the choice between the two.

In: a search that is over. Out: the setup that is picked, the reason, and the rounds it rests on. The default stays
unless the other is ahead of it in every round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from snellen.errors import SnellenError
from snellen.records import Choice
from snellen.records.plan import Setup
from snellen.records.tuning import Final, Trial
from snellen.timing import rates
from snellen.tuning.opened import Opened
from snellen.tuning.trials import HALF, Search

LEAST, MOST = 3, 7  # rounds; of fewer than three nobody can say how far they scatter
PART = 0.9  # of the time that is left: what the rounds may take by the estimate
STREAM = 1.5  # what a stream takes, over the seconds it is asked to last: it is warmed up for half of them
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
        return _chosen(kept, "the default: no other candidate was better")
    if search.case.goal == "memory" and not _saves(best[0], default[0]):
        return _chosen(kept, f"the default: {best[0].setup} holds no less memory")
    try:
        final = _final(search, best[0], best[1], default)
    except Exception as error:  # noqa: BLE001  (whatever it was, the default is what was proven)
        said = error.seen if isinstance(error, SnellenError) else f"{type(error).__name__}: {error}"
        return _chosen(kept, f"the default: the final against {best[0].setup} came to no end ({said})")
    if isinstance(final, str):
        return _chosen(kept, f"the default: {final}")
    return _decided(search, best[0], kept, final)


def _decided(search: Search, best: Trial, kept: Setup, final: Final) -> Picked:
    range_ = f"{final.ratio:.2f} times the default's rate ({final.least:.2f} to {final.most:.2f})"
    told = f"{best.setup}: {range_} in {len(final.images_per_s)} rounds in turns"
    if search.case.goal == "memory":
        default = search.default[0] if search.default else best
        held = f"{_mib(best)} MiB beside the default's {_mib(default)}, at {range_}"
        if final.least >= HALF:
            return Picked(best.setup, Choice(str(best.setup), f"verified, and holds least: {held}"), final)
        return Picked(kept, Choice(str(kept), f"the default: {best.setup} falls below half its rate ({held})"), final)
    if final.least > 1:
        return Picked(best.setup, Choice(str(best.setup), f"verified, and {range_}, measured in turns"), final)
    return Picked(kept, Choice(str(kept), f"the default: not every round was ahead of it ({told})"), final)


def _final(search: Search, best: Trial, opened: Opened | None, default: tuple[Trial, Opened]) -> Final | str:
    """Measure the two in turns; return what stood in the way where there was no time."""
    case, budget = search.case, search.case.budget
    if opened is None:
        if budget.preparing(best.setup) > budget.left / 2:
            return f"{best.setup} would have to be prepared again for the final, and there is no time"
        opened = case.opens.open(best.setup, budget.end)
        search.open.add(opened)
    cost = sum(_least(search, trial) for trial in (best, default[0]))
    rounds = min(int(PART * budget.left / cost), MOST)
    if rounds < LEAST:
        needed = f"{LEAST} rounds take about {LEAST * cost:.0f} s, and {max(budget.left, 0):.0f} s are left"
        return f"there was no time to measure {best.setup} against it in turns ({needed})"
    seconds = PART * budget.left / rounds / 2 / STREAM
    case.tell(best.setup, f"against the default, {rounds} rounds")
    opened.until = default[1].until = budget.end
    cases = {"best": _timed(search, best, opened), "default": _timed(search, *default)}
    ratio = (found := rates.interleaved(cases, rounds, min(seconds, 4.0))).ratio("best", "default")
    return Final(
        setup=best.setup,
        default_images_per_s=found.of("default"),
        images_per_s=found.of("best"),
        ratio=ratio.median,
        least=ratio.least,
        most=ratio.most,
    )


def _least(search: Search, trial: Trial) -> float:
    """Return the least seconds that one turn of a setup takes."""
    if search.case.goal == "latency":
        return 5 * (trial.latency_s or 1.0)
    return search.case.budget.streaming(trial.setup, trial.batch or 1, trial.images_per_s or 1.0)


def _timed(search: Search, trial: Trial, opened: Opened) -> Callable[[float], float]:
    """Return what measures a setup for some seconds: images a second, or one over the seconds of one."""
    images = search.case.images.batches(trial.batch or 1)
    if search.case.goal == "latency":
        return lambda seconds: 1 / median(opened.latencies(images, seconds).value)
    return lambda seconds: opened.stream(images, seconds).value.images_per_s


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


def _nothing(search: Search) -> Picked:
    failed = [trial for trial in search.trials if trial.outcome in {"failed", "raised", "stopped"}]
    told = "; ".join(f"{trial.setup}: {trial.outcome}, {trial.because}" for trial in (failed or search.trials)[:3])
    return Picked(None, Choice("none", f"no candidate that may be picked passed ({told})"))


def _chosen(setup: Setup, because: str) -> Picked:
    return Picked(setup, Choice(str(setup), because))


def _mib(trial: Trial) -> str:
    return "-" if trial.memory_bytes is None else f"{trial.memory_bytes / 2**20:.0f}"
