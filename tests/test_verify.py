"""The trial itself: trusted runs, limits, self-test, close look, attribution, and what must not be judged."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import nn

import snellen
from emulated import Emulated, Halved
from faults.subjects import AIM, CONVNEXT, DINOV3, model, photographs, subjects
from snellen.devices import resolve
from snellen.devices.rounding import PRECISIONS, lower
from snellen.devices.switches import Switch
from snellen.errors import CandidateError, InputError, SnellenError, UnknownName, UsageError
from snellen.records.trials import read_trial
from snellen.records.verify import Error
from snellen.verification import limits, rules, selftest, trusted
from snellen.verification.golden import compute, noises
from snellen.verification.inputs import OWN, REPORTED, given, images, seeded
from snellen.verification.inputs import photographs as own_photographs
from snellen.verification.metrics import rounding
from snellen.verification.trial import verify
from snellen.verification.trusted import Arithmetic

SUBJECTS = {subject.name: subject for subject in subjects()}
NAMES = tuple(SUBJECTS)


@lru_cache(maxsize=8)
def encoder_of(name):
    return model(SUBJECTS[name])


def fresh(name):
    """A model whose encoder may be spoilt."""
    loaded = encoder_of(name)
    return snellen.model.model.Model(deepcopy(loaded.encoder), loaded.recipe, loaded.record)


@lru_cache(maxsize=8)
def golden_of(name, dtype="float32"):
    return compute(encoder_of(name), given(photographs(SUBJECTS[name], 3)), noises(dtype), lambda _: None)


def light(name, lowers, state):
    return Switch(name, lambda: str(state[name]), lambda text: state.update({name: text == "True"}), "False", lowers)


def judged(name, runner, **asked):
    return verify(encoder_of(name), candidate=runner, golden=golden_of(name, asked.get("dtype", "float32")), **asked)


# Trusted runs


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_is_the_encoder_in_float64_bit_for_bit(name):
    encoder, pixels = encoder_of(name).encoder, photographs(SUBJECTS[name], 2)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    ours = trusted.run(encoder, pixels, trusted.GOLDEN)
    with torch.inference_mode():
        whole = deepcopy(encoder).double()(pixels.double())
    for key, tensor in whole.named().items():
        assert tensor.dtype == torch.float64
        assert torch.equal(ours.named()[key], tensor), key
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert all(p.dtype == torch.float32 for p in encoder.parameters())


def test_only_one_block_at_a_time_is_in_float64():
    encoder = encoder_of(DINOV3).encoder
    wide = []

    def tap(name, x):
        wide.append([any(p.dtype == torch.float64 for p in block.parameters()) for block in encoder.block_modules])
        return x

    counts = []
    handles = [
        block.register_forward_hook(
            lambda *_: counts.append(
                sum(any(p.dtype == torch.float64 for p in b.parameters()) for b in encoder.block_modules)
            )
        )
        for block in encoder.block_modules
    ]
    trusted.run(encoder, photographs(SUBJECTS[DINOV3], 1), trusted.GOLDEN, tap)
    for handle in handles:
        handle.remove()
    assert not any(any(row) for row in wide)  # between blocks, none
    assert max(counts) <= 1


def test_a_run_that_breaks_off_leaves_the_parameters_as_they_were():
    encoder = encoder_of(AIM).encoder

    def tap(name, x):
        if name == "block.01":
            raise InputError("stop")
        return x

    with pytest.raises(InputError):
        trusted.run(encoder, photographs(SUBJECTS[AIM], 1), trusted.GOLDEN, tap)
    assert all(p.dtype == torch.float32 for p in encoder.parameters())
    assert trusted.run(encoder, photographs(SUBJECTS[AIM], 1), trusted.SINGLE).pooled.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_the_rungs_of_the_ladder_lie_in_order_and_far_apart(name):
    noise = golden_of(name).noise
    errors = [noise[rung].outputs["patches"].frobenius for rung in PRECISIONS]
    assert errors[0] < 2e-6
    assert errors[1] > 100 * errors[0]
    assert errors[3] > 4 * errors[1]
    assert 0.8 < errors[2] / errors[1] < 1.25  # float16 operands keep as many bits as hf32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_reference_of_a_dtype_is_the_eager_encoder_in_it(dtype):
    """Float16 products go through float32 here: the size of the errors is that of torch's own slow ones."""
    encoder, pixels = encoder_of(DINOV3).encoder, photographs(SUBJECTS[DINOV3], 2)
    golden = trusted.run(encoder, pixels, trusted.GOLDEN).tokens
    ours = trusted.run(encoder, pixels, Arithmetic(dtype)).tokens
    with torch.inference_mode():
        theirs = deepcopy(encoder).to(dtype)(pixels).tokens
    far = [float((x.double() - golden).norm() / golden.norm()) for x in (ours, theirs)]
    assert 0.8 < far[0] / far[1] < 1.25


