"""How fast a machine multiplies matrices: what the speed of an encoder is measured against.

In: a dtype, a device. Out: operations a second, the best of several products of two large square matrices in torch.
The best and not the median: it is a ceiling, and what disturbs a product only makes it slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snellen import devices
from snellen.records.timing import Ceiling

if TYPE_CHECKING:
    from snellen.devices import Device

INT8 = "int8"
NO_INT8 = "torch has no product of 8-bit matrices on this footing; shares of a ceiling are of floating-point ones"

SIDE, LARGE = 2048, 8192  # on a CPU; elsewhere, where a small product is over before it has begun
WARM, REPEATS = 2, 8


def measured(
    dtype: str,
    threads: int | None = None,
    *,
    device: Device | None = None,
    side: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Ceiling:
    """Measure ``REPEATS`` products after ``WARM`` that are not counted; without a device, on the CPU.

    ``threads`` of torch on a CPU; None leaves them as they are. Raises DeviceUnavailable for a dtype that is not used
    on the device.
    """
    place = device or devices.resolve("cpu")
    if dtype == INT8:
        return Ceiling(dtype=dtype, device=place.name, operations_per_s=None, note=NO_INT8)
    place.check_dtype(dtype)
    size = side or (SIDE if place.kind == "cpu" else LARGE)
    with _threads(threads if place.kind == "cpu" else None) as used:
        samples = tuple(_products(dtype, place, size, clock))[WARM:]
    return Ceiling(
        dtype=dtype,
        device=place.name,
        operations_per_s=2 * size**3 / min(samples),
        samples_s=samples,
        side=size,
        threads=used if place.kind == "cpu" else None,
    )


def _products(dtype: str, device: Device, side: int, clock: Callable[[], float]) -> Iterator[float]:
    """Yield the seconds of one product after another."""
    import torch

    drawn = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=drawn).to(device.torch_name, getattr(torch, dtype)) for _ in range(2))
    out = torch.empty_like(a)
    for _ in range(WARM + REPEATS):
        device.synchronize()
        begin = clock()
        torch.mm(a, b, out=out)
        device.synchronize()
        yield clock() - begin


@contextmanager
def _threads(count: int | None) -> Iterator[int]:
    """Let torch use so many threads for as long as this is open; give how many it uses."""
    import torch

    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
