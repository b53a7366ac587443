"""ONNX: files that other programs run, and the runtime; every file is proven by running the file itself."""

from __future__ import annotations

import copy
import gc
import json
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from snellen.cli.export import export as command
from snellen.errors import (
    CandidateError,
    DeviceUnavailable,
    InputError,
    MissingPackage,
    Unavailable,
    UnknownName,
    UsageError,
)
from snellen.model.model import Model
from snellen.records import Origin
from snellen.records.plan import Layout
from snellen.runtimes import export as files
from snellen.runtimes import graph, make, onnx_file
from snellen.runtimes import onnxruntime as runtime
from snellen.runtimes.graph import Graph
from snellen.verification import exported
from test_runtimes import CASES, CPU, VISIBLE, golden, model_of, pixels_for, side_of, too_far

KINDS = ("vit classifier", "dinov3 swiglu", "aimv2", "convnext")


@cache
def model(case: str = "small", wrong: bool = False) -> Model:
    """Return a shrunken model: one block where a test is of files and not of encoders."""
    if case != "small":
        return model_of(CASES[case])
    kind = CASES["dinov2 swiglu registers"]
    small = replace(kind, config=replace(kind.config, depth=1))
    return model_of(small, "blocks.0.mlp.gate_value.weight" if wrong else None)


@cache
def exports(case: str = "small") -> Graph:
    return graph.exported(model(case).encoder, (side_of(model(case).encoder.config),) * 2)


@cache
def pictures() -> torch.Tensor:
    return pixels_for(model().encoder.config)


@cache
def outputs() -> dict[str, torch.Tensor]:
    """Return what the small encoder gives for the pictures in float64."""
    with torch.inference_mode():
        return copy.deepcopy(model().encoder).double()(pictures()).named()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Callable[[str], Path]:
    """Return a file for each case, written once."""
    folder = tmp_path_factory.mktemp("written")

    @cache
    def write(case: str) -> Path:
        return onnx_file.write(exports(case), folder / f"{case}.onnx", {"snellen.recipe": "squash 2"})[0]

    return write


def outside(path: Path, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run a file as somebody without snellen would."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, map(torch.from_numpy, session.run(None, {"pixels": pixels.numpy()})), strict=True))


# ---- the file


@pytest.mark.parametrize("case", KINDS)
def test_a_file_is_the_encoder_for_any_batch(case: str, written) -> None:
    g, path = golden(case), written(case)
    network = onnx.load(path)
    onnx.checker.check_model(network, full_check=True)
    assert [entry.version for entry in network.opset_import] == [onnx_file.OPSET]
    assert network.ir_version == onnx_file.IR
    [pixels] = network.graph.input
    shape = [d.dim_param or d.dim_value for d in pixels.type.tensor_type.shape.dim]
    assert (pixels.name, shape) == ("pixels", ["batch", 3, *g.pixels.shape[2:]])
    assert {output.type.tensor_type.shape.dim[0].dim_param for output in network.graph.output} == {"batch"}
    assert {entry.key: entry.value for entry in network.metadata_props} == {"snellen.recipe": "squash 2"}
    assert os_free(path)
    wanted = {name: x for name, x in g.exact_outputs.items() if x.numel()}
    for rows in (slice(0, 1), slice(0, 2)):
        found = outside(path, g.pixels[rows])
        assert list(found) == [name for name in ("cls", "registers", "patches", "pooled", "logits") if name in wanted]
        assert not too_far(found, {name: x[rows] for name, x in wanted.items()})
    assert too_far(outside(path, g.pixels.flip(0)), g.exact_outputs, VISIBLE)


def os_free(path: Path) -> bool:
    """Tell whether a file says nothing of the place and the code that made it."""
    content = path.read_bytes()
    return not any(word in content for word in (b".py", b"stack_trace", str(Path(graph.__file__).parent).encode()))


def test_a_file_uses_the_operators_that_are_documented(written) -> None:
    """docs/export.md names all that are used, and why none is newer than what Ascend takes."""
    text = (Path(__file__).parent.parent / "docs" / "export.md").read_text(encoding="utf-8")
    listed = set(text.partition("<!-- operators -->")[2].partition("<!-- end -->")[0].replace(",", " ").split())
    used: set[str] = set()
    for case in KINDS:
        used |= {node.op_type for node in onnx.load(written(case)).graph.node}
    assert used <= listed
    assert "Gelu" not in listed
    assert {"LayerNormalization", "Erf", "MatMul"} <= used


def test_large_weights_lie_beside_the_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_file, "INSIDE", 10_000)
    path, beside = onnx_file.write(exports(), tmp_path / "model.onnx")
    assert beside.name == "model.onnx.data"
    assert beside.stat().st_size > 10 * path.stat().st_size
    assert not too_far(outside(path, pictures()), outputs())


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        onnx_file.write(exports(), tmp_path / "absent" / "model.onnx")
    (tmp_path / "model.bin").symlink_to("/dev/full")
    with pytest.raises(Unavailable, match="cannot write"):
        files.write(model(), tmp_path / "model.xml", "openvino")