@pytest.mark.parametrize("precision", PRECISIONS[1:])
@pytest.mark.parametrize("how", ["nearest", "truncate"])
def test_lowered_numbers_keep_the_bits_of_their_class(precision, how):
    x = torch.randn(10000, generator=torch.Generator().manual_seed(0))
    low = lower(x, precision, how)
    bits = {"hf32": 11, "float16": 11, "bfloat16": 8}[precision]
    mantissa, _ = torch.frexp(low.double())
    assert torch.equal(mantissa * 2**bits, (mantissa * 2**bits).round())  # no more bits than that
    assert not torch.equal(mantissa * 2 ** (bits - 1), (mantissa * 2 ** (bits - 1)).round())  # and no fewer
    step = 2.0 ** (1 - bits)
    assert float(((low - x).abs() / x.abs()).max()) <= step / (2 if how == "nearest" else 1) * 1.0001
    if how == "truncate":
        assert bool((low.abs() <= x.abs()).all())
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 1e-40])
    kept = lower(odd, precision, how)
    assert kept[0].isnan()
    assert kept[1:4].tolist() == [float("inf"), -float("inf"), 0.0]


def test_hf32_is_what_rounding_in_float64_gives():
    x = torch.randn(10000, generator=torch.Generator().manual_seed(1))
    mantissa, exponent = torch.frexp(x.double())
    assert torch.equal(lower(x, "hf32").double(), torch.ldexp((mantissa * 2**11).round() / 2**11, exponent))


# Verdicts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_encoder_that_adds_in_another_order_passes(name, dtype):
    encoder = encoder_of(name).encoder
    record = judged(name, Emulated(encoder, Arithmetic(getattr(torch, dtype))), dtype=dtype)
    assert record.verdict.outcome == "pass", record.verdict
    assert record.verdict.precision == dtype
    assert record.verdict.culprit is None
    assert all(check.status in ("pass", "warn") for check in record.checks), record.checks


def test_the_cpu_against_itself_shows_nothing():
    record = verify(encoder_of(DINOV3), golden=golden_of(DINOV3))
    assert record.verdict.outcome == "inconclusive"
    assert "compared with itself" in record.verdict.because
    assert record.verdict.exit_code == 3


def copied(encoder):
    return deepcopy(encoder)


def pooled_only(encoder):
    return lambda pixels: encoder(pixels).pooled


def doubled(encoder):
    return lambda pixels: {name: x.double() for name, x in encoder(pixels).named().items() if x.numel()}


@pytest.mark.parametrize("disguise", [copied, pooled_only, doubled])
def test_a_disguise_does_not_hide_the_reference(disguise):
    record = judged(DINOV3, disguise(encoder_of(DINOV3).encoder))
    assert record.verdict.outcome == "inconclusive"
    assert "compared with itself" in record.verdict.because


