"""How fast a device copies within its own memory: what the traffic of an encoder is measured against.

In: a device. Out: bytes a second, the best of several copies of a buffer that no cache holds. Each byte is read once
and written once, and both count. The best and not the median: it is a ceiling.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from snellen.records.bench import Bandwidth

if TYPE_CHECKING:
    from snellen.devices import Device

SIZE, LARGE = 256 << 20, 1 << 30  # bytes, on a CPU and elsewhere
PART = 8  # of the memory that is free: a buffer takes no more than one of so many
WARM, REPEATS = 2, 8


def measured(device: Device, *, size: int | None = None, clock: Callable[[], float] = time.perf_counter) -> Bandwidth:
    """Measure ``REPEATS`` copies after ``WARM`` that are not counted; ``size`` of the buffer in bytes."""
    chosen = size or _size(device)
    samples = tuple(_copies(device, chosen, clock))[WARM:]
    return Bandwidth(device=device.name, bytes_per_s=2 * chosen / min(samples), samples_s=samples, size_bytes=chosen)


def _size(device: Device) -> int:
    """Return a size that leaves room for whatever else is there."""
    free = (device.memory() or {}).get("free")
    wanted = SIZE if device.kind == "cpu" else LARGE
    return wanted if free is None else max(4, min(wanted, free // PART // 4 * 4))


def _copies(device: Device, size: int, clock: Callable[[], float]) -> Iterator[float]:
    """Yield the seconds of one copy after another."""
    import torch

    source = torch.ones(size // 4, dtype=torch.float32, device=device.torch_name)  # pages that were never written
    target = torch.zeros_like(source)  # are not there
    for _ in range(WARM + REPEATS):
        device.synchronize()
        begin = clock()
        target.copy_(source)
        device.synchronize()
        yield clock() - begin
