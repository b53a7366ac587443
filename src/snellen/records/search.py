"""What a search found, and whether vectors made now may stand beside those of a store.

``FoundRecord`` is what ``snellen search`` says, ``MixingRecord`` what ``snellen verify-store`` says. Standard library
only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from snellen.records.model import ModelRecord
from snellen.records.store import Identity
from snellen.records.verify import Check

FOUND_SCHEMA = "snellen.search/1"
MIXING_SCHEMA = "snellen.verify-store/1"

# ---- a search


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One row that was found."""

    rank: int  # from 1
    score: float  # cosine with the query
    id: int
    path: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRecord:
    """One query, and the rows nearest to it, the nearest first.

    ``image``: a file, which was embedded; ``row``: a row of the store, which is not among its own hits.
    """

    asked: str
    kind: Literal["image", "row"]
    id: int | None  # of the row
    path: str
    sha256: str | None  # of the image's bytes
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRecord:
    """An index that was asked instead of every row: what it is, and how much it finds."""

    kind: str
    rows: int
    recall: float  # share of the exact nearest rows that it finds, of ``tried`` rows of the store
    tried: int
    k: int  # how many nearest rows that share is of


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecord:
    """One search."""

    store: str
    rows: int  # that were searched
    identity: Identity
    model: ModelRecord | None  # that embedded the queries; None where all are rows of the store
    index: IndexRecord | None  # None: every row was looked at, and what was found is exact
    queries: tuple[QueryRecord, ...]
    seconds: dict[str, float]
    peak_bytes: int | None  # of memory, of the whole process
    version: str  # of snellen

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": FOUND_SCHEMA, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A small picture of an image for a page, or why there is none."""

    jpeg: str | None  # base64
    because: str | None = None


# ---- whether vectors may be mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far a vector made now lies from the one in the store; None where one of both is not finite, or all zeros."""

    max_abs: float | None
    relative: float | None  # the length of the difference, as a part of the length of the vector in the store
    cosine: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecord:
    """One image that was embedded again."""

    id: int
    path: str
    part: int
    run: int
    distance: Distance
    neighbours: float | None  # share of its nearest rows that are the same by the old and by the new vector
    like: int | None = None  # another row of the sample, whose vector in the store is nearer to the new one


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """One image of the sample that could not be compared."""

    id: int
    path: str
    why: Literal["missing", "changed", "broken"]
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRecord:
    """Vectors that are not those of the rows they are held against: a run that takes them for those sees nothing."""

    name: str
    what: str
    distances: tuple[Distance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsRecord:
    """What is allowed between two runs of a precision class."""

    precision: str
    relative_median: float
    relative_worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All pairs together; None where one of them has no such figure."""

    max_abs: float | None
    relative_median: float | None
    relative_worst: float | None
    cosine_median: float | None
    cosine_worst: float | None
    neighbours: float | None  # mean


@dataclass(frozen=True, slots=True, kw_only=True)
class MixingVerdict:
    """Whether vectors made now may be mixed with those of the store, and why."""

    outcome: Literal["pass", "fail", "inconclusive"]
    because: str
    findings: tuple[str, ...]
    limits: LimitsRecord
    precision: str | None  # the finest class whose limits hold
    summary: Summary | None  # None: nothing was compared
    checks: tuple[Check, ...]  # whether this run could have told vectors apart

    @property
    def exit_code(self) -> int:
        """Return 0 for pass, 1 for fail, 3 for inconclusive."""
        return {"pass": 0, "fail": 1, "inconclusive": 3}[self.outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixingRecord:
    """A sample of a store, embedded again: what a verdict is reached from, and the verdict once it is."""

    store: str
    identity: Identity  # of the store
    model: ModelRecord  # that embedded the sample again
    simulated: bool  # on a device that is none
    seed: int  # of the sample
    drawn: int
    pairs: tuple[PairRecord, ...]
    left_out: tuple[LeftOut, ...]
    controls: tuple[ControlRecord, ...]
    nearest: int  # how many of the nearest rows are held against each other
    among: int  # rows that were looked at for them
    seconds: dict[str, float]
    peak_bytes: int | None
    version: str
    verdict: MixingVerdict | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": MIXING_SCHEMA, **asdict(self)}
