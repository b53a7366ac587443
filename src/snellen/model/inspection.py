"""Say what a checkpoint holds, before anything is loaded from it."""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

from snellen.checkpoints.recognise import compare, recognise
from snellen.checkpoints.state import digest_of, read_native, shapes_of
from snellen.checkpoints.tensors import DRAWN
from snellen.errors import CheckpointError, KeyMismatch, UnknownDialect, UnknownName
from snellen.model.identify import identify
from snellen.model.source import Opened, PathName, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a checkpoint's tensors turn out to be, and every one of them that does not fit."""

    family: str | None = None
    dialect: str | None = None
    variant: str | None = None
    why: str  # how the variant was found, or why it was not
    digest: str | None = None  # of the native tensors, as in the record of the loaded model; None where they do not fit
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    nonfinite: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectRecord:
    """What a checkpoint is: the file, and what was found in it."""

    path: str
    format: str
    finding: Finding
    tensors: int
    elements: int
    bytes: int
    dtypes: dict[str, int]  # how many tensors of each
    file_digest: str  # of the tensors as they are called and stored here; see snellen.checkpoints.tensors
    drawn: str | None  # "seed:N", where the weights were drawn and mean nothing
    wrapper: str | None  # the entry of a torch file under which the tensors were found
    extras: tuple[str, ...]  # what stands beside the tensors and is none

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values, the finding's among them."""
        values = asdict(self)
        return {"schema": "snellen.inspect/1", **values.pop("finding"), **values}


def inspect(path: PathName, *, name: str | None = None) -> InspectRecord:
    """Look into a checkpoint: a file, a folder, or a hub id; ``name`` is the variant to hold it against.

    What does not fit is listed, not raised. Raises BadFile for what is no checkpoint at all.
    """
    with opened(os.fspath(path), None) as source:
        tensors = source.tensors
        return InspectRecord(
            path=str(tensors.path),
            format=tensors.format,
            finding=_find(source, name),
            tensors=len(tensors),
            elements=sum(math.prod(tensors.shape(key)) for key in tensors),
            bytes=tensors.nbytes,
            dtypes=dict(Counter(tensors.dtype(key) for key in tensors)),
            file_digest=tensors.digest(),
            drawn=tensors.metadata.get(DRAWN),
            wrapper=tensors.wrapper,
            extras=tuple(f"{key}: {what}" for key, what in tensors.extras.items()),
        )


def _find(source: Opened, name: str | None) -> Finding:
    """Identify the tensors; an error that would stop a load becomes the reason."""
    shapes = shapes_of(source.tensors)
    try:
        spelling = recognise(shapes, source.where)
    except UnknownDialect as error:
        return Finding(why=error.seen)
    known = Finding(family=spelling.dialect.family, dialect=spelling.dialect.name, why="")
    try:
        identity = identify(source, name)
    except KeyMismatch as error:
        why = f"fits no variant; the lists below hold it against {error.expected}"
        return replace(known, why=why, missing=error.missing, unexpected=error.unexpected, misshapen=error.misshapen)
    except (CheckpointError, UnknownName) as error:
        return replace(known, why=error.seen)
    plan = spelling.plan(identity.config)
    why = identity.choices[0].reason if identity.choices else "it was named"
    ignored = tuple(f"{key}: {because}" for key, because in compare(plan, shapes).ignored)
    known = replace(known, variant=identity.named.name, why=why, ignored=ignored)
    try:
        return replace(known, digest=digest_of(read_native(plan, source.tensors, source.where)))
    except KeyMismatch as error:
        return replace(known, nonfinite=error.nonfinite)
