"""Print what every rule catches, misses and wrongly refuses: the fault corpus of tests/faults against the verifier.

    python tools/verdict_power.py            every trial on shrunken encoders; writes docs/verdict-power.md
    python tools/verdict_power.py --whole    a choice of them on the five encoders of the reports at full size, one
                                             after another (an hour); writes docs/verdict-power-whole.md

Exits with 1 if the calibrated rule misses a fault above the noise, refuses a healthy run, or blames the wrong block.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]

if TYPE_CHECKING:
    from faults.power import Row

PROCESSES = 2
_KEPT: list[object] = []  # torchvision's operators are declared for as long as this lives


def prepared(threads: int) -> None:
    """Make a process fit for trials: its share of the cores, and libraries that can be imported."""
    import torch

    from conftest import declare_operators

    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", message=".*will fall back to run on the CPU")  # one fault is just that
    _KEPT.append(declare_operators())


def swept(number: int) -> list[Row]:
    from faults import sweep

    rows = sweep.swept(sweep.pieces()[number])
    print(f"{rows[0].subject}: {len(rows)} trials", file=sys.stderr, flush=True)
    return rows


def swept_whole(number: int) -> list[Row]:
    from faults import sweep

    rows = sweep.swept_whole(number)
    print(f"{rows[0].subject}, whole: {len(rows)} trials", file=sys.stderr, flush=True)
    return rows


def gathered(sweep: Callable[[int], list[Row]], count: int, processes: int) -> list[Row]:
    """Make all trials, in processes of their own, and return their rows in order."""
    threads = max(1, PROCESSES // processes)
    with ProcessPoolExecutor(processes, get_context("spawn"), prepared, (threads,)) as pool:
        return [row for rows in pool.map(sweep, range(count)) for row in rows]


def main(arguments: Iterable[str]) -> int:
    from faults import power, sweep
    from power_report import document

    whole = "--whole" in arguments
    started = time.monotonic()
    count, run, processes = (5, swept_whole, 1) if whole else (len(sweep.pieces()), swept, PROCESSES)
    rows = sweep.ordered(gathered(run, count, processes))
    text = document(rows, whole=whole)
    path = ROOT / "docs" / ("verdict-power-whole.md" if whole else "verdict-power.md")
    path.write_text(text, encoding="utf-8")
    print(text)
    wrong = power.wrong(rows)
    print(f"written: {path.relative_to(ROOT)}; {len(rows)} trials in {time.monotonic() - started:.0f} s")
    for what, which in vars(wrong).items():
        for row in which:
            named = f"{row.culprit}, {row.precision}, {row.cause} (expected {row.expected}, {row.asked})"
            print(f"{what}: {row.subject}, {row.name}: {named}: {row.because}")
    return int(wrong.any)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
