"""The record of a trial: what was compared with what, every figure a rule judges, and the verdict.

A rule reads a ``TrialRecord`` and nothing else, so that any rule can be applied to a saved record later, on a machine
without the encoder. Figures that do not exist (a cosine of NaN) are None, never 0: JSON has no NaN.

Golden: float64 on the CPU. Reference: a trusted run on the CPU in the dtype asked for. Ladder: trusted runs at known
precisions. Candidate: what is on trial.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from snellen.records.reading import Measured

SCHEMA = "snellen.verify/1"

Verdicts = Literal["pass", "limited", "fail", "inconclusive"]
Status = Literal["pass", "warn", "fail", "unknown"]
"""Of one check. ``warn`` limits a verdict, ``fail`` fails it, ``unknown``: it could not be looked at, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Measured):
    """How far one tensor lies from another (golden or reference), in float64; definitions in docs/metrics.md.

    Everything from ``max_abs`` on is None where the tensor holds a number that is not finite.
    """

    elements: int
    nonfinite: int  # NaN or infinity where the other tensor is finite, or the other way round
    max_abs: float | None = None
    max_abs_at: tuple[int, ...] | None = None  # where the largest difference is
    mean_abs: float | None = None
    rmse: float | None = None
    max_relative: float | None = None
    mean_relative: float | None = None
    median_relative: float | None = None
    trimmed_relative: float | None = None  # mean after the largest 5 % were dropped
    mean_ratio: float | None = None  # mean |a - g| / mean |g|
    relative_frobenius: float | None = None  # |a - g| / |g|
    gain: float | None = None  # <a, g> / <g, g> - 1
    cosine: float | None = None
    worst_token: float | None = None  # the largest |a_t - g_t| / |g_t| of all tokens t
    worst_token_at: tuple[int, ...] | None = None
    mean_token_cosine: float | None = None
    p01_token_cosine: float | None = None  # of the worst hundredth of the tokens
    snr_db: float | None = None
    mere: float | None = None  # CANN: mean of |a - g| / (|g| + 1e-7)
    mare: float | None = None  # CANN: max of the same
    share_1e2: float | None = None  # share of elements whose relative error is below 1e-2
    share_1e3: float | None = None
    share_1e4: float | None = None
    ulp_mean: float | None = None  # in units of the last place of the dtype asked for
    ulp_p99: float | None = None
    ulp_above_1: float | None = None  # share of elements
    close_mismatched: int | None = None  # torch.testing.assert_close with its tolerances for the dtype asked for
    polygraphy_exceeded: int | None = None  # above 1e-5 both absolutely and relatively
    top1_match: float | None = None  # share of rows whose largest entry is in the same place; [B, K] tensors only


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMetrics(Measured):
    """The same for one input alone, the figures that reports give for each."""

    nonfinite: int
    max_abs: float | None
    mean_abs: float | None
    mean_ratio: float | None
    relative_frobenius: float | None
    cosine: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Measured):
    """An error against the golden, as the calibrated rule judges it; None where it is not finite."""

    frobenius: float | None
    token: float | None  # of the worst token


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRecord:
    """One output (cls, registers, patches, pooled, logits) on trial."""

    name: str
    shape: tuple[int, ...]
    golden: Metrics  # the candidate against the golden
    single: Metrics  # the candidate against the CPU's float32 run, which is what reports compare with
    reference: Error  # of the trusted run in the dtype asked for
    rounding: Error  # of the golden itself, rounded to the dtype asked for
    ladder: dict[str, Error]  # precision class -> error of the trusted run in that class
    images: tuple[ImageMetrics, ...]  # each input alone, against the CPU's float32 run


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage. Cumulative: the candidate runs freely; isolated: the stage was fed the golden's input.

    The candidate's errors are None where its runtime shows no stages.
    """

    name: str
    cumulative: Error | None
    isolated: Error | None
    reference_cumulative: Error
    reference_isolated: Error
    rounding: Error
    ladder: dict[str, Error]  # precision class -> isolated error of the trusted run in that class
    precision: str | None = None  # the class the isolated error belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about the run beside its numbers, answered."""

    name: str  # for example "placement.outputs", "behaviour.determinism", "selftest.perturbed"
    status: Status
    because: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRecord:
    """A precision switch as it stood during the run."""

    name: str  # as the user would write it: torch.npu.conv.allow_hf32
    value: str
    strict: str  # the value at which it lowers nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Toggle:
    """The run repeated with switches set to their strict values."""

    switches: tuple[str, ...]
    precision: str | None  # the class met then
    error: float | None  # the largest ratio to the threshold over all outputs, then
    explains: bool  # whether the class asked for is met with it


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsRecord:
    """What was shown to golden, reference and candidate."""

    kind: Literal["photographs", "images", "random", "pixels"]
    names: tuple[str, ...]
    shape: tuple[int, ...]
    sha256: str  # of the float32 pixels
    seeds: tuple[int, ...] = ()
    left_out: int = 0  # images that were named, but were more than are used


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """What was on trial, and where."""

    runtime: str
    version: str | None  # of the runtime's own package
    dtype: str
    device: dict[str, Any]  # as the device describes itself
    simulated: bool
    stages: bool  # whether it showed its stages to a tap; the note says how or why not
    note: str = ""
    switches: tuple[SwitchRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule concludes; ``because`` is one sentence a person can act on."""

    rule: str
    outcome: Verdicts
    because: str
    culprit: str | None = None  # the first stage to blame
    precision: str | None = None  # the class met
    expected: str | None = None  # the class required
    ratio: float | None = None  # the worst error over its threshold; at most 1 passes
    findings: tuple[str, ...] = ()  # everything that speaks for the outcome, the most important first

    @property
    def exit_code(self) -> int:
        """Return what the command line exits with: 0 pass or limited, 1 fail, 3 inconclusive."""
        return {"pass": 0, "limited": 0, "fail": 1, "inconclusive": 3}[self.outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One trial, whole."""

    model: dict[str, Any]  # ModelRecord.to_dict()
    candidate: CandidateRecord
    inputs: InputsRecord
    dtype: str  # asked for
    expect: str  # the precision class required
    outputs: tuple[OutputRecord, ...]
    stages: tuple[StageRecord, ...]
    checks: tuple[Check, ...]
    toggles: tuple[Toggle, ...] = ()
    cause: str | None = None  # the switch that explains a missed class
    golden: str  # where it came from: "computed here", or a bundle's name and digest
    environment: dict[str, Any] = field(default_factory=dict)
    started_at: str = ""  # UTC, ISO 8601
    seconds: dict[str, float] = field(default_factory=dict)  # by part of the trial
    verdict: Verdict | None = None  # of the rule that was asked for
    verdicts: tuple[Verdict, ...] = ()  # of every rule, from the same figures

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values; a simulated device is named before anything else."""
        marked = {"SIMULATED": "the device was simulated"} if self.candidate.simulated else {}
        return {**marked, "schema": SCHEMA, **asdict(self)}
