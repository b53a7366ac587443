"""Everything device-specific: a name like ``npu:0`` goes in, a ``Device`` that is present comes out.

One file for each kind, all behind the contract in ``base``. A name that is not known is refused, never guessed, and
nothing ever falls back to another device.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from snellen.devices.base import DTYPES, Device
from snellen.errors import DeviceUnavailable, UnknownName, UsageError

__all__ = ["DTYPES", "KINDS", "Device", "resolve", "several"]


def _cpu(index: int) -> Device:
    from snellen.devices import cpu

    return cpu.find(index)


def _cuda(index: int) -> Device:
    from snellen.devices import cuda

    return cuda.find(index)


def _npu(index: int) -> Device:
    from snellen.devices import npu, simulated

    simulated.from_environment()  # does nothing unless SNELLEN_SIMULATE asks for it
    return npu.find(index)


def _xpu(index: int) -> Device:
    from snellen.devices import other

    return other.find_xpu(index)


def _mps(index: int) -> Device:
    from snellen.devices import other

    return other.find_mps(index)


_FIND: dict[str, Callable[[int], Device]] = {"cpu": _cpu, "cuda": _cuda, "npu": _npu, "xpu": _xpu, "mps": _mps}
"""Only the kind that is asked for is imported: a command on a CPU starts sooner."""

KINDS = tuple(_FIND)


def resolve(name: str) -> Device:
    """Return the device called ``name``: a kind, or a kind and an index from 0 (``cuda:1``).

    Raises UnknownName for a kind that does not exist, UsageError for an index that is not a number, MissingPackage
    and DeviceUnavailable for what is not on this machine.
    """
    kind, colon, index = name.partition(":")
    if kind not in _FIND:
        raise UnknownName("device", name, KINDS, todo=f"one of {', '.join(KINDS)}")
    if colon and not re.fullmatch(r"[0-9]{1,4}", index):
        raise UsageError(f"the device {name!r} has the index {index!r}", expected="a number from 0", todo=f"{kind}:0")
    return _FIND[kind](int(index or 0))


def several(text: str) -> tuple[str, ...]:
    """Return the names in a list of devices: ``npu:0,npu:1``, or ``npu:all`` for all that are on this machine.

    One name is given back as it is. Raises what ``resolve`` raises, and UsageError for a device that is named twice.
    """
    names = [
        name
        for part in text.split(",")
        for name in (_all(part.strip()) if part.strip().endswith(":all") else [part.strip()])
    ]
    if len(names) == 1:
        return (text,) if text == names[0] else tuple(names)
    found = [resolve(name).name for name in names]
    if len(set(found)) < len(found):
        raise UsageError(f"a device is named twice in {text!r}", expected="each device once", todo="name it once")
    return tuple(found)


def _all(name: str) -> list[str]:
    """Return the names of all devices of a kind that are here; raise what ``resolve`` raises where there is none."""
    kind = name.removesuffix(":all")
    if kind == "cpu":
        raise UsageError("'cpu:all' names all processors, and they are one device", expected="cpu", todo="--device cpu")
    names = [resolve(f"{kind}:0").name]
    while True:
        try:
            names.append(resolve(f"{kind}:{len(names)}").name)
        except DeviceUnavailable:
            return names
