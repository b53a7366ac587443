"""The tuner: what is wrong is discarded, what is slower is not picked, what takes too long is ended or not begun."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import small_folder
import snellen
import snellen.tuning.apart as apart_module
import snellen.tuning.shown as shown_module
from held import held
from small_folder import RECIPE, ask, quantised, saved, written
from snellen import devices
from snellen.devices import processor, simulated
from snellen.errors import CandidateError, ImageError, MissingPackage, Unavailable, UnknownName, UsageError
from snellen.images import decode
from snellen.records import Choice
from snellen.records.plan import Layout, Plan, Setup
from snellen.records.reading import plain
from snellen.records.timing import Ceiling
from snellen.records.tuning import Trial
from snellen.report import tuning as report
from snellen.runtimes import RUNTIMES, plans
from snellen.runtimes.base import Runner
from snellen.runtimes.eager import Eager
from snellen.runtimes.opening import embedder
from snellen.runtimes.openvino.quantise import UNSEEN
from snellen.timing import ceiling, memory
from snellen.tuning import budget as budgets
from snellen.tuning import candidates, child, ending, final, wire
from snellen.tuning.apart import Apart, Processes
from snellen.tuning.budget import TWO, Budget
from snellen.tuning.ceilings import PROBE, Ceilings
from snellen.tuning.folder import lay_down, take_up
from snellen.tuning.opened import Stopped
from snellen.tuning.shown import packed, shown, unpacked
from snellen.tuning.trials import is_better
from snellen.tuning.tuner import tune
from snellen.verification import inputs
from test_runtimes import CASES, Case, model_of, perturbed

CPU = devices.resolve("cpu")
SLOW, FAST = 0.02, 0.0
DEFAULT = Setup(runtime="openvino")
OTHER = Setup(runtime="eager", layout=Layout(batch=5))


class Paced(Eager):
    """An eager runner that waits before every batch, so that which one is faster is no matter of chance."""

    def __init__(self, model, dtype="float32", wait=SLOW, claimed=None) -> None:
        super().__init__(model, CPU, dtype)
        self.dtype = claimed or dtype
        self.batch, self.wait, self.embedded = 3, wait, 0

    def vectors(self, batches):
        for pixels in batches:
            self.embedded += 1
            time.sleep(self.wait)
            yield self.changed(self.run(torch.from_numpy(pixels)).pooled.float().numpy(), self.embedded)

    def changed(self, rows, number):
        return rows


class Shifting(Paced):
    """Fast, verified outputs, and the rows of a batch one place further in a stream."""

    only: int | None = None  # rows

    def changed(self, rows, number):
        return np.roll(rows, 1, axis=0) if self.only in (None, len(rows)) else rows


class ShiftingFive(Shifting):
    only = 5  # more than the verification looks at


class Remembering(Paced):
    """Slow, but for what it was shown before, by the bytes of the pixels."""

    def key(self, pixels):
        return pixels.tobytes()

    def vectors(self, batches):
        self.known = getattr(self, "known", {})
        for pixels in batches:
            if self.key(pixels) not in self.known:
                (self.known[self.key(pixels)],) = super().vectors([pixels])
            yield self.known[self.key(pixels)]


class RememberingPlaces(Remembering):
    """Goes by where pixels lie."""

    def key(self, pixels):
        self.shown = [*getattr(self, "shown", []), pixels]  # or another array might come to lie where one was
        return id(pixels), len(pixels)


class Ceasing(Paced):
    """Computes nothing any more from its tenth batch on: in the midst of the first measurement."""

    def changed(self, rows, number):
        return rows if number < 10 else np.zeros_like(rows)


class CeasingLater(Paced):
    """Computes nothing any more once it is tired."""

    tired = False

    def changed(self, rows, number):
        return np.zeros_like(rows) if self.tired else rows


class Tiring(Paced):
    """Fast until it has been measured once."""

    def vectors(self, batches):
        self.wait = FAST if self.rounds < 1 else 4 * SLOW
        return super().vectors(batches)

    rounds = 0


class Makes:
    """Makes runners by setup, and remembers them; the default is a slow one that is right."""

    def __init__(self, model, other: Callable[..., Runner], default: Callable[..., Runner] = Paced) -> None:
        self.model, self.other, self.default, self.made = model, other, default, {}
        self.calibrations = []

    def __call__(self, runtime, model, device, dtype, layout, calibration) -> Runner:
        assert model is self.model
        self.calibrations.append(calibration)
        made = (self.default if runtime == DEFAULT.runtime else self.other)(model)
        self.made[runtime] = made
        return made


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch) -> None:
    """Keep plans in an empty folder, and measure for moments."""
    monkeypatch.setenv("SNELLEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(budgets, "SHORTEST_S", 0.02)
    monkeypatch.setattr(budgets, "LONGEST_S", 0.02)
    monkeypatch.setattr(final, "LONG", 0.02)
    monkeypatch.setattr(final, "MOST", 3)
    monkeypatch.setattr(ceiling, "SIDE", 64)


@pytest.fixture
def model():
    return model_of(CASES["vit"])


def tuned(model, other, default=Paced, setups=(OTHER,), **settings):
    """Tune with one candidate beside the default, both made here."""
    make = Makes(model, other, default)
    record = tune(model, budget_s=60, candidates=list(setups), make=make, **settings)
    document = plain(record.to_dict())
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert report.search(record)
    return record, make


def trial_of(record, setup=OTHER) -> Trial:
    (found,) = [trial for trial in record.trials if trial.setup == setup]
    return found


def fast(model) -> Runner:
    return Paced(model, wait=FAST)


# ---- what is picked


def test_a_faster_one_that_is_the_same_is_picked_and_kept(model) -> None:
    told: list[str] = []
    record, _ = tuned(model, fast, progress=told.append)
    assert [trial.setup for trial in record.trials] == [DEFAULT, OTHER]
    assert [trial.outcome for trial in record.trials] == ["passed", "passed"]
    assert record.plan is not None
    assert record.plan.setup == trial_of(record).setup
    assert record.final is not None
    assert record.final.least > 1
    assert len(record.final.images_per_s) == len(record.final.default_images_per_s) >= 3
    assert record.exit_code == 0
    assert record.plan == plans.look(record.plan.digest, model.recipe.hash, "cpu", "throughput").plan
    assert record.plan == plans.look(record.plan.digest, model.recipe.hash, "cpu").plan
    assert any("verifying" in line and "s left" in line for line in told)
    assert trial_of(record).batch == 5
    assert sorted(record.images) == sorted(UNSEEN)
    assert trial_of(record).samples_s
    assert 0 < record.used_s < record.budget_s


def test_a_slower_one_is_not_picked(model) -> None:
    record, _ = tuned(model, lambda model: Paced(model, wait=10 * SLOW))
    assert trial_of(record).outcome == "passed"
    assert record.plan.setup == DEFAULT
    assert "none of the others that were measured and may be picked is better (1)" in record.choice.reason


def test_one_that_is_not_ahead_in_the_final_is_not_picked(model, monkeypatch) -> None:
    """It looked ten times faster when it was measured first."""
    real = final._tried

    def tried(search, best, opened, default):
        opened.runner.rounds = 1
        return real(search, best, opened, default)

    monkeypatch.setattr(final, "_tried", tried)
    record, _ = tuned(model, Tiring)
    first, other = record.trials
    assert other.images_per_s > first.images_per_s
    assert record.final.ratio < 1
    assert record.plan.setup == DEFAULT
    assert "not every round was ahead" in record.choice.reason


@pytest.mark.parametrize(
    ("other", "because"),
    [
        (lambda model: Paced(model_of(CASES["vit"], perturbed("vit")[0]), wait=FAST), "times the limit of float32"),
        (lambda model: Shifting(model, wait=FAST), "vectors that belong to the images"),
        (lambda model: ShiftingFive(model, wait=FAST), "is not that of its images"),
        (lambda model: Paced(model, "bfloat16", FAST, "float32"), "times the limit of float32"),
        (lambda model: Paced(model, "bfloat16", FAST), "bfloat16, and float32 was asked for"),
    ],
    ids=["a negated row of weights", "shifted rows", "shifted rows of larger batches", "less precise", "another dtype"],
)
def test_what_is_made_wrong_is_discarded_and_not_measured(model, other, because) -> None:
    record, _ = tuned(model, other)
    found = trial_of(record)
    assert found.outcome == "failed"
    assert because in found.because
    assert found.images_per_s is None
    assert record.plan.setup == DEFAULT


def test_one_that_answers_from_memory_is_measured_at_what_computing_takes(model) -> None:
    """It would be hundreds of times faster on the same batches again."""
    record, _ = tuned(model, lambda model: Remembering(model, wait=10 * SLOW))
    found = trial_of(record)
    assert found.outcome == "passed"
    assert found.images_per_s <= 5 / (10 * SLOW)
    assert record.plan.setup == DEFAULT


@pytest.mark.parametrize("kind", [RememberingPlaces, Ceasing])
@pytest.mark.parametrize("goal", ["throughput", "latency"])
def test_what_was_not_computed_while_it_was_measured_is_discarded(model, kind, goal) -> None:
    record, _ = tuned(model, lambda model: kind(model, wait=FAST), goal=goal)
    found = trial_of(record)
    assert found.outcome == "failed"
    assert "what it gave while it was measured" in found.because
    assert (found.images_per_s, found.latency_s) == (None, None)
    assert record.plan.setup == DEFAULT


@pytest.mark.parametrize(("spoilt", "picked"), [("best", DEFAULT), ("default", OTHER), ("both", None)])
def test_what_is_no_longer_computed_in_the_final_is_not_picked(model, monkeypatch, spoilt, picked) -> None:
    real = final._tried

    def tried(search, best, opened, default):
        opened.runner.tired = spoilt in {"best", "both"}
        default[1].runner.tired = spoilt in {"default", "both"}
        return real(search, best, opened, default)

    monkeypatch.setattr(final, "_tried", tried)
    record, _ = tuned(model, lambda model: CeasingLater(model, wait=FAST), CeasingLater)
    assert (record.plan and record.plan.setup) == picked
    failed = {trial.setup for trial in record.trials if trial.outcome == "failed"}
    assert failed == {"best": {OTHER}, "default": {DEFAULT}, "both": {DEFAULT, OTHER}}[spoilt]
    assert all("in the final" in trial.because for trial in record.trials if trial.outcome == "failed")
    assert "is not that of its images" in record.choice.reason


def test_a_rate_above_what_the_machine_can_is_no_rate(model, monkeypatch) -> None:
    real = ceiling.measured

    def slow(*arguments, **settings):
        found = real(*arguments, **settings)
        return found if settings.get("side") == PROBE else replace(found, operations_per_s=1e3)

    monkeypatch.setattr(ceiling, "measured", slow)
    record, _ = tuned(model, fast)
    assert [trial.outcome for trial in record.trials] == ["failed", "failed"]
    assert all("it does not compute" in trial.because for trial in record.trials)
    assert record.plan is None


def test_a_ceiling_that_was_disturbed_is_measured_again(monkeypatch) -> None:
    rates, sides = iter([10.0, 12.0, 40.0]), []

    def measured(dtype, *, device, side):
        sides.append(side)
        return Ceiling(dtype=dtype, device=device.name, operations_per_s=next(rates), side=side)

    monkeypatch.setattr(ceiling, "measured", measured)
    budget = Budget(seconds=1e12, began=0, clock=lambda: 0.0)
    ceilings = Ceilings(CPU, budget, 10.0)
    ceilings.measure("float32")
    assert ceilings.share("float32", 11.0, 1.2) == 1.1
    assert ceilings.share("float32", 30.0, 1.2) == 0.75
    assert sides == [64, 64, 128]
    assert ceilings.found["float32"].operations_per_s == 40.0


def test_a_lead_by_a_hair_is_no_lead(model, monkeypatch) -> None:
    monkeypatch.setattr(final, "AHEAD", 1e9)
    record, _ = tuned(model, fast)
    assert record.final.least > 1
    assert record.plan.setup == DEFAULT
    assert "that is less than" in record.choice.reason


def test_the_default_spelt_out_is_no_candidate(model) -> None:
    cores = processor.cores()
    twin = Setup(runtime="openvino", layout=Layout(batch=3, streams=cores, threads=cores))
    other = Setup(runtime="openvino", layout=Layout(batch=2, streams=cores))
    record, _ = tuned(model, fast, setups=[twin, other])
    assert [trial.outcome for trial in record.trials] == ["passed", "skipped", "passed"]
    assert "spelt out" in trial_of(record, twin).because
    assert "not tried to the end" not in record.choice.reason


def test_what_is_opened_anew_for_the_final_is_looked_at_anew(model, monkeypatch) -> None:
    made = []

    def other(model):
        made.append(fast(model) if not made else Shifting(model, wait=FAST))
        return made[-1]

    real = final.pick

    def pick(search):
        search.best = (search.best[0], None)
        return real(search)

    monkeypatch.setattr(final, "pick", pick)
    record, _ = tuned(model, other)
    assert len(made) == 2
    assert "opened again for the final" in trial_of(record).because
    assert record.plan.setup == DEFAULT


def test_the_record_says_what_it_rests_on(model) -> None:
    record, _ = tuned(model, fast)
    first, other = record.trials
    assert (other.beside, first.beside) == ((str(DEFAULT),), ())
    assert isinstance(other.steady, bool)
    assert other.warm_batches >= 2
    (one,) = record.ceilings
    assert (one.dtype, one.side, len(one.samples_s)) == ("float32", 64, ceiling.REPEATS)
    assert len(record.load_before) == len(record.load_after) == 3


def test_a_dtype_that_is_refused_is_said_of_every_setup(model, monkeypatch) -> None:
    group = candidates.Group(runtime="eager", dtype="float16", batches=(1, 2))
    monkeypatch.setattr("snellen.tuning.tuner.kinds.grouped", lambda _: (group,))
    record, make = tuned(model, fast)
    assert [trial.setup for trial in record.trials[1:]] == list(group.setups)
    assert {trial.outcome for trial in record.trials[1:]} == {"not here"}
    assert set(make.made) == {"openvino"}


def test_the_runtime_is_asked_what_it_computes_in_and_not_the_device(monkeypatch) -> None:
    group = candidates.Group(runtime="openvino", dtype="float16")
    assert "float16" in CPU.refused()
    monkeypatch.setattr("snellen.runtimes.CHECKS", {"openvino": lambda device, dtype: None})
    assert candidates.refused(group, CPU) == ""
    assert candidates.refused(replace(group, runtime="eager"), CPU)

    def refuses(device, dtype):
        raise Unavailable(f"no {dtype}")

    monkeypatch.setattr("snellen.runtimes.CHECKS", {"openvino": refuses})
    assert candidates.refused(replace(group, dtype="bfloat16"), CPU) == "no bfloat16"


def test_memory_is_that_of_measuring(model) -> None:
    """A process that held much while it was verified does not hold it while it is measured."""
    runner = fast(model)
    if not memory.reset_peak():  # this system does not let a peak start anew, which is said
        assert child.watched(runner, lambda: None)[1] is None
        return
    with held(128 << 20):
        before = child.peak(runner)
    assert child.watched(runner, lambda: None)[1] < before - (64 << 20)

    def hold() -> None:
        with held(128 << 20):
            pass

    assert child.watched(runner, hold)[1] > before - (64 << 20)


def test_a_peak_that_cannot_start_anew_is_not_told(model, monkeypatch) -> None:
    monkeypatch.setattr(memory, "reset_peak", lambda: False)
    assert child.watched(fast(model), lambda: 1) == (1, None)


def test_what_fails_is_not_embedded_with_after_the_verification(model) -> None:
    record, make = tuned(model, lambda model: Paced(model_of(CASES["vit"], perturbed("vit")[0]), wait=FAST))
    assert trial_of(record).outcome == "failed"
    assert make.made["eager"].embedded == 1  # the one image of nothing that prepares it


@pytest.mark.parametrize(
    ("error", "outcome", "because"),
    [
        (RuntimeError("boom"), "raised", "RuntimeError: boom"),
        (CandidateError("it gave up"), "raised", "it gave up"),
        (MissingPackage("needs the package x", todo="pip install x"), "not here", "needs the package x; pip install x"),
        (Stopped("too long"), "stopped", "too long"),
    ],
)
def test_what_raises_is_recorded(model, error, outcome, because) -> None:
    def broken(model):
        raise error

    record, _ = tuned(model, broken)
    assert (trial_of(record).outcome, trial_of(record).because) == (outcome, because)
    assert record.plan.setup == DEFAULT


def test_nothing_that_passes_is_no_plan(model) -> None:
    wrong = model_of(CASES["vit"], perturbed("vit")[0])
    record, _ = tuned(model, lambda _: Paced(wrong), lambda _: Paced(wrong))
    assert [trial.outcome for trial in record.trials] == ["failed", "failed"]
    assert (record.plan, record.exit_code) == (None, 3)
    assert "no candidate that may be picked passed" in record.choice.reason
    digest = "0" * 64
    assert plans.look(digest, model.recipe.hash, "cpu").plan is None


def test_where_the_default_is_wrong_the_best_that_passed_is_picked(model) -> None:
    record, _ = tuned(model, fast, lambda _: Paced(model_of(CASES["vit"], perturbed("vit")[0])))
    assert record.plan.setup == OTHER
    assert "the default openvino, float32 failed" in record.choice.reason


def test_eight_bits_are_picked_only_where_they_are_allowed(model) -> None:
    setup = Setup(runtime="eager", dtype="int8", layout=Layout(batch=3))

    def eight(model):
        return Paced(model, wait=FAST, claimed="int8")

    record, _ = tuned(model, eight, setups=[setup])
    found = trial_of(record, setup)
    assert (found.outcome, found.may_be_picked) == ("passed", False)
    assert "not picked unless allowed" in found.because
    assert record.plan.setup == DEFAULT
    record, _ = tuned(model, eight, setups=[setup], allow=["int8"])
    assert record.plan.setup == setup
    assert record.allowed == ("int8",)


def test_latency_is_of_one_image(model) -> None:
    record, _ = tuned(model, fast, goal="latency")
    assert record.plan.setup == OTHER
    assert trial_of(record).latency_s < trial_of(record, DEFAULT).latency_s


def test_memory_goes_by_the_peak_of_those_that_are_half_as_fast() -> None:
    def trial(rate, memory, **more):
        made = Trial(setup=OTHER, outcome="passed", because="", images_per_s=rate, latency_s=1 / rate)
        return replace(made, memory_bytes=memory, **more)

    default = trial(10.0, 100)
    assert is_better(trial(6.0, 90), default, "memory", default)
    assert not is_better(trial(4.0, 50), default, "memory", default)  # too slow
    assert not is_better(trial(20.0, 110), default, "memory", default)
    assert not is_better(trial(6.0, 90, may_be_picked=False), default, "memory", default)
    assert not is_better(trial(99.0, 1, outcome="failed"), None, "throughput", default)
    assert is_better(trial(11.0, 110), default, "throughput", default)


def test_a_full_memory_ends_the_larger_batches_and_keeps_the_smaller(model, monkeypatch) -> None:
    group = candidates.Group(runtime="eager", batches=(1, 2, 3, 4))

    class Full(Paced):
        def vectors(self, batches):
            for pixels in batches:
                if len(pixels) == 3:
                    raise MemoryError("out of memory")
                yield from super().vectors([pixels])

    monkeypatch.setattr(candidates, "grouped", lambda _: (group,))
    monkeypatch.setattr("snellen.tuning.tuner.kinds.grouped", lambda _: (group,))
    # two images, so that the verification itself has no batch of three
    monkeypatch.setattr("snellen.tuning.running.IMAGES", (2, 2))
    record, _ = tuned(model, lambda model: Full(model, wait=FAST), lambda model: Paced(model, wait=6 * SLOW))
    assert [trial.outcome for trial in record.trials[1:]] == ["passed", "passed", "raised", "skipped"]
    assert record.plan.setup in group.setups[:2]  # opened anew for the final


# ---- time


def test_a_budget_too_short_for_the_golden_is_said_before_it_is_begun(model, monkeypatch) -> None:
    real = ceiling.measured
    monkeypatch.setattr(ceiling, "measured", lambda *a, **s: replace(real(*a, **s), operations_per_s=10.0))
    record, make = tuned(model, fast)
    assert not make.made
    assert record.exit_code == 3
    assert "the golden takes about" in record.choice.reason


def test_steps_that_do_not_fit_are_not_begun(model, monkeypatch) -> None:
    monkeypatch.setattr(Budget, "preparing", lambda self, setup: 1e9 if setup == OTHER else 0.0)
    record, make = tuned(model, fast)
    assert trial_of(record).outcome == "skipped"
    assert "s are left for trials" in trial_of(record).because
    assert set(make.made) == {"openvino"}
    assert record.plan.setup == DEFAULT
    assert "1 were not tried to the end" in record.choice.reason


def test_estimates_come_from_what_was_seen() -> None:
    now = [0.0]
    budget = Budget(seconds=100, began=0, clock=lambda: now[0], gigabytes=1.0, cores=2)
    bf16 = Setup(runtime="openvino", dtype="bfloat16", layout=Layout(batch=4, streams=2))
    before = budget.preparing(DEFAULT)
    budget.saw_prepared(DEFAULT, 100.0)
    assert before < budget.preparing(bf16) < budget.preparing(replace(bf16, runtime="compiled"))
    budget.saw_prepared(bf16, 1.0)
    assert budget.preparing(bf16) < 2
    assert budget.preparing(replace(bf16, dtype="int8")) > budget.preparing(bf16) + 5
    budget.saw_rate(DEFAULT, 10.0)
    slow = budget.measuring(bf16, 4, 1.0)
    budget.saw_rate(bf16, 100.0)
    assert budget.measuring(bf16, 4, 1.0) < slow
    left = budget.for_trials
    budget.saw_default(DEFAULT, 8, 1.0, (3, 5))  # a slow default needs a longer final
    assert budget.for_trials < left
    for rate, rounds in ((1.0, 3), (1000.0, 5)):  # of a slow one only the fewest
        budget.saw_default(DEFAULT, 8, rate, (3, 5))
        streams = budget.final_s - TWO * budget.looking(DEFAULT, 8)
        assert round(streams / (TWO * budget.streaming(DEFAULT, 8, rate))) == rounds
    now[0] = 99.0
    assert budget.left < 1
    assert budget.for_trials < 0


def test_a_process_gives_what_the_runtime_gives_and_is_ended_in_time(model) -> None:
    pixels = torch.randn(2, 3, *model.recipe.size)
    opens = Processes(model, CPU)
    try:
        with opens.open(Setup(runtime="eager", dtype="bfloat16"), time.monotonic() + 60) as apart:
            assert isinstance(apart, Apart)
            mine = Eager(model, CPU, "bfloat16").run(pixels).named()
            theirs = apart.run(pixels).named()
            assert theirs.keys() == mine.keys()
            assert all(torch.equal(theirs[name], mine[name]) for name in mine)
            (rows,) = apart.vectors([pixels.numpy()])
            assert np.array_equal(rows, mine["pooled"].float().numpy())
            found = apart.rate([pixels.numpy(), pixels.flip(0).numpy()], 0.01)
            assert found.value.images_per_s > 0
            with pytest.raises(CandidateError, match="5"):
                apart.run(torch.zeros(1, 3, 5, 5))
            apart.until = time.monotonic()
            with pytest.raises(Stopped):
                apart.rate([pixels.numpy(), pixels.flip(0).numpy()], 60)
            assert apart._process.poll() is not None
            with pytest.raises(CandidateError):
                apart.run(pixels)
    finally:
        opens.close()


def test_a_process_that_no_longer_reads_is_ended_in_time(model) -> None:
    opens = Processes(model, CPU)
    try:
        with opens.open(Setup(runtime="eager"), time.monotonic() + 60) as apart:
            os.kill(apart._process.pid, signal.SIGSTOP)
            apart.until = time.monotonic() + 0.5
            with pytest.raises(Stopped):  # far more than a pipe holds
                apart.run(torch.zeros(400, 3, *model.recipe.size))
            assert apart._process.poll() is not None
    finally:
        opens.close()


def test_a_process_that_closes_its_output_and_stays_is_ended_in_time(model, monkeypatch) -> None:
    monkeypatch.setattr(apart_module, "START", "import os, time; os.close(1); time.sleep(600)")
    opens = Processes(model, CPU)
    try:
        with pytest.raises(Stopped):
            opens.open(Setup(runtime="eager"), time.monotonic() + 1)
    finally:
        opens.close()


def test_modules_of_the_folder_somebody_stands_in_are_not_imported(model, tmp_path, monkeypatch) -> None:
    (tmp_path / "queue.py").write_text("raise RuntimeError('not the one that was meant')")
    monkeypatch.chdir(tmp_path)
    opens = Processes(model, CPU)
    try:
        opens.open(Setup(runtime="eager"), time.monotonic() + 60).close()
    finally:
        opens.close()


PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have had it ignored
sys.path.insert(0, sys.argv[1])
from snellen.tuning import ending
from snellen.tuning.apart import Processes
from test_runtimes import CASES, model_of
from snellen import devices
with ending.orderly():
    opens = Processes(model_of(CASES["vit"]), devices.resolve("cpu"))
    try:
        print("laid down", flush=True)
        for _ in range(6000):
            time.sleep(0.1)  # in short: a signal just before a sleep would wait for its end
    finally:
        opens.close()
"""


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGKILL", -9)])
def test_whatever_ends_a_search_the_weights_do_not_stay(model, tmp_path, number, code) -> None:
    drafts = tmp_path / "cache" / "drafts"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "laid down\n"
        assert [path.name for path in drafts.glob("*/*")] != []
        process.send_signal(getattr(signal, number))
        try:
            assert process.wait(60) == code
        finally:
            process.kill()  # or leaving would wait for it
    if number == "SIGKILL":
        Processes(model, CPU).close()  # the next one sweeps
    assert list(drafts.iterdir()) == []


