"""An index of faiss in the place of looking at every row: faster in large stores, and not exact.

In: a store. Out: what searches it as ``Searcher`` does, and how much of the exact result it finds, which is measured
when it is built. The index is kept in the store's ``.snellen`` and belongs to the parts it was made of: where the store
has grown or changed since, it is refused.

n rows, D width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen import draft
from snellen.errors import MissingPackage, UsageError
from snellen.records.reading import read
from snellen.records.search import IndexRecord
from snellen.records.store import Manifest
from snellen.search.nearest import Best, Nearest, unit
from snellen.search.searcher import directions, pieces
from snellen.store import Store

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

FEW = 20_000
"""Rows up to which an index would be no faster; every row is looked at then, by faiss."""

TRAINED = 40
"""Rows that each cell of the index is fitted to, at most."""

TRIED = 128
"""Rows of the store that are searched exactly and by the index, to see how much it finds."""

K = 10
WANTED = 0.99
"""The share of the exact nearest rows that is aimed at: more cells are visited until it is reached."""

MOST_VISITED = 0.25
"""Of the cells: beyond that, looking at every row is hardly slower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is written beside an index: of which store it is, how it is searched, how good it is."""

    store: str  # digest of the parts that it was made of
    visited: int  # cells that are searched; 0 where there are none
    index: IndexRecord


class Faiss:
    """An index that is open."""

    def __init__(self, store: Store, index: Any, kept: Kept) -> None:
        self._store, self._index, self.record = store, index, kept.index
        if kept.visited:
            self._index.nprobe = kept.visited

    def search(self, vectors: Any, k: int = 10, *, without: Sequence[int | None] | None = None) -> list[Nearest]:
        """Return what the index finds for each vector [q, D], with exact cosines."""
        import numpy

        queries = directions(vectors, self._store.identity.width)
        _, found = self._index.search(queries, min(k + 1, self.record.rows))
        nearest = []
        for query, ids, left in zip(queries, found, without or [None] * len(queries), strict=True):
            there = numpy.sort(ids[ids >= 0])
            best = Best(query[None], k, [left])
            if len(there):
                best.add(there, unit(self._store.vectors(there.tolist())))
            nearest += best.found()
        return nearest


def opened(store: Store, say: Callable[[str], object] = str) -> Faiss:
    """Open the index of a store; build and keep it where there is none.

    Raises MissingPackage without faiss, UsageError where the one that is kept is of another state of the store.
    """
    faiss = _package()
    folder = store.folder / ".snellen" / "faiss"
    path, about = folder / "index.faiss", folder / "index.json"
    if about.exists():
        kept = _read(about)
        if kept.store != digest(store.manifest):
            raise UsageError(
                f"the index in {str(folder)!r} is of another state of the store, which had {kept.index.rows:,} rows",
                expected="an index of the store as it is now",
                todo=f"rm -r {folder}; then the same search builds it anew",
            )
        return Faiss(store, faiss.read_index(str(path)), kept)
    say("building an index; it is kept for the next search")
    index, kept = _build(faiss, store)
    folder.mkdir(parents=True, exist_ok=True)
    with draft.writing(path), draft.drafted(path) as file:
        faiss.write_index(index, str(file))
    with draft.writing(about), draft.drafted(about) as file:  # last: it vouches for the other
        file.write_text(json.dumps(asdict(kept), indent=2), encoding="utf-8")
    return Faiss(store, index, kept)


def digest(manifest: Manifest) -> str:
    """Return what tells the vectors of a store from those of any other state of it."""
    parts = [(part.number, part.sha256) for part in manifest.parts]
    text = json.dumps([manifest.identity.weights, parts, manifest.superseded])
    return hashlib.sha256(text.encode()).hexdigest()


def _package() -> Any:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise MissingPackage(
            "faiss is not installed",
            expected="the package faiss-cpu",
            todo="pip install 'snellen[faiss]'; or leave --index out",
        ) from error


def _read(about: Path) -> Kept:
    try:
        return read(Kept, json.loads(about.read_text(encoding="utf-8")))
    except (OSError, ValueError, UsageError) as error:
        raise UsageError(
            f"{str(about)!r} does not say what the index is", todo=f"rm -r {about.parent}; then it is built anew"
        ) from error


def _build(faiss: Any, store: Store) -> tuple[Any, Kept]:
    """Build an index of all rows, and see how much it finds."""
    rows = len(store.good())
    if not rows:
        raise UsageError(f"the store {str(store.folder)!r} has no row with a vector", todo="embed some images first")
    width = store.identity.width
    cells = 0 if rows <= FEW else 1 << (round(4 * rows**0.5)).bit_length() - 1
    made = faiss.index_factory(width, f"IVF{cells},Flat" if cells else "IDMap,Flat", faiss.METRIC_INNER_PRODUCT)
    if cells:
        made.train(_some(store, rows, min(rows, cells * TRAINED)))
    for ids, units in pieces(store):
        made.add_with_ids(units, ids)
    kind = f"faiss {faiss.__version__} " + (f"IVF{cells},Flat" if cells else "Flat")
    record = IndexRecord(kind=kind, rows=int(made.ntotal), recall=0.0, tried=0, k=K)
    return made, _tried(
        store,
        made,
        Kept(store=digest(store.manifest), visited=max(1, cells // 64) if cells else 0, index=record),
        cells,
    )


def _some(store: Store, rows: int, wanted: int) -> NDArray[float32]:
    """Return about so many unit vectors, evenly from all over the store."""
    import numpy

    step = max(1, rows // wanted)
    return numpy.concatenate([units[::step] for _, units in pieces(store)])


def _tried(store: Store, index: Any, kept: Kept, cells: int) -> Kept:
    """Visit more cells of an index until it finds what is wanted, and say how much it finds."""
    import numpy

    good = store.good()
    ids = good[numpy.unique(numpy.linspace(0, len(good) - 1, min(TRIED, len(good))).astype(int))].tolist()
    vectors = store.vectors(ids)
    best = Best(unit(vectors), K, ids)
    for some, units in pieces(store):
        best.add(some, units)
    exact = [set(one.ids.tolist()) for one in best.found()]
    units, total = unit(vectors), sum(map(len, exact))
    while True:
        if kept.visited:
            index.nprobe = kept.visited
        _, found = index.search(units, min(K + 1, len(good)))
        rows = (
            [id_ for id_ in some.tolist() if id_ >= 0 and id_ != own][:K] for some, own in zip(found, ids, strict=True)
        )
        hits = sum(len(right & set(some)) for right, some in zip(exact, rows, strict=True))
        recall = hits / total if total else 1.0
        kept = replace(kept, index=replace(kept.index, recall=round(recall, 4), tried=len(ids)))
        if recall >= WANTED or kept.visited >= cells * MOST_VISITED:
            return kept
        kept = replace(kept, visited=kept.visited * 2)
