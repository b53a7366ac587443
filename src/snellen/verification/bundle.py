"""A golden in one file: made on any CPU, carried to a machine that need not compute it.

The file is safetensors: tensors by name (``pixels``, ``output.cls``, ``single.cls``, ``stage.block.00``), and in its
metadata one JSON document: what it belongs to, the noise of every trusted run, and a sha256 over tensors and document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen import draft
from snellen.errors import BadFile, UsageError
from snellen.model import Model
from snellen.records.reading import read
from snellen.verification.golden import About, Golden, Noise, about, digest

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "snellen.golden/1"
ENDING = ".golden"


def save(path: str | Path, golden: Golden) -> str:
    """Write a golden to a file, whole or not at all; return its digest. Raises UsageError for another ending."""
    from safetensors.torch import save_file

    target = Path(path)
    draft.check(target, (ENDING,))
    tensors = _tensors(golden)
    document = {
        "schema": SCHEMA,
        "about": asdict(golden.about),
        "noise": {name: asdict(noise) for name, noise in golden.noise.items()},
    }
    text = json.dumps(document)
    seal = _seal(text, tensors)
    with draft.drafted(target) as file:
        save_file(tensors, str(file), metadata={"golden": text, "seal": seal})
    return seal


def load(path: str | Path) -> Golden:
    """Read a golden; raise BadFile where it is none, is damaged, or was changed."""
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
        raise _bad(source, "was changed or damaged: its contents are not those it was sealed with")
    document = json.loads(metadata["golden"])
    if document.get("schema") != SCHEMA:
        raise _bad(source, f"has the schema {document.get('schema')!r}, not {SCHEMA!r}")
    return _golden(document, tensors, f"{source.name}, sha256 {seal[:16]}")


def check_belongs(golden: Golden, model: Model) -> None:
    """Raise UsageError, naming every difference, unless the golden was made of this model."""
    mine, theirs = about(model, golden.about.inputs), golden.about
    names = ("variant", "weights", "encoder", "recipe")
    other = [name for name in names if getattr(mine, name) != getattr(theirs, name)]
    if other:
        raise UsageError(
            f"the golden belongs to another model: {'; '.join(_difference(name, mine, theirs) for name in other)}",
            expected="the same weights, encoder and recipe as the golden was made with",
            todo="make a golden of this model with --save-golden, or load the model it was made of",
        )


def _difference(name: str, mine: About, theirs: About) -> str:
    here, there = str(getattr(mine, name)), str(getattr(theirs, name))
    if name == "weights":
        here, there = here[:16], there[:16]
    return f"{name} {there} there, {here} here"


def _tensors(golden: Golden) -> dict[str, Tensor]:
    named = {"pixels": golden.pixels}
    for kind, tensors in (("output", golden.outputs), ("single", golden.single), ("stage", golden.stages)):
        named |= {f"{kind}.{name}": tensor for name, tensor in tensors.items()}
    return {name: tensor.detach().contiguous().clone() for name, tensor in named.items()}


def _golden(document: Mapping[str, Any], tensors: Mapping[str, Tensor], source: str) -> Golden:
    def part(kind: str) -> dict[str, Tensor]:
        return {name.removeprefix(f"{kind}."): t for name, t in tensors.items() if name.startswith(f"{kind}.")}

    noise = {name: read(Noise, value) for name, value in document["noise"].items()}
    order = list(noise["float32"].cumulative)
    stages = part("stage")
    return Golden(
        about=read(About, document["about"]),
        pixels=tensors["pixels"],
        outputs=part("output"),
        single=part("single"),
        stages={name: stages[name] for name in order},
        noise=noise,
        source=source,
    )


def _seal(text: str, tensors: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(f"{text}\n{digest(tensors)}".encode()).hexdigest()


def _bad(path: Path, what: str) -> BadFile:
    return BadFile(f"the golden {str(path)!r} {what}", expected=SCHEMA, todo="make it again with --save-golden")
