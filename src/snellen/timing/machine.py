"""What a machine is, as far as speed goes; torch is not imported.

Read from the system and from the metadata of installed packages; what is not told is None or left out.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from snellen.devices import processor
from snellen.records.timing import Machine

PACKAGES = ("snellen", "torch", "openvino", "onnxruntime", "nncf", "numpy")

# Instructions that change which kernels a matrix product takes: x86, then Arm.
FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "amx_fp16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
    "sme",
)


def describe(proc: Path = processor.PROC) -> Machine:
    """Return what this machine is; ``proc`` is where the system tells it."""
    told = processor.told(proc)
    flags = processor.flags(told) or frozenset()
    memory = processor.fields(proc / "meminfo").get("MemTotal", "").removesuffix(" kB")
    return Machine(
        product=processor.product(told),
        architecture=platform.machine(),
        cores=os.cpu_count(),
        threads=processor.cores(),
        flags=tuple(flag for flag in FLAGS if flag in flags),
        memory_bytes=int(memory) * 1024 if memory.isdigit() else None,
        system=platform.system(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
    )


def load() -> tuple[float, float, float] | None:
    """Return how many processes ran or waited to run, over the last 1, 5 and 15 minutes."""
    try:
        return os.getloadavg()
    except (AttributeError, OSError):  # a system that does not tell
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
