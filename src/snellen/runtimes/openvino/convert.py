"""From an encoder to a network file of OpenVINO, without a second copy of its weights in memory."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from snellen.errors import Unavailable
from snellen.runtimes.graph import Graph
from snellen.runtimes.openvino.files import NETWORK, OUTPUTS, said
from snellen.runtimes.openvino.session import openvino


def network(graph: Graph) -> Any:
    """Return an exported encoder as OpenVINO's network, whose constants are the encoder's parameters themselves.

    OpenVINO's general converter is not used: it reports each call to its makers.
    """
    openvino()
    from openvino import PartialShape
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecated types
        module = graph.program.run_decompositions(_decompositions()).module()
        _bounded(module)
        names = _joined(module, graph.names)
        decoder = TorchFXPythonDecoder(module, dynamic_shapes=True)  # must outlive the conversion
        found = frontend.convert(frontend.load(decoder))
    found.reshape(PartialShape([-1, 3, *graph.size]))
    for output, own in zip(found.outputs, names, strict=True):
        output.get_tensor().set_names(own)
    return found


def write(graph: Graph, folder: Path) -> None:
    """Write an exported encoder into ``folder``: the network, its weights in float32, and where each output lies.

    Raises Unavailable where the disk refuses.
    """
    made = network(graph)
    save(made, folder / NETWORK)
    places = {name: i for i, output in enumerate(made.outputs) for name in output.get_names()}
    (folder / OUTPUTS).write_text(json.dumps({name: places[name] for name in graph.names}), encoding="utf-8")


def save(made: Any, path: Path) -> None:
    """Write a network of OpenVINO to ``path``, with its weights in float32 beside it.

    Raises Unavailable where the disk refuses. OpenVINO only says that it could not write, not what the disk said.
    """
    try:
        openvino().save_model(made, path, compress_to_fp16=False)
    except RuntimeError as error:
        raise Unavailable(
            f"OpenVINO cannot write {str(path)!r}: {said(error)}",
            expected="a folder that may be written to, with room for the network and its weights",
            todo="free some space, or write somewhere else (what is kept between runs: SNELLEN_CACHE); "
            "what was not finished is not kept",
        ) from error


def _bounded(module: Any) -> None:
    """Give every slice to the end the end's own number.

    OpenVINO 2026.4 keeps the largest 64-bit number, which stands for the end in torch, as -1 in its compiled form:
    the last token was lost when that was read again.
    """
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.slice.Tensor):
        source, axis, start, end = (*node.args, *((0, 0, sys.maxsize)[len(node.args) - 1 :]))[:4]
        if end != sys.maxsize:
            continue
        if start:
            node.args = (source, axis, start, source.meta["val"].shape[axis])
        else:  # it takes everything; of the batch, whose length has no number
            node.replace_all_uses_with(source)


def _joined(module: Any, names: tuple[str, ...]) -> list[set[str]]:
    """Give a module each of its outputs once (the frontend refuses a repeated one), and return the names of each."""
    end = next(node for node in reversed(module.graph.nodes) if node.op == "output")
    known: dict[Any, set[str]] = {}
    for node, name in zip(end.args[0], names, strict=True):
        known.setdefault(node, set()).add(name)
    end.args = (tuple(known),)
    return list(known.values())


def _decompositions() -> Any:
    """Return how torch takes operators apart that OpenVINO does not know; those that it knows stay whole."""
    from openvino.frontend.pytorch.torchdynamo.export_decompositions import ops_to_not_decompose
    from torch.export.decomp_utils import CustomDecompTable

    table = CustomDecompTable()
    for operator in ops_to_not_decompose():
        with contextlib.suppress(KeyError):  # torch would not have taken it apart
            table.pop(operator)
    return table
