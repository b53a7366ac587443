"""The calibrated limits, declared here and nowhere else: what an error may be, given the reference's own.

limit = FACTOR x the reference's error + the rounding of the golden itself to the dtype asked for (of a float32
candidate that is expected in a half class: to that class).
"""

from __future__ import annotations

from collections.abc import Iterable

from snellen.records.verify import Error

FACTOR = {"float32": 4.0, "hf32": 2.0, "float16": 2.0, "bfloat16": 2.0}
"""By precision class: how far a candidate's error may exceed that of the trusted run.

In float32 nothing but the order of additions and the last bits of elementary functions differ between two correct
implementations. Adding one by one, as a plain GPU kernel does, gives 2.7 times the error of a CPU's blocked sums over
1536 terms and 4.4 times over 4096 (docs/log.md), for a product alone; a block also rounds elsewhere, which both share.
In the lower classes the operands' rounding dominates, which is the same rounding everywhere. Others who hold two errors
against each other allow as much: torch._dynamo's ``same`` 2 in float32 and 3 in half precision, msprobe and CANN 2, 1.5
or 1.2 (of the mean error, by kind of operator).
"""

ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""What rounding one number to the class costs at most. In these classes results may be rounded as well as operands,
also those of stages that multiply nothing."""

TOKEN = 1.5
"""How much wider the limit of the worst token is: the largest of many errors scatters more than their mean."""

NOISY = 0.1
"""A reference further than this from the golden can judge nothing."""


def limit(reference: Error, rounding: Error, precision: str) -> Error:
    """Return the limits of one output or stage; None where the reference is not finite."""
    factor, least = FACTOR[precision], ROUNDOFF.get(precision, 0.0)
    return Error(
        frobenius=_limit(factor, reference.frobenius, rounding.frobenius, least),
        token=_limit(factor * TOKEN, reference.token, rounding.token, least),
    )


def shown(stages: Iterable[tuple[str, Error, bool]]) -> dict[str, Error]:
    """Return the reference's error of every stage that a candidate shows, from (name, reference's error, shown).

    A stage that it does not show is made together with the next one, to whose reference it adds.
    """
    references: dict[str, Error] = {}
    before: list[Error] = []
    for name, reference, is_shown in stages:
        before.append(reference)
        if is_shown:
            references[name] = together(before)
            before = []
    return references


def ratio(error: Error, allowed: Error) -> float | None:
    """Return the larger ratio of an error to its limit, at most 1 where it passes; None where one is not finite."""
    pairs = ((error.frobenius, allowed.frobenius), (error.token, allowed.token))
    ratios = [_ratio(found, most) for found, most in pairs]
    return None if None in ratios else max(r for r in ratios if r is not None)


def together(errors: Iterable[Error]) -> Error:
    """Add up the errors of stages that a candidate makes in one; None where one is not finite."""
    found = list(errors)

    def total(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return Error(frobenius=total([e.frobenius for e in found]), token=total([e.token for e in found]))


def wider(allowed: Error, found: Error) -> Error:
    """Return the larger of a limit and a candidate's own error, for comparing it with itself."""

    def larger(a: float | None, b: float | None) -> float | None:
        return b if a is None else a if b is None else max(a, b)

    return Error(frobenius=larger(allowed.frobenius, found.frobenius), token=larger(allowed.token, found.token))


def within(error: Error, allowed: Error) -> bool:
    """Tell whether an error is finite and within its limits."""
    found = ratio(error, allowed)
    return found is not None and found <= 1


def _limit(factor: float, reference: float | None, rounding: float | None, least: float) -> float | None:
    return None if reference is None or rounding is None else factor * reference + max(rounding, least)


def _ratio(found: float | None, most: float | None) -> float | None:
    if found is None or most is None:
        return None
    if most == 0:
        return 0.0 if found == 0 else 1e300  # exact was required, and is not met
    return found / most
