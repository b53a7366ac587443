"""Put a candidate on trial: golden, references and candidate in, one record with every figure and a verdict out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from torch import nn

from snellen import devices, runtimes
from snellen.devices import Device
from snellen.devices.rounding import PRECISIONS
from snellen.errors import UsageError
from snellen.model.model import Model
from snellen.records.reading import plain
from snellen.records.verify import Check, Error, OutputRecord, StageRecord, Toggle, TrialRecord
from snellen.runtimes.base import Runner
from snellen.verification import audit, behaviour, candidate, close, rules, selftest, trusted
from snellen.verification.candidate import Observed, looks_at
from snellen.verification.circumstances import Clock, candidate_record, environment
from snellen.verification.drift import rows
from snellen.verification.golden import Golden, Noise, Progress, compute, key, noises, with_noise
from snellen.verification.inputs import Inputs, photographs
from snellen.verification.limits import NOISY, limit, shown, wider
from snellen.verification.metrics import compare, image, rounding

Candidate = Runner | nn.Module | Callable[..., Any]


def verify(  # noqa: PLR0913  (each is a question a person asks by itself, and all have a good default)
    model: Model,
    *,
    device: str = "cpu",
    runtime: str = "eager",
    dtype: str = "float32",
    candidate: Candidate | None = None,
    inputs: Inputs | None = None,
    golden: Golden | None = None,
    rule: str = "calibrated",
    expect: str | None = None,
    stages: bool = False,
    progress: Progress | None = None,
) -> TrialRecord:
    """Put an encoder on trial in a runtime on a device, and say whether it computes what it should.

    ``model`` is loaded in float32 on the CPU: golden (float64) and references are computed from it there. ``candidate``
    is what is tried instead of ``runtime``: a runner, or a module or function, pixels [b, 3, h, w] -> Features, a dict
    of tensors, or a tensor. ``inputs`` are the package's photographs unless given; ``golden`` spares computing one, and
    brings its inputs. ``expect`` is the precision class required, that of ``dtype`` by default. ``stages``:
    where a runtime shows its stages in a second build only, build it and watch them. Nothing raises because a verdict
    is bad.

    Raises UsageError for what cannot be judged, Unavailable for a device or runtime that is not here.
    """
    say = progress or (lambda _: None)
    expect = _expected(dtype, expect)
    rules.check(rule)
    if candidate is not None and runtime != "eager":
        raise UsageError(
            f"a candidate was given beside the runtime {runtime}",
            expected="one of the two",
            todo="leave one of them out",
        )
    _check_trusted(model, inputs, golden)
    clock, started = Clock(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    place = devices.resolve(device)
    with clock.part("candidate_load"):
        runner = _runner(candidate, runtime, model, place, dtype)
    try:
        looks = stages and looks_at(runner, say)
        with clock.part("golden"):
            if golden is None:
                golden = compute(model, inputs or photographs(), noises(dtype), say)
            else:
                golden = with_noise(golden, model, noises(dtype), say)
        case = Case(model, golden, runner, dtype, expect, say, looks)
        record = case.try_it(clock)
    finally:
        if runner is not candidate:
            runner.close()
    return rules.concluded(replace(record, started_at=started, seconds=clock.seconds), rule)


@dataclass(frozen=True)
class Case:
    """One candidate against one golden."""

    model: Model
    golden: Golden
    runner: Runner
    dtype: str
    expect: str
    say: Progress
    looks: bool = False  # at stages in a second build

    @property
    def reference(self) -> Noise:
        """The trusted run in the dtype asked for."""
        return self.golden.noise[key(self.dtype)]

    @property
    def classes(self) -> dict[str, Noise]:
        """The trusted run of every precision class that is judged, the most exact first."""
        if self.dtype == "float32":
            return {name: self.golden.noise[name] for name in PRECISIONS}
        return {self.dtype: self.reference}

    @cached_property
    def rounded(self) -> dict[str, Error]:
        """What rounding the golden to the dtype costs, by output."""
        return {name: rounding(rows(tensor), self.dtype) for name, tensor in self.golden.outputs.items()}

    @cached_property
    def rounded_stages(self) -> dict[str, Error]:
        """The same by stage; in float32, which stages have already, that of the patches."""
        if self.dtype == "float32":
            return dict.fromkeys(self.golden.stages, self.rounded["patches"])
        return {name: rounding(rows(tensor), self.dtype) for name, tensor in self.golden.stages.items()}

    def try_it(self, clock: Clock) -> TrialRecord:
        """Run the candidate, test the verifier, look closely where a class is missed."""
        with clock.part("candidate"):
            seen = self._observed()
        limits = self.limits()
        with clock.part("selftest"):
            self.say("self-test")
            arithmetic = trusted.REFERENCE[self.dtype] if self.expect == self.dtype else trusted.LADDER[self.expect]
            noise = self.classes[self.expect]
            tested = selftest.run(self.golden, self.model.encoder, arithmetic, noise, limits[self.expect])
        with clock.part("close_look"):
            rounding_of = self._close_look(seen)
            toggles, repeats = self._audit(seen, limits)
        own = {name: wider(limits[self.expect][name], seen.errors[name]) for name in seen.errors}
        watched = (behaviour.built if seen.built else behaviour.watched)(self.runner, seen.watched, seen.reruns, own)
        behaved = (*behaviour.checks(seen.reruns, own), watched)
        if seen.built and watched.status != "pass":
            seen = replace(seen, cumulative={})
        with clock.part("metrics"):
            outputs = tuple(self._output(name, seen) for name in seen.outputs)
        return TrialRecord(
            model=plain(self.model.record.to_dict()),
            candidate=candidate_record(self.runner, self.dtype, built=bool(seen.built and seen.cumulative)),
            inputs=self.golden.about.inputs,
            dtype=self.dtype,
            expect=self.expect,
            outputs=outputs,
            stages=tuple(self._stage(name, seen, rounding_of) for name in self.golden.stages),
            checks=(*tested, self._calm(), *seen.placement, *behaved, *repeats),
            toggles=toggles,
            cause=next((" and ".join(t.switches) for t in toggles if t.explains), None),
            golden=self.golden.source,
            environment=environment(),
        )

    def _observed(self) -> Observed:
        return candidate.observe(
            self.runner,
            self.model.encoder,
            self.golden,
            self.reference,
            self.say,
            dtype=self.dtype,
            looks=self.looks,
        )

    def _audit(
        self, seen: Observed, limits: Mapping[str, Mapping[str, Error]]
    ) -> tuple[tuple[Toggle, ...], tuple[Check, ...]]:
        """Look for the switch that explains it, where an output or a stage is beyond its limit."""
        stages = self._stage_limits(seen, self.expect)
        outputs_miss = not _within(audit.worst(seen.errors, limits[self.expect]))
        if not outputs_miss and (not stages or _within(audit.worst(seen.isolated, stages))):
            return (), ()
        # Where outputs miss, they decide, at the cost of one run less for each switch.
        missed = audit.Missed(limits, self.expect, {} if outputs_miss else stages)
        toggles, repeats = audit.toggle(self.runner, self.golden, missed, self.say)
        return toggles, (repeats,)

    def _stage_limits(self, seen: Observed, precision: str) -> dict[str, Error]:
        """Return the limits of the stages that the candidate shows."""
        noise = self.classes[precision].isolated
        references = shown((name, noise[name], name in seen.isolated) for name in self.golden.stages)
        return {name: limit(known, self.rounded_stages[name], precision) for name, known in references.items()}

    def limits(self) -> dict[str, dict[str, Error]]:
        """Return the limits of every class, by output."""
        return {
            precision: {name: limit(noise.outputs[name], self.rounded[name], precision) for name in noise.outputs}
            for precision, noise in self.classes.items()
        }

    def _close_look(self, seen: Observed) -> dict[str, str]:
        """Name the rounding of every stage, for a candidate that was asked for in float32."""
        if self.dtype != "float32" or not seen.isolated:
            return {}
        allowed = self._stage_limits(seen, "float32")
        return close.precisions(self.golden, self.model.encoder, self.runner, seen.isolated, allowed)

    def _calm(self) -> Check:
        """Check that the reference is near enough to the golden to judge by."""
        name, noise = "reference.noise", self.classes[self.expect]
        errors = [error.frobenius for error in noise.outputs.values()]
        worst = None if None in errors else max(e for e in errors if e is not None)
        if worst is None:
            return Check(name=name, status="fail", because=f"the CPU's own {self.expect} run is not finite")
        calm = worst <= NOISY
        because = f"the CPU's own {self.expect} run is {worst:.2e} of scale from the golden"
        return Check(name=name, status="pass" if calm else "fail", because=because, value=worst, limit=NOISY)

    def _output(self, name: str, seen: Observed) -> OutputRecord:
        mine, exact, single = seen.outputs[name], self.golden.outputs[name], self.golden.single[name]
        return OutputRecord(
            name=name,
            shape=tuple(mine.shape),
            golden=compare(rows(mine), rows(exact), self.dtype),
            single=compare(rows(mine), rows(single), self.dtype),
            reference=self.reference.outputs[name],
            rounding=self.rounded[name],
            ladder={precision: noise.outputs[name] for precision, noise in self.classes.items()},
            images=tuple(image(rows(mine)[row], rows(single)[row]) for row in range(len(mine))),
        )

    def _stage(self, name: str, seen: Observed, rounding_of: Mapping[str, str]) -> StageRecord:
        return StageRecord(
            name=name,
            cumulative=seen.cumulative.get(name),
            isolated=seen.isolated.get(name),
            reference_cumulative=self.reference.cumulative[name],
            reference_isolated=self.reference.isolated[name],
            rounding=self.rounded_stages[name],
            ladder={precision: noise.isolated[name] for precision, noise in self.classes.items()},
            precision=rounding_of.get(name),
        )


def _within(over: float | None) -> bool:
    return over is not None and over <= 1


def _runner(given: Candidate | None, runtime: str, model: Model, place: Device, dtype: str) -> Runner:
    """Make the runner that is on trial."""
    if given is None:
        return runtimes.make(runtime, model, place, dtype)
    if isinstance(given, Runner):
        if (given.dtype, given.device.name) != (dtype, place.name):
            raise UsageError(
                f"the candidate runs in {given.dtype} on {given.device.name}",
                expected=f"{dtype} on {place.name}, as was asked for",
                todo="name the dtype and the device that the candidate has",
            )
        return given
    if isinstance(given, nn.Module):
        return runtimes.of_module(given, model, place, dtype)
    return runtimes.of_callable(given, model, place, dtype)


def _expected(dtype: str, expect: str | None) -> str:
    """Return the class required; refuse a dtype or a class that cannot be judged."""
    if dtype not in trusted.REFERENCE:
        raise UsageError(
            f"a candidate in {dtype} was asked for",
            expected=f"one of {', '.join(trusted.REFERENCE)}",
            todo="snellen tune, which judges 8 bits" if dtype == runtimes.INT8 else "--dtype float32",
        )
    if expect is None:
        return dtype
    allowed = PRECISIONS if dtype == "float32" else (dtype,)
    if expect not in allowed:
        raise UsageError(
            f"the class {expect} was expected of a candidate in {dtype}",
            expected=f"one of {', '.join(allowed)}",
            todo="a candidate is asked for in the dtype its tensors have: --dtype",
        )
    return expect


def _check_trusted(model: Model, inputs: Inputs | None, golden: Golden | None) -> None:
    """Refuse a model that no golden can be computed from, and a golden that is not its own."""
    trusted.check_model(model)
    if golden is not None and inputs is not None:
        raise UsageError("inputs were named beside a golden, which brings its own", todo="leave one of the two out")
    if golden is not None:
        from snellen.verification.bundle import check_belongs

        check_belongs(golden, model)
