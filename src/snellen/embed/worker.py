"""A worker: one encoder in one runtime on one device, which does parts of a store's run.

In: a ``Job``, which can be sent to another process or machine, and the numbers of parts. Out: progress as it comes,
and a record of every part that is finished. What a worker has written is there when it dies: the next one goes on
behind it.

B batch, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.embed.prepare import Preparing, Recipe, Task
from snellen.embed.run import chunks
from snellen.embed.sources import Reader
from snellen.errors import SnellenError
from snellen.records.inputs import Input
from snellen.runtimes import opening
from snellen.runtimes.requests import Asked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from snellen.embed.progress import Progress
    from snellen.embed.run import Array, Row
    from snellen.records.store import Identity, PartRecord
    from snellen.runtimes.opening import Embedder

NORMALIZED = "vectors are brought to length 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be opened, and how it is fed: batch size and threads change no number beyond rounding."""

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
        """What its vectors are; a black picture is embedded to see how wide they are."""
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
        from snellen.embed.parts import Parts  # what needs no store starts sooner
        from snellen.embed.patches.engine import engine_of

        dense = engine_of(Path(folder), self.model, normalized if self.job.normalized else None)
        under_way = Parts(Path(folder), self.record, None if dense is None else dense.layout)
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


def identity(model: Embedder, job: Job) -> Identity:
    """Say what the vectors of ``model`` are; their width is seen by embedding a black picture.

    Raises SnellenError where it does not say which weights it has.
    """
    import numpy

    from snellen.records.store import Identity

    record = model.record
    if record.digest is None:
        raise SnellenError(
            f"the encoder {record.name!r} has no digest of its weights", todo="this is a fault in snellen"
        )
    pixels = _blank(model.recipe)
    (vectors,) = model.vectors(iter([numpy.stack([pixels])]))
    return Identity.of(record, width=vectors.shape[1], normalized=job.normalized)


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
