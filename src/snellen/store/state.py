"""What is written down of a store while it grows: its manifest, the run in work, and the parts that are finished.

In: the folder of a store. Out: frozen records, read strictly: what is not as it was written is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from snellen.errors import SnellenError, UsageError
from snellen.records.model import ModelRecord
from snellen.records.reading import read
from snellen.records.store import STORE_SCHEMA, Identity, Manifest, PartRecord
from snellen.store.files import damaged, from_json
from snellen.store.layout import RUN_SCHEMA, Places

T = TypeVar("T")

_SHARE = re.compile(r" --shard[= ]\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What a run was asked, and how its listing was cut; written when that is complete, and never changed."""

    number: int
    sources: tuple[str, ...]
    command: str  # the command line that goes on with it; may be empty
    identity: Identity
    version: str  # of snellen
    first_part: int
    parts: int
    part_rows: int
    rows: int
    first_id: int
    present: int  # inputs that were in the store already, and are not listed
    replacing: int  # listed inputs whose path is in the store with another size or time
    listing: str  # sha256 of what is listed, but for the places: another machine may reach them otherwise
    started: str  # UTC, ISO 8601

    @property
    def numbers(self) -> range:
        """The numbers of its parts."""
        return range(self.first_part, self.first_part + self.parts)

    def span(self, number: int) -> range:
        """Return the ids of the rows of a part."""
        start = self.first_id + (number - self.first_part) * self.part_rows
        return range(start, min(start + self.part_rows, self.first_id + self.rows))

    @property
    def rest(self) -> str:
        """The command line that does all that is left, whichever share began it; may be empty."""
        return _SHARE.sub("", self.command)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-serialisable values."""
        return {"schema": RUN_SCHEMA, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPart:
    """A finished part, and the encoder that made it."""

    part: PartRecord
    model: ModelRecord

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-serialisable values."""
        return asdict(self)


def manifest(places: Places) -> Manifest | None:
    """Return the manifest of a store, or None where no run was finished yet."""
    try:
        status = places.manifest.stat()
        return _manifest(places.manifest, (status.st_ino, status.st_size, status.st_mtime_ns))
    except FileNotFoundError:
        return None


@lru_cache(maxsize=4)
def _manifest(path: Path, _: tuple[int, int, int]) -> Manifest:
    """Read a manifest once, until another is put in its place: of many parts it is long, and each part asks for it."""
    return _read(Manifest, from_json(path), path, STORE_SCHEMA)


def run_state(places: Places, number: int) -> RunState | None:
    """Return what a run was asked, or None where its listing was never complete."""
    path = places.asked(number)
    try:
        document = from_json(path)
    except FileNotFoundError:
        return None
    return _read(RunState, document, path, RUN_SCHEMA)


def unfinished(places: Places, known: Manifest | None) -> RunState | None:
    """Return the run that was begun after those of the manifest, or None."""
    return run_state(places, len(known.runs) if known else 0)


def in_work(places: Places) -> RunState:
    """Return the unfinished run; raise UsageError where there is none."""
    run = unfinished(places, manifest(places))
    if run is None:
        raise UsageError(
            f"no run of the store {str(places.folder)!r} is unfinished",
            expected="a run that was begun",
            todo="begin one: snellen embed SOURCE... -m MODEL -o OUT/",
        )
    return run


def run_of(run: RunState, number: int) -> RunState:
    """Return ``run``; raise UsageError where part ``number`` is none of its parts."""
    if number not in run.numbers:
        raise UsageError(
            f"part {number} is no part of the run in work",
            expected=f"a number from {run.first_part} to {run.first_part + run.parts - 1}" if run.parts else "no part",
        )
    return run


def finished_part(places: Places, run: int, number: int) -> FinishedPart | None:
    """Return what is written down of a finished part, or None where it is not finished, or its file is gone."""
    path = places.record(run, number)
    try:
        document = from_json(path)
        size = places.part(number).stat().st_size
    except FileNotFoundError:
        return None
    there = _read(FinishedPart, document, path, None)
    return there if size == there.part.size else None


def check_part(places: Places, part: PartRecord) -> None:
    """Raise UsageError where a part of the manifest is gone or cut off: what it held would be taken for present."""
    path = places.part(part.number)
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    if size != part.size:
        raise damaged(path, f"has {size:,} bytes, not {part.size:,}")


def finished_parts(places: Places, run: RunState) -> Iterator[FinishedPart]:
    """Yield the finished parts of a run, in order."""
    for number in run.numbers:
        part = finished_part(places, run.number, number)
        if part is not None:
            yield part


def check_identity(folder: Path, there: Identity, asked: Identity) -> None:
    """Raise UsageError, naming each difference, where vectors of ``asked`` may not be mixed with those of a store."""
    differences = asked.differences(there)
    if differences:
        raise UsageError(
            f"these vectors may not be mixed with those of the store {str(folder)!r}: {'; '.join(differences)}",
            expected="the weights, recipe, pooling and dtype that the store was begun with",
            todo="ask for what the store holds, or write to another folder",
        )


def _read(cls: type[T], document: object, path: Path, schema: str | None) -> T:
    if not isinstance(document, Mapping):
        raise damaged(path, "is no record")
    fields = dict(document)
    if schema is not None and (found := fields.pop("schema", None)) != schema:
        raise UsageError(
            f"{str(path)!r} is of the schema {found!r}",
            expected=f"{schema!r}",
            todo="take the version of snellen that wrote it, or another folder",
        )
    try:
        return read(cls, fields)
    except SnellenError as error:
        raise damaged(path, error.seen) from error
