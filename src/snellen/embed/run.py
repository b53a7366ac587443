"""The loop from inputs to vectors: decode ahead, fill batches, encode, give back in order.

In: a model and tasks. Out: for every input, in order, its outcome and its vector [D], or None where there is none, in
chunks that end where a batch ends. One bad image neither stops nor shifts the others, no batch holds images of two
parts, and memory does not grow with the number of inputs: see ``chunks``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from snellen.embed.prepare import End, Prepared, Preparing, Recipe, Task, failed
from snellen.embed.sources import Reader, named
from snellen.embed.spent import Spent
from snellen.errors import SnellenError
from snellen.records import Outcome

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]
    Vector = NDArray[float32]
    Row = tuple[Outcome, NDArray[float32] | None]

AHEAD = 2
"""Batches decoded ahead of the one being filled: one may come late without the encoder waiting for it."""

HELD = 1024
"""Bad images held back while one batch is filled; with more of them it goes as it is, so that their rows can too."""

NOT_FINITE = "the encoder returned values that are not finite\n  next: --dtype float32"


class Miscounted(SnellenError):
    """The encoder did not return one vector for each image, so none can be told whose it is."""


class Embeds(Protocol):
    """What the loop needs of a model."""

    @property
    def recipe(self) -> Recipe:
        """What turns a picture into pixels."""

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Encode batches of pixels [b, 3, h, w] to vectors [b, D], in order, until there are no more batches.

        It may take several batches before it gives the vectors of the first, and each array it gives is its own. It is
        called again when ``batches`` paused.
        """


Claim = Callable[[int, str, int], "int | None"]
"""Of part, digest of the bytes and id of an image: the id of the row whose vector it gets, if there is one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one part, up to the end of a batch; ``last``: the part ends with them. ``spent``: since the last chunk.

    Work that begins again behind a chunk fills the same batches as work that goes on.
    """

    part: int
    rows: tuple[Row, ...]
    last: bool
    spent: Spent


def embed(model: Embeds, paths: Iterable[str], *, batch_size: int = 16, workers: int = 2) -> Iterator[Row]:
    """Yield the outcome and the vector of every path, in the order of ``paths``; each is a file. See ``chunks``."""
    with Reader() as reader:
        preparing = Preparing(model.recipe, reader.read)
        tasks = (Task(number, named(path)) for number, path in enumerate(paths))
        for chunk in chunks(model, tasks, preparing, batch_size=batch_size, workers=workers):
            yield from chunk.rows


