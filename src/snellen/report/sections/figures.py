"""Figures of a card as they are printed, the same in every language: enough digits to be compared, units in headers.

In: numbers and None. Out: words; a dash where there is no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NONE = "-"
DIGITS = 4  # that count
LARGEST, SMALLEST = 1e5, 1e-3  # figures between the two are written without an exponent
MOST = 17  # digits that tell any two numbers apart
COSINE = 10  # digits behind the point; nearer to 1 than that is what float32 leaves
KIB, MIB, GIB = 2**10, 2**20, 2**30


def number(value: float | None, digits: int = DIGITS) -> str:
    """Return a figure with ``digits`` digits that count."""
    if value is None:
        return NONE
    size = abs(value)
    if size == 0:
        return "0"
    if size < SMALLEST or size >= LARGEST * 1e10:
        return scientific(value, digits)
    whole = len(f"{size:.0f}") if size >= 1 else 0
    if whole >= digits:
        return f"{value:,.0f}"
    shown = f"{value:#.{digits}g}"
    return scientific(value, digits) if "e" in shown else shown


def scientific(value: float, digits: int = DIGITS) -> str:
    """Return a figure with an exponent: 1.234e-7."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def apart(value: float | None, limit: float | None) -> tuple[str, str]:
    """Return a figure and its limit in as many digits as it takes to tell them apart."""
    for digits in range(DIGITS, MOST + 1):
        shown = number(value, digits), number(limit, digits)
        if shown[0] != shown[1] or value == limit:
            return shown
    return repr(value), repr(limit)


def count(value: float | None) -> str:
    """Return a whole number in groups of three digits."""
    return NONE if value is None else f"{value:,.0f}"


def cosine(value: float | None) -> str:
    """Return a cosine; its distance from 1 stands beside it."""
    return NONE if value is None else f"{value:.{COSINE}f}"


def distance(value: float | None) -> str:
    """Return how far a cosine is from 1."""
    return NONE if value is None else number(1 - value)


def percent(share: float | None) -> str:
    """Return a share in per cent, without the sign, which stands in the header."""
    return NONE if share is None else f"{100 * share:.1f}"


def mib(size: float | None) -> str:
    """Return bytes in MiB."""
    return NONE if size is None else f"{size / MIB:,.1f}"


def gib(size: float | None) -> str:
    """Return bytes in GiB."""
    return NONE if size is None else f"{size / GIB:,.3f}"


def ms(value: float | None) -> str:
    """Return milliseconds, with a digit more than other figures: reports compare them."""
    return number(value, DIGITS + 1)


def giga(value: float | None) -> str:
    """Return operations or bytes a second, or operations, in 1e9 of them."""
    return NONE if value is None else number(value / 1e9)


def shape(sizes: Sequence[int]) -> str:
    """Return a shape as Python writes one."""
    return f"[{', '.join(map(str, sizes))}]"


def by(sizes: Sequence[int]) -> str:
    """Return sizes as ``256 x 256``."""
    return " x ".join(map(str, sizes))


def listed(values: Iterable[object]) -> str:
    """Return values, one after the other; a dash for none."""
    return ", ".join(map(str, values)) or NONE
