"""Runtimes: one contract, and every runtime held to it over every kind of encoder."""

from __future__ import annotations

import gc
import importlib
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snellen
from fakes import RECORD
from parity.cases import AIM, CONV, D2, D2_GLU, D3, D3_7B, D3_GLU, EXACT, VIT
from parity.compare import SINGLE, relative
from snellen import devices
from snellen.checkpoints.dialects.rules import native_shapes
from snellen.checkpoints.seeded import draw
from snellen.checkpoints.state import digest_of
from snellen.devices import processor
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
from snellen.records.plan import FREE, Layout
from snellen.runtimes import INT8, RUNTIMES, make, of_callable, of_module
from snellen.runtimes.base import Runner
from snellen.runtimes.eager import Eager
from snellen.runtimes.guests.hooked import Guest, check_points, importing, only_side
from snellen.runtimes.openvino import session
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
ALL = tuple(CASES)
SMALL, MIXED = "vit classifier", "dinov3 swiglu"
THREE = (SMALL, MIXED, "convnext")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What tells a runtime from the others; everything else is asked of all of them.

    ``dtypes``: what it computes in on a CPU, each with the encoders whose numbers are compared here. ``exact``: how far
    its float64 may lie from ours. ``opened``: what it holds beside tensors once it has run.
    """

    dtypes: Mapping[str, tuple[str, ...]]
    exact: float = 0.0
    returns: str | None = None  # the dtype of its features; None: the one it computes in
    taps: bool = False  # a tap sees its stages, and replaces them
    watched: tuple[str, ...] = ()  # the encoders whose stages are looked at in a second build
    tensors: bool = True  # it hands out its parameters, which it brings to its dtype
    layout: tuple[str, ...] = ()  # what it sets beside the batch
    ahead: int = 0  # batches it asks for before it gives the vectors of the first
    batches: tuple[str, ...] = ("dinov3", "convnext")
    sizes: tuple[str, ...] = ("dinov3", "convnext", "dinov2")
    opened: Callable[[Any], list[object]] = lambda runner: []


TORCH = {"float32": ALL, "bfloat16": ALL, "float64": ALL}
FACTS = {
    "eager": Facts(dtypes=TORCH, taps=True),
    "compiled": Facts(
        dtypes={"float32": THREE, "bfloat16": (), "float64": ()},  # seconds each: the others are in test_compiled
        exact=EXACT,
        batches=(MIXED,),
        sizes=(MIXED,),
        opened=lambda runner: [*runner.programs.values()],
    ),
    "openvino": Facts(
        dtypes={"float32": ALL, "bfloat16": ALL, INT8: ()},
        returns="float32",
        watched=THREE,
        tensors=False,
        layout=("streams", "threads"),
        ahead=session.WAITING * processor.cores(),
        opened=lambda runner: [stored.session._compiled for stored in runner._open.values()],
    ),
    "onnxruntime": Facts(
        dtypes={"float32": THREE},
        watched=THREE,
        tensors=False,
        layout=("threads",),
        ahead=1,
        batches=(MIXED, "convnext"),
        sizes=(SMALL,),
        opened=lambda runner: [opened._session for opened in runner._open.values()],
    ),
    # Limit: what timm and transformers work out in float32 whatever the dtype is (rotary angles, RMS norms).
    "timm": Facts(dtypes=TORCH, taps=True, exact=5e-7),
    "transformers": Facts(dtypes=TORCH, taps=True, exact=5e-7),
}


def each(cases: Callable[[Facts], tuple[str, ...]]) -> pytest.MarkDecorator:
    """Run a test for every runtime over some encoders of its own."""
    return pytest.mark.parametrize(("runtime", "case"), [(r, c) for r in RUNTIMES for c in cases(FACTS[r])])


def some(which: Callable[[Facts], bool]) -> pytest.MarkDecorator:
    """Run a test for the runtimes of which something holds."""
    return pytest.mark.parametrize("runtime", [r for r in RUNTIMES if which(FACTS[r])])


EACH = each(lambda facts: facts.dtypes["float32"])
TAPPED = each(lambda facts: facts.dtypes["float32"] if facts.taps else ())
SOME = some(lambda facts: True)


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
    weights: str  # the digest of what was drawn


@cache
def golden(case: str) -> Golden:
    model = model_of(CASES[case])
    pixels = pixels_for(model.encoder.config)
    double = build(model.encoder.config, "cpu").double()
    double.load_state_dict(model.encoder.state_dict())
    weights = digest(model)
    return Golden(model, pixels, *encoded(model.encoder, pixels), *encoded(double, pixels), weights)


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


class Shelf:
    """Runners that are made once for many tests: a compilation takes seconds."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str, str, bool], Runner] = {}

    def __call__(self, runtime: str, case: str, dtype: str = "float32", *, wrong: bool = False) -> Runner:
        """Return a runner of the golden model, or of the one that has a ``wrong`` weight."""
        key = (runtime, case, dtype, wrong)
        if key not in self.made:
            model = model_of(CASES[case], perturbed(case)[0]) if wrong else golden(case).model
            self.made[key] = make(runtime, model, CPU, dtype)
        return self.made[key]


