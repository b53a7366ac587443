"""A trial of outputs only, for whoever must judge many runners of one encoder: a tuner has seconds for each.

In: a model, a few images and the dtypes that will be tried, once; then runners. Out: pass or fail for each, and why.
Golden, trusted runs and limits are those of ``trial``; stages, causes and places are not looked at. What raises, is not
finite, is missing or cannot be compared fails. 8 bits are held to limits of their own (``likeness``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from snellen.errors import CandidateError, SnellenError, UsageError
from snellen.model.model import Model
from snellen.records.verify import Error
from snellen.runtimes import INT8
from snellen.runtimes.base import Runner
from snellen.verification import behaviour, likeness, trusted
from snellen.verification.calling import call, named
from snellen.verification.drift import BATCH, encode, rows
from snellen.verification.golden import Progress
from snellen.verification.limits import NOISY, limit, ratio, together
from snellen.verification.metrics import error, rounding
from snellen.verification.trusted import Arithmetic

if TYPE_CHECKING:
    from snellen.encoders.build import Encoder

FEWEST = 2
"""Images below which nothing can be said of batches and order; more than ``drift.BATCH`` cost time and say no more."""

SINGLE_MOST = 1e-4
"""How far the CPU's own float32 run may lie from the golden: a correct one lies 100 times nearer, a lowered one not."""

TOLD = 4.0
"""Times the limit, that two images' golden vectors lie apart if their order is judged: a correct vector may be a limit
from its own first run, and that a limit from its golden; less than half of the way to another's golden tells it."""
ALIKE = "the order of images was not judged for {count} of their pairs, whose vectors lie within the limits"

