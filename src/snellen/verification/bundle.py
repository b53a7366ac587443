"""A golden in one file: made on any CPU, carried to a machine that need not compute it.

The file is safetensors: tensors by name (``pixels``, ``output.cls``, ``single.cls``, ``stage.block.00``), and in its
metadata one JSON document: what it belongs to, the noise of every trusted run, and a sha256 over tensors and document,
its seal. The seal shows damage and careless change. It is no signature: whoever can write the file can seal it anew,
which is why ``selftest`` computes the golden of one input, and the noise of one batch, again where a bundle judges.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snellen import draft
from snellen.errors import BadFile, UsageError
from snellen.model.model import Model
from snellen.records.reading import read
from snellen.verification.drift import BATCH
from snellen.verification.golden import About, Golden, Noise, about, digest

SCHEMA = "snellen.golden/1"
ENDING = ".golden"
KINDS = ("output", "single", "stage")


def save(path: str | Path, golden: Golden) -> str:
    """Write a golden to a file, whole or not at all; return its seal.

    Raises UsageError for another ending and for a golden in pieces, Unavailable where the disk refuses.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = Path(path)
    draft.check(target, (ENDING,))
    try:
        _whole(golden)
    except _Malformed as error:
        raise UsageError(f"the golden cannot be kept: {error}", todo="keep it as golden.compute made it") from error
    tensors = _tensors(golden)
    document = {
        "schema": SCHEMA,
        "about": asdict(golden.about),
        "noise": {name: asdict(noise) for name, noise in golden.noise.items()},
    }
    text = json.dumps(document)
    seal = _seal(text, tensors)
    with draft.writing(target), draft.drafted(target) as file:
        file.touch()
        mode = file.stat().st_mode & 0o777  # what the umask leaves of a new file; safetensors leaves it to its owner
        try:
            save_file(tensors, str(file), metadata={"golden": text, "seal": seal})
        except SafetensorError as error:  # so it calls what the disk says
            raise OSError(str(error)) from error
        file.chmod(mode)
    return seal


def load(path: str | Path) -> Golden:
    """Read a golden; raise BadFile, saying why, where it is none, or is damaged or changed, or does not fit together.

    Raises UsageError where there is no file.
    """
    from safetensors import SafetensorError, safe_open

    source = Path(path)
    if not source.is_file():
        raise UsageError(f"there is no file {str(source)!r}", todo="make one with --save-golden")
    try:
        with safe_open(str(source), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError) as error:
        raise _bad(source, f"cannot be read: {error}") from error
    if "golden" not in metadata:
        raise _bad(source, "holds tensors, but no golden")
    seal = _seal(metadata["golden"], tensors)
    if seal != metadata.get("seal"):
        raise _bad(source, "is damaged or changed: its contents are not those it was sealed with")
    try:
        golden = _golden(_document(metadata["golden"]), tensors, f"{source.name}, sha256 {seal[:16]}")
        _whole(golden)
    except _Malformed as error:
        raise _bad(source, f"does not fit together: {error}") from error
    return golden


def check_belongs(golden: Golden, model: Model) -> None:
    """Raise UsageError, naming every difference, unless the golden was made of this model, and by today's method."""
    mine, theirs = about(model, golden.about.inputs), golden.about
    for whose, weights in (("model", mine.weights), ("golden", theirs.weights)):
        if not weights:
            raise UsageError(
                f"the {whose} has no digest of its weights, so that nothing shows which golden belongs to which model",
                expected="the same digest of the native tensors in both",
                todo="load the weights through snellen.load, and make the golden of that model",
            )
    names = ("variant", "weights", "encoder", "recipe")
    other = [name for name in names if getattr(mine, name) != getattr(theirs, name)]
    if other[:1] == ["variant"]:  # another network altogether: everything else follows from it
        other = other[:1]
    if other:
        raise UsageError(
            f"the golden belongs to another model: {'; '.join(_difference(name, mine, theirs) for name in other)}",
            expected="the same weights, encoder and recipe as the golden was made with",
            todo="make a golden of this model with --save-golden, or load the model it was made of",
        )
    if mine.method != theirs.method:
        raise UsageError(
            f"the golden was made by another method, that of snellen {theirs.version}",
            expected=f"the trusted runs of snellen {mine.version}, whose noise sets the limits",
            todo="make it again with --save-golden",
        )
    if tuple(golden.stages) != tuple(model.encoder.stages):
        raise UsageError(
            f"the golden has the stages {', '.join(golden.stages)}",
            expected=f"those of the encoder: {', '.join(model.encoder.stages)}",
            todo="make it again with --save-golden",
        )


def _difference(name: str, mine: About, theirs: About) -> str:
    here, there = str(getattr(mine, name)), str(getattr(theirs, name))
    if name == "weights":
        here, there = here[:16], there[:16]
    if name == "encoder":
        return _difference_of_encoders(here, there)
    return f"{name} {there} there, {here} here"


def _difference_of_encoders(here: str, there: str) -> str:
    """Name the fields in which two configurations differ, which are texts: ``ViTConfig(width=384, depth=12, ...)``."""
    (kind, mine), (other, theirs) = _fields(here), _fields(there)
    if kind != other:
        return f"encoder {other} there, {kind} here"
    different = [name for name in mine | theirs if mine.get(name) != theirs.get(name)]
    said = [f"{name} {theirs.get(name, 'absent')} there, {mine.get(name, 'absent')} here" for name in different]
    return f"encoder with {', '.join(said)}" if said else f"encoder {there} there, {here} here"


def _fields(encoder: str) -> tuple[str, dict[str, str]]:
    """Take a configuration's text apart: its kind, and its values by name, which may hold commas themselves."""
    kind, _, inside = encoder.partition("(")
    pairs = (part.partition("=") for part in re.split(r", (?=\w+=)", inside.removesuffix(")")))
    return kind, {name: value for name, _, value in pairs}


