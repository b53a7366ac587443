"""Whether what a report says of the encoder fits together: parameters, bytes and dtype; shapes, grid and tokens.

In: a report's document. Out: findings.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence

from snellen.report.check.found import Findings, number
from snellen.report.check.walk import Part

BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int8": 1,
    "uint8": 1,
}
LOOSE = 0.05
"""How far counts may differ: a checkpoint's tensors hold a few numbers that are no parameters."""
PACKED = (".npz", ".zip", ".gz")
"""Files that may be smaller than what they hold."""
PNG = b"\x89PNG\r\n\x1a\n"


def check(document: Part, out: Findings) -> None:
    """Look at the encoder's facts, and at every shape."""
    facts = document["facts"]
    _parameters(facts, out)
    _run(document, out)
    _tokens(facts, out)
    images = document["evidence.outputs"].parts()
    for tensor in images:
        _output(tensor, facts, out)
    for tensor in document["evidence.maps"].parts() if facts["tokens"] else ():
        _equal(tensor["shape"], tensor["shape"].sizes[-2:], facts["grid"].sizes, "the grid's rows and columns", out)
    if document["trial.inputs.shape"].sizes[-2:] == facts["input_size"].sizes:
        for output in document["trial.outputs"].parts():
            _output(output, facts, out)
    _trial(document["trial"], out)
    size = facts["input_size"].sizes
    _equal(document["bench.shape"], document["bench.shape"].sizes, (3, *size) if size else (), "the input's size", out)
    for pca in document["pca"].parts():
        _pictures(pca, out)
    for histogram in document["histograms"].parts():
        _histogram(document["trial"], histogram, out)


def _parameters(facts: Part, out: Findings) -> None:
    """Hold the count of parameters to its groups, to the bytes by dtype, and to the files they were read from."""
    parameters, weights = facts["parameters"].number, facts["weights_bytes"].number
    groups = [part.number or 0 for _, part in facts["parameter_groups"].items()]
    if parameters is None:
        out.skip("parameters", "there is no count", "facts.parameters")
        return
    if groups:
        _count(facts["parameters"], sum(groups), 0.0, out)
    stored = {name: part.number or 0 for name, part in facts["stored"].items()}
    if weights is not None and stored:
        _count(facts["weights_bytes"], sum(stored.values()), 0.0, out)
    if stored and all(name in BYTES for name in stored):
        _count(facts["parameters"], sum(size / BYTES[name] for name, size in stored.items()), LOOSE, out)
    else:
        out.skip("parameters", "the dtypes that the weights are stored in are not known", "facts.stored")
    files = facts["files"].parts()
    if files and weights is not None and not any((one["name"].text or "").endswith(PACKED) for one in files):
        held = sum(one["bytes"].number or 0 for one in files)
        seen = f"{number(parameters)} parameters in {number(weights)} bytes"
        expected = f"at most what the files hold, {number(held)} bytes"
        out.judge("parameters", facts["files"].place, holds=weights <= held, seen=seen, expected=expected)


def _run(document: Part, out: Findings) -> None:
    """Hold the bytes that were run with to the count and the dtype of the run."""
    parameters, dtype = document["facts.parameters"].number, document["bench.setup.dtype"].text
    held = document["bench.weights_bytes"]
    if parameters is None or held.number is None or dtype not in BYTES or dtype == "int8":
        out.skip("parameters", f"how many bytes {dtype or 'this dtype'} takes is not known", held.place)
        return
    _count(held, parameters * BYTES[dtype], LOOSE, out)


def _count(part: Part, expected: float, loose: float, out: Findings) -> None:
    seen = part.number or 0
    holds = abs(seen - expected) <= loose * max(seen, expected)
    out.judge("parameters", part.place, holds=holds, seen=number(seen), expected=number(expected))


