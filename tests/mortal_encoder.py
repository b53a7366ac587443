"""A stub encoder whose process is killed in the middle of the work: once, or whenever it comes to the same batch."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stub_encoder import Stub, StubJob

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class MortalJob(StubJob):
    """Opens a ``Mortal``; ``grave`` is the file that says that it has died."""

    grave: str

    def open(self) -> Mortal:
        """Open it."""
        return Mortal(self)


class Mortal(Stub):
    """Kills its process at its fifth batch, unless one before it has done so."""

    def __init__(self, job: MortalJob) -> None:
        super().__init__(job.pause_s, job.weights, job.asked.device)
        self._grave = Path(job.grave)

    def vectors(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Embed batches until the end."""
        for vectors in super().vectors(batches):
            if len(self.seen) == 5 and not self._grave.exists():
                self._grave.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            yield vectors
