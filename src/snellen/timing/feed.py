"""What a runner is fed while it is timed: never the same bytes twice, and what the last batches gave is kept.

In: a few batches. Out: batches without end, of the same images. A runner that answers from memory, or no longer
computes at all, is fast and proves nothing. So every row differs from all that were handed out before, by one value
that is moved to a neighbouring number (which moves no output by as much as rounding does), and a batch that is handed
out again has another image in one of its rows. Whoever knows the right answers can judge those that were kept.

b batch, D width.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snellen.errors import CandidateError

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]

KEPT = 8
"""Batches at the end of a stream whose vectors are kept."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a runner gave for one batch."""

    rows: tuple[int, ...]  # which image stood in each, numbered through all batches that the feed was made from
    vectors: Array  # [b, D]


class Counter:
    """Numbers rows, so that no two are changed alike; it begins anywhere, for another process counts by itself."""

    def __init__(self) -> None:
        self.next = int.from_bytes(os.urandom(2), "little")

    def take(self, count: int) -> range:
        """Return that many numbers that were not taken before."""
        self.next += count
        return range(self.next - count, self.next)


_ROWS = Counter()


class Changed:
    """Pixels [b, 3, h, w] of which one value of each row is moved, another one each time."""

    def __init__(self, pixels: Array) -> None:
        import numpy as np

        self.pixels = np.array(pixels, dtype=np.float32, order="C")  # a copy
        self._bits = self.pixels.reshape(len(pixels), -1).view(np.int32)
        self._rows = np.arange(len(pixels))
        self._moved: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None
        self.change()

    def change(self, row: int = 0, image: Array | None = None) -> None:
        """Move values anew; put another image into a row, where one is given."""
        import numpy as np

        if self._moved is not None:
            at, by = self._moved
            self._bits[self._rows, at] -= by
        if image is not None:
            self.pixels[row] = image
        size = self._bits.shape[1]
        numbers = np.array(_ROWS.take(len(self._rows)))
        self._moved = at, by = numbers % size, (1 + numbers // size).astype(np.int32)
        self._bits[self._rows, at] += by  # neighbouring floats are neighbouring integers


def fresh(pixels: Array) -> Array:
    """Return pixels [b, 3, h, w] as no runner has seen them, and with the same right answers."""
    return Changed(pixels).pixels


class Feed:
    """Batches without end, until it is told to stop; a batch is handed out again only after its answer came back."""

    def __init__(self, pixels: Sequence[Array]) -> None:
        self.asked, self.ended = 0, False
        self.last: deque[Answer] = deque(maxlen=KEPT)
        self._pixels, self._batch = pixels, len(pixels[0])
        self._made = 0
        self._free: deque[tuple[Changed, list[int]]] = deque()
        self._out: deque[tuple[Changed, list[int]]] = deque()

    def __iter__(self) -> Iterator[Array]:
        while not self.ended:
            if self._made < len(self._pixels) or not self._free:
                held = self._another()
            else:
                held = self._again(*self._free.popleft())
            self.asked += 1
            self._out.append(held)
            yield held[0].pixels

    def take(self, vectors: Array) -> None:
        """Take in the vectors of the batch that was asked for longest ago. Raises CandidateError where there is none.

        They are not copied: what a runner overwrites later is wrong for everybody who keeps it.
        """
        if not self._out:
            raise CandidateError(f"the runner gave more batches than the {self.asked} it had asked for")
        held = self._out.popleft()
        self.last.append(Answer(tuple(held[1]), vectors))
        self._free.append(held)

    def _another(self) -> tuple[Changed, list[int]]:
        number = self._made % len(self._pixels)
        self._made += 1
        return Changed(self._pixels[number]), [number * self._batch + row for row in range(self._batch)]

    def _again(self, held: Changed, rows: list[int]) -> tuple[Changed, list[int]]:
        row = self.asked % self._batch
        rows[row] = (rows[row] + 1) % (len(self._pixels) * self._batch)
        batch, place = divmod(rows[row], self._batch)
        held.change(row, self._pixels[batch][place])
        return held, rows
