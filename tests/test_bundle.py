"""Goldens in files: what comes back, which files and which models are refused, and what a forger does not get past.

Every control forges a whole bundle, sealed anew, and must be refused on loading or end without a verdict.
"""

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
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import snellen
from emulated import Emulated
from faults.subjects import AIM, DINOV3, model, photographs, subjects
from snellen.errors import BadFile, Unavailable, UsageError
from snellen.verification import bundle, golden, selftest, trusted
from snellen.verification.golden import compute, digest, every_noise, noises
from snellen.verification.inputs import given, seeded
from snellen.verification.trial import verify
from snellen.verification.trusted import Arithmetic

SUBJECT = next(subject for subject in subjects() if subject.name == AIM)
SMALL = "stored | squash 64 64 bicubic | scale | mean 0.485 0.456 0.406 | std 0.229 0.224 0.225 | pool cls"


@lru_cache(maxsize=1)
def aim():
    return model(SUBJECT)


def fresh():
    """A model whose record or encoder may be spoilt."""
    return snellen.model.model.Model(deepcopy(aim().encoder), aim().recipe, aim().record)


def faulty():
    """An encoder that no verdict may pass."""
    spoilt = deepcopy(aim().encoder)
    spoilt.blocks[3].norm2.eps = 1e-3
    return Emulated(spoilt)


def statuses(record):
    return {check.name: check.status for check in record.checks}


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(snellen.__file__).parent.parent)}


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    golden = compute(aim(), given(photographs(SUBJECT, 3)), every_noise(), lambda _: None)
    path = tmp_path_factory.mktemp("bundle") / "aim.golden"
    bundle.save(path, golden)
    return path, golden


def test_a_bundle_brings_back_what_was_saved(bundled):
    path, golden = bundled
    again = bundle.load(path)
    assert again.about == golden.about
    assert again.noise == golden.noise
    for mine, theirs in ((again.outputs, golden.outputs), (again.single, golden.single), (again.stages, golden.stages)):
        assert set(mine) == set(theirs)
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert list(again.stages) == list(golden.stages)
    assert torch.equal(again.pixels, golden.pixels)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_bundle_judges_every_dtype_and_computes_no_reference(bundled, dtype):
    path, _ = bundled
    said = []
    runner = Emulated(aim().encoder, Arithmetic(getattr(torch, dtype)))
    record = verify(aim(), candidate=runner, golden=bundle.load(path), dtype=dtype, progress=said.append)
    assert record.verdict.outcome == "pass", record.verdict
    assert not any("reference" in line or "golden" in line for line in said)
    assert record.golden.startswith("aim.golden, sha256 ")
    assert {name for name, status in statuses(record).items() if name.startswith("selftest.") and status == "pass"} == {
        f"selftest.{test}" for test in ("golden", "perturbed", "ladder", "reproduced", "noise")
    }


def test_a_fault_is_found_with_a_bundle_too(bundled):
    path, _ = bundled
    record = verify(aim(), candidate=faulty(), golden=bundle.load(path))
    assert record.verdict.outcome == "fail"
    assert record.verdict.culprit == "block.03"


def test_a_bundle_of_other_weights_recipe_or_encoder_is_refused(bundled):
    path, _ = bundled
    golden = bundle.load(path)
    other = model(SUBJECT, seed=1)
    with pytest.raises(UsageError, match=r"belongs to another model: weights shrunken aimv2 0"):
        verify(other, golden=golden)
    recipe = fresh()
    recipe.record = dataclasses.replace(recipe.record, recipe="another")
    with pytest.raises(UsageError, match="recipe"):
        verify(recipe, golden=golden)
    config = fresh()
    config.encoder.config = dataclasses.replace(config.encoder.config, eps=1e-3)
    with pytest.raises(UsageError, match="encoder") as caught:
        verify(config, golden=golden)
    before = aim().encoder.config.eps
    assert caught.value.seen == f"the golden belongs to another model: encoder with eps {before} there, 0.001 here"


def test_a_golden_of_another_network_says_no_more_than_that(bundled):
    other = fresh()
    other.record = dataclasses.replace(other.record, variant="other", recipe="another")
    other.encoder.config = dataclasses.replace(other.encoder.config, eps=1e-3)
    with pytest.raises(UsageError) as caught:
        bundle.check_belongs(bundled[1], other)
    theirs = bundled[1].about.variant
    assert caught.value.seen == f"the golden belongs to another model: variant {theirs} there, other here"


