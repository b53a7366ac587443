"""What a machine reaches in products of matrices, in every dtype that is tried; a rate is held against it.

In: a device, a budget. Out: ceilings with their samples, and shares of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from snellen.devices import Device
from snellen.records.timing import Ceiling
from snellen.runtimes import INT8
from snellen.timing import ceiling
from snellen.tuning.budget import Budget

FEW = 0.04  # of what is left, that one ceiling may take
PROBE = 1024  # side of the product that estimates rest on
LARGER = (1, 2, 4)  # times the side, where a rate is above what was measured: many cores need large matrices
NO_TIME = "there was no time to measure it"


@dataclass
class Ceilings:
    """The ceilings of a device, by dtype. ``roughly``: operations a second in float32 on the CPU."""

    device: Device
    budget: Budget
    roughly: float
    found: dict[str, Ceiling] = field(default_factory=dict)

    def measure(self, dtype: str) -> None:
        """Measure one, where torch multiplies in it and there is time."""
        refused = self.device.refused().get(dtype)
        if refused and dtype != INT8:  # of torch: another runtime may still compute in it
            self.found[dtype] = Ceiling(dtype=dtype, device=self.device.name, operations_per_s=None, note=refused)
            return
        if self.device.kind != "cpu" or dtype == INT8:
            self.found[dtype] = ceiling.measured(dtype, device=self.device)
            return
        side = next((side for side in (ceiling.SIDE, PROBE) if self._fits(side, dtype)), None)
        if side is None:
            self.found[dtype] = Ceiling(dtype=dtype, device=self.device.name, operations_per_s=None, note=NO_TIME)
        else:
            self.found[dtype] = ceiling.measured(dtype, device=self.device, side=side)

    def share(self, dtype: str, operations_per_s: float, most: float) -> float | None:
        """Return which part of a ceiling a rate is; above ``most``, the ceiling is measured again first.

        It may have been disturbed, or too small a product for so many cores.
        """
        known = self.found.get(dtype)
        if known is None or known.operations_per_s is None:
            return None
        best, side = known.operations_per_s, known.side
        for times in LARGER:
            if operations_per_s <= most * best or not self._fits(times * side, dtype):
                break
            again = ceiling.measured(dtype, device=self.device, side=times * side)
            if (again.operations_per_s or 0.0) > best:
                best, self.found[dtype] = again.operations_per_s or 0.0, again
        return operations_per_s / best

    def _fits(self, side: int, dtype: str) -> bool:
        """Tell whether products of a side take a small part of what is left; other dtypes than float32 may be slow."""
        needed = 2.0 * side**3 * (ceiling.WARM + ceiling.REPEATS)
        known = self.found.get(dtype)
        rate = known.operations_per_s if known and known.operations_per_s else None
        return needed / (rate or (self.roughly if dtype == "float32" else self.roughly / 2)) <= FEW * self.budget.left