def test_what_this_process_told_torch_about_precision_does_not_count():
    """Under autocast a fault would hide behind a reference as noisy as itself."""
    spoilt = deepcopy(encoder_of(DINOV3).encoder)
    with torch.no_grad():
        spoilt.blocks[1].attention.out.weight[0] *= 1.05
    inputs = given(photographs(SUBJECTS[DINOV3], 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        golden = compute(encoder_of(DINOV3), inputs, noises("float32"), lambda _: None)
        assert (
            verify(encoder_of(DINOV3), candidate=Emulated(spoilt, Arithmetic()), golden=golden).verdict.exit_code == 1
        )
        module = verify(encoder_of(DINOV3), candidate=lambda x: encoder_of(DINOV3).encoder(x), golden=golden)
    assert golden.noise["float32"].outputs["patches"].frobenius < 2e-6
    assert module.verdict.outcome == "fail"  # the candidate itself did compute in bfloat16
    assert module.verdict.precision == "bfloat16"


def test_a_candidate_cannot_reach_the_goldens_memory():
    golden = golden_of(DINOV3)
    before = {key: value.clone() for key, value in golden.stages.items()}
    pixels = golden.pixels.clone()

    class Spoiling(Emulated):
        def run(self, pixels, tap=None):
            def greedy(name, x):
                got = tap(name, x) if tap else x
                return got.add_(0.0) if name == "norm" else got

            features = super().run(pixels, greedy)
            pixels.mul_(0)
            return features

    record = judged(DINOV3, Spoiling(encoder_of(DINOV3).encoder, Arithmetic()))
    assert record.verdict.outcome == "pass"
    assert torch.equal(golden.pixels, pixels)
    assert all(torch.equal(golden.stages[key], before[key]) for key in before)


def test_what_a_candidate_raises_is_named():
    def broken(pixels):
        if len(pixels) == 1:
            raise RuntimeError("only batches of 3\nmore")
        return healthy(pixels)

    def healthy(pixels):
        with Halved():
            return encoder_of(DINOV3).encoder(pixels)

    record = judged(DINOV3, broken)
    assert record.verdict.outcome == "pass"
    checks = {c.name: c for c in record.checks}
    assert checks["behaviour.batch"].status == "unknown"
    assert "only batches of 3" in checks["behaviour.batch"].because

    def lost(pixels):
        raise ValueError("device lost")

    with pytest.raises(CandidateError, match=r"raised ValueError in its first run: device lost"):
        judged(DINOV3, lost)


REPEATS = {
    "behaviour.determinism": (2, "the second time"),
    "behaviour.order": (3, "for a batch in reverse order"),
    "behaviour.batch": (5, "for an input alone"),
}


@pytest.mark.parametrize(("odd", "usual"), [(("patches", "pooled"), ("pooled",)), (("pooled",), ("patches", "pooled"))])
@pytest.mark.parametrize("name", REPEATS)
def test_a_run_that_gives_other_outputs_than_the_first_is_named(name, odd, usual):
    number, when = REPEATS[name]
    runs = []

    def unsteady(pixels):
        runs.append(len(pixels))
        with Halved():
            named = encoder_of(DINOV3).encoder(pixels).named()
        return {key: named[key] for key in (odd if len(runs) == number else usual)}

    record = judged(DINOV3, unsteady)
    assert runs == [3, 3, 3, 1, 1]
    failed = {check.name: check.because for check in record.checks if check.status == "fail"}
    assert failed == {name: f"gave {', '.join(odd)} {when}, {', '.join(usual)} otherwise"}
    assert record.verdict.outcome == "fail"


def test_flat_inputs_are_no_stale_results():
    flat = torch.zeros(2, 3, *SUBJECTS[DINOV3].size)
    golden = compute(encoder_of(DINOV3), given(flat), noises("float32"), lambda _: None)
    record = verify(encoder_of(DINOV3), candidate=Emulated(encoder_of(DINOV3).encoder, Arithmetic()), golden=golden)
    assert record.verdict.outcome == "pass", record.verdict
    lowered = Emulated(encoder_of(DINOV3).encoder, Arithmetic(operands="hf32"))
    assert verify(encoder_of(DINOV3), candidate=lowered, golden=golden).verdict.precision == "hf32"


def test_a_tap_that_is_not_heeded_is_no_fault():
    class Observing(Emulated):
        def run(self, pixels, tap=None):
            return super().run(pixels, None if tap is None else lambda name, x: (tap(name, x), x)[1])

    record = judged(DINOV3, Observing(encoder_of(DINOV3).encoder, Arithmetic()))
    assert record.verdict.outcome == "pass"
    assert all(stage.isolated is None for stage in record.stages)


def test_a_later_batch_that_is_wrong_is_told_from_outputs_badly_taken():
    pixels = photographs(SUBJECTS[DINOV3], 6).repeat(2, 1, 1, 1)
    golden = compute(encoder_of(DINOV3), given(pixels), noises("float32"), lambda _: None)
    runner = Emulated(encoder_of(DINOV3).encoder, Arithmetic())
    plain = runner.run

    def wrong(batch, tap=None):
        features = plain(batch, tap)
        return dataclasses.replace(features, patches=features.patches * 1.01) if len(batch) == 4 else features

    runner.run = wrong
    record = verify(encoder_of(DINOV3), candidate=runner, golden=golden)
    assert record.verdict.outcome == "fail"
    assert "for inputs 9 to 12: look at how batches after the first are run" in record.verdict.because


@pytest.mark.parametrize("asked", [{"dtype": "bfloat16"}, {"device": "cpu", "dtype": "float16"}])
def test_a_runner_that_is_not_what_was_asked_for_is_refused(asked):
    with pytest.raises(SnellenError):
        judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic()), **{"dtype": "float32", **asked})