def test_configurations_differ_field_by_field():
    vit = "ViTConfig(width=4, depth=2, eps=1e-06)"
    conv = "ConvNeXtConfig(depths=(3, 3, 9), widths=(96, 192, 384))"
    assert bundle._difference_of_encoders(vit, conv) == "encoder ConvNeXtConfig there, ViTConfig here"
    deeper = conv.replace("9", "27", 1)
    assert bundle._difference_of_encoders(deeper, conv) == "encoder with depths (3, 3, 9) there, (3, 3, 27) here"
    more = vit.replace(")", ", new=1)").replace("2", "3")
    said = "encoder with depth 2 there, 3 here, new absent there, 1 here"
    assert bundle._difference_of_encoders(more, vit) == said


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
def test_a_bundle_that_was_changed_is_refused(bundled, tmp_path, where):
    path, _ = bundled
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1
    changed = tmp_path / "changed.golden"
    changed.write_bytes(data)
    with pytest.raises(BadFile, match="is damaged or changed"):
        bundle.load(changed)


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "cannot be read"), (b"not a golden at all, but some text", "cannot be read")]
)
def test_a_file_that_is_no_bundle_is_refused(tmp_path, content, says):
    path = tmp_path / "some.golden"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=says):
        bundle.load(path)


def test_tensors_that_are_no_golden_are_refused(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "x.golden")
    with pytest.raises(BadFile, match="no golden"):
        bundle.load(tmp_path / "x.golden")
    with pytest.raises(UsageError, match="no file"):
        bundle.load(tmp_path / "none.golden")


def test_a_bundle_has_its_ending(bundled, tmp_path):
    with pytest.raises(UsageError, match=r"\.golden"):
        bundle.save(tmp_path / "golden.json", bundled[1])


