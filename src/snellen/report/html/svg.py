"""Shapes of plots: lines, marks and letters as SVG, and the drawing around them.

In: places, in units of the drawing. Out: markup. Colours and thicknesses are given by classes, so that the page's
style decides them for light, dark and paper; series differ in shape and dash too, never in colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snellen.report.html.markup import Attributes, Markup, element, joined, number
from snellen.report.html.scales import Scale

WIDTH = 360.0  # of every drawing: about that of a phone, where one unit is then one pixel
TICK = 4.0
LABEL = 14.0  # half of what a label takes

Place = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The part of a drawing in which values lie."""

    left: float = 44.0
    right: float = WIDTH - 8.0
    top: float = 26.0
    bottom: float = 190.0


def drawing(key: str, title: str, about: str, height: float, parts: Iterable[Markup]) -> Markup:
    """Return a drawing that says what it shows to those who cannot see it."""
    attributes: Attributes = {
        "viewBox": f"0 0 {number(WIDTH)} {number(height)}",
        "role": "img",
        "tabindex": 0,
        "aria-labelledby": f"{key}-title {key}-about",
    }
    heads = (element("title", {"id": f"{key}-title"}, title), element("desc", {"id": f"{key}-about"}, about))
    return element("svg", attributes, *heads, *parts)


def line(start: Place, end: Place, css: str) -> Markup:
    """Return a straight line."""
    (x1, y1), (x2, y2) = start, end
    return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": css})


def path(places: Sequence[Place], css: str, *, closed: bool = False) -> Markup:
    """Return a line through several places."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in places)
    return element("path", {"d": f"M{steps}{'Z' if closed else ''}", "class": css})


def dots(places: Iterable[Place], css: str) -> Markup:
    """Return many small dots as one path; those that fall together are drawn once."""
    apart = dict.fromkeys(f"M{number(x)} {number(y)}h0" for x, y in places)
    return element("path", {"d": "".join(apart), "class": f"dots {css}"})


def letters(at: Place, text: str, css: str = "", *, anchor: str = "start", turned: bool = False) -> Markup:
    """Return text that starts, ends or has its middle at a place; ``turned`` rises to the right."""
    x, y = at
    attributes: dict[str, str | float | None] = {
        "x": x,
        "y": y,
        "class": css or None,
        "text-anchor": None if anchor == "start" else anchor,
        "transform": f"rotate(-45 {number(x)} {number(y)})" if turned else None,
    }
    return element("text", attributes, text)


def rectangle(at: Place, size: Place, css: str) -> Markup:
    """Return a rectangle by its upper left corner and its size."""
    (x, y), (width, height) = at, size
    return element("rect", {"x": x, "y": y, "width": width, "height": height, "class": css})


def mark(shape: str, at: Place, css: str, size: float = 3.6) -> Markup:
    """Return a mark: disc, ring, square, diamond, triangle, cross or bar."""
    x, y = at
    if shape in ("disc", "ring"):
        return element("circle", {"cx": x, "cy": y, "r": size, "class": f"{shape} {css}"})
    corners, closed = SHAPES[shape]
    return path([(x + size * dx, y + size * dy) for dx, dy in corners], f"{shape} {css}", closed=closed)


SHAPES: dict[str, tuple[tuple[Place, ...], bool]] = {
    "square": (((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)), True),
    "diamond": (((0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)), True),
    "triangle": (((0.0, -1.1), (1.1, 0.9), (-1.1, 0.9)), True),
    "cross": (((-0.9, -0.9), (0.9, 0.9), (0.0, 0.0), (0.9, -0.9), (-0.9, 0.9)), False),
    "bar": (((0.0, -1.5), (0.0, 1.5)), False),
}


def rising(scale: Scale, frame: Frame, title: str, labels: Sequence[str]) -> Markup:
    """Return a vertical axis: rules across the frame, their labels at the left, and what it measures above them."""
    parts = [letters((0.0, 11.0), title, "what")]
    for tick, label in zip(scale.ticks, labels, strict=True):
        y = scale.at(tick)
        parts.append(line((frame.left, y), (frame.right, y), "rule"))
        parts.append(letters((frame.left - 5, y + 3.5), label, "tick", anchor="end"))
    return joined(parts)


def running(scale: Scale, frame: Frame, title: str, labels: Sequence[str]) -> Markup:
    """Return a horizontal axis below the frame; a label that is empty is a tick alone."""
    parts = [line((frame.left, frame.bottom), (frame.right, frame.bottom), "axis")]
    for tick, label in zip(scale.ticks, labels, strict=True):
        x = scale.at(tick)
        parts.append(line((x, frame.bottom), (x, frame.bottom + TICK), "axis"))
        if label:
            near = x + LABEL > WIDTH  # the middle of a label would lie so near the edge that its end is cut
            at = (WIDTH if near else x, frame.bottom + TICK + 10)
            parts.append(letters(at, label, "tick", anchor="end" if near else "middle"))
    parts.append(letters((frame.right, frame.bottom + TICK + 24), title, "what", anchor="end"))
    return joined(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a legend: how a series is drawn, and what it is."""

    shape: str  # of its marks; "line", "upright" or "area" where it has none
    css: str
    text: str


def legend(entries: Iterable[Key]) -> Markup:
    """Return a legend as a list, which wraps where a drawing could not."""
    return element("ul", {"class": "legend"}, *(element("li", None, _swatch(key), key.text) for key in entries))


def _swatch(key: Key) -> Markup:
    middle = (11.0, 6.0)
    if key.shape == "area":
        inner = rectangle((1.0, 1.5), (20.0, 9.0), key.css)
    elif key.shape == "upright":
        inner = line((11.0, 0.0), (11.0, 12.0), key.css)
    elif key.shape == "line":
        inner = line((0.0, 6.0), (22.0, 6.0), key.css)
    else:
        inner = joined([line((0.0, 6.0), (22.0, 6.0), f"curve {key.css}"), mark(key.shape, middle, key.css)])
    return element("svg", {"viewBox": "0 0 22 12", "class": "swatch", "aria-hidden": "true"}, inner)
