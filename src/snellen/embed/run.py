"""The loop from paths to vectors: decode ahead, batch, encode, give back in order.

In: a model and paths. Out: for every path, in order, its outcome and its vector [D], or None where there is no vector.
One bad image neither stops nor shifts the others, and memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from snellen.embed.inputs import printable
from snellen.errors import ImageError, TooLarge
from snellen.images import Picture, decode
from snellen.records import Outcome, Status

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray
    from torch import Tensor

    Vector = NDArray[float32]
    Row = tuple[Outcome, NDArray[float32] | None]

T = TypeVar("T")

NOT_FINITE = "the encoder returned values that are not finite\n  next: --dtype float32"


class Recipe(Protocol):
    """What turns a picture into pixels."""

    @property
    def apply_orientation(self) -> bool:
        """Whether the EXIF orientation is applied."""

    def pixels(self, picture: Picture) -> Tensor:
        """Return the pixels [3, h, w] that the encoder takes."""


class Embeds(Protocol):
    """What the loop needs of a model."""

    @property
    def recipe(self) -> Recipe:
        """What turns a picture into pixels."""

    def embed_pixels(self, pixels: Tensor) -> NDArray[float32]:
        """Encode pixels [B, 3, h, w] to vectors [B, D]."""


@dataclass(slots=True)
class Prepared:
    """One input, decoded, or the outcome that says why not."""

    outcome: Outcome
    pixels: Tensor | None = None
    vector: Vector | None = None


def embed(model: Embeds, paths: Iterable[str], *, batch_size: int = 16, workers: int = 2) -> Iterator[Row]:
    """Yield the outcome and the vector of every path, in the order of ``paths``.

    ``workers`` threads decode while the encoder computes; at most two batches and a few images more are in memory.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        numbered = enumerate(paths)
        ahead = _ahead(pool, lambda item: prepare(model.recipe, *item), numbered, depth=batch_size + workers)
        try:
            while batch := list(islice(ahead, batch_size)):
                encode(model, batch)
                for item in batch:
                    yield item.outcome, item.vector
        finally:
            pool.shutdown(cancel_futures=True)


def prepare(recipe: Recipe, number: int, path: str) -> Prepared:
    """Decode one file and bring it to pixels; whatever is wrong with it is in the outcome."""
    outcome = Outcome(id=number, image_path=printable(path), status="done")
    try:
        data = _read(path)
        outcome = replace(outcome, sha256=hashlib.sha256(data).hexdigest())
        picture = decode(data)
        notes = (*picture.notes, *_turned(recipe, picture))
        outcome = replace(outcome, width=picture.width, height=picture.height, notes=notes)
        return Prepared(outcome, pixels=recipe.pixels(picture))
    except TooLarge as error:
        return Prepared(_failed(outcome, str(error), "too_large"))
    except ImageError as error:
        return Prepared(_failed(outcome, str(error), "broken" if Path(path).exists() else "missing"))


def encode(model: Embeds, batch: list[Prepared]) -> None:
    """Fill in the vectors of those in ``batch`` that have pixels."""
    import numpy
    import torch

    good = [item for item in batch if item.pixels is not None]
    if not good:
        return
    vectors = model.embed_pixels(torch.stack([item.pixels for item in good if item.pixels is not None]))
    for item, vector in zip(good, vectors, strict=True):
        if numpy.isfinite(vector).all():
            item.vector = vector
        else:
            item.outcome = _failed(item.outcome, NOT_FINITE, "broken")


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