Outputs = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was found of one runner. ``figures``: errors and limits by output or, of 8 bits, cosines and neighbours."""

    outcome: Literal["pass", "fail"]
    because: str
    worst: float | None = None  # what was found over what is allowed, at most 1 where it passes; None: not to be had
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Glance:
    """The golden outputs of a few images, and how far the trusted run in each dtype lies from them.

    ``unsound``: by dtype, why nothing can be judged by its trusted run. ``bfloat16``: the figures of that run, which 8
    bits are held against.
    """

    pixels: Tensor  # [n, 3, h, w], float32
    golden: Outputs  # float64
    limits: Mapping[str, Mapping[str, Error]]  # dtype -> output
    unsound: Mapping[str, str]
    bfloat16: likeness.Figures

    def judge(self, runner: Runner, dtype: str) -> Judged:
        """Run a runner on all images, again, on one alone, and as embedding does; say whether it is the encoder.

        Raises UsageError for a dtype that was not prepared; a runner that is wrong raises nothing.
        """
        eight = dtype == INT8 and (self.bfloat16 or INT8 in self.unsound)
        if dtype not in self.limits and not eight:
            raise UsageError(f"nothing was prepared to judge {dtype} by", expected=", ".join(self.limits))
        reason = self.unsound.get(dtype) or (self.unsound.get("bfloat16") if dtype == INT8 else None)
        if reason is None and runner.dtype != dtype:
            reason = f"it computes in {runner.dtype}, and {dtype} was asked for"
        if reason is not None:
            return Judged(outcome="fail", because=reason)
        try:
            outputs = self._outputs(runner, self.pixels, "in its first run")
            first = self._like(outputs) if dtype == INT8 else self._near(outputs, dtype)
            return first if first.outcome == "fail" else self._behaves(runner, outputs, dtype, first)
        except SnellenError as error:
            return Judged(outcome="fail", because=error.seen)

    def _near(self, outputs: Outputs, dtype: str) -> Judged:
        """Hold outputs against the limits of a dtype."""
        figures: dict[str, float] = {}
        over: dict[str, float] = {}
        for name, exact in self.golden.items():
            found, allowed = error(rows(outputs[name]), rows(exact)), self.limits[dtype][name]
            over[name] = _over(found, allowed, name)
            figures |= {f"{name}_error": found.frobenius or 0.0, f"{name}_limit": allowed.frobenius or 0.0}
        worst = max(over, key=lambda name: over[name])
        passes = over[worst] <= 1
        because = f"{worst} errs {over[worst]:.3g} times the limit of {dtype}"
        return Judged(outcome="pass" if passes else "fail", because=because, worst=over[worst], figures=figures)

    def _like(self, outputs: Outputs) -> Judged:
        """Hold the outputs of 8 bits against the limits of angles and neighbours."""
        found = likeness.figures(outputs, self.golden)
        bounds = list(likeness.bounds(found, self.bfloat16, self.golden))
        worst = max(bounds, key=lambda bound: bound.ratio)
        beside = {f"{name}_bfloat16": value for name, value in self.bfloat16.items()}
        figures = {**found, **beside, **{f"{bound.name}_limit": bound.limit for bound in bounds}}
        what = worst.name.replace("_", " ")
        because = f"{what} is {worst.value:.4g}, where {worst.limit:.4g} is the limit"
        passes = all(bound.ratio <= 1 for bound in bounds)
        return Judged(outcome="pass" if passes else "fail", because=because, worst=worst.ratio, figures=figures)

    def _behaves(self, runner: Runner, outputs: Outputs, dtype: str, first: Judged) -> Judged:
        """Run again in the ways that must not matter, each held against the first run.

        The limits are those of the dtype; of 8 bits twice its own error, for ranges may follow the batch, and both err.
        """
        allowed = self.limits.get(dtype, {})
        if dtype == INT8:
            own = {name: error(rows(outputs[name]), rows(exact)) for name, exact in self.golden.items()}
            allowed = {name: together((mine, mine)) for name, mine in own.items()}
        again = _apart(self._outputs(runner, self.pixels, "the second time"), outputs, allowed)
        one = {name: outputs[name][:1] for name in self.golden}
        alone = _apart(self._outputs(runner, self.pixels[:1], "for an image alone"), one, allowed)
        vectors, alike = self._vectors(runner, outputs, allowed["pooled"])
        figures = {**first.figures, "again": again, "alone": alone, "vectors": vectors}
        for times, what in (
            (again, "the same images a second time"),
            (alone, "an image alone, against the batch"),
            (vectors, "the vectors that embedding gets, in other batches"),
        ):
            if not times <= 1:
                because = f"{what}: apart by {times:.3g} times what is allowed"
                return Judged(outcome="fail", because=because, worst=times, figures=figures)
        because = first.because + (f"; {ALIKE.format(count=alike)}" if alike else "")
        return Judged(outcome="pass", because=because, worst=first.worst, figures=figures)

    def _vectors(self, runner: Runner, outputs: Outputs, allowed: Error) -> tuple[float, int]:
        """Embed as embedding does, in batches of different sizes; return how far the vectors are from the first run's.

        And how many pairs of images are too much alike to tell their order. Raises CandidateError for vectors that are
        not one for each image, or are nearer to that of another image which is not alike.
        """
        order = [0, *reversed(range(len(self.pixels)))]
        batches = [self.pixels[:1].numpy().copy(), self.pixels.flip(0).numpy().copy()]
        with named(runner, self.pixels, "when it embedded"):
            parts = [torch.as_tensor(vectors) for vectors in runner.vectors(iter(batches))]
            shapes = [tuple(part.shape) for part in parts]
            found = torch.cat(parts) if parts else torch.empty(0)
        wanted = [(len(batch), self.golden["pooled"].shape[1]) for batch in batches]
        if shapes != wanted:
            raise CandidateError(f"embedding gave vectors of shapes {shapes} for batches of {wanted}")
        _check_numbers("vectors that embedding gets", found)
        alike = _alike(self.golden["pooled"], allowed)
        apart = torch.cdist(found.double(), self.golden["pooled"])
        nearest = apart.argmin(-1).tolist()
        if any(one != right and not alike[one, right] for one, right in zip(nearest, order, strict=True)):
            raise CandidateError(
                f"embedding gave vectors that belong to the images {nearest}, and not to {order}, as asked for"
            )
        pairs = (int(alike.sum()) - len(alike)) // 2
        return _over(error(found, outputs["pooled"][order]), allowed, "vectors"), pairs

    def _outputs(self, runner: Runner, pixels: Tensor, what: str) -> dict[str, Tensor]:
        """Run a batch; raise CandidateError unless it gives all outputs that the golden has, in finite numbers."""
        with named(runner, pixels, what):
            outputs = behaviour.fetch(call(runner, pixels, what))
        missing = [name for name in self.golden if name not in outputs]
        if missing:
            raise CandidateError(f"gave no {', '.join(missing)} {what}")
        for name, exact in self.golden.items():
            expected = (len(pixels), *exact.shape[1:])
            if tuple(outputs[name].shape) != expected:
                raise CandidateError(f"gave {name} of shape {list(outputs[name].shape)}, not {list(expected)}, {what}")
            _check_numbers(f"{name} {what}", outputs[name])
        return {name: outputs[name] for name in self.golden}


def prepare(model: Model, pixels: Tensor, dtypes: Iterable[str], progress: Progress | None = None) -> Glance:
    """Compute the golden outputs of a few images, and the noise of the trusted run in every dtype that will be tried.

    ``pixels`` [n, 3, h, w]: 2 to 4 different images, as the model's recipe makes them; others than those that 8-bit
    ranges were taken from. Raises UsageError for a model that is not in float32 on the CPU, for images that cannot tell
    order, and for a dtype that has no trusted run.
    """
    say, wanted = progress or (lambda _: None), dict.fromkeys(dtypes)
    trusted.check_model(model)
    _check_pixels(pixels)
    unknown = [name for name in wanted if name not in trusted.REFERENCE and name != INT8]
    if unknown or not wanted:
        raise UsageError(
            f"{', '.join(unknown) or 'no dtype'} was to be judged", expected=f"{', '.join(trusted.REFERENCE)} or {INT8}"
        )
    say(f"golden: {len(pixels)} images in float64 on the CPU")
    golden = _run(model.encoder, pixels, trusted.GOLDEN)
    limits: dict[str, dict[str, Error]] = {}
    unsound: dict[str, str] = {}
    figures: likeness.Figures = {}
    for dtype in trusted.REFERENCE:
        if dtype not in wanted and not (dtype == "bfloat16" and INT8 in wanted):
            continue
        say(f"reference: {dtype} on the CPU")
        outputs = _run(model.encoder, pixels, trusted.REFERENCE[dtype])
        noise = {name: error(rows(outputs[name]), rows(exact)) for name, exact in golden.items()}
        limits[dtype] = {name: limit(noise[name], rounding(rows(golden[name]), dtype), dtype) for name in golden}
        reason = _unsound(noise, dtype)
        if reason:
            unsound[dtype] = reason
        elif dtype == "bfloat16" and INT8 in wanted:
            try:
                figures = likeness.figures(outputs, golden)
            except CandidateError as error_:
                unsound[INT8] = f"nothing can be judged: {error_.seen}"
    return Glance(pixels=pixels.clone(), golden=golden, limits=limits, unsound=unsound, bfloat16=figures)


def _run(encoder: Encoder, pixels: Tensor, arithmetic: Arithmetic) -> dict[str, Tensor]:
    return encode(lambda batch, tap: trusted.run(encoder, batch, arithmetic, tap), pixels)


def _unsound(noise: Mapping[str, Error], dtype: str) -> str:
    """Return why nothing can be judged by a trusted run; nothing where it is sound."""
    found = [value.frobenius for value in noise.values()]
    worst = max((value for value in found if value is not None), default=None)
    if worst is None or None in found:
        return f"nothing can be judged, for the CPU's own {dtype} run is not finite"
    most = SINGLE_MOST if dtype == "float32" else NOISY
    return "" if worst <= most else f"nothing can be judged, for the CPU's own {dtype} run is {worst:.2e} from float64"


def _check_pixels(pixels: Tensor) -> None:
    if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.dtype != torch.float32 or pixels.device.type != "cpu":
        raise UsageError(
            f"the pixels are {pixels.dtype} {list(pixels.shape)} on {pixels.device}",
            expected="float32 [n, 3, h, w] on the CPU",
        )
    if not FEWEST <= len(pixels) <= BATCH:
        raise UsageError(f"{len(pixels)} images were given to judge by", expected=f"{FEWEST} to {BATCH}")
    if any(torch.equal(pixels[i], pixels[j]) for i in range(len(pixels)) for j in range(i)):
        raise UsageError("two of the images are the same, so that order cannot be told", expected="different images")


def _check_numbers(what: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
        raise CandidateError(f"{what}: not all of them are finite numbers")


def _alike(golden: Tensor, allowed: Error) -> Tensor:
    """Return which images [n, n] have vectors [n, D] so near each other that a correct runner may confuse them."""
    count = len(golden)
    near = torch.ones(count, count, dtype=torch.bool)
    for i in range(count):
        for j in range(i):
            ways = (ratio(error(golden[a : a + 1], golden[b : b + 1]), allowed) for a, b in ((i, j), (j, i)))
            near[i, j] = near[j, i] = any(times is None or times <= TOLD for times in ways)
    return near


def _apart(found: Outputs, expected: Outputs, allowed: Mapping[str, Error]) -> float:
    """Return the largest distance of two runs over what is allowed."""
    return max(_over(error(rows(found[name]), rows(x)), allowed[name], name) for name, x in expected.items())


def _over(found: Error, allowed: Error, what: str) -> float:
    """Return an error over its limit; raise CandidateError where there is none."""
    times = ratio(found, allowed)
    if times is None:
        raise CandidateError(f"{what} cannot be compared: a vector is zero, or a number is not finite")
    return times
