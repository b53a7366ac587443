"""The search for the best setup of an encoder on a machine, within a budget of time.

In: a model, a device, a goal, seconds. Out: a record with every candidate, and a plan, kept for this model, these
weights and this machine. A candidate that was not verified is neither measured nor picked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from snellen import devices
from snellen._version import __version__
from snellen.checkpoints.state import digest_of
from snellen.devices import processor
from snellen.encoders.cost import operations
from snellen.errors import UnknownName, UsageError
from snellen.model.model import Model
from snellen.records.plan import Plan, Setup
from snellen.records.reading import plain
from snellen.records.tuning import GOALS, TuneRecord
from snellen.runtimes import plans
from snellen.timing import machine
from snellen.tuning import candidates as kinds
from snellen.tuning import ending
from snellen.tuning.budget import Budget
from snellen.tuning.opened import Make
from snellen.tuning.running import Asked, Found, Run
from snellen.tuning.trials import LOSSY, Progress
from snellen.verification import trusted

BUDGET_S = 180.0


def tune(  # noqa: PLR0913  (each is a question a person asks by itself, and all have a good default)
    model: Model,
    *,
    device: str = "cpu",
    goal: str = "throughput",
    budget_s: float = BUDGET_S,
    images: Sequence[str | Path] | None = None,
    allow: Iterable[str] = (),
    progress: Progress | None = None,
    candidates: Sequence[Setup] | None = None,
    make: Make | None = None,
    began: float | None = None,
) -> TuneRecord:
    """Find the setup that serves a goal best on a device, prove it, and keep the plan.

    ``model`` is loaded in float32 on the CPU. ``goal``: throughput (images a second), latency (of one image), memory
    (the lowest peak at no less than half the default's rate). The first of ``images`` are verified with, and 8 bits
    calibrated on others of them; the package's photographs by default. ``allow``: lossy dtypes (int8) that may be
    picked. ``candidates`` are tried instead of those of ``candidates.groups``, ``make`` makes runners in this process
    instead of one of their own, where what hangs cannot be ended; ``began``: when the budget began, by
    ``time.monotonic``.

    Nothing is raised because a candidate is bad. Raises UsageError for a goal, budget or model that cannot be tuned
    for, Unavailable for a device that is not here.
    """
    begun = time.monotonic() if began is None else began
    asked = checked(device, goal, budget_s, tuple(allow))
    trusted.check_model(model)
    load_before = machine.load()
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    cores = processor.cores()
    groups = kinds.groups(asked.device, asked.goal, cores) if candidates is None else kinds.grouped(candidates)
    gigabytes = sum(p.numel() for p in model.encoder.parameters()) * 4e-9
    budget = Budget(seconds=budget_s, began=begun, gigabytes=gigabytes, cores=cores)
    count = operations(model.encoder.config, *model.recipe.size)
    with ending.orderly():
        found = Run(model, asked, budget, progress or (lambda _: None), count, groups).search(images, make)
    plan = _plan(model, asked, found, started)
    if plan is not None:
        plans.save(plan)
    return TuneRecord(
        model=plain(model.record.to_dict()),
        goal=asked.goal,
        device=plain(asked.device.describe()),
        machine=machine.describe(),
        images=found.names,
        calibrated=found.calibrated,
        operations_per_image=count,
        ceilings=found.ceilings,
        load_before=load_before,
        load_after=machine.load(),
        default=kinds.default(asked.device),
        trials=found.trials,
        choice=found.picked.choice,
        final=found.picked.final,
        plan=plan,
        allowed=asked.allow,
        notes=found.notes,
        budget_s=budget_s,
        used_s=budget.used,
        golden_s=found.golden_s,
        started_at=started,
        version=__version__,
    )


def _plan(model: Model, asked: Asked, found: Found, made_at: str) -> Plan | None:
    """Return the plan for what was picked."""
    if found.picked.setup is None:
        return None
    return Plan(
        setup=found.picked.setup,
        goal=asked.goal,
        choice=found.picked.choice,
        digest=model.record.digest or digest_of(iter(model.encoder.state_dict().items())),
        recipe_hash=model.recipe.hash,
        device=asked.device.name,
        machine=plans.fingerprint(asked.device.name),
        made_at=made_at,
        version=__version__,
    )


def checked(device: str, goal: str, budget_s: float, allow: tuple[str, ...]) -> Asked:
    """Refuse what cannot be tuned for, and a cache that no plan could be kept in; no model is needed to know."""
    if goal not in GOALS:
        raise UnknownName("goal", goal, GOALS, todo=f"one of {', '.join(GOALS)}")
    if not (math.isfinite(budget_s) and budget_s > 0):
        raise UsageError(f"the budget is {budget_s} s", expected="more than 0 s", todo=f"leave it at {BUDGET_S:.0f}")
    unknown = [name for name in allow if name not in LOSSY]
    if unknown:
        raise UnknownName("lossy dtype", unknown[0], LOSSY, todo=f"one of {', '.join(LOSSY)}")
    place = devices.resolve(device)
    if place.simulated:
        raise UsageError(
            f"{place.name} is simulated, and how fast it is says nothing about hardware",
            expected="a device that is there",
            todo="'snellen verify --simulate' tries an encoder on a simulated one",
        )
    plans.check()
    return Asked(place, goal, allow)
