"""One part in the making: inputs out, rows in, a Parquet file at the end; a death loses only what was in work.

In: the folder of a store and the number of a part, which is all that a worker elsewhere needs to know. Out: the part.
Rows come in the order of the inputs, none left out; whose they are is checked, so that nothing can shift.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from snellen.errors import UsageError
from snellen.records import ModelRecord, Outcome
from snellen.records.inputs import Input
from snellen.records.store import PartRecord
from snellen.store import listing, state, tables
from snellen.store.files import Hashing, keeping, placed, put, to_json
from snellen.store.journal import Journal
from snellen.store.known import Known
from snellen.store.layout import GOOD, PART_SCHEMA, Places, rows_schema
from snellen.store.reading import Store
from snellen.store.rows import batch, outcomes, vectors
from snellen.store.state import FinishedPart, RunState

if TYPE_CHECKING:
    from snellen.store.rows import Row, Vector


class AlreadyFinished(UsageError):
    """The part is there already; ``record`` says what is in it."""

    def __init__(self, record: PartRecord) -> None:
        super().__init__(f"part {record.number} is finished already", todo="take the next one")
        self.record = record


def part_writer(folder: Path, number: int, *, wait: float = 0) -> PartWriter:
    """Open part ``number`` of the run in work of a store, to go on where its journal ends.

    Somebody holds the lock of the store meanwhile. Raises Locked, a UsageError, where another process writes this
    part, after waiting for ``wait`` seconds; AlreadyFinished where it is finished; Unavailable where the disk refuses.
    """
    places = Places(folder)
    run = state.run_of(state.in_work(places), number)
    with keeping(folder):
        places.journals.mkdir(exist_ok=True)
        of = f"{run.number} {number} {run.part_rows} {run.span(number).start} {run.listing}"
        journal = Journal(places.journal(number), of, wait=wait)
        try:
            there = state.finished_part(places, run.number, number)
            if there is not None:
                journal.remove()
                raise AlreadyFinished(there.part)
            return PartWriter(places, run, number, journal)
        except BaseException:
            journal.close()
            raise


def finished(folder: Path, number: int) -> PartRecord | None:
    """Return the record of a part of the run in work, or None where it is not finished."""
    places = Places(folder)
    there = state.finished_part(places, state.run_of(state.in_work(places), number).number, number)
    return None if there is None else there.part


class PartWriter:
    """The writer of a part, a context; made by ``part_writer``."""

    def __init__(self, places: Places, run: RunState, number: int, journal: Journal) -> None:
        self.run, self.number, self.ids = run, number, run.span(number)
        self.counts: Counter[str] = Counter()
        self._places, self._journal = places, journal
        self._known = Known(places.known(run.number) if run.number else None)
        self._claims: dict[bytes, int] = {}
        self._pending: list[Row] = []
        self._frames: list[range] = []  # the ids of each frame of the journal
        self._last: tuple[int, Any] | None = None  # the frame that was read last, and its number
        self._store: Store | None = None
        self._asked: deque[tuple[int, str]] = deque()  # given out, and not yet come back
        self._take_up()
        self.inputs = self._inputs(self.ids[self.rows_done :])

    @property
    def rows_done(self) -> int:
        """How many rows there are, in the journal and added since."""
        return self.counts.total()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was dropped of the journal, and why."""
        return tuple(self._journal.notes)

    def earlier(self, sha256: str) -> int | None:
        """Return the id of a row of an earlier run that has a vector of these bytes, or None; any thread may ask."""
        return self._known.content(sha256)

    def claim(self, sha256: str, id: int) -> int | None:  # noqa: A002 (the name of the column)
        """Return the id of the row that these bytes belong to already, or None: they belong to row ``id`` from now on.

        To be asked in the order of the ids. A row of this part may not be added yet, or turn out to be broken.
        """
        earlier = self.earlier(sha256)
        if earlier is not None:
            return earlier
        first = self._claims.setdefault(_key(sha256), id)
        return None if first == id else first

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows, in the order of ``inputs``; one that is present and has no vector gets that of row ``same_as``."""
        for outcome, vector in rows:
            self._check(outcome, vector)
            copies = outcome.status == "already_present" and vector is None
            row = self._copied(outcome) if copies else (outcome, vector)
            self._asked.popleft()
            self._pending.append(row)
            self.counts[row[0].status] += 1

    def commit(self) -> None:
        """Bring the rows that were added to the journal: they survive the death of this process."""
        if not self._pending:
            return
        with keeping(self._places.folder):
            self._journal.append(memoryview(batch(self._pending).serialize()).tobytes())
        start = self._pending[0][0].id
        self._frames.append(range(start, start + len(self._pending)))
        self._pending.clear()

    def finish(self, model: ModelRecord) -> PartRecord:
        """Put the part in its place, and remove the journal; raise ValueError while rows are to be done."""
        if self.rows_done != len(self.ids):
            raise ValueError(f"part {self.number} has {self.rows_done} of {len(self.ids)} rows")
        self.commit()
        path = self._places.part(self.number)
        with keeping(self._places.folder):
            aside = self._places.aside(path.name)
            with placed(path, aside), aside.open("wb") as file:
                stream = Hashing(file)
                tables.write(stream, map(self._frame, range(len(self._frames))), self._metadata(model))
            record = PartRecord(
                number=self.number,
                rows=len(self.ids),
                counts=dict(sorted(self.counts.items())),
                size=stream.size,
                sha256=stream.sha256,
            )
            done = self._places.record(self.run.number, self.number)
            put(done, to_json(FinishedPart(part=record, model=model).to_dict()), self._places.aside(done.name))
            self._journal.remove()
        return record

    def close(self) -> None:
        """Let others go on with the part; what was committed stays."""
        self._journal.close()

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_up(self) -> None:
        """Learn from the journal what is done."""
        for number in range(len(self._journal.frames)):
            rows = outcomes(self._frame(number))
            start = self._frames[-1].stop if self._frames else self.ids.start
            if [row.id for row in rows] != list(range(start, start + len(rows))) or start + len(rows) > self.ids.stop:
                self._journal.cut(number, f"frame {number} of the journal is of other rows; it and the later ones")
                self._last = None
                return
            self._frames.append(range(start, start + len(rows)))
            self.counts.update(row.status for row in rows)
            for row in rows:
                if row.sha256 is not None:
                    self._claims.setdefault(_key(row.sha256), row.id)

    def _inputs(self, ids: range) -> Iterator[tuple[int, Input]]:
        rows = range(ids.start - self.run.first_id, ids.stop - self.run.first_id)
        for identity, item in listing.read(self._places, self.run, rows):
            self._asked.append((identity, item.path))
            yield identity, item

    def _frame(self, number: int) -> Any:
        """Return the rows of a frame as a record batch."""
        import pyarrow

        if self._last is None or self._last[0] != number:
            frame = pyarrow.py_buffer(self._journal.read(number))
            self._last = number, pyarrow.ipc.read_record_batch(frame, rows_schema())
        return self._last[1]

    def _copied(self, outcome: Outcome) -> Row:
        """Return a row with the vector of the one that it is the same as, or with what was wrong with that."""
        if outcome.same_as is None:
            raise ValueError(f"row {outcome.id} is said to be present, but not as which row")
        first, vector = self._row(outcome.same_as)
        row = replace(outcome, width=first.width, height=first.height, notes=outcome.notes or first.notes)
        if first.status in GOOD:
            return row, vector
        return replace(row, status=first.status, error_message=first.error_message, same_as=None), None

    def _row(self, identity: int) -> Row:
        """Return a row of this part, or of an earlier run."""
        if identity < self.run.first_id:
            if self._store is None:
                self._store = Store.open(self._places.folder)
            return self._store.outcomes([identity])[0], self._store.vectors([identity])[0]
        for outcome, vector in self._pending:
            if outcome.id == identity:
                return outcome, vector
        for number, ids in enumerate(self._frames):
            if identity in ids:
                row = self._frame(number).slice(identity - ids.start, 1)
                there, found = vectors(row.column("embedding"), self.run.identity.width)
                return outcomes(row)[0], found[0].copy() if there[0] else None
        raise ValueError(f"row {identity} is not in this part, nor in an earlier run")

    def _check(self, outcome: Outcome, vector: Vector | None) -> None:
        """Raise ValueError unless this is the row of the next input, with a vector where there must be one."""
        next_one = self._asked[0] if self._asked else "no input: none was given out"
        if (outcome.id, outcome.image_path) != next_one:
            raise ValueError(f"row {(outcome.id, outcome.image_path)} comes where that of {next_one} is next")
        if (outcome.status in GOOD) != (vector is not None) and outcome.status != "already_present":
            how = "without" if vector is None else "with"
            raise ValueError(f"row {outcome.id} is {outcome.status}, {how} a vector")
        if vector is not None and (vector.shape != (self.run.identity.width,) or vector.dtype != "float32"):
            raise ValueError(f"the vector of row {outcome.id} is {vector.dtype} {list(vector.shape)}")

    def _metadata(self, model: ModelRecord) -> dict[str, Any]:
        identity = self.run.identity
        return {
            "schema": PART_SCHEMA,
            "identity": asdict(identity),
            "normalized": identity.normalized,
            "model": model.to_dict(),
            "run": self.run.number,
            "part": self.number,
            "first_id": self.ids.start,
            "rows": len(self.ids),
        }


def _key(sha256: str) -> bytes:
    return bytes.fromhex(sha256)[:16]
