"""A close look at every stage: which rounding explains its error, if any does.

Sizes alone cannot tell the rounding of hf32 from a fault of the same size. So each stage, fed the golden's input, is
held against emulations: if the device rounds as one of them does, what remains between the two is the order of
additions, far less than the error itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snellen.encoders.build import Encoder
from snellen.records.verify import Error
from snellen.runtimes.base import Runner
from snellen.verification import trusted
from snellen.verification.calling import call
from snellen.verification.drift import Keeping, rows
from snellen.verification.golden import Golden
from snellen.verification.limits import within
from snellen.verification.metrics import error
from snellen.verification.trusted import Arithmetic

INPUTS = 1
"""Inputs that are looked at closely: every emulation is one more run, and one input has numbers enough."""

EXPLAINED = 0.7
"""The part of an error that may remain when an emulation is taken away, if that is to be called its cause.

A last bit of float32 that differs turns over roundings to fewer bits, and each of those turns over more in the next
product: inside one block up to 0.6 remain of the right emulation (docs/log.md). An error that has nothing to do with an
emulation leaves 1 and more.
"""

UNEXPLAINED = "unexplained"

HALF_END = 65504.0
LARGE = 0.1
"""How far the first stage may lie off for pixels that float16 cannot hold: saturated or infinite, it lies further."""

TIE = 1.1
"""Emulations this close to the best one explain a stage as well; the one that is listed first is named."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """One plausible way to lower precision, in words, and the class it belongs to."""

    precision: str
    words: str
    arithmetic: Arithmetic


ROUNDINGS = (
    Rounding("hf32", "hf32 in convolutions", Arithmetic(operands="hf32", only="convolution")),
    Rounding("hf32", "hf32 in matrix products", Arithmetic(operands="hf32", only="matmul")),
    Rounding("hf32", "hf32", Arithmetic(operands="hf32")),
    Rounding("hf32", "hf32, cut off instead of rounded", Arithmetic(operands="hf32", how="truncate")),
    Rounding("float16", "float16 operands", Arithmetic(operands="float16")),
    Rounding("float16", "float16 operands and results", Arithmetic(operands="float16", results=True)),
    Rounding("float16", "float16 autocast", Arithmetic(operands="float16", autocast=torch.float16)),
    Rounding(
        "float16",
        "float16 autocast, logits too",
        Arithmetic(operands="float16", results=True, autocast=torch.float16),
    ),
    Rounding("float16", "float16 throughout", Arithmetic(torch.float16)),
    Rounding("bfloat16", "bfloat16 operands", Arithmetic(operands="bfloat16")),
    Rounding("bfloat16", "bfloat16 operands, cut off", Arithmetic(operands="bfloat16", how="truncate")),
    Rounding("bfloat16", "bfloat16 operands and results", Arithmetic(operands="bfloat16", results=True)),
    Rounding("bfloat16", "bfloat16 autocast", Arithmetic(operands="bfloat16", autocast=torch.bfloat16)),
    Rounding(
        "bfloat16",
        "bfloat16 autocast, logits too",
        Arithmetic(operands="bfloat16", results=True, autocast=torch.bfloat16),
    ),
    Rounding("bfloat16", "bfloat16 throughout", Arithmetic(torch.bfloat16)),
)


def precisions(
    golden: Golden, encoder: Encoder, runner: Runner, isolated: Mapping[str, Error], limits: Mapping[str, Error]
) -> dict[str, str]:
    """Name the rounding of every stage: "float32" within that class's limits, a rounding's words, or "unexplained".

    ``isolated`` are the candidate's errors by stage, ``limits`` those of float32.
    """
    above = [name for name, found in isolated.items() if not within(found, limits[name])]
    named = dict.fromkeys(isolated, "float32")
    if not above:
        return named
    pixels = golden.pixels[:INPUTS]
    feed = {name: stage[:INPUTS] for name, stage in golden.stages.items()}
    theirs = Keeping(feed, torch.float32)
    call(runner, pixels, "while its stages were looked at closely", theirs)
    whole = {name: error(rows(theirs.stages[name]), rows(feed[name])).frobenius for name in above}
    remains: dict[str, list[tuple[float, str]]] = {name: [] for name in above}
    for rounding in ROUNDINGS:
        tap = _Remainder(theirs.stages, feed, whole)
        trusted.run(encoder, pixels, rounding.arithmetic, tap)
        for name, left in tap.left.items():
            remains[name].append((left, rounding.words))
    named |= {name: _best(found) for name, found in remains.items()}
    return _told_apart(named, golden, encoder, runner)


def _told_apart(named: dict[str, str], golden: Golden, encoder: Encoder, runner: Runner) -> dict[str, str]:
    """Tell hf32 from float16, which round alike: float16 ends at 65504, hf32 where float32 does.

    The first stage is shown pixels that are too large for float16. Where it is not lowered, or where a norm comes
    before anything large, nothing can be told, and hf32 stays the name.
    """
    first = next(iter(named))
    if not named[first].startswith("hf32") or _holds_large(first, golden, encoder, runner):
        return named
    return {name: "float16 operands" if words.startswith("hf32") else words for name, words in named.items()}


def _holds_large(first: str, golden: Golden, encoder: Encoder, runner: Runner) -> bool:
    """Tell whether the first stage is right for pixels beyond the range of float16."""
    largest = golden.pixels.flatten(1).abs().amax(1)  # [n]
    row = int(largest.argmax())
    if not largest[row]:
        return True  # inputs of nothing but zeros tell nothing
    pixels = golden.pixels[row : row + 1] * (2 * HALF_END / largest[row])
    mine, exact = Keeping(dtype=torch.float32), Keeping()
    call(runner, pixels, "for pixels beyond the range of float16", mine)
    trusted.run(encoder, pixels, trusted.SINGLE, exact)
    found = error(rows(mine.stages[first]), rows(exact.stages[first])).frobenius
    return found is not None and found < LARGE


class _Remainder:
    """A tap on an emulation: the part of the candidate's error that remains once the emulation's is taken away.

    ``whole``: the candidate's error, for the stages that are looked at.
    """

    def __init__(
        self, theirs: Mapping[str, Tensor], golden: Mapping[str, Tensor], whole: Mapping[str, float | None]
    ) -> None:
        self._theirs, self._golden, self._whole = theirs, golden, whole
        self.left: dict[str, float] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if whole := self._whole.get(name):
            rest = error(rows(self._theirs[name]), rows(x.float())).frobenius
            if rest is not None:
                self.left[name] = rest / whole
        return self._golden[name].to(x.dtype)


def _best(found: list[tuple[float, str]]) -> str:
    """Choose the emulation that leaves least; the first listed where several leave nearly as little."""
    least = min((left for left, _ in found), default=1.0)
    if least > EXPLAINED:
        return UNEXPLAINED
    return next(words for left, words in found if left <= TIE * least)
