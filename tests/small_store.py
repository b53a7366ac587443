"""Stores with rows that a test chooses, written by the store's own writer: no image and no encoder is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from snellen.records import ModelRecord, Origin, Outcome
from snellen.records.store import Identity, Input
from snellen.store import Store, Writer, part_writer

RECIPE = "stored | squash 8 bilinear | scale | pool cls"
MODEL = ModelRecord(
    name="stub",
    variant="stub",
    library="timm",
    family="vit",
    dialect=None,
    origin=Origin(kind="seed", seed=0),
    digest="0" * 64,
    recipe=RECIPE,
    recipe_hash="abc",
    pool="cls",
    dtype="float32",
    device="cpu",
    version="0",
)


def identity(width: int, **changes) -> Identity:
    """Return what vectors of so many numbers are."""
    known = Identity(
        variant=MODEL.variant,
        weights=MODEL.digest or "",
        recipe=MODEL.recipe,
        recipe_hash=MODEL.recipe_hash,
        pool=MODEL.pool,
        dtype=MODEL.dtype,
        width=width,
        normalized=False,
        origin=MODEL.origin,
    )
    return replace(known, **changes)


def row(path: str, vector: np.ndarray | None = None, status: str = "done", **changes) -> tuple[Input, Outcome, object]:
    """Return a row: where it is, its outcome but for the id, its vector."""
    digest = hashlib.sha256(path.encode()).hexdigest()
    outcome = Outcome(id=-1, image_path=path, status=status, sha256=digest, file_size=1, modified_ns=1)
    return Input(path=path, place=path), replace(outcome, **changes), vector


def rows(vectors: np.ndarray, start: int = 0) -> list[tuple[Input, Outcome, object]]:
    """Return a good row for each vector, named after its number."""
    return [row(f"{start + at:07d}.jpg", vector) for at, vector in enumerate(vectors)]


def grown(
    folder: Path,
    given: Sequence[tuple[Input, Outcome, object]],
    who: Identity,
    *,
    part_rows: int | None = None,
    model: ModelRecord = MODEL,
    changed: Iterable[str] = (),
) -> Store:
    """Add a run of rows to a store, or begin one with it; ``changed``: paths whose rows of before are obsolete."""
    again = set(changed)
    with Writer.open(folder, who) as writer:
        inputs = (item for item, _, _ in given)
        run = writer.begin(
            [f"run of {len(given)}"],
            inputs,
            lambda item: (9, 9) if item.path in again else (1, 1),
            part_rows=part_rows,
        )
        for number in writer.todo(run):
            with part_writer(folder, number) as part:
                some = [given[id_ - run.first_id] for id_, _ in part.inputs]
                outcomes = [
                    (replace(outcome, id=id_), None if vector is None else np.asarray(vector, np.float32))
                    for id_, (_, outcome, vector) in zip(part.ids, some, strict=True)
                ]
                part.add(outcomes)
                part.finish(model)
        writer.finish()
    return Store.open(folder)
