"""Plans on disk: what ``snellen tune`` found, by weights, recipe, device, goal and machine.

In: what is to be run and where. Out: the plan, or why there is none. A plan was proven with certain versions of the
packages that run it, and is void with others. Imports no torch where the device is a CPU.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from snellen import cache
from snellen._version import __version__
from snellen.devices import processor
from snellen.errors import UsageError
from snellen.records.plan import GOALS, Plan
from snellen.records.reading import read
from snellen.runtimes.versions import ABSENT, version

KIND = "plans"
SCHEMA = "snellen.plan/1"
PACKAGES = (
    "torch",
    "torch_npu",
    "triton",
    "openvino",
    "nncf",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-cann",
    "numpy",
)
"""Packages whose version can change what a setup computes, or how fast."""


@dataclass(frozen=True, slots=True)
class Looked:
    """The plan that was found, or None and the reason."""

    plan: Plan | None
    because: str


def check() -> None:
    """Raise Unavailable where no plan could be kept, before the time to find one is spent."""
    cache.remember(KIND, "check", {})


def save(plan: Plan) -> None:
    """Keep a plan; one for the same weights, recipe, device, goal and hardware is replaced."""
    cache.remember(KIND, _key(plan.digest, plan.recipe_hash, plan.device, plan.goal), plan.to_dict())


def look(digest: str, recipe_hash: str, device: str, goal: str | None = None) -> Looked:
    """Return the plan that holds here, or why there is none; without a goal throughput's, then latency's, memory's."""
    void = []
    for each in GOALS if goal is None else (goal,):
        document = cache.recall(KIND, _key(digest, recipe_hash, device, each))
        if document is None:
            continue
        try:
            plan = _plan(document)
        except UsageError as error:
            void.append(f"the plan for {each} is void: {error.seen}")
            continue
        changed = differences(plan.machine, fingerprint(device))
        if not changed:
            return Looked(plan, f"found by snellen tune on {plan.made_at}, for {plan.goal}: {plan.choice.reason}")
        void.append(f"the plan for {each} is void: {', '.join(changed)}")
    wanted = f" for {goal}" if goal else ""
    return Looked(None, "; ".join(void) or f"there is no plan{wanted} for these weights, this recipe and this machine")


def fingerprint(device: str) -> str:
    """Return what a plan holds for: the hardware, and the versions of what runs on it, in one line."""
    return "; ".join([*_hardware(device), *_versions()])


def differences(then: str, now: str) -> tuple[str, ...]:
    """Return in words how two fingerprints differ; nothing where they are equal."""
    before, after = (dict(_split(part) for part in text.split("; ")) for text in (then, now))
    names = [*before, *(name for name in after if name not in before)]
    changed = [name for name in names if before.get(name) != after.get(name)]
    return tuple(f"{name} was {before.get(name, 'absent')}, and is {after.get(name, 'absent')}" for name in changed)


def _split(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, value


def _key(digest: str, recipe_hash: str, device: str, goal: str) -> str:
    """Name a plan. Hardware is part of it, for machines that share a home; versions are compared when it is read."""
    text = "\n".join((digest, recipe_hash, device, goal, *_hardware(device)))
    return hashlib.sha256(text.encode()).hexdigest()


def _plan(document: dict[str, Any]) -> Plan:
    if document.get("schema") != SCHEMA:
        raise UsageError(f"its schema is {document.get('schema')!r}, and {SCHEMA!r} is read here")
    return read(Plan, {name: value for name, value in document.items() if name != "schema"})


def _hardware(device: str) -> Iterator[str]:
    yield f"processor={processor.text()}"
    yield f"cores={processor.cores()}"
    if device.partition(":")[0] != "cpu":
        from snellen import devices

        yield f"device={devices.resolve(device).describe().get('product', device)}"


def _versions() -> Iterator[str]:
    yield f"snellen={__version__}"
    yield f"python={platform.python_version()}"
    for name in PACKAGES:
        found = version(name)
        if found != ABSENT:
            yield f"{name}={found}"
