"""The plots of errors over stages: running freely and each stage alone, with the noise floor, on one scale.

In: a trial. Out: figures of a page. A stage without a figure leaves a gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snellen.records.verify import Error, StageRecord, TrialRecord
from snellen.report import curves
from snellen.report.html import scales, svg
from snellen.report.html.markup import Markup
from snellen.report.html.page import figure_of
from snellen.report.html.scales import Scale
from snellen.report.html.svg import Frame, Key
from snellen.report.phrases import phrase
from snellen.report.sections import figures as say
from snellen.report.text import clip
from snellen.verification.ratios import of_stages

LONGEST = 16  # letters of a stage's name below the plot
LETTER = 4.6  # the width and height that one of them takes there, turned
MANY = 30  # stages, whose marks are smaller
ROOM = 2.0  # times the greatest error, where crosses stand above it
APART = 15.0  # between two names

Errors = Sequence["Error | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of the two plots: the candidate's errors, those of the run it is held to, and the limits."""

    key: str
    candidate: Errors
    floor: Errors
    precision: str  # of the floor's run
    limits: Sequence[float | None]


def drift(record: TrialRecord, lang: str) -> Iterator[Markup]:
    """Yield the two figures; none where no stages were compared."""
    stages = record.stages
    if not stages:
        return
    judged = {ratio.what: ratio.allowed.frobenius for ratio in of_stages(record)}
    held = [curves.trusted(record, stage) for stage in stages]
    panels = (
        Panel(
            key="cumulative",
            candidate=[stage.cumulative for stage in stages],
            floor=[stage.reference_cumulative for stage in stages],
            precision=record.dtype,
            limits=[None for _ in stages],
        ),
        Panel(
            key="isolated",
            candidate=[stage.isolated for stage in stages],
            floor=[error for _, error in held],
            precision=held[0][0],
            limits=[judged.get(stage.name) for stage in stages],
        ),
    )
    values = [value for panel in panels for value in _values(panel)]
    culprit = record.verdict.culprit if record.verdict else None
    for panel in panels:
        yield _plot(panel, stages, lang, values, culprit)


def _values(panel: Panel) -> list[float | None]:
    """Return everything a panel draws, and room above it for what is not finite."""
    errors = [error.frobenius for error in (*panel.candidate, *panel.floor) if error is not None]
    above = max((value for value in (*errors, *panel.limits) if value is not None), default=1.0)
    return [*errors, *panel.limits, *([ROOM * above] if None in errors else [])]


def _plot(
    panel: Panel, stages: Sequence[StageRecord], lang: str, values: Sequence[float | None], culprit: str | None
) -> Markup:
    names = [clip(stage.name, LONGEST) for stage in stages]
    frame = Frame(top=34.0, bottom=194.0)
    up = scales.decades(values, frame.bottom, frame.top, apart=15)
    places = _places(len(stages), frame)
    parts = [svg.rising(up, frame, phrase(lang, "page.drift.axis"), [scales.power(tick) for tick in up.ticks])]
    parts += _names(names, places, frame)
    parts += _culprit(lang, [stage.name for stage in stages], culprit, places, frame)
    parts += _floor(panel.floor, places, up, frame)
    parts += _limits(panel.limits, places, up)
    parts += _candidate(panel.candidate, places, up, frame)
    title = phrase(lang, f"page.drift.{panel.key}")
    told = phrase(lang, "page.drift.about", values=_about(panel, [stage.name for stage in stages], lang))
    height = frame.bottom + 14 + LETTER * max(map(len, names))
    drawn = svg.drawing(f"drift-{panel.key}", title, told, height, parts)
    exact = any(error is not None and error.frobenius == 0 for error in panel.candidate)
    notes = [phrase(lang, "page.exact")] if exact else []
    return figure_of(title, svg.legend(_legend(panel, lang)), drawn, *notes)


def _places(count: int, frame: Frame) -> list[float]:
    if count == 1:
        return [(frame.left + frame.right) / 2]
    room = frame.right - frame.left - 20
    return [frame.left + 10 + room * index / (count - 1) for index in range(count)]


def _names(names: Sequence[str], places: Sequence[float], frame: Frame) -> Iterator[Markup]:
    yield svg.line((frame.left, frame.bottom), (frame.right, frame.bottom), "axis")
    kept = scales.thinned(places, APART)
    for index, (name, x) in enumerate(zip(names, places, strict=True)):
        yield svg.line((x, frame.bottom), (x, frame.bottom + (svg.TICK if index in kept else 2)), "axis")
        if index in kept:
            yield svg.letters((x + 3, frame.bottom + 13), name, "tick", anchor="end", turned=True)


