"""The patch features of a finished store: an id or a path goes in, an array mapped into memory comes out.

Nothing is read before a number is looked at. ``Dense`` gives what is stored; ``values`` and ``features`` work out what
it stands for.

h x w cells, C channels as stored, W channels of the encoder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.embed.patches import begin
from snellen.embed.patches import layout as layouts
from snellen.embed.patches.layout import Layout, file_of, scales_of
from snellen.embed.patches.places import Places
from snellen.embed.patches.reduce import restored
from snellen.errors import UsageError
from snellen.store import Store

if TYPE_CHECKING:
    from numpy import float32, memmap
    from numpy.typing import NDArray

    Mapped = memmap[Any, Any]
    Single = NDArray[float32]

Key = int | str | os.PathLike[str]
"""An image: its id, or the path it goes by in the store."""

GOOD = ("done", "already_present")
PARTS = 64  # whose statuses are kept


@dataclass(frozen=True, eq=False)
class DenseRows:
    """One part: row j is the image of id ``ids[j]``; rows that are not ``good`` are zeros."""

    number: int
    ids: range
    good: NDArray[Any]  # [rows] of bool
    cells: Mapped  # [rows, h, w, C]
    scales: Mapped | None  # [rows, C] of int8


class Dense:
    """The patch features of a store; ``layout`` says what they are.

    ``dense[7]`` and ``dense["photos/cat.jpg"]`` are arrays [h, w, C] as they are stored, read-only.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open the store in ``folder``.

        Raises UsageError where there is no finished store, or one without patch features.
        """
        self.folder = Path(folder)
        self._store = Store.open(self.folder)
        found = layouts.find(self.folder)
        if found is None:
            raise UsageError(
                f"the store '{self.folder}' has no patch features",
                expected=f"'{self.folder / layouts.FOLDER / layouts.FILE}'",
                todo="embed into another folder, with --dense",
            )
        self.layout: Layout
        self.layout, self._components = begin.opened(self.folder, found)
        self._places = Places(self.folder)
        self._good = lru_cache(PARTS)(self._read_statuses)

    def __getitem__(self, key: Key) -> Mapped:
        part, row = self._place(key)
        cells: Mapped = self._places.mapped(file_of(self.folder, part))[row]
        return cells

    def values(self, key: Key) -> Single:
        """Return float32 [h, w, C]: what is stored, with the scales of int8."""
        part, row = self._place(key)
        scales = self._places.mapped(scales_of(self.folder, part))[row] if self.layout.scales else None
        return restored(self._places.mapped(file_of(self.folder, part))[row], scales)

    def features(self, key: Key) -> Single:
        """Return float32 [h, w, W]: in the channels of the encoder, as near as the projection keeps them."""
        values = self.values(key)
        return values if self._components is None else self._components.back(values)

    def parts(self) -> Iterator[DenseRows]:
        """Yield the parts in order: the way to go through all of them, for which nothing is copied."""
        for run in self._store.manifest.runs:
            for index in range(run.parts):
                number, first = run.first_part + index, run.first_id + index * run.part_rows
                yield DenseRows(
                    number,
                    range(first, min(first + run.part_rows, run.first_id + run.rows)),
                    self._good(number),
                    self._places.mapped(file_of(self.folder, number)),
                    self._places.mapped(scales_of(self.folder, number)) if self.layout.scales else None,
                )

    def id_of(self, path: str | os.PathLike[str]) -> int:
        """Return the id of the newest row of a path that has features.

        It looks through the parts from the last to the first, a column of each: ids are the quick way. Raises
        UsageError for a path that is not there.
        """
        name = os.fspath(path)
        for part in sorted((part.number for part in self._store.manifest.parts), reverse=True):
            if (found := self._named(part, name)) is not None:
                return found
        raise UsageError(
            f"the store '{self.folder}' has no features of {name!r}",
            expected="a path as it stands in the column image_path",
            todo="the columns status and error_message say what became of it, if it is there",
        )

    def _place(self, key: Key) -> tuple[int, int]:
        """Return part and row of an image; raise UsageError for one that has no features."""
        id_ = self.id_of(key) if isinstance(key, (str, os.PathLike)) else key
        part, row = self._places.of(id_)
        if not self._good(part)[row]:
            (outcome,) = self._store.outcomes([id_])
            raise UsageError(
                f"row {id_}, {outcome.image_path!r}, has no features: it is {outcome.status}",
                expected="one that was embedded",
                todo=outcome.error_message or "",
            )
        return part, row

    def _read_statuses(self, number: int) -> NDArray[Any]:
        """Return which rows of a part have features, [rows] of bool."""
        import numpy

        (statuses,) = self._columns(number, ("status",))
        good: NDArray[Any] = numpy.isin(numpy.asarray(statuses, dtype=str), GOOD)
        return good

    def _named(self, number: int, name: str) -> int | None:
        """Return the id of the last row of a part that goes by ``name``, has features, and stands."""
        ids, statuses = self._columns(number, ("id", "status"), name)
        rows = [id_ for id_, status in zip(ids, statuses, strict=True) if status in GOOD]
        return next((id_ for id_ in reversed(rows) if id_ not in self._superseded), None)

    @cached_property
    def _superseded(self) -> frozenset[int]:
        return frozenset(self._store.manifest.superseded)

    def _columns(self, number: int, names: tuple[str, ...], path: str | None = None) -> list[list[Any]]:
        """Return columns of a part, of all rows or of those of one path."""
        from pyarrow import parquet

        only = None if path is None else [("image_path", "=", path)]
        table = parquet.read_table(self.folder / f"part-{number:05d}.parquet", columns=list(names), filters=only)
        return [table.column(name).to_pylist() for name in names]


def dense(folder: str | os.PathLike[str]) -> Dense:
    """Open the patch features of the store in ``folder``."""
    return Dense(folder)
