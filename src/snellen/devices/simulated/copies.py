"""Copies between the host and the simulated NPU, and the numbers the host asks for.

A copy to the host waits for the device, unless it is asked not to: then its numbers are garbage until somebody waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snellen.devices.simulated.machine import MACHINE, Card
from snellen.devices.simulated.tensor import SimulatedTensor, allocate, single

aten = torch.ops.aten


def card_of(device: torch.device) -> Card:
    """Return the device torch means; without an index, the current one."""
    index = MACHINE.current if device.index is None else device.index
    if not 0 <= index < MACHINE.settings.devices:
        raise RuntimeError(f"Invalid device ID: npu:{index}; there are {MACHINE.settings.devices} (simulated)")
    return MACHINE.cards[index]


def copy_(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """Compute aten::copy_ where one of the two, or both, lie on the device."""
    if isinstance(target, SimulatedTensor):
        if isinstance(source, SimulatedTensor):
            _between(target, source)
        else:
            _to_device(target, source)
    elif isinstance(source, SimulatedTensor):
        _to_host(target, source, non_blocking)
    return target


def to_copy(  # noqa: PLR0913 # torch's own signature
    x: Tensor,
    *,
    dtype: torch.dtype | None = None,
    layout: object = None,  # noqa: ARG001 # all are strided
    device: torch.device | None = None,
    pin_memory: bool | None = None,  # noqa: ARG001 # nothing is pinned
    non_blocking: bool = False,
    memory_format: torch.memory_format | None = None,
) -> Tensor:
    """Compute aten::_to_copy: to another dtype, another device, or both."""
    where = x.device if device is None else torch.device(device)
    shape = torch.empty_strided(x.shape, x.stride(), dtype=dtype or x.dtype, device="meta")
    shape = torch.empty_like(shape, memory_format=memory_format or torch.preserve_format)
    if where.type == "npu":
        target: Tensor = allocate(card_of(where), shape.shape, shape.stride(), shape.dtype)
    else:
        target = torch.empty_strided(shape.shape, shape.stride(), dtype=shape.dtype, device=where)
    return target if where.type == "meta" else copy_(target, x, non_blocking)


def local_scalar_dense(x: Tensor) -> Any:
    """Compute aten::_local_scalar_dense, behind ``item``: wait, and return the number."""
    raw = _waited(x)
    return raw.item()


def is_pinned(*_: object) -> bool:
    """Tell that no tensor of a device lies in the host's pinned memory."""
    return False


def _between(target: SimulatedTensor, source: SimulatedTensor) -> None:
    card, to, of = target.block.card, target.raw, source.raw
    if source.block.card is not card:
        source.block.card.drain()
        of = of.clone()
    MACHINE.counts.launched["aten::copy_"] += 1

    def work() -> None:
        to.copy_(of)
        single(to)

    card.put(work)


def _to_device(target: SimulatedTensor, source: Tensor) -> None:
    card, to = target.block.card, target.raw
    at_once = card.idle()
    of = source.detach() if at_once else source.detach().clone()  # the caller may change it afterwards

    def work() -> None:
        to.copy_(of)
        single(to)

    card.put(work)
    if at_once:
        card.drain()


def _to_host(target: Tensor, source: SimulatedTensor, non_blocking: bool) -> None:
    card, raw = source.block.card, source.raw
    if non_blocking and target.device.type == "cpu":
        _poison(target)
        card.put(lambda: _fill(target, raw))
        return
    target.copy_(_waited(source))


def _fill(target: Tensor, raw: Tensor) -> None:
    target.copy_(raw)


def _waited(x: Tensor) -> Tensor:
    if not isinstance(x, SimulatedTensor):
        return x
    MACHINE.wait(x.block.card.index)
    return x.raw


def _poison(target: Tensor) -> None:
    """Fill with what nobody takes for a result."""
    if target.is_floating_point() or target.is_complex():
        target.fill_(torch.nan)
    elif target.dtype == torch.bool:
        target.fill_(True)
    else:
        target.fill_(torch.iinfo(target.dtype).max)


SPECIAL: dict[Any, Callable[..., Any]] = {
    aten.copy_.default: copy_,
    aten._to_copy.default: to_copy,
    aten._local_scalar_dense.default: local_scalar_dense,
    aten.is_pinned.default: is_pinned,
}
