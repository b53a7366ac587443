"""Devices that torch itself reaches through ``torch.accelerator``: Intel GPUs (xpu) and Apple ones (mps)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snellen.devices.base import Device, check_present


@dataclass(frozen=True, kw_only=True)
class Accelerator(Device):
    """One device behind ``torch.accelerator``."""

    def refused(self) -> dict[str, str]:
        """Refuse float64."""
        return {"float64": "Metal has no double precision" if self.kind == "mps" else "many Intel GPUs only emulate it"}

    def synchronize(self) -> None:
        """Wait for the device."""
        import torch

        torch.accelerator.synchronize(self.index)

    def describe(self) -> dict[str, Any]:
        """Return name and kind, and the product where torch tells it."""
        return {"name": self.name, "kind": self.kind, "product": self._product()}

    def memory(self) -> dict[str, int] | None:
        """Return None: not every one of these devices tells."""
        return None

    def _product(self) -> str:
        import torch

        return str(torch.xpu.get_device_name(self.index)) if self.kind == "xpu" else "Apple GPU"


def find_xpu(index: int) -> Accelerator:
    """Return an Intel GPU that is there; raise DeviceUnavailable saying how many there are."""
    return _find("xpu", index)


def find_mps(index: int) -> Accelerator:
    """Return the Apple GPU; raise DeviceUnavailable where there is none."""
    return _find("mps", index)


def _find(kind: str, index: int) -> Accelerator:
    import torch

    here = torch.accelerator.current_accelerator(check_available=True)
    check_present(kind, index, torch.accelerator.device_count() if here is not None and here.type == kind else 0)
    return Accelerator(name=f"{kind}:{index}", kind=kind, index=index)