def test_float32_behind_a_lower_name_is_seen():
    class Better(Emulated):
        def run(self, pixels, tap=None):
            with Halved():
                return trusted.run(self.encoder, pixels, Arithmetic(), tap)

    record = judged(DINOV3, Better(encoder_of(DINOV3).encoder, Arithmetic(torch.bfloat16)), dtype="bfloat16")
    assert record.verdict.outcome == "limited"
    assert "times nearer to float64 than bfloat16 can" in record.verdict.because


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_is_what_its_class_expects(name, dtype):
    short = str(dtype).removeprefix("torch.")
    runner = Emulated(encoder_of(name).encoder, Arithmetic(operands=short, autocast=dtype))
    assert judged(name, runner, expect=short).verdict.outcome == "pass"
    assert judged(name, runner).verdict.precision == short


def test_the_models_own_encoder_as_a_function_shows_nothing_either():
    encoder = encoder_of(DINOV3).encoder
    with torch.inference_mode():
        record = judged(DINOV3, encoder.forward)
    assert record.verdict.outcome == "inconclusive"


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_in_a_block_is_blamed_on_that_block(name):
    spoilt = deepcopy(encoder_of(name).encoder)
    block = spoilt.block_modules[2]
    with torch.no_grad():
        next(p for p in block.parameters() if p.ndim > 1).mul_(1.001)
    record = judged(name, Emulated(spoilt, Arithmetic()))
    assert record.verdict.outcome == "fail"
    assert record.verdict.culprit == spoilt.block_stages[2]
    assert record.verdict.precision is None
    assert "no rounding explains it" in record.verdict.because
    others = [stage.name for stage in record.stages if stage.precision != "float32"]
    assert others == [spoilt.block_stages[2]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arithmetic", "words"),
    [
        (Arithmetic(operands="hf32"), "hf32 in matrix products"),
        (Arithmetic(operands="hf32", how="truncate"), "hf32, cut off instead of rounded"),
        (Arithmetic(operands="bfloat16"), "bfloat16 operands"),
        (Arithmetic(operands="float16", results=True), "float16 operands and results"),
    ],
)
def test_a_lower_precision_is_told_by_how_it_rounds(name, arithmetic, words):
    record = judged(name, Emulated(encoder_of(name).encoder, arithmetic))
    assert record.verdict.outcome == "fail"
    assert record.verdict.precision == arithmetic.operands
    told = {stage.precision for stage in record.stages}
    assert words in told or (name == CONVNEXT and words.partition(" in ")[0] in told)
    assert "behaves like" in record.verdict.because
    assert "every precision switch is strict already" in record.verdict.because