def test_a_bundle_verifies_in_another_process_without_the_other_libraries(tmp_path):
    """Made here; there, the weights are drawn again, and neither timm nor transformers can be imported."""
    loaded = snellen.load("vit_small_patch16_dinov3.lvd1689m", weights="seed:5", recipe=SMALL)
    path = tmp_path / "small.golden"
    bundle.save(path, compute(loaded, seeded([1, 2]), noises("float32"), lambda _: None))
    code = (
        "import sys, torch\n"
        "for name in ('timm', 'transformers', 'torchvision'): sys.modules[name] = None\n"
        "import snellen\n"
        "from snellen.verification import bundle\n"
        "torch.set_num_threads(1)\n"
        f"model = snellen.load('vit_small_patch16_dinov3.lvd1689m', weights='seed:5', recipe={SMALL!r})\n"
        "def candidate(pixels):\n"
        "    with torch.inference_mode():\n"
        "        return {k: v * (1 + 2**-23) for k, v in model.encoder(pixels).named().items() if v.numel()}\n"
        f"record = snellen.verify(model, candidate=candidate, golden=bundle.load({str(path)!r}))\n"
        "print(record.verdict.outcome, '|', record.golden)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert done.stdout.startswith("pass | small.golden, sha256 "), done.stdout + done.stderr


# Forged, and sealed anew


@pytest.fixture
def forge(bundled, tmp_path):
    """Change the document and the tensors of a bundle, seal it anew, and say where it is."""

    def forged(edit):
        with safe_open(str(bundled[0]), framework="pt") as file:
            document = json.loads(file.metadata()["golden"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        changed = edit(document, tensors)
        text = changed if isinstance(changed, str) else json.dumps(document if changed is None else changed)
        path = tmp_path / "forged.golden"
        save_file(tensors, path, metadata={"golden": text, "seal": bundle._seal(text, tensors)})
        return path

    return forged


def set_at(*path, value):
    def edit(document, _):
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return edit


def drop_at(*path):
    def edit(document, _):
        for name in path[:-1]:
            document = document[name]
        del document[path[-1]]

    return edit


def tensor(name, change):
    return lambda _, tensors: tensors.update({name: change(tensors[name])})


def without(name):
    def edit(_, tensors):
        del tensors[name]

    return edit


def stage_nowhere(document, _):
    for noise in document["noise"].values():
        del noise["cumulative"]["block.01"], noise["isolated"]["block.01"]


NOISE = ("noise", "float32")
MALFORMED = {
    "no JSON": (lambda *_: "{", "no JSON"),
    "nested deeply": (lambda *_: "[" * 100000, "no JSON"),
    "a list": (lambda *_: [1], "the schema is None"),
    "another schema": (set_at("schema", value="snellen.golden/0"), "snellen.golden/0"),
    "an unknown part": (set_at("more", value=1), "more, and not about and noise"),
    "no noise": (drop_at("noise"), "and not about and noise"),
    "noise that is a list": (set_at("noise", value=[]), "and not about and noise"),
    "noise of nothing": (set_at("noise", value={}), "the noise of float32 is missing"),
    "no float32 noise": (drop_at(*NOISE), "the noise of float32 is missing"),
    "no method": (drop_at("about", "method"), r"about\.method is missing"),
    "an error that is text": (set_at(*NOISE, "outputs", "patches", "token", value="0"), r"patches\.token is a string"),
    "an error below 0": (set_at(*NOISE, "isolated", "block.01", "token", value=-1.0), r"token is -1\.0"),
    "an output without noise": (drop_at(*NOISE, "outputs", "pooled"), r"noise\.float32\.outputs lack 'pooled'"),
    "an output without digest": (drop_at(*NOISE, "digests", "pooled"), r"noise\.float32\.digests lack 'pooled'"),
    "a stage without noise": (drop_at(*NOISE, "isolated", "block.01"), r"isolated lack 'block\.01'"),
    "a stage of hf32 too many": (set_at("noise", "hf32", "cumulative", "x", value={"frobenius": 0, "token": 0}), "'x'"),
    "no pixels": (without("pixels"), "the pixels are missing"),
    "no stage": (without("stage.block.01"), r"the stages lack 'block\.01'"),
    "a stage in no noise": (stage_nowhere, r"the stages have 'block\.01'"),
    "no patches": (without("output.patches"), "the patches are missing"),
    "no output": (without("output.pooled"), "single have 'pooled'"),
    "no single": (without("single.pooled"), "single lack 'pooled'"),
    "an unknown tensor": (lambda _, tensors: tensors.update(x=torch.zeros(1)), "it holds 'x'"),
    "an output in float32": (tensor("output.pooled", lambda t: t.float()), r"output\.pooled is torch\.float32"),
    "single in float64": (tensor("single.pooled", lambda t: t.double()), r"single\.pooled is torch\.float64"),
    "a stage in float16": (tensor("stage.block.01", lambda t: t.half()), r"stage\.block\.01 is torch\.float16"),
    "pixels in float64": (tensor("pixels", lambda t: t.double()), r"pixels is torch\.float64"),
    "an output too short": (tensor("output.pooled", lambda t: t[:2].clone()), r"output\.pooled is"),
    "an output too narrow": (tensor("output.pooled", lambda t: t[:, :-1].clone()), "differ in shape"),
    "a number as a stage": (tensor("stage.block.01", lambda t: t.sum()), r"stage\.block\.01 is"),
    "stages of different lengths": (tensor("stage.block.01", lambda t: t[:1].clone()), r"stage\.block\.0\d is"),
    "pixels that were not shown": (tensor("pixels", lambda t: t + 1), r"about\.inputs\.sha256"),
    "another sha256": (set_at("about", "inputs", "sha256", value="0" * 64), r"about\.inputs\.sha256"),
    "another shape": (set_at("about", "inputs", "shape", value=[1, 2, 3, 4]), r"about\.inputs says \[1, 2, 3, 4\]"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_bundle_that_does_not_fit_together_is_refused(forge, name):
    edit, says = MALFORMED[name]
    with pytest.raises(BadFile, match=says):
        bundle.load(forge(edit))


def test_a_bundle_sealed_anew_without_a_change_is_one(forge):
    """The control of all that is refused here."""
    record = verify(aim(), candidate=Emulated(aim().encoder), golden=bundle.load(forge(lambda *_: None)))
    assert record.verdict.outcome == "pass"


def test_a_bundle_of_another_method_is_refused(forge, bundled, monkeypatch):
    with pytest.raises(UsageError, match="another method"):
        verify(aim(), golden=bundle.load(forge(set_at("about", "method", value="0"))))
    monkeypatch.setitem(trusted.LADDER, "hf32", Arithmetic(operands="hf32", how="truncate"))
    with pytest.raises(UsageError, match="another method"):
        verify(aim(), golden=bundle.load(bundled[0]))


@pytest.mark.parametrize("name", ["LADDER", "REFERENCE"])
def test_the_method_is_that_of_all_runs_and_batches(name, monkeypatch):
    before = golden.method()
    with monkeypatch.context() as patch:
        patch.setitem(getattr(trusted, name), "float16", Arithmetic(results=True))
        assert golden.method() != before
    with monkeypatch.context() as patch:
        patch.setattr(golden, "BATCH", 4)
        assert golden.method() != before
    assert golden.method() == before


def test_weights_without_a_digest_belong_to_no_golden(bundled):
    """Else any two models without one would be the same."""
    brought = bundle.load(bundled[0])
    nameless = fresh()
    nameless.record = dataclasses.replace(nameless.record, digest=None)
    with pytest.raises(UsageError, match="the model has no digest of its weights"):
        verify(nameless, golden=brought)
    brought = dataclasses.replace(brought, about=dataclasses.replace(brought.about, weights=""))
    for asked in (nameless, aim()):
        with pytest.raises(UsageError, match=r"has no digest of its weights.*\n.*\n.*snellen\.load"):
            verify(asked, golden=brought)


def louder(*kinds, name=None, by=1e4, figures=("frobenius", "token")):
    def edit(document, _):
        for kind in kinds:
            for key, error in document["noise"]["float32"][kind].items():
                if name in (None, key):
                    error.update({figure: error[figure] * by for figure in figures})

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        louder("outputs", "cumulative", "isolated"),
        louder("outputs"),
        louder("outputs", by=1e-4),
        louder("outputs", name="pooled", by=10.0),
        louder("outputs", figures=("token",), by=10.0),
        louder("isolated", name="block.01", by=10.0),
        set_at(*NOISE, "outputs", "pooled", "frobenius", value=None),
    ],
    ids=["all", "outputs", "quieter", "one output", "worst tokens", "one stage", "not finite"],
)
def test_forged_noise_is_noticed(forge, edit):
    brought = bundle.load(forge(edit))
    record = verify(aim(), candidate=faulty(), golden=brought)
    assert statuses(record)["selftest.noise"] == "fail"
    assert statuses(record)["selftest.reproduced"] == "pass"
    assert record.verdict.outcome == "inconclusive"


def first(name, by):
    def edit(_, tensors):
        tensors[name][0] *= by

    return edit


@pytest.mark.parametrize("name", ["output.patches", "output.pooled", "stage.tokens", "stage.block.02"])
@pytest.mark.parametrize("by", [1 + 1e-6, float("nan")])
def test_a_forged_output_or_stage_does_not_reproduce(forge, name, by):
    record = verify(aim(), candidate=Emulated(aim().encoder), golden=bundle.load(forge(first(name, by))))
    assert statuses(record)["selftest.reproduced"] == "fail"
    assert record.verdict.outcome == "inconclusive"


def test_a_forged_output_of_another_input_of_the_batch_is_noticed(forge):
    def edit(_, tensors):
        tensors["output.pooled"][2] *= 1.001

    record = verify(aim(), candidate=Emulated(aim().encoder), golden=bundle.load(forge(edit)))
    assert statuses(record)["selftest.reproduced"] == "pass"
    assert statuses(record)["selftest.noise"] == "fail"
    assert record.verdict.outcome == "inconclusive"


def test_an_output_is_reproduced_more_exactly_than_float32(forge):
    brought = bundle.load(forge(first("output.pooled", 1 + 1e-9)))
    assert statuses(verify(aim(), candidate=Emulated(aim().encoder), golden=brought))["selftest.reproduced"] == "fail"


def output_nowhere(document, tensors):
    del tensors["output.pooled"], tensors["single.pooled"]
    for noise in document["noise"].values():
        del noise["outputs"]["pooled"], noise["digests"]["pooled"]


def test_an_output_dropped_everywhere_is_missed(forge):
    record = verify(aim(), candidate=Emulated(aim().encoder), golden=bundle.load(forge(output_nowhere)))
    assert statuses(record)["selftest.reproduced"] == "fail"
    assert statuses(record)["selftest.noise"] == "fail"
    assert record.verdict.outcome == "inconclusive"


def test_a_stage_dropped_everywhere_is_missed(forge):
    def nowhere(document, tensors):
        stage_nowhere(document, tensors)
        del tensors["stage.block.01"]

    with pytest.raises(UsageError, match="the golden has the stages"):
        verify(aim(), golden=bundle.load(forge(nowhere)))


def test_other_shapes_do_not_reproduce(bundled):
    brought = bundle.load(bundled[0])
    brought = dataclasses.replace(brought, stages={**brought.stages, "tokens": brought.stages["tokens"][:, 1:]})
    assert selftest._reproduced(brought, aim().encoder).status == "fail"


def test_more_inputs_than_a_batch_have_the_noise_of_the_first(tmp_path):
    """The noise of all is brought along, that of one batch computed."""
    path = tmp_path / "many.golden"
    bundle.save(path, compute(aim(), given(photographs(SUBJECT, 11)), noises("float32"), lambda _: None))
    record = verify(aim(), candidate=Emulated(aim().encoder), golden=bundle.load(path))
    assert record.verdict.outcome == "pass", record.verdict


# The self-tests that every golden goes through


def test_a_golden_made_here_is_not_made_again(bundled):
    names = statuses(verify(aim(), candidate=Emulated(aim().encoder), golden=bundled[1]))
    assert names["selftest.ladder"] == "pass"
    assert not {"selftest.noise", "selftest.reproduced"} & set(names)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_cpu_that_lowers_precision_is_noticed(dtype, monkeypatch):
    """As ONEDNN_DEFAULT_FPMATH_MODE=BF16 would: the float32 run is one with bfloat16 operands."""
    low = Arithmetic(operands="bfloat16")
    monkeypatch.setitem(trusted.LADDER, "float32", low)
    monkeypatch.setattr(trusted, "SINGLE", low)
    made = compute(aim(), given(photographs(SUBJECT, 2)), noises(dtype), lambda _: None)
    record = verify(
        aim(), candidate=Emulated(aim().encoder, Arithmetic(getattr(torch, dtype))), golden=made, dtype=dtype
    )
    assert statuses(record)["selftest.ladder"] == "fail"
    assert record.verdict.outcome == "inconclusive"
    assert "the CPU itself computes with lowered precision" in record.verdict.because


def test_a_reference_that_is_not_finite_is_no_ladder(bundled):
    def ladder(**changed):
        noise = dict(bundled[1].noise)
        for name, value in changed.items():
            patches = dataclasses.replace(noise[name].outputs["patches"], frobenius=value)
            noise[name] = dataclasses.replace(noise[name], outputs={**noise[name].outputs, "patches": patches})
        kept = {name: noise[name] for name in ("float32", "hf32")}
        return selftest._ladder(dataclasses.replace(bundled[1], noise=kept)).status

    assert ladder() == "pass"
    assert ladder(float32=None) == "fail"
    assert ladder(hf32=None) == "unknown"


def spoilt_norm(count):
    """A model whose last norm has weights and biases of 0 in its first channels."""
    spoilt = fresh()
    with torch.no_grad():
        for parameter in spoilt.encoder.norm.parameters():
            parameter[:count] = 0
    return spoilt


def perturbed(spoilt):
    made = compute(spoilt, given(photographs(SUBJECT, 2)), noises("float32"), lambda _: None)
    record = verify(spoilt, candidate=Emulated(spoilt.encoder), golden=made)
    return record, next(check for check in record.checks if check.name == "selftest.perturbed")


def test_channels_without_a_part_are_not_the_median():
    record, check = perturbed(spoilt_norm(100))  # of 128
    assert check.status == "pass"
    assert 1 < check.value < 10
    assert record.verdict.outcome == "pass"


def test_with_nothing_to_change_the_self_test_fails():
    spoilt = spoilt_norm(128)
    record, check = perturbed(spoilt)
    assert check.status == "fail"
    assert "no limit for the patches" in check.because  # they are exactly 0
    assert record.verdict.outcome == "inconclusive"
    patches = torch.randn(1, 5, 128, generator=torch.Generator().manual_seed(0))
    assert selftest._change(patches, spoilt.encoder, 1e-6) is not None
    assert selftest._change(torch.zeros(1, 5, 128), spoilt.encoder, 1e-6) is None
    assert selftest._change(torch.full((1, 5, 128), float("nan")), spoilt.encoder, 1e-6) is None


def test_patches_that_are_the_last_bias_alone_leave_nothing_to_change():
    """The last norm of AIMv2 has no bias, that of DINOv3 has."""
    subject = next(subject for subject in subjects() if subject.name == DINOV3)
    spoilt = model(subject)
    with torch.no_grad():
        spoilt.encoder.norm.weight[:] = 0
        spoilt.encoder.norm.bias[:] = 1 / 3
    made = compute(spoilt, given(photographs(subject, 2)), noises("bfloat16"), lambda _: None)
    runner = Emulated(spoilt.encoder, Arithmetic(torch.bfloat16))
    record = verify(spoilt, candidate=runner, golden=made, dtype="bfloat16")
    check = next(check for check in record.checks if check.name == "selftest.perturbed")
    assert check.status == "fail"
    assert "none can be changed" in check.because
    assert record.verdict.outcome == "inconclusive"


def test_a_change_without_a_finite_result_is_not_caught(bundled, monkeypatch):
    monkeypatch.setattr(selftest, "_change", lambda *_: (0, float("inf")))
    record = verify(aim(), candidate=Emulated(aim().encoder), golden=bundled[1])
    assert statuses(record)["selftest.perturbed"] == "fail"
    assert record.verdict.outcome == "inconclusive"


# Digests and copies


def test_every_output_has_a_digest_of_its_own(bundled):
    made = bundled[1]
    noise = made.noise["float32"]
    assert noise.digests == {name: digest({name: single}) for name, single in made.single.items()}
    assert len(set(noise.digests.values())) == len(noise.digests)
    assert noise.digests != made.noise["hf32"].digests


def test_a_digest_is_of_names_dtypes_shapes_and_bytes():
    x = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    others = [
        {"y": x},
        {"x": x.view(torch.int32)},
        {"x": x.reshape(3, 2)},
        {"x": x + 1},
        {"x": x, "y": torch.zeros(0)},
        {"x": torch.tensor(1.0)},
    ]
    assert len({digest(other) for other in [*others, {"x": x}]}) == len(others) + 1
    assert digest({"x": x.T.contiguous().T}) == digest({"x": x})
    assert digest({"y": x, "x": x}) == digest({"x": x, "y": x})


def test_only_what_the_file_needs_is_copied(bundled):
    made = bundled[1]
    shared = dict(made.outputs)
    shared["pooled"] = shared["patches"][:, 0]
    pixels = made.pixels.transpose(2, 3).contiguous().transpose(2, 3)
    ready = bundle._tensors(dataclasses.replace(made, outputs=shared, pixels=pixels))
    assert ready["output.patches"].data_ptr() == made.outputs["patches"].data_ptr()
    assert ready["output.pooled"].untyped_storage().data_ptr() != shared["pooled"].untyped_storage().data_ptr()
    assert torch.equal(ready["output.pooled"], shared["pooled"])
    assert ready["pixels"].is_contiguous()
    assert torch.equal(ready["pixels"], pixels)


def test_a_golden_in_pieces_is_not_kept(bundled, tmp_path):
    with pytest.raises(UsageError, match=r"cannot be kept: output\.patches is torch\.float32"):
        bundle.save(
            tmp_path / "x.golden",
            dataclasses.replace(bundled[1], outputs={k: v.float() for k, v in bundled[1].outputs.items()}),
        )


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_golden_may_be_read_by_whom_the_umask_lets(bundled, tmp_path, umask):
    before = os.umask(umask)
    try:
        bundle.save(tmp_path / "x.golden", bundled[1])
    finally:
        os.umask(before)
    assert (tmp_path / "x.golden").stat().st_mode & 0o777 == 0o666 & ~umask


def test_seeds_are_what_a_generator_takes():
    assert seeded([0, 2**63 - 1]).pixels(aim().recipe).isfinite().all()
    with pytest.raises(UsageError, match="the seeds are"):
        seeded([2**63])


@pytest.mark.parametrize(("count", "said"), [(1, "golden: 1 input in"), (2, "golden: 2 inputs in")])
def test_one_input_is_one(count, said):
    lines = []
    compute(aim(), given(photographs(SUBJECT, count)), noises("float32"), lines.append)
    assert lines[0].startswith(said)


def test_a_disk_that_refuses_is_said(bundled, tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(Unavailable, match="No space left"):
        bundle.save(tmp_path / "x.golden", bundled[1])
    assert not list(tmp_path.iterdir())
