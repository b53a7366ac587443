"""What a clock said: rates, ratios between them, the ceiling of a machine; units stand in the names.

Raw samples are kept beside every figure that is made of them. What could not be measured is None, never 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """How fast batches went through in a continuous stream, after a warm-up that is not counted."""

    images_per_s: float
    samples: tuple[float, ...]  # seconds from the end of the warm-up to the completion of each batch
    spread: float | None  # of the rate over consecutive parts: (largest - smallest) / median; None: only one part
    batch: int  # images
    under_way: int  # batches the runner had asked for and not given back
    warm_batches: int  # that were not counted
    steady: bool  # whether the warm-up ended because the rate no longer rose, not because its time was up


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A stream of batches, and single images one by one."""

    images_per_s: float
    latency_s: float  # median of ``latencies_s``
    samples: tuple[float, ...]  # see ``Stream``
    spread: float | None
    batch: int
    latencies_s: tuple[float, ...]  # of one image, from pixels to vector
    warm_batches: int
    steady: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the rate as JSON-serialisable values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One thing over another, round by round."""

    median: float
    least: float
    most: float
    values: tuple[float, ...]  # one a round


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Several things measured in turn, in another order each round; a machine's drift falls on all of them alike."""

    values: tuple[dict[str, float], ...]  # one dictionary a round: name -> what was measured
    orders: tuple[tuple[str, ...], ...]  # in which order, round by round


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """How many operations a second a device reaches in a matrix product, the best of several."""

    dtype: str
    device: str
    operations_per_s: float | None  # a multiply-add counts as two
    samples_s: tuple[float, ...] = ()  # of one product
    side: int = 0  # of the square matrices
    threads: int | None = None  # of the CPU
    note: str = ""  # why there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What decides speed on a machine, as far as the system tells."""

    product: str
    architecture: str
    cores: int | None
    threads: int | None  # this process may use at once
    flags: tuple[str, ...]  # instructions that matter to matrix products
    memory_bytes: int | None
    system: str
    versions: dict[str, str]  # of the packages that compute, where they are installed


def ratio(over: tuple[float, ...], under: tuple[float, ...]) -> Ratio:
    """Divide value by value; the two come from the same rounds."""
    values = tuple(a / b for a, b in zip(over, under, strict=True))
    return Ratio(median=median(values), least=min(values), most=max(values), values=values)
