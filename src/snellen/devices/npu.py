"""Ascend NPUs, through torch_npu, which adds ``torch.npu`` when it is imported."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from snellen.devices.base import Device, check_present
from snellen.errors import DeviceUnavailable, MissingPackage


@dataclass(frozen=True, kw_only=True)
class NPU(Device):
    """One Ascend NPU."""

    def refused(self) -> dict[str, str]:
        """Refuse float64."""
        return {"float64": "an NPU computes double precision as single, without a word"}

    def describe(self) -> dict[str, Any]:
        """Return product, memory and the version of torch_npu."""
        npu = _package().npu
        properties = npu.get_device_properties(self.index)
        return {
            "name": self.name,
            "kind": self.kind,
            "product": npu.get_device_name(self.index),
            "total_bytes": properties.total_memory,
            "torch_npu": _package().__version__,
        }

    def synchronize(self) -> None:
        """Wait for the NPU."""
        _package().npu.synchronize(self.index)

    def memory(self) -> dict[str, int] | None:
        """Return free and total bytes of the NPU and the peak that torch_npu has held."""
        npu = _package().npu
        free, total = npu.mem_get_info(self.index)
        return {"free": free, "total": total, "peak": npu.max_memory_allocated(self.index)}


def find(index: int) -> NPU:
    """Return an NPU that is there.

    Raises MissingPackage without torch_npu, DeviceUnavailable saying how many NPUs there are.
    """
    npu = _package().npu
    check_present("npu", index, npu.device_count() if npu.is_available() else 0)
    return NPU(name=f"npu:{index}", kind="npu", index=index)


def _package() -> Any:
    """Import torch_npu, which carries no types, and say what is wrong where that fails."""
    try:
        return importlib.import_module("torch_npu")
    except ModuleNotFoundError as error:
        if error.name != "torch_npu":
            raise _broken(error) from error
        raise MissingPackage(
            "the npu needs the package torch_npu, which is not installed",
            expected="the torch_npu that was built for this version of torch and CANN",
            todo="pip install 'snellen[npu]', and source CANN's set_env.sh",
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> DeviceUnavailable:
    return DeviceUnavailable(
        f"torch_npu is installed but does not load: {error}",
        expected="CANN installed, its set_env.sh sourced, and a torch_npu built for this torch",
        todo="source CANN's set_env.sh, then try python -c 'import torch_npu'",
    )
