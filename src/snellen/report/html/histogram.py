"""Plots of how errors are spread: the share of elements by the size of their error, the candidate's beside another.

In: histograms. Out: figures of a page. What is not drawn, exact elements and a thin tail of tiny errors, is counted in
a note.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snellen.records.report import Histogram
from snellen.report.html import scales, svg
from snellen.report.html.markup import Markup
from snellen.report.html.page import figure_of
from snellen.report.html.scales import Scale
from snellen.report.html.svg import Frame, Key
from snellen.report.phrases import phrase
from snellen.report.sections import figures as say

PER_CENT = 100.0
TAIL = 1e-3  # of the elements: so many of the smallest errors may be left out
FRAME = Frame(top=30.0, bottom=170.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """A histogram and its scale; ``count`` elements are the candidate's, ``small`` of them have too small an error."""

    histogram: Histogram
    across: Scale

    @property
    def count(self) -> int:
        """The candidate's elements, exact ones among them."""
        return sum(self.histogram.candidate) + self.histogram.zeros

    @property
    def small(self) -> int:
        """Those of an error that lies before the scale."""
        pairs = zip(self.histogram.candidate, self.histogram.edges[1:], strict=True)
        return sum(count for count, edge in pairs if not self.shows(edge))

    def shows(self, edge: float) -> bool:
        """Tell whether a bin that ends at ``edge`` is drawn."""
        return edge > self.across.low * (1 + 1e-9)


def histograms(found: Sequence[Histogram], dtype: str, lang: str) -> Iterator[Markup]:
    """Yield a figure for each output's errors; none for one of which nothing was counted."""
    for number, histogram in enumerate(found, 1):
        if len(histogram.edges) == len(histogram.candidate) + 1 and sum(histogram.candidate) + histogram.zeros:
            across = scales.decades(_between(histogram), FRAME.left, FRAME.right, apart=34)
            yield _figure(Counted(histogram, across), f"histogram-{number}", dtype, lang)


def _figure(counted: Counted, key: str, dtype: str, lang: str) -> Markup:
    histogram = counted.histogram
    title = phrase(lang, "page.histogram", output=histogram.output)
    about = phrase(
        lang,
        "page.histogram.about",
        output=histogram.output,
        count=say.count(counted.count),
        zeros=say.count(histogram.zeros),
        mode=_mode(histogram.edges, histogram.candidate),
        reference=_mode(histogram.edges, histogram.reference),
    )
    keys = (
        Key(shape="area", css="mass candidate", text=phrase(lang, "page.candidate")),
        Key(shape="line", css="curve reference", text=phrase(lang, "page.histogram.reference", precision=dtype)),
    )
    drawn = svg.drawing(key, title, about, FRAME.bottom + 32, _parts(counted, lang))
    return figure_of(title, svg.legend(keys), drawn, *_notes(counted, lang))


def _notes(counted: Counted, lang: str) -> Iterator[str]:
    small, zeros = counted.small, counted.histogram.zeros
    if zeros or small:
        counts = {"count": say.count(counted.count), "zeros": say.count(zeros), "small": say.count(small)}
        yield phrase(lang, "page.histogram.note", **counts, low=scales.power(counted.across.low))


def _parts(counted: Counted, lang: str) -> Iterator[Markup]:
    histogram, across = counted.histogram, counted.across
    mine = _shares(histogram.candidate, counted.count)
    theirs = _shares(histogram.reference, sum(histogram.reference))
    up = scales.linear([*mine, *theirs], FRAME.bottom, FRAME.top)
    yield svg.rising(up, FRAME, phrase(lang, "page.histogram.axis"), [f"{tick:g}" for tick in up.ticks])
    yield svg.path(_steps(counted, mine, up), "mass candidate", closed=True)
    yield svg.path(_steps(counted, theirs, up), "curve reference")
    labels = [scales.power(tick) for tick in across.ticks]
    yield svg.running(across, FRAME, phrase(lang, "page.histogram.error"), labels)


def _shares(counts: Sequence[int], whole: int) -> list[float]:
    return [PER_CENT * count / whole if whole else 0.0 for count in counts]


def _between(histogram: Histogram) -> tuple[float, float]:
    """Return the edges between which nearly everything was counted: of the largest errors none is left out."""
    low, high = len(histogram.candidate), 0
    for counts in (histogram.candidate, histogram.reference):
        filled = [index for index, count in enumerate(counts) if count]
        if filled:
            allowed = TAIL * sum(counts)
            tail = next(index for index in filled if sum(counts[: index + 1]) > allowed)
            low, high = min(low, tail), max(high, filled[-1] + 1)
    return (histogram.edges[low], histogram.edges[high]) if low < high else (histogram.edges[0], histogram.edges[-1])


def _steps(counted: Counted, shares: Sequence[float], up: Scale) -> list[svg.Place]:
    """Return the outline of the bins, from the base line and back to it."""
    edges, at, ground = counted.histogram.edges, counted.across.at, up.at(0.0)
    shown = [index for index in range(len(shares)) if counted.shows(edges[index + 1])]
    places = [(at(edges[shown[0]]), ground)]
    for index in shown:
        places += [(at(edges[index]), up.at(shares[index])), (at(edges[index + 1]), up.at(shares[index]))]
    return [*places, (at(edges[shown[-1] + 1]), ground)]


def _mode(edges: Sequence[float], counts: Sequence[int]) -> str:
    """Return the middle of the fullest bin, in figures."""
    if not any(counts):
        return say.NONE
    index = counts.index(max(counts))
    return say.number(math.sqrt(max(edges[index], 0.0) * max(edges[index + 1], 0.0)), 2)
