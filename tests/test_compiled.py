"""The compiled runtime: the encoder's numbers from compiled code alone, few compilations, and no silent eager mode.

Inductor takes seconds for each graph, so that the encoders are tiny and every one is compiled once.
"""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo.config
import torch._inductor.config
from torch import Tensor

from parity.compare import SINGLE, relative
from snellen import devices
from snellen.devices import simulated
from snellen.errors import InputError, Unavailable, UsageError
from snellen.model.model import Model
from snellen.records.plan import FREE, Layout
from snellen.runtimes import compiled, make
from snellen.runtimes.compiled import Compiled, Replay
from test_runtimes import CASES, digest, encoded, model_of, pixels_for, too_far

CPU = devices.resolve("cpu")
VISIBLE = 1e-3
NEVER_EAGER = "without compiling it|no compiled frames"  # ours, and torch's own since it looks for this itself

TINY = {"width": 32, "depth": 2, "heads": 2}
VIT = replace(CASES["vit classifier"], config=replace(CASES["vit classifier"].config, **TINY, hidden=64))
ROPE = replace(CASES["dinov3 swiglu"], config=replace(CASES["dinov3 swiglu"].config, **TINY, hidden=48))
CONV = replace(CASES["convnext"], config=replace(CASES["convnext"].config, depths=(1, 1, 1, 1), widths=(8, 16, 24, 32)))


def compiled_of(model: Model, dtype: str = "float32", layout: Layout = FREE) -> Compiled:
    runner = make("compiled", model, CPU, dtype, layout)
    assert isinstance(runner, Compiled)
    return runner


def compilations(runner: Compiled) -> list[int]:
    return [program.backend.compiled for program in runner.programs.values()]


def runs(runner: Compiled) -> int:
    return sum(program.backend.runs for program in runner.programs.values())


def settings() -> tuple[dict[str, str], ...]:
    """Return all settings of torch's compiler, as text; sets are sorted, their order means nothing."""
    copies = (torch._dynamo.config.get_config_copy(), torch._inductor.config.get_config_copy())
    return tuple({k: repr(sorted(v, key=repr) if isinstance(v, set) else v) for k, v in c.items()} for c in copies)


def large_tensors() -> int:
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking at everything that lives wakes deprecated things
        return sum(type(o) in (Tensor, torch.nn.Parameter) and o.numel() > 500 for o in gc.get_objects())


def test_a_rotary_encoder_takes_any_batch_with_two_compilations() -> None:
    model, before = model_of(ROPE), settings()
    pixels = pixels_for(ROPE.config, batch=9)
    wanted, weights = encoded(model.encoder, pixels)[0], digest(model)
    with compiled_of(model) as runner:
        assert (runner.runtime, runner.dtype, runner.stages, runner.ours) == ("compiled", "float32", (), True)
        for batch in (3, 9, 1, *range(1, 10)):
            ran = runs(runner)
            outputs = runner.run(pixels[:batch]).named()
            assert outputs.keys() == wanted.keys()
            assert not too_far(outputs, {name: tensor[:batch] for name, tensor in wanted.items()})
            assert runs(runner) > ran  # it was compiled code
        assert compilations(runner) == [1, 1]
        for given in (pixels[:4].clone(), torch.stack([*pixels[:4]], -1).movedim(-1, 0)):  # laid out in another way
            with torch.inference_mode():
                kinds = [given, given.clone()]
            for kind in kinds:
                assert not too_far(runner.run(kind).named(), {name: tensor[:4] for name, tensor in wanted.items()})
        assert compilations(runner) == [1, 1]
        assert "any batch above 1" in runner.note
        assert "batch 1," in runner.note
        vectors = list(runner.vectors(part.numpy() for part in pixels.split((4, 1, 4))))
        assert relative(torch.from_numpy(np.concatenate(vectors)), wanted["pooled"]) < SINGLE
        check_refusals(runner, pixels)
    assert digest(model) == weights
    assert settings() == before  # nothing of torch's compiler was set for everybody
    check_eager(model, pixels)


