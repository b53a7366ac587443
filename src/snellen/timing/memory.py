"""How much memory this process has held at most, as the system counts it; None where it does not tell.

Counted is what is resident, files mapped into memory among it: a mapped checkpoint counts once it was read.
"""

from __future__ import annotations

from pathlib import Path

SELF = Path("/proc/self")
RESET_PEAK = "5"  # to clear_refs: the peak falls to what is resident now (proc(5))


def peak_bytes(proc: Path = SELF) -> int | None:
    """Return the largest resident size since the start, or since ``reset_peak``."""
    return _field("VmHWM", proc)


def reset_peak(proc: Path = SELF) -> bool:
    """Let the peak start anew from what is resident now; tell whether the system did so."""
    before = peak_bytes(proc)
    try:
        (proc / "clear_refs").write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    after = peak_bytes(proc)
    return before is not None and after is not None and after <= before


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