def test_signals_that_somebody_handles_are_left_alone() -> None:
    mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    others = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have had it ignored
    try:
        with ending.orderly():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGHUP) not in {signal.SIG_DFL, signal.SIG_IGN}
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, mine)
        signal.signal(signal.SIGHUP, others)


def test_a_process_that_takes_too_long_to_start_or_lacks_something_says_so(model) -> None:
    opens = Processes(model, CPU)
    try:
        with pytest.raises(Stopped):
            opens.open(Setup(runtime="eager"), time.monotonic())
        with pytest.raises(Unavailable, match="float16"):
            opens.open(Setup(runtime="eager", dtype="float16"), time.monotonic() + 60)
    finally:
        opens.close()


def test_the_whole_of_it_in_processes_of_their_own(model, monkeypatch) -> None:
    monkeypatch.setattr(candidates, "default", lambda _: Setup(runtime="eager"))
    setups = [Setup(runtime="openvino", layout=Layout(batch=2, streams=1)), Setup(runtime="openvino", dtype="float16")]
    record = tune(model, budget_s=300, candidates=setups)
    assert [trial.outcome for trial in record.trials] == ["passed", "passed", "not here"]
    assert all(trial.memory_bytes for trial in record.trials[:2])
    assert record.plan is not None
    assert record.used_s < record.budget_s


