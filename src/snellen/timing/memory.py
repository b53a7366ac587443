"""How much memory this process has held at most, as the system counts it, and how much more it may take.

What the system does not tell is None. Counted is what is resident, files mapped into memory among it: a mapped
checkpoint counts once it was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SELF = Path("/proc/self")
ROOT = Path("/")
RESET_PEAK = "5"  # to clear_refs: the peak falls to what is resident now (proc(5))
NEAR = 8 << 20
"""Bytes between a peak that has just started anew and what is resident: the kernel counts pages in batches."""

FULL = (
    *("out of memory", "out_of_memory", "out of device memory", "out_of_device_memory", "out_of_host_memory"),
    *("allocate memory", "alloc_failed", "bad_alloc", "bad allocation"),
)
"""What torch, its devices and other runtimes say of a memory that is full; not all of them raise MemoryError."""


def peak_bytes(proc: Path = SELF) -> int | None:
    """Return the largest resident size since the start, or since ``reset_peak``."""
    return _field("VmHWM", proc)


def resident_bytes(proc: Path = SELF) -> int | None:
    """Return what is resident now."""
    return _field("VmRSS", proc)


def reset_peak(proc: Path = SELF) -> bool:
    """Let the peak start anew from what is resident now; tell whether the system did so.

    Some sandboxes take the request and do nothing, so the peak is read again and must be what is resident.
    """
    try:
        (proc / "clear_refs").write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    peak, resident = peak_bytes(proc), resident_bytes(proc)
    return peak is not None and resident is not None and peak - resident < NEAR


def group_left_bytes(root: Path = ROOT) -> int | None:
    """Return how much more the process's control groups let it take; None where nothing limits it.

    Beyond that the kernel ends processes, however much the machine has. Files that were read count to a group, and are
    given up for it.
    """
    found = []
    for folder, most, used, files in _groups(root):
        limit, taken = _number(folder / most), _number(folder / used)
        if limit is not None and taken is not None and limit < 1 << 60:  # version 1 writes a huge number for none
            found.append(limit - taken + _files(folder / "memory.stat", files))
    return min(found, default=None)


def is_full(error: Exception) -> bool:
    """Tell whether an error says that there is no more memory."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(word in said for word in FULL)


def _field(name: str, proc: Path) -> int | None:
    try:
        text = (proc / "status").read_text(encoding="utf-8")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        if key == name and rest.split()[1:] == ["kB"]:
            return int(rest.split()[0]) * 1024
    return None


def _groups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Yield the folder of every group around the process, and what its files of limit and use are called.

    In a container the path may be that of the machine, of which only the container's part is to be seen: a folder that
    is not there limits nothing.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        own = Path(path.lstrip("/"))
        for part in (own, *own.parents):
            if number == "0":
                yield root / "sys/fs/cgroup" / part, "memory.max", "memory.current", "inactive_file"
            elif "memory" in kinds.split(","):
                at = root / "sys/fs/cgroup/memory" / part
                yield at, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


def _files(stat: Path, name: str) -> int:
    told = dict(line.split(" ", 1) for line in _text(stat).splitlines() if " " in line)
    return int(told[name]) if told.get(name, "").isdecimal() else 0


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
