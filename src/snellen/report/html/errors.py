"""The plots of errors of outputs: where the candidate lies on the precision ladder, and how its errors are spread.

In: a trial and histograms. Out: figures of a page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from snellen.records.report import Histogram
from snellen.records.verify import OutputRecord, TrialRecord
from snellen.report.curves import worst_output
from snellen.report.html import scales, svg
from snellen.report.html.markup import Markup
from snellen.report.html.page import figure_of
from snellen.report.html.scales import Scale
from snellen.report.html.svg import Frame, Key
from snellen.report.phrases import phrase
from snellen.report.sections import figures as say
from snellen.report.text import clip
from snellen.verification.ratios import of_outputs

ROW = 38.0  # height of one output of the ladder
SHAPES = ("ring", "square", "triangle", "diamond", "bar")  # of the classes, in the ladder's order
COVERED = 8.0  # marks nearer than this cover each other
PER_CENT = 100.0


def ladder(record: TrialRecord, lang: str) -> Iterator[Markup]:
    """Yield the ladder's figure: a row for each output; none where there is no trusted run to stand beside."""
    shown = [output for output in record.outputs if output.golden.elements and output.ladder]
    if not shown:
        return
    limits = {ratio.what: ratio.allowed.frobenius for ratio in of_outputs(record)}
    frame = Frame(left=10.0, right=svg.WIDTH - 10, top=30.0, bottom=30.0 + ROW * len(shown))
    rungs = [rung.frobenius for output in shown for rung in output.ladder.values()]
    errors = [output.golden.relative_frobenius for output in shown]
    across = scales.decades([*rungs, *errors, *limits.values()], frame.left, frame.right, apart=30)
    parts = [svg.letters((0.0, 11.0), phrase(lang, "page.ladder.axis"), "what")]
    parts += _grid(across, frame)
    for number, output in enumerate(shown):
        parts += _row(output, limits.get(output.name), frame.top + ROW * (number + 0.55), across, frame)
    title = phrase(lang, "page.ladder")
    about = phrase(lang, "page.ladder.about", values="; ".join(_told(output, lang) for output in shown))
    keys = [Key(shape="disc", css="candidate", text=phrase(lang, "page.candidate"))]
    worst = worst_output(record)
    names = worst.ladder if worst is not None and worst.ladder else shown[0].ladder
    keys += [Key(shape=_shape(index), css="reference", text=name) for index, name in enumerate(names)]
    if any(limit is not None for limit in limits.values()):
        keys.append(Key(shape="upright", css="limit", text=phrase(lang, "page.limit")))
    if None in errors:
        keys.append(Key(shape="cross", css="broken", text=phrase(lang, "page.broken")))
    yield figure_of(title, svg.legend(keys), svg.drawing("ladder", title, about, frame.bottom + 20, parts))


def _shape(index: int) -> str:
    return SHAPES[index % len(SHAPES)]


def _grid(across: Scale, frame: Frame) -> Iterator[Markup]:
    for tick in across.ticks:
        x = across.at(tick)
        yield svg.line((x, frame.top), (x, frame.bottom), "rule")
        anchor = "start" if tick == across.low else "end" if tick == across.high else "middle"
        yield svg.letters((x, frame.bottom + 14), scales.power(tick), "tick", anchor=anchor)


def _row(output: OutputRecord, limit: float | None, y: float, across: Scale, frame: Frame) -> Iterator[Markup]:
    yield svg.letters((frame.left, y - 9), clip(output.name, 28), "value")
    yield svg.line((frame.left, y), (frame.right, y), "axis")
    yield from _rungs(output, y, across)
    if limit is not None:
        x = across.at(limit)
        yield svg.line((x, y - 8), (x, y + 8), "limit")
    error = output.golden.relative_frobenius
    if error is None:
        yield svg.mark("cross", (frame.right - 5, y), "broken", 4.5)
    else:
        yield svg.mark("disc", (across.at(error), y), "candidate", 4.4)


def _rungs(output: OutputRecord, y: float, across: Scale) -> Iterator[Markup]:
    """Draw the classes from left to right; one that would cover the last goes below it."""
    rungs = enumerate(output.ladder.values())
    found = sorted((across.at(rung.frobenius), index) for index, rung in rungs if rung.frobenius is not None)
    last, lowered = -math.inf, False
    for x, index in found:
        lowered = x - last < COVERED and not lowered
        yield svg.mark(_shape(index), (x, y + 9 if lowered else y), "reference", 4.0)
        last = x


