"""Run the candidate in every way a verdict needs, and keep figures rather than tensors.

In: a runner and a golden. Out: its outputs, its reruns, its two drift curves, and where things lay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snellen.encoders.build import Encoder
from snellen.encoders.features import Tap
from snellen.errors import InputError
from snellen.records.verify import Check, Error
from snellen.runtimes.base import Runner
from snellen.verification import behaviour, placement
from snellen.verification.behaviour import Reruns
from snellen.verification.drift import BATCH, Drift, Run, encode, outputs_of, rows
from snellen.verification.golden import Golden, Noise, Progress, digest
from snellen.verification.metrics import error

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the candidate did."""

    outputs: dict[str, Tensor]
    errors: dict[str, Error]  # of the outputs, against the golden
    reruns: Reruns
    cumulative: dict[str, Error]
    isolated: dict[str, Error]
    placement: tuple[Check, ...]
    watched: dict[str, Tensor]  # the outputs of the run whose stages were watched


def observe(runner: Runner, encoder: Encoder, golden: Golden, reference: Noise, progress: Progress) -> Observed:
    """Run the candidate freely, again, reversed, alone, and with its stages watched; ``encoder`` is the trusted one."""
    progress(f"candidate: {runner.runtime}, {runner.dtype} on {runner.device.name}")
    with runner.device.watched() as watch:
        held = runner.run(golden.pixels[:BATCH])
        runner.device.synchronize()
        where = placement.outputs(runner, outputs_of(held))
        reruns = behaviour.rerun(runner, golden.pixels, held)
        outputs = _all(runner, golden, reruns)
    free, fed = Drift(golden.stages, isolated=False), Drift(golden.stages, isolated=True)
    watched: dict[str, Tensor] = {}
    if runner.stages:
        progress("candidate: its stages")
        watched = encode(running(runner), golden.staged, free)
        runner.run(golden.staged, fed)
        runner.device.synchronize()
    errors = {name: error(rows(tensor), rows(golden.outputs[name])) for name, tensor in outputs.items()}
    found = (
        placement.parameters(runner),
        where,
        placement.fallbacks(runner, watch),
        placement.independent(runner, digest(outputs) == reference.digest, placement.shares(runner, encoder)),
    )
    return Observed(
        outputs=outputs,
        errors=errors,
        reruns=reruns,
        cumulative=free.errors,
        isolated=fed.errors,
        placement=found,
        watched=watched,
    )


def running(runner: Runner) -> Run:
    """Return how to run one batch and wait for it."""

    def run(batch: Tensor, tap: Tap | None) -> object:
        features = runner.run(batch, tap)
        runner.device.synchronize()
        return features

    return run  # type: ignore[return-value]


def outputs_again(runner: Runner, golden: Golden) -> dict[str, Error]:
    """Run the first batch once more, and return the errors of its outputs."""
    outputs = encode(running(runner), golden.pixels[:BATCH])
    return {
        name: error(rows(tensor), rows(golden.outputs[name][:BATCH]))
        for name, tensor in _known(outputs, golden).items()
    }


def _all(runner: Runner, golden: Golden, reruns: Reruns) -> dict[str, Tensor]:
    """Join the first batch, as it was fetched first, with the batches after it."""
    outputs = dict(reruns.first)
    if len(golden.pixels) > BATCH:
        import torch

        more = encode(running(runner), golden.pixels[BATCH:])
        outputs = {name: torch.cat([outputs[name], more[name]]) for name in outputs}
    return _known(outputs, golden)


def _known(outputs: Mapping[str, Tensor], golden: Golden) -> dict[str, Tensor]:
    """Keep what the golden has too; refuse another shape, and a candidate of which nothing can be compared."""
    known = {name: tensor for name, tensor in outputs.items() if name in golden.outputs}
    for name, tensor in known.items():
        expected = golden.outputs[name].shape[1:]
        if tensor.shape[1:] != expected:
            raise InputError(
                f"the candidate's {name} have shape {list(tensor.shape[1:])} for each input",
                expected=f"{list(expected)}",
                todo="give the candidate the same input size and pooling as the encoder has",
            )
    return known
