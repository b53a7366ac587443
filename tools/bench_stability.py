"""Whether two measurements of the same thing agree, and whether a slowdown of 10 % is seen: what bench promises.

    python tools/bench_stability.py            in this process, under three minutes on a quiet machine
    python tools/bench_stability.py --apart    the same thing is measured in processes of their own, as a person would

In each repetition the same thing is measured twice, at two batch sizes that take turns, as the command does it; in some
of them also through a runner that works 10 % longer; in an order drawn anew. Two agree where the intervals that they
state for their medians overlap at every batch size. What is slower has to be called a regression by ``snellen bench
--compare``, from saved samples and in turns (--again), and the same thing must not be. Prints every figure; exits with
1 where less than nine in ten are as they should be, or where what is measured in turns is not.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
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
    from snellen.records.bench import CompareRecord, Latency
    from snellen.records.plan import Layout

MODEL, WEIGHTS = "vit_small_patch16_dinov3.lvd1689m", "seed:0"
RECIPE = "stored | squash 112 bicubic | scale | mean 0.5 0.5 0.5 | std 0.25 0.25 0.25 | pool cls"  # 54 tokens
BATCHES = (1, 2)
PLANTED = 3  # of so many repetitions, one has a slower one in it
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
    """The same thing twice, and something slower in some; each latency is of one batch size."""

    first: tuple[Latency, ...]
    second: tuple[Latency, ...]
    same: CompareRecord
    slower: CompareRecord | None = None

    @property
    def agree(self) -> bool:
        """Whether the intervals that the two state for their medians overlap, at every batch size."""
        return all(overlap(one, other) for one, other in zip(self.first, self.second, strict=True))


def overlap(one: Latency, other: Latency) -> bool:
    (low, high), (other_low, other_high) = interval(one), interval(other)
    return low <= other_high and other_low <= high


def interval(latency: Latency) -> tuple[float, float]:
    assert latency.low_ms is not None  # there are rounds enough
    assert latency.high_ms is not None
    return latency.low_ms, latency.high_ms


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one batch size, its warm-up apart")
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
            print("\n".join(lines(number, repetition)), flush=True)
        again = ("--again", "--seconds", str(told.seconds))
        turns = {name: compared(Path(folder), name, *again) for name in ("second", "slower")}
    for name, record in turns.items():
        print(f"in turns, {'the same' if name == 'second' else name}: {told_of(record)}")
    return judged(found, turns, time.perf_counter() - begin)


def repeated(told: argparse.Namespace, folder: Path) -> Iterator[Repetition]:
    """Yield one repetition after another; the last records of each kind stay in the folder."""
    drawn, model = random.Random(0), load(MODEL, weights=WEIGHTS, recipe=RECIPE)
    for number in range(told.repetitions):
        names = ["first", "second", *(["slower"] if number % PLANTED == 0 else [])]
        for name in drawn.sample(names, len(names)):
            if told.apart and name != "slower":
                measured_apart(folder / f"{name}.json", told.seconds)
            else:
                measured(model, folder / f"{name}.json", told.seconds, SLOWED if name == "slower" else "eager")
        yield Repetition(
            first=latencies(folder / "first.json"),
            second=latencies(folder / "second.json"),
            same=compared(folder, "second"),
            slower=compared(folder, "slower") if "slower" in names else None,
        )


def measured(model: Model, path: Path, seconds: float, runtime: str) -> None:
    """Measure in this process, and write the record."""
    record = bench(model, batch_sizes=BATCHES, runtime=runtime, seconds=seconds)
    path.write_text(json.dumps(record.to_dict()), encoding="utf-8")


def measured_apart(path: Path, seconds: float) -> None:
    """Measure in a process of its own, as a person would."""
    what = [
        "bench",
        MODEL,
        "--weights",
        WEIGHTS,
        "--recipe",
        RECIPE,
        "--runtime",
        "eager",
        "-b",
        ",".join(map(str, BATCHES)),
    ]
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


def latencies(path: Path) -> tuple[Latency, ...]:
    """Return what a saved record says of each batch size."""
    record = read_bench(json.loads(path.read_text(encoding="utf-8")))
    found = tuple(point.latency for point in record.points if point.latency is not None)
    assert len(found) == len(BATCHES), "not every batch size was measured"
    return found


def lines(number: int, found: Repetition) -> Iterator[str]:
    """Yield what came out of a repetition."""
    for batch, one, other in zip(BATCHES, found.first, found.second, strict=True):
        medians = "  ".join(
            f"{each.p50_ms:7.2f} [{' '.join(f'{end:.2f}' for end in interval(each))}]" for each in (one, other)
        )
        yield f"{number:2}  batch {batch}: {medians} ms  {'agree' if overlap(one, other) else 'DIFFER'}"
    yield f"    the same: {told_of(found.same)}"
    if found.slower is not None:
        yield f"    slower:   {told_of(found.slower)}"


def told_of(record: CompareRecord) -> str:
    """Return ratios with their intervals and verdicts."""
    return ", ".join(f"{row.ratio:.3f} [{row.low:.3f} {row.high:.3f}] {row.verdict}" for row in record.rows)


def judged(found: Sequence[Repetition], turns: Mapping[str, CompareRecord], seconds: float) -> int:
    """Print what came out; return 1 where a promise is not kept."""
    planted = [one.slower.exit_code == 1 for one in found if one.slower is not None]
    promises = {
        "two measurements of the same thing agree": [one.agree for one in found],
        "the same thing is called no regression": [one.same.exit_code != 1 for one in found],
        f"{LONGER:.0%} slower is called a regression": planted,
        "in turns, the same thing is called no regression": [turns["second"].exit_code != 1],
        f"in turns, {LONGER:.0%} slower is called a regression": [turns["slower"].exit_code == 1],
    }
    for told, kept in promises.items():
        print(f"{sum(kept):3} of {len(kept):2}  {told}")
    print(f"{seconds:.0f} s")
    return int(any(sum(kept) < ENOUGH * len(kept) for kept in promises.values()))


if __name__ == "__main__":
    sys.exit(main())
