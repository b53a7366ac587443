"""NVIDIA GPUs (and AMD ones, which torch calls cuda too)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snellen.devices.base import Device, check_present
from snellen.devices.switches import Switch, attention, autocast, cublas, cudnn_convolution, environment, matmul


@dataclass(frozen=True, kw_only=True)
class CUDA(Device):
    """One GPU."""

    def refused(self) -> dict[str, str]:
        """Refuse bfloat16 on NVIDIA GPUs that were made before it."""
        import torch

        if torch.version.hip or torch.cuda.get_device_capability(self.index)[0] >= 8:
            return {}
        return {"bfloat16": "this GPU has no bfloat16 instructions, torch would emulate them"}

    def describe(self) -> dict[str, Any]:
        """Return product, compute capability, memory and the versions that decide the numbers."""
        import torch

        properties = torch.cuda.get_device_properties(self.index)
        return {
            "name": self.name,
            "kind": self.kind,
            "product": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "total_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
            "rocm": torch.version.hip,
            **environment("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
        }

    def synchronize(self) -> None:
        """Wait for the GPU."""
        import torch

        torch.cuda.synchronize(self.index)

    def memory(self) -> dict[str, int] | None:
        """Return free and total bytes of the GPU and the peak that torch has held."""
        import torch

        free, total = torch.cuda.mem_get_info(self.index)
        return {"free": free, "total": total, "peak": torch.cuda.max_memory_allocated(self.index)}

    def switches(self) -> tuple[Switch, ...]:
        """Return the switches of cuBLAS, cuDNN, autocast, and the choice of attention kernels."""
        return (
            matmul("cuda"),
            cudnn_convolution(),
            *cublas(),
            *autocast("cuda"),
            *attention("flash", "mem_efficient", "math", "cudnn"),
        )

    def stack(self) -> dict[str, str]:
        """Return the versions of the driver, of the newest CUDA it runs, and of the CUDA and cuDNN in torch."""
        import torch

        from snellen.devices import nvidia
        from snellen.devices.system import System

        own = {"torch_cuda": torch.version.cuda, "torch_rocm": torch.version.hip, "cudnn": _cudnn()}
        return nvidia.stack(System()) | {name: str(version) for name, version in own.items() if version}


def _cudnn() -> int | None:
    import torch

    version: int | None = torch.backends.cudnn.version()
    return version


def find(index: int) -> CUDA:
    """Return a GPU that is there; raise DeviceUnavailable saying how many there are."""
    import torch

    check_present("cuda", index, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return CUDA(name=f"cuda:{index}", kind="cuda", index=index)
