"""Prove that latencies are measured as they are, by the real clock: a device whose operators take a known time.

    python tools/timing_proof.py

Every operator of the simulated device takes as long as it is told to, and longer by what the system sleeps too long. It
begins when it is waited for, so that the host's own time comes on top: operators are made long beside that. A minute.
Prints, for each batch size, the latency that is known (operators counted, times the time of each) and the one that
``snellen bench`` measured; then the same without waiting for the device, which has to be wrong. Exits with 1 where a
measured latency is off by more than 5 %, or one without waiting is not.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

LAUNCH_S, BRIEF_S = 0.15, 0.005  # of one operator; where nobody waits, all that was queued has to be done in the end
WITHIN = 0.05
BATCHES = (1, 4)


def main() -> int:
    import torch

    import snellen
    from small_folder import RECIPE, written
    from snellen.devices import resolve, simulated

    simulated.start(simulated.Settings(arithmetic="float32"))
    with tempfile.TemporaryDirectory() as folder:
        model = snellen.load(written(Path(folder) / "small"), recipe=RECIPE)
        count = launches(model)
        print(
            f"torch {torch.__version__}, {resolve('npu').describe()['product']}, {count} operators and copies a batch"
        )
        right = max(measured(model, count, LAUNCH_S, BATCHES, 2.0)) <= WITHIN
        print("the same without waiting for the device, which has to be wrong:")
        with never_waited_for():
            wrong = min(measured(model, count, BRIEF_S, BATCHES[:1], 0.05)) > WITHIN
    print("proven" if right and wrong else "NOT proven")
    return 0 if right and wrong else 1


def launches(model: object) -> int:
    """Count what one batch puts into the device's queue: operators, and the copy of the pixels."""
    import torch

    from snellen.devices import resolve
    from snellen.devices.simulated import statistics
    from snellen.runtimes.eager import Eager

    runner, pixels = Eager(model, resolve("npu"), "float32"), torch.zeros(1, 3, *model.recipe.size)
    runner.run(pixels)
    before = sum(statistics().launched.values())
    runner.run(pixels)
    return sum(statistics().launched.values()) - before + 1


def measured(model: object, count: int, launch_s: float, batches: tuple[int, ...], seconds: float) -> list[float]:
    """Measure, print, and return by what part of it each latency is off."""
    import snellen
    from snellen.devices.simulated import Settings, configured

    with configured(Settings(arithmetic="float32", launch_seconds=launch_s)):
        record = snellen.bench(model, device="npu", batch_sizes=batches, seconds=seconds)
    expected, found = 1e3 * launch_s * count, []
    for point in record.points:
        found.append(abs(point.latency.p50_ms / expected - 1))
        known = f"batch {point.batch}: {count} of {1e3 * launch_s:g} ms each are {expected:.1f} ms"
        told = f"measured {point.latency.p50_ms:.1f} ms, of which {point.enqueue_p50_ms:.1f} ms the host's"
        print(f"{known}; {told}; {point.latency.count} samples; off by {found[-1]:.2%}")
    return found


@contextmanager
def never_waited_for() -> Iterator[None]:
    """Let the device not be waited for, as where a synchronisation was forgotten."""
    from snellen.devices.npu import NPU

    wait = NPU.synchronize
    NPU.synchronize = lambda _: None
    try:
        yield
    finally:
        NPU.synchronize = wait


if __name__ == "__main__":
    sys.exit(main())
