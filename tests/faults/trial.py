"""Try one fault, or one healthy run: a trial record by the verifier, and what the corpus knows about it beforehand.

One golden for each (encoder, seed, pixels), used for all their runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import lru_cache

import torch
from torch import Tensor

from faults import sizes
from faults.fault import Fault, Healthy
from faults.places import stage
from faults.power import Floor, Row
from faults.rewrites import matmuls_reversed
from faults.runners import Plain
from faults.simulated import simulated
from faults.subjects import Subject, model, noise, photographs
from snellen import runtimes
from snellen.devices import resolve
from snellen.encoders.build import Encoder
from snellen.records.verify import Error, TrialRecord
from snellen.verification.golden import Golden, compute, noises, with_noise
from snellen.verification.inputs import given
from snellen.verification.limits import limit, ratio
from snellen.verification.trial import verify

INPUTS = 4


class Bench:
    """One encoder with one seed: its golden for each set of pixels, and a copy for each trial."""

    def __init__(self, subject: Subject, seed: int = 0) -> None:
        self.subject, self.seed = subject, seed
        self.model = model(subject, seed)
        self._goldens: dict[str, Golden] = {}

    def golden(self, pixels: Tensor, dtype: str) -> Golden:
        """Return the golden of some pixels, with the noise that judges a dtype."""
        inputs = given(pixels)
        key = inputs.record(pixels).sha256
        known = self._goldens.get(key) or compute(self.model, inputs, noises(dtype), _silent)
        self._goldens[key] = with_noise(known, self.model, noises(dtype), _silent)
        return self._goldens[key]

    def copy(self) -> Encoder:
        """Return a copy of the encoder that may be spoilt."""
        return deepcopy(self.model.encoder)


@lru_cache(maxsize=4)
def bench(subject: Subject, seed: int = 0) -> Bench:
    """Return the bench of an encoder; those used last are kept."""
    return Bench(subject, seed)


def try_fault(fault: Fault, subject: Subject, count: int = INPUTS) -> tuple[Row, TrialRecord]:
    """Try one fault on one encoder."""
    at, pixels = bench(subject), photographs(subject, count)
    encoder = at.copy()
    if fault.kind not in ("placement", "precision"):
        matmuls_reversed(encoder)  # so that it is another run than the reference, and no more than that
    sizes.edited(fault, encoder)
    with simulated(fault.arithmetic) if fault.arithmetic else nullcontext(resolve("cpu")) as device:
        runtime = Plain(encoder, fault.dtype, device)
        if fault.kind == "placement" and not fault.arithmetic:
            runtime.runtime = "eager"  # it is the encoder itself
        runner = sizes.wrapped(fault, subject, runtime)
        record = verify(
            at.model, device=device.name, dtype=fault.dtype, candidate=runner, golden=at.golden(pixels, fault.dtype)
        )
    floor = floor_of(fault, subject, record, pixels)
    expected = stage(at.model.encoder, fault.culprit) if fault.culprit else None
    row = Row(
        name=fault.name,
        subject=subject.label,
        kind=fault.kind,
        outcomes={verdict.rule: verdict.outcome for verdict in record.verdicts},
        floor=floor,
        culprit=_calibrated(record).culprit,
        expected=first_above(floor, expected),
        because=_calibrated(record).because,
        precision=_calibrated(record).precision,
        asked=(fault.precision, fault.cause) if fault.kind == "precision" else None,
        cause=record.cause,
    )
    return row, record


def try_healthy(run: Healthy) -> tuple[Row, TrialRecord]:
    """Try one healthy run."""
    subject = run.subject
    at = bench(subject, run.seed)
    pixels = photographs(subject, run.photographs, run.first) if run.photographs else noise(subject)
    with simulated(run.arithmetic) if run.arithmetic else nullcontext(resolve("cpu")) as device:
        if run.runtime == "module":
            encoder = at.copy()
            if run.edit is not None:
                run.edit(encoder)
            runner = Plain(encoder, run.dtype, device)
        else:
            runner = runtimes.make(run.runtime, at.model, device, run.dtype)
        golden = at.golden(pixels, run.dtype)
        with threads(run.threads):
            record = verify(
                at.model, device=device.name, dtype=run.dtype, candidate=runner, golden=golden, expect=run.expect
            )
    row = Row(
        name=run.name,
        subject=subject.label,
        kind="healthy",
        outcomes={verdict.rule: verdict.outcome for verdict in record.verdicts},
        because=_calibrated(record).because,
        ratio=_calibrated(record).ratio,
    )
    return row, record


def floor_of(fault: Fault, subject: Subject, record: TrialRecord, pixels: Tensor) -> Floor:
    """Measure a fault against what must be seen, wherever something is judged."""
    if fault.kind == "placement":
        return Floor(ratio=float("inf"), size=None, seen=None, at="where it computes", stages={})
    if fault.kind == "precision":
        outputs: dict[str, Error] = {}
        stages = {s.name: s.ladder[fault.precision] for s in record.stages if s.name in _lowered(fault, record)}
    else:
        found = sizes.of_fault(fault, subject, pixels)
        outputs, stages = found.outputs, found.stages
    allowed = {o.name: sure(o.ladder[record.expect], o.rounding, record.expect) for o in record.outputs}
    within = {s.name: sure(s.ladder[record.expect], s.rounding, record.expect) for s in record.stages}
    over = [
        *((name, error, allowed[name]) for name, error in outputs.items() if name in allowed),
        *((name, error, within[name]) for name, error in stages.items() if name in within),
    ]
    at, error, most = max(over, key=lambda one: _ratio(one[1], one[2]))
    worst = _ratio(error, most)
    return Floor(
        ratio=worst,
        size=error.frobenius,
        seen=error.frobenius / worst if 0 < worst < float("inf") else most.frobenius,
        at=at,
        stages={name: _ratio(error, within[name]) for name, error in stages.items() if name in within},
    )


def sure(reference: Error, rounding: Error, precision: str) -> Error:
    """Return the size from which on a fault cannot hide: the limit, and the run's own noise, which may oppose it."""
    most = limit(reference, rounding, precision)
    return Error(frobenius=most.frobenius + reference.frobenius, token=most.token + reference.token)


def first_above(floor: Floor, declared: str | None) -> str | None:
    """Return the stage to blame: the declared one where its own error can be seen, else the first that can be."""
    if declared is None:
        return None
    if floor.stages.get(declared, 0.0) > 1:
        return declared
    return next((name for name, over in floor.stages.items() if over > 1), None)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads for a while; as many as now for None."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _lowered(fault: Fault, record: TrialRecord) -> set[str]:
    """Name the stages in which the device's arithmetic must show."""
    names = [s.name for s in record.stages if s.name not in ("tokens", "norm", "pooled")]
    if fault.arithmetic == "hf32 matmul":
        return {name for name in names if "block" in name}
    return set(names[:1]) if fault.arithmetic == "hf32 convolution" else set(names)


def _calibrated(record: TrialRecord):
    return next(verdict for verdict in record.verdicts if verdict.rule == "calibrated")


def _ratio(error: Error, allowed: Error) -> float:
    if error.frobenius == float("inf"):
        return float("inf")
    found = ratio(error, allowed)
    return float("inf") if found is None else found


def _silent(_: str) -> None:
    pass


def forget() -> None:
    """Let go of all encoders and goldens."""
    bench.cache_clear()
    sizes.forget()
