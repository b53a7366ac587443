"""Runtimes: one contract, and every runtime held to it over every kind of encoder."""

from __future__ import annotations

import gc
import importlib
import sys
import weakref
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snellen
from fakes import RECORD
from parity.cases import AIM, CONV, D2, D2_GLU, D3, D3_7B, D3_GLU, VIT
from parity.compare import SINGLE, relative
from snellen import devices
from snellen.checkpoints.dialects.rules import native_shapes
from snellen.checkpoints.seeded import draw
from snellen.checkpoints.state import digest_of
from snellen.encoders.build import Encoder, build
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.encoders.features import Features
from snellen.errors import (
    DeviceUnavailable,
    InputError,
    KeyMismatch,
    MissingPackage,
    SnellenError,
    Unavailable,
    UnknownName,
    UsageError,
)
from snellen.model.loading import seeded_config
from snellen.model.model import Model
from snellen.model.spelling import spellings
from snellen.recipes import Recipe, builtin
from snellen.runtimes import RUNTIMES, make, of_callable, of_module
from snellen.runtimes.base import Runner
from snellen.runtimes.eager import Eager
from snellen.runtimes.guests.hooked import Guest, check_points, importing, only_side
from snellen.zoo import ROWS, find
from snellen.zoo.conventions import recipe_for

CPU = devices.resolve("cpu")
VISIBLE = 1e-3  # what a planted fault must exceed: two hundred times the limit for equal numbers


@dataclass(frozen=True)
class Case:
    """A shrunken encoder under the name of a row, whose architecture the guests take."""

    variant: str
    family: str
    config: EncoderConfig


CASES = {
    "dinov2": Case("vit_small_patch14_dinov2.lvd142m", "dinov2", D2),
    "dinov2 swiglu registers": Case("vit_giant_patch14_reg4_dinov2.lvd142m", "dinov2", replace(D2_GLU, registers=4)),
    "dinov3": Case("vit_small_patch16_dinov3.lvd1689m", "dinov3_vit", D3),
    "dinov3 class token": Case("vit_small_patch16_dinov3.lvd1689m", "dinov3_vit", replace(D3, pool="cls")),
    "dinov3 swiglu": Case("vit_small_plus_patch16_dinov3.lvd1689m", "dinov3_vit", D3_GLU),
    "dinov3 no biases": Case("vit_7b_patch16_dinov3.lvd1689m", "dinov3_vit", D3_7B),
    "vit": Case("vit_small_patch16_224.augreg_in21k_ft_in1k", "vit", VIT),
    "vit classifier": Case("vit_small_patch16_224.augreg_in21k_ft_in1k", "vit", replace(VIT, classes=7)),
    "vit patch mean": Case(
        "vit_small_patch16_224.augreg_in21k_ft_in1k", "vit", replace(VIT, classes=7, pool="patch_mean")
    ),
    "aimv2": Case("aimv2_large_patch14_224.apple_pt", "aimv2", AIM),
    "convnext": Case("convnext_tiny.dinov3_lvd1689m", "dinov3_convnext", CONV),
    "convnext patch mean": Case("convnext_tiny.dinov3_lvd1689m", "dinov3_convnext", replace(CONV, pool="patch_mean")),
}
EACH = pytest.mark.parametrize(("runtime", "case"), [(r, c) for r in RUNTIMES for c in CASES])
SOME = pytest.mark.parametrize("runtime", RUNTIMES)


def model_of(case: Case, change: str | None = None, seed: int = 0) -> Model:
    """Draw a shrunken model; ``change`` names the tensor of which one row is wrong."""
    config = case.config
    encoder = build(config, "cpu")
    state = {name: draw(seed, name, shape, config) for name, shape in native_shapes(config).items()}
    if change is not None:
        state[change][:1] *= -1
    encoder.load_state_dict(state)
    recipe = Recipe.parse(builtin("timm", case.family, size=side_of(config), pool=config.pool))
    record = replace(RECORD, name=case.variant, variant=case.variant, family=case.family, pool=config.pool)
    return Model(encoder, recipe, record)


def side_of(config: EncoderConfig) -> int:
    return config.grid * config.patch if isinstance(config, ViTConfig) and config.grid else 2 * config.stride


