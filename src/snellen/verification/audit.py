"""Why is it less precise than asked for? Set each switch to its strict value, run again, and see which explains it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from snellen.devices.switches import Switch
from snellen.errors import CandidateError
from snellen.records.verify import Check, Error, SwitchRecord, Toggle
from snellen.runtimes.base import Runner
from snellen.verification.candidate import outputs_again, stages_again
from snellen.verification.golden import Golden, Progress
from snellen.verification.limits import ratio

REPEATS = "behaviour.repeats"


def switches(runner: Runner) -> tuple[SwitchRecord, ...]:
    """Read every precision switch of the device as it stands."""
    return tuple(SwitchRecord(name=s.name, value=s.read(), strict=s.strict) for s in runner.device.switches())


@dataclass(frozen=True, slots=True)
class Missed:
    """What has to be met: the limits of every class by output, the class required, and those of stages that count."""

    limits: Mapping[str, Mapping[str, Error]]
    expect: str
    stages: Mapping[str, Error]


def toggle(runner: Runner, golden: Golden, missed: Missed, progress: Progress) -> tuple[tuple[Toggle, ...], Check]:
    """Repeat the run with each loose switch strict, and with all of them where no single one explains the error.

    Before that it is repeated as it is: an error that does not come again cannot be a switch's, and the check says so.
    """
    progress("audit: the same again")
    control = _errors(runner, golden, missed, "when it was audited")
    if control.within:
        because = "the error did not come again when the run was repeated: it comes and goes"
        return (), Check(name=REPEATS, status="unknown", because=because, value=control.over, limit=1.0)
    loose = [switch for switch in runner.device.switches() if switch.read() != switch.strict]
    sets = [[switch] for switch in loose] + ([loose] if len(loose) > 1 else [])
    toggles: list[Toggle] = []
    for chosen in sets:
        if len(chosen) > 1 and any(done.explains for done in toggles):
            break
        toggles.append(_try(runner, golden, chosen, missed, progress))
    return tuple(toggles), Check(name=REPEATS, status="pass", because="the error came again when the run was repeated")


def worst(errors: Mapping[str, Error], limits: Mapping[str, Error]) -> float | None:
    """Return the largest ratio of an output's error to its limit; None where one is not finite."""
    ratios = [ratio(error, limits[name]) for name, error in errors.items()]
    return None if None in ratios or not ratios else max(r for r in ratios if r is not None)


def precision(errors: Mapping[str, Error], limits: Mapping[str, Mapping[str, Error]]) -> str | None:
    """Return the most exact class within whose limits all outputs lie, or None."""
    for name, allowed in limits.items():
        found = worst(errors, allowed)
        if found is not None and found <= 1:
            return name
    return None


@dataclass(frozen=True, slots=True)
class _Again:
    """A run repeated: its errors, and whether outputs and stages are within their limits."""

    errors: Mapping[str, Error]
    over: float | None  # the largest ratio of an output to its limit
    within: bool


def _errors(runner: Runner, golden: Golden, missed: Missed, what: str) -> _Again:
    errors = outputs_again(runner, golden, what)
    stages = stages_again(runner, golden, what) if missed.stages else {}
    over = worst(errors, missed.limits[missed.expect])
    ratios = (over, worst(stages, missed.stages) if stages else 0.0)
    return _Again(errors, over, all(found is not None and found <= 1 for found in ratios))


def _try(runner: Runner, golden: Golden, chosen: list[Switch], missed: Missed, progress: Progress) -> Toggle:
    names = tuple(switch.name for switch in chosen)
    what = f"with {' and '.join(names)} strict"
    progress(f"audit: {what}")
    with ExitStack() as stack:
        for switch in chosen:
            stack.enter_context(switch.at(switch.strict))
        try:
            again = _errors(runner, golden, missed, what)
        except CandidateError:  # it cannot run so: then this does not explain its errors either
            return Toggle(switches=names, precision=None, error=None, explains=False)
    met = precision(again.errors, missed.limits)
    return Toggle(switches=names, precision=met, error=again.over, explains=again.within)
