"""Stores for tests: inputs that are nothing but their names, and an encoder that is a digest of bytes.

A name says what becomes of an input: ``bad-*`` is broken, ``gone-*`` missing, ``large-*`` too large; what stands
between ``=`` and ``.`` are its bytes, else the name is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from snellen.records import Outcome
from snellen.records.inputs import Input
from snellen.records.store import Identity
from snellen.store import PartWriter, Store, Writer
from stub_record import RECORD

WIDTH = 4
IDENTITY = Identity.of(RECORD, width=WIDTH, normalized=False)
FAILURES = {"bad": "broken", "gone": "missing", "large": "too_large"}

NAMES = [
    *("a.jpg", "bad-1.jpg", "b=x.jpg", "c.jpg", "d=x.jpg", "gone-1.jpg", "e.jpg", "large-1.jpg"),
    *("f=x.jpg", "g.jpg", "bad-2=y.jpg", "h.jpg", "bad-3=y.jpg", "i.jpg", "gone-2.jpg", "j=x.jpg", "k.jpg"),
]
"""Two parts of eight, and one of one; the bytes x are in two parts, and twice in each."""

EMBEDDED: list[str] = []
"""What was worked on, again and again if that is so."""

Stat = Callable[[Input], "tuple[int, int] | None"]


def inputs(names: Iterable[str]) -> list[Input]:
    return [Input(path=f"photos/{name}", place=f"/data/photos/{name}") for name in names]


def content(item: Input) -> bytes:
    stem = item.path.removeprefix("photos/").partition(".")[0]
    return (stem.partition("=")[2] or stem).encode()


def stat(item: Input) -> tuple[int, int] | None:
    """Say what an input is like now: gone, or as it always was."""
    return None if item.path.startswith("photos/gone") else (len(content(item)), 1)


def vector(sha256: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(sha256)[: 4 * WIDTH], np.uint32).astype(np.float32)


def embedded(id_: int, item: Input, part: PartWriter, stamp: Stat) -> tuple[Outcome, np.ndarray | None]:
    """Return the row of an input, as a pipeline would make it."""
    EMBEDDED.append(item.path)
    status = FAILURES.get(item.path.removeprefix("photos/").partition("-")[0], "done")
    row = Outcome(id=id_, image_path=item.path, status=status, error_message=None if status == "done" else "no good")
    if status == "missing":
        return row, None
    sha256 = hashlib.sha256(content(item)).hexdigest()
    size, modified_ns = stamp(item) or (None, None)
    known = part.claim(sha256, id_)
    fields = {**row.to_dict(), "notes": (), "sha256": sha256, "file_size": size, "modified_ns": modified_ns}
    if known is not None:
        fields.update(status="already_present", same_as=known, error_message=None)
        return Outcome(**fields), None
    if status == "done":
        fields.update(width=len(content(item)), height=7, notes=("upright",))
        return Outcome(**fields), vector(sha256)
    return Outcome(**fields), None


def work(part: PartWriter, *, batch: int = 3, stamp: Stat = stat) -> None:
    """Do a part, ``batch`` rows at a time."""
    held = []
    for id_, item in part.inputs:
        held.append(embedded(id_, item, part, stamp))
        if len(held) == batch:
            part.add(held)
            part.commit()
            held = []
    part.add(held)
    part.finish(RECORD)


def fill(
    folder: Path,
    names: Sequence[str] = NAMES,
    *,
    sources: Sequence[str] = ("photos",),
    shard: tuple[int, int] | None = None,
    part_rows: int | None = 8,
    stamp: Stat = stat,
    identity: Identity = IDENTITY,
) -> None:
    """Begin or go on with a run, and finish it if it is not a shard."""
    with Writer.open(folder, identity, shard=shard) as writer:
        run = writer.begin(sources, inputs(names), stamp, command="snellen embed photos", part_rows=part_rows)
        for number in writer.todo(run):
            with writer.part(number) as part:
                work(part, stamp=stamp)
        if shard is None:
            writer.finish()


def table(folder: Path) -> list[dict[str, object]]:
    """Return the rows of the store, read by Parquet's own reader."""
    parts = Store.open(folder).manifest.parts
    return [row for part in parts for row in pq.read_table(folder / f"part-{part.number:05d}.parquet").to_pylist()]


def ledger(folder: Path) -> dict[str, object]:
    """Return what a manifest says, but for the times."""
    document = Store.open(folder).manifest.to_dict()
    for run in document["runs"]:
        del run["started"], run["finished"]
    return document
