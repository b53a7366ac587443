"""Where the row of an id is, by arithmetic: the parts of a run are of equal length.

In: the folder of a store. Out: parts, rows, and files mapped into memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.errors import UsageError
from snellen.records.store import RunRecord
from snellen.store import Store
from snellen.store.files import damaged

if TYPE_CHECKING:
    from numpy import memmap

OPEN = 64
"""Files mapped at once: a mapping costs address space, and a system allows some ten thousands."""


class Places:
    """The rows of a store's finished runs; what was used longest ago is let go of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mapped: OrderedDict[Path, memmap[Any, Any]] = OrderedDict()

    @cached_property
    def runs(self) -> tuple[RunRecord, ...]:
        """The finished runs; raises what ``Store.open`` raises."""
        return Store.open(self._folder).manifest.runs

    def of(self, id_: int) -> tuple[int, int]:
        """Return the part of an id, and its row there; raise UsageError for an id that no run has."""
        return place_of(self.runs, id_)

    def mapped(self, path: Path) -> memmap[Any, Any]:
        """Return a file of numpy's format, mapped into memory; raise UsageError where it is missing or cut off."""
        import numpy

        if path not in self._mapped:
            while len(self._mapped) >= OPEN:
                self._mapped.popitem(last=False)
            try:
                self._mapped[path] = numpy.load(path, mmap_mode="r")
            except FileNotFoundError as error:
                raise damaged(path, "is missing") from error
            except (ValueError, EOFError) as error:
                raise damaged(path, f"cannot be read: {error}") from error
        self._mapped.move_to_end(path)
        return self._mapped[path]


def place_of(runs: Iterable[RunRecord], id_: int) -> tuple[int, int]:
    """Return the part of an id, and its row there; raise UsageError for an id that no run has."""
    last = -1
    for run in runs:
        row = id_ - run.first_id
        if 0 <= row < run.rows:
            return run.first_part + row // run.part_rows, row % run.part_rows
        last = max(last, run.first_id + run.rows - 1)
    raise UsageError(f"there is no row of id {id_}", expected=f"0 to {last}")