# ---- what 8 bits are calibrated on


EIGHT = Setup(runtime="openvino", dtype="int8", layout=Layout(batch=2, streams=1))


@pytest.fixture
def photos(tmp_path) -> list[str]:
    """Twelve different images."""
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{number:02d}.png" for number in range(12)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]


def test_8_bits_are_calibrated_on_other_images_than_they_are_judged_on(model, photos) -> None:
    seen = shown(photos, model.recipe, 4, eight_bit=True)
    assert seen.names == ("00.png", "01.png", "02.png", "03.png")
    assert seen.calibrated == tuple(f"{number:02d}.png" for number in range(4, 12))
    arrays = [*seen.calibration.images, *seen.calibration.held_out]
    judged = {image.numpy().tobytes() for image in seen.pixels}
    assert len(arrays) == 8
    assert not judged & {array.tobytes() for array in arrays}
    expected = {model.recipe.array(decode(path)).tobytes() for path in photos[4:]}
    assert {array.tobytes() for array in arrays} == expected
    assert "calibrated on the images named: 8, none of them verified with" in seen.notes[0]


def test_the_same_image_twice_is_no_second_image(model, photos, tmp_path) -> None:
    shutil.copy(photos[0], tmp_path / "copy.png")  # judged on
    shutil.copy(photos[4], tmp_path / "again.png")  # calibrated on
    more = [str(tmp_path / "copy.png"), photos[1], str(tmp_path / "again.png")]
    seen = shown([*photos[:5], *more, *photos[5:]], model.recipe, 4, eight_bit=True)
    assert seen.calibrated == tuple(f"{number:02d}.png" for number in range(4, 12))
    assert "passed over, for the same image was named before: copy.png, 01.png, again.png" in seen.notes[-1]


