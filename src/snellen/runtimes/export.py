"""Files of an encoder for other programs, ONNX and OpenVINO: written, described, and run again as they were written.

In: a loaded model and a place. Out: files with the model's recipe and digest in them, and a runner of such a file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from snellen import draft
from snellen._version import __version__
from snellen.checkpoints.tensors import DRAWN
from snellen.checkpoints.write import check_free
from snellen.devices import processor, resolve
from snellen.encoders.build import build
from snellen.encoders.features import Features, Tap
from snellen.errors import CandidateError, UnknownName
from snellen.model.model import Model
from snellen.runtimes import graph, onnx_file
from snellen.runtimes.base import Runner, check_tap
from snellen.runtimes.graph import Graph

ENDINGS = {"onnx": ".onnx", "openvino": ".xml"}
"""The formats, and how their files end."""

NEEDED = {"onnx": ("onnx", "onnxscript", "onnx_ir", "onnxruntime"), "openvino": ()}
"""The optional packages that write a file, or run it afterwards."""

OUTPUTS = ("cls", "registers", "patches", "pooled", "logits")
"""What an output of a file may be called; OpenVINO gives names of its own beside them."""


def format_of(path: Path, wanted: str | None) -> str:
    """Return the format that is asked for by name, or by the ending of ``path``.

    Raises UnknownName, UsageError where name and ending differ or something stands at ``path``, MissingPackage.
    """
    if wanted is not None and wanted not in ENDINGS:
        raise UnknownName("format", wanted, ENDINGS, todo=f"one of {', '.join(ENDINGS)}")
    draft.check(path, ENDINGS.values() if wanted is None else (ENDINGS[wanted],))
    kind = next(name for name, ending in ENDINGS.items() if ending == path.suffix.lower())
    for place in (path, *_beside(path)):
        check_free(place)
    for name in NEEDED[kind]:
        onnx_file.package(name)
    if kind == "openvino":
        from snellen.runtimes.openvino.session import openvino

        openvino()
    return kind


def write(model: Model, path: Path, kind: str) -> tuple[Graph, list[Path]]:
    """Write a model at its recipe's size; return what was exported, and the files, the one that is opened first.

    Raises Unavailable where the disk refuses.
    """
    exported = graph.exported(model.encoder, model.recipe.size)
    facts = facts_of(model, exported)
    if kind == "onnx":
        return exported, onnx_file.write(exported, path, facts)
    return exported, _write_openvino(exported, path, facts)


def facts_of(model: Model, exported: Graph) -> dict[str, str]:
    """Return what a file says of itself: names, digest, recipe, outputs, and that weights were drawn if they were."""
    record, origin = model.record, model.record.origin
    facts = {
        "snellen.version": __version__,
        "snellen.variant": record.variant,
        "snellen.library": record.library,
        "snellen.digest": record.digest or "",
        DRAWN: "" if origin.trained else f"seed:{origin.seed}",
        "snellen.notes": "; ".join(record.notes),
        "snellen.recipe": model.recipe.text,
        "snellen.size": " ".join(map(str, exported.size)),
        "snellen.grid": " ".join(map(str, exported.grid)),
        "snellen.outputs": " ".join(exported.names),
    }
    return {name: value for name, value in facts.items() if value}


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Give a folder beside ``path`` to write in; whatever was not published from it is removed."""
    folder = draft.beside(path)
    with draft.writing(path):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(files: Sequence[Path], into: Path) -> list[Path]:
    """Move files into a folder, the first of them last, so that who finds it finds the others."""
    moved: list[Path] = []
    with draft.writing(into / files[0].name):
        try:
            for file in reversed(files):
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
                moved.append(file.rename(into / file.name))
        except OSError:
            for file in moved:
                file.unlink(missing_ok=True)
            raise
    return moved[::-1]


class Exported(Runner):
    """A file that was written, run on the CPU in float32; ``model`` knows its sizes."""

    note = "a file shows no stages"
    dtype = "float32"

    def __init__(self, path: Path, kind: str, model: Model) -> None:
        self.device, self.runtime = resolve("cpu"), "onnxruntime" if kind == "onnx" else "openvino"
        self._like = build(model.encoder.config)  # without memory
        self._run: _Run | None = _onnx(path) if kind == "onnx" else _openvino(path)

    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels [B, 3, h, w] of the size that was exported."""
        check_tap(self, tap)
        assert self._run is not None  # not closed
        return graph.features(self._run(pixels), self._like.grid(pixels))

    def close(self) -> None:
        """Let go of the file."""
        self._run = None


_Run = Callable[[Tensor], dict[str, Tensor]]


def _onnx(path: Path) -> _Run:
    from snellen.runtimes.onnxruntime import Session

    return Session(path, resolve("cpu")).run


def _openvino(path: Path) -> _Run:
    """Open a file by what it says itself, as anybody would: nothing lies beside it but its weights."""
    from snellen.runtimes.openvino.executed import executed
    from snellen.runtimes.openvino.session import HINTS, openvino

    core = openvino().Core()
    threads = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": processor.cores()}
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": HINTS["float32"], **threads})
    executed(compiled).check("float32", str(core.get_property("CPU", "FULL_DEVICE_NAME")))
    places = {name: i for i, output in enumerate(compiled.outputs) for name in output.get_names() if name in OUTPUTS}
    if missing := {"patches", "pooled"} - set(places):
        raise CandidateError(f"the file {path.name} names no output {', '.join(sorted(missing))}")
    request = compiled.create_infer_request()

    def run(pixels: Tensor) -> dict[str, Tensor]:
        request.infer({0: pixels.numpy()}, share_inputs=True)
        return {name: torch.from_numpy(request.get_output_tensor(i).data.copy()) for name, i in places.items()}

    return run


def _write_openvino(exported: Graph, path: Path, facts: dict[str, str]) -> list[Path]:
    from snellen.runtimes.openvino import convert

    network = convert.network(exported)
    for name, value in facts.items():
        network.set_rt_info(value, name.split("."))
    convert.save(network, path)
    return [path, *_beside(path)]


def _beside(path: Path) -> tuple[Path, ...]:
    """Return where the weights of a file lie, or may lie, that has them in another."""
    if path.suffix.lower() == ENDINGS["openvino"]:
        return (path.with_suffix(".bin"),)
    return (path.with_name(path.name + onnx_file.BESIDE),)
