"""The listing of a run: its inputs, written down before anything is embedded, and read again by parts.

In: inputs in order, and the index over what the store holds. Out: files of LISTED rows, without the inputs that are
present already; the ids of the rows that a new one makes obsolete stand beside it. Flat memory, however many there are.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from snellen.records.inputs import Input
from snellen.store.files import damaged, keeping
from snellen.store.known import Known, path_key
from snellen.store.layout import Places, listing_schema
from snellen.store.rows import clean
from snellen.store.state import RunState

GROUP = 4096
LISTED = 16 * GROUP
"""Rows of one file of a listing; the next row is in the next file. (A part may be in two of them.)"""

_READ = ["id", "path", "place", "kind", "offset", "size", "row", "column"]

Stat = Callable[[Input], "tuple[int, int] | None"]
"""Size and time of an input now, or None where that cannot be told."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One input that is not present: ``replaces`` and ``missed`` are ids of rows of the same path."""

    input: Input
    replaces: tuple[int, ...] = ()
    missed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """The inputs of a run, and what tells how they are now."""

    inputs: Iterable[Input]
    stat: Stat


@dataclass(slots=True)
class Counted:
    """What a listing came to."""

    rows: int = 0
    present: int = 0
    replacing: int = 0
    digest: str = ""


def write(places: Places, run: int, first_id: int, entries: Iterator[Listed | None]) -> Counted:
    """Write the listing of a run; ``entries`` are the inputs in order, None for one that is present."""
    counted, seen = Counted(), hashlib.sha256()
    files = _Files(places, run)
    try:
        while group := list(islice(entries, GROUP)):
            fresh = [entry for entry in group if entry is not None]
            counted.present += len(group) - len(fresh)
            counted.replacing += sum(bool(entry.replaces or entry.missed) for entry in fresh)
            for entry in fresh:
                seen.update(_fingerprint(entry.input))
            with keeping(places.folder):
                files.add(fresh, first_id + counted.rows)
            counted.rows += len(fresh)
        with keeping(places.folder):
            files.finish()
    finally:
        files.close()
    counted.digest = seen.hexdigest()
    return counted


def fresh(asked: Asked, known: Known) -> Iterator[Listed | None]:
    """Yield what is to be listed of the inputs, None for each that is present."""
    stream = iter(asked.inputs)
    while group := list(islice(stream, GROUP)):
        rows = known.paths([path_key(item.path) for item in group])
        for item, found in zip(group, rows, strict=True):
            if not found:
                yield Listed(item)
                continue
            now = asked.stat(item)
            if now is not None and any(row.stamp == now for row in found if not row.missing):
                yield None
                continue
            yield Listed(
                item,
                replaces=tuple(row.id for row in found if not row.missing),
                missed=tuple(row.id for row in found if row.missing),
            )


def read(places: Places, run: RunState, rows: range) -> Iterator[tuple[int, Input]]:
    """Yield id and input of ``rows`` (places in the listing, from 0) of a run."""
    for table in _tables(places, run, rows, _READ):
        columns = table.to_pydict()
        for at, identity in enumerate(columns["id"]):
            yield (
                identity,
                Input(
                    path=columns["path"][at],
                    place=os.fsdecode(columns["place"][at]),
                    kind=columns["kind"][at],
                    offset=columns["offset"][at],
                    size=columns["size"][at],
                    row=columns["row"][at],
                    column=columns["column"][at],
                ),
            )


def replaced(places: Places, run: RunState) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield id, ``replaces`` and ``missed`` of the rows that make others obsolete."""
    import pyarrow.compute

    for table in _tables(places, run, range(run.rows), ["id", "replaces", "missed"]):
        lengths = [pyarrow.compute.list_value_length(table.column(name)) for name in ("replaces", "missed")]
        some = table.filter(pyarrow.compute.greater(pyarrow.compute.add(*lengths), 0)).to_pydict()
        yield from zip(some["id"], some["replaces"], some["missed"], strict=True)


def _tables(places: Places, run: RunState, rows: range, columns: list[str]) -> Iterator[Any]:
    """Yield tables of whole row groups cut to ``rows``, a group at a time."""
    from pyarrow import ArrowException, parquet

    at = rows.start
    while at < rows.stop:
        number = at // LISTED
        path = places.listing(run.number, number)
        try:
            with parquet.ParquetFile(path) as file:
                while at < min(rows.stop, (number + 1) * LISTED):
                    group = (at % LISTED) // GROUP
                    start = number * LISTED + group * GROUP
                    if group >= file.num_row_groups:
                        raise damaged(path, "ends too early")
                    table = file.read_row_group(group, columns=columns, use_threads=False)
                    table = table.slice(at - start, rows.stop - at)
                    if not len(table):
                        raise damaged(path, "ends too early")
                    yield table
                    at += len(table)
        except FileNotFoundError as error:
            raise damaged(path, "is missing") from error
        except ArrowException as error:
            raise damaged(path, f"cannot be read: {error}") from error


class _Files:
    """Cuts rows into groups and files of fixed length."""

    def __init__(self, places: Places, run: int) -> None:
        self._places, self._run = places, run
        self._held: list[tuple[int, Listed]] = []
        self._groups = 0
        self._stream: BinaryIO | None = None
        self._writer: Any = None

    def add(self, entries: list[Listed], first_id: int) -> None:
        """Take rows, and write the groups that are full."""
        self._held.extend(enumerate(entries, first_id))
        while len(self._held) >= GROUP:
            self._write(self._held[:GROUP])
            del self._held[:GROUP]

    def finish(self) -> None:
        """Write the rest, and see that all is on the disk."""
        if self._held:
            self._write(self._held)
        self._end()

    def close(self) -> None:
        """Let go of the file in work."""
        if self._stream is not None:
            with suppress(OSError):  # a full disk, which was told of already
                self._stream.close()

    def _write(self, rows: list[tuple[int, Listed]]) -> None:
        from pyarrow import parquet

        if self._groups % (LISTED // GROUP) == 0:
            self._end()
            path = self._places.listing(self._run, self._groups * GROUP // LISTED)
            self._stream = path.open("wb")
            self._writer = parquet.ParquetWriter(
                self._stream, listing_schema(), compression="zstd", use_dictionary=["kind", "column"]
            )
        self._writer.write_table(_table(rows), row_group_size=GROUP)
        self._groups += 1

    def _end(self) -> None:
        if self._stream is not None:
            self._writer.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()


def _table(rows: list[tuple[int, Listed]]) -> Any:
    import pyarrow

    inputs = [entry.input for _, entry in rows]
    columns = {
        "id": [identity for identity, _ in rows],
        "path": [clean(item.path) for item in inputs],
        "place": [os.fsencode(item.place) for item in inputs],
        **{name: [getattr(item, name) for item in inputs] for name in ("kind", "offset", "size", "row", "column")},
        "replaces": [entry.replaces for _, entry in rows],
        "missed": [entry.missed for _, entry in rows],
    }
    return pyarrow.table(columns, schema=listing_schema())


def _fingerprint(item: Input) -> bytes:
    """Return bytes that are equal for inputs that are the same, wherever each machine has them."""
    return repr((item.path, item.kind, item.offset, item.size, item.row, item.column)).encode() + b"\n"
