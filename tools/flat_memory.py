"""Compare the memory that ``snellen embed`` takes for a few images with that for ten times as many.

Generated images, the real command in processes of its own, the largest resident size that the system counted. In turns,
several times, for an encoder's own memory differs a little from run to run.

    python tools/flat_memory.py --few 2000 --many 20000 -o flat.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from soak import command, generate

LIMIT = 1.1
"""How much more the many may take than the few."""


def peak_mib(line: list[str]) -> float:
    """Run a command to its end and return the largest resident size of its process, in MiB."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):  # 1: some images are damaged
        raise SystemExit(f"exit code {process.returncode}: {' '.join(line)}")
    return usage.ru_maxrss / 1024


def main() -> int:
    """Measure; 0 where the many take at most LIMIT times the memory of the few."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--few", type=int, default=2000)
    parser.add_argument("--many", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    counts = (asked.few, asked.many)
    peaks: dict[int, list[float]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory(prefix="snellen-flat-") as name:
        for count in counts:
            generate(Path(name, str(count)), count, seed=count)
        peak_mib(command(Path(name, str(asked.few)), Path(name, "warm")))  # converts the encoder
        for number in range(asked.rounds):
            for count in counts:
                peaks[count].append(peak_mib(command(Path(name, str(count)), Path(name, f"out-{count}-{number}"))))
    few, many = (statistics.median(peaks[count]) for count in counts)
    print(
        f"{asked.few} images: {few:.0f} MiB; {asked.many} images: {many:.0f} MiB; "
        f"ratio {many / few:.3f}, at most {LIMIT}"
    )
    if asked.output:
        asked.output.write_text(json.dumps({"peaks_mib": peaks, "ratio": many / few}, indent=1) + "\n")
    return int(many > LIMIT * few)


if __name__ == "__main__":
    raise SystemExit(main())
