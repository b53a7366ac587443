"""From JPEG files to vectors: decoding alone, the model alone, and both as ``snellen embed`` does them; in a worker."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peers.cases import WEIGHTS
from snellen import devices
from snellen.embed import run
from snellen.runtimes.opening import Asked, embedder
from snellen.timing import rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

LEAST = 16  # images of one measurement
WARM = 8  # files that are decoded first and not counted


class End:
    """One encoder in one dtype, its recipe, and files."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.threads: int = spec["threads"]
        self.paths = sorted(str(path) for path in Path(spec["folder"]).iterdir())
        self.embedder = embedder(Asked(name=spec["name"], weights=WEIGHTS, dtype=spec["dtype"]))
        self.recipe, self.batch = self.embedder.recipe, self.embedder.batch
        self.device = devices.resolve("cpu")

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches, as ``embed`` asks of a model."""
        return self.embedder.vectors(batches)

    def describe(self) -> dict[str, Any]:
        """Return how it is laid out."""
        return {"batch": self.batch, "files": len(self.paths), "setup": str(self.embedder.setup)}

    def decode(self, seconds: float) -> dict[str, Any]:
        """Read, decode and prepare files on all threads, with nothing else going on."""
        count = self._count(seconds, 100.0)
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(self._decoded, self._files(WARM)))
            begin = time.perf_counter()
            statuses = list(pool.map(self._decoded, self._files(count)))
            taken = time.perf_counter() - begin
        return self._rate(count, taken, statuses)

    def model_only(self, seconds: float) -> dict[str, Any]:
        """Encode premade pixels in batches of the same size."""
        drawn = np.random.default_rng(0)
        pixels = [drawn.standard_normal((self.batch, 3, *self.recipe.size), dtype=np.float32) for _ in range(2)]
        found = rates.stream(self, pixels, seconds)
        return {"images_per_s": found.images_per_s, "samples": found.samples}

    def end(self, seconds: float, expected: float) -> dict[str, Any]:
        """Embed files, from the first to the last row; ``expected`` is how many a second it may be."""
        count = self._count(seconds, expected)
        list(run.embed(self, self._files(self.batch), batch_size=self.batch, workers=self.threads))  # warms up
        begin = time.perf_counter()
        rows = run.embed(self, self._files(count), batch_size=self.batch, workers=self.threads)
        statuses = [outcome.status for outcome, _ in rows]
        return self._rate(count, time.perf_counter() - begin, statuses)

    def _decoded(self, path: str) -> str:
        """Prepare one file; keep nothing of it but whether it went well, as pixels of all would fill the memory."""
        return run.prepare(self.recipe, 0, path).outcome.status

    def _count(self, seconds: float, expected: float) -> int:
        """Return how many files take about so long: whole batches for every stream, or the end would be half idle."""
        group = self.batch * self.threads
        return max(-(-LEAST // group), round(seconds * expected / group)) * group

    def _files(self, count: int) -> list[str]:
        return list(islice(cycle(self.paths), count))

    @staticmethod
    def _rate(count: int, taken_s: float, statuses: list[str]) -> dict[str, Any]:
        if statuses != ["done"] * count:
            raise RuntimeError(f"{len(statuses) - statuses.count('done')} of {count} files were not embedded")
        return {"images_per_s": count / taken_s, "images": count, "seconds": taken_s}
