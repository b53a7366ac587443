"""The verdict on a sample that was embedded again.

In: a record, which may have been read from a file. Out: pass, fail or inconclusive, and why. The order of questions:
was anything compared, could this run have told vectors apart, are all within the limits of the store's precision class.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from snellen.records.search import (
    ControlRecord,
    LimitsRecord,
    MixingRecord,
    MixingVerdict,
    PairRecord,
    Summary,
)
from snellen.records.verify import Check
from snellen.search import limits as classes

NAMED = 3
"""Images that a finding names."""

ALIKE = 0.9
"""Share of neighbours below which it is said that searches would change."""


def judge(record: MixingRecord) -> MixingVerdict:
    """Judge a record by the limits of the store's dtype."""
    limits = classes.of(record.identity.dtype)
    distances = [pair.distance for pair in record.pairs]
    checks = tuple(_check(control, limits) for control in record.controls)
    outcome: Literal["pass", "fail", "inconclusive"] = "inconclusive"
    blind = [check for check in checks if check.status != "pass"]
    if not record.pairs:
        because = f"nothing was compared: {_left_out(record) or 'the store has no such rows'}"
    elif blind or not checks:
        because = "; ".join(check.because for check in blind) or "no control could be made"
        because = f"this run cannot tell vectors apart: {because}"
    elif classes.within(limits, distances):
        outcome, because = "pass", _passed(record, limits)
    else:
        outcome, because = "fail", _failed(record, limits)
    return MixingVerdict(
        outcome=outcome,
        because=because,
        findings=tuple(_findings(record, limits)),
        limits=limits,
        precision=limits.precision if classes.within(limits, distances) else classes.met(distances),
        summary=summary(record.pairs) if record.pairs else None,
        checks=checks,
    )


def summary(pairs: Sequence[PairRecord]) -> Summary:
    """Return the figures of all pairs together."""
    distances = [pair.distance for pair in pairs]
    relative, cosine = [one.relative for one in distances], [one.cosine for one in distances]
    return Summary(
        max_abs=_all(max, (one.max_abs for one in distances)),
        relative_median=_all(statistics.median, relative),
        relative_worst=_all(max, relative),
        cosine_median=_all(statistics.median, cosine),
        cosine_worst=_all(min, cosine),
        neighbours=_all(statistics.fmean, (pair.neighbours for pair in pairs)),
    )


def _all(of: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    """Return a figure of all values, None where one of them is missing."""
    found = list(values)
    known = [value for value in found if value is not None]
    return of(known) if len(known) == len(found) else None


def is_told_apart(control: ControlRecord, limits: LimitsRecord) -> bool:
    """Tell whether vectors that are not those of the store are refused, by the median alone: most of them must be."""
    median = _all(statistics.median, (one.relative for one in control.distances)) if control.distances else 0.0
    return median is None or median > limits.relative_median


def _check(control: ControlRecord, limits: LimitsRecord) -> Check:
    """Judge a control."""
    if not control.distances:
        return Check(name=control.name, status="unknown", because=control.what)
    apart = is_told_apart(control, limits)
    because = f"{control.what} {'are told apart' if apart else 'pass for those of the store'}"
    return Check(
        name=control.name,
        status="pass" if apart else "fail",
        because=because,
        value=_all(statistics.median, (one.relative for one in control.distances)),
        limit=limits.relative_median,
    )


def _passed(record: MixingRecord, limits: LimitsRecord) -> str:
    found = summary(record.pairs)
    left = f" ({_left_out(record)})" if record.left_out else ""
    return (
        f"{len(record.pairs)} of {record.drawn} images{left} were embedded again, and differ by "
        f"{found.relative_median:.2g} in the median and {found.relative_worst:.2g} at most, "
        f"as two runs in {limits.precision} do"
    )


def _failed(record: MixingRecord, limits: LimitsRecord) -> str:
    found, count = summary(record.pairs), len(record.pairs)
    if found.relative_worst is None or found.relative_median is None:
        odd = sum(pair.distance.relative is None for pair in record.pairs)
        return f"{odd} of {count} images have a vector that is not finite, or of length 0, here or in the store"
    beyond = sum((pair.distance.relative or 0.0) > limits.relative_worst for pair in record.pairs)
    what = f"they differ by {found.relative_median:.2g} in the median, and {found.relative_worst:.2g} at most"
    allowed = f"{limits.relative_median:.2g} in the median and {limits.relative_worst:.2g} for one"
    return (
        f"{beyond} of {count} images lie too far apart: {what}; two runs in {limits.precision} may differ by {allowed}"
    )


def _findings(record: MixingRecord, limits: LimitsRecord) -> Iterator[str]:
    """Yield what explains the outcome, and what else is worth knowing."""
    distances = [pair.distance for pair in record.pairs]
    beyond = [pair for pair in record.pairs if not _near(pair, limits.relative_worst)]
    precision, same = classes.met(distances), record.model.dtype == record.identity.dtype
    if same and precision is not None and not classes.within(limits, distances):
        yield f"they lie as far apart as {precision} makes them: look at the precision switches of both devices"
    swapped = [pair for pair in beyond if pair.like is not None]
    if swapped:
        pairs = ", ".join(f"{pair.path} has the vector of row {pair.like}" for pair in swapped[:NAMED])
        yield f"{len(swapped)} vectors belong to other rows of the store: {pairs}"
    straight = [pair for pair in beyond if 1 - (pair.distance.cosine or 0.0) < limits.relative_median**2]
    if beyond and len(straight) == len(beyond):
        yield "they point the same way and differ in length alone: one side is brought to another length"
    yield from _runs(record, beyond)
    if not same:
        yield (
            f"they were made in {record.model.dtype}, the store in {record.identity.dtype}: snellen embed keeps one "
            f"dtype in a store, whatever the figures say"
        )
    found = summary(record.pairs).neighbours if record.pairs else None
    if found is not None and found < ALIKE:
        yield f"searches change: {found:.0%} of the nearest rows stay the same in the mean"
    for why, count in Counter(one.why for one in record.left_out).items():
        named = ", ".join(one.path for one in record.left_out if one.why == why)
        yield f"{count} {why}, not compared: {named if count <= NAMED else named.split(', ')[0] + ', ...'}"


def _runs(record: MixingRecord, beyond: Sequence[PairRecord]) -> Iterator[str]:
    """Yield which runs of the store the images beyond the limit are of, where it is not all of them."""
    every, wrong = Counter(pair.run for pair in record.pairs), Counter(pair.run for pair in beyond)
    if wrong and set(wrong) != set(every):
        yield "all of them are of run " + ", ".join(f"{run} ({wrong[run]} of {every[run]})" for run in sorted(wrong))


def _near(pair: PairRecord, limit: float) -> bool:
    return pair.distance.relative is not None and pair.distance.relative <= limit


def _left_out(record: MixingRecord) -> str:
    counts = Counter(one.why for one in record.left_out)
    return ", ".join(f"{count} {why}" for why, count in counts.items())
