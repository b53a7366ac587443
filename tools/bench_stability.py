"""Whether two measurements of the same thing agree, and whether a slowdown of 10 % is seen: what bench promises.

    python tools/bench_stability.py            in this process, about two minutes
    python tools/bench_stability.py --apart    what agrees is measured in processes of their own, as a person would

In each repetition the same thing is measured twice, and once through a runner that works 10 % longer, in an order drawn
anew. The two agree where the intervals that they state for their medians overlap; the third has to be called a
regression by ``snellen bench --compare``, and the second must not be. Prints every figure; exits with 1 where fewer
agree than nine in ten, where the same thing is called a regression more than once in ten, or where a slowdown is missed
more than once in ten, or when both are measured in turns (--again).
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from snellen import bench, load, runtimes
from snellen.cli.main import main as snellen
from snellen.records.reports import read_bench, read_compare
from snellen.runtimes.base import Runner
from snellen.runtimes.eager import Eager

if TYPE_CHECKING:
    from torch import Tensor

    from snellen.devices import Device
    from snellen.encoders.features import Features, Tap
    from snellen.model.model import Model
    from snellen.records.bench import BenchRecord, Compared, CompareRecord, Latency
    from snellen.records.plan import Layout

MODEL, WEIGHTS = "vit_small_patch16_dinov3.lvd1689m", "seed:0"
RECIPE = "stored | squash 112 bicubic | scale | mean 0.5 0.5 0.5 | std 0.25 0.25 0.25 | pool cls"  # 54 tokens
BATCH = 1
SLOWED, LONGER = "slowed", 0.1
ENOUGH = 0.9  # of the repetitions


class Slowed(Runner):
    """The eager runtime, and then a tenth of the time that it took once more."""

    runtime = SLOWED

    def __init__(self, model: Model, device: Device, dtype: str, layout: Layout) -> None:
        self.inner = Eager(model, device, dtype)
        self.device, self.dtype, self.version = device, dtype, self.inner.version

    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode, wait, and work on for as long as is planted."""
        begin = time.perf_counter()
        features = self.inner.run(pixels, tap)
        self.device.synchronize()
        end = begin + (1 + LONGER) * (time.perf_counter() - begin)
        while time.perf_counter() < end:
            pass
        return features

    def close(self) -> None:
        """Let go of the encoder."""
        self.inner.close()


@dataclass(frozen=True)
class Repetition:
    """The same thing twice, something slower, and what was said of them."""

    first: Latency
    second: Latency
    same: Compared
    slower: Compared
    alarm: bool  # the same thing was called a regression
    flagged: bool  # the slower one was

    @property
    def agree(self) -> bool:
        """Whether the intervals that the two state for their medians overlap."""
        (low, high), (other_low, other_high) = _interval(self.first), _interval(self.second)
        return low <= other_high and other_low <= high


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measurement, its warm-up apart")
    parser.add_argument("--apart", action="store_true", help="in processes of their own (a few minutes more)")
    return parser.parse_args()


def main() -> int:
    told = arguments()
    runtimes.RUNTIMES[SLOWED] = Slowed
    begin = time.perf_counter()
    with TemporaryDirectory() as folder:
        found = []
        for number, repetition in enumerate(repeated(told, Path(folder)), 1):
            found.append(repetition)
            print(line(number, repetition), flush=True)
        turns = {name: in_turns(Path(folder), name, told.seconds) for name in ("second", "slower")}
    for name, record in turns.items():
        row = record.rows[0]
        print(f"in turns, {name:>6}: {row.ratio:.3f} [{row.low:.3f} {row.high:.3f}] {row.verdict}")
    return judged(found, turns, time.perf_counter() - begin)