def test_the_first_different_images_are_judged_on(model, photos, tmp_path) -> None:
    shutil.copy(photos[0], tmp_path / "copy.png")
    given = [photos[0], str(tmp_path / "copy.png"), *photos[1:4]]
    seen = shown(given, model.recipe, 3, eight_bit=False)
    assert seen.names == ("00.png", "01.png", "02.png")
    assert "copy.png" in seen.notes[-1]
    assert torch.equal(seen.pixels, torch.stack([model.recipe.pixels(decode(path)) for path in photos[:3]]))
    with pytest.raises(UsageError, match="1 image was named, and 1 copies"):
        shown(given[:2], model.recipe, 3, eight_bit=False)


def test_8_bits_are_not_judged_on_the_packages_images_that_they_are_calibrated_on(model, photos) -> None:
    bundled = [str(inputs.PHOTOS / name) for name in ("astronaut.jpg", "clock.png")]
    seen = shown([*bundled, *photos[:2]], model.recipe, 4, eight_bit=True)
    assert (seen.names, seen.spoilt) == (("00.png", "01.png"), "")
    assert "not verified with, for 8-bit networks are calibrated on them: astronaut.jpg, clock.png" in seen.notes[-1]
    assert shown([*bundled, *photos[:2]], model.recipe, 4, eight_bit=False).names[:1] == ("astronaut.jpg",)
    eight = replace(EIGHT, runtime="eager")

    def fake(model):
        return Paced(model, wait=FAST, claimed="int8")

    record, make = tuned(model, fake, setups=[eight], images=bundled, allow=["int8"])
    found = trial_of(record, eight)
    assert found.outcome == "failed"
    assert "judged on images that it was calibrated on (astronaut.jpg, clock.png)" in found.because
    assert "eager" not in make.made
    assert record.plan.setup == DEFAULT


