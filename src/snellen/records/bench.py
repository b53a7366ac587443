"""The record of a measurement of speed: every sample kept, every figure made of them, and what stands behind it.

Units stand in the names. What could not be measured is None, never 0, and where a person would ask why, a sentence
beside it says so. A latency is that of one batch, from pixels in host memory to features that are complete on the
device; the device was waited for on both sides.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from snellen.records.plan import Setup
from snellen.records.timing import Ceiling, Machine

SCHEMA = "snellen.bench/1"

Mode = Literal["latency", "throughput", "files"]
MODES: tuple[Mode, ...] = ("latency", "throughput", "files")
"""latency: one batch after another; throughput: a continuous stream; files: from image files to vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """One percentile, by linear interpolation; None where the samples are too few to support it."""

    percent: float
    ms: float | None
    upper_ms: float | None  # with 99 % confidence it is at most this; None where no sample is high enough
    because: str = ""  # why there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What samples of one thing say; the standard deviation is that of a sample (n - 1)."""

    count: int
    mean_ms: float
    std_ms: float | None  # None: one sample
    cv_percent: float | None  # the standard deviation in per cent of the mean
    min_ms: float
    max_ms: float
    percentiles: tuple[Percentile, ...]  # 50, 90, 95, 99
    low_ms: float | None  # the median lies between these with 95 % confidence, judged by how rounds differ
    high_ms: float | None

    @property
    def p50_ms(self) -> float:
        """Return the median."""
        found = next(p.ms for p in self.percentiles if p.percent == 50)
        assert found is not None  # one sample supports it
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """Whether the samples are of one thing: their halves agree, and most of them lie near the median."""

    stable: bool
    because: str
    first_half_p50_ms: float
    second_half_p50_ms: float
    near_share: float  # of the samples within 5 % of the median
    attempts: int  # 2: measured again because the first were not stable


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The most that was held while a batch size was measured; None where nothing tells."""

    allocated_peak_bytes: int | None = None  # by torch's allocator on the device
    device_used_bytes: int | None = None  # of the device, by whomever
    process_peak_bytes: int | None = None  # resident in host memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One batch size. ``samples_ms`` are in the order they were taken, ``rounds`` says how many belong to each.

    In a stream, where batches overlap, a sample is how long a batch took of it, over a whole round.
    """

    batch: int
    outcome: Literal["measured", "out of memory", "not tried", "raised"]
    because: str = ""  # why it was not measured
    samples_ms: tuple[float, ...] = ()
    rounds: tuple[int, ...] = ()  # samples of each round; a round visits every batch size once
    latency: Latency | None = None
    images_per_s: float | None = None  # batch / mean latency; in a stream, the stream's
    enqueue_ms: tuple[float, ...] = ()  # host time until the call returned, of each sample; of a device that queues
    enqueue_p50_ms: float | None = None
    host_bound: bool | None = None  # the host was busy for most of the latency: the device waited for it
    warm_up: int = 0  # runs before, that are not counted
    steady: bool | None = None  # whether the warm-up ended because times no longer fell; else its time was up
    stability: Stability | None = None
    memory: Memory = Memory()
    operations_per_s: float | None = None
    ceiling_share: float | None = None  # of the machine's measured matrix products in this dtype
    bytes_per_s: float | None = None  # moved at least: weights, and activations in and out of every layer
    bandwidth_share: float | None = None  # of the measured copy bandwidth
    binds: Literal["arithmetic", "memory", "host"] | None = None  # which of them is nearest to its limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What comes before the steady state."""

    load_s: float | None  # from files to a model in memory; None where it was handed in
    prepare_s: float  # making the runner: converting, compiling, copying weights
    first_run_ms: float  # the first batch of the smallest size
    cached: bool | None = None  # whether what was compiled was there already; None: the runtime does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """How many bytes a second a device copies within its memory: read and written both count."""

    device: str
    bytes_per_s: float | None
    samples_s: tuple[float, ...] = ()
    size_bytes: int = 0
    note: str = ""  # why there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """From image files to vectors, and what decoding and the model alone would allow together."""

    images_per_s: float
    decode_images_per_s: float
    model_images_per_s: float
    allowed_images_per_s: float  # 1 / (1 / decode + 1 / model)
    share: float  # of what is allowed
    images: int
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The same encoder on a CPU in eager float32, measured in the same rounds."""

    setup: Setup
    device: str
    points: tuple[Point, ...]
    speedup: dict[str, float]  # by batch size: baseline's latency over this one's, median of the rounds
    speedup_low: dict[str, float]
    speedup_high: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRecord:
    """One measurement, whole."""

    model: dict[str, Any]  # ModelRecord.to_dict()
    mode: Mode
    setup: Setup
    runtime_version: str | None
    device: dict[str, Any]  # as it describes itself
    simulated: bool
    machine: Machine
    shape: tuple[int, ...]  # of one image's pixels: 3, height, width
    operations_per_image: int
    weights_bytes: int  # in the dtype that is run
    bytes_per_image: int  # activations in and out of every layer, at least
    ceiling: Ceiling | None
    bandwidth: Bandwidth | None
    start: Start
    points: tuple[Point, ...]
    largest_batch: int | None = None  # that fits, where it was looked for
    files: Files | None = None
    baseline: Baseline | None = None
    load_before: tuple[float, ...] | None = None  # processes that ran or waited, over 1, 5 and 15 minutes
    load_after: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()
    seed: int  # of pixels and orders
    started_at: str  # UTC, ISO 8601
    used_s: float
    version: str  # of snellen

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values; a simulated device is named before anything else."""
        marked = {"SIMULATED": "the device was simulated"} if self.simulated else {}
        return {**marked, "schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One batch size of two measurements: the second over the first; above 1 the second is slower."""

    batch: int
    first_p50_ms: float
    second_p50_ms: float
    ratio: float
    low: float | None  # 95 % confidence, judged by how rounds differ; None: too few rounds
    high: float | None
    verdict: Literal["slower", "faster", "the same", "undecided"]  # beyond or within the threshold, with confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRecord:
    """Two measurements beside each other."""

    first: str  # what they are called: files
    second: str
    threshold: float  # 0.05: more than 5 % slower is a regression
    again: bool  # measured again in turns; else from saved samples
    rows: tuple[Compared, ...]
    differing: tuple[str, ...]  # what else differs between the two: machine, versions, weights, dtype
    lost: tuple[int, ...] = ()  # batch sizes that the first measured, and that the second could not
    cautions: tuple[str, ...] = ()  # said before anything else: a simulated device, drawn weights, random pixels
    first_points: tuple[Point, ...] = ()  # what was measured again, in turns, round by round
    second_points: tuple[Point, ...] = ()
    started_at: str = ""
    version: str = ""

    @property
    def exit_code(self) -> int:
        """Return 1 where any batch size is slower beyond the threshold, or lost, 3 where nothing is decided, else 0."""
        found = {row.verdict for row in self.rows}
        return 1 if "slower" in found or self.lost else 0 if found - {"undecided"} else 3

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": "snellen.compare/1", **asdict(self)}