@pytest.mark.parametrize("name", [DINOV3, CONVNEXT])
def test_what_is_expected_passes_and_what_is_not_does_not(name):
    lowered = Emulated(encoder_of(name).encoder, Arithmetic(operands="hf32"))
    assert judged(name, lowered, expect="hf32").verdict.outcome == "pass"
    assert judged(name, lowered, expect="bfloat16").verdict.outcome == "pass"
    worse = Emulated(encoder_of(name).encoder, Arithmetic(operands="bfloat16"))
    assert judged(name, worse, expect="hf32").verdict.outcome == "fail"


@pytest.mark.parametrize("lowering", [{"conv"}, {"matmul"}, {"conv", "matmul"}])
def test_the_switch_that_lowers_precision_is_named(lowering):
    state = {name: name in lowering for name in ("conv", "matmul", "nothing")}
    switches = tuple(
        light(name, {"conv": "convolution", "matmul": "matmul"}.get(name, "all"), state) for name in ("conv", "matmul")
    )
    record = judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic(), switches))
    assert record.verdict.outcome == "fail"
    assert record.verdict.precision == "hf32"
    assert set(record.cause.split(" and ")) == lowering
    assert record.cause in record.verdict.because
    assert {switch.name: switch.value for switch in record.candidate.switches}["conv"] == str("conv" in lowering)
    assert state == {name: name in lowering for name in ("conv", "matmul", "nothing")}  # restored
    if lowering == {"conv"}:
        assert "first visible at patches" in record.verdict.because
        assert "every stage after it adds nothing" in record.verdict.because


def test_strict_switches_have_nothing_to_explain():
    state = {"conv": False}
    record = judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic(), (light("conv", "convolution", state),)))
    assert record.verdict.outcome == "pass"
    assert not record.toggles


def test_a_candidate_without_stages_is_judged_by_its_outputs():
    encoder = deepcopy(encoder_of(DINOV3).encoder)

    def function(pixels):
        with Halved(), torch.inference_mode():
            return encoder(pixels)

    good = judged(DINOV3, function)
    assert good.verdict.outcome == "pass"
    assert "outputs only" in good.verdict.because
    encoder.blocks[1].norm1.eps = 1e-3
    bad = judged(DINOV3, function)
    assert bad.verdict.outcome == "fail"
    assert bad.verdict.culprit is None
    assert "without stages a fault of that size cannot be told" in bad.verdict.because


