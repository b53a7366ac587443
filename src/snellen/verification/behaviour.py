"""How a candidate behaves beside its numbers: the same twice, alone as in a batch, and not what it said before.

Everything here is held against the candidate's own run, not against the golden: a lower precision is no misbehaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snellen.encoders.features import Features
from snellen.errors import CandidateError
from snellen.records.verify import Check, Error, Status
from snellen.runtimes.base import Runner
from snellen.verification.calling import call
from snellen.verification.drift import BATCH, outputs_of, rows
from snellen.verification.limits import ratio
from snellen.verification.metrics import error

Outputs = Mapping[str, Tensor]
ALONE = 3
"""Inputs that are run alone: the first, the third, the last."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """What is said of two runs of one batch: of the same bits, within the limit (by {} of it), or beyond."""

    name: str
    same: str
    near: str
    far: str
    status: Status  # of what lies within the limit


WATCHED = Repeat(
    name="behaviour.watched",
    same="watching the stages changes no bit of the outputs",
    near="watching the stages moves the outputs by {:.3g} of the limit: the curves are of a second run",
    far="the run whose stages were watched gave other outputs, beyond the limit",
    status="pass",
)
TWICE = Repeat(
    name="behaviour.determinism",
    same="the same input twice gave the same bits",
    near="the same input twice differed, by {:.3g} of the limit: figures will not repeat to the last bit",
    far="the same input twice gave results that differ by more than the limit, or are not finite",
    status="warn",
)


@dataclass(frozen=True, slots=True)
class Reruns:
    """One batch, run again in every way that must not matter."""

    pixels: Tensor
    other: Tensor  # other inputs: the same in reverse order where that is another batch
    first: Outputs  # as fetched after the first run
    held: Outputs  # the very same tensors of the first run, fetched once more after all other runs
    again: Outputs
    reversed: Outputs  # of the other inputs
    alone: tuple[tuple[int, Outputs], ...]
    refused: str = ""  # why an input could not be run alone


def rerun(runner: Runner, pixels: Tensor, first: Features) -> Reruns:
    """Run a batch again, in reverse and in part; ``first`` is what the first run of it left."""
    pixels = pixels[:BATCH]
    snapshot = fetch(first)
    again = fetch(call(runner, pixels, "when it was run a second time"))
    other = _other(pixels)
    backwards = fetch(call(runner, other, "for the batch in another order"))
    rows_alone = sorted({0, min(ALONE, len(pixels)) - 1, len(pixels) - 1}) if len(pixels) > 1 else []
    alone, refused = [], ""
    for row in rows_alone:
        try:
            alone.append((row, fetch(call(runner, pixels[row : row + 1], "for an input alone"))))
        except CandidateError as error:  # a fixed batch size is no fault, but nothing can be said then
            refused = error.seen
            break
    return Reruns(pixels, other, snapshot, fetch(first), again, backwards, tuple(alone), refused)


def fetch(features: Features) -> dict[str, Tensor]:
    """Copy the outputs of a run that is done, so that nothing later can change them."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in outputs_of(features).items()}


def checks(reruns: Reruns, limits: Mapping[str, Error]) -> tuple[Check, ...]:
    """Judge the reruns; ``limits`` by output: the calibrated ones, or the candidate's own error where larger."""
    return (
        _determinism(reruns, limits),
        _order(reruns, limits),
        _alone(reruns, limits),
        _stale(reruns),
        _overwritten(reruns),
    )


def watched(runner: Runner, seen: Outputs, reruns: Reruns, limits: Mapping[str, Error]) -> Check:
    """Check that watching the stages changed nothing, so that the curves speak of the run that was judged."""
    if not seen:
        because = runner.note or f"{runner.runtime} shows no stages; outputs alone are judged"
        if runner.watched:
            because += "; --stages looks at them in a second build"
        return Check(name=WATCHED.name, status="unknown", because=because)
    others = _others(WATCHED.name, "while its stages were watched", seen, reruns.first)
    return others or _repeated(WATCHED, reruns.first, seen, limits)


def built(runner: Runner, seen: Outputs, reruns: Reruns, limits: Mapping[str, Error]) -> Check:
    """Check that the second build of a network, which shows the stages, computes what the first one does.

    ``seen``: what of its outputs is among the stages. Where it does not, its stages say nothing of the build on trial.
    """
    name, both = WATCHED.name, {key: reruns.first[key][: len(x)] for key, x in seen.items() if key in reruns.first}
    if not both:
        because = f"the build of {runner.runtime} that shows its stages shows no output to compare the two by"
        return Check(name=name, status="warn", because=because)
    worst = _apart({key: seen[key].to(x.dtype) for key, x in both.items()}, both, limits)
    if worst is not None and worst <= 1:
        because = f"a second build shows the stages; its {', '.join(both)} differ by {worst:.3g} of the limit"
        return Check(name=name, status="pass", because=because, value=worst, limit=1.0)
    because = (
        f"the second build, which shows the stages, gave other {', '.join(both)} than the one on trial, "
        "beyond the limit: its stages are left out"
    )
    return Check(name=name, status="warn", because=because, value=worst, limit=1.0)