def repeated(told: argparse.Namespace, folder: Path) -> Iterator[Repetition]:
    """Yield one repetition after another; the last one's records stay in the folder."""
    drawn, model = random.Random(0), load(MODEL, weights=WEIGHTS, recipe=RECIPE)
    for _ in range(told.repetitions):
        for name in drawn.sample(("first", "second", "slower"), 3):
            if told.apart and name != "slower":
                measured_apart(folder / f"{name}.json", told.seconds)
            else:
                measured(model, folder / f"{name}.json", told.seconds, SLOWED if name == "slower" else "eager")
        records = [read(folder / f"{name}.json") for name in ("first", "second")]
        first, second = (record.points[0].latency for record in records)
        assert first is not None
        assert second is not None
        same, slower = (compared(folder, name) for name in ("second", "slower"))
        yield Repetition(first, second, same.rows[0], slower.rows[0], same.exit_code == 1, slower.exit_code == 1)


def measured(model: Model, path: Path, seconds: float, runtime: str) -> None:
    """Measure in this process, and write the record."""
    record = bench(model, batch_sizes=(BATCH,), runtime=runtime, seconds=seconds)
    path.write_text(json.dumps(record.to_dict()), encoding="utf-8")


def measured_apart(path: Path, seconds: float) -> None:
    """Measure in a process of its own, as a person would."""
    what = ["bench", MODEL, "--weights", WEIGHTS, "--recipe", RECIPE, "--runtime", "eager", "-b", str(BATCH)]
    command = [sys.executable, "-m", "snellen", *what, "--seconds", str(seconds), "--quiet", "-o", str(path)]
    subprocess.run(command, check=True)


def compared(folder: Path, name: str, *more: str) -> CompareRecord:
    """Compare the first measurement with another one through the command; its exit code has to be the record's."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        files = (str(folder / "first.json"), str(folder / f"{name}.json"))
        code = snellen(["bench", "--compare", *files, "--json", "--quiet", *more])
    record = read_compare(json.loads(printed.getvalue()))
    assert code == record.exit_code
    return record


def in_turns(folder: Path, name: str, seconds: float) -> CompareRecord:
    """Measure the first and another one again, in turns."""
    return compared(folder, name, "--again", "--seconds", str(seconds))


def read(path: Path) -> BenchRecord:
    return read_bench(json.loads(path.read_text(encoding="utf-8")))


def line(number: int, found: Repetition) -> str:
    medians = "  ".join(
        f"{one.p50_ms:6.2f} [{' '.join(f'{end:6.2f}' for end in _interval(one))}]" for one in both(found)
    )
    ratios = "  ".join(
        f"{row.ratio:.3f} [{row.low:.3f} {row.high:.3f}] {row.verdict}" for row in (found.same, found.slower)
    )
    return f"{number:2}  {medians} ms  {'agree' if found.agree else 'DIFFER'}  {ratios}"


def both(found: Repetition) -> tuple[Latency, Latency]:
    return found.first, found.second


def judged(found: list[Repetition], turns: dict[str, CompareRecord], seconds: float) -> int:
    """Print what came out; return 1 where a promise is not kept."""
    count = len(found)
    counts = {
        "measurements of the same thing agree": sum(one.agree for one in found),
        "intervals of their ratio hold 1": sum((one.same.low or 0) <= 1 <= (one.same.high or 0) for one in found),
        "the same thing is called no regression": sum(not one.alarm for one in found),
        f"{LONGER:.0%} slower is called a regression": sum(one.flagged for one in found),
    }
    for told, number in counts.items():
        print(f"{number:3} of {count}  {told}")
    print(f"{seconds:.0f} s")
    promised = [number for told, number in counts.items() if "hold" not in told]
    kept = all(number >= ENOUGH * count for number in promised)
    return int(not (kept and turns["slower"].exit_code == 1 and turns["second"].exit_code != 1))


def _interval(latency: Latency) -> tuple[float, float]:
    assert latency.low_ms is not None  # there are rounds enough
    assert latency.high_ms is not None
    return latency.low_ms, latency.high_ms


if __name__ == "__main__":
    sys.exit(main())