@pytest.fixture(scope="module")
def runners() -> Iterator[Shelf]:
    shelf = Shelf()
    yield shelf
    for runner in shelf.made.values():
        runner.close()


@EACH
def test_outputs_are_the_encoders(runtime: str, case: str, runners: Shelf) -> None:
    g = golden(case)
    runner = runners(runtime, case)
    outputs = runner.run(g.pixels).named()
    assert outputs.keys() == g.outputs.keys()
    assert not too_far(outputs, g.outputs)
    assert (runner.runtime, runner.dtype, runner.device) == (runtime, "float32", CPU)
    assert runner.version
    assert all(tensor.dtype == torch.float32 for tensor in outputs.values())
    held = sum(tensor.numel() for _, tensor in runner.tensors() if tensor.is_floating_point())
    wanted = sum(p.numel() for p in g.model.encoder.parameters()) if FACTS[runtime].tensors else 0
    assert held >= 0.9 * wanted
    assert bool(held) == FACTS[runtime].tensors
    assert digest(g.model) == g.weights


@EACH
def test_a_wrong_weight_is_visible(runtime: str, case: str, runners: Shelf) -> None:
    """The comparison above proves something only if it fails where it should."""
    g = golden(case)
    far = too_far(runners(runtime, case, wrong=True).run(g.pixels).named(), g.outputs, VISIBLE)
    assert "pooled" in far
    assert "patches" in far


@TAPPED
def test_the_tap_sees_every_stage_in_order(runtime: str, case: str, runners: Shelf) -> None:
    g = golden(case)
    watch = Watch()
    runner = runners(runtime, case)
    plain = runner.run(g.pixels).named()
    outputs = runner.run(g.pixels, watch).named()
    assert tuple(watch.seen) == runner.stages
    assert runner.stages
    assert [name for name in g.stages if name in runner.stages] == list(runner.stages)
    assert set(g.stages) - set(runner.stages) <= ({"norm"} if (runtime, "convnext") == (runtime, case[:8]) else set())
    assert not too_far(watch.seen, g.stages)
    assert all(torch.equal(outputs[name], plain[name]) for name in plain)  # watching changes nothing
    assert digest(g.model) == g.weights


@TAPPED
def test_what_a_tap_returns_is_what_follows(runtime: str, case: str, runners: Shelf) -> None:
    """Another stage in the place of each, one after the other, has the effect it has in our encoder."""
    g = golden(case)
    runner = runners(runtime, case)
    for stage in runner.stages:
        other = {stage: g.stages[stage].flip(0)}  # the stage of the other picture
        with torch.inference_mode():
            expected = g.model.encoder(g.pixels, tap=Watch(other)).named()
        found = runner.run(g.pixels, Watch(other)).named()
        assert not too_far({"pooled": found["pooled"], "patches": found["patches"]}, expected), stage
        assert relative(found["pooled"], g.outputs["pooled"]) > VISIBLE, stage


