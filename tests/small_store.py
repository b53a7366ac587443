"""Stores whose rows a test chooses, written by the store's own writer; and stores of pictures that a stub embedded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from snellen.images import decode
from snellen.records import ModelRecord, Outcome
from snellen.records.inputs import Input
from snellen.records.store import Identity
from snellen.store import Store, Writer, part_writer
from stub_encoder import WIDTH, Stub

Row = tuple[Input, Outcome, "np.ndarray | None"]
MODEL = Stub().record


def identity(width: int = WIDTH, **changes) -> Identity:
    """Return what the vectors of the stub are, of another width where that is asked for."""
    return replace(Identity.of(MODEL, width=width, normalized=False), **changes)


def row(path: str, vector: np.ndarray | None = None, status: str = "done", **changes) -> Row:
    """Return where an input is, its outcome but for the id, and its vector."""
    digest = hashlib.sha256(path.encode()).hexdigest()
    outcome = Outcome(id=-1, image_path=path, status=status, sha256=digest, file_size=1, modified_ns=1)
    return Input(path=path, place=path), replace(outcome, **changes), vector


def rows(vectors: np.ndarray, start: int = 0) -> list[Row]:
    """Return a good row for each vector, named after its number."""
    return [row(f"{start + at:07d}.jpg", vector) for at, vector in enumerate(vectors)]


def grown(
    folder: Path,
    given: Sequence[Row],
    who: Identity,
    *,
    part_rows: int | None = None,
    model: ModelRecord = MODEL,
    changed: Iterable[str] = (),
) -> Store:
    """Add a run of rows to a store, or begin one with it; ``changed``: paths whose rows of before are obsolete."""
    again, by_path = set(changed), {item.path: (outcome, vector) for item, outcome, vector in given}

    def stat(item: Input) -> tuple[int, int]:
        return (9, 9) if item.path in again else (1, 1)

    with Writer.open(folder, who) as writer:
        run = writer.begin(["rows"], (item for item, _, _ in given), stat, part_rows=part_rows)
        for number in writer.todo(run):
            with part_writer(folder, number) as part:
                some = [(id_, *by_path[item.path]) for id_, item in part.inputs]
                part.add(
                    [
                        (replace(outcome, id=id_), None if vector is None else np.asarray(vector, np.float32))
                        for id_, outcome, vector in some
                    ]
                )
                part.finish(model)
        writer.finish()
    return Store.open(folder)


def pictures(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write pictures of noise, no two alike."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(seed)
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for path in paths:
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((24, 24), Image.Resampling.BICUBIC).save(path)
    return paths


def embedded(paths: Sequence[Path]) -> np.ndarray:
    """Return the stub's vectors of pictures [n, WIDTH]."""
    stub = Stub()
    (vectors,) = stub.vectors([np.stack([stub.recipe.array(decode(path)) for path in paths])])
    return vectors


def album(folder: Path, paths: Sequence[Path], vectors: np.ndarray | None = None, **more) -> Store:
    """Make a store of pictures, with the stub's vectors or others."""
    made = embedded(paths) if vectors is None else vectors
    given = [
        row(str(path), vector, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for path, vector in zip(paths, made, strict=True)
    ]
    return grown(folder, given, more.pop("who", identity(made.shape[1])), **more)


def drawn_rows(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Return vectors of random numbers [count, width]."""
    return np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)
