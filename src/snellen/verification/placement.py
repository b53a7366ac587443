"""Did it run there? Where parameters and outputs lie, which operators fell back, whether it is the CPU's own run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from snellen.records.verify import Check
from snellen.runtimes.base import Runner

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snellen.devices.watch import Watch

SHOWN = 4
OWN = ("callable", "module")
"""Candidates of somebody's own, which may do anything between the pixels and what they return."""
EXACT = 20.0
"""A candidate this many times nearer to the golden than the reference of its dtype does not compute in that dtype."""


def parameters(runner: Runner) -> Check:
    """Check that every parameter and buffer lies on the device."""
    tensors = list(runner.tensors())
    name = "placement.parameters"
    if not tensors:
        elsewhere = runner.runtime in OWN and runner.device.kind != "cpu"
        because = "the candidate hands out no parameters"
        if elsewhere:
            because += f", so nothing shows that it computed on {runner.device.name}"
        return Check(name=name, status="warn" if elsewhere else "unknown", because=because)
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
    if strays and runner.runtime in OWN:
        because = f"its outputs came back elsewhere ({_some(strays)}), so they do not show where it ran"
        return Check(name=name, status="warn", because=because)
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


def independent(runner: Runner, same: Sequence[str], shared: bool) -> Check:
    """Check that the candidate is not the reference itself, run once more; ``same`` are the outputs with its very bits.

    Other code may have the same bits on the same CPU; a device never has. ``shared``: its parameters are the very ones
    of the trusted encoder. Of a function nothing can be seen but its bits.
    """
    name = "placement.independent"
    own = shared or runner.ours or runner.runtime == "callable"
    if not same:
        return Check(name=name, status="pass", because="no output has the bits of the CPU's reference")
    if runner.device.kind != "cpu":
        because = f"{_some(same)}: bit for bit what this CPU computes, so it did not run on {runner.device.name}"
        return Check(name=name, status="fail", because=because)
    if own:
        because = (
            f"{_some(same)} are bit for bit the reference's: the CPU was compared with itself; "
            "name another --device, --runtime or --dtype"
        )
        return Check(name=name, status="fail", because=because)
    return Check(name=name, status="pass", because=f"bit for bit the reference, by the code of {runner.runtime}")


def complete(given: Collection[str], wanted: Sequence[str]) -> Check:
    """Check that every output was given: what was not is not judged, and the verdict says so."""
    missing = [name for name in wanted if name not in given]
    if missing:
        because = f"{', '.join(missing)} not given by the candidate, so not compared"
        return Check(name="outputs.complete", status="warn", because=because, value=float(len(missing)), limit=0.0)
    return Check(name="outputs.complete", status="pass", because=f"all {len(wanted)} outputs were compared")


def dtype(runner: Runner, wanted: str, nearer: float | None) -> Check:
    """Check that it computes in the dtype asked for: by its tensors, and by not being nearer than that dtype can be.

    ``nearer``: how many times nearer to the golden than the reference all its outputs are.
    """
    name = "placement.dtype"
    if runner.dtype != wanted:
        because = f"asked for {wanted}, but it computes in {runner.dtype}, as {runner.runtime} itself says"
        return Check(name=name, status="warn", because=because)
    sizes: dict[str, int] = {}
    for _, tensor in runner.tensors():
        if tensor.is_floating_point():
            short = str(tensor.dtype).removeprefix("torch.")
            sizes[short] = sizes.get(short, 0) + tensor.numel()
    whole = sum(sizes.values())
    others = [f"{sizes[short] / whole:.0%} {short}" for short in sizes if short != wanted]
    if others and sizes.get(wanted, 0) * 2 < whole:
        return Check(name=name, status="warn", because=f"asked for {wanted}, but its parameters are {_some(others)}")
    if wanted != "float32" and nearer is not None and nearer > EXACT:
        because = f"asked for {wanted}, but it lies {nearer:.3g} times nearer to float64 than {wanted} can"
        return Check(name=name, status="warn", because=because, value=nearer, limit=EXACT)
    known = f"its parameters are {wanted}" if sizes else "it hands out no parameters"
    return Check(name=name, status="pass" if sizes else "unknown", because=known)


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
