"""Stages that can be looked at in a second build of the network, and not be fed: what is shown, and what is said."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import pytest
import torch

from emulated import Emulated
from faults.subjects import DINOV3, model, photographs, subjects
from snellen.cli.main import main
from snellen.encoders.features import Features
from snellen.errors import CandidateError, InputError, UsageError
from snellen.report import terminal
from snellen.verification import placement
from snellen.verification.drift import Keeping
from snellen.verification.golden import compute, noises
from snellen.verification.inputs import given
from snellen.verification.trial import verify
from snellen.verification.trusted import SINGLE, Arithmetic

SUBJECT = next(subject for subject in subjects() if subject.name == DINOV3)


@cache
def loaded():
    return model(SUBJECT)


@cache
def golden_of(dtype):
    return compute(loaded(), given(photographs(SUBJECT, 3)), noises(dtype), lambda _: None)


class Built(Emulated):
    """A runtime that shows no stages to a tap, but has a second build whose stages can be looked at.

    It hands out no parameters, and leaves float32 on the CPU, as runtimes outside of torch do.
    """

    runtime = "built"

    def __init__(self, encoder, arithmetic=SINGLE, other=None):
        super().__init__(encoder, arithmetic)
        self.other = encoder if other is None else other
        self.stages, self.watched = (), encoder.stages
        self.note = "its graph is fused"
        self.looks = 0

    def run(self, pixels, tap=None):
        assert tap is None
        features = super().run(pixels)
        named = {name: x.float() for name, x in features.named().items()}
        return Features(grid=features.grid, **{"cls": None, **named})

    def look(self, pixels):
        self.looks += 1
        keeping = Keeping(dtype=torch.float32)
        Emulated(self.other, self.arithmetic).run(pixels, keeping)
        return dict(reversed(keeping.stages.items()))  # a runtime may name its outputs in any order

    def tensors(self):
        return ()


def spoilt(block=2, row=0, factor=1.2):
    encoder = deepcopy(loaded().encoder)
    with torch.no_grad():
        encoder.blocks[block].attention.out.weight[row] *= factor
    return encoder


def tried(runner, dtype="float32", **asked):
    record = verify(loaded(), candidate=runner, dtype=dtype, golden=golden_of(dtype), **asked)
    return record, {check.name: check for check in record.checks}


def test_stages_are_looked_at_only_when_asked_for():
    runner = Built(loaded().encoder)
    record, checks = tried(runner)
    assert runner.looks == 0
    assert record.verdict.outcome == "pass"
    assert all(stage.cumulative is None and stage.isolated is None for stage in record.stages)
    assert checks["behaviour.watched"].status == "unknown"
    assert checks["behaviour.watched"].because == "its graph is fused; --stages looks at them in a second build"
    assert "outputs only, for it shows no stages" in record.verdict.because


def test_stages_of_a_second_build_are_recorded_as_it_ran_freely():
    runner = Built(loaded().encoder)
    record, checks = tried(runner, stages=True)
    assert runner.looks == 1
    assert record.verdict.outcome == "pass", record.verdict
    assert all(stage.isolated is None and stage.cumulative.frobenius < 1e-6 for stage in record.stages)
    assert checks["behaviour.watched"].status == "pass"
    assert "a second build shows the stages; its pooled differ by" in checks["behaviour.watched"].because
    assert not record.candidate.stages
    assert "none can be fed" in record.candidate.note
    assert f"{len(record.stages)} stages were watched in a second build" in record.verdict.because
    report = terminal.trial(record)
    assert "none can be fed" in report
    assert "shows no stages" not in report


@pytest.mark.parametrize("block", [0, 1, 3])
def test_the_first_stage_that_leaves_the_references_noise_is_named(block):
    record, _ = tried(Built(spoilt(block)), stages=True)
    assert record.verdict.outcome == "fail"
    assert record.verdict.culprit == f"block.{block:02d}"
    assert f"block.{block:02d} is the first stage whose error, piled up as the network ran freely" in (
        record.verdict.because
    )
    assert "fed the golden's input it is right" not in record.verdict.because


def test_without_stages_the_same_fault_has_no_culprit():
    record, _ = tried(Built(spoilt()))
    assert record.verdict.outcome == "fail"
    assert record.verdict.culprit is None


def test_a_lowered_precision_is_still_named_by_its_size():
    record, _ = tried(Built(loaded().encoder, Arithmetic(operands="hf32")), stages=True)
    assert record.verdict.outcome == "fail"
    assert record.verdict.precision == "hf32"
    assert record.verdict.culprit == "patches"
    assert "at most as hf32 would" in record.verdict.because
    assert "patches is the first stage" in record.verdict.because


def test_a_second_build_that_is_another_network_says_nothing_of_the_one_on_trial():
    record, checks = tried(Built(loaded().encoder, other=spoilt()), stages=True)
    assert record.verdict.outcome == "limited"
    assert record.verdict.culprit is None
    assert checks["behaviour.watched"].status == "warn"
    assert "its stages are left out" in checks["behaviour.watched"].because
    assert all(stage.cumulative is None for stage in record.stages)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stages: {}, "gave no patches"),
        (lambda stages: {name: x for name, x in stages.items() if name != "block.01"}, "gave no block.01"),
        (lambda stages: {**stages, "block.01": stages["block.01"][:, 1:]}, "stage block.01 has shape"),
        (lambda stages: {**stages, "extra": stages["norm"]}, "a stage 'extra'"),
    ],
)
def test_stages_that_are_not_the_encoders_are_refused(change, said):
    runner = Built(loaded().encoder)
    plain = runner.look
    runner.look = lambda pixels: change(plain(pixels))
    with pytest.raises(InputError, match=said):
        tried(runner, stages=True)


def test_a_second_build_that_breaks_is_named():
    runner = Built(loaded().encoder)

    def look(pixels):
        raise RuntimeError("no such layer")

    runner.look = look
    with pytest.raises(CandidateError, match="raised RuntimeError in the build that shows its stages: no such layer"):
        tried(runner, stages=True)


def test_a_tap_needs_no_second_build():
    said = []
    record, _ = tried(Emulated(loaded().encoder), stages=True, progress=said.append)
    assert "--stages changes nothing: emulated shows its stages already" in said
    assert all(stage.isolated is not None for stage in record.stages)


def test_stages_of_what_shows_none_are_refused_before_anything_runs():
    with pytest.raises(UsageError, match="the stages of callable were asked for, and it shows none"):
        verify(loaded(), candidate=lambda pixels: pytest.fail("it ran"), stages=True)


# ---- runtimes that hand out nothing


def test_float32_of_bfloat16_numbers_is_judged_as_bfloat16():
    """Operands rounded to bfloat16 and float32 elsewhere lie nearer than torch's run in bfloat16, as they may."""
    runner = Built(loaded().encoder, Arithmetic(operands="bfloat16"))
    runner.dtype = "bfloat16"
    record, checks = tried(runner, "bfloat16")
    assert record.verdict.outcome == "pass", record.verdict
    assert record.verdict.ratio < 0.5
    assert checks["placement.dtype"].status == "unknown"
    assert checks["placement.parameters"].status == "unknown"
    assert checks["placement.outputs"].status == "pass"


