"""Which images of a store are the same, byte for byte.

In: a finished store. Out: groups of good rows, in the order of their first ids; obsolete rows are in none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.store import known
from snellen.store.layout import Places
from snellen.store.reading import Store

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

_ROWS = 4096
"""Rows whose paths are read at a time."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Rows with the same bytes, two or more."""

    sha256: str
    ids: tuple[int, ...]
    paths: tuple[str, ...]


def duplicates(store: Store) -> Iterator[Duplicates]:
    """Yield the groups of rows that have the same bytes."""
    import numpy

    ids, starts = _groups(store)
    order = numpy.argsort(ids[starts[:-1]], kind="stable")
    held: list[NDArray[int64]] = []
    count = 0
    for at in order.tolist():
        held.append(ids[starts[at] : starts[at + 1]])
        count += len(held[-1])
        if count >= _ROWS:
            yield from _named(store, held)
            held, count = [], 0
    yield from _named(store, held)


def _groups(store: Store) -> tuple[NDArray[int64], NDArray[Any]]:
    """Return ids, group after group, and where each begins, and the end."""
    import numpy

    keys, ids = [numpy.zeros(0, "S16")], [numpy.zeros(0, numpy.int64)]
    for records in _repeated(store):
        there = known.ids(records)
        live = store.live(there)
        keys.append(known.contents(records[live]))
        ids.append(there[live])
    key, found = numpy.concatenate(keys), numpy.concatenate(ids)
    begins = numpy.flatnonzero(numpy.concatenate((numpy.ones(1, bool), key[1:] != key[:-1])))[: len(key)]
    sizes = numpy.diff(numpy.append(begins, len(key)))
    several = sizes > 1  # where one of two is obsolete, the other is alone
    starts = numpy.concatenate((numpy.zeros(1, numpy.int64), numpy.cumsum(sizes[several])))
    return found[numpy.repeat(several, sizes)], starts


def _repeated(store: Store) -> Iterator[Any]:
    """Yield the records of the index that occur more than once; from an index made for it where there is none."""
    import numpy

    places = Places(store.folder)
    there = places.known(len(store.manifest.runs))
    if known.whole(there):
        yield from known.Known(there).repeated()
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "known"
        parts = (places.part(part.number) for part in store.manifest.parts)
        known.build(made, known.Known(None), parts, numpy.zeros(0, numpy.int64))
        yield from known.Known(made).repeated()


def _named(store: Store, groups: list[NDArray[int64]]) -> Iterator[Duplicates]:
    rows = iter(store.outcomes([identity for group in groups for identity in group.tolist()]))
    for group in groups:
        same = [next(rows) for _ in group]
        digest = same[0].sha256 or ""
        yield Duplicates(digest, tuple(row.id for row in same), tuple(row.image_path for row in same))