def chunks(
    model: Embeds,
    tasks: Iterable[Task | End],
    preparing: Preparing,
    *,
    batch_size: int,
    workers: int,
    claim: Claim | None = None,
) -> Iterator[Chunk]:
    """Yield the rows of every task, in order.

    ``claim`` is asked about each image before it takes a place in a batch, in their order: the id of a row that has the
    same bytes, and whose vector it gets from whoever takes the rows, or None where it is to be encoded.

    ``workers`` threads decode while the encoder computes. In memory are the pixels of AHEAD batches and ``workers``
    images, of the batch being filled, and of as many as ``model.vectors`` takes before it gives one back; and for each
    of these batches the outcomes of at most HELD bad images.

    Raises Miscounted when the vectors are not one for each image.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        line = Line(_ahead(pool, preparing, tasks, depth=AHEAD * batch_size + workers), batch_size, claim)
        try:
            while line.more:
                answers = model.vectors(line.batches())
                while (vectors := line.answer(answers)) is not None:
                    line.take(vectors)
                    yield from line.ready()
                line.check_answered()
                yield from line.ready()
        finally:
            pool.shutdown(cancel_futures=True)


class Line:
    """The inputs in their order, from when they are decoded until their rows are given away.

    ``more`` is false when the inputs have come to their end.
    """

    def __init__(self, decoded: Iterator[Prepared | End], batch_size: int, claim: Claim | None) -> None:
        self.more = True
        self._decoded, self._batch_size, self._claim = decoded, batch_size, claim
        self._rows: deque[Prepared | End] = deque()
        self._asked: deque[list[Prepared]] = deque()
        self._open = False  # whether ``batches`` has more to give
        self._spent, self._waited, self._read_s, self._decode_s = Spent(), 0.0, 0.0, 0.0

    def batches(self) -> Iterator[Array]:
        """Yield full batches of good images [b, 3, h, w]; pause, by ending, after a batch with HELD bad ones."""
        self._open = True  # before anybody asks, or an encoder that never does would be called for ever
        return self._fill()

    def answer(self, answers: Iterator[Array]) -> Array | None:
        """Return the encoder's next vectors, None where it pauses; what it takes beside waiting for images is noted."""
        begin, before = time.perf_counter(), self._waited
        vectors = next(answers, None)
        waited = self._waited - before
        self._spent += Spent(encode_s=time.perf_counter() - begin - waited, waited_s=waited)
        return vectors

    def take(self, vectors: Array) -> None:
        """Give the images of the oldest batch their vectors [b, D]."""
        import numpy

        if not self._asked:
            raise _miscounted(f"the encoder returned {len(vectors)} vectors for a batch that was not asked for")
        batch = self._asked.popleft()
        if len(vectors) != len(batch):
            raise _miscounted(f"the encoder returned {len(vectors)} vectors for a batch of {len(batch)} images")
        for item, vector in zip(batch, vectors, strict=True):
            if numpy.isfinite(vector).all():
                item.vector = vector
            else:
                item.outcome = failed(item.outcome, NOT_FINITE, "broken")

    def ready(self) -> Iterator[Chunk]:
        """Yield the rows, in order, up to the first whose vector is still to come."""
        part, rows = 0, list[tuple[Outcome, "Vector | None"]]()
        while self._rows:
            item = self._rows[0]
            if isinstance(item, End):
                yield self._chunk(item.part, rows, last=True)
                rows = []
            elif item.pending:
                break
            else:
                part = item.part
                rows.append((item.outcome, item.vector))
                self._read_s += item.read_s
                self._decode_s += item.decode_s
            self._rows.popleft()
        if rows:
            yield self._chunk(part, rows, last=False)

    def check_answered(self) -> None:
        """Raise Miscounted if the encoder stopped before it had taken and answered every batch."""
        if self._asked:
            raise _miscounted(f"the encoder returned no vectors for {sum(map(len, self._asked))} images")
        if self._open:
            raise _miscounted("the encoder stopped before it had taken every batch")

    def _chunk(self, part: int, rows: list[Row], *, last: bool) -> Chunk:
        spent = self._spent + Spent(read_s=self._read_s, decode_s=self._decode_s)
        self._spent, self._read_s, self._decode_s = Spent(), 0.0, 0.0
        return Chunk(part, tuple(rows), last, spent)

    def _fill(self) -> Iterator[Array]:
        good: list[Prepared] = []
        bad = 0  # since the last batch, but not before the first good one: that must not decide what a batch holds
        while (item := self._next()) is not None:
            self._rows.append(item)
            if not isinstance(item, End) and self._encodes(item):
                bad = bad if good else 0
                good.append(item)
            else:
                bad += 1
            if good and (len(good) == self._batch_size or isinstance(item, End)):
                yield self._ask(good)
                good, bad = [], 0
            elif bad >= HELD:
                break
        else:
            self.more = False
        if good:
            yield self._ask(good)
        self._open = False

    def _encodes(self, item: Prepared) -> bool:
        """Tell whether an input goes to the encoder: not those that failed, and of equal ones only the first."""
        if item.pixels is None:
            return False
        if self._claim is None:
            return True
        same = self._claim(item.part, item.outcome.sha256 or "", item.outcome.id)
        if same is not None:
            item.outcome, item.pixels = replace(item.outcome, status="already_present", same_as=same), None
        return same is None

    def _next(self) -> Prepared | End | None:
        begin = time.perf_counter()
        item = next(self._decoded, None)
        self._waited += time.perf_counter() - begin
        return item

    def _ask(self, batch: list[Prepared]) -> Array:
        import numpy

        pixels = numpy.stack([item.pixels for item in batch if item.pixels is not None])
        for item in batch:
            item.pixels = None
        self._asked.append(batch)
        return pixels


def _miscounted(seen: str) -> Miscounted:
    return Miscounted(seen, expected="one vector for each image, in order", todo="take another --runtime")


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Task], Prepared], tasks: Iterable[Task | End], *, depth: int
) -> Iterator[Prepared | End]:
    """Prepare tasks in order, with at most ``depth`` of them under way or waiting to be taken."""
    waiting: deque[Future[Prepared] | End] = deque()

    def taken() -> Prepared | End:
        first = waiting.popleft()
        return first if isinstance(first, End) else first.result()

    for task in tasks:
        waiting.append(task if isinstance(task, End) else pool.submit(work, task))
        if len(waiting) >= depth:
            yield taken()
    while waiting:
        yield taken()