def test_a_module_of_ones_own_can_be_the_candidate():
    class Mine(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder = deepcopy(encoder)

        def forward(self, pixels):
            with Halved():
                return {"tokens": self.encoder(pixels).tokens}

    record = judged(DINOV3, Mine(encoder_of(DINOV3).encoder).eval())
    assert record.verdict.outcome == "limited"
    assert "pooled not given by the candidate, so not compared" in record.verdict.because
    assert {output.name for output in record.outputs} >= {"cls", "registers", "patches"}


def test_outputs_that_are_spoilt_behind_the_last_stage_blame_none():
    runner = Emulated(encoder_of(DINOV3).encoder, Arithmetic())
    plain = runner.run

    def scaled(pixels, tap=None):
        features = plain(pixels, tap)
        return dataclasses.replace(features, patches=features.patches * 1.001)

    runner.run = scaled
    record = judged(DINOV3, runner)
    assert record.verdict.outcome == "fail"
    assert record.verdict.culprit is None
    assert "behind the last stage" in record.verdict.because


def test_numbers_that_are_not_finite_come_first():
    spoilt = deepcopy(encoder_of(DINOV3).encoder)
    with torch.no_grad():
        spoilt.blocks[1].mlp.down.bias[3] = float("nan")
    record = judged(DINOV3, Emulated(spoilt, Arithmetic()))
    assert record.verdict.outcome == "fail"
    assert record.verdict.because.startswith("NaN or infinity")
    assert record.verdict.culprit == "block.01"
    json.dumps(record.to_dict(), allow_nan=False)


def test_a_lone_input_is_enough():
    one = compute(encoder_of(DINOV3), given(photographs(SUBJECTS[DINOV3], 1)), noises("float32"), lambda _: None)
    record = verify(encoder_of(DINOV3), candidate=Emulated(encoder_of(DINOV3).encoder, Arithmetic()), golden=one)
    assert record.verdict.outcome == "pass"
    assert {c.name: c.status for c in record.checks}["behaviour.order"] == "unknown"


def test_more_inputs_than_a_batch_are_all_judged():
    pixels = photographs(SUBJECTS[DINOV3], 11)
    golden = compute(encoder_of(DINOV3), given(pixels), noises("float32"), lambda _: None)
    runner = Emulated(encoder_of(DINOV3).encoder, Arithmetic())
    record = verify(encoder_of(DINOV3), candidate=runner, golden=golden)
    assert record.verdict.outcome == "pass"
    assert len(record.outputs[0].images) == 11
    plain = runner.run

    def last_wrong(batch, tap=None):
        features = plain(batch, tap)
        if len(batch) == 3:  # the second batch
            wrong = torch.tensor([0.0, 0.0, 0.01])[:, None]
            features = dataclasses.replace(features, pooled=features.pooled + wrong)
        return features

    runner.run = last_wrong
    assert verify(encoder_of(DINOV3), candidate=runner, golden=golden).verdict.outcome == "fail"


# Self-test, and references that can judge nothing


def test_a_run_whose_self_test_fails_has_no_verdict(monkeypatch):
    monkeypatch.setattr(selftest, "LIMITS", 0.01)  # a change that nobody can see
    record = judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic()))
    assert record.verdict.outcome == "inconclusive"
    assert "one weight of the last norm" in record.verdict.because
    assert {c.name: c.status for c in record.checks}["selftest.perturbed"] == "fail"


def test_a_reference_that_is_too_noisy_judges_nothing(monkeypatch):
    monkeypatch.setattr("snellen.verification.trial.NOISY", 1e-9)
    record = judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic()))
    assert record.verdict.outcome == "inconclusive"
    assert "of scale from the golden" in record.verdict.because


def test_the_self_test_leaves_the_weights_as_they_were():
    before = {key: value.clone() for key, value in encoder_of(DINOV3).encoder.state_dict().items()}
    judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic()))
    after = encoder_of(DINOV3).encoder.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_limits_are_the_factor_times_the_reference_plus_the_rounding():
    allowed = limits.limit(Error(frobenius=1e-6, token=2e-6), Error(frobenius=3e-8, token=4e-8), "float32")
    assert allowed.frobenius == pytest.approx(4e-6 + 3e-8)
    assert allowed.token == pytest.approx(12e-6 + 4e-8)
    assert limits.ratio(Error(frobenius=4.03e-6, token=0.0), allowed) == pytest.approx(1.0)
    assert limits.within(Error(frobenius=4e-6, token=1e-6), allowed)
    assert not limits.within(Error(frobenius=4e-6, token=13e-6), allowed)
    assert not limits.within(Error(frobenius=None, token=None), allowed)
    exact = limits.limit(Error(frobenius=0.0, token=0.0), Error(frobenius=0.0, token=0.0), "float32")
    assert limits.within(Error(frobenius=0.0, token=0.0), exact)
    assert not limits.within(Error(frobenius=1e-30, token=0.0), exact)