# ---- exporting, and the check of what was written


@pytest.mark.parametrize("name", ["small.onnx", "small.xml"])
def test_what_is_exported_was_run_first(name: str, tmp_path: Path) -> None:
    said: list[str] = []
    record = exported.export(model(), str(tmp_path / name), progress=said.append)
    assert record.outcome == "pass"
    assert 0 < record.worst < 1
    assert record.figures["pooled_error"] <= record.figures["pooled_limit"]
    assert record.input == ("batch", 3, *model().recipe.size)
    assert record.drawn
    assert {Path(file) for file in record.files} == set(tmp_path.iterdir())
    assert json.loads(json.dumps(record.to_dict()))["schema"] == "snellen.export/1"
    assert any("golden" in line for line in said)
    facts = facts_in(tmp_path / name)
    assert facts["recipe"] == model().recipe.text
    assert facts["weights"] == "seed:0"
    assert facts["outputs"].split() == list(record.outputs) == ["cls", "registers", "patches", "pooled"]
    with files.Exported(Path(record.files[0]), record.format, model()) as runner:
        assert not too_far(runner.run(pictures()).named(), outputs())
        with pytest.raises(UsageError, match="shows no stages"):
            runner.run(pictures(), lambda _, x: x)
    runner.close()  # a second time, which is harmless


def test_an_openvino_file_needs_no_other_file(tmp_path: Path, monkeypatch) -> None:
    import openvino

    record = exported.export(model(), tmp_path / "a.xml")
    assert {Path(file).name for file in record.files} == {"a.xml", "a.bin"}
    network = openvino.Core().read_model(tmp_path / "a.xml")
    named = {name for output in network.outputs for name in output.get_names()}
    assert set(record.outputs) <= named
    for output in network.outputs:
        output.get_tensor().set_names({f"not_{name}" for name in output.get_names()})
    openvino.save_model(network, tmp_path / "b.xml", compress_to_fp16=False)
    with pytest.raises(CandidateError, match="names no output patches, pooled"):
        files.Exported(tmp_path / "b.xml", "openvino", model())
    monkeypatch.setattr(files, "OUTPUTS", ("patches",))
    failed = exported.export(model(), tmp_path / "c.xml")
    assert (failed.outcome, failed.files) == ("fail", ())
    assert "names no output pooled" in failed.because
    assert not list(tmp_path.glob("c*"))


def facts_in(path: Path) -> dict[str, str]:
    if path.suffix == ".onnx":
        return {entry.key.partition(".")[2]: entry.value for entry in onnx.load(path).metadata_props}
    import openvino

    return dict(openvino.Core().read_model(path).get_rt_info("snellen").value)


@pytest.mark.parametrize("name", ["wrong.onnx", "wrong.xml"])
def test_a_file_that_computes_something_else_is_not_left(name: str, tmp_path: Path, monkeypatch) -> None:
    write = files.write
    monkeypatch.setattr(files, "write", lambda _, path, kind: write(model(wrong=True), path, kind))
    record = exported.export(model(), tmp_path / name)
    assert record.outcome == "fail"
    assert record.worst > 100
    assert record.files == ()
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_an_export_that_broke(tmp_path: Path, monkeypatch) -> None:
    def breaks(_model, path, kind):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write", breaks)
    with pytest.raises(KeyboardInterrupt):
        exported.export(model(), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_files_appear_together_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    places = [tmp_path / "draft" / name for name in ("a.xml", "a.bin")]
    places[0].parent.mkdir()
    for place in places:
        place.write_bytes(b"x")
    rename = Path.rename

    def refuses(self: Path, target: Path) -> Path:
        if self.suffix == ".xml":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuses)
    with pytest.raises(Unavailable, match="No space left"):
        files.publish(places, tmp_path)
    assert [place.name for place in tmp_path.iterdir()] == ["draft"]