@TAPPED
def test_fed_the_golden_only_the_wrong_stage_is_wrong(runtime: str, case: str, runners: Shelf) -> None:
    g = golden(case)
    culprit = perturbed(case)[1]
    fed, free = Watch(g.exact_stages), Watch()
    runner = runners(runtime, case, wrong=True)
    runner.run(g.pixels, fed)
    runner.run(g.pixels, free)
    after = runner.stages[runner.stages.index(culprit) :]
    assert set(too_far(fed.seen, g.exact_stages, VISIBLE)) == {culprit}
    assert set(too_far(free.seen, g.exact_stages, VISIBLE)) == set(after)


@some(lambda facts: not facts.taps)
def test_a_tap_is_refused_where_nothing_goes_through_it(runtime: str, runners: Shelf) -> None:
    g = golden(MIXED)
    runner, watch = runners(runtime, MIXED), Watch()
    assert runner.stages == ()
    assert runner.note
    with pytest.raises(UsageError, match="shows no stages") as caught:
        runner.run(g.pixels, watch)
    assert runner.note in str(caught.value)
    assert not watch.seen
    assert not too_far(runner.run(g.pixels).named(), g.outputs)


@each(lambda facts: facts.watched)
def test_stages_are_looked_at_in_a_second_build(runtime: str, case: str, runners: Shelf) -> None:
    """They are those of the weights the runner has, which go wrong where these do, and not before."""
    g = golden(case)
    change, culprit = perturbed(case)
    runner = runners(runtime, case, wrong=True)
    plain = runner.run(g.pixels).named()
    seen = runner.look(g.pixels)
    assert tuple(seen) == runner.watched == g.model.encoder.stages
    assert not too_far(seen, encoded(model_of(CASES[case], change).encoder, g.pixels)[1])
    after = runner.watched[runner.watched.index(culprit) :]
    assert set(too_far(seen, g.stages, VISIBLE)) == set(after)
    assert not too_far(runner.run(g.pixels).named(), plain)
    with pytest.raises(InputError, match="not a whole number"):
        runner.look(g.pixels[:, :, :-1])


@some(lambda facts: not facts.watched)
def test_a_runtime_without_a_second_build_says_so(runtime: str, runners: Shelf) -> None:
    runner = runners(runtime, MIXED)
    assert runner.watched == ()
    with pytest.raises(UsageError, match=runtime):
        runner.look(golden(MIXED).pixels)


@each(lambda facts: facts.dtypes.get("bfloat16", ()))
def test_bfloat16_is_as_far_from_the_golden_as_the_encoder_in_bfloat16(runtime: str, case: str, runners: Shelf) -> None:
    g = golden(case)
    reference = runners("eager", case, "bfloat16").run(g.pixels).named()
    runner = runners(runtime, case, "bfloat16")
    outputs = runner.run(g.pixels).named()
    assert runner.dtype == "bfloat16"
    for name, tensor in outputs.items():
        assert tensor.dtype == getattr(torch, FACTS[runtime].returns or "bfloat16")
        if tensor.numel():
            own = relative(reference[name], g.exact_outputs[name])
            assert 1e-4 < relative(tensor, g.exact_outputs[name]) < 1.5 * own, name
    assert digest(g.model) == g.weights


@each(lambda facts: facts.dtypes.get("float64", ()))
def test_float64_is_the_golden(runtime: str, case: str, runners: Shelf) -> None:
    g = golden(case)
    outputs = runners(runtime, case, "float64").run(g.pixels).named()
    assert all(tensor.dtype == torch.float64 for tensor in outputs.values())
    assert not too_far(outputs, g.exact_outputs, FACTS[runtime].exact)
    assert too_far(g.outputs, g.exact_outputs, EXACT)  # where that is the limit, float32 would be seen


