"""The tensor of the simulated NPU: a shape that torch sees, and numbers that only the device's queue may touch.

``raw`` is a CPU tensor of the same shape and strides. Views share its storage, as they would on a device; what it
holds is right only when the queue has been drained.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from snellen.devices.simulated.machine import BLOCK, MACHINE, Card


class Block:
    """One allocation on a device; its bytes are given back when the last tensor on it dies."""

    __slots__ = ("__weakref__", "card")

    def __init__(self, card: Card, size: int) -> None:
        _check_room(card, size)
        self.card = card
        weakref.finalize(self, card.ledger.give, card.ledger.take(size)).atexit = False


class SimulatedTensor(Tensor):
    """A tensor on the simulated NPU."""

    raw: Tensor
    block: Block
    compute: ClassVar[Callable[[Any, Any, Any], Any]]

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment] # as torch documents it

    @classmethod
    def __torch_dispatch__(  # type: ignore[override] # as torch documents it
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return cls.compute(func, args, kwargs or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            with torch.no_grad():
                made: Tensor = self.detach().clone()
            is_parameter = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = torch.nn.Parameter(made, self.requires_grad) if is_parameter else made
        return cast("Tensor", memo[id(self)])

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NotImplementedError("a tensor of the simulated npu cannot be saved: bring it to the CPU first")

    def tolist(self) -> Any:
        """Return the numbers as a list: torch itself does so for no tensor of a class of somebody's own."""
        return self.cpu().tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override] # torch leaves self untyped
        where = f"npu:{self.block.card.index}"
        return f"simulated tensor({tuple(self.shape)}, dtype={self.dtype}, device={where!r})"


def wrap(raw: Tensor, block: Block) -> SimulatedTensor:
    """Return the tensor whose numbers ``raw`` will hold."""
    made: SimulatedTensor = torch.Tensor._make_wrapper_subclass(
        SimulatedTensor,
        raw.shape,
        strides=raw.stride(),
        storage_offset=raw.storage_offset(),
        dtype=raw.dtype,
        device=torch.device("npu", block.card.index),
    )
    made.raw, made.block = raw, block
    return made


def allocate(card: Card, size: Any, stride: Any, dtype: torch.dtype) -> SimulatedTensor:
    """Return a new tensor of undefined numbers; raises torch.OutOfMemoryError where there is no room."""
    _check_room(card, _extent(size, stride) * dtype.itemsize)  # before the CPU is asked for it
    raw = torch.empty_strided(size, stride, dtype=dtype, device="cpu")
    return wrap(raw, Block(card, raw.untyped_storage().nbytes()))


def adopt(card: Card, raw: Tensor) -> SimulatedTensor:
    """Return a tensor with the numbers of a CPU tensor that nobody else holds."""
    return wrap(raw, Block(card, raw.untyped_storage().nbytes()))


def single(raw: Tensor) -> None:
    """Round doubles to single precision, silently: all that the device has."""
    if raw.dtype == torch.float64:
        raw.copy_(raw.float())
    elif raw.dtype == torch.complex128:
        raw.copy_(raw.to(torch.complex64))


def on_dispatch(run: Callable[[Any, Any, Any], Any]) -> None:
    """Say what computes the operators (the dispatcher knows tensors, not the other way round)."""
    SimulatedTensor.compute = staticmethod(run)


def _extent(size: Any, stride: Any) -> int:
    if 0 in tuple(size):
        return 0
    return 1 + sum((int(side) - 1) * int(step) for side, step in zip(size, stride, strict=True))


def _check_room(card: Card, size: int) -> None:
    total, used = MACHINE.settings.memory_bytes, card.ledger.used
    if used + -(-size // BLOCK) * BLOCK > total:
        mib = 2**20
        raise torch.OutOfMemoryError(
            f"NPU out of memory. Tried to allocate {size / mib:.2f} MiB (NPU {card.index}; {total / mib:.2f} MiB total "
            f"capacity; {used / mib:.2f} MiB already allocated; {(total - used) / mib:.2f} MiB free; simulated)"
        )