def test_facts_are_the_models_and_no_path_is_among_them() -> None:
    trained = Origin(kind="file", path="/home/somebody/weights.pth")
    other = copy.copy(model())
    other.record = replace(other.record, name="/home/somebody/weights.pth", origin=trained, digest="abc", notes=("a",))
    facts = files.facts_of(other, exports())
    assert facts["snellen.digest"] == "abc"
    assert "snellen.weights" not in facts
    assert facts["snellen.notes"] == "a"
    assert not any("somebody" in value for value in facts.values())


@pytest.mark.parametrize(
    ("name", "kind", "error", "says"),
    [
        ("a.onnx", "tflite", UnknownName, "no format"),
        ("a.pb", None, UsageError, "ends in .pb"),
        ("a.onnx", "openvino", UsageError, "ends in .onnx"),
        ("absent/a.onnx", None, UsageError, "does not exist"),
        ("here.onnx", None, UsageError, "exists already"),
        ("here.xml", None, UsageError, "here.bin' exists already"),
    ],
)
def test_places_and_formats_that_do_not_go_together(name, kind, error, says, tmp_path: Path) -> None:
    for there in ("here.onnx", "here.bin"):
        (tmp_path / there).write_bytes(b"x")
    with pytest.raises(error, match=says):
        files.format_of(tmp_path / name, kind)
    assert files.format_of(tmp_path / "b.xml", None) == "openvino"


def test_the_command(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("snellen.model.loading.load", lambda *_, **__: model())

    def called(*arguments: str):
        return CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False)

    done = called("small", tmp_path / "a.onnx", "--json", "--quiet")
    assert done.return_value == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["outcome"] == "pass"
    assert (tmp_path / "a.onnx").exists()
    write = files.write
    monkeypatch.setattr(files, "write", lambda _, path, kind: write(model(wrong=True), path, kind))
    done = called("small", tmp_path / "b.onnx", "--format", "onnx")
    assert done.return_value == 1
    assert "nothing was written" in done.stderr
    assert not (tmp_path / "b.onnx").exists()


# ---- the runtime


def test_vectors_come_in_order_and_in_batches_of_any_size() -> None:
    encoder = model().encoder
    pixels = pixels_for(encoder.config, 9).numpy()
    with make("onnxruntime", model(), CPU, "float32", Layout(batch=4, threads=1)) as runner, torch.inference_mode():
        assert runner.batch == 4
        found = np.concatenate(list(runner.vectors(iter([pixels[:1], pixels[1:6], pixels[6:]]))))
        wanted = {"pooled": encoder(torch.from_numpy(pixels)).pooled}
        assert not too_far({"pooled": torch.from_numpy(found)}, wanted)
        assert too_far({"pooled": torch.from_numpy(found[::-1].copy())}, wanted, VISIBLE)
        left = runner.vectors(iter([pixels[:1]] * 3))
        next(left)
        left.close()  # whoever stops asking waits for what is under way, and no more
        with pytest.raises(InputError, match="multiples of 14"):
            list(runner.vectors(iter([pixels[:, :, :-1]])))


def test_stages_can_be_looked_at() -> None:
    with torch.inference_mode():
        wanted = model().encoder(pictures(), model().encoder.stages).stages
    with make("onnxruntime", model(), CPU, "float32") as runner:
        assert runner.stages == ()
        assert runner.watched == model().encoder.stages
        seen = runner.look(pictures())
    assert tuple(seen) == runner.watched
    assert not too_far(seen, wanted)
    assert too_far({"norm": seen["norm"]}, {"norm": wanted["norm"].flip(0)}, VISIBLE)


def test_the_size_used_longest_ago_makes_room(monkeypatch) -> None:
    monkeypatch.setattr(runtime, "OPEN", 1)
    with make("onnxruntime", model(), CPU, "float32") as runner:
        for size in ((28, 42), (42, 28)):
            pixels = pixels_for(model().encoder.config, 1, size)
            with torch.inference_mode():
                assert not too_far(runner.run(pixels).named(), model().encoder(pixels).named())
        assert list(runner._open) == [(42, 28)]
        session = weakref.ref(runner._open[42, 28])
    gc.collect()
    assert session() is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(DeviceUnavailable, match=f"{dtype} was asked for"):
        make("onnxruntime", model(), CPU, dtype)