def _determinism(reruns: Reruns, limits: Mapping[str, Error]) -> Check:
    others = _others(TWICE.name, "the second time", reruns.again, reruns.first)
    return others or _repeated(TWICE, reruns.again, reruns.first, limits)


def _repeated(said: Repeat, found: Outputs, expected: Outputs, limits: Mapping[str, Error]) -> Check:
    """Judge two runs of one batch that gave the same outputs."""
    if _same(found, expected):
        return Check(name=said.name, status="pass", because=said.same, value=0.0)
    worst = _apart(found, expected, limits)
    if worst is not None and worst <= 1:
        return Check(name=said.name, status=said.status, because=said.near.format(worst), value=worst, limit=1.0)
    return Check(name=said.name, status="fail", because=said.far, value=worst, limit=1.0)


def _others(name: str, when: str, found: Outputs, usual: Outputs) -> Check | None:
    """Fail a run that gave other outputs than the first; None where it gave the same."""
    if found.keys() == usual.keys():
        return None
    return Check(name=name, status="fail", because=f"gave {', '.join(found)} {when}, {', '.join(usual)} otherwise")


def _order(reruns: Reruns, limits: Mapping[str, Error]) -> Check:
    name = "behaviour.order"
    if len(reruns.pixels) < 2 or not torch.equal(reruns.other, reruns.pixels.flip(0)):
        return Check(name=name, status="unknown", because="inputs that are all alike, or one alone, have no order")
    turned, what = {key: tensor.flip(0) for key, tensor in reruns.reversed.items()}, "a batch in reverse order"
    others = _others(name, f"for {what}", turned, reruns.first)
    return others or _invariant(name, what, _apart(turned, reruns.first, limits))


def _alone(reruns: Reruns, limits: Mapping[str, Error]) -> Check:
    name = "behaviour.batch"
    if reruns.refused:
        return Check(name=name, status="unknown", because=f"it takes batches of one size only: {reruns.refused}")
    if not reruns.alone:
        return Check(name=name, status="unknown", because="one input is a batch of one already")
    found = []
    for row, outputs in reruns.alone:
        others = _others(name, "for an input alone", outputs, reruns.first)
        if others:
            return others
        found.append(_apart(outputs, {key: x[row : row + 1] for key, x in reruns.first.items()}, limits))
    worst = None if None in found else max(value for value in found if value is not None)
    return _invariant(name, f"an input alone, against the batch of {len(reruns.pixels)}", worst)


def _invariant(name: str, what: str, worst: float | None) -> Check:
    if worst is None:
        return Check(name=name, status="fail", because=f"{what}: not finite, or of another shape")
    if worst <= 1:
        return Check(
            name=name, status="pass", because=f"{what}, differs by {worst:.3g} of the limit", value=worst, limit=1.0
        )
    because = f"{what}, differs by {worst:.3g} times the limit"
    return Check(name=name, status="fail", because=because, value=worst, limit=1.0)


def _stale(reruns: Reruns) -> Check:
    name = "behaviour.stale"
    if torch.equal(reruns.other, reruns.pixels):
        return Check(name=name, status="unknown", because="the inputs are flat and alike, so there are no others")
    finite = [key for key, tensor in reruns.reversed.items() if bool(tensor.isfinite().all())]
    old = [key for key in finite if equal(reruns.reversed[key], reruns.again.get(key))]
    if old and all(equal(reruns.again[key][:1].expand_as(reruns.again[key]), reruns.again[key]) for key in old):
        because = f"{', '.join(old)} are the same for all inputs: the candidate does not look at them"
        return Check(name=name, status="fail", because=because)
    if old:
        because = f"{', '.join(old)} of other inputs are bit for bit those of the batch before: an old result came back"
        return Check(name=name, status="fail", because=because)
    return Check(name=name, status="pass", because="other inputs gave other results")


def _overwritten(reruns: Reruns) -> Check:
    name = "behaviour.overwritten"
    changed = [key for key, tensor in reruns.held.items() if not equal(tensor, reruns.first[key])]
    if changed:
        because = f"{', '.join(changed)} of the first run changed while later batches ran: the buffer is used again"
        return Check(name=name, status="fail", because=because)
    return Check(name=name, status="pass", because="results stay what they were while later batches run")


def _other(pixels: Tensor) -> Tensor:
    """Return the batch in reverse order; where that is no other batch, mirrored, shifted or negated."""
    others = (pixels.flip(0), pixels.flip(-1), pixels.roll(1, -1), -pixels)
    return next((other for other in others if not torch.equal(other, pixels)), pixels)


def _apart(found: Outputs, expected: Outputs, limits: Mapping[str, Error]) -> float | None:
    """Return the largest distance of two runs over its limit; None where one is not finite or of another shape."""
    worst = 0.0
    for name, tensor in expected.items():
        if name not in found or found[name].shape != tensor.shape:
            return None
        one = ratio(error(rows(found[name]), rows(tensor)), limits[name]) if name in limits else 0.0
        if one is None:
            return None
        worst = max(worst, one)
    return worst


def _same(one: Outputs, other: Outputs) -> bool:
    return all(equal(tensor, other.get(name)) for name, tensor in one.items())


def equal(one: Tensor, other: Tensor | None) -> bool:
    """Tell whether two tensors have the same bits; a NaN that comes back is the same answer."""
    if other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))
