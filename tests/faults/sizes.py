"""How large a fault is in itself: the faulty encoder in float64 against the right one in float64.

No rounding hides anything here. In: a fault and a subject. Out: an ``Error`` for every output, and for every stage fed
the right input. A rewrite that is healthy must come out below ``EXACT``, a fault above it.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from faults.edits import Edit
from faults.fault import Fault
from faults.runners import Faulty, Plain, Wrap, each
from faults.subjects import Subject, model, recipe_of
from snellen.encoders.build import Encoder
from snellen.encoders.features import Features
from snellen.records.verify import Error
from snellen.runtimes.base import Runner

EXACT = 1e-12
KEPT = 8
"""Right runs that are kept; all are shrunken encoders but where ``forget`` is called after each."""


@dataclass(frozen=True)
class Size:
    """The errors of a faulty float64 run: of outputs over every call that a verifier makes, and of isolated stages."""

    outputs: dict[str, Error]
    stages: dict[str, Error]

    @property
    def largest(self) -> float:
        """The largest of all; infinite where a number is not finite."""
        return max(part for error in (*self.outputs.values(), *self.stages.values()) for part in _parts(error))


def of_fault(fault: Fault, subject: Subject, pixels: Tensor, seed: int = 0) -> Size:
    """Measure a fault on pixels [B, 3, h, w]."""
    right = right_runs(subject, seed, pixels)
    return right.against(wrapped(fault, subject, Plain(edited(fault, right.copy()), "float64")))


def of_edit(edit: Edit, subject: Subject, pixels: Tensor, seed: int = 0) -> Size:
    """Measure a rewrite."""
    right = right_runs(subject, seed, pixels)
    encoder = right.copy()
    edit(encoder)
    return right.against(Plain(encoder, "float64"))


def forget() -> None:
    """Let go of the right runs that are kept."""
    _RIGHT.clear()


def edited(fault: Fault, encoder: Encoder) -> Encoder:
    """Apply a fault's edit to an encoder."""
    if fault.edit is not None:
        fault.edit(encoder)
    return encoder


def wrapped(fault: Fault, subject: Subject, runner: Runner) -> Runner:
    """Put what a fault does to pixels, outputs and calls around a runner."""
    if fault.recipe is not None:
        recipe = recipe_of(subject)
        return Faulty(runner, before=fault.recipe(recipe.mean, recipe.std))
    wrap: Wrap | None = fault.wrap
    return runner if wrap is None else wrap(runner)


class Right:
    """The right encoder in float64: its outputs in every call that a verifier makes, and its stages."""

    def __init__(self, encoder: Encoder, pixels: Tensor) -> None:
        runner = Plain(encoder, "float64")
        self._encoder, self._pixels = runner.encoder, pixels
        alone = [pixels[i : i + 1] for i in range(min(3, len(pixels)))]
        self._calls = [pixels, pixels, pixels, pixels.flip(0), *alone]
        self._outputs = [_named(runner.run(call)) for call in self._calls]
        self._stages: dict[str, Tensor] = {}

        def keep(name: str, x: Tensor) -> Tensor:
            self._stages[name] = x
            return x

        runner.run(pixels, keep)

    def copy(self) -> Encoder:
        """Return a copy of the encoder that may be spoilt."""
        return deepcopy(self._encoder)

    def against(self, wrong: Runner) -> Size:
        """Compare a runner in everything."""
        stages: dict[str, Error] = {}

        def judge(name: str, x: Tensor) -> Tensor:
            stages[name] = apart(_rows(x), _rows(self._stages[name]))
            return self._stages[name]

        outputs = self._compared(wrong)
        wrong.run(self._pixels, judge)
        return Size(outputs, stages)

    def _compared(self, wrong: Runner) -> dict[str, Error]:
        """Call as a verifier does: again, in reverse, items alone; then look at the first result again."""
        first = wrong.run(self._calls[0])
        found = [_copied(first), *(_copied(wrong.run(call)) for call in self._calls[1:]), _copied(first)]
        worst: dict[str, Error] = {}
        for one, other in zip(found, [*self._outputs, self._outputs[0]], strict=True):
            for name, tensor in other.items():
                worst[name] = _larger(worst.get(name), apart(_rows(one[name]), _rows(tensor)))
        return worst


_RIGHT: dict[tuple[Subject, int, int], Right] = {}


def right_runs(subject: Subject, seed: int, pixels: Tensor) -> Right:
    """Return the right runs of an encoder on some pixels; the last ones are kept."""
    key = (subject, seed, hash(pixels.numpy().tobytes()))
    if key not in _RIGHT:
        if len(_RIGHT) >= KEPT:
            _RIGHT.clear()
        _RIGHT[key] = Right(model(subject, seed).encoder, pixels)
    return _RIGHT[key]


def _named(features: Features) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in features.named().items() if tensor.numel()}


def _copied(features: Features) -> dict[str, Tensor]:
    return _named(each(features, torch.clone))


def apart(a: Tensor, g: Tensor) -> Error:
    """Return the relative Frobenius error and that of the worst token; infinite where a number is not finite."""
    distance, size = (a - g).norm(dim=-1), g.norm(dim=-1)
    token = (distance / size).nan_to_num(torch.inf, torch.inf).max()
    frobenius = (distance.norm() / size.norm()).nan_to_num(torch.inf, torch.inf)
    return Error(frobenius=float(frobenius), token=float(token))


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _larger(one: Error | None, other: Error) -> Error:
    if one is None:
        return other
    return Error(frobenius=max(one.frobenius, other.frobenius), token=max(one.token, other.token))


def _parts(error: Error) -> tuple[float, float]:
    return error.frobenius, error.token
