"""The CPU: always there, and the only place where float64 is the golden."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snellen.devices.base import Device
from snellen.devices.switches import Switch, attention, autocast, environment, matmul, mkldnn_convolution
from snellen.errors import DeviceUnavailable


@dataclass(frozen=True, kw_only=True)
class CPU(Device):
    """The processor torch runs on."""

    def refused(self) -> dict[str, str]:
        """Refuse float16."""
        return {"float16": "torch multiplies float16 matrices on a CPU about 200 times slower than float32 ones"}

    def describe(self) -> dict[str, Any]:
        """Return product, cores, torch threads and whether bfloat16 has instructions of its own."""
        import torch

        return {
            "name": self.name,
            "kind": self.kind,
            "product": _product(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "bfloat16_instructions": _bfloat16_instructions(),
            **environment("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "ATEN_CPU_CAPABILITY"),
        }

    def synchronize(self) -> None:
        """Return at once: what torch computes on a CPU is done when the call returns."""

    def memory(self) -> dict[str, int] | None:
        """Return free and total bytes of the machine and the peak of this process, where the system tells them."""
        try:
            meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
            status = Path("/proc/self/status").read_text(encoding="utf-8")
        except OSError:
            return None
        kib = {key: int(rest.split()[0]) for key, rest in _pairs(meminfo + status) if rest.endswith(" kB")}
        wanted = {"free": "MemAvailable", "total": "MemTotal", "peak": "VmHWM"}
        return {name: kib[key] * 1024 for name, key in wanted.items() if key in kib}

    def switches(self) -> tuple[Switch, ...]:
        """Return the switches of oneDNN, autocast, and the choice of attention kernels.

        oneDNN multiplies in bfloat16 only where the CPU has matrix units for it (AMX); elsewhere "bf16" takes another
        kernel of float32. Convolutions in plain layout do not go through a kernel that listens, on the CPUs tried.
        """
        return (
            matmul("mkldnn"),
            mkldnn_convolution(),
            *autocast("cpu"),
            *attention("flash", "math"),  # torch has no others for a CPU
        )


def find(index: int) -> CPU:
    """Return the CPU; raise DeviceUnavailable for ``cpu:1``, for torch knows one only."""
    if index:
        raise DeviceUnavailable(f"there is no cpu:{index}", expected="cpu, all its cores together", todo="--device cpu")
    return CPU(name="cpu", kind="cpu")


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(key, rest.strip()) for key, colon, rest in (line.partition(":") for line in text.splitlines()) if colon]


def _cpuinfo() -> dict[str, str]:
    """Return the first processor's entries of the system's list; empty where the system keeps none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {key.strip(): rest for key, rest in _pairs(text.split("\n\n")[0])}


def _product() -> str:
    info = _cpuinfo()
    return info.get("model name") or info.get("Model") or platform.processor() or platform.machine()


def _bfloat16_instructions() -> bool | None:
    """Tell whether the CPU multiplies bfloat16 itself; None where the system does not say."""
    info = _cpuinfo()
    flags = info.get("flags") or info.get("Features")
    if flags is None:
        return None
    return not {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}.isdisjoint(flags.split())
