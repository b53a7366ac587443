"""The process of one candidate: it opens a runner, and does what it is told over its input and output.

Started by ``apart`` with the folder of a model. It ends when its input does. What a library prints goes to the error
output, or it would be taken for an answer.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from snellen.timing.memory import is_full
from snellen.tuning import wire

if TYPE_CHECKING:
    from snellen.model.model import Model
    from snellen.runtimes.base import Runner
    from snellen.timing.feed import Answer as Kept

Answer = tuple[dict[str, Any], "wire.Arrays"]
T = TypeVar("T")


class Worker:
    """One runner, and what may be asked of it; each method answers one message."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runner: Runner | None = None

    def open(self, asked: dict[str, Any], arrays: Any) -> Answer:
        """Make the runner, and let go of the model it was made from; the arrays are what 8 bits are calibrated on."""
        import torch

        from snellen import devices, runtimes
        from snellen.records.plan import Setup
        from snellen.records.reading import read
        from snellen.tuning.folder import take_up
        from snellen.tuning.shown import unpacked

        torch.set_num_threads(asked["torch_threads"])
        setup = read(Setup, asked["setup"])
        mapped = take_up(self.folder)
        device = devices.resolve(asked["device"])
        images = unpacked(arrays) if arrays else setup.calibration
        self.runner = runner = runtimes.make(setup.runtime, mapped.model, device, setup.dtype, setup.layout, images)
        prime(runner, mapped.model)
        mapped.release()
        told = {name: getattr(runner, name) for name in ("runtime", "version", "dtype", "note", "ours", "batch")}
        return told, {}

    def run(self, _: Any, arrays: Any) -> Answer:
        """Encode pixels; outputs of fewer bits come back as the float32 numbers they are, with their dtype's name."""
        import torch

        runner = self._opened()
        features = runner.run(torch.from_numpy(arrays["pixels"]))
        named = {name: tensor for name, tensor in features.named().items() if name not in features.stages}
        dtypes = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in named.items()}
        outputs = {name: tensor.float().cpu().numpy() for name, tensor in named.items()}
        return {"grid": features.grid, "dtypes": dtypes}, outputs

    def vectors(self, _: Any, arrays: Any) -> Answer:
        """Embed batches; the runner asks for them one after another, as it does from a queue."""
        found = self._opened().vectors(iter(arrays.values()))
        return {}, {f"{number:06d}": rows for number, rows in enumerate(found)}

    def measure(self, asked: dict[str, Any], arrays: Any) -> Answer:
        """Measure here, where no pixels are copied in between; what the last batches gave comes back as well."""
        runner, pixels = self._opened(), list(arrays.values())
        kept: list[Kept] = []
        found, memory = watched(runner, lambda: measured(asked["what"], runner, pixels, asked["seconds"], kept))
        rows = [answer.rows for answer in kept]
        vectors = {f"{number:06d}": answer.vectors for number, answer in enumerate(kept)}
        return {"found": found, "memory_bytes": memory, "rows": rows}, vectors

    def _opened(self) -> Runner:
        assert self.runner is not None  # the parent opens first
        return self.runner


def prime(runner: Runner, model: Model) -> None:
    """Embed one image of nothing: some runtimes prepare nothing before the first pixels show their size."""
    import numpy as np

    for _ in runner.vectors(iter([np.zeros((1, 3, *model.recipe.size), dtype=np.float32)])):
        pass
    runner.device.synchronize()


def measured(what: str, runner: Runner, pixels: list[Any], seconds: float, kept: list[Kept]) -> dict[str, Any]:
    """Measure a rate, a stream or latencies, as plain values."""
    from snellen.timing import rates

    if what == "rate":
        return asdict(rates.measure(runner, pixels, seconds, kept=kept))
    if what == "stream":
        return asdict(rates.stream(runner, pixels, seconds, kept=kept))
    return {"latencies_s": rates.latencies(runner, pixels, seconds, kept=kept)}


def watched(runner: Runner, do: Callable[[], T]) -> tuple[T, int | None]:
    """Do something; return what it gave, and the most bytes that were held meanwhile.

    Preparing and verifying came before, and what they held at most is another matter. None where the system does not
    let a peak start anew.
    """
    gc.collect()
    anew = peak_anew(runner)
    found = do()
    return found, peak(runner) if anew else None


def peak(runner: Runner) -> int | None:
    """Return the most bytes that were held: of this process on a CPU, of the device elsewhere."""
    from snellen.timing import memory

    if runner.device.kind == "cpu":
        return memory.peak_bytes()
    return (runner.device.memory() or {}).get("peak")


def peak_anew(runner: Runner) -> bool:
    """Let ``peak`` start anew; tell whether that was possible."""
    import torch

    from snellen.timing import memory

    if runner.device.kind == "cpu":
        return memory.reset_peak()
    reset = getattr(getattr(torch, runner.device.kind, None), "reset_peak_memory_stats", None)
    if reset is None:
        return False
    reset(runner.device.torch_name)
    return True


def answered(do: Callable[[dict[str, Any], Any], Answer], asked: dict[str, Any], arrays: Any) -> Answer:
    """Do what was asked, or say what was raised."""
    from snellen.errors import SnellenError, Unavailable

    try:
        return do(asked, arrays)
    except SnellenError as error:
        return {"error": error.seen, "todo": error.todo, "not_here": isinstance(error, Unavailable)}, {}
    except Exception as error:  # noqa: BLE001  (whatever a candidate raises is its outcome)
        said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        return {"error": said, "todo": "", "not_here": False, "memory": is_full(error)}, {}


def serve(folder: Path, asked: IO[bytes], answers: IO[bytes]) -> None:
    """Answer messages until there are no more."""
    worker = Worker(folder)
    do = {"open": worker.open, "run": worker.run, "vectors": worker.vectors, "measure": worker.measure}
    while (message := wire.read(asked)) is not None:
        document, arrays = message
        wire.write(answers, *answered(do[document["do"]], document, arrays))


def main() -> None:
    """Keep the output for answers, and serve."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(Path(sys.argv[1]), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
