"""One look for each kind of device: what is here of it, and what would stop or slow a run.

In: the device that a run shall take place on, or None for whatever is here, and ``System``. Out: ``Looked`` by kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from snellen.devices import KINDS, ascend, cards, cpu, host, nvidia, variables
from snellen.devices.cards import Kind, Looked
from snellen.devices.probe import ask
from snellen.devices.simulated import started
from snellen.devices.simulated.settings import VARIABLE, parse
from snellen.devices.system import System
from snellen.errors import SnellenError, UnknownName, UsageError
from snellen.records.doctor import Finding

ACCELERATORS = {"cuda": nvidia.look, "npu": ascend.look}
BARE = {"xpu": ("Intel GPUs", "ZE_AFFINITY_MASK"), "mps": ("Apple GPUs", "")}
"""Kinds of which nothing is known but whether they answer."""


_IN_THIS_PROCESS = Finding(
    name="npu.simulated",
    severity="note",
    seen="the NPU of this process is simulated",
    matters="its figures say nothing about hardware",
)


def look(device: str | None, system: System) -> dict[str, Looked]:
    """Look at the host, and at the device that was named; at every accelerator with tools of its own if none was.

    Raises UnknownName and UsageError for what is no device's name, DeviceUnavailable for a second CPU.
    """
    kind, index = _named(device) if device is not None else ("", None)
    if kind == "cpu":
        cpu.find(index or 0)  # there is one only
    found = {"cpu": host.look(system)}
    for name, one in ACCELERATORS.items():
        if kind in ("", name):
            found[name] = one(system, index, asked=kind == name)
    if kind in BARE:
        found[kind] = _bare(system, kind, index or 0)
    elif kind == "" and system.name == "Darwin":
        found["mps"] = _bare(system, "mps", 0)
    return found


def simulated(environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Say that a simulation is on, or that its settings cannot be read."""
    text = environ.get(VARIABLE, "").strip()
    if not text:
        return (_IN_THIS_PROCESS,) if started() else ()
    try:
        parse(text)
    except SnellenError as error:
        wrong = Finding(
            name="npu.simulated",
            severity="stop",
            seen=error.seen,
            matters="every run on an npu ends here",
            mend=error.todo or f"unset {VARIABLE}",
        )
        return (wrong,)
    on = Finding(
        name="npu.simulated",
        severity="warning",
        seen=f"{VARIABLE}={text}: a simulated NPU stands in the place of a real one",
        matters="its figures say nothing about hardware",
        mend=f"unset {VARIABLE}",
    )
    return (on,)


def _named(device: str) -> tuple[str, int | None]:
    """Take a device's name apart, as ``devices.resolve`` does, which would import torch."""
    kind, colon, index = device.partition(":")
    if kind not in KINDS:
        raise UnknownName("device", device, KINDS, todo=f"one of {', '.join(KINDS)}")
    if colon and not re.fullmatch(r"[0-9]{1,4}", index):
        raise UsageError(f"the device {device!r} has the index {index!r}", expected="a number from 0", todo=f"{kind}:0")
    return kind, int(index) if colon else None


def _bare(system: System, kind: str, index: int) -> Looked:
    plural, variable = BARE[kind]
    name = f"{kind}:{index}"
    answer = ask(name, system)
    findings = [cards.answered(Kind(name=kind, plural=plural, variable=variable, tool=""), name, answer)]
    for each, value in variables.told(kind, system.environ).items():
        fallback = "FALLBACK" in each and value == "1"
        findings.append(
            Finding(
                name=f"{kind}.variables",
                severity="warning" if fallback else "note",
                seen=f"{each}={value}",
                matters="operators may run on the CPU instead of the device"
                if fallback
                else "it decides how a run goes",
                mend=f"unset {each}",
            )
        )
    return Looked(findings=tuple(findings), there=answer.ok, facts={"described": answer.described})
