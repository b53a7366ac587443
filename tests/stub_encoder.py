"""A job whose encoder is a few lines of numpy, for tests of what lies around an encoder, in any process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from snellen.embed.worker import Job
from snellen.runtimes.requests import Asked
from stub_record import RECIPE, RECORD

WIDTH = 6
STUB = Asked(name="stub")


@dataclass(frozen=True, slots=True, kw_only=True)
class StubJob(Job):
    """Opens a ``Stub``; ``pause_s`` is how long a batch takes, ``weights`` which encoder it is."""

    asked: Asked = STUB
    batch_size: int | None = 4
    pause_s: float = 0.0
    weights: str = "0" * 64

    def open(self) -> Stub:
        """Open it."""
        return Stub(self.pause_s, self.weights, self.asked.device)


class Stub:
    """Maps pixels to six sums of them; an encoder as the worker takes it."""

    batch = 4

    def __init__(self, pause_s: float = 0.0, weights: str = "0" * 64, device: str = "cpu") -> None:
        self.recipe = RECIPE
        self.record = replace(RECORD, digest=weights, device=device)
        self.pause_s = pause_s
        self.seen: list[int] = []

    def vectors(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Embed batches, one after the other."""
        for pixels in batches:
            self.seen.append(len(pixels))
            if self.pause_s:
                time.sleep(self.pause_s)
            halves = pixels.reshape(len(pixels), 3, 2, -1)
            yield halves.sum(axis=3).reshape(len(pixels), WIDTH).astype(np.float32)

    def close(self) -> None:
        """Do nothing."""
