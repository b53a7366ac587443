"""Faults that are injected into results, each as its record says, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from snellen.devices.simulated.machine import MACHINE
from snellen.devices.simulated.settings import Fault


def due(operator: str, unit: str | None) -> tuple[Fault, ...]:
    """Count one call of an operator, and return the faults that strike in it."""
    faults = MACHINE.settings.faults
    if not faults:
        return ()
    names = [operator, "any", *([unit] if unit else [])]
    calls = {name: MACHINE.calls[name] for name in names}
    MACHINE.calls.update(names)
    struck = tuple(fault for fault in faults if fault.operator in calls and fault.due(calls[fault.operator]))
    MACHINE.counts.faults.update(fault.kind for fault in struck)
    return struck


def watched(operator: str, unit: str | None) -> bool:
    """Tell whether a stale fault will want the results of this operator."""
    names = (operator, unit, "any")
    return any(fault.kind == "stale" and fault.operator in names for fault in MACHINE.settings.faults)


def inject(result: Tensor, faults: Sequence[Fault], operator: str) -> None:
    """Spoil a result in place."""
    if not result.is_floating_point() or not result.numel():
        return
    for fault in faults:
        if fault.kind == "stale":
            _stale(result, operator)
        elif fault.kind in _SPOIL:
            _SPOIL[fault.kind](result, fault)


def remember(result: Tensor, operator: str) -> None:
    """Keep a result for the stale fault of a later call."""
    MACHINE.former[operator, tuple(result.shape)] = result.clone()


def _nan(result: Tensor, fault: Fault) -> None:
    generator = _seeded(fault)
    place = [int(torch.randint(side, (), generator=generator, device="cpu")) for side in result.shape]
    result[tuple(place)] = torch.nan


def _stale(result: Tensor, operator: str) -> None:
    former = MACHINE.former.get((operator, tuple(result.shape)))
    if former is not None:
        result.copy_(cast("Tensor", former))


def _noise(result: Tensor, fault: Fault) -> None:
    anew = torch.Generator(device="cpu")
    anew.seed()
    result.copy_(result * (1 + fault.size * torch.randn(result.shape, generator=anew, device="cpu")))


def _scale(result: Tensor, fault: Fault) -> None:
    result.mul_(1 + fault.size)


def _row(result: Tensor, fault: Fault) -> None:
    if not result.ndim:
        return
    generator = _seeded(fault)
    drawn = int(torch.randint(len(result), (), generator=generator, device="cpu"))
    row = result[drawn if fault.row is None else fault.row % len(result)]
    scale = row.float().square().mean().sqrt()
    row.add_((fault.size * scale * torch.randn(row.shape, generator=generator, device="cpu")).to(row.dtype))


def _swap_batch(result: Tensor, _: Fault) -> None:
    if result.ndim and len(result) > 1:
        result[:2] = result[:2].flip(0)


def _seeded(fault: Fault) -> torch.Generator:
    return torch.Generator(device="cpu").manual_seed(fault.seed)


# accumulate_float16 and silent_fallback choose another way to compute, and leave nothing to spoil.
_SPOIL = {"nan": _nan, "noise": _noise, "scale": _scale, "row": _row, "swap_batch": _swap_batch}
