"""One input to pixels, or to the outcome that says why not.

In: an input that was listed, with its id and the part it is in. Out: ``Prepared``: its outcome, and its pixels where it
is to be encoded. Runs in many threads at once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from snellen.embed.sources import Data, Missing
from snellen.errors import ImageError, TooLarge
from snellen.images import Picture, decode
from snellen.records import Outcome, Status
from snellen.records.inputs import Input

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Pixels = NDArray[Any]  # [3, h, w]
    Vector = NDArray[float32]  # [D]


@dataclass(frozen=True, slots=True)
class Task:
    """One input to embed: its id, and the part it is in."""

    id: int
    input: Input
    part: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """Stands behind the last task of a part."""

    part: int


class Recipe(Protocol):
    """What turns a picture into pixels."""

    @property
    def apply_orientation(self) -> bool:
        """Whether the EXIF orientation is applied."""

    def at_least(self, height: int, width: int) -> tuple[int, int] | None:
        """Return how small, in (height, width), a file of so many pixels may be decoded; None: in full."""

    def array(self, picture: Picture) -> Pixels:
        """Return the pixels [3, h, w] that the encoder takes."""


@dataclass(slots=True)
class Prepared:
    """One input, decoded, or the outcome that says why not; its pixels go when they are in a batch."""

    outcome: Outcome
    part: int = 0
    pixels: Pixels | None = None
    vector: Vector | None = None
    read_s: float = 0.0
    decode_s: float = 0.0

    @property
    def pending(self) -> bool:
        """Whether its vector is still to come."""
        return self.outcome.status == "done" and self.vector is None


@dataclass(frozen=True, slots=True)
class Preparing:
    """How inputs are brought to pixels: who reads them, and by which recipe.

    ``known`` returns the id of a row, of an earlier run, that has these bytes and a vector: they are not decoded again.
    """

    recipe: Recipe
    read: Callable[[Input], Data]
    known: Callable[[int, str], int | None] | None = None

    def __call__(self, task: Task) -> Prepared:
        """Prepare one input; whatever is wrong with it is in the outcome."""
        item = Prepared(Outcome(id=task.id, image_path=task.input.path, status="done"), part=task.part)
        begin = between = time.perf_counter()
        try:
            data = self.read(task.input)
            between = time.perf_counter()
            sha256 = hashlib.sha256(data.content).hexdigest()
            item.outcome = replace(item.outcome, sha256=sha256, file_size=data.size, modified_ns=data.modified_ns)
            known = None if self.known is None else self.known(task.part, sha256)
            if known is None:
                self._decode(item, data.content)
            else:
                item.outcome = replace(item.outcome, status="already_present", same_as=known)
        except TooLarge as error:
            item.outcome = failed(item.outcome, str(error), "too_large")
        except Missing as error:
            item.outcome = failed(item.outcome, str(error), "missing")
        except ImageError as error:
            item.outcome = failed(item.outcome, str(error), "broken")
        item.read_s, item.decode_s = between - begin, time.perf_counter() - between
        return item

    def _decode(self, item: Prepared, content: bytes) -> None:
        picture = decode(content, at_least=self.recipe.at_least)
        notes = (*picture.notes, *_turned(self.recipe, picture))
        item.outcome = replace(item.outcome, width=picture.width, height=picture.height, notes=notes)
        item.pixels = self.recipe.array(picture)


def failed(outcome: Outcome, message: str, status: Status) -> Outcome:
    """Return the outcome of an input that cannot be embedded."""
    return replace(outcome, status=status, error_message=message)


def _turned(recipe: Recipe, picture: Picture) -> tuple[str, ...]:
    if picture.orientation == 1:
        return ()
    what = "applied" if recipe.apply_orientation else "not applied"
    return (f"EXIF orientation {picture.orientation} {what}, as the recipe says",)
