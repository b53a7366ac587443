"""The nearest rows of many, exactly: those whose vectors have the largest cosine with a query.

In: queries, and the rows of a store in pieces of any size and in any order. Out: ids and cosines, the largest first, of
equal ones the smaller id first. They do not depend on the pieces. Memory is that of one piece and of what was found.

A cosine is the dot product, summed in float64, of two vectors that were brought to length 1 in float64 and rounded to
float32. All rows are looked at in float32, which is fast; those that its rounding might have put in the wrong place are
looked at again in float64.

n rows, q queries, D width, k found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snellen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float32, float64, int64
    from numpy.typing import NDArray

    Vectors = NDArray[float32]

BLOCK = 1 << 24
"""Cosines computed at once: 64 MB of float32."""

ROUNDOFF = 2.0**-24
"""Of float32. Each of the D additions and products of a cosine may lose as much of it, in whatever order they come."""

AT_ONCE = 1 << 17
"""Numbers that are brought to float64 at once: 1 MB, which stays in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest rows of one query, the nearest first."""

    ids: NDArray[int64]  # [k], or fewer where there are no more
    scores: NDArray[float64]  # cosines


def unit(vectors: Any) -> Vectors:
    """Return vectors [n, D] brought to length 1 in float64, as float32; one of nothing but zeros stays so.

    Raises UsageError for another shape, and for numbers that are not finite: those have no direction.
    """
    import numpy

    given = numpy.asarray(vectors)
    if given.ndim != 2 or given.dtype.kind not in "fiu":
        raise UsageError(
            f"the vectors are an array of {given.dtype} and shape {list(given.shape)}",
            expected="numbers, one vector a row: [n, D]",
            todo="one vector alone is vector[None]",
        )
    with numpy.errstate(over="ignore"):  # what float32 cannot hold is infinite then, and refused below
        given = given.astype(numpy.float32, copy=False)
    made = numpy.empty(given.shape, numpy.float32)
    step = max(1, AT_ONCE // max(1, given.shape[1]))
    for start in range(0, len(given), step):
        piece = given[start : start + step].astype(numpy.float64)
        length = numpy.sqrt(numpy.einsum("ij,ij->i", piece, piece))[:, None]
        if not numpy.isfinite(length).all():
            seen = "a vector holds numbers that are not finite in float32"
            raise UsageError(seen, expected="finite numbers", todo="leave it out")
        piece /= numpy.where(length > 0, length, 1.0)
        made[start : start + step] = piece
    return made


class Best:
    """The best of all rows that were shown so far, for each of a few queries.

    ``queries`` [q, D] are unit vectors as ``unit`` makes them; ``without`` names for each an id that is passed over,
    or None.
    """

    def __init__(self, queries: Vectors, k: int, without: Sequence[int | None] | None = None) -> None:
        import numpy

        self._queries, self._k = queries, k
        self._exact = queries.astype(numpy.float64)
        self._without = list(without or [None] * len(queries))
        nothing = Nearest(numpy.empty(0, numpy.int64), numpy.empty(0, numpy.float64))
        self._best = [nothing] * len(queries)
        self._slack = queries.shape[1] * ROUNDOFF * 1.01  # of a cosine in float32, at most

    def add(self, ids: NDArray[int64], vectors: Vectors) -> None:
        """Show rows: their ids [n], and their unit vectors [n, D]."""
        step = max(1, BLOCK // max(1, len(self._queries)))
        for start in range(0, len(ids), step):
            self._add(ids[start : start + step], vectors[start : start + step])

    def found(self) -> list[Nearest]:
        """Return what is best for each query."""
        return list(self._best)

    def _add(self, ids: NDArray[int64], vectors: Vectors) -> None:
        for query, roughly in enumerate(self._queries @ vectors.T):  # [n] each
            self._best[query] = self._merged(query, ids, vectors, self._candidates(query, roughly))

    def _candidates(self, query: int, roughly: Vectors) -> NDArray[Any]:
        """Return the places of all rows that could be among the best, and of few others."""
        import numpy

        scores = self._best[query].scores
        least = float(scores[-1]) - self._slack if len(scores) == self._k else -numpy.inf
        wanted = self._k + (self._without[query] is not None)
        if len(roughly) > wanted:
            at = len(roughly) - wanted
            least = max(least, float(numpy.partition(roughly, at)[at]) - 2 * self._slack)
        return numpy.flatnonzero(roughly >= least)

    def _merged(self, query: int, ids: NDArray[int64], vectors: Vectors, places: NDArray[Any]) -> Nearest:
        """Return the best of those known and of the candidates, which are looked at in float64."""
        import numpy

        best = self._best[query]
        step = max(1, AT_ONCE // max(1, vectors.shape[1]))
        for start in range(0, len(places), step):
            some = places[start : start + step]
            # a sum along the last axis adds up each row in the same order, however many rows there are
            exactly = (vectors[some].astype(numpy.float64) * self._exact[query]).sum(axis=1)
            named = ids[some]
            kept = slice(None) if self._without[query] is None else named != self._without[query]
            every = numpy.concatenate([best.ids, named[kept]])
            scores = numpy.concatenate([best.scores, exactly[kept]])
            order = numpy.lexsort((every, -scores))[: self._k]
            best = Nearest(every[order], scores[order])
        return best
