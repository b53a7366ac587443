"""Did it run there? Where parameters and outputs lie, which operators fell back, whether it is the CPU's own run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from snellen.records.verify import Check
from snellen.runtimes.base import Runner

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snellen.devices.watch import Watch

SHOWN = 4


def parameters(runner: Runner) -> Check:
    """Check that every parameter and buffer lies on the device."""
    tensors = list(runner.tensors())
    name = "placement.parameters"
    if not tensors:
        return Check(name=name, status="unknown", because="the runtime does not hand out its parameters")
    strays = [f"{key} on {tensor.device}" for key, tensor in tensors if not _there(tensor, runner)]
    if strays:
        return Check(
            name=name, status="fail", because=f"left behind: {_some(strays)}", value=float(len(strays)), limit=0.0
        )
    return Check(name=name, status="pass", because=f"all {len(tensors)} tensors lie on {runner.device.name}")


def outputs(runner: Runner, raw: Mapping[str, Tensor]) -> Check:
    """Check that the outputs lie where the runtime was to leave them."""
    name = "placement.outputs"
    strays = [f"{key} on {tensor.device}" for key, tensor in raw.items() if not _there(tensor, runner)]
    if strays:
        return Check(name=name, status="fail", because=f"on another device: {_some(strays)}")
    return Check(name=name, status="pass", because=f"every output was on {runner.device.name}")


def fallbacks(runner: Runner, watch: Watch) -> Check:
    """Check that no operator was heard to run on the CPU instead, and that it would have been heard."""
    name, seen = "placement.fallback", watch.fallbacks
    if runner.device.kind == "cpu":
        return Check(name=name, status="pass", because="a CPU has nowhere to fall back to")
    if seen:
        because = f"{_some(seen)} ran on the CPU instead of {runner.device.name}"
        return Check(name=name, status="warn", because=because, value=float(len(seen)), limit=0.0)
    if watch.earlier:
        because = f"{_some(watch.earlier)} ran on the CPU earlier in this process, which is reported only once"
        return Check(name=name, status="warn", because=because, value=float(len(watch.earlier)), limit=0.0)
    if watch.deaf:
        because = f"an operator that ran on the CPU instead would not have been reported: {watch.deaf}"
        return Check(name=name, status="warn", because=because)
    return Check(name=name, status="pass", because="torch reported no operator that ran on the CPU instead")


def independent(runner: Runner, same_bits: bool, shared: bool) -> Check:
    """Check that the candidate is not the reference itself, run once more.

    Other code may have the same bits on the same CPU; a device never has. ``shared``: its parameters are the very ones
    of the trusted encoder. Of a function nothing can be seen but its bits.
    """
    name = "placement.independent"
    own = shared or runner.runtime in ("eager", "callable")
    if not same_bits:
        return Check(name=name, status="pass", because="its bits are not those of the CPU's reference")
    if runner.device.kind != "cpu":
        because = f"bit for bit what this CPU computes: it did not run on {runner.device.name}"
        return Check(name=name, status="fail", because=because)
    if own:
        because = "bit for bit the reference: the CPU was compared with itself, which shows nothing"
        return Check(name=name, status="fail", because=because)
    return Check(name=name, status="pass", because=f"bit for bit the reference, by the code of {runner.runtime}")


def shares(runner: Runner, encoder: nn.Module) -> bool:
    """Tell whether the candidate runs on the trusted encoder's own parameters."""
    own = {parameter.data_ptr() for parameter in encoder.parameters()}
    return any(t.device.type == "cpu" and t.data_ptr() in own for _, t in runner.tensors() if t.numel())


def _there(tensor: Tensor, runner: Runner) -> bool:
    device = tensor.device
    return device.type == runner.device.kind and (device.index or 0) == runner.device.index


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
