"""From JPEG files to vectors: decoding alone, the model alone, and both as ``snellen embed`` does them; in a worker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peers.cases import WEIGHTS
from snellen import devices
from snellen.benchmark.files import Chain
from snellen.runtimes.opening import Asked, embedder
from snellen.timing import rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

LEAST = 16  # images of one measurement
WARM = 8  # files that are decoded first and not counted


class End:
    """One encoder in one dtype, its recipe, and files."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.embedder = embedder(Asked(name=spec["name"], weights=WEIGHTS, dtype=spec["dtype"]))
        self.device = devices.resolve("cpu")
        self.chain = Chain(
            recipe=self.embedder.recipe,
            engine=self.embedder.engine,
            batch=self.embedder.batch,
            paths=tuple(sorted(str(path) for path in Path(spec["folder"]).iterdir())),
            clock=time.perf_counter,
            workers=spec["threads"],
        )

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches, as a runner does."""
        return self.embedder.vectors(batches)

    def describe(self) -> dict[str, Any]:
        """Return how it is laid out."""
        return {
            "batch": self.chain.batch,
            "files": len(self.chain.paths),
            "setup": str(self.embedder.setup),
        }

    def decode(self, seconds: float) -> dict[str, Any]:
        """Read, decode and prepare files on all threads, with nothing else going on."""
        count = self._count(seconds, 100.0)
        self.chain.decoded(WARM)
        return _rate(count, self.chain.decoded(count))

    def model_only(self, seconds: float) -> dict[str, Any]:
        """Encode premade pixels in batches of the same size."""
        drawn, size = np.random.default_rng(0), self.embedder.recipe.size
        pixels = [drawn.standard_normal((self.chain.batch, 3, *size), dtype=np.float32) for _ in range(2)]
        found = rates.stream(self, pixels, seconds)
        return {"images_per_s": found.images_per_s, "samples": found.samples}

    def end(self, seconds: float, expected: float) -> dict[str, Any]:
        """Embed files, from the first to the last row; ``expected`` is how many a second it may be."""
        count = self._count(seconds, expected)
        self.chain.embedded(self.chain.batch)  # warms up
        return _rate(count, self.chain.embedded(count))

    def _count(self, seconds: float, expected: float) -> int:
        """Return how many files take about so long: whole batches for every stream, or the end would be half idle."""
        group = self.chain.group
        return max(-(-LEAST // group), round(seconds * expected / group)) * group


def _rate(count: int, taken_s: float) -> dict[str, Any]:
    return {"images_per_s": count / taken_s, "images": count, "seconds": taken_s}
