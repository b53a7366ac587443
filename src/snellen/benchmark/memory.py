"""Memory while a batch size is measured: the most that was held, whether a larger one would fit, and letting go.

In: a device. Out: bytes, None where nothing tells. An accelerator that has no more memory says so, and goes on; a
machine ends the process instead, so on a CPU the need of a batch is foretold from smaller ones, and what would not fit
is not tried.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import Any

from snellen.devices import Device
from snellen.records.bench import Memory
from snellen.timing import memory

SHARE = 0.8  # of the memory that is left, that a batch may be foretold to take on a CPU
FAR = 8  # times a batch that was run, up to which others are taken to be like it
GIB = 2**30


class Peaks:
    """The most that is held between ``begin`` and ``end``."""

    def __init__(self, device: Device) -> None:
        self._device, self._module = device, _module(device)
        self._allocator = device.kind != "cpu" and hasattr(self._module, "reset_peak_memory_stats")
        self._anew = False

    def begin(self) -> None:
        """Let the peaks start anew, where they can."""
        self._anew = memory.reset_peak()
        if self._allocator:
            self._module.reset_peak_memory_stats(self._device.torch_name)

    def end(self) -> Memory:
        """Return what was held; the device's own use is read now, while its allocator still holds what it took."""
        told = None if self._device.kind == "cpu" else self._device.memory()
        return Memory(
            allocated_peak_bytes=int(self._module.max_memory_allocated(self._device.torch_name))
            if self._allocator
            else None,
            device_used_bytes=None if told is None else told["total"] - told["free"],
            process_peak_bytes=memory.peak_bytes() if self._anew else None,
        )


class Room:
    """Foretells whether a batch fits, on a device that would not say so; on any other, it does until it says no."""

    def __init__(self, device: Device, image_bytes: int) -> None:
        """Take what one image needs at most: all that is counted of batches which are nothing like one that was run."""
        self._device, self._most = device, float(image_bytes)
        self._base = memory.resident_bytes() if device.kind == "cpu" else None
        self._each, self._seen, self._fitted = self._most, 0, 0

    def saw(self, batch: int, held: Memory) -> None:
        """Learn from a batch that fitted; the largest is the surest."""
        self._fitted = max(self._fitted, batch)
        if self._base is not None and held.process_peak_bytes is not None and batch >= self._seen:
            self._each, self._seen = max(held.process_peak_bytes - self._base, 0) / batch, batch

    def refuses(self, batch: int) -> str:
        """Return why a batch must not be tried; nothing where it may be."""
        each = self._each if batch <= FAR * self._seen else max(self._each, self._most)
        left = None if batch <= self._fitted else self._left()
        if left is None or batch * each <= SHARE * left:
            return ""
        need, room = (f"{size / GIB:.2g} GiB" for size in (batch * each, left))
        return f"it would take about {need}, more than {SHARE:.0%} of the {room} that are left"

    def _left(self) -> int | None:
        if self._device.kind != "cpu":
            return None
        free, group = (self._device.memory() or {}).get("free"), memory.group_left_bytes()
        return min((known for known in (free, group) if known is not None), default=None)


def most(one: Memory, other: Memory) -> Memory:
    """Return the larger of each figure."""
    return Memory(
        allocated_peak_bytes=_larger(one.allocated_peak_bytes, other.allocated_peak_bytes),
        device_used_bytes=_larger(one.device_used_bytes, other.device_used_bytes),
        process_peak_bytes=_larger(one.process_peak_bytes, other.process_peak_bytes),
    )


def free(device: Device) -> None:
    """Let go of what an attempt has left behind: tensors in frames of its error, and what the allocator keeps."""
    gc.collect()
    with suppress(RuntimeError):  # of what failed: it may be raised again by whoever waits first
        device.synchronize()
    empty = getattr(_module(device), "empty_cache", None)
    if empty is not None:
        empty()


def _module(device: Device) -> Any:
    """Return torch's module of a device's kind."""
    import torch

    return torch.get_device_module(device.torch_name)


def _larger(one: int | None, other: int | None) -> int | None:
    known = [size for size in (one, other) if size is not None]
    return max(known, default=None)
