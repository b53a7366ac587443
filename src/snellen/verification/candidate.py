"""Run the candidate in every way a verdict needs, and keep figures rather than tensors.

In: a runner and a golden. Out: its outputs, its reruns, its two drift curves, and where things lay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snellen.encoders.build import Encoder
from snellen.encoders.features import Features, Tap
from snellen.errors import InputError, UsageError
from snellen.records.verify import Check, Error
from snellen.runtimes.base import Runner
from snellen.verification import behaviour, placement
from snellen.verification.behaviour import Reruns
from snellen.verification.calling import call, look
from snellen.verification.drift import BATCH, Drift, Run, encode, joined, outputs_of, rows
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
    built: bool  # whether that was another build of the network, which cannot be fed the golden's stages


def looks_at(runner: Runner, say: Progress) -> bool:
    """Tell whether stages are to be taken from a second build; raise UsageError where there is none either."""
    if runner.stages:
        say(f"--stages changes nothing: {runner.runtime} shows its stages already")
    elif not runner.watched:
        raise UsageError(
            f"the stages of {runner.runtime} were asked for, and it shows none"
            + (f" ({runner.note})" if runner.note else ""),
            expected="a runtime that shows its stages, or that has a second build to show them",
            todo="leave --stages out: outputs are judged without",
        )
    return not runner.stages


def observe(  # noqa: PLR0913  (what is on trial, what it is held to, and how far it is looked at)
    runner: Runner,
    encoder: Encoder,
    golden: Golden,
    reference: Noise,
    progress: Progress,
    *,
    dtype: str,
    looks: bool = False,
) -> Observed:
    """Run the candidate freely, again, reversed, alone, and with its stages watched; ``encoder`` is the trusted one.

    ``dtype``: the one asked for. ``looks``: stages that no tap sees are taken from a second build of the network.
    Raises CandidateError where it raises, InputError for outputs or stages of another shape than the golden's.
    """
    progress(f"candidate: {runner.runtime}, {runner.dtype} on {runner.device.name}")
    with runner.device.watched() as watch:
        held = call(runner, golden.pixels[:BATCH], "in its first run")
        _check_shapes(outputs_of(held), golden)
        where = placement.outputs(runner, outputs_of(held))
        reruns = behaviour.rerun(runner, golden.pixels, held)
        parts = [reruns.first]
        if len(golden.pixels) > BATCH:
            parts.append(encode(running(runner, "for a later batch"), golden.pixels[BATCH:]))
        outputs = {name: tensor for name, tensor in joined(parts).items() if name in golden.outputs}
        free, fed = Drift(golden.stages, isolated=False), Drift(golden.stages, isolated=True)
        watched: dict[str, Tensor] = {}
        if runner.stages:
            watched = encode(running(runner, "while its stages were watched"), golden.pixels[:BATCH], free)
            call(runner, golden.staged, "while its stages were fed the golden's", fed)
        elif looks:
            watched = _looked(runner, golden, free)
    errors = {name: error(rows(tensor), rows(golden.outputs[name])) for name, tensor in outputs.items()}
    same = [name for name, tensor in outputs.items() if _is_reference(name, tensor, golden, reference)]
    found = (
        placement.complete(outputs, list(golden.outputs)),
        placement.parameters(runner),
        where,
        placement.dtype(runner, dtype, _nearer(errors, reference)),
        placement.fallbacks(runner, watch),
        placement.independent(runner, same, placement.shares(runner, encoder)),
    )
    return Observed(
        outputs=outputs,
        errors=errors,
        reruns=reruns,
        cumulative=free.errors,
        isolated={} if _ignores(free.errors, fed.errors) else fed.errors,
        placement=found,
        watched=watched,
        built=looks and not runner.stages,
    )


def _looked(runner: Runner, golden: Golden, drift: Drift) -> dict[str, Tensor]:
    """Hold the stages of a second build against the golden's; return what of its outputs is shown."""
    stages = look(runner, golden.staged, "in the build that shows its stages")
    missing = [name for name in runner.watched if name not in stages]
    if missing or not stages:
        raise InputError(f"the build that shows stages gave no {', '.join(missing) or 'stage'}", expected="all of them")
    order = list(golden.stages)
    for name in sorted(stages, key=lambda name: order.index(name) if name in order else -1):
        drift(name, stages[name])  # one that the golden does not have is refused by its name
    return {"pooled": stages["pooled"].detach().cpu()} if "pooled" in stages else {}


def running(runner: Runner, what: str) -> Run:
    """Return how to run one batch, wait for it, and say which run it was where it fails."""

    def run(batch: Tensor, tap: Tap | None) -> Features:
        return call(runner, batch, what, tap)

    return run


def outputs_again(runner: Runner, golden: Golden, what: str) -> dict[str, Error]:
    """Run all inputs once more, and return the errors of the outputs."""
    outputs = encode(running(runner, what), golden.pixels)
    _check_shapes(outputs, golden)
    return {
        name: error(rows(tensor), rows(golden.outputs[name]))
        for name, tensor in outputs.items()
        if name in golden.outputs
    }


def stages_again(runner: Runner, golden: Golden, what: str) -> dict[str, Error]:
    """Feed every stage the golden's input once more, and return the errors."""
    fed = Drift(golden.stages, isolated=True)
    call(runner, golden.staged, what, fed)
    return fed.errors


def _check_shapes(outputs: Mapping[str, Tensor], golden: Golden) -> None:
    """Refuse outputs of another shape than the golden's."""
    for name, tensor in outputs.items():
        expected = golden.outputs[name].shape[1:] if name in golden.outputs else tensor.shape[1:]
        if tensor.shape[1:] != expected:
            raise InputError(
                f"the candidate's {name} have shape {list(tensor.shape[1:])} for each input",
                expected=f"{list(expected)}",
                todo="give the candidate the same input size and pooling as the encoder has",
            )


def _is_reference(name: str, tensor: Tensor, golden: Golden, reference: Noise) -> bool:
    """Tell whether an output has the very bits of the reference's, whatever dtype it is handed over in."""
    known = reference.digests.get(name)
    dtypes = {golden.single[name].dtype, tensor.dtype} if name in golden.single else {tensor.dtype}
    return known is not None and any(digest({name: tensor.to(dtype)}) == known for dtype in dtypes)


def _nearer(errors: Mapping[str, Error], reference: Noise) -> float | None:
    """Return how many times nearer to the golden than the reference every output is, at least."""
    pairs = [(reference.outputs[name].frobenius, found.frobenius) for name, found in errors.items()]
    ratios = [known / found for known, found in pairs if known and found]
    return min(ratios) if len(ratios) == len(pairs) and ratios else None


def _ignores(free: Mapping[str, Error], fed: Mapping[str, Error]) -> bool:
    """Tell whether feeding the golden's stages changed nothing: then what was fed is not what the stages got."""
    later = list(free)[1:]
    return (
        len(later) > 1 and all(free[name] == fed.get(name) for name in later) and any(free[n].frobenius for n in later)
    )