def _tensors(golden: Golden) -> dict[str, Tensor]:
    """Name every tensor; those that are not in one piece, or lie in another's memory, are copied, as the file needs."""
    named = {"pixels": golden.pixels}
    for kind, tensors in zip(KINDS, (golden.outputs, golden.single, golden.stages), strict=True):
        named |= {f"{kind}.{name}": tensor for name, tensor in tensors.items()}
    taken: set[int] = set()
    ready = {}
    for name, tensor in named.items():
        piece = tensor.detach().contiguous()
        ready[name] = piece.clone() if piece.untyped_storage().data_ptr() in taken else piece
        taken.add(piece.untyped_storage().data_ptr())
    return ready


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Malformed(f"its document is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise _Malformed(f"the schema is {found!r}")
    if set(document) != {"schema", "about", "noise"} or not isinstance(document["noise"], dict):
        raise _Malformed(f"its document has {', '.join(document)}, and not about and noise")
    return document


def _golden(document: Mapping[str, Any], tensors: Mapping[str, Tensor], source: str) -> Golden:
    """Put a golden together from whatever is there; ``_whole`` tells whether that is one."""

    def part(kind: str) -> dict[str, Tensor]:
        return {name.removeprefix(f"{kind}."): t for name, t in tensors.items() if name.startswith(f"{kind}.")}

    unknown = [name for name in tensors if name != "pixels" and name.partition(".")[0] not in KINDS]
    if unknown or "pixels" not in tensors:
        raise _Malformed(f"it holds {unknown[0]!r}" if unknown else "the pixels are missing")
    try:
        noise = {name: read(Noise, value, f"noise.{name}") for name, value in document["noise"].items()}
        belongs = read(About, document["about"], "about")
    except UsageError as error:  # the reader's: of a file, it is the file that is bad
        raise _Malformed(error.seen) from error
    if "float32" not in noise:
        raise _Malformed("the noise of float32 is missing")
    stages = part("stage")
    _same("the stages", stages, "those of noise.float32.cumulative", noise["float32"].cumulative)
    return Golden(
        about=belongs,
        pixels=tensors["pixels"],
        outputs=part("output"),
        single=part("single"),
        stages={name: stages[name] for name in noise["float32"].cumulative},  # in their order
        noise=noise,
        source=source,
    )


def _whole(golden: Golden) -> None:
    """Raise _Malformed unless every tensor and every figure is there, of the dtype and the length it must have."""
    pixels, inputs = golden.pixels, golden.about.inputs
    _tensor("pixels", pixels, torch.float32, range(1, sys.maxsize))
    if pixels.ndim != 4 or tuple(pixels.shape) != inputs.shape or len(inputs.names) != len(pixels):
        raise _Malformed(f"the pixels have shape {list(pixels.shape)}, about.inputs says {list(inputs.shape)}")
    if hashlib.sha256(pixels.contiguous().numpy().data).hexdigest() != inputs.sha256:
        raise _Malformed("the pixels are not those that about.inputs.sha256 names")
    if "patches" not in golden.outputs or not golden.stages:
        raise _Malformed("the patches are missing" if golden.stages else "there is no stage")
    _same("single", golden.single, "the outputs", golden.outputs)
    every, first = range(len(pixels), len(pixels) + 1), range(1, min(len(pixels), BATCH) + 1)
    for name, output in golden.outputs.items():
        _tensor(f"output.{name}", output, torch.float64, every)
        _tensor(f"single.{name}", golden.single[name], torch.float32, every)
        if output.shape != golden.single[name].shape:
            raise _Malformed(f"output.{name} and single.{name} differ in shape")
    for name, stage in golden.stages.items():
        _tensor(f"stage.{name}", stage, torch.float32, first)
        first = range(len(stage), len(stage) + 1)  # the others have as many
    for name, noise in golden.noise.items():
        _whole_noise(f"noise.{name}", noise, golden)


def _whole_noise(at: str, noise: Noise, golden: Golden) -> None:
    for kind, found in (("outputs", noise.outputs), ("digests", noise.digests)):
        _same(f"{at}.{kind}", found, "the outputs", golden.outputs)
    for kind, errors in (("cumulative", noise.cumulative), ("isolated", noise.isolated)):
        _same(f"{at}.{kind}", errors, "the stages", golden.stages)
    for error in (*noise.outputs.values(), *noise.cumulative.values(), *noise.isolated.values()):
        if min(error.frobenius or 0.0, error.token or 0.0) < 0:
            raise _Malformed(f"{at} has a negative error")


def _tensor(name: str, tensor: Tensor, dtype: torch.dtype, lengths: range) -> None:
    """Check a tensor's dtype, and that its first axis has one of the lengths."""
    if tensor.dtype != dtype or tensor.ndim < 2 or len(tensor) not in lengths or not tensor.numel():
        raise _Malformed(f"{name} is {tensor.dtype} {list(tensor.shape)}, and not {dtype}, for every input")


def _same(what: str, names: Iterable[str], other: str, expected: Iterable[str]) -> None:
    found, wanted = set(names), set(expected)
    if found != wanted:
        name = min(found ^ wanted)
        raise _Malformed(f"{what} {'lack' if name in wanted else 'have'} {name!r}, unlike {other}")


def _seal(text: str, tensors: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(f"{text}\n{digest(tensors)}".encode()).hexdigest()


def _bad(path: Path, what: str) -> BadFile:
    return BadFile(f"the golden {str(path)!r} {what}", expected=SCHEMA, todo="make it again with --save-golden")


class _Malformed(Exception):
    """What of a golden is not as it must be, as a clause."""
