"""Whether every row of a batch is that of its own image, at the batch and in the stream that are measured.

In: the images of the verification, and a runner that passed on them. Out: what is wrong, in words, or nothing. A
verified encoder can still hand back the rows of a stream in another order, or compute larger batches otherwise; and
what was right before it was measured need not have been computed while it was. The limits are those of the
verification.

n images, b batch, D width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from snellen.records.verify import Error
from snellen.runtimes import INT8
from snellen.timing.feed import Answer, fresh
from snellen.verification.limits import ratio
from snellen.verification.metrics import error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from snellen.runtimes.base import Runner
    from snellen.verification.glance import Glance

    Array = NDArray[np.float32]

BATCHES = 3
"""Batches that are looked at: more than one stream has under way at once, and each costs time."""

LIKE = Error(frobenius=0.15, token=0.15)
"""How far one row of 8 bits may lie from the golden's, relative to it: the angle of ``likeness.COSINE_WORST_IMAGE``."""


@dataclass(frozen=True)
class Images:
    """Pixels [n, 3, h, w] of at least two different images, and what a glance knows of them."""

    pixels: Array
    glance: Glance

    def order(self, batch: int, shift: int) -> NDArray[np.intp]:
        """Return which image stands in each row of a batch."""
        return (np.arange(batch) + shift) % len(self.pixels)

    def batches(self, batch: int, count: int = 2) -> list[Array]:
        """Return batches [b, 3, h, w]; each begins with another image than the one before."""
        return [self.pixels[self.order(batch, shift)] for shift in range(count)]

    def misplaced(self, runner: Runner, batch: int, dtype: str) -> str | None:
        """Return what is wrong with the rows of a stream of batches that it has not seen; None where nothing is."""
        given = (fresh(pixels) for pixels in self.batches(batch, BATCHES))
        found = [torch.as_tensor(rows) for rows in runner.vectors(given)]
        if [len(rows) for rows in found] != [batch] * BATCHES:
            return f"{BATCHES} batches of {batch} gave {[len(rows) for rows in found]} rows"
        for number, rows in enumerate(found):
            far = self._far(rows, self.order(batch, number), dtype)
            if far:
                return f"batch {number} of a stream in batches of {batch} is not that of its images: {far}"
        return None

    def wrong(self, answers: Iterable[Answer], batch: int, dtype: str) -> str | None:
        """Return what is wrong with what a runner gave while it was measured; None where nothing is.

        The rows of the answers are numbered through ``batches(batch)``.
        """
        for answer in answers:
            shift, row = np.divmod(np.array(answer.rows), batch)
            far = self._far(torch.as_tensor(answer.vectors), (row + shift) % len(self.pixels), dtype)
            if far:
                return (
                    f"what it gave while it was measured, {len(answer.rows)} at once, is not that of its images: {far}"
                )
        return None

    def _far(self, rows: torch.Tensor, which: NDArray[np.intp], dtype: str) -> str:
        """Say how far rows [b, D] lie from those of the images that they belong to; nothing where that is allowed."""
        right = self.glance.golden["pooled"][which]  # [b, D]
        if rows.shape != right.shape:
            return f"of shape {list(rows.shape)}, not {list(right.shape)}"
        times = ratio(error(rows.float(), right), LIKE if dtype == INT8 else self.glance.limits[dtype]["pooled"])
        if times is None:
            return "not finite"
        return f"apart by {times:.3g} times what is allowed" if times > 1 else ""