def check_refusals(runner: Compiled, pixels: Tensor) -> None:
    """What a runner does not take is an error, and leaves it as it was."""
    with pytest.raises(InputError, match="not a whole number"):
        runner.run(pixels[:, :, :-1])
    with pytest.raises(UsageError, match="shows no stages"):
        runner.run(pixels, lambda name, x: x)
    with torch.compiler.set_stance("force_eager"), pytest.raises(Unavailable, match="without compiling it"):
        runner.run(pixels)
    assert compilations(runner) == [1, 1]


def check_eager(model: Model, pixels: Tensor) -> None:
    """Tracing leaves nothing behind in the encoder: not in its tables of this size, nor of another."""
    stride = model.encoder.config.stride
    for size in (pixels, pixels_for(model.encoder.config, size=(stride, 3 * stride))):
        with make("eager", model, CPU, "float32") as plain:
            found = plain.run(size).named()
        double = make("eager", model, CPU, "float64").run(size).named()
        assert not too_far(found, double)
        assert all(type(tensor) is Tensor and np.isfinite(tensor.numpy()).all() for tensor in found.values())


def test_weights_are_constants_of_the_code_but_not_of_another_model() -> None:
    """Of two models that differ in their weights alone each has its own numbers, whatever torch has in its caches."""
    one, other = model_of(VIT), model_of(VIT, "blocks.1.mlp.up.weight")
    pixels = pixels_for(VIT.config, batch=6)
    layout = Layout(batch=4)
    held = large_tensors()
    with compiled_of(one, "bfloat16", layout) as a, compiled_of(other, "bfloat16", layout) as b:
        assert a.batch == 4
        first, second = a.run(pixels).named(), b.run(pixels).named()
        assert compilations(a) == compilations(b) == [1]  # six images are four, and two with two of zeros
        assert "batch 4," in a.note
        for model, found in ((one, first), (other, second)):
            double = make("eager", model, CPU, "float64").run(pixels).named()
            plain = make("eager", model, CPU, "bfloat16").run(pixels).named()
            for name, tensor in found.items():
                assert tensor.dtype == torch.bfloat16
                if tensor.numel():
                    assert 1e-4 < relative(tensor, double[name]) < 1.5 * relative(plain[name], double[name]), name
        assert relative(first["pooled"], second["pooled"]) > VISIBLE  # the fault is seen
        gone = [weakref.ref(tensor) for _, tensor in a.tensors()]
        assert gone
    del a, b, first, second, double, plain, model, found, tensor
    assert large_tensors() <= held  # no constants are left, nor parameters
    assert not [ref for ref in gone if ref() is not None]


def test_a_convnext_gives_the_encoders_numbers() -> None:
    model = model_of(CONV)
    pixels = pixels_for(CONV.config, batch=3)
    with compiled_of(model, layout=Layout(batch=2)) as runner:
        assert not too_far(runner.run(pixels).named(), encoded(model.encoder, pixels)[0])
        shared = {tensor.data_ptr() for tensor in model.encoder.parameters()}
        assert {tensor.data_ptr() for _, tensor in runner.tensors()} == shared
        assert compilations(runner) == [1]


# What is refused


def failing(name: str) -> Callable[..., Any]:
    def compile_nothing(*_: object, **__: object) -> None:
        raise RuntimeError("there is no rule for aten::gelu\n  and more lines\n and more")

    return compile_nothing


@pytest.mark.parametrize("suppressed", [False, True])
def test_what_does_not_compile_is_refused_with_its_cause(monkeypatch: pytest.MonkeyPatch, suppressed: bool) -> None:
    monkeypatch.setattr(torch._dynamo, "lookup_backend", failing)
    runner = compiled_of(model_of(VIT))
    with (
        torch._dynamo.config.patch(suppress_errors=suppressed),
        pytest.raises(Unavailable, match=rf"RuntimeError.*no rule for aten::gelu|{NEVER_EAGER}"),
    ):
        runner.run(pixels_for(VIT.config))
    assert not runner.programs


