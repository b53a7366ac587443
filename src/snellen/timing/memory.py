"""How much memory this process has held at most, as the system counts it; None where it does not tell.

Counted is what is resident, files mapped into memory among it: a mapped checkpoint counts once it was read.
"""

from __future__ import annotations

from pathlib import Path

SELF = Path("/proc/self")
RESET_PEAK = "5"  # to clear_refs: the peak falls to what is resident now (proc(5))
NEAR = 8 << 20
"""Bytes between a peak that has just started anew and what is resident: the kernel counts pages in batches."""


def peak_bytes(proc: Path = SELF) -> int | None:
    """Return the largest resident size since the start, or since ``reset_peak``."""
    return _field("VmHWM", proc)


def reset_peak(proc: Path = SELF) -> bool:
    """Let the peak start anew from what is resident now; tell whether the system did so.

    Some sandboxes take the request and do nothing, so the peak is read again and must be what is resident.
    """
    try:
        (proc / "clear_refs").write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    peak, resident = peak_bytes(proc), _field("VmRSS", proc)
    return peak is not None and resident is not None and peak - resident < NEAR


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