@each(lambda facts: facts.batches)
def test_batches_of_any_size(runtime: str, case: str, runners: Shelf) -> None:
    g = golden(case)
    pixels = pixels_for(g.model.encoder.config, batch=9)
    runner = runners(runtime, case)
    whole = runner.run(pixels).named()
    assert not too_far(whole, encoded(g.model.encoder, pixels)[0])
    for batch in range(1, 10):
        part = runner.run(pixels[:batch]).named()
        assert part["pooled"].shape == (batch, g.model.width)
        assert not too_far(part, {name: tensor[:batch] for name, tensor in whole.items()})


@each(lambda facts: facts.sizes)
def test_other_sizes_give_the_encoders_numbers_or_are_refused(runtime: str, case: str, runners: Shelf) -> None:
    g = golden(case)
    stride = g.model.encoder.config.stride
    pixels = pixels_for(g.model.encoder.config, size=(2 * stride, 3 * stride))
    runner = runners(runtime, case)
    if (runtime, case) == ("transformers", "dinov2"):  # it resizes positions without antialiasing
        with pytest.raises(InputError, match="resizes positions in another way"):
            runner.run(pixels)
    else:
        assert not too_far(runner.run(pixels).named(), encoded(g.model.encoder, pixels)[0])
    with pytest.raises(InputError, match="not a whole number"):
        runner.run(pixels[:, :, :-1])
    with pytest.raises(InputError, match="have shape"):
        runner.run(pixels[0])
    assert not too_far(runner.run(g.pixels).named(), g.outputs)  # the first size is not forgotten


# Batches one after another

SIZES = (3, 1, 9, 2, 7, 5, 4, 8, 6, 3)


@SOME
def test_vectors_are_those_of_run_in_order(runtime: str, runners: Shelf) -> None:
    g = golden(MIXED)
    batches = [part.numpy() for part in pixels_for(g.model.encoder.config, batch=sum(SIZES)).split(SIZES)]
    runner = runners(runtime, MIXED)
    found = list(runner.vectors(iter(batches)))
    assert [part.shape for part in found] == [(size, g.model.width) for size in SIZES]
    assert all(isinstance(part, np.ndarray) and part.dtype == np.float32 for part in found)
    wanted = [runner.run(torch.from_numpy(batch)).pooled for batch in batches]
    assert max(relative(torch.from_numpy(a), b) for a, b in zip(found, wanted, strict=True)) < SINGLE
    assert relative(torch.from_numpy(found[0]), wanted[-1]) > VISIBLE  # one batch taken for another would be seen


@SOME
def test_batches_are_asked_for_when_they_are_needed(runtime: str, runners: Shelf) -> None:
    g = golden(MIXED)
    asked = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal asked
        while True:
            asked += 1
            yield g.pixels.numpy()

    runner = runners(runtime, MIXED)
    vectors = runner.vectors(endless())
    assert asked == 0
    for given in range(1, 4):
        next(vectors)
        assert given <= asked <= given + FACTS[runtime].ahead
    vectors.close()  # type: ignore[attr-defined]  # with batches under way
    before = asked
    assert not too_far(runner.run(g.pixels).named(), g.outputs)
    assert list(runner.vectors([])) == []
    assert asked == before


@SOME
def test_an_error_between_batches_comes_through(runtime: str, runners: Shelf) -> None:
    g = golden(MIXED)

    def failing() -> Iterator[np.ndarray]:
        yield g.pixels.numpy()
        raise OSError("the disk is gone")

    runner = runners(runtime, MIXED)
    with pytest.raises(OSError, match="the disk is gone"):
        list(runner.vectors(failing()))
    assert not too_far(runner.run(g.pixels).named(), g.outputs)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda x: x[:, :, :-1], "not a whole number"),
        (lambda x: x[0], "have shape"),
        (lambda x: np.concatenate([x, x[:, :1]], axis=1), "have shape"),
    ],
    ids=["a side", "no batch", "four channels"],
)
@SOME
def test_a_batch_that_the_encoder_does_not_take_is_refused(runtime: str, bad, message: str, runners: Shelf) -> None:
    pixels = golden(MIXED).pixels.numpy()
    runner = runners(runtime, MIXED)
    with pytest.raises(InputError, match=message):
        list(runner.vectors([pixels, bad(pixels)]))
    assert len(list(runner.vectors([pixels, pixels]))) == 2