def pixels_for(config: EncoderConfig, batch: int = 2, size: tuple[int, int] | None = None) -> Tensor:
    size = size or (side_of(config),) * 2
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def digest(model: Model) -> str:
    return digest_of(iter(model.encoder.state_dict().items()))


class Watch:
    """A tap that keeps what it sees, and puts other stages in the place of some."""

    def __init__(self, instead: dict[str, Tensor] | None = None) -> None:
        self.seen: dict[str, Tensor] = {}
        self.instead = instead or {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        assert name not in self.seen
        self.seen[name] = x.clone()
        return self.instead[name].to(x) if name in self.instead else x


@dataclass(frozen=True)
class Golden:
    """A model, its pixels, and what its encoder gives by itself in float32 and (exact) in float64."""

    model: Model
    pixels: Tensor
    outputs: dict[str, Tensor]
    stages: dict[str, Tensor]
    exact_outputs: dict[str, Tensor]
    exact_stages: dict[str, Tensor]


@cache
def golden(case: str) -> Golden:
    model = model_of(CASES[case])
    pixels = pixels_for(model.encoder.config)
    double = build(model.encoder.config, "cpu").double()
    double.load_state_dict(model.encoder.state_dict())
    return Golden(model, pixels, *encoded(model.encoder, pixels), *encoded(double, pixels))


@torch.inference_mode()
def encoded(encoder: Encoder, pixels: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return outputs and stages: two runs, since the patches are a name in both."""
    return encoder(pixels).named(), encoder(pixels, encoder.stages).stages


def too_far(mine: dict[str, Tensor], theirs: dict[str, Tensor], limit: float = SINGLE) -> dict[str, float]:
    """Return what lies apart by more than ``limit``; nothing compared is a failure of its own."""
    assert mine
    found = {name: relative(x, theirs[name]) for name, x in mine.items() if x.numel()}
    return {name: value for name, value in found.items() if not value <= limit}


def perturbed(case: str) -> tuple[str, str]:
    """Return a tensor in the middle of the encoder, and the stage that it is part of."""
    if isinstance(CASES[case].config, ViTConfig):
        mlp = "gate_value" if CASES[case].config.mlp == "swiglu" else "up"
        return f"blocks.1.mlp.{mlp}.weight", "block.01"
    return "body.2.blocks.1.up.weight", "stage.2.block.01"


@EACH
def test_outputs_are_the_encoders(runtime: str, case: str) -> None:
    g = golden(case)
    before = digest(g.model)
    with make(runtime, g.model, CPU, "float32") as runner:
        outputs = runner.run(g.pixels).named()
        assert outputs.keys() == g.outputs.keys()
        assert not too_far(outputs, g.outputs)
        assert (runner.runtime, runner.dtype, runner.device) == (runtime, "float32", CPU)
        assert runner.version
        assert all(tensor.dtype == torch.float32 for tensor in outputs.values())
        held = [tensor for _, tensor in runner.tensors() if tensor.is_floating_point()]
        assert sum(t.numel() for t in held) >= 0.9 * sum(p.numel() for p in g.model.encoder.parameters())
    assert digest(g.model) == before


@EACH
def test_a_wrong_weight_is_visible(runtime: str, case: str) -> None:
    """The comparison above proves something only if it fails where it should."""
    g = golden(case)
    with make(runtime, model_of(CASES[case], perturbed(case)[0]), CPU, "float32") as runner:
        far = too_far(runner.run(g.pixels).named(), g.outputs, VISIBLE)
    assert "pooled" in far
    assert "patches" in far


@EACH
def test_the_tap_sees_every_stage_in_order(runtime: str, case: str) -> None:
    g = golden(case)
    watch = Watch()
    with make(runtime, g.model, CPU, "float32") as runner:
        plain = runner.run(g.pixels).named()
        outputs = runner.run(g.pixels, watch).named()
        assert tuple(watch.seen) == runner.stages
    assert [name for name in g.stages if name in runner.stages] == list(runner.stages)
    assert set(g.stages) - set(runner.stages) <= ({"norm"} if (runtime, "convnext") == (runtime, case[:8]) else set())
    assert not too_far(watch.seen, g.stages)
    assert all(torch.equal(outputs[name], plain[name]) for name in plain)  # watching changes nothing


@EACH
def test_what_a_tap_returns_is_what_follows(runtime: str, case: str) -> None:
    """Another stage in the place of each, one after the other, has the effect it has in our encoder."""
    g = golden(case)
    with make(runtime, g.model, CPU, "float32") as runner:
        for stage in runner.stages:
            other = {stage: g.stages[stage].flip(0)}  # the stage of the other picture
            with torch.inference_mode():
                expected = g.model.encoder(g.pixels, tap=Watch(other)).named()
            found = runner.run(g.pixels, Watch(other)).named()
            assert not too_far({"pooled": found["pooled"], "patches": found["patches"]}, expected), stage
            assert relative(found["pooled"], g.outputs["pooled"]) > VISIBLE, stage


@EACH
def test_fed_the_golden_only_the_wrong_stage_is_wrong(runtime: str, case: str) -> None:
    g = golden(case)
    change, culprit = perturbed(case)
    fed, free = Watch(g.exact_stages), Watch()
    with make(runtime, model_of(CASES[case], change), CPU, "float32") as runner:
        runner.run(g.pixels, fed)
        runner.run(g.pixels, free)
        after = runner.stages[runner.stages.index(culprit) :]
    assert set(too_far(fed.seen, g.exact_stages, VISIBLE)) == {culprit}
    assert set(too_far(free.seen, g.exact_stages, VISIBLE)) == set(after)


@EACH
def test_bfloat16_is_as_far_from_the_golden_as_the_encoder_in_bfloat16(runtime: str, case: str) -> None:
    g = golden(case)
    before = digest(g.model)
    with make("eager", g.model, CPU, "bfloat16") as trusted, make(runtime, g.model, CPU, "bfloat16") as runner:
        reference = trusted.run(g.pixels).named()
        outputs = runner.run(g.pixels).named()
        assert runner.dtype == "bfloat16"
        for name, tensor in outputs.items():
            assert tensor.dtype == torch.bfloat16
            if tensor.numel():
                own = relative(reference[name], g.exact_outputs[name])
                assert 1e-4 < relative(tensor, g.exact_outputs[name]) < 1.5 * own, name
    assert digest(g.model) == before


@EACH
def test_float64_is_the_golden(runtime: str, case: str) -> None:
    """Limit: what timm and transformers work out in float32 whatever the dtype is (rotary angles, RMS norms)."""
    g = golden(case)
    with make(runtime, g.model, CPU, "float64") as runner:
        outputs = runner.run(g.pixels).named()
        assert all(tensor.dtype == torch.float64 for tensor in outputs.values())
        assert not too_far(outputs, g.exact_outputs, 0.0 if runtime == "eager" else 5e-7)


@pytest.mark.parametrize("case", ["dinov3", "convnext"])
@SOME
def test_batches_of_any_size(runtime: str, case: str) -> None:
    g = golden(case)
    pixels = pixels_for(g.model.encoder.config, batch=9)
    with make(runtime, g.model, CPU, "float32") as runner:
        whole = runner.run(pixels).named()
        for batch in range(1, 10):
            part = runner.run(pixels[:batch]).named()
            assert part["pooled"].shape == (batch, g.model.width)
            assert not too_far(part, {name: tensor[:batch] for name, tensor in whole.items()})


@pytest.mark.parametrize(("runtime", "case"), [(r, c) for r in RUNTIMES for c in ("dinov3", "convnext", "dinov2")])
def test_other_sizes_give_the_encoders_numbers_or_are_refused(runtime: str, case: str) -> None:
    g = golden(case)
    stride = g.model.encoder.config.stride
    pixels = pixels_for(g.model.encoder.config, size=(2 * stride, 3 * stride))
    with make(runtime, g.model, CPU, "float32") as runner:
        if (runtime, case) == ("transformers", "dinov2"):  # it resizes positions without antialiasing
            with pytest.raises(InputError, match="resizes positions in another way"):
                runner.run(pixels)
        else:
            assert not too_far(runner.run(pixels).named(), encoded(g.model.encoder, pixels)[0])
        with pytest.raises(InputError, match="not a whole number"):
            runner.run(pixels[:, :, :-1])
        with pytest.raises(InputError, match="have shape"):
            runner.run(pixels[0])


@SOME
def test_closing_lets_the_memory_go(runtime: str) -> None:
    runner = make(runtime, golden("dinov3").model, CPU, "float64")
    held = [weakref.ref(tensor) for _, tensor in runner.tensors()]
    assert held
    assert all(ref() is not None for ref in held)
    runner.close()
    gc.collect()
    assert not [ref for ref in held if ref() is not None]
    assert not list(runner.tensors())


def test_the_models_own_parameters_are_shared_where_they_fit_and_it_is_said() -> None:
    model = golden("dinov3").model
    shared, own = make("eager", model, CPU, "float32"), make("eager", model, CPU, "float64")
    mine = {tensor.data_ptr() for tensor in model.encoder.parameters()}
    assert {tensor.data_ptr() for _, tensor in shared.tensors()} == mine
    assert "the model's own" in shared.note
    assert not mine & {tensor.data_ptr() for _, tensor in own.tensors()}
    assert not own.note


@SOME
def test_a_number_that_the_dtype_cannot_hold_is_refused(runtime: str) -> None:
    model = model_of(CASES["dinov2"])
    model.encoder.blocks[0].mlp.up.weight[3, 3] = 1e6
    with pytest.raises(DeviceUnavailable):
        make(runtime, model, CPU, "float16")  # of the CPU
    maker = RUNTIMES[runtime]
    with pytest.raises(KeyMismatch, match=r"1e\+06, which does not fit into float16"):
        maker(model, CPU, "float16")
    assert maker(golden("dinov2").model, CPU, "float16").dtype == "float16"


def test_unknown_names_are_refused() -> None:
    model = golden("dinov2").model
    with pytest.raises(UnknownName, match="eager"):
        make("eagr", model, CPU, "float32")
    with pytest.raises(UnknownName, match="float32"):
        make("eager", model, CPU, "float23")


# The guests


@pytest.mark.parametrize("package", ["timm", "transformers"])
def test_a_missing_package_comes_with_its_install_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = golden("dinov2").model
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=rf"pip install 'snellen\[{package}\]'"):
        make(package, model, CPU, "float32")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist"),
        ModuleNotFoundError("no torchvision", name="torchvision"),
    ],
)
def test_a_package_that_is_there_but_broken_is_not_called_missing(error: Exception) -> None:
    seen = r"timm is installed, but cannot be imported: .*torchvision"
    with pytest.raises(Unavailable, match=seen) as caught, importing("timm"):
        raise error
    assert not isinstance(caught.value, MissingPackage)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist"),
        ModuleNotFoundError("Could not import module 'ViTModel'. Are this object's requirements defined correctly?"),
        ImportError("cannot import name 'io' from 'torchvision'"),
    ],
)
@pytest.mark.parametrize("where", ["AutoModel", "AutoConfig"])
def test_what_transformers_imports_late_is_named_too(where, error, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    class Late(type(transformers)):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> object:
            if name == where:
                raise error
            return super().__getattribute__(name)

    model = golden("dinov2").model
    before = transformers.__class__
    transformers.__class__ = Late
    try:
        with pytest.raises(Unavailable, match="transformers") as caught:
            make("transformers", model, CPU, "float32")
    finally:
        transformers.__class__ = before
    assert str(error) in str(caught.value)
    assert not isinstance(caught.value, MissingPackage)


REFUSED = {
    "eps": ("timm", "vit", {"eps": 1e-12}, "the eps 1e-06"),
    "tanh GELU": ("timm", "vit", {"mlp": "gelu_tanh"}, "the mlp gelu"),
    "tanh GELU there": ("transformers", "vit", {"mlp": "gelu_tanh"}, "cannot be set to the mlp"),
    "rounded periods": ("timm", "dinov3", {"rope_rounding": True}, "the rope_rounding False"),
    "rounded periods there": ("transformers", "dinov3", {"rope_rounding": True}, "cannot be set to the rope_rounding"),
    "tanh layer": ("timm", "vit", {"pooler": True, "pool": "tanh_cls"}, "no place for the tanh layer"),
    "another width inside": ("timm", "dinov2", {"hidden": 200}, "holds other tensors"),
    "another ratio": ("transformers", "dinov2", {"hidden": 200}, "no mlp_ratio"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_a_library_would_run_otherwise_is_refused(fault: str) -> None:
    runtime, case, changes, message = REFUSED[fault]
    model = model_of(replace(CASES[case], config=replace(CASES[case].config, **changes)))
    with pytest.raises(Unavailable, match=message) as caught:
        make(runtime, model, CPU, "float32")
    assert "--runtime" in str(caught.value)


@pytest.mark.parametrize(("runtime", "resize"), [("timm", "bicubic"), ("transformers", "bicubic_antialias")])
def test_another_way_of_resizing_positions_is_refused_where_it_matters(runtime: str, resize: str) -> None:
    case = replace(CASES["vit"], config=replace(VIT, resize=resize))
    model = model_of(case)
    with make(runtime, model, CPU, "float32") as runner:  # at its own size positions stay what they are
        assert not too_far(runner.run(pixels_for(VIT)).named(), encoded(model.encoder, pixels_for(VIT))[0])
    model.recipe = Recipe.parse(builtin("timm", "vit", size=64))
    with pytest.raises(Unavailable, match=f"resize .*{resize}"):
        make(runtime, model, CPU, "float32")


def test_the_tanh_layer_runs_in_transformers() -> None:
    model = model_of(replace(CASES["vit"], config=replace(VIT, pooler=True, pool="tanh_cls")))
    pixels = pixels_for(VIT)
    with make("transformers", model, CPU, "float32") as runner:
        assert not too_far(runner.run(pixels).named(), encoded(model.encoder, pixels)[0])


def test_a_network_that_timm_has_no_name_for_is_refused() -> None:
    model = golden("dinov2").model
    stranger = Model(model.encoder, model.recipe, replace(model.record, name="mine", variant="mine"))
    with pytest.raises(Unavailable, match="no name for the network of mine"):
        make("timm", stranger, CPU, "float32")
    with make("transformers", stranger, CPU, "float32") as runner:  # which needs none
        assert not too_far(runner.run(golden("dinov2").pixels).named(), golden("dinov2").outputs)


def test_a_module_that_a_library_no_longer_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from snellen.runtimes.guests import transformers
    from snellen.runtimes.guests.hooked import Point

    moved = {**transformers.POINTS["dinov2"], "tokens": Point("elsewhere")}
    monkeypatch.setitem(transformers.POINTS, "dinov2", moved)
    with pytest.raises(Unavailable, match="has no module elsewhere"):
        make("transformers", golden("dinov2").model, CPU, "float32")


def test_hooks_are_gone_after_a_tap_that_fails() -> None:
    def failing(name: str, x: Tensor) -> Tensor:
        raise KeyError(name)

    with make("timm", golden("dinov2").model, CPU, "float32") as runner:
        assert isinstance(runner, Guest)
        with pytest.raises(KeyError):
            runner.run(golden("dinov2").pixels, failing)
        assert not any(module._forward_hooks for module in runner.module.modules())


@pytest.mark.parametrize("runtime", ["timm", "transformers"])
def test_a_released_encoder_at_full_size(runtime: str) -> None:
    model = snellen.load("vit_small_patch16_dinov3.lvd1689m", weights="seed:0")
    pixels = torch.randn(1, 3, *model.recipe.size, generator=torch.Generator().manual_seed(0))
    watch = Watch()
    outputs, stages = encoded(model.encoder, pixels)
    with make(runtime, model, CPU, "float32") as runner:
        assert not too_far(runner.run(pixels, watch).named(), outputs)
        assert tuple(watch.seen) == model.encoder.stages
        assert not too_far(watch.seen, stages)


def released() -> list[tuple[str, str]]:
    """Return the smallest row of each kind of network, under its name in each library that has it."""
    kinds = {
        (row.family, row.head, row.stats, getattr(row.config, "mlp", ""), getattr(row.config, "registers", 0)): row
        for row in reversed(ROWS)
    }
    names = [(library, row.name_in(library)) for row in kinds.values() for library in ("timm", "transformers")]
    return [(library, name) for library, name in names if name]


@pytest.mark.parametrize(("library", "name"), released())
def test_released_encoders_are_what_the_library_builds(library: str, name: str, monkeypatch) -> None:
    """Names, arguments, shapes and points at full size, without memory for the weights."""
    guest = importlib.import_module(f"snellen.runtimes.guests.{library}")
    named = find(name)
    recipe = Recipe.parse(recipe_for(named.variant, named.library))
    config = replace(seeded_config(named), pool=recipe.pool)
    record = replace(RECORD, name=name, variant=named.variant.name, family=named.variant.family, library=library)
    model = Model(build(config), recipe, record)
    monkeypatch.setattr(Tensor, "count_nonzero", lambda self: 0)  # nobody knows of weights without values
    assert only_side(model, library) is None  # under its own name a library resizes as the encoder does
    with torch.device("meta"):
        module = guest.built(model)
    arguments = (config,) if library == "timm" else (config, record.family)
    check_points(module, guest.points_of(*arguments), library)
    theirs = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    assert any(spelled.written() == theirs for spelled in spellings(model, library))


# Candidates of one's own


class Wrapped(nn.Module):
    """A module of somebody else's around an encoder; ``give`` says what it returns of the features."""

    def __init__(self, encoder: nn.Module, give) -> None:
        super().__init__()
        self.inner, self.give = encoder, give
        self.eval()

    def forward(self, pixels: Tensor):
        return self.give(self.inner(pixels))


class Staged(Wrapped):
    """The same, showing its stages."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__(encoder, None)
        self.stages = encoder.stages

    def forward(self, pixels: Tensor, tap=None):
        return self.inner(pixels, tap=tap)


def model_output(features: Features):
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    return BaseModelOutputWithPooling(last_hidden_state=features.tokens, pooler_output=features.cls)


GIVEN = {
    "features": (lambda f: f, {"cls", "registers", "patches", "pooled"}),
    "pooled": (lambda f: f.pooled, {"pooled"}),
    "tokens": (lambda f: f.tokens, {"cls", "registers", "patches"}),
    "an array": (lambda f: f.pooled.numpy(), {"pooled"}),
    "a dict": (lambda f: {"patches": f.patches, "pooled": f.pooled}, {"patches", "pooled"}),
    "a dict of tokens": (lambda f: {"tokens": f.tokens, "pooled": f.pooled}, {"cls", "registers", "patches", "pooled"}),
    "a ModelOutput": (model_output, {"cls", "registers", "patches", "pooled"}),
}


@pytest.mark.parametrize("kind", [of_module, of_callable])
@pytest.mark.parametrize("given", GIVEN)
def test_what_a_candidate_gives_is_understood(given: str, kind) -> None:
    g = golden("dinov3 class token")
    give, names = GIVEN[given]
    candidate = Wrapped(g.model.encoder, give)
    with kind(candidate if kind is of_module else candidate.__call__, g.model, CPU, "float32") as runner:
        assert runner.runtime == ("module" if kind is of_module else "callable")
        found = runner.run(g.pixels).named()
        assert set(found) == names
        assert all(torch.equal(found[name], g.outputs[name]) for name in names)
        assert bool(list(runner.tensors())) == (kind is of_module)
        with pytest.raises(UsageError, match="shows no stages"):
            runner.run(g.pixels, Watch())
        with pytest.raises(InputError, match="not a whole number"):
            runner.run(g.pixels[:, :, 1:])


def test_a_pooler_output_that_is_another_vector_is_left_aside() -> None:
    g = golden("dinov3")  # its recipe averages the patches
    with of_module(Wrapped(g.model.encoder, model_output), g.model, CPU, "float32") as runner:
        assert "pooled" not in runner.run(g.pixels).named()


def test_a_classifiers_tensor_is_its_logits() -> None:
    g = golden("vit classifier")
    with of_module(Wrapped(g.model.encoder, lambda f: f.logits), g.model, CPU, "float32") as runner:
        assert torch.equal(runner.run(g.pixels).named()["logits"], g.outputs["logits"])


MISUNDERSTOOD = {
    "a shape": (lambda f: f.pooled[:, 1:], InputError, r"shape \[2, 127\]"),
    "a batch": (lambda f: {"pooled": f.pooled[:1]}, InputError, r"pooled has shape \[1, 128\]"),
    "a name": (lambda f: {"embedding": f.pooled}, UsageError, "'embedding'"),
    "a kind": (lambda f: (f.pooled, f.patches), UsageError, "returned a tuple"),
    "whole numbers": (lambda f: {"pooled": f.pooled.long()}, UsageError, "pooled is a torch.int64 tensor"),
    "a number": (lambda f: 3, UsageError, "returned an int$|returned an int\n"),
    "an array of them": (
        lambda f: np.zeros((2, 128), dtype=np.int32),
        UsageError,
        "candidate's output is an int32 tensor",
    ),
    "a list": (lambda f: {"pooled": f.pooled.tolist()}, UsageError, "pooled is a list"),
    "nothing": (lambda f: {}, UsageError, "nothing that can be compared"),
    "nothing at all": (lambda f: None, UsageError, "returned a NoneType"),
    "what is not there": (lambda f: {"logits": f.pooled}, UsageError, "logits, which the encoder does not have"),
}


@pytest.mark.parametrize("given", MISUNDERSTOOD)
def test_what_is_not_understood_is_refused(given: str) -> None:
    g = golden("dinov3")
    give, kind, message = MISUNDERSTOOD[given]
    runner = of_module(Wrapped(g.model.encoder, give), g.model, CPU, "float32")
    with pytest.raises(kind, match=message):
        runner.run(g.pixels)


def test_a_module_that_shows_its_stages_is_watched() -> None:
    g = golden("dinov3")
    watch, other = Watch(), Watch({"block.00": g.stages["block.00"].flip(0)})
    with of_module(Staged(g.model.encoder), g.model, CPU, "float32") as runner:
        runner.run(g.pixels, watch)
        assert tuple(watch.seen) == runner.stages == g.model.encoder.stages
        assert not runner.note
        assert relative(runner.run(g.pixels, other).pooled, g.outputs["pooled"]) > VISIBLE
    strange = Staged(g.model.encoder)
    strange.stages = ("layer1", "layer2")
    with of_module(strange, g.model, CPU, "float32") as runner:
        assert not runner.stages
        assert "layer1, layer2 are not the encoder's" in runner.note


def test_a_module_in_another_dtype_is_copied_and_stays_as_it_is() -> None:
    g = golden("dinov3")
    before = digest(g.model)
    with of_module(Wrapped(g.model.encoder, lambda f: f.pooled), g.model, CPU, "bfloat16") as runner:
        found = runner.run(g.pixels).pooled
        assert found.dtype == torch.bfloat16
        assert runner.note.startswith("a copy, moved to cpu in bfloat16")
    assert digest(g.model) == before
    own = of_module(g.model.encoder, g.model, CPU, "float32")  # no copy where none is needed
    assert {t.data_ptr() for _, t in own.tensors()} == {p.data_ptr() for p in g.model.encoder.parameters()}


def test_a_module_of_several_dtypes_runs_as_it_is() -> None:
    g = golden("dinov3")
    module = Wrapped(g.model.encoder, lambda f: f.pooled)
    module.register_buffer("narrow", torch.zeros(1, dtype=torch.bfloat16))
    with of_module(module, g.model, CPU, "float32") as runner:
        assert runner.note.startswith("its tensors are bfloat16, float32, as given")
        assert torch.equal(runner.run(g.pixels).pooled, g.outputs["pooled"])


def test_candidates_that_cannot_be_run_are_refused() -> None:
    g = golden("dinov3")
    training = Wrapped(g.model.encoder, lambda f: f.pooled).train()
    with pytest.raises(UsageError, match="training mode"):
        of_module(training, g.model, CPU, "float32")
    training.eval()
    with pytest.raises(UsageError, match="a str"):
        of_callable("eager", g.model, CPU, "float32")
    stubborn = Wrapped(g.model.encoder, lambda f: f.pooled)
    stubborn.stream = (x for x in ())  # a generator has no copy
    with pytest.raises(UsageError, match="cannot be copied"):
        of_module(stubborn, g.model, CPU, "bfloat16")
    for maker in (of_module, of_callable):
        with pytest.raises(DeviceUnavailable):
            maker(stubborn, g.model, CPU, "float16")


def test_every_runtime_is_a_runner_and_refuses_in_our_words() -> None:
    assert {"eager", "timm", "transformers"} <= set(RUNTIMES)
    assert issubclass(Eager, Runner)
    for error in (MissingPackage, Unavailable, InputError, KeyMismatch):
        assert issubclass(error, SnellenError)