def _culprit(
    lang: str, names: Sequence[str], culprit: str | None, places: Sequence[float], frame: Frame
) -> Iterator[Markup]:
    """Mark the first stage to blame with an upright line and its name, on the side where there is room."""
    if culprit is None or culprit not in names:
        return
    x = places[names.index(culprit)]
    yield svg.line((x, frame.top - 8), (x, frame.bottom), "culprit")
    late = x > (frame.left + frame.right) / 2
    said = f"{phrase(lang, 'page.drift.culprit')}: {clip(culprit, 24)}"
    yield svg.letters((x + (-4 if late else 4), frame.top - 2), said, "blame", anchor="end" if late else "start")


def _floor(errors: Errors, places: Sequence[float], up: Scale, frame: Frame) -> Iterator[Markup]:
    """Draw the noise floor: each stage a step as high as the trusted run's error; none where that is exactly 0."""
    half = (places[1] - places[0]) / 2 if len(places) > 1 else 10.0
    for run in _runs(errors, places, up):
        steps = [(x + side, y) for x, y in run for side in (-half, half)]
        ends = [(steps[-1][0], frame.bottom), (steps[0][0], frame.bottom)]
        yield svg.path([*steps, *ends], "floor", closed=True)
        yield svg.path(steps, "curve reference")


def _limits(limits: Sequence[float | None], places: Sequence[float], up: Scale) -> Iterator[Markup]:
    """Draw each stage's limit as a short level line: limits belong to stages, not to what lies between them."""
    half = min((places[1] - places[0]) / 2 - 1, 8.0) if len(places) > 1 else 8.0
    for value, x in zip(limits, places, strict=True):
        if value is not None:
            yield svg.line((x - half, up.at(value)), (x + half, up.at(value)), "limit")


def _candidate(errors: Errors, places: Sequence[float], up: Scale, frame: Frame) -> Iterator[Markup]:
    """Draw the candidate's errors; one of exactly 0 lies on the axis, one that is not finite is a cross at the top."""
    size = 3.2 if len(places) < MANY else 2.2
    for run in _runs(errors, places, up):
        if len(run) > 1:
            yield svg.path(run, "curve candidate")
        for place in run:
            yield svg.mark("disc", place, "candidate", size)
    for error, x in zip(errors, places, strict=True):
        if error is not None and error.frobenius is None:
            yield svg.mark("cross", (x, frame.top + 5), "broken")
        elif error is not None and error.frobenius == 0:
            yield svg.mark("disc", (x, frame.bottom), "candidate", size)


def _runs(errors: Errors, places: Sequence[float], up: Scale) -> Iterator[list[svg.Place]]:
    """Yield the stretches without a gap: what is exactly 0 has no place on a logarithmic scale."""
    run: list[svg.Place] = []
    for error, x in zip(errors, places, strict=True):
        if error is not None and error.frobenius:
            run.append((x, up.at(error.frobenius)))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _legend(panel: Panel, lang: str) -> Iterator[Key]:
    sizes = [error.frobenius for error in panel.candidate if error is not None]
    if sizes:
        yield Key(shape="disc", css="candidate", text=phrase(lang, "page.candidate"))
    yield Key(shape="area", css="floor", text=phrase(lang, "page.floor", precision=panel.precision))
    if any(limit is not None for limit in panel.limits):
        yield Key(shape="line", css="limit", text=phrase(lang, "page.limit"))
    if None in sizes:
        yield Key(shape="cross", css="broken", text=phrase(lang, "page.broken"))


def _about(panel: Panel, names: Sequence[str], lang: str) -> str:
    """Say in words what the plot shows: where the candidate starts, ends and is worst, and how high the floor is."""
    found = [
        (error.frobenius, name)
        for error, name in zip(panel.candidate, names, strict=True)
        if error is not None and error.frobenius is not None
    ]
    floor = [error.frobenius for error in panel.floor if error is not None and error.frobenius is not None]
    said = [phrase(lang, "page.drift.reference", most=say.number(max(floor, default=None)))]
    if not found:
        return " ".join([phrase(lang, "page.drift.none"), *said])
    (start, first), (end, last), (most, at) = found[0], found[-1], max(found)
    values = {
        "first": first,
        "start": say.number(start),
        "last": last,
        "end": say.number(end),
        "most": say.number(most),
        "at": at,
    }
    return "; ".join([phrase(lang, "page.drift.candidate", **values), *said])
