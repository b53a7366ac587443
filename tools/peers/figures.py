"""Figures made of the raw samples of one encoder's run; None where something was not measured."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from peers.cases import BASELINE
from snellen.records.timing import Ratio, ratio

Raw = dict[str, Any]


def over(run: Raw, name: str, under: str = BASELINE) -> Ratio | None:
    """Return one case over another; None where either was not measured."""
    values = run["table"]["values"]
    if not values or name not in values[0] or under not in values[0]:
        return None
    return ratio(tuple(value[name] for value in values), tuple(value[under] for value in values))


def rate(run: Raw, name: str) -> float | None:
    """Return the median rate of a case, or None."""
    found = [value[name] for value in run["table"]["values"] if name in value]
    return median(found) if found else None


def ceiling(run: Raw, dtype: str) -> float | None:
    """Return the best operations a second of a run."""
    return max((found["operations_per_s"] for found in run["ceilings"].get(dtype, ())), default=None)


def share(run: Raw, name: str) -> float | None:
    """Return how much of its dtype's ceiling a case reaches."""
    images, top = rate(run, name), ceiling(run, name.rpartition(" ")[2])
    return None if images is None or top is None else images * run["cases"][name]["operations"] / top


def agreement(run: Raw, name: str) -> tuple[float, float] | None:
    """Return the least cosine to snellen's float32 vectors, and the share of equal nearest neighbours."""
    ours, theirs = (run["cases"].get(each, {}).get("vectors") for each in (name, "snellen float32"))
    if ours is None or theirs is None:
        return None
    least = min(cosine(a, b) for a, b in zip(ours, theirs, strict=True))
    same = sum(a == b for a, b in zip(nearest(ours), nearest(theirs), strict=True))
    return least, same / len(ours)


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
    if not values:
        return None
    allowed = tuple(1 / (1 / value["decode"] + 1 / value["model"]) for value in values)
    return ratio(tuple(value["end"] for value in values), allowed)
