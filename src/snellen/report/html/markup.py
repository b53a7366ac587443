"""Markup that escapes by itself: what is not ``Markup`` is text, whatever letters it holds.

In: names, attributes and children. Out: HTML and SVG elements. No other module of the page writes an angle bracket.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from unicodedata import bidirectional

EMPTY = frozenset({"img", "meta", "wbr", "circle", "line", "path", "rect"})  # elements without content
SHAPES = frozenset({"circle", "line", "path", "rect"})  # those of them that stand in drawings
PAUSES = "._/-"  # after these a long name may go on in the next line
LONG = 20  # letters
RIGHT_TO_LEFT = ("R", "AL", "AN")
Attributes = Mapping[str, "str | int | float | None"]


class Markup(str):
    """Text that is markup already, and is not escaped again."""

    __slots__ = ()


def element(name: str, attributes: Attributes | None = None, *children: str) -> Markup:
    """Return an element; attributes that are None are left out, children that are no ``Markup`` are escaped."""
    given = "".join(f' {key}="{_value(value)}"' for key, value in (attributes or {}).items() if value is not None)
    if name in EMPTY:
        return Markup(f"<{name}{given}{'/>' if name in SHAPES else '>'}")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[str], between: str = "") -> Markup:
    """Return children one after another, escaped where they are text."""
    return Markup(between.join(child if isinstance(child, Markup) else clean(child) for child in children))


def clean(text: str) -> Markup:
    """Return text as markup."""
    return Markup(escape(clean_text(text)))


def clean_text(text: str) -> str:
    """Return text without control letters and those that turn the direction of others."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def words(text: str) -> Markup:
    """Return text of a page; what is written from right to left does not reorder what stands beside it."""
    turned = any(bidirectional(letter) in RIGHT_TO_LEFT for letter in text)
    return element("bdi", None, text) if turned else clean(text)


def name(text: str) -> Markup:
    """Return a name that programs read, in type of its own."""
    return element("code", None, breaking(text))


def breaking(text: str) -> Markup:
    """Return a name that, where it is long, may be broken between its parts."""
    if len(text) <= LONG:
        return clean(text)
    apart = "".join(f"{letter}\n" if letter in PAUSES else letter for letter in clean_text(text))
    return joined(apart.rstrip("\n").split("\n"), "<wbr>")


def lines(text: str) -> Markup:
    """Return text of several lines as markup, its line breaks and indents kept."""
    return joined(text.splitlines(), "\n")


def number(value: float) -> str:
    """Return a coordinate with one decimal; one that is not finite would draw nothing, and is refused."""
    assert math.isfinite(value), value
    return f"{value:.1f}".removesuffix(".0").replace("-0.0", "0")


def _value(value: str | int | float | None) -> str:
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, Markup) else escape(clean_text(str(value)))