def test_torch_compile_switched_off_is_refused() -> None:
    runner = compiled_of(model_of(VIT))
    with torch._dynamo.config.patch(disable=True), pytest.raises(Unavailable, match=NEVER_EAGER):
        runner.run(pixels_for(VIT.config))


def test_without_a_compiler_the_install_line_is_given() -> None:
    with (
        torch._inductor.config.patch({"cpp.cxx": ("/nowhere/g++",)}),
        pytest.raises(Unavailable, match=r"No working C\+\+ compiler.*(.|\n)*apt install g\+\+"),
    ):
        compiled_of(model_of(VIT))


@pytest.mark.parametrize("layout", [Layout(streams=2), Layout(threads=torch.get_num_threads() + 1)])
def test_a_layout_that_torch_cannot_give_one_runner_is_refused(layout: Layout) -> None:
    with pytest.raises(UsageError, match="OMP_NUM_THREADS"):
        compiled_of(model_of(VIT), layout=layout)


def test_a_device_without_a_code_generator_is_refused() -> None:
    simulated.start()
    try:
        with pytest.raises(Unavailable, match="makes no code for npu:0"):
            make("compiled", model_of(VIT), devices.resolve("npu:0"), "float32")
    finally:
        simulated.stop()


# Recorded launches, on a stand-in for a device that can record them


class Recorder:
    """What torch.cuda has for recording: work that is called while a graph is open is called again by a replay."""

    def __init__(self) -> None:
        self.open: list[Callable[[], None]] | None = None
        self.launched = 0

    def launch(self, work: Callable[[], None]) -> None:
        self.launched += 1
        if self.open is not None:
            self.open.append(work)
        work()

    class Stream:
        def wait_stream(self, other: object) -> None: ...

    def current_stream(self) -> Recorder.Stream:
        return self.Stream()

    @contextmanager
    def stream(self, _: object) -> Iterator[None]:
        yield

    class CUDAGraph:
        def __init__(self) -> None:
            self.work: list[Callable[[], None]] = []

        def replay(self) -> None:
            for work in self.work:
                work()

    @contextmanager
    def graph(self, graph: CUDAGraph, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        self.open = graph.work
        yield
        self.open = None


def replayed(recorder: Recorder) -> Replay:
    def call(given: Tensor) -> tuple[Tensor, ...]:
        sums = torch.empty(len(given))
        recorder.launch(lambda: sums.copy_(given.sum((1, 2, 3))))
        return (sums,)

    return Replay(call, torch.zeros(4, 3, 2, 2), recorder)


def test_a_replay_gives_each_batch_its_own_outputs() -> None:
    recorder = Recorder()
    replay = replayed(recorder)
    launched = recorder.launched
    pixels = pixels_for(VIT.config, batch=4, size=(2, 2))
    found = [replay(pixels)[0], replay(pixels[:1])[0], replay(-pixels[:3])[0]]
    wanted = [part.sum((1, 2, 3)) for part in (pixels, pixels[:1], -pixels[:3])]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert recorder.launched == launched  # nothing was launched one by one any more
    assert not replay._given[3:].any()  # nothing of a former batch stays behind


def test_the_memory_of_a_replay_is_written_again() -> None:
    """The comparison above would see an output that is not a copy."""
    replay = replayed(Recorder())
    pixels = pixels_for(VIT.config, batch=4, size=(2, 2))
    kept = replay._outputs[0]
    replay(pixels)
    first = kept.clone()
    replay(-pixels)
    assert not torch.equal(kept, first)


def test_filling_up_leaves_the_images_alone() -> None:
    pixels = pixels_for(VIT.config, batch=3)
    assert compiled.filled(pixels, 3) is pixels
    more = compiled.filled(pixels, 5)
    assert torch.equal(more[:3], pixels)
    assert more.shape[0] == 5
    assert not more[3:].any()
