"""The parts of a store that a worker has begun: inputs to the loop, rows from it into journals and files.

In: the numbers of parts, then chunks of rows. Out: tasks; progress, and a record of every part that is finished.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.embed.patches.part import DensePart
from snellen.embed.prepare import End, Task
from snellen.embed.progress import Progress
from snellen.embed.run import Chunk
from snellen.embed.spent import Spent
from snellen.records import ModelRecord
from snellen.records.store import PartRecord
from snellen.store import AlreadyFinished, PartWriter, part_writer

if TYPE_CHECKING:
    from snellen.embed.patches.layout import Layout

WAIT_S = 10.0
"""How long to wait for a part that somebody is at work on: a worker that was killed lets go of it a moment later."""


class Parts:
    """The parts that were begun and not finished: the loop is a few batches ahead of what is written."""

    def __init__(self, folder: Path, record: ModelRecord, layout: Layout | None) -> None:
        self._folder, self._record, self._layout = folder, record, layout
        self._dense: dict[int, DensePart] = {}
        self._writers: dict[int, PartWriter] = {}
        self._found: dict[int, dict[str, int]] = {}
        self._notes: tuple[str, ...] = ()

    def tasks(self, parts: Iterable[int]) -> Iterator[Task | End]:
        """Yield what is still to do of each part, and its end."""
        for number in parts:
            try:
                writer = part_writer(self._folder, number, wait=WAIT_S)
            except AlreadyFinished:  # by another one, who died before it could say so
                continue
            self._writers[number], self._found[number] = writer, dict(writer.counts)
            self._notes += writer.notes
            if self._layout is not None:
                done = writer.rows_done
                self._dense[number] = DensePart(self._folder, number, self._layout, ids=writer.ids, done=done)
            for id_, item in writer.inputs:
                yield Task(id_, item, number)
            yield End(number)

    def earlier(self, part: int, sha256: str) -> int | None:
        """Return the id of a row of an earlier run that has these bytes."""
        return self._writers[part].earlier(sha256)

    def claim(self, part: int, sha256: str, id_: int) -> int | None:
        """Return the id of a row, also of those before it in the part, that has these bytes."""
        return self._writers[part].claim(sha256, id_)

    def write(self, chunk: Chunk) -> Iterator[Progress | PartRecord]:
        """Write rows, commit them, and finish the part if they were its last."""
        begin = time.perf_counter()
        writer = self._writers[chunk.part]
        before = writer.counts.copy()
        dense = self._dense.get(chunk.part)
        rows = chunk.rows if dense is None else dense.take(chunk.rows)
        writer.add(rows)
        if dense is not None:
            dense.flush()  # before their rows are committed: what the journal says is done is there
        writer.commit()
        counts = writer.counts - before
        record = None
        if chunk.last:
            if dense is not None:
                dense.finish()
            record = writer.finish(self._record)
            self._let_go(chunk.part)
        failures = tuple((outcome.image_path, outcome.error_message) for outcome, _ in rows if outcome.error_message)
        spent = chunk.spent + Spent(write_s=time.perf_counter() - begin)
        notes, self._notes = self._notes, ()
        yield Progress(dict(counts), spent, failures, self._found.pop(chunk.part, {}), notes)
        if record is not None:
            yield record

    def close(self) -> None:
        """Let go of the parts that are not finished; their journals stay."""
        for number in list(self._writers):
            self._let_go(number)

    def _let_go(self, number: int) -> None:
        if number in self._dense:
            self._dense.pop(number).close()
        self._writers.pop(number).close()
