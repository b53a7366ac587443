"""What a device reaches in products of large matrices and in copies, measured in the run that is held against it.

In: a device, a dtype. Out: ``Ceiling`` and ``Bandwidth``; a note says why there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snellen.benchmark.figures import Limits
from snellen.benchmark.memory import free
from snellen.devices import Device
from snellen.records.bench import Bandwidth
from snellen.records.timing import Ceiling
from snellen.timing import bandwidth, ceiling
from snellen.timing.memory import is_full

SIMULATED = "the device is simulated, and how fast it is says nothing about hardware"
FULL = "there was no memory left to measure it"
LARGER = 2  # times the side, where a rate lies above what was measured: many cores need large matrices


@dataclass
class Ceilings:
    """The most that a device does in a second."""

    device: Device
    dtype: str
    clock: Callable[[], float]
    products: Ceiling | None = None
    copies: Bandwidth | None = None

    def measure(self) -> None:
        """Measure both, where that means something and there is room."""
        self.products, self.copies = self._products(), self._copies()

    @property
    def limits(self) -> Limits:
        """What was measured."""
        return Limits(
            operations_per_s=self.products.operations_per_s if self.products else None,
            bytes_per_s=self.copies.bytes_per_s if self.copies else None,
        )

    def look_again(self, operations_per_s: float) -> bool:
        """Measure products again where a rate lies above them; tell whether they are faster now.

        They may have been disturbed, or too small for so many cores.
        """
        known = self.products
        if known is None or known.operations_per_s is None or operations_per_s <= known.operations_per_s:
            return False
        again = [self._products(side) for side in (known.side, LARGER * known.side)]
        self.products = max(known, *again, key=lambda one: one.operations_per_s or 0.0)
        return self.products is not known

    def _products(self, side: int | None = None) -> Ceiling:
        refused = self.device.refused().get(self.dtype)  # of torch: another runtime may still compute in it
        if self.device.simulated or refused is not None:
            return self._none(SIMULATED if self.device.simulated else str(refused))
        try:
            return ceiling.measured(self.dtype, device=self.device, side=side, clock=self.clock)
        except (RuntimeError, MemoryError) as error:
            if not is_full(error):
                raise
        free(self.device)
        return self._none(FULL)

    def _none(self, note: str) -> Ceiling:
        return Ceiling(dtype=self.dtype, device=self.device.name, operations_per_s=None, note=note)

    def _copies(self) -> Bandwidth:
        if self.device.simulated:
            return Bandwidth(device=self.device.name, bytes_per_s=None, note=SIMULATED)
        try:
            return bandwidth.measured(self.device, clock=self.clock)
        except (RuntimeError, MemoryError) as error:
            if not is_full(error):
                raise
        free(self.device)
        return Bandwidth(device=self.device.name, bytes_per_s=None, note=FULL)
