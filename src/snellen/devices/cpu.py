"""The CPU: always there, and the only place where float64 is the golden."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Any

from snellen.devices import processor
from snellen.devices.base import Device
from snellen.devices.switches import Switch, attention, autocast, environment, matmul, mkldnn_convolution
from snellen.errors import DeviceUnavailable

BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})
"""Flags of processors that multiply bfloat16 themselves."""


@dataclass(frozen=True, kw_only=True)
class CPU(Device):
    """The processor torch runs on."""

    def refused(self) -> dict[str, str]:
        """Refuse float16."""
        return {"float16": "torch multiplies float16 matrices on a CPU about 200 times slower than float32 ones"}

    def describe(self) -> dict[str, Any]:
        """Return product, cores, torch threads and whether bfloat16 has instructions of its own."""
        import torch

        told = processor.told()
        flags = processor.flags(told)
        return {
            "name": self.name,
            "kind": self.kind,
            "product": processor.product(told),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "bfloat16_instructions": None if flags is None else not BFLOAT16.isdisjoint(flags),
            **environment("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "ATEN_CPU_CAPABILITY"),
        }

    def synchronize(self) -> None:
        """Return at once: what torch computes on a CPU is done when the call returns."""

    def memory(self) -> dict[str, int] | None:
        """Return free and total bytes of the machine and the peak of this process, where the system tells them."""
        told = [processor.fields(processor.PROC / name) for name in ("meminfo", "self/status")]
        if not all(told):
            return None
        kib = {key: int(rest.split()[0]) for each in told for key, rest in each.items() if rest.endswith(" kB")}
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