@pytest.mark.parametrize("dtype", list(runtime.ON_CPU))
def test_the_reasons_for_refusing_are_true(dtype: str, tmp_path: Path) -> None:
    """ONNX Runtime is asked: a network of the dtype casts, or cannot be opened. When this fails, offer the dtype."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling, options.profile_file_prefix = dtype == "float16", str(tmp_path / "profile")
    network = convolution(onnx.TensorProto.DOUBLE if dtype == "float64" else getattr(onnx.TensorProto, dtype.upper()))
    if dtype != "float16":
        with pytest.raises(Exception, match=r"NOT_IMPLEMENTED|INVALID_GRAPH"):
            onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        return
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.ones((1, 3, 4, 4), np.float16)})
    events = json.loads(Path(session.end_profiling()).read_text())
    ran = [event["args"] for event in events if event["name"].endswith("_kernel_time")]
    assert [node["op_name"] for node in ran].count("Cast") > 1
    assert all("float" in kind for node in ran if node["op_name"] == "Conv" for kind in node["input_type_shape"])


def convolution(kind: int) -> bytes:
    """Return a network of one convolution."""
    helper = onnx.helper
    x, y = helper.make_tensor_value_info("x", kind, [1, 3, 4, 4]), helper.make_tensor_value_info("y", kind, None)
    weight = helper.make_tensor("w", kind, [2, 3, 4, 4], [1.0] * 96)
    found = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    opset = helper.make_opsetid("", onnx_file.OPSET)
    return helper.make_model(found, opset_imports=[opset], ir_version=onnx_file.IR).SerializeToString()


def test_several_streams_are_refused() -> None:
    with pytest.raises(UsageError, match="one batch at a time"):
        make("onnxruntime", model(), CPU, "float32", Layout(streams=2))


class Elsewhere:
    """A device that is not here."""

    kind, index, name, torch_name = "cuda", 0, "cuda:0", "cpu"


def test_a_device_without_its_provider_is_refused(monkeypatch) -> None:
    with pytest.raises(Unavailable, match=r"it has .*CPUExecutionProvider") as caught:
        runtime.provider(Elsewhere())
    assert "pip install onnxruntime-gpu" in str(caught.value)
    monkeypatch.setattr(Elsewhere, "kind", "npu")
    with pytest.raises(Unavailable, match="pip install onnxruntime-cann"):
        runtime.provider(Elsewhere())
    monkeypatch.setattr(Elsewhere, "kind", "mps")
    with pytest.raises(Unavailable, match="--runtime eager"):
        runtime.provider(Elsewhere())


def test_a_cpu_that_takes_over_is_noticed() -> None:
    def session(first: str, *given: tuple[str, str]):
        parts = [SimpleNamespace(ep_name=ep, get_nodes=lambda k=k: [SimpleNamespace(op_type=k)]) for ep, k in given]
        return SimpleNamespace(get_providers=lambda: [first], get_provider_graph_assignment_info=lambda: parts)

    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    runtime.check_placed(session(cuda, (cuda, "MatMul"), (cpu, "Shape"), (cpu, "Concat")), cuda, Elsewhere())
    with pytest.raises(DeviceUnavailable, match=r"1 nodes \(MatMul\)"):
        runtime.check_placed(session(cuda, (cuda, "Conv"), (cpu, "MatMul")), cuda, Elsewhere())
    with pytest.raises(DeviceUnavailable, match=f"the work to {cpu}"):
        runtime.check_placed(session(cpu), cuda, Elsewhere())
    with pytest.raises(DeviceUnavailable, match=f"the work to {cpu}"):
        runtime.check_placed(SimpleNamespace(get_providers=lambda: [cpu]), cuda, Elsewhere())  # before 1.24


@pytest.mark.parametrize("package", files.NEEDED["onnx"])
def test_a_package_that_is_not_there_is_named_with_the_line_that_installs_it(package, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=package) as caught:
        files.format_of(tmp_path / "a.onnx", None)
    assert caught.value.todo == "pip install 'snellen[onnx]'"
    if package == "onnxruntime":
        with pytest.raises(MissingPackage, match=package):
            make("onnxruntime", model(), CPU, "float32")
    else:
        with pytest.raises(MissingPackage, match=package):
            onnx_file.write(exports(), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
