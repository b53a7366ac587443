"""Why is it less precise than asked for? Set each switch to its strict value, run again, and see which explains it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from snellen.devices.switches import Switch
from snellen.records.verify import Error, SwitchRecord, Toggle
from snellen.runtimes.base import Runner
from snellen.verification.candidate import outputs_again
from snellen.verification.golden import Golden, Progress
from snellen.verification.limits import ratio


def switches(runner: Runner) -> tuple[SwitchRecord, ...]:
    """Read every precision switch of the device as it stands."""
    return tuple(SwitchRecord(name=s.name, value=s.read(), strict=s.strict) for s in runner.device.switches())


def toggle(
    runner: Runner, golden: Golden, limits: Mapping[str, Mapping[str, Error]], expect: str, progress: Progress
) -> tuple[Toggle, ...]:
    """Repeat the run with each loose switch strict, and with all of them where no single one explains the error.

    ``limits``: of every precision class, by output.
    """
    loose = [switch for switch in runner.device.switches() if switch.read() != switch.strict]
    sets = [[switch] for switch in loose] + ([loose] if len(loose) > 1 else [])
    toggles: list[Toggle] = []
    for chosen in sets:
        if len(chosen) > 1 and any(done.explains for done in toggles):
            break
        toggles.append(_try(runner, golden, chosen, limits, expect, progress))
    return tuple(toggles)


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


def _try(
    runner: Runner,
    golden: Golden,
    chosen: list[Switch],
    limits: Mapping[str, Mapping[str, Error]],
    expect: str,
    progress: Progress,
) -> Toggle:
    names = tuple(switch.name for switch in chosen)
    progress(f"audit: {' and '.join(names)} strict")
    with ExitStack() as stack:
        for switch in chosen:
            stack.enter_context(switch.at(switch.strict))
        errors = outputs_again(runner, golden)
    ratio_now = worst(errors, limits[expect])
    explains = ratio_now is not None and ratio_now <= 1
    return Toggle(switches=names, precision=precision(errors, limits), error=ratio_now, explains=explains)
