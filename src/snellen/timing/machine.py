"""What a machine is, as far as speed goes, and a short fingerprint of it for plans; torch is not imported.

Read from the system and from the metadata of installed packages; what is not told is None or left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from snellen.records.timing import Machine

PROC = Path("/proc")
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


def describe(proc: Path = PROC) -> Machine:
    """Return what this machine is; ``proc`` is where the system tells it."""
    info = _fields(proc / "cpuinfo")
    told = set((info.get("flags") or info.get("Features") or "").split())
    memory = _fields(proc / "meminfo").get("MemTotal", "").removesuffix(" kB")
    return Machine(
        product=info.get("model name") or info.get("Model") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=os.cpu_count(),
        threads=_usable(),
        flags=tuple(flag for flag in FLAGS if flag in told),
        memory_bytes=int(memory) * 1024 if memory.isdigit() else None,
        system=platform.system(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
    )


def fingerprint(machine: Machine | None = None) -> str:
    """Return 12 hexadecimal digits that change with whatever may change which plan is the best.

    Memory is left out: a virtual machine reports a little more or less after every start.
    """
    told = asdict(machine or describe())
    told.pop("memory_bytes")
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _usable() -> int | None:
    """Return how many threads may run at once, where the process may have been held to some of the cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _fields(path: Path) -> dict[str, str]:
    """Return "key: value" lines up to the first empty one; nothing where the system keeps no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
