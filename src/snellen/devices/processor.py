"""The processor as the system tells it, and how much of it this process may use. Imports no torch."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from snellen.devices import quota

PROC = Path("/proc")
"""Where the system tells it, if it does."""

TELLING = ("model name", "CPU part", "cpu family", "model", "stepping")
"""What tells apart processors that are sold under one name."""


def cores() -> int:
    """Count the processors this process may use at once; where it may use but a part of their time, as many as fill it.

    A part of a processor counts as one: without it that part of the time would never be used.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = quota.processors()
    return there if allowed is None else min(there, math.ceil(allowed))


def told(proc: Path = PROC) -> dict[str, str]:
    """Return what the system says of the first processor; nothing where it keeps no such list."""
    return fields(proc / "cpuinfo")


def product(info: Mapping[str, str]) -> str:
    """Return the name that a processor is sold under."""
    return info.get("model name") or info.get("Model") or platform.processor() or platform.machine()


def flags(info: Mapping[str, str]) -> frozenset[str] | None:
    """Return the instructions that a processor has beyond the first ones; None where the system does not say."""
    listed = info.get("flags") or info.get("Features")
    return None if listed is None else frozenset(listed.split())


def text(proc: Path = PROC) -> str:
    """Name the processor in one line that another one does not have: with its family, model, stepping and flags."""
    info = {name: " ".join(value.replace(";", ",").split()) for name, value in told(proc).items()}
    if not info:
        return platform.processor() or platform.machine()
    listed = hashlib.sha256(info.get("flags", info.get("Features", "")).encode()).hexdigest()[:8]
    return " ".join([*(info[name] for name in TELLING if name in info), platform.machine(), f"flags {listed}"])


def fields(path: Path) -> dict[str, str]:
    """Return "key: value" lines up to the first empty one; nothing where the system keeps no such file."""
    try:
        whole = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition(":") for line in whole.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