def test_float32_under_the_name_of_bfloat16_is_seen():
    runner = Built(loaded().encoder)
    runner.dtype = "bfloat16"
    record, checks = tried(runner, "bfloat16")
    assert record.verdict.outcome == "limited"
    assert "times nearer to float64 than bfloat16 can" in checks["placement.dtype"].because


def test_a_runtime_that_says_it_computes_otherwise_is_believed():
    runner = Built(loaded().encoder)
    check = placement.dtype(runner, "bfloat16", None)
    assert check.status == "warn"
    assert check.because == "asked for bfloat16, but it computes in float32, as built itself says"


def test_other_code_may_have_the_bits_of_the_reference_on_the_same_cpu():
    runner = Built(loaded().encoder)
    assert placement.independent(runner, ["pooled"], shared=False).status == "pass"
    runner.ours = True
    assert placement.independent(runner, ["pooled"], shared=False).status == "fail"


# ---- the command


@pytest.mark.parametrize("stages", [False, True])
def test_the_command_hands_the_question_on(stages, monkeypatch):
    asked = {}

    def stopped(model, **given):
        asked.update(given)
        raise UsageError("far enough")

    monkeypatch.setattr("snellen.model.loading.load", lambda *args, **given: None)
    monkeypatch.setattr("snellen.verification.trial.verify", stopped)
    assert main(["verify", DINOV3, "--runtime", "openvino", *(["--stages"] if stages else [])]) == 2
    assert asked["stages"] is stages


def test_a_saved_record_has_no_stages_to_ask_for(capsys):
    assert main(["verify", "--from", "trial.json", "--stages"]) == 2
    assert "--from and --stages were both given" in capsys.readouterr().err
