"""Exact search in a store: its vectors loaded once into memory, or read part by part for each search.

In: a store, and query vectors [q, D]. Out: for each query the ids and cosines of the nearest rows. Rows that failed or
were superseded have no vector, and are never found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.errors import Unavailable, UsageError
from snellen.records.search import Hit
from snellen.records.store import Identity
from snellen.search.nearest import Best, Nearest, unit
from snellen.search.query import check
from snellen.store import Store
from snellen.store.layout import GOOD

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.typing import NDArray

    Piece = tuple[NDArray[int64], NDArray[float32]]


class Searcher:
    """A store to search in.

    ``held``: its vectors are loaded now, rows x width x 4 bytes, and searches take milliseconds; otherwise every search
    reads the store once, and memory is that of two parts.

    Raises UsageError for what is no finished store, Unavailable where the memory cannot hold it.
    """

    def __init__(self, store: Store | Path | str, *, held: bool = True) -> None:
        self.store = store if isinstance(store, Store) else Store.open(Path(store))
        self._held = loaded(self.store) if held else None
        self.rows = 0 if self._held is None else len(self._held[0])
        """Rows that are searched; counted by the first search where they are not held."""

    def search(
        self,
        vectors: Any,
        k: int = 10,
        *,
        without: Sequence[int | None] | None = None,
        identity: Identity | None = None,
    ) -> list[Nearest]:
        """Return the ``k`` nearest rows of each vector [q, D], by cosine; ``without``: for each an id passed over.

        Raises UsageError for vectors of another width, of length 0 or not finite, and, where ``identity`` says what
        they are, for any that cannot be compared with the store's.
        """
        if k < 1:
            raise UsageError(f"the {k} nearest rows were asked for", expected="1 or more", todo="10")
        if identity is not None:
            check(self.store.identity, identity)
        best = Best(directions(vectors, self.store.identity.width), k, without)
        rows = 0
        for ids, units in (self._held,) if self._held is not None else pieces(self.store):
            best.add(ids, units)
            rows += len(ids)
        self.rows = rows
        return best.found()

    def hits(self, nearest: Nearest) -> tuple[Hit, ...]:
        """Return what was found with the paths of the images, which are read from the store."""
        ids = [int(id_) for id_ in nearest.ids]
        found = zip(ids, nearest.scores.tolist(), self.store.outcomes(ids), strict=True)
        return tuple(
            Hit(rank=rank, score=score, id=id_, path=outcome.image_path, sha256=outcome.sha256)
            for rank, (id_, score, outcome) in enumerate(found, start=1)
        )


def directions(vectors: Any, width: int) -> NDArray[float32]:
    """Return query vectors as unit vectors [q, width]; raise UsageError where they are none."""
    units = unit(vectors)
    if units.shape[1] != width:
        raise UsageError(
            f"the query has {units.shape[1]} numbers, and the vectors of the store have {width}",
            expected="a query made by the encoder of the store",
            todo="embed it with the store's own encoder",
        )
    if not units.any(axis=1).all():
        raise UsageError("a query is nothing but zeros", expected="a vector with a direction", todo="leave it out")
    return units


def pieces(store: Store) -> Iterator[Piece]:
    """Yield ids and unit vectors of all good rows, a part at a time; the next part is read meanwhile.

    Rows that are nothing but zeros have no direction, and are left out.
    """
    parts = store.parts()
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        coming = pool.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = pool.submit(next, parts, None)
            units = unit(part.vectors)
            there = units.any(axis=1)
            yield (part.ids, units) if there.all() else (part.ids[there], units[there])


def loaded(store: Store) -> Piece:
    """Return ids and unit vectors of all good rows.

    Raises Unavailable where the memory cannot hold them.
    """
    import numpy

    most = sum(part.counts.get(status, 0) for part in store.manifest.parts for status in GOOD)
    width = store.identity.width
    try:
        ids, units = numpy.empty(most, numpy.int64), numpy.empty((most, width), numpy.float32)
    except MemoryError as error:
        raise Unavailable(
            f"{most:,} vectors of {width} numbers take {most * width * 4 / 2**30:.1f} GiB of memory",
            expected="a machine that can hold them",
            todo="held=False, which reads the store anew for every search",
        ) from error
    rows = 0
    for some, vectors in pieces(store):
        ids[rows : rows + len(some)], units[rows : rows + len(some)] = some, vectors
        rows += len(some)
    return ids[:rows], units[:rows]