# Questions that mean nothing


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"dtype": "float64"}, "a candidate in float64"),
        ({"expect": "int8"}, "the class int8"),
        ({"dtype": "bfloat16", "expect": "hf32"}, "the class hf32 was expected of a candidate in bfloat16"),
        ({"rule": "nice"}, "there is no rule named 'nice'"),
        ({"runtime": "tvm"}, "there is no runtime named 'tvm'"),
        ({"device": "tpu"}, "there is no device named 'tpu'"),
    ],
)
def test_what_cannot_be_judged_is_refused(asked, says):
    with pytest.raises(SnellenError, match=says):
        verify(encoder_of(DINOV3), golden=golden_of(DINOV3), **asked)


def test_a_model_in_another_dtype_has_no_golden():
    loaded = fresh(DINOV3)
    loaded.record = dataclasses.replace(loaded.record, dtype="bfloat16")
    with pytest.raises(UsageError, match="loaded in bfloat16"):
        verify(loaded, golden=golden_of(DINOV3))


def test_inputs_beside_a_golden_are_refused():
    with pytest.raises(UsageError, match="beside a golden"):
        verify(encoder_of(DINOV3), golden=golden_of(DINOV3), inputs=own_photographs())


def test_outputs_of_another_shape_are_refused():
    other = encoder_of(AIM).encoder
    with pytest.raises(SnellenError, match="shape"), torch.inference_mode():
        judged(DINOV3, lambda pixels: {"pooled": other(pixels[:, :, :70, :70]).pooled})


# Inputs


def test_the_photographs_are_in_the_package():
    inputs = own_photographs()
    assert [path.name for path in inputs.paths] == list(OWN)
    assert all(path.is_file() for path in inputs.paths)
    pixels = inputs.pixels(encoder_of(DINOV3).recipe)
    assert pixels.shape == (8, 3, 96, 112)
    assert inputs.record(pixels).kind == "photographs"


def test_seeds_give_the_same_pixels_each_and_say_so():
    recipe = encoder_of(DINOV3).recipe
    inputs = seeded(REPORTED)
    pixels = inputs.pixels(recipe)
    assert torch.equal(pixels[1], seeded([123]).pixels(recipe)[0])
    assert not torch.equal(pixels[0], pixels[1])
    assert inputs.record(pixels).kind == "random"
    assert inputs.record(pixels).seeds == REPORTED


@pytest.mark.parametrize("wrong", [[], [1, 1], [-1]])
def test_seeds_that_are_none(wrong):
    with pytest.raises(UsageError, match="seeds"):
        seeded(wrong)


def test_no_images_are_refused():
    with pytest.raises(UsageError, match="no image"):
        images([])
    with pytest.raises(UsageError, match="shape"):
        given(torch.zeros(3, 4, 4))


# Records and rules


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(snellen.__file__).parent.parent)}


def test_a_saved_record_is_judged_again_by_any_rule_without_torch(tmp_path):
    record = judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic(operands="hf32")))
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record.to_dict(), allow_nan=False), encoding="utf-8")
    again = read_trial(json.loads(file.read_text(encoding="utf-8")))
    assert [rules.apply(name, again) for name in rules.RULES] == list(record.verdicts)
    code = (
        "import json, sys\n"
        "from snellen.records.trials import read_trial\n"
        "from snellen.verification import rules\n"
        f"record = read_trial(json.load(open({str(file)!r})))\n"
        "print(rules.apply('calibrated', record).outcome, rules.apply('abs-1e-2', record).outcome)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert done.stdout.split() == ["fail", rules.apply("abs-1e-2", record).outcome], done.stderr


def test_an_unknown_rule_offers_the_others():
    with pytest.raises(UnknownName, match="calibrated"):
        rules.check("calibrate")


def test_resolve_still_refuses_what_is_not_there():
    with pytest.raises(SnellenError):
        resolve("npu:9999")


class Wavering(Emulated):
    """Wrong in its first run only."""

    def __init__(self, encoder, arithmetic, switches=()):
        super().__init__(encoder, arithmetic, switches)
        self.runs = 0

    def run(self, pixels, tap=None):
        self.runs += 1
        features = super().run(pixels, tap)
        return dataclasses.replace(features, patches=features.patches * 1.01) if self.runs == 1 else features


def test_no_switch_is_blamed_for_an_error_that_does_not_come_again():
    state = {"conv": True}
    wavering = Wavering(encoder_of(DINOV3).encoder, Arithmetic(), (light("conv", "convolution", state),))
    record = judged(DINOV3, wavering, expect="hf32")
    assert record.verdict.outcome == "fail"
    assert record.cause is None
    assert not record.toggles
    assert "within it when repeated" in record.verdict.because


def test_no_rule_passes_the_cpu_against_itself():
    record = verify(encoder_of(DINOV3), golden=golden_of(DINOV3))
    assert {verdict.outcome for verdict in record.verdicts} == {"inconclusive"}
    assert "name another --device, --runtime or --dtype" in record.verdict.because


def test_a_record_without_its_self_test_has_no_verdict():
    record = judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic()))
    bare = dataclasses.replace(record, checks=())
    assert {rules.apply(name, bare).outcome for name in rules.RULES} == {"inconclusive"}