def _told(output: OutputRecord, lang: str) -> str:
    rungs = ", ".join(f"{name} {say.number(rung.frobenius)}" for name, rung in output.ladder.items())
    error = output.golden.relative_frobenius
    said = phrase(lang, "page.broken") if error is None else say.number(error)
    return phrase(lang, "page.ladder.one", output=output.name, error=said, rungs=rungs)


def histograms(found: Sequence[Histogram], dtype: str, lang: str) -> Iterator[Markup]:
    """Yield a figure for each output's errors; none for one of which nothing was counted."""
    for number, histogram in enumerate(found, 1):
        if len(histogram.edges) == len(histogram.candidate) + 1 and sum(histogram.candidate) + histogram.zeros:
            yield _histogram(histogram, f"histogram-{number}", dtype, lang)


def _histogram(histogram: Histogram, key: str, dtype: str, lang: str) -> Markup:
    frame = Frame(top=30.0, bottom=170.0)
    count = sum(histogram.candidate) + histogram.zeros
    mine = _shares(histogram.candidate, count)
    theirs = _shares(histogram.reference, sum(histogram.reference))
    low, high = _between(histogram)
    across = scales.decades([low, high], frame.left, frame.right, apart=34)
    up = scales.linear([*mine, *theirs], frame.bottom, frame.top)
    labels = [scales.power(tick) for tick in across.ticks]
    title = phrase(lang, "page.histogram", output=histogram.output)
    parts = [
        svg.rising(up, frame, phrase(lang, "page.histogram.axis"), [f"{tick:g}" for tick in up.ticks]),
        svg.path(_steps(histogram.edges, mine, across, up), "mass candidate", closed=True),
        svg.path(_steps(histogram.edges, theirs, across, up), "curve reference"),
        svg.running(across, frame, phrase(lang, "page.histogram.error"), labels),
    ]
    values = {
        "output": histogram.output,
        "count": count,
        "zeros": histogram.zeros,
        "mode": _mode(histogram.edges, histogram.candidate),
        "reference": _mode(histogram.edges, histogram.reference),
    }
    keys = (
        Key(shape="area", css="mass candidate", text=phrase(lang, "page.histogram.candidate")),
        Key(shape="line", css="curve reference", text=phrase(lang, "page.histogram.reference", precision=dtype)),
    )
    notes = [phrase(lang, "page.histogram.note", zeros=histogram.zeros, count=count)] if histogram.zeros else []
    about = phrase(lang, "page.histogram.about", **values)
    drawn = svg.drawing(key, title, about, frame.bottom + 32, parts)
    return figure_of(title, svg.legend(keys), drawn, *notes)


def _shares(counts: Sequence[int], whole: int) -> list[float]:
    return [PER_CENT * count / whole if whole else 0.0 for count in counts]


def _between(histogram: Histogram) -> tuple[float, float]:
    """Return the edges between which anything was counted."""
    filled = [i for i, pair in enumerate(zip(histogram.candidate, histogram.reference, strict=True)) if any(pair)]
    if not filled:
        return histogram.edges[0], histogram.edges[-1]
    return histogram.edges[filled[0]], histogram.edges[filled[-1] + 1]


def _steps(edges: Sequence[float], shares: Sequence[float], across: Scale, up: Scale) -> list[svg.Place]:
    """Return the outline of the bins, from the base line and back to it."""
    ground = up.at(0.0)
    places = [(across.at(edges[0]), ground)]
    for index, share in enumerate(shares):
        y = up.at(share)
        places += [(across.at(edges[index]), y), (across.at(edges[index + 1]), y)]
    return [*places, (across.at(edges[-1]), ground)]


def _mode(edges: Sequence[float], counts: Sequence[int]) -> str:
    """Return the middle of the fullest bin, in figures."""
    if not any(counts):
        return "-"
    index = counts.index(max(counts))
    return say.number(math.sqrt(max(edges[index], 0.0) * max(edges[index + 1], 0.0)), 2)
