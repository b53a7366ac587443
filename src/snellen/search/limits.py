"""How far two runs of one encoder may lie apart, by the precision class of the store; declared here and nowhere else.

In: the distances of many images. Out: whether they are within the limits of a class, and of which class they are.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from snellen.errors import UnknownName
from snellen.records.search import Distance, LimitsRecord

LIMITS = {
    "float64": (1e-6, 2e-6),
    "float32": (1e-5, 4e-5),
    "hf32": (2e-3, 6e-3),
    "float16": (2.5e-3, 7.5e-3),
    "bfloat16": (3e-2, 6e-2),
    "int8": (0.1, 0.14),
}
"""By class, from the finest: the median and the largest of all images' differences, as parts of the vector's length.

Two healthy runs, measured on encoders of full size with drawn weights (docs/using-a-store.md): float32 in two runtimes
2.6e-7 and 7.1e-7; hf32 4.1e-4 from float64, and 9.7e-4 where a device cuts off instead of rounding; bfloat16 in two
runtimes 5.0e-3 and 9.4e-3, so that float16, which keeps three bits more, is at 1.2e-3; int8 2.0e-2 and 2.6e-2 from
float64. A vector that is stored has float32's digits, whatever made it. Trained weights have channels far larger than
the rest, and other devices add in another order, so that an order of magnitude is left in float32 and a factor of two
to three in the lower classes; the next class lies beyond: hf32 in the patch convolution alone moves a class token by
6.6e-5. An image's own limit is wider, as the largest of many is. For int8 the limits are those of a verdict on 8 bits:
cosines of 0.995 and 0.99.
"""

NAMES = tuple(LIMITS)


def of(precision: str) -> LimitsRecord:
    """Return the limits of a class; raise UnknownName for any other."""
    if precision not in LIMITS:
        raise UnknownName("precision class", precision, NAMES, todo=f"one of {', '.join(NAMES)}")
    median, worst = LIMITS[precision]
    return LimitsRecord(precision=precision, relative_median=median, relative_worst=worst)


def within(limits: LimitsRecord, distances: Sequence[Distance]) -> bool:
    """Tell whether all of some distances are known and within limits; of none at all nothing is known."""
    known = [one.relative for one in distances if one.relative is not None]
    if not known or len(known) < len(distances):
        return False
    return statistics.median(known) <= limits.relative_median and max(known) <= limits.relative_worst


def met(distances: Sequence[Distance]) -> str | None:
    """Return the finest class whose limits hold; None where none does."""
    return next((name for name in NAMES if within(of(name), distances)), None)
