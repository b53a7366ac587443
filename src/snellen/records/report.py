"""The record behind a card: everything a card says, from one run. Cards are renderings of it, and nothing else.

``report.json`` is this record. What could not be found out is None; a renderer says so and never fills it in.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from snellen.records.bench import BenchRecord
from snellen.records.reading import Measured
from snellen.records.tuning import TuneRecord
from snellen.records.verify import TrialRecord

SCHEMA = "snellen.report/1"
MARKER = "SIMULATED"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of the checkpoint, or one that lies beside the report."""

    name: str  # relative
    bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the encoder is, counted from its weights and configuration."""

    title: str  # the variant's full name
    family: str
    names: tuple[str, ...]  # what libraries call it
    parameters: int
    parameter_groups: dict[str, int]  # stem, positions, blocks, norms, head, ...
    weights_bytes: int  # in the dtype they are stored in, or drawn in
    stored: dict[str, int]  # bytes by dtype
    tensors: int
    digest: str  # sha256 over all weights
    files: tuple[File, ...]  # of the checkpoint; none for drawn weights
    config: dict[str, Any]  # depth, width, heads, patch, ...
    input_size: tuple[int, ...]  # height, width
    fixed_size: bool  # whether positions hold for this size alone
    grid: tuple[int, ...]  # rows and columns of patches at that size
    tokens: int | None  # None: an encoder without tokens
    width: int  # of a pooled vector
    operations_per_image: int
    steps: tuple[str, ...]  # of the recipe, one a line
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    pool: str
    licence: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where it ran."""

    system: str
    python: str
    machine: dict[str, Any]  # timing.Machine
    device: dict[str, Any]  # as it describes itself, its memory among it
    devices: tuple[str, ...]  # all of that kind that are here
    packages: dict[str, str]  # name -> version
    stack: dict[str, str]  # the device's own software: CANN, driver, firmware, CUDA
    variables: dict[str, str]  # those that decide how a run goes, as they were set
    switches: dict[str, str]  # precision switches as they stood
    findings: tuple[dict[str, Any], ...] = ()  # of doctor, those that are not fine


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor that came out: its shape, dtype and place, and the range of its values."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    least: float | None = None  # None: not finite
    most: float | None = None
    mean: float | None = None
    std: float | None = None
    nonfinite: int = 0
    first: tuple[float, ...] = ()  # a few values


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """That it ran: one image through the candidate, looked at before anything is compared."""

    image: str
    outputs: tuple[Tensor, ...]
    maps: tuple[Tensor, ...]  # features of single stages as maps [B, C, h, w]
    seconds: float  # of that run, the first one
    output_device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRow(Measured):
    """One random input against the CPU's float32 run, which is what reports compare with."""

    seed: int
    output: str
    max_abs: float | None
    mean_abs: float | None
    relative: float | None  # mean |a - g| / mean |g|
    cosine: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pca:
    """Patch features of one photograph as colours: three principal components of the golden's, and where they differ.

    Pictures are PNG in base64, one pixel a patch; the photograph is a small JPEG in base64. ``differences``: relative
    error of each patch, row by row.
    """

    image: str
    grid: tuple[int, ...]  # rows, columns
    photo_jpeg: str
    golden_png: str
    candidate_png: str
    differences: tuple[float, ...]
    explained: tuple[float, ...]  # share of variance of each component


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How often errors of a size occur: absolute errors of one output's elements, in decades' tenths."""

    output: str
    edges: tuple[float, ...]  # n + 1
    candidate: tuple[int, ...]  # n, against the golden
    reference: tuple[int, ...]  # n, of the CPU's own run in the dtype asked for
    zeros: int  # elements of the candidate's without any error


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRecord:
    """One card's facts, whole."""

    model: dict[str, Any]  # ModelRecord.to_dict(), as the candidate ran
    facts: Facts
    environment: Environment
    evidence: Evidence
    trial: TrialRecord
    seeds: tuple[SeedRow, ...]
    pca: tuple[Pca, ...]
    histograms: tuple[Histogram, ...]
    bench: BenchRecord
    tune: TuneRecord | None = None
    command: str  # that made it, as it would be typed
    files: tuple[File, ...] = ()  # beside the report: log, samples, what the device's stack left
    notes: tuple[str, ...] = ()  # what fell out, and why
    started_at: str  # UTC, ISO 8601
    seconds: dict[str, float]  # by part
    version: str  # of snellen

    @property
    def simulated(self) -> bool:
        """Whether the device was simulated."""
        return self.trial.candidate.simulated

    @property
    def trained(self) -> bool:
        """Whether the weights were trained; drawn ones mean nothing."""
        return bool(self.model["origin"]["kind"] != "seed")

    @property
    def random_inputs(self) -> bool:
        """Whether random pixels stood in for images."""
        return self.trial.inputs.kind == "random"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values; a simulated device is named before anything else."""
        marked = {MARKER: "the device was simulated"} if self.simulated else {}
        return {**marked, "schema": SCHEMA, **asdict(self)}
