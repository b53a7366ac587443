"""The loop from paths to vectors: decode ahead, fill batches, encode, give back in order.

In: a model and paths. Out: for every path, in order, its outcome and its vector [D], or None where there is no vector.
One bad image neither stops nor shifts the others, and memory does not grow with their number: see ``embed``.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from snellen.embed.inputs import printable
from snellen.errors import ImageError, SnellenError, TooLarge
from snellen.images import Picture, decode
from snellen.records import Outcome, Status

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]
    Vector = NDArray[float32]
    Row = tuple[Outcome, NDArray[float32] | None]

T = TypeVar("T")

AHEAD = 2
"""Batches decoded ahead of the one being filled: one may come late without the encoder waiting for it."""

HELD = 1024
"""Bad images held back while one batch is filled; with more of them it goes as it is, so that their rows can too."""

NOT_FINITE = "the encoder returned values that are not finite\n  next: --dtype float32"


class Miscounted(SnellenError):
    """The encoder did not return one vector for each image, so none can be told whose it is."""


class Recipe(Protocol):
    """What turns a picture into pixels."""

    @property
    def apply_orientation(self) -> bool:
        """Whether the EXIF orientation is applied."""

    def array(self, picture: Picture) -> Array:
        """Return the pixels [3, h, w] that the encoder takes."""


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


@dataclass(slots=True)
class Prepared:
    """One input, decoded, or the outcome that says why not; its pixels go when they are in a batch."""

    outcome: Outcome
    pixels: Array | None = None
    vector: Vector | None = None

    @property
    def pending(self) -> bool:
        """Whether its vector is still to come."""
        return self.outcome.status == "done" and self.vector is None


def embed(model: Embeds, paths: Iterable[str], *, batch_size: int = 16, workers: int = 2) -> Iterator[Row]:
    """Yield the outcome and the vector of every path, in the order of ``paths``.

    ``workers`` threads decode while the encoder computes. In memory are the pixels of AHEAD batches and ``workers``
    images, of the batch being filled, and of as many as ``model.vectors`` takes before it gives one back; and for each
    of these batches the outcomes of at most HELD bad images.

    Raises Miscounted when the vectors are not one for each image.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        depth = AHEAD * batch_size + workers
        line = Line(_ahead(pool, lambda item: prepare(model.recipe, *item), enumerate(paths), depth=depth), batch_size)
        try:
            while line.more:
                for vectors in model.vectors(line.batches()):
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

    def __init__(self, decoded: Iterator[Prepared], batch_size: int) -> None:
        self.more = True
        self._decoded, self._batch_size = decoded, batch_size
        self._rows: deque[Prepared] = deque()
        self._asked: deque[list[Prepared]] = deque()
        self._open = False  # whether ``batches`` has more to give

    def batches(self) -> Iterator[Array]:
        """Yield full batches of good images [b, 3, h, w]; pause, by ending, after a batch with HELD bad ones."""
        self._open = True  # before anybody asks, or an encoder that never does would be called for ever
        return self._fill()

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
                item.outcome = _failed(item.outcome, NOT_FINITE, "broken")

    def ready(self) -> Iterator[Row]:
        """Yield the rows, in order, up to the first whose vector is still to come."""
        while self._rows and not self._rows[0].pending:
            item = self._rows.popleft()
            yield item.outcome, item.vector

    def check_answered(self) -> None:
        """Raise Miscounted if the encoder stopped before it had taken and answered every batch."""
        if self._asked:
            raise _miscounted(f"the encoder returned no vectors for {sum(map(len, self._asked))} images")
        if self._open:
            raise _miscounted("the encoder stopped before it had taken every batch")

    def _fill(self) -> Iterator[Array]:
        good: list[Prepared] = []
        bad = 0
        for item in self._decoded:
            self._rows.append(item)
            if item.pixels is None:
                bad += 1
            else:
                good.append(item)
            if len(good) == self._batch_size:
                yield self._ask(good)
                good, bad = [], 0
            elif bad == HELD:
                break
        else:
            self.more = False
        if good:
            yield self._ask(good)
        self._open = False

    def _ask(self, batch: list[Prepared]) -> Array:
        import numpy

        pixels = numpy.stack([item.pixels for item in batch if item.pixels is not None])
        for item in batch:
            item.pixels = None
        self._asked.append(batch)
        return pixels


def prepare(recipe: Recipe, number: int, path: str) -> Prepared:
    """Decode one file and bring it to pixels; whatever is wrong with it is in the outcome."""
    outcome = Outcome(id=number, image_path=printable(path), status="done")
    try:
        data = _read(path)
        outcome = replace(outcome, sha256=hashlib.sha256(data).hexdigest())
        picture = decode(data)
        notes = (*picture.notes, *_turned(recipe, picture))
        outcome = replace(outcome, width=picture.width, height=picture.height, notes=notes)
        return Prepared(outcome, pixels=recipe.array(picture))
    except TooLarge as error:
        return Prepared(_failed(outcome, str(error), "too_large"))
    except ImageError as error:
        return Prepared(_failed(outcome, str(error), "broken" if Path(path).exists() else "missing"))


def _read(path: str) -> bytes:
    """Read a file; raise ImageError, worded by ``decode``, for a path that is none."""
    try:
        if Path(path).is_file():  # reading a pipe would wait for ever
            return Path(path).read_bytes()
    except OSError:
        pass
    decode(path)
    raise ImageError(f"{path!r} could not be read at first, and then it could", todo="run again")


def _turned(recipe: Recipe, picture: Picture) -> tuple[str, ...]:
    if picture.orientation == 1:
        return ()
    what = "applied" if recipe.apply_orientation else "not applied"
    return (f"EXIF orientation {picture.orientation} {what}, as the recipe says",)


def _failed(outcome: Outcome, message: str, status: Status) -> Outcome:
    return replace(outcome, status=status, error_message=message)


def _miscounted(seen: str) -> Miscounted:
    return Miscounted(seen, expected="one vector for each image, in order", todo="take another --runtime")


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[tuple[int, str]], T], items: Iterable[tuple[int, str]], *, depth: int
) -> Iterator[T]:
    """Map ``work`` over ``items`` in order, with at most ``depth`` of them under way or waiting to be taken."""
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
