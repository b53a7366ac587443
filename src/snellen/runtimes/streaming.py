"""Batches through a torch device one after another, with the next one queued before the last one's vectors are fetched.

In: arrays of pixels on the host. Out: arrays of vectors on the host, in the same order. While the device computes one
batch the host prepares the next: pixels go over from pinned memory, vectors come back into it, and no copy waits for
another batch. An array is handed out only when the device has said that it is filled.

B batch, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snellen.devices import Device
from snellen.errors import InputError
from snellen.runtimes.base import Runner

if TYPE_CHECKING:
    from numpy import float32, uint8
    from numpy.typing import NDArray

    Vectors = NDArray[float32]
    Pixels = NDArray[float32] | NDArray[uint8]

Encode = Callable[[Tensor], Tensor]
"""Maps pixels [B, 3, h, w] of float32 to pooled vectors [B, D], both on the device."""

Prepare = Callable[[Tensor], Tensor]
"""Maps pixels of uint8 to what the encoder takes, float32 of the same shape, where they lie: ``recipe.normalise``."""


class Streamed(Runner):
    """A runner whose ``run`` leaves its features on a torch device: the way batches go through is the same for all."""

    def vectors(self, batches: Iterable[Vectors]) -> Iterator[Vectors]:
        """Embed batches; on an accelerator the next is queued before the last one's vectors are fetched."""
        return vectors(self.device, lambda pixels: self.run(pixels).pooled, batches)

    def eight_bit_vectors(self, batches: Iterable[NDArray[uint8]], normalise: Prepare) -> Iterator[Vectors]:
        """Embed batches of 8-bit pixels, a quarter of what goes over to an accelerator, normalised there."""
        return vectors(self.device, lambda pixels: self.run(pixels).pooled, batches, normalise)


def vectors(
    device: Device, encode: Encode, batches: Iterable[Pixels], prepare: Prepare | None = None
) -> Iterator[Vectors]:
    """Yield the vectors [B, D] of every batch of pixels [B, 3, h, w], in order.

    ``prepare``: the batches are uint8, a quarter of what goes over to the device, and are brought to float32 there. At
    most two batches are asked for before the vectors of the first are given. An error in a batch, or in ``batches``,
    is raised after the vectors of every batch before it. Raises InputError for pixels of another dtype.
    """
    events = torch.get_device_module(device.torch_name)
    if device.kind == "cpu" or not all(hasattr(events, name) for name in ("Event", "current_stream", "device")):
        return (_at_once(device, encode, pixels, prepare) for pixels in batches)
    return _overlapped(_Line(device, encode, prepare, events), batches)


class _Line:
    """Queues batches on a device; copies go over without anybody waiting for them."""

    def __init__(self, device: Device, encode: Encode, prepare: Prepare | None, events: ModuleType) -> None:
        self.device, self.encode, self.prepare, self.events = device, encode, prepare, events
        self.pinned = not device.simulated  # what is simulated has no pinned memory

    @torch.inference_mode()
    def put(self, pixels: Pixels) -> _UnderWay:
        """Queue one batch, and return at once."""
        given = _checked(pixels, self.prepare)
        staged = torch.empty(given.shape, dtype=given.dtype, pin_memory=self.pinned).copy_(given)
        there = staged.to(self.device.torch_name, non_blocking=True)
        pooled = self.encode(there if self.prepare is None else self.prepare(there)).float()
        back = torch.empty(pooled.shape, dtype=pooled.dtype, pin_memory=self.pinned)
        back.copy_(pooled, non_blocking=True)
        # An event is recorded on a stream of the current device, which need not be this one.
        with self.events.device(self.device.index):
            filled = self.events.Event()
            filled.record(self.events.current_stream())
        return _UnderWay(filled, back, staged)


class _UnderWay:
    """One batch that a device is at work on; holds the host's memory that the device still reads and writes."""

    def __init__(self, filled: Any, back: Tensor, staged: Tensor) -> None:
        self._filled, self._back, self._staged = filled, back, staged

    def fetch(self) -> Vectors:
        """Wait for the device and return the vectors, in memory of their own."""
        self._filled.synchronize()
        return self._back.numpy().copy()  # pinned memory is dear, and goes back at once


def _overlapped(line: _Line, batches: Iterable[Pixels]) -> Iterator[Vectors]:
    queued = map(line.put, batches)
    under_way: _UnderWay | None = None
    failed: Exception | None = None
    while failed is None:
        following: _UnderWay | None = None
        try:
            following = next(queued, None)
        except Exception as error:  # noqa: BLE001 # raised again when what was computed before has been given
            failed = error
        if under_way is not None:
            yield under_way.fetch()
        under_way = following
        if following is None:
            break
    if failed is not None:
        raise failed


def _at_once(device: Device, encode: Encode, pixels: Pixels, prepare: Prepare | None) -> Vectors:
    with torch.inference_mode():
        there = _checked(pixels, prepare).to(device.torch_name)
        pooled = encode(there if prepare is None else prepare(there))
        return pooled.float().cpu().numpy()


def _checked(pixels: Pixels, prepare: Prepare | None) -> Tensor:
    """Return an array as a tensor; raise InputError unless its dtype is the one that is meant."""
    expected = "float32" if prepare is None else "uint8"
    if pixels.dtype.name != expected:
        other = "float32, brought to the encoder's range" if prepare is None else "uint8, as they are to be prepared"
        raise InputError(
            f"a batch of pixels is {pixels.dtype.name}",
            expected=other,
            todo="hand over uint8 pixels together with prepare=recipe.normalise, float32 ones without",
        )
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
