"""Judging at a glance: healthy runners pass in every dtype, planted faults do not, and nothing passes unseen."""

from __future__ import annotations

import dataclasses
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch

import snellen
from emulated import Emulated
from faults.subjects import AIM, CONVNEXT, DINOV3, GOOGLE, REG4, model, photographs, subjects
from snellen import devices
from snellen.encoders.build import build
from snellen.errors import CandidateError, UsageError
from snellen.runtimes.eager import Eager
from snellen.verification import glance, likeness, trusted
from snellen.verification.glance import prepare
from snellen.verification.trusted import Arithmetic

SUBJECTS = {subject.name: subject for subject in subjects()}
DTYPES = ("float32", "bfloat16", "float16", "int8")
EACH = pytest.mark.parametrize("name", [AIM, CONVNEXT, DINOV3, GOOGLE, REG4])


@cache
def model_of(name):
    return model(SUBJECTS[name])


@cache
def glance_of(name):
    return prepare(model_of(name), photographs(SUBJECTS[name], 3), DTYPES)


def spoilt(name, change):
    encoder = deepcopy(model_of(name).encoder)
    with torch.no_grad():
        change(encoder)
    return encoder


class Eight(torch.overrides.TorchFunctionMode):
    """Rounds inputs and weights of every linear map to 8 bits: inputs by one range, weights by a range for each row."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") != "linear":
            return function(*args, **(kwargs or {}))
        x, weight, bias = (*args, None)[:3]
        low, high = torch.aminmax(x)
        step = (high - low) / 255
        x = ((x - low) / step).round() * step + low
        scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-30) / 127
        return function(x, (weight / scale).round() * scale, bias)


class EightBits(Emulated):
    runtime = "eight"

    def __init__(self, encoder):
        super().__init__(encoder)
        self.dtype = "int8"

    def run(self, pixels, tap=None):
        with Eight():
            return trusted.run(self.encoder, pixels, Arithmetic(), tap)


def runner_of(name, dtype, encoder=None):
    encoder = encoder or model_of(name).encoder
    return EightBits(encoder) if dtype == "int8" else Emulated(encoder, Arithmetic(getattr(torch, dtype)))


@EACH
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_healthy_runner_passes(name, dtype):
    judged = glance_of(name).judge(runner_of(name, dtype), dtype)
    assert judged.outcome == "pass", judged
    assert 0 < judged.worst <= 1
    assert judged.because
    assert judged.figures["vectors"] <= 1
    assert all(np.isfinite(value) for value in judged.figures.values())


def test_the_encoder_itself_passes_and_is_near_the_golden():
    runner = Eager(model_of(DINOV3), devices.resolve("cpu"), "float32")
    judged = glance_of(DINOV3).judge(runner, "float32")
    assert judged.outcome == "pass"
    assert judged.figures["pooled_error"] < 2e-6
    assert judged.figures["again"] == 0


@EACH
def test_one_wrong_row_of_a_weight_fails_in_float32(name):
    def change(encoder):
        layer = next(m for m in encoder.block_modules[1].modules() if isinstance(m, torch.nn.Linear))
        layer.weight[0] *= 1.05

    judged = glance_of(name).judge(runner_of(name, "float32", spoilt(name, change)), "float32")
    assert judged.outcome == "fail"
    assert judged.worst > 1
    assert "times the limit of float32" in judged.because


@pytest.mark.parametrize("name", [AIM, DINOV3, GOOGLE, REG4])
@pytest.mark.parametrize("at", [0, 3])
def test_a_wrong_scale_in_one_block_fails_in_8_bits(name, at):
    def change(encoder):
        encoder.blocks[at].attention.qkv.weight *= 2
        encoder.blocks[at].attention.out.weight *= 2

    judged = glance_of(name).judge(runner_of(name, "int8", spoilt(name, change)), "int8")
    assert judged.outcome == "fail", judged
    assert judged.worst > 1


@pytest.mark.parametrize(("asked", "computes"), [("float32", "bfloat16"), ("bfloat16", "float16"), ("int8", "float32")])
def test_another_dtype_than_the_one_asked_for_fails(asked, computes):
    judged = glance_of(DINOV3).judge(runner_of(DINOV3, computes), asked)
    assert judged.outcome == "fail"
    assert judged.because == f"it computes in {computes}, and {asked} was asked for"


def test_a_dtype_that_lies_about_itself_fails_by_its_numbers():
    runner = runner_of(DINOV3, "bfloat16")
    runner.dtype = "float32"
    assert glance_of(DINOV3).judge(runner, "float32").outcome == "fail"


def changed(**tensors):
    """Return a fault: the outputs of every run changed by functions."""

    def fault(runner):
        plain = runner.run
        runner.run = lambda pixels, tap=None: dataclasses.replace(
            (f := plain(pixels, tap)), **{name: change(getattr(f, name)) for name, change in tensors.items()}
        )

    return fault


def embedding(change):
    """Return a fault: what embedding gets is changed by a function of the list of batches."""

    def fault(runner):
        plain = runner.vectors
        runner.vectors = lambda batches: iter(change(list(plain(batches))))

    return fault


def by_number(number, change):
    """Return a fault: the outputs of one run are changed."""

    def fault(runner):
        plain, runs = runner.run, []

        def run(pixels, tap=None):
            runs.append(len(pixels))
            features = plain(pixels, tap)
            return change(features) if len(runs) == number else features

        runner.run = run

    return fault


def scaled(features):
    return dataclasses.replace(features, pooled=features.pooled * 1.1)


def raising(features):
    raise RuntimeError("the driver is gone\nfor good")


def shifted(parts):
    whole = np.roll(np.concatenate(parts), 1, axis=0)
    return np.split(whole, np.cumsum([len(part) for part in parts])[:-1])


def reused(runner):
    plain = runner.vectors
    buffer = np.empty((3, 96), np.float32)

    def vectors(batches):
        for part in plain(batches):
            buffer[: len(part)] = part
            yield buffer[: len(part)]

    runner.vectors = vectors


FAULTS = {
    "nan in pooled": (changed(pooled=lambda x: x * float("nan")), "not all of them are finite"),
    "infinity in one patch": (changed(patches=lambda x: x.index_fill(1, torch.tensor([5]), torch.inf)), "finite"),
    "no class token": (changed(cls=lambda x: None), "gave no cls in its first run"),
    "no registers": (changed(registers=lambda x: x[:, :0]), "gave no registers"),
    "patches of another shape": (changed(patches=lambda x: x[:, 1:]), "gave patches of shape"),
    "integers": (changed(pooled=lambda x: x.long()), "finite numbers"),
    "nothing at all": (by_number(1, lambda features: None), "raised AttributeError in its first run"),
    "raises": (by_number(1, raising), "raised RuntimeError in its first run: the driver is gone"),
    "raises later": (by_number(2, raising), "raised RuntimeError the second time"),
    "raises alone": (by_number(3, raising), "raised RuntimeError for an image alone"),
    "raises in embedding": (by_number(4, raising), "raised RuntimeError when it embedded"),
    "other numbers again": (by_number(2, scaled), "the same images a second time"),
    "other numbers alone": (by_number(3, scaled), "an image alone, against the batch"),
    "other numbers in embedding": (by_number(5, scaled), "the vectors that embedding gets"),
    "shifted rows": (embedding(shifted), "belong to the images"),
    "batches out of order": (embedding(lambda parts: parts[::-1]), "vectors of shapes"),
    "a row too few": (embedding(lambda parts: [parts[0], parts[1][:-1]]), "vectors of shapes"),
    "a batch too few": (embedding(lambda parts: parts[:1]), "vectors of shapes"),
    "no vectors": (embedding(lambda parts: []), "vectors of shapes []"),
    "nan in vectors": (embedding(lambda parts: [parts[0], parts[1] * np.nan]), "vectors that embedding gets"),
    "a buffer that is used again": (reused, "belong to the images"),
}


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_and_is_named(fault, dtype):
    plant, said = FAULTS[fault]
    runner = runner_of(DINOV3, dtype)
    plant(runner)
    judged = glance_of(DINOV3).judge(runner, dtype)
    assert judged.outcome == "fail"
    assert said in judged.because


def test_8_bits_may_not_change_the_scale_to_which_cosines_are_blind():
    runner = runner_of(DINOV3, "int8")
    changed(cls=lambda x: x * 1.1)(runner)
    judged = glance_of(DINOV3).judge(runner, "int8")
    assert judged.outcome == "fail"
    assert judged.because.startswith("cls gain is 0.1")
    assert judged.because.endswith(", where 0.02 is the limit")
    assert judged.figures["cls_cosine_worst"] > 0.999


def test_8_bits_may_not_lose_neighbours_though_all_cosines_are_high():
    """A part that all patches have in common hides what tells them apart: cosines stay, neighbours go."""
    golden = {"patches": torch.randn(3, 40, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))}
    golden["patches"] += 20
    golden["pooled"] = golden["patches"].mean(1)
    noisy = {"patches": golden["patches"] + torch.randn(3, 40, 16, generator=torch.Generator().manual_seed(1))}
    noisy["pooled"] = golden["pooled"]
    exact = likeness.figures(golden, golden)
    assert exact["neighbours"] == exact["neighbours_across"] == 1
    over = {b.name for b in likeness.bounds(likeness.figures(noisy, golden), exact, golden) if b.ratio > 1}
    assert over == {"neighbours", "neighbours_across"}
    assert not [b for b in likeness.bounds(exact, exact, golden) if b.ratio > 1]


def test_the_figures_of_8_bits_are_those_a_person_can_read():
    figures = glance_of(DINOV3).judge(runner_of(DINOV3, "int8"), "int8").figures
    for name in ("pooled_cosine_median", "patches_cosine_worst", "neighbours", "neighbours_across"):
        assert 0.8 < figures[name] <= 1
        assert figures[name] - 0.05 <= figures[f"{name}_bfloat16"] <= 1
        assert figures[f"{name}_limit"] < figures[name]


def nearly_alike(dtype):
    """Return a glance at images of which the last two differ by less than bfloat16 tells."""
    pixels = photographs(SUBJECTS[DINOV3], 3)
    pixels[2] = pixels[1] + 1e-3 * torch.randn(pixels[1].shape, generator=torch.Generator().manual_seed(0))
    return prepare(model_of(DINOV3), pixels, (dtype,))


def swapped(at):
    """Return a fault: two rows of a whole batch of vectors change places."""

    def change(parts):
        parts[1][at] = parts[1][at[::-1]].copy()
        return parts

    return embedding(change)


def test_images_that_are_nearly_alike_are_no_fault_of_a_correct_runner():
    runner = runner_of(DINOV3, "bfloat16")
    swapped([0, 1])(runner)  # of images 2 and 1: what its rounding may do to them as well
    judged = nearly_alike("bfloat16").judge(runner, "bfloat16")
    assert judged.outcome == "pass", judged
    assert "the order of images was not judged for 1 of their pairs" in judged.because


@pytest.mark.parametrize(("dtype", "at"), [("bfloat16", [1, 2]), ("float32", [0, 1])])
def test_the_order_of_images_that_can_be_told_is_judged_beside_some_that_cannot(dtype, at):
    runner = runner_of(DINOV3, dtype)
    swapped(at)(runner)
    judged = nearly_alike(dtype).judge(runner, dtype)
    assert judged.outcome == "fail"
    assert "belong to the images" in judged.because


def test_a_scale_that_cannot_be_told_is_no_scale_that_is_right():
    golden = {"patches": torch.zeros(2, 3, 4, dtype=torch.float64), "pooled": torch.ones(2, 4, dtype=torch.float64)}
    with pytest.raises(CandidateError, match="the scale of patches cannot be told"):
        likeness.figures({name: x + 1 for name, x in golden.items()}, golden)


def test_nothing_is_judged_by_a_run_that_is_off_itself(monkeypatch):
    lowered = {**trusted.REFERENCE, "float32": Arithmetic(operands="bfloat16")}
    monkeypatch.setattr(trusted, "REFERENCE", lowered)
    prepared = prepare(model_of(DINOV3), photographs(SUBJECTS[DINOV3], 2), ("float32",))
    for runner in (runner_of(DINOV3, "float32"), runner_of(DINOV3, "bfloat16")):
        judged = prepared.judge(runner, "float32")
        assert judged.outcome == "fail"
        assert judged.because.startswith("nothing can be judged, for the CPU's own float32 run is ")
        assert judged.worst is None


def test_a_reference_that_is_not_finite_judges_nothing():
    def change(encoder):
        encoder.norm.weight *= 1e6  # beyond what float16 holds

    overflowing = snellen.model.model.Model(spoilt(DINOV3, change), model_of(DINOV3).recipe, model_of(DINOV3).record)
    prepared = prepare(overflowing, photographs(SUBJECTS[DINOV3], 2), ("float16",))
    judged = prepared.judge(runner_of(DINOV3, "float16", overflowing.encoder), "float16")
    assert judged.outcome == "fail"
    assert "is not finite" in judged.because


def test_what_cannot_judge_is_refused():
    pixels, loaded = photographs(SUBJECTS[DINOV3], 3), model_of(DINOV3)
    for bad in (pixels[:1], pixels[[0, 0]], pixels[0], pixels.double(), pixels.repeat(3, 1, 1, 1)):
        with pytest.raises(UsageError):
            prepare(loaded, bad, ("float32",))
    for dtypes in ((), ("float64",), ("float32", "int4")):
        with pytest.raises(UsageError):
            prepare(loaded, pixels, dtypes)
    elsewhere = snellen.model.model.Model(
        build(loaded.encoder.config, "meta"), loaded.recipe, dataclasses.replace(loaded.record, dtype="bfloat16")
    )
    with pytest.raises(UsageError, match="loaded in bfloat16"):
        prepare(elsewhere, pixels, ("float32",))
    only = prepare(loaded, pixels, ("bfloat16",))
    with pytest.raises(UsageError, match="nothing was prepared"):
        only.judge(runner_of(DINOV3, "float32"), "float32")
    with pytest.raises(UsageError, match="nothing was prepared"):
        only.judge(runner_of(DINOV3, "int8"), "int8")


def test_a_tuner_is_told_how_far_it_is():
    said = []
    prepare(model_of(DINOV3), photographs(SUBJECTS[DINOV3], 2), ("float32", "int8"), said.append)
    assert said == [
        "golden: 2 images in float64 on the CPU",
        "reference: float32 on the CPU",
        "reference: bfloat16 on the CPU",
    ]
    assert glance.FEWEST == 2
