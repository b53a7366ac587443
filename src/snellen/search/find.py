"""What a person asks for, answered: images or rows of a store, and what in the store is nearest to each.

In: a store, and for each query the path of an image file, the id of a row, or the path of an image in the store. Out: a
record with the hits of each. The store is read once for all queries, part by part.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snellen._version import __version__
from snellen.errors import UsageError
from snellen.images import Picture
from snellen.records import ModelRecord
from snellen.records.search import FoundRecord, IndexRecord, QueryRecord
from snellen.search.clock import Clock
from snellen.search.nearest import Nearest
from snellen.search.query import Encoder, Place, read
from snellen.search.searcher import Searcher
from snellen.store import Store
from snellen.store.layout import GOOD, part_name

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Vectors = NDArray[float32]

Index = Callable[[Store], "tuple[Callable[..., list[Nearest]], IndexRecord]"]
"""Opens an index of a store: what searches it as ``Searcher.search`` does, and what it is."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query: a row of the store, or an image that is to be embedded."""

    asked: str
    path: str
    sha256: str | None
    row: int | None = None
    picture: Picture | None = None


def find(store: Store, asked: Sequence[str], place: Place, *, k: int = 10, index: Index | None = None) -> FoundRecord:
    """Search a store for what is nearest to each of some queries, exactly unless an ``index`` is to be asked.

    Raises UsageError for a query that is neither an image file nor a row, and where the encoder that is opened is not
    the store's; ImageError for a file that is no image.
    """
    clock = Clock()
    questions = [question(store, text) for text in asked]
    vectors, model = _vectors(store, questions, place)
    clock.lap("queries")
    searcher, about = Searcher(store, held=False), None
    search = searcher.search
    if index is not None:
        search, about = index(store)
        clock.lap("index")
    found = search(vectors, k, without=[one.row for one in questions])
    clock.lap("search")
    queries = tuple(
        QueryRecord(
            asked=one.asked,
            kind="image" if one.row is None else "row",
            id=one.row,
            path=one.path,
            sha256=one.sha256,
            hits=searcher.hits(nearest),
        )
        for one, nearest in zip(questions, found, strict=True)
    )
    clock.lap("paths")
    return FoundRecord(
        store=str(store.folder),
        rows=searcher.rows if about is None else about.rows,
        identity=store.identity,
        model=model,
        index=about,
        queries=queries,
        seconds=clock.seconds,
        peak_bytes=None,
        version=__version__,
    )


def question(store: Store, text: str) -> Question:
    """Tell what a query means: a file that is there, else the id of a row, else the path of an image in the store."""
    if os.path.exists(text):
        content, picture = read(text, store.identity)
        return Question(text, text, hashlib.sha256(content).hexdigest(), picture=picture)
    row = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else _named(store, text)
    if row is None or not 0 <= row < store.rows:
        raise UsageError(
            f"{text!r} is no file, and the store has no row of that {'id' if row is not None else 'path'}",
            expected="an image file, the id of a row, or the path of an image as the store has it",
            todo=f"ids go from 0 to {store.rows - 1:,}" if row is not None else "check the spelling",
        )
    (outcome,) = store.outcomes([row])
    if outcome.status not in GOOD:
        raise UsageError(
            f"row {row} ({outcome.image_path!r}) has no vector: it is {outcome.status}", todo="take another row"
        )
    if row in store.manifest.superseded:
        raise UsageError(
            f"row {row} ({outcome.image_path}) is superseded: the file has changed, and was embedded anew",
            todo=f"ask for {outcome.image_path!r} by its path",
        )
    return Question(text, outcome.image_path, outcome.sha256, row=row)


def _named(store: Store, path: str) -> int | None:
    """Return the id of the row of a path, the newest that has a vector, or else any; None where there is none.

    Only two small columns are read, of all parts.
    """
    from pyarrow import compute, dataset

    files = [os.fspath(store.folder / part_name(part.number)) for part in store.manifest.parts]
    if not files:
        return None
    matching = compute.field("image_path") == path
    table = dataset.dataset(files, format="parquet").to_table(columns=["id", "status"], filter=matching)
    rows = zip(table["id"].to_pylist(), table["status"].to_pylist(), strict=True)
    superseded = set(store.manifest.superseded)
    ranked = [(status in GOOD and id_ not in superseded, id_) for id_, status in rows]
    return max(ranked)[1] if ranked else None


def _vectors(store: Store, questions: Sequence[Question], place: Place) -> tuple[Vectors, ModelRecord | None]:
    """Return the vector of each query [q, D], and what embedded those that are images."""
    import numpy

    vectors = numpy.empty((len(questions), store.identity.width), numpy.float32)
    rows = [at for at, one in enumerate(questions) if one.row is not None]
    if rows:
        vectors[rows] = store.vectors([row for one in questions if (row := one.row) is not None])
    pictures = {at: one.picture for at, one in enumerate(questions) if one.picture is not None}
    if not pictures:
        if place.model is not None or place.weights is not None:
            raise UsageError(
                "a model or weights were named, and no query has to be embedded", todo="leave -m and --weights out"
            )
        return vectors, None
    with Encoder(store.manifest, place, images=len(pictures)) as encoder:
        vectors[list(pictures)] = encoder.vectors(pictures.values())
        return vectors, encoder.record
