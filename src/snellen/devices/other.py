"""Devices that torch itself reaches through ``torch.accelerator``: Intel GPUs (xpu) and Apple ones (mps)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snellen.devices.base import Device, check_present
from snellen.devices.switches import Switch, attention, autocast, environment, flag

# What these back-ends read once, when they start: leave to run operators on the CPU, or to compute less exactly.
_ENVIRONMENT = {
    "xpu": ("PYTORCH_ENABLE_XPU_FALLBACK", "PYTORCH_XPU_FALLBACK_OP", "PYTORCH_DEBUG_XPU_FALLBACK"),
    "mps": ("PYTORCH_ENABLE_MPS_FALLBACK", "PYTORCH_MPS_FAST_MATH", "PYTORCH_MPS_PREFER_METAL"),
}


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
        known = {"name": self.name, "kind": self.kind, "product": self._product()}
        return known | environment(*_ENVIRONMENT[self.kind])

    def memory(self) -> dict[str, int] | None:
        """Return None: not every one of these devices tells."""
        return None

    def switches(self) -> tuple[Switch, ...]:
        """Return oneDNN's TF32 on Intel GPUs, autocast, and the choice of attention kernels.

        Metal has no switch of its own that a program could set: torch.backends.mps only answers questions.
        """
        if self.kind == "mps":
            return autocast("mps")
        return (*_onednn(), *autocast("xpu"), *attention("flash", "mem_efficient", "math"))

    def _product(self) -> str:
        import torch

        return str(torch.xpu.get_device_name(self.index)) if self.kind == "xpu" else "Apple GPU"


def find_xpu(index: int) -> Accelerator:
    """Return an Intel GPU that is there; raise DeviceUnavailable saying how many there are."""
    return _find("xpu", index)


def find_mps(index: int) -> Accelerator:
    """Return the Apple GPU; raise DeviceUnavailable where there is none."""
    return _find("mps", index)


def _onednn() -> tuple[Switch, ...]:
    """Return the switch of TF32 in oneDNN; a build of torch for other devices gives None for it, and lacks it."""
    import torch

    mkldnn = torch.backends.mkldnn
    if getattr(mkldnn, "allow_tf32", None) is None:
        return ()
    return (
        flag(
            "torch.backends.mkldnn.allow_tf32",
            lambda: mkldnn.allow_tf32,
            lambda on: setattr(mkldnn, "allow_tf32", on),
            strict="False",
            lowers="all",
        ),
    )


def _find(kind: str, index: int) -> Accelerator:
    import torch

    here = torch.accelerator.current_accelerator(check_available=True)
    check_present(kind, index, torch.accelerator.device_count() if here is not None and here.type == kind else 0)
    return Accelerator(name=f"{kind}:{index}", kind=kind, index=index)
