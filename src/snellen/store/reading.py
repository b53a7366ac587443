"""A finished store, read: good rows a part at a time for a search, single rows by their ids, every row as a ledger.

In: the folder of a store. Out: arrays and outcomes; what is not named in the manifest is not part of the store. Memory
holds one part, however many there are. n rows, D numbers in a vector.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.errors import UsageError
from snellen.records import Outcome
from snellen.records.inputs import Input
from snellen.records.store import Identity, Manifest, PartRecord, RunRecord
from snellen.store import listing, state
from snellen.store.files import damaged
from snellen.store.layout import GOOD, ROW_GROUP, Places
from snellen.store.rows import OUTCOME, outcomes, vectors
from snellen.store.tables import table_of

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.typing import NDArray

_GROUPS = 4
"""Row groups that are kept, for rows that are asked for one after the other."""


@dataclass(frozen=True, slots=True)
class PartRows:
    """The good rows of a part."""

    number: int
    ids: NDArray[int64]  # [n]
    vectors: NDArray[float32]  # [n, D]
    paths: list[str] = field(default_factory=list)  # empty unless they are asked for


class Store:
    """An open store; ``manifest`` says what it holds."""

    def __init__(self, places: Places, manifest: Manifest) -> None:
        import numpy

        self.folder, self.manifest = places.folder, manifest
        self._places = places
        self._runs = [run for run in manifest.runs if run.rows]
        self._obsolete = numpy.array(sorted(manifest.superseded), numpy.int64)
        self._groups: OrderedDict[tuple[int, int, bool], Any] = OrderedDict()

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open a store as it stood when its last run was finished; raise UsageError where there is none."""
        places = Places(folder)
        manifest = state.manifest(places)
        if manifest is None:
            raise _no_store(places)
        return cls(places, manifest)

    @property
    def identity(self) -> Identity:
        """What made the vectors."""
        return self.manifest.identity

    @property
    def rows(self) -> int:
        """How many rows there are, good and bad."""
        return self.manifest.rows

    def parts(self, *, paths: bool = False) -> Iterator[PartRows]:
        """Yield the good rows of each part that has any: those with a vector, and not obsolete."""
        for part in self.manifest.parts:
            if any(part.counts.get(status) for status in GOOD):
                rows = self.part(part, paths=paths)
                if len(rows.ids):
                    yield rows

    def part(self, part: PartRecord, *, paths: bool = False) -> PartRows:
        """Return the good rows of a part; there may be none."""
        table = self._table(part, ["id", "embedding", *(["image_path"] if paths else [])])
        there, found = self._vectors(part.number, table["embedding"])
        ids = table["id"].to_numpy()[there]
        live = self.live(ids)
        if not live.all():
            there[there] = live
            ids, found = ids[live], found[live]
        names = table["image_path"].filter(there).to_pylist() if paths else []
        return PartRows(part.number, ids, found, names)

    def good(self) -> NDArray[int64]:
        """Return the ids of all good rows [n]."""
        import numpy

        return numpy.concatenate([numpy.zeros(0, numpy.int64), *map(self.good_of, self.manifest.parts)])

    def good_of(self, part: PartRecord) -> NDArray[int64]:
        """Return the ids of the good rows of a part [n]."""
        import numpy

        table = self._table(part, ["id", "status"])
        ids = table["id"].to_numpy()[numpy.isin(table["status"].to_numpy(), GOOD)]
        good: NDArray[int64] = ids[self.live(ids)]
        return good

    def live(self, ids: NDArray[int64]) -> NDArray[Any]:
        """Return which of ``ids`` are not obsolete [n] bool."""
        import numpy

        return ~numpy.isin(ids, self._obsolete)

    def ledger(self) -> Iterator[Outcome]:
        """Yield every row, good, bad or obsolete, in the order of the ids."""
        for part in self.manifest.parts:
            yield from outcomes(self._table(part, OUTCOME))

    def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Return the rows with these ids, in this order."""
        found: dict[int, Outcome] = {}
        for (number, group), wanted in self._grouped(ids).items():
            rows = self._group(number, group, vectors=False)
            found.update((row.id, row) for row in outcomes(rows.take(sorted(wanted))))
        return [found[int(identity)] for identity in ids]

    def vectors(self, ids: Sequence[int]) -> NDArray[float32]:
        """Return the vectors of the rows with these ids [n, D], in this order; raise UsageError for one without."""
        import numpy

        found: dict[int, Any] = {}
        for (number, group), wanted in self._grouped(ids).items():
            rows = self._group(number, group, vectors=True).take(sorted(wanted))
            there, values = self._vectors(number, rows["embedding"])
            found.update(zip(rows["id"].to_numpy()[there].tolist(), values, strict=True))
        lacking = next((identity for identity in ids if int(identity) not in found), None)
        if lacking is not None:
            raise UsageError(f"row {lacking} has no vector", expected="the id of a row that is done or already_present")
        made = numpy.empty((len(ids), self.identity.width), numpy.float32)
        for row, identity in enumerate(ids):
            made[row] = found[int(identity)]
        return made

    def inputs(self, ids: Sequence[int]) -> list[Input]:
        """Return where the bytes of the rows with these ids were; raise UsageError where that is not kept."""
        found: dict[int, Input] = {}
        for identity in sorted({int(identity) for identity in ids}):
            run = self._run(identity)
            asked = state.run_state(self._places, run.number)
            if asked is None:
                raise damaged(self._places.asked(run.number), "is missing")
            row = identity - run.first_id
            found.update(listing.read(self._places, asked, range(row, row + 1)))
        return [found[int(identity)] for identity in ids]

    def _run(self, identity: int) -> RunRecord:
        """Return the run that a row is of."""
        at = bisect_right([run.first_id for run in self._runs], identity) - 1
        if at < 0 or identity >= self._runs[at].first_id + self._runs[at].rows:
            raise UsageError(f"the store {str(self.folder)!r} has no row {identity}")
        return self._runs[at]

    def _grouped(self, ids: Sequence[int]) -> dict[tuple[int, int], set[int]]:
        """Return part and row group of each id, with the rows in it that are wanted."""
        wanted: dict[tuple[int, int], set[int]] = {}
        for identity in map(int, ids):
            run = self._run(identity)
            part, row = divmod(identity - run.first_id, run.part_rows)
            wanted.setdefault((run.first_part + part, row // ROW_GROUP), set()).add(row % ROW_GROUP)
        return wanted

    def _group(self, number: int, group: int, *, vectors: bool) -> Any:
        """Return a row group of a part, with its vectors or with all else."""
        key = (number, group, vectors)
        if key not in self._groups:
            columns = ["id", "embedding"] if vectors else OUTCOME
            self._groups[key] = table_of(self._places.part(number), columns, [group])
            if len(self._groups) > _GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]

    def _table(self, part: PartRecord, columns: Sequence[str]) -> Any:
        path = self._places.part(part.number)
        table = table_of(path, columns)
        if len(table) != part.rows:
            raise damaged(path, f"has {len(table)} rows, not {part.rows}")
        return table

    def _vectors(self, number: int, column: Any) -> tuple[NDArray[Any], NDArray[float32]]:
        try:
            return vectors(column, self.identity.width)
        except ValueError as error:
            raise damaged(self._places.part(number), f"holds other vectors: {error}") from error


def _no_store(places: Places) -> UsageError:
    run = state.unfinished(places, None) if places.inside.is_dir() else None
    if run is None:
        return UsageError(
            f"{str(places.folder)!r} is no store",
            expected="a folder that snellen embed wrote, with a manifest.json in it",
            todo=f"make one: snellen embed SOURCE... -m MODEL -o {places.folder}/",
        )
    return UsageError(
        f"the store {str(places.folder)!r} is not finished",
        expected="a manifest, which is written when all parts are there",
        todo=f"finish it: {run.rest or 'give the command again that began it'}",
    )
