"""A look at the host: its processor, how many threads may run on it and how many will, its memory.

In: ``System``. Out: ``Looked``. Everything runs here in the end: the golden of every verdict, and what an accelerator
leaves to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from snellen.devices import processor, quota, variables
from snellen.devices.cards import Looked
from snellen.devices.cpu import BFLOAT16
from snellen.devices.system import System
from snellen.records.doctor import Finding

INT8 = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})
"""Flags of processors that multiply 8 bits and add up in one instruction."""

NAMED = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "asimddp", "sve", "i8mm", "bf16")
LITTLE_BYTES = 2 * 2**30
FEW = 0.5  # of the processors: fewer threads than that are worth a word


def look(system: System) -> Looked:
    """Look at the host."""
    told = processor.told(system.at("proc"))
    flags = processor.flags(told)
    allowed = quota.processors(system.root)
    findings = [
        _product(system, processor.product(told), allowed),
        *_instructions(flags),
        *_threads(system, allowed),
        *_variables(system),
        *_memory(system),
    ]
    facts = {
        "product": processor.product(told),
        "machine": system.machine,
        "processors": system.processors,
        "quota": allowed,
        "flags": sorted(set(flags or ()) & {*NAMED, *BFLOAT16, *INT8}),
    }
    return Looked(findings=tuple(findings), there=True, facts=facts)


def usable(system: System, allowed: float | None) -> int:
    """Return how many processors fill the time that this process has."""
    return system.processors if allowed is None else max(1, min(system.processors, math.ceil(allowed)))


def _product(system: System, product: str, allowed: float | None) -> Finding:
    time = "" if allowed is None else f", time for {allowed:g} of them"
    return Finding(name="cpu.processor", severity="fine", seen=f"{product}, {system.processors} processors{time}")


def _instructions(flags: frozenset[str] | None) -> Iterator[Finding]:
    name = "cpu.instructions"
    if flags is None:
        yield Finding(
            name=name,
            severity="note",
            seen="the system does not tell which instructions the processor has",
            matters="whether bfloat16 or 8 bits are worth choosing has to be measured",
            mend="snellen tune MODEL",
        )
        return
    yield Finding(name=name, severity="fine", seen=", ".join(flag for flag in NAMED if flag in flags) or "none named")
    if BFLOAT16.isdisjoint(flags):
        yield Finding(
            name="cpu.bfloat16",
            severity="note",
            seen="no instructions for bfloat16 (avx512_bf16, amx_bf16, bf16)",
            matters="bfloat16 is computed through float32 here: it saves memory and no time",
            mend="--dtype float32",
        )
    if INT8.isdisjoint(flags):
        yield Finding(
            name="cpu.int8",
            severity="note",
            seen="no instructions for products of 8 bits (VNNI, AMX, dot product)",
            matters="a model in int8 is hardly faster than one in float32 here",
            mend="measure before choosing it: snellen tune MODEL --int8",
        )


def _threads(system: System, allowed: float | None) -> Iterator[Finding]:
    """Compare the threads that variables ask for with the processors there are."""
    name, right = "cpu.threads", usable(system, allowed)
    at = f"{right} processors" if allowed is None else f"the time of {allowed:g} processors"
    asked = system.told(variables.THREADS)
    mend = f"export OMP_NUM_THREADS={right}"
    if not asked:
        if right < system.processors:
            yield Finding(
                name=name,
                severity="warning",
                seen=f"{system.processors} processors, {at} for this container, and OMP_NUM_THREADS is not set",
                matters="torch starts a thread for each processor, and all are stopped once the time is used up",
                mend=mend,
            )
        else:
            yield Finding(name=name, severity="fine", seen=f"one for each of {right} processors")
    for variable, value in asked.items():
        found = re.match(r"\s*(\d+)", value)
        count = int(found[1]) if found else 0
        if count < 1:
            seen, matters = f"{variable}={value!r} is no number of threads", "libraries take a number of their own then"
        elif count > right:
            seen = f"{variable}={value}, and this process has {at}"
            matters = "threads that have no processor wait for each other, and every operator waits for the last one"
        elif count <= FEW * right:
            seen, matters = f"{variable}={value}, and this process has {at}", "the others have nothing to do"
        else:
            yield Finding(name=name, severity="fine", seen=f"{variable}={value} for {right} processors")
            continue
        yield Finding(
            name=name, severity="warning", seen=seen, matters=matters, mend=mend.replace("OMP_NUM_THREADS", variable)
        )


def _variables(system: System) -> Iterator[Finding]:
    for variable, value in system.told(variables.INSTRUCTIONS).items():
        yield Finding(
            name="cpu.variables",
            severity="warning",
            seen=f"{variable}={value}",
            matters="it keeps libraries from instructions that the processor may have",
            mend=f"unset {variable}",
        )
    for variable, value in system.told(variables.EXACTNESS).items():
        if value.upper() not in ("", "STRICT"):
            yield Finding(
                name="cpu.variables",
                severity="warning",
                seen=f"{variable}={value}",
                matters="float32 is computed less exactly, in golden runs too",
                mend=f"unset {variable}",
            )
    for variable, value in system.told(variables.BINDING).items():
        yield Finding(
            name="cpu.variables",
            severity="note",
            seen=f"{variable}={value}",
            matters="it decides where threads run and how they wait; two processes may be bound to the same processors",
            mend=f"unset {variable}",
        )


def _memory(system: System) -> Iterator[Finding]:
    told = processor.fields(system.at("proc/meminfo"))
    numbers = {key: int(told[key].split()[0]) * 1024 for key in ("MemAvailable", "MemTotal") if _kib(told.get(key))}
    if len(numbers) < 2:
        return
    left, total = numbers["MemAvailable"], numbers["MemTotal"]
    seen = f"{left / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if left >= LITTLE_BYTES:
        yield Finding(name="cpu.memory", severity="fine", seen=seen)
        return
    yield Finding(
        name="cpu.memory",
        severity="warning",
        seen=seen,
        matters="the larger encoders do not fit: a ViT-L has 1.2 GiB of float32 weights",
        mend="ps aux --sort=-rss | head",
    )


def _kib(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"\d+ kB", text) is not None
