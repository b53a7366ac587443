"""What a store of embeddings says of itself: what made its vectors, which runs filled it, which parts it has.

A *store* is a folder. A *run* adds inputs to it; its inputs are listed first, and cut into *parts* of equal length. A
part is one Parquet file, a row for every input, in order. ``Identity`` is what two runs must share for their vectors to
be comparable; batch size, workers, runtime and device are not in it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from snellen.records.model import ModelRecord, Origin

STORE_SCHEMA = "snellen.store/1"

UNNAMED = "'"
"""What the variant of weights begins with that are no row of the zoo: it is their place, quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What must be equal for vectors to be comparable."""

    variant: str
    weights: str  # sha256 of the weights
    recipe: str  # its text; the way of decoding is part of it
    recipe_hash: str
    pool: str
    dtype: str
    width: int  # numbers in a vector
    normalized: bool  # whether vectors are brought to length 1
    origin: Origin  # where the weights came from: for people, and not compared

    @classmethod
    def of(cls, record: ModelRecord, *, width: int, normalized: bool) -> Identity:
        """Return what the vectors of an encoder are, so wide and of length 1 or not."""
        return cls(
            variant=record.variant,
            weights=record.digest or "",
            recipe=record.recipe,
            recipe_hash=record.recipe_hash,
            pool=record.pool,
            dtype=record.dtype,
            width=width,
            normalized=normalized,
            origin=record.origin,
        )

    def differences(self, other: Identity) -> tuple[str, ...]:
        """Return what makes the vectors of ``other`` incomparable, a clause for each; empty where they may be mixed."""
        ignored = {"origin"}
        if self.variant.startswith(UNNAMED) and other.variant.startswith(UNNAMED):
            ignored.add("variant")  # the same weights may lie elsewhere today
        names = [field.name for field in fields(self) if field.name not in ignored]
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return tuple(f"{name} is {mine}, and {theirs} there" for name, mine, theirs in pairs if mine != theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """One finished part: its file, and what is in it."""

    number: int
    rows: int
    counts: dict[str, int]  # by status; their sum is ``rows``
    size: int  # of the file, in bytes
    sha256: str  # of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run: what it was asked to embed, and how it was done.

    ``present`` inputs were in the store already, under the same path, with the same size and time: they were neither
    read nor listed, and have their row in an earlier part.
    """

    number: int
    sources: tuple[str, ...]
    first_part: int
    parts: int
    part_rows: int  # rows of each part, but of the last
    rows: int
    first_id: int
    present: int
    models: tuple[ModelRecord, ...]  # one for each kind of worker: device, runtime and plan are in it
    started: str  # UTC, ISO 8601
    finished: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A store as it stood when its last run was finished; what is not named here is not part of it.

    ``superseded``: ids of rows whose path was embedded anew by a later run because the file had changed.
    """

    identity: Identity
    version: str  # of snellen
    runs: tuple[RunRecord, ...]
    parts: tuple[PartRecord, ...]
    superseded: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows all parts have."""
        return sum(part.rows for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as JSON-serialisable values."""
        return {"schema": STORE_SCHEMA, **asdict(self)}
