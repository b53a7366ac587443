"""The plot of the precision ladder: where the candidate lies among trusted runs of known precision.

In: a trial. Out: a figure of a page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

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