def test_a_record_that_is_silent_on_its_reference_is_not_calibrated():
    record = judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic()))
    assert rules.apply("calibrated", record).outcome == "pass"
    silent = tuple(check for check in record.checks if check.name != "reference.noise")
    verdict = rules.apply("calibrated", dataclasses.replace(record, checks=silent))
    assert verdict.outcome == "inconclusive"
    assert "how far off the CPU's own float32 run is" in verdict.because


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_rounding_costs_is_measured_once(dtype, monkeypatch):
    seen = []
    monkeypatch.setattr("snellen.verification.trial.rounding", lambda x, dtype: seen.append(x) or rounding(x, dtype))
    record = judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic(getattr(torch, dtype))), dtype=dtype)
    assert len(seen) == len(record.outputs) + (len(record.stages) if dtype == "bfloat16" else 0)


def test_outputs_that_do_not_depend_on_the_input_are_said_to_be_so():
    def same(pixels):
        with Halved():
            one = encoder_of(DINOV3).encoder(pixels[:1] * 0)
        return {name: x.expand(len(pixels), *x.shape[1:]) for name, x in one.named().items() if x.numel()}

    record = judged(DINOV3, same)
    assert record.verdict.outcome == "fail"
    assert "does not look at them" in {c.name: c.because for c in record.checks}["behaviour.stale"]


def test_a_candidate_beside_another_runtime_is_refused():
    with pytest.raises(UsageError, match="beside the runtime timm"):
        judged(DINOV3, Emulated(encoder_of(DINOV3).encoder, Arithmetic()), runtime="timm")


def test_a_pass_says_what_was_not_looked_at():
    one = compute(encoder_of(DINOV3), given(photographs(SUBJECTS[DINOV3], 1)), noises("float32"), lambda _: None)
    record = verify(encoder_of(DINOV3), candidate=Emulated(encoder_of(DINOV3).encoder, Arithmetic()), golden=one)
    assert record.verdict.because.endswith("not looked at: order, batch")


def test_large_encoders_keep_the_stages_of_fewer_inputs(monkeypatch):
    monkeypatch.setattr("snellen.verification.golden.STAGES_MOST", 400_000)
    golden = compute(encoder_of(DINOV3), given(photographs(SUBJECTS[DINOV3], 6)), noises("float32"), lambda _: None)
    assert 1 <= len(golden.staged) < 6
    record = verify(encoder_of(DINOV3), candidate=Emulated(encoder_of(DINOV3).encoder, Arithmetic()), golden=golden)
    assert record.verdict.outcome == "pass"
    spoilt = deepcopy(encoder_of(DINOV3).encoder)
    spoilt.blocks[2].norm1.eps = 1e-3
    record = verify(encoder_of(DINOV3), candidate=Emulated(spoilt, Arithmetic()), golden=golden)
    assert record.verdict.culprit == "block.02"