@SOME
def test_a_layout_says_how_large_a_batch_is(runtime: str) -> None:
    model = golden(MIXED).model
    with make(runtime, model, CPU, "float32") as free, make(runtime, model, CPU, "float32", Layout(batch=3)) as laid:
        assert laid.batch == 3 != free.batch >= 1


@pytest.mark.parametrize("what", ["streams", "threads"])
@SOME
def test_streams_and_threads_are_set_or_refused(runtime: str, what: str) -> None:
    g = golden(SMALL)
    layout = Layout(**{what: torch.get_num_threads() + 1})
    if what in FACTS[runtime].layout:
        with make(runtime, g.model, CPU, "float32", layout) as runner:
            assert not too_far(runner.run(g.pixels).named(), g.outputs)
    else:
        with pytest.raises(UsageError, match=f"streams.* asked for|asked for .*{what}"):
            make(runtime, g.model, CPU, "float32", layout)


@SOME
def test_closing_lets_the_memory_go(runtime: str) -> None:
    g, facts = golden(SMALL), FACTS[runtime]
    runner = make(runtime, g.model, CPU, "float64" if facts.tensors else "float32")  # tensors of its own, where it can
    runner.run(g.pixels)
    held = [weakref.ref(thing) for thing in (*(tensor for _, tensor in runner.tensors()), *facts.opened(runner))]
    assert held
    assert all(ref() is not None for ref in held)
    runner.close()
    gc.collect()
    assert not [ref for ref in held if ref() is not None]
    assert not list(runner.tensors())
    assert digest(g.model) == g.weights


def test_the_models_own_parameters_are_shared_where_they_fit_and_it_is_said() -> None:
    model = golden("dinov3").model
    shared, own = make("eager", model, CPU, "float32"), make("eager", model, CPU, "float64")
    mine = {tensor.data_ptr() for tensor in model.encoder.parameters()}
    assert {tensor.data_ptr() for _, tensor in shared.tensors()} == mine
    assert "the model's own" in shared.note
    assert not mine & {tensor.data_ptr() for _, tensor in own.tensors()}
    assert not own.note


@SOME
def test_a_dtype_is_computed_in_or_refused(runtime: str) -> None:
    model = golden(SMALL).model
    for dtype in ("float32", "bfloat16", "float64", "float16", INT8):
        if dtype in FACTS[runtime].dtypes:
            with make(runtime, model, CPU, dtype) as runner:
                assert runner.dtype == dtype
        else:
            with pytest.raises(UnknownName if dtype == INT8 else DeviceUnavailable, match=dtype):
                make(runtime, model, CPU, dtype)


@some(lambda facts: facts.tensors)
def test_a_number_that_the_dtype_cannot_hold_is_refused(runtime: str) -> None:
    model = model_of(CASES["dinov2"])
    model.encoder.blocks[0].mlp.up.weight[3, 3] = 1e6
    with pytest.raises(DeviceUnavailable):
        make(runtime, model, CPU, "float16")  # of the CPU
    maker = RUNTIMES[runtime]
    with pytest.raises(KeyMismatch, match=r"1e\+06, which does not fit into float16"):
        maker(model, CPU, "float16", FREE)
    assert maker(golden("dinov2").model, CPU, "float16", FREE).dtype == "float16"


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
    assert {"eager", "compiled", "openvino", "onnxruntime", "timm", "transformers"} == set(RUNTIMES) == set(FACTS)
    assert issubclass(Eager, Runner)
    for error in (MissingPackage, Unavailable, InputError, KeyMismatch):
        assert issubclass(error, SnellenError)
