"""Plots of speed: latency and throughput by batch size, and every sample in the order it was taken.

In: measurements. Out: figures of a page. Where several are drawn (another card's, the baseline's), they share scales.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from snellen.records.bench import BenchRecord, Point
from snellen.records.report import ReportRecord
from snellen.report.html import scales, svg
from snellen.report.html.markup import Markup, joined
from snellen.report.html.page import figure_of
from snellen.report.html.scales import Scale
from snellen.report.html.svg import Frame, Key
from snellen.report.phrases import phrase
from snellen.report.sections import figures as say

BEYOND = 1.6  # a greatest sample is drawn up to this, over the greatest middle: one outlier would flatten the rest
FREE = 3.0  # between a figure and what is drawn of another series
LETTER = 9.0  # height of one
TOP = 24.0  # the highest that a figure above a mark is written
THOUSANDS = 10_000
FEW = 100  # samples, whose dots are larger
STRIP = 46.0  # height of the samples of one batch size
SIGN = {"disc": "candidate", "diamond": "other", "triangle": "baseline"}  # shape -> class


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One batch size of a series; ``sure`` is an interval of the middle, ``spread`` the least and the greatest."""

    batch: int
    middle: float
    sure: tuple[float, float] | None
    spread: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What is drawn by batch size: its key among the texts, its spots, what a mark stands for, how it is written."""

    key: str
    spots: Callable[[Series], list[Spot]]
    middle: str
    figure: Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One measurement, as it is drawn."""

    shape: str
    name: str
    bench: BenchRecord
    points: tuple[Point, ...]


def speed(record: ReportRecord, lang: str, other: ReportRecord | None) -> Iterator[Markup]:
    """Yield the figures of a card's measurements; none where nothing was measured."""
    shown = [series for series in _series(record, lang, other) if series.points]
    if not shown:
        return
    rate = "page.speed.mean" if record.bench.mode == "latency" else "page.speed.stream"
    median = phrase(lang, "page.speed.median")
    quantities = (
        Quantity(key="latency", spots=_latency, middle=median, figure=say.ms),
        Quantity(key="throughput", spots=_throughput, middle=phrase(lang, rate), figure=_rate),
    )
    yield from (_plot(quantity, lang, shown) for quantity in quantities)
    if shown[0].bench is record.bench and any(point.samples_ms for point in shown[0].points):
        yield _samples(lang, [point for point in shown[0].points if point.samples_ms])


def _series(record: ReportRecord, lang: str, other: ReportRecord | None) -> Iterator[Series]:
    yield _of("disc", phrase(lang, "page.this") if other else phrase(lang, "page.candidate"), record.bench)
    if other is not None:
        yield _of("diamond", _place(other.bench), other.bench)
    baseline = record.bench.baseline
    if baseline is not None:
        name = phrase(lang, "page.baseline", device=baseline.device, setup=baseline.setup)
        points = tuple(point for point in baseline.points if point.latency)
        yield Series(shape="triangle", name=name, bench=record.bench, points=points)


def _of(shape: str, name: str, bench: BenchRecord) -> Series:
    return Series(shape=shape, name=name, bench=bench, points=tuple(p for p in bench.points if p.latency))


def _place(bench: BenchRecord) -> str:
    device = bench.device.get("product") or bench.device.get("name") or "-"
    return f"{device}, {bench.setup}"


def _latency(series: Series) -> list[Spot]:
    return [
        Spot(batch=point.batch, middle=found.p50_ms, sure=_pair(found.low_ms, found.high_ms), spread=_ends(point))
        for point in series.points
        if (found := point.latency)
    ]


def _throughput(series: Series) -> list[Spot]:
    """Return rates; an interval of the latency is one of the rate only where batches went one after another."""
    one_by_one = series.bench.mode == "latency"
    spots = []
    for point in series.points:
        rate = point.images_per_s
        if rate is None or point.latency is None:
            continue
        found = point.latency
        sure, ends = _pair(found.high_ms, found.low_ms), (found.max_ms, found.min_ms)
        spots.append(
            Spot(
                batch=point.batch,
                middle=rate,
                sure=_rates(point.batch, sure) if one_by_one else None,
                spread=_rates(point.batch, ends) if one_by_one else None,
            )
        )
    return spots


