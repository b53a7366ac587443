"""What a trial's record says beside its figures: what was on trial and where, in which surroundings, for how long."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from snellen._version import __version__
from snellen.records.verify import CandidateRecord
from snellen.runtimes.base import Runner
from snellen.verification import audit
from snellen.verification.drift import BATCH


@dataclass
class Clock:
    """Seconds by part of the trial."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside to a part."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


BUILT = "a second build showed the stages as it ran freely; none can be fed the golden's, so none is judged alone"


def candidate_record(runner: Runner, dtype: str, *, built: bool = False) -> CandidateRecord:
    """Say what was on trial, on which device, with which precision switches as they stand.

    ``built``: its stages were looked at in a second build.
    """
    return CandidateRecord(
        runtime=runner.runtime,
        version=runner.version,
        dtype=dtype,
        device=runner.device.describe(),
        simulated=runner.device.simulated,
        stages=bool(runner.stages),
        note=BUILT if built else runner.note,
        switches=audit.switches(runner),
    )


def environment() -> dict[str, Any]:
    """Say which versions and how many threads took part, and how many inputs ran together."""
    return {
        "snellen": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "batch": BATCH,
    }