def test_too_few_images_are_said_and_the_packages_photographs_taken(model, photos) -> None:
    seen = shown([*photos[:7], *photos[:4]], model.recipe, 4, eight_bit=True)
    assert (seen.calibration, seen.calibrated) == (None, ())
    assert "package's photographs: beside those verified with, 3 different images were named, and it" in seen.notes[0]
    assert shown(photos[:8], model.recipe, 4, eight_bit=True).calibration is not None  # four are enough


def test_no_more_images_are_read_than_are_used(model, photos, monkeypatch, tmp_path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    monkeypatch.setattr(shown_module, "CALIBRATED", (4, 5))
    seen = shown([*photos[:9], str(tmp_path / "bad.png")], model.recipe, 4, eight_bit=True)
    assert len(seen.calibrated) == 5
    with pytest.raises(ImageError):
        shown([*photos[:8], str(tmp_path / "bad.png")], model.recipe, 4, eight_bit=True)
    plain = shown([*photos[:4], str(tmp_path / "bad.png")], model.recipe, 4, eight_bit=False)
    assert (plain.calibration, plain.notes) == (None, ())  # nobody asked for 8 bits


def test_the_plan_says_which_images_8_bits_were_calibrated_on(model, photos) -> None:
    eight = replace(EIGHT, runtime="eager")
    named = replace(eight, layout=Layout(batch=3), calibration="0123")  # other images, at some other time
    digest = shown(photos, model.recipe, 4, eight_bit=True).calibration.digest

    def fake(model):
        return Paced(model, wait=FAST, claimed="int8")

    record, make = tuned(model, fake, setups=[eight], images=photos, allow=["int8"])
    assert record.plan.setup == replace(eight, calibration=digest)
    assert plans.look(record.plan.digest, model.recipe.hash, "cpu").plan == record.plan
    assert record.images == ("00.png", "01.png", "02.png", "03.png")
    assert record.calibrated == tuple(f"{number:02d}.png" for number in range(4, 12))
    assert [getattr(images, "digest", images) for images in make.calibrations] == [None, digest]
    assert digest[:8] in report.search(record)

    record, make = tuned(model, fake, setups=[named], images=photos, allow=["int8"])
    assert (record.plan.setup, make.calibrations[1]) == (named, "0123")
    assert any("images 0123: whether" in note for note in record.notes)

    record, make = tuned(model, fake, setups=[eight], images=photos[:7], allow=["int8"])
    assert (record.plan.setup, make.calibrations) == (eight, [None, None])
    assert any("3 different images were named" in note for note in record.notes)

    record, _ = tuned(model, fast, images=photos)
    assert (record.plan.setup, record.calibrated) == (OTHER, ())
    assert not any("8-bit" in note for note in record.notes)


def test_groups_of_8_bits_alone_are_calibrated() -> None:
    before = candidates.groups(CPU, "throughput", 2)
    after = candidates.calibrated(before, "0123")
    assert {setup.calibration for group in after for setup in group.setups if group.dtype == "int8"} == {"0123"}
    assert [group for group in after if group.dtype != "int8"] == [group for group in before if group.dtype != "int8"]
    assert candidates.calibrated(before, None) == before
    assert candidates.grouped(group.setups[0] for group in after)[0].calibration == after[0].calibration


def test_calibration_images_come_through_messages_bit_for_bit(model, photos) -> None:
    images = shown(photos, model.recipe, 4, eight_bit=True).calibration
    stream = io.BytesIO()
    wire.write(stream, {}, packed(images))
    stream.seek(0)
    again = unpacked(wire.read(stream)[1])
    assert (again.digest, len(again.images), len(again.held_out)) == (images.digest, 6, 2)
    assert unpacked(dict(reversed(packed(images).items()))).digest != images.digest


def test_a_plan_that_was_tuned_on_ones_own_images_embeds(tmp_path, photos, monkeypatch) -> None:
    """Made in a process of its own, and found by the digest: in another, here, and where a plan is followed."""
    folder = written(tmp_path / "model")
    model = snellen.load(folder, recipe=RECIPE)
    digest = shown(photos, model.recipe, 4, eight_bit=True).calibration.digest
    with pytest.raises(Unavailable, match="calibration images are not here"):  # it was not made before
        quantised(folder, digest)
    monkeypatch.setattr(candidates, "default", lambda _: Setup(runtime="eager"))
    record = tune(model, budget_s=120, candidates=[EIGHT], images=photos, allow=["int8"])
    setup = replace(EIGHT, calibration=digest)
    assert record.trials[1].setup == setup
    assert record.trials[1].outcome in {"passed", "failed"}  # of drawn weights; it was run, either way
    expected = quantised(folder, digest)
    without = Processes(model, CPU)
    try:
        with without.open(setup, time.monotonic() + 60) as apart:
            assert np.array_equal(apart.run(torch.from_numpy(small_folder.pixels())).pooled.numpy(), expected)
    finally:
        without.close()
    saved(folder, setup)  # whichever was faster
    with embedder(ask(folder, plan=True)) as opened:
        assert opened.setup == setup
        assert np.array_equal(next(iter(opened.vectors([small_folder.pixels()]))), expected)


# ---- what is tried


def test_the_most_promising_come_first_and_guests_never() -> None:
    groups = candidates.groups(CPU, "throughput", 4)
    assert groups[0].setups == tuple(
        Setup(runtime="openvino", dtype="bfloat16", layout=Layout(batch=batch, streams=4)) for batch in (1, 2, 4)
    )
    assert [group.dtype for group in groups[:3]] == ["bfloat16", "float32", "int8"]
    for goal in ("throughput", "latency", "memory"):
        found = candidates.groups(CPU, goal, 4)
        assert {group.runtime for group in found} == {"openvino", "onnxruntime", "eager", "compiled"} < set(RUNTIMES)
        assert len(set(found)) == len(found)
    assert all(group.batches == (1,) for group in candidates.groups(CPU, "latency", 2))


def test_elsewhere_batches_go_upward() -> None:
    class There:
        kind = "cuda"

    groups = candidates.groups(There(), "throughput", 4)
    assert {group.runtime for group in groups} == {"eager", "compiled"}
    assert list(groups[0].batches) == sorted(groups[0].batches)
    assert all(group.streams is None for group in groups)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"goal": "speed"}, UnknownName),
        ({"budget_s": 0}, UsageError),
        ({"budget_s": float("nan")}, UsageError),
        ({"allow": ["float4"]}, UnknownName),
        ({"device": "cuda:77"}, Unavailable),
    ],
)
def test_what_cannot_be_tuned_for_is_refused(model, settings, error) -> None:
    with pytest.raises(error):
        tune(model, **settings)


