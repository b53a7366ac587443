"""From an encoder to an ONNX file: torch's exporter, then names and metadata that mean something outside of torch.

Beside what is written, transposed copies of the large weights are in memory while this runs: the exporter makes them.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from snellen.draft import writing
from snellen.errors import MissingPackage
from snellen.runtimes.graph import Graph

OPSET = 18
"""The newest that Ascend's ATC knows: v9 to v18, LayerNormalization in v17 and v18 alone (sources: docs/export.md).

ONNX Runtime and TensorRT read every one from 9 on. GELU is Erf in it; the operator Gelu came with 20."""

IR = 8
"""The version of the file format that came with that opset; torch writes 10, which is newer than ATC's own ONNX."""

INSIDE = 2 * 10**9
"""Bytes of weights up to which they lie in the file itself: one protobuf message ends at 2 GiB, the graph included."""

BESIDE = ".data"
"""What is added to the file's name for the file of its weights, where they are more."""

PIXELS, BATCH = "pixels", "batch"
"""The input, and the name of its one free dimension."""

INSTALL = "pip install 'snellen[onnx]'"


def package(name: str) -> ModuleType:
    """Import a package of the extra ``onnx``; raise MissingPackage where it is not installed or cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(f"ONNX needs the package {name} ({error})", todo=INSTALL) from error


def write(graph: Graph, path: Path, facts: Mapping[str, str] | None = None) -> list[Path]:
    """Write an exported encoder as ``path``, with ``facts`` as its metadata; return the files, the model first.

    Raises MissingPackage, and Unavailable where the disk refuses.
    """
    model = _model(graph)
    model.metadata_props.update(facts or {})
    large = sum(value.const_value.nbytes for value in model.graph.initializers.values()) > INSIDE
    beside = path.with_name(path.name + BESIDE) if large else None
    with writing(path):
        package("onnx_ir").save(model, path, external_data=beside.name if beside else None)
    return [path] if beside is None else [path, beside]


def _model(graph: Graph) -> Any:
    """Let torch's exporter build the model; its weights are the encoder's own memory where they need no transposing."""
    for name in ("onnx", "onnxscript", "onnx_ir"):
        package(name)
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that torch itself has deprecated
        program = torch.onnx.export(
            graph.program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[PIXELS],
            output_names=list(graph.names),
            verbose=False,
        )
    assert program is not None  # it is None for the older exporter alone
    model: Any = program.model
    _tidy(model)
    return model


def _tidy(model: Any) -> None:
    """Name the batch, and leave out what the exporter notes about its making: modules, stack traces, paths."""
    model.ir_version, model.producer_name, model.producer_version = IR, "snellen", None
    symbol = str(model.graph.inputs[0].shape[0])
    nodes = list(model.graph)
    values = [*model.graph.inputs, *model.graph.initializers.values(), *(out for node in nodes for out in node.outputs)]
    for noted in (model, model.graph, *nodes, *values):
        noted.metadata_props.clear()
    for value in values:
        if value.shape is not None:
            value.shape = type(value.shape)([_named(size, symbol) for size in value.shape])


def _named(size: Any, symbol: str) -> int | str | None:
    """Return a dimension with the exporter's symbol for the batch replaced by a name."""
    if isinstance(size, int):
        return size
    return None if size.value is None else re.sub(rf"\b{re.escape(symbol)}\b", BATCH, str(size.value))
