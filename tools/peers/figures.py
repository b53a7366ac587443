"""Figures made of the raw samples of one encoder's run; None where something was not measured.

A run may hold earlier ones, of cases that it did not measure again: what is put in relation is of one and the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from peers.cases import APART, BASELINE
from snellen.records.timing import Ratio, ratio
from snellen.verification import likeness

Raw = dict[str, Any]


def runs(run: Raw) -> Iterator[Raw]:
    """Yield a run and those before it, the newest first."""
    yield run
    yield from run.get("earlier", ())


def cases(run: Raw) -> Raw:
    """Return the newest of every case."""
    return {name: case for one in reversed(list(runs(run))) for name, case in one["cases"].items()}


def holding(run: Raw, *names: str) -> Raw | None:
    """Return the newest run that measured all of ``names``; None where one of them could not be measured since."""
    for one in runs(run):
        if any("error" in one["cases"].get(name, {}) for name in names):
            return None
        values = one.get("table", {}).get("values")
        if values and all(name in value for name in names for value in values):
            return one
    return None


def over(run: Raw, name: str, under: str = BASELINE) -> Ratio | None:
    """Return one case over another; None where either was not measured."""
    found = holding(run, name, under)
    if found is None:
        return None
    values = found["table"]["values"]
    return ratio(tuple(value[name] for value in values), tuple(value[under] for value in values))


def rate(run: Raw, name: str) -> float | None:
    """Return the median rate of a case, or None."""
    found = holding(run, name)
    return median(value[name] for value in found["table"]["values"]) if found else None


def ceiling(run: Raw, dtype: str) -> float | None:
    """Return the best operations a second of a run."""
    return max((found["operations_per_s"] for found in run.get("ceilings", {}).get(dtype, ())), default=None)


def share(run: Raw, name: str) -> float | None:
    """Return how much of its dtype's ceiling a case reaches."""
    found = holding(run, name)
    top = ceiling(found, name.rpartition(" ")[2]) if found else None
    images = rate(run, name)
    if found is None or images is None or top is None:
        return None
    return float(images * found["cases"][name]["operations"] / top)


@dataclass(frozen=True, slots=True)
class Agreement:
    """A case's vectors beside those of timm in float32, for the same pixels."""

    dtype: str
    pictures: int
    apart: float  # norm of the difference over the norm of timm's
    least: float  # cosine
    middle: float  # cosine
    gain: float  # of the scale
    nearest: float  # share of pictures whose nearest other one is the same

    @property
    def holds(self) -> bool:
        """Whether both are the same thing, up to what the dtype may do."""
        if self.dtype in APART:
            return self.apart < APART[self.dtype]
        angles = self.middle >= likeness.COSINE_MEDIAN and self.least >= likeness.COSINE_WORST_IMAGE
        return angles and abs(self.gain) <= likeness.GAIN


def agreement(run: Raw, name: str) -> Agreement | None:
    """Compare a case with timm in float32; None where one of them gave no vectors."""
    known = cases(run)
    ours, theirs = (known.get(each, {}).get("vectors") for each in (name, BASELINE))
    if not ours or not theirs or len(ours) != len(theirs) or len(ours[0]) != len(theirs[0]):
        return None
    pairs = list(zip(ours, theirs, strict=True))
    cosines = [cosine(a, b) for a, b in pairs]
    square = sum(dot(b, b) for _, b in pairs)
    difference = sum((x - y) ** 2 for a, b in pairs for x, y in zip(a, b, strict=True))
    same = sum(a == b for a, b in zip(nearest(ours), nearest(theirs), strict=True))
    return Agreement(
        dtype=name.rpartition(" ")[2],
        pictures=len(ours),
        apart=(difference / square) ** 0.5,
        least=min(cosines),
        middle=median(cosines),
        gain=sum(dot(a, b) for a, b in pairs) / square - 1,
        nearest=same / len(ours),
    )


def shown(run: Raw, *names: str) -> bool:
    """Tell whether all of these cases were seen to compute what timm does."""
    found = [agreement(run, name) for name in names]
    return all(each is not None and each.holds for each in found)


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine of two vectors."""
    return dot(a, b) / (dot(a, a) * dot(b, b)) ** 0.5


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the inner product."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def nearest(rows: Sequence[Sequence[float]]) -> list[int]:
    """Return for each vector which other one is most like it."""
    others = range(len(rows))
    return [max((j for j in others if j != i), key=lambda j, i=i: cosine(rows[i], rows[j])) for i in others]


def ended(case: Raw) -> Ratio | None:
    """Return how much of what decoding and model allow together is reached, round by round."""
    values = case.get("table", {}).get("values")
    if not values or "error" in case:
        return None
    allowed = tuple(1 / (1 / value["decode"] + 1 / value["model"]) for value in values)
    return ratio(tuple(value["end"] for value in values), allowed)