def test_a_cache_that_cannot_be_written_is_said_before_the_search(model, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SNELLEN_CACHE", str(tmp_path / "file"))
    make = Makes(model, fast)
    with pytest.raises(Unavailable):
        tune(model, candidates=[OTHER], make=make)
    assert not make.made


def test_a_simulated_device_is_not_tuned_for(model) -> None:
    simulated.start()
    try:
        with pytest.raises(UsageError, match="simulated"):
            tune(model, device="npu")
    finally:
        simulated.stop()


# ---- plans


def plan(**changes) -> Plan:
    made = Plan(
        setup=OTHER,
        goal="latency",
        choice=Choice(str(OTHER), "ahead"),
        digest="d1",
        recipe_hash="r1",
        device="cpu",
        machine=plans.fingerprint("cpu"),
        made_at="2026-01-01T00:00:00+00:00",
        version="0",
    )
    return replace(made, **changes)


def test_a_plan_is_found_for_what_it_was_made_for_only() -> None:
    plans.save(plan())
    assert plans.look("d1", "r1", "cpu", "latency").plan == plan()
    assert plans.look("d1", "r1", "cpu").plan == plan()
    for other in (("d2", "r1", "cpu"), ("d1", "r2", "cpu"), ("d1", "r1", "cpu", "throughput")):
        assert plans.look(*other).plan is None
        assert "there is no plan" in plans.look(*other).because


def test_a_plan_of_other_versions_is_void_and_says_which(monkeypatch) -> None:
    plans.save(plan(machine=plans.fingerprint("cpu").replace("openvino=", "openvino=1.")))
    looked = plans.look("d1", "r1", "cpu")
    assert looked.plan is None
    assert "the plan for latency is void: openvino was 1." in looked.because
    plans.save(plan())
    real = plans.version
    monkeypatch.setattr(plans, "version", lambda name: "9.9" if name == "torch" else real(name))
    assert "torch was" in plans.look("d1", "r1", "cpu").because


def test_a_plan_that_cannot_be_read_is_void() -> None:
    plans.save(plan())
    from snellen import cache

    key = plans._key("d1", "r1", "cpu", "latency")
    document = cache.recall(plans.KIND, key)
    cache.remember(plans.KIND, key, {**document, "goal": 3})
    assert "void" in plans.look("d1", "r1", "cpu").because
    cache.remember(plans.KIND, key, {**document, "schema": "snellen.plan/0"})
    assert "snellen.plan/0" in plans.look("d1", "r1", "cpu").because


# ---- messages and folders


def test_messages_come_back_as_they_were_and_half_of_one_is_none() -> None:
    stream = io.BytesIO()
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "none": np.zeros((0, 4), dtype=np.float32)}
    wire.write(stream, {"do": "x"}, arrays)
    whole = stream.getvalue()
    document, found = wire.read(io.BytesIO(whole))
    assert document == {"do": "x"}
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    assert wire.read(io.BytesIO(whole[:-1])) is None
    assert wire.read(io.BytesIO(b"")) is None


@pytest.mark.parametrize("case", [CASES["vit classifier"], CASES["convnext"], CASES["dinov3"]])
def test_a_model_that_was_laid_down_is_taken_up_bit_for_bit(case: Case, tmp_path) -> None:
    model = model_of(case)
    lay_down(model, tmp_path)
    mapped = take_up(tmp_path)
    mapped.release()
    mine, theirs = model.encoder.state_dict(), mapped.model.encoder.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in mine.items())
    assert (mapped.model.recipe, mapped.model.record) == (model.recipe, model.record)
    assert all(tensor.data_ptr() % 64 == 0 for tensor in theirs.values())
