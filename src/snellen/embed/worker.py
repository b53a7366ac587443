"""A worker: one encoder in one runtime on one device, which does parts of a store's run.

In: a ``Job``, which can be sent to another process or machine, and the numbers of parts. Out: progress as it comes,
and a record of every part that is finished. What a worker has written is there when it dies: the next one goes on
behind it.

B batch, D width.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.embed.patches.engine import engine_of
from snellen.embed.patches.part import DensePart
from snellen.embed.prepare import End, Preparing, Recipe, Task
from snellen.embed.run import Chunk, chunks
from snellen.embed.sources import Reader
from snellen.embed.spent import Progress, Spent
from snellen.errors import SnellenError
from snellen.records import ModelRecord
from snellen.records.store import Identity, Input, PartRecord
from snellen.runtimes import opening
from snellen.runtimes.requests import Asked
from snellen.store import AlreadyFinished, PartWriter, part_writer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from snellen.embed.patches.layout import Layout
    from snellen.embed.run import Array, Row
    from snellen.runtimes.opening import Embedder

WAIT_S = 10.0
"""How long to wait for a part that somebody is at work on: a worker that was killed lets go of it a moment later."""

NORMALIZED = "vectors are brought to length 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be opened, and how it is fed; nothing of it but ``normalized`` changes a number beyond rounding."""

    asked: Asked
    normalized: bool = False
    batch_size: int | None = None  # None: the runtime's own
    workers: int = 2  # threads that read and decode

    def open(self) -> Embedder:
        """Open the encoder. Raises what ``runtimes.opening.embedder`` raises."""
        return opening.embedder(self.asked)


class Worker:
    """An open encoder at work; ``record`` says what it is and where it runs."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = job.open()
        try:
            notes = (*self.model.record.notes, *([NORMALIZED] if job.normalized else []))
            self.record = replace(self.model.record, notes=notes)
        except BaseException:
            self.model.close()
            raise
        self.batch_size = job.batch_size or self.model.batch

    @cached_property
    def identity(self) -> Identity:
        """What its vectors are; one picture is embedded to see how wide they are."""
        return identity(self.model, self.job)

    @property
    def recipe(self) -> Recipe:
        """What turns a picture into pixels."""
        return self.model.recipe

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] into vectors [B, D], of length 1 if the job says so."""
        found = self.model.vectors(batches)
        return map(normalized, found) if self.job.normalized else found

    def note(self, text: str) -> None:
        """Have the record say something more, with the parts and files that come."""
        self.record = replace(self.record, notes=(*self.record.notes, text))

    def work(self, folder: str, parts: Iterable[int]) -> Iterator[Progress | PartRecord]:
        """Do parts of the store's unfinished run, one after the other, without a pause between them.

        Raises UsageError where somebody else is at work on a part, Unavailable where the disk refuses; what was
        committed before stays.
        """
        dense = engine_of(Path(folder), self.model, normalized if self.job.normalized else None)
        under_way = _UnderWay(Path(folder), self.record, None if dense is None else dense.layout)
        try:
            with Reader() as reader:
                rows = chunks(
                    self if dense is None else dense,
                    under_way.tasks(parts),
                    Preparing(self.recipe, reader.read, under_way.earlier),
                    batch_size=self.batch_size,
                    workers=self.job.workers,
                    claim=under_way.claim,
                )
                for chunk in rows:
                    yield from under_way.write(chunk)
        finally:
            under_way.close()

    def rows(self, inputs: Iterable[Input]) -> Iterator[Row]:
        """Yield outcome and vector of inputs, in order and numbered from 0, for whoever keeps them."""
        with Reader() as reader:
            tasks = (Task(number, item) for number, item in enumerate(inputs))
            preparing = Preparing(self.recipe, reader.read)
            for chunk in chunks(self, tasks, preparing, batch_size=self.batch_size, workers=self.job.workers):
                yield from chunk.rows

    def close(self) -> None:
        """Let go of the encoder."""
        self.model.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _UnderWay:
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


def identity(model: Embedder, job: Job) -> Identity:
    """Say what the vectors of ``model`` are; their width is seen by embedding nothing but zeros.

    Raises SnellenError where it does not say which weights it has.
    """
    import numpy

    record = model.record
    if record.digest is None:
        raise SnellenError(
            f"the encoder {record.name!r} has no digest of its weights", todo="this is a fault in snellen"
        )
    pixels = _blank(model.recipe)
    (vectors,) = model.vectors(iter([numpy.stack([pixels])]))
    return Identity(
        variant=record.variant,
        weights=record.digest,
        recipe=record.recipe,
        recipe_hash=record.recipe_hash,
        pool=record.pool,
        dtype=record.dtype,
        width=vectors.shape[1],
        normalized=job.normalized,
        origin=record.origin,
    )


def normalized(vectors: Array) -> Array:
    """Return vectors [B, D] brought to length 1; one of length 0 becomes not finite, and so no embedding."""
    import numpy

    lengths = numpy.sqrt(numpy.square(vectors, dtype=numpy.float64).sum(axis=1, keepdims=True))
    with numpy.errstate(divide="ignore", invalid="ignore"):
        found: Array = (vectors / lengths).astype(numpy.float32)
    return found


def _blank(recipe: Recipe) -> NDArray[Any]:
    """Return the pixels of a black picture."""
    from PIL import Image

    from snellen.images import decode

    return recipe.array(decode(Image.new("RGB", (256, 256))))