def _ends(point: Point) -> tuple[float, float] | None:
    return (point.latency.min_ms, point.latency.max_ms) if point.latency else None


def _pair(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _rates(batch: int, ms: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if ms is None or min(ms) <= 0 else (1e3 * batch / ms[0], 1e3 * batch / ms[1])


def _rate(value: float) -> str:
    return say.number(value, 5)


def _plot(quantity: Quantity, lang: str, shown: Sequence[Series]) -> Markup:
    drawn = [(series, quantity.spots(series)) for series in shown]
    spots = list(chain.from_iterable(found for _, found in drawn))
    if not spots:
        return Markup("")
    frame, key = Frame(top=30.0), quantity.key
    across = scales.doubling((spot.batch for spot in spots), frame.left + 22, frame.right - 22)
    up = scales.fitting(_reached(spots), frame.bottom, frame.top)
    parts = [
        svg.rising(up, frame, _axis(lang, key, up), [_round(tick) for tick in up.ticks]),
        svg.running(across, frame, phrase(lang, "page.batch"), _batches(across)),
    ]
    for series, found in reversed(drawn):  # what the card is about comes on top, with its figures
        parts += _curve(found, series.shape, across, up)
    mine = drawn[0][1]
    parts += _figures(mine, [spot for spot in spots if spot not in mine], across, up)
    title, values = (
        phrase(lang, f"page.{key}"),
        "; ".join(f"{s.batch}: {quantity.figure(s.middle)}" for s in drawn[0][1]),
    )
    whole = svg.drawing(key, title, phrase(lang, f"page.{key}.about", values=values), frame.bottom + 32, parts)
    return figure_of(title, _legend(shown), whole, *_notes(lang, quantity.middle, spots, up))


def _axis(lang: str, key: str, up: Scale) -> str:
    axis = phrase(lang, f"page.{key}.axis")
    return phrase(lang, "page.logarithmic", axis=axis) if up.log else axis


def _legend(shown: Sequence[Series]) -> Markup | str:
    """Return the names of several series; one needs none."""
    keys = (Key(shape=series.shape, css=SIGN[series.shape], text=series.name) for series in shown)
    return svg.legend(keys) if len(shown) > 1 else ""


def _notes(lang: str, middle: str, spots: Sequence[Spot], up: Scale) -> Iterator[str]:
    """Yield how marks and bars are read."""
    if any(spot.spread for spot in spots):
        yield phrase(lang, "page.speed.note", middle=middle)
    if any(spot.spread and spot.spread[1] > up.high for spot in spots):
        yield phrase(lang, "page.beyond")


def _reached(spots: Sequence[Spot]) -> list[float]:
    """Return how far up a plot must reach: every middle, and every spread that is not far beyond them."""
    most = BEYOND * max(spot.middle for spot in spots)
    ends = [min(spot.spread[1], most) for spot in spots if spot.spread]
    return [*(spot.middle for spot in spots), *(spot.sure[1] for spot in spots if spot.sure), *ends]


def _curve(spots: Sequence[Spot], shape: str, across: Scale, up: Scale) -> Iterator[Markup]:
    css = SIGN[shape]
    places = [(across.at(spot.batch), up.at(spot.middle)) for spot in spots]
    if len(places) > 1:
        yield svg.path(places, f"curve {css}")
    for spot, (x, y) in zip(spots, places, strict=True):
        if spot.spread:
            low, high = up.at(spot.spread[0]), up.at(spot.spread[1])
            yield svg.line((x, low), (x, high), f"spread {css}")
            if spot.spread[1] > up.high:
                yield svg.path([(x - 3, high + 5), (x, high), (x + 3, high + 5)], f"arrow {css}")
        if spot.sure:
            yield svg.line((x, up.at(spot.sure[0])), (x, up.at(spot.sure[1])), f"sure {css}")
        yield svg.mark(shape, (x, y), css)


def _figures(spots: Sequence[Spot], others: Sequence[Spot], across: Scale, up: Scale) -> Iterator[Markup]:
    """Write the middles above what is drawn of them, or below; not at all where neither side is free."""
    for index in scales.thinned([across.at(spot.batch) for spot in spots], 34):
        spot = spots[index]
        top, bottom = _reach(spot, up)
        taken = [_reach(other, up) for other in others if other.batch == spot.batch]
        for y in (max(top - 7, TOP), bottom + 16):
            if y < up.start and all(y + FREE < high or y - LETTER - FREE > low for high, low in taken):
                yield svg.letters((across.at(spot.batch), y), say.number(spot.middle, 3), "value", anchor="middle")
                break


def _reach(spot: Spot, up: Scale) -> tuple[float, float]:
    """Return the highest and the lowest place at which anything of a spot is drawn."""
    places = [up.at(value) for value in (spot.middle, *(spot.sure or ()), *(spot.spread or ()))]
    return min(places), max(places)


def _batches(across: Scale) -> list[str]:
    kept = scales.thinned(map(across.at, across.ticks), 20)
    return [f"{tick:.0f}" if index in kept else "" for index, tick in enumerate(across.ticks)]


def _round(tick: float) -> str:
    """Return the label of a tick; large ones in thousands, k, so that they fit beside the plot."""
    if tick >= THOUSANDS:
        return f"{tick / 1000:g}k"
    return f"{tick:,.0f}" if tick == int(tick) else f"{tick:.3g}"


def _samples(lang: str, points: Sequence[Point]) -> Markup:
    """Draw a row for each batch size, every sample a dot, all over the median of their row on one scale."""
    ratios = {point.batch: _over_median(point) for point in points}
    values = list(chain.from_iterable(ratios.values()))
    gap, top = 22.0, 32.0
    parts, bottom = [svg.letters((0.0, 11.0), phrase(lang, "page.samples.axis"), "what")], top
    for point in points:
        frame = Frame(top=bottom, bottom=bottom + STRIP)
        scale = scales.around_one(values, frame.bottom, frame.top, apart=11)
        parts.append(_strip(point, ratios[point.batch], frame, scale))
        p50 = say.ms(point.latency.p50_ms) if point.latency else "-"
        counted = phrase(lang, "page.samples.count", count=len(point.samples_ms), p50=p50)
        head = phrase(lang, "page.samples.batch", batch=point.batch)
        parts.append(svg.letters((frame.left, frame.top - 4), head, "value"))
        parts.append(svg.letters((frame.right, frame.top - 4), counted, "tick", anchor="end"))
        bottom = frame.bottom + gap
    told = "; ".join(_told(lang, batch, found) for batch, found in ratios.items())
    title, about = phrase(lang, "page.samples"), phrase(lang, "page.samples.about", values=told)
    drawn = svg.drawing("samples", title, about, bottom - gap + 6, parts)
    return figure_of(title, "", drawn, phrase(lang, "page.samples.note"))


def _over_median(point: Point) -> list[float]:
    ordered = sorted(point.samples_ms)
    median = point.latency.p50_ms if point.latency else ordered[len(ordered) // 2]
    return [sample / median for sample in point.samples_ms] if median > 0 else [1.0 for _ in ordered]


def _told(lang: str, batch: int, ratios: Sequence[float]) -> str:
    least, most = say.number(min(ratios), 3), say.number(max(ratios), 3)
    return phrase(lang, "page.samples.one", batch=batch, count=len(ratios), least=least, most=most)


def _strip(point: Point, ratios: Sequence[float], frame: Frame, scale: Scale) -> Markup:
    step = (frame.right - frame.left) / len(ratios)
    parts = list(_rules(frame, scale))
    for ended in list(accumulate(point.rounds))[:-1]:
        x = frame.left + step * min(ended, len(ratios))
        parts.append(svg.line((x, frame.top), (x, frame.bottom), "round"))
    places = ((frame.left + step * (index + 0.5), scale.at(ratio)) for index, ratio in enumerate(ratios))
    parts.append(svg.dots(places, "candidate few" if len(ratios) < FEW else "candidate"))
    return joined(parts)


def _rules(frame: Frame, scale: Scale) -> Iterable[Markup]:
    for tick in scale.ticks:
        y = scale.at(tick)
        yield svg.line((frame.left, y), (frame.right, y), "one" if tick == 1 else "rule")
        yield svg.letters((frame.left - 5, y + 3.5), f"{tick:g}", "tick", anchor="end")