def _tokens(facts: Part, out: Findings) -> None:
    """Hold the grid to the input and the patch, and the tokens to the grid and what stands before it."""
    grid, size, patch = facts["grid"].sizes, facts["input_size"].sizes, facts["config.patch"].number
    if len(grid) == len(size) == 2 and patch:
        _equal(facts["grid"], grid, [int(side // patch) for side in size], "input size over patch", out)
    tokens, registers = facts["tokens"].number, facts["config.registers"].number
    if tokens is not None and len(grid) == 2 and registers is not None:
        whole = math.prod(grid) + int(registers) + int(facts["config.class_token"].true)
        _equal(facts["tokens"], (int(tokens),), (whole,), "patches, registers and class token", out)


def _output(output: Part, facts: Part, out: Findings) -> None:
    """Hold one output's shape to the encoder: a vector of its width, or that many tokens of it."""
    name, shape, width = output["name"].text, output["shape"].sizes, facts["width"].number
    registers, grid = facts["config.registers"].number, facts["grid"].sizes
    tokens = {
        "cls": (),
        "pooled": (),
        "registers": None if registers is None else (int(registers),),
        "patches": (math.prod(grid),) if grid else None,
    }
    inner = tokens.get(name or "")
    if not shape or width is None or inner is None:
        out.skip("shape", f"what shape {name} has is not known", output["shape"].place)
        return
    _equal(output["shape"], shape[1:], (*inner, int(width)), "the encoder's tokens and width", out)


def _trial(trial: Part, out: Findings) -> None:
    """Hold the outputs of a trial to its inputs: as many of them, and as many numbers as the shape says."""
    batch = trial["inputs.shape"].sizes[:1]
    for output in trial["outputs"].parts():
        shape = output["shape"].sizes
        _equal(output["shape"], shape[:1], batch, "the number of inputs", out)
        for kind in ("golden", "single"):
            elements = output[kind]["elements"]
            if shape and elements.number is not None:
                _equal(elements, (int(elements.number),), (math.prod(shape),), "the elements of its shape", out)
        images = output["images"].parts()
        if images and shape:
            _equal(output["images"], (len(images),), shape[:1], "one for each input", out)


def _pictures(pca: Part, out: Findings) -> None:
    """Hold the pictures of patches to the grid: a pixel and a difference for each."""
    grid, differences = pca["grid"].sizes, pca["differences"].numbers
    if len(grid) != 2:
        return
    _equal(pca["differences"], (len(differences),), (math.prod(grid),), "one for each patch", out)
    for name in ("golden_png", "candidate_png"):
        found = png_size(pca[name].text or "")
        if found is None:
            out.skip("shape", "it is no PNG", pca[name].place)
        else:
            _equal(pca[name], found, (grid[1], grid[0]), "a pixel for each patch, columns and rows", out)


def png_size(text: str) -> tuple[int, ...] | None:
    """Return columns and rows of a PNG in base64; None for anything else."""
    try:
        head = base64.b64decode(text[:64], validate=True)
    except (ValueError, binascii.Error):
        return None
    if len(head) < 24 or not head.startswith(PNG):
        return None
    return tuple(struct.unpack(">II", head[16:24]))


def _histogram(trial: Part, histogram: Part, out: Findings) -> None:
    """Hold a histogram to its edges, and to the elements that the output has."""
    edges, counts = histogram["edges"].numbers, histogram["candidate"].numbers
    if edges and counts:
        _equal(histogram["edges"], (len(edges),), (len(counts) + 1,), "one more than counts", out)
    outputs = {part["name"].text: part for part in trial["outputs"].parts()}
    shape = outputs[histogram["output"].text]["shape"].sizes if histogram["output"].text in outputs else ()
    if shape and counts:
        counted = sum(counts) + (histogram["zeros"].number or 0)
        seen, whole = f"{number(counted)} counted", math.prod(shape)
        out.judge("shape", histogram.place, holds=counted <= whole, seen=seen, expected=f"at most {whole} elements")


def _equal(part: Part, seen: Sequence[int], expected: Sequence[int], what: str, out: Findings) -> None:
    """Hold sizes to others; nothing is said where one of the two is not there."""
    if seen and expected:
        shown, wanted = (" x ".join(map(str, sizes)) for sizes in (seen, expected))
        out.judge("shape", part.place, holds=tuple(seen) == tuple(expected), seen=shown, expected=f"{wanted}: {what}")
