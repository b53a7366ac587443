"""The top of a card: cautions, title, verdict, the precision chart, and the figures people look for first.

In: a report. Out: the page's header. The chart is read like an eye test: every line is a precision class, finer than
the one above it, and what counts is the last line that was read.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.bench import Point
from snellen.records.report import ReportRecord
from snellen.records.verify import TrialRecord
from snellen.report.html.markup import Markup, breaking, element, words
from snellen.report.html.page import saying
from snellen.report.phrases import phrase
from snellen.report.sections import Paragraph, Section
from snellen.report.sections import figures as say
from snellen.report.sections.cautions import KINDS
from snellen.report.sections.common import fastest, outcome, peak, smallest

MARKS = {"pass": "✓", "limited": "!", "fail": "✕", "inconclusive": "?"}
NO_VERDICT = "inconclusive"  # drawn like this where none was reached


def header(record: ReportRecord, lang: str, title: str, cautions: Section | None) -> Markup:
    """Return everything above the contents."""
    lead = element(
        "div",
        {"class": "lead"},
        element("p", {"class": "brand"}, "snellen"),
        element("h1", None, element("bdi", None, breaking(title))),
        element("p", {"class": "where"}, words(place(record))),
        _verdict(record.trial, lang),
    )
    marked = [element("div", {"class": "cautions", "role": "note"}, *_cautions(lang, cautions))] if cautions else []
    top = element("div", {"class": "top"}, lead, _chart(record.trial, lang))
    return element("header", None, *marked, top, element("dl", {"class": "keys"}, *_keys(record, lang)))


def place(record: ReportRecord) -> str:
    """Return what ran, in which dtype and where."""
    candidate = record.trial.candidate
    device = candidate.device
    product = f" ({device['product']})" if device.get("product") else ""
    return f"{candidate.runtime} · {candidate.dtype} · {device.get('name', '-')}{product}"


def _cautions(lang: str, cautions: Section) -> Iterator[Markup]:
    for part in cautions.parts:
        if isinstance(part, Paragraph):
            yield element("p", None, saying(lang, part.text))


def _verdict(record: TrialRecord, lang: str) -> Markup:
    verdict = record.verdict
    key = verdict.outcome if verdict else NO_VERDICT
    sign = element("span", {"class": "sign", "aria-hidden": "true"}, MARKS[key])
    badge = element("strong", {"class": "badge"}, sign, saying(lang, outcome(verdict)))
    because = element("span", {"lang": "en" if lang != "en" else None}, words(verdict.because)) if verdict else ""
    return element("p", {"class": f"verdict {key}"}, badge, because)


def _chart(record: TrialRecord, lang: str) -> Markup:
    """Draw the classes from the coarsest to the finest; those no coarser than what was met are read."""
    rungs = classes(record)
    if not rungs:
        return Markup("")
    met = record.verdict.precision if record.verdict else None
    read = rungs.index(met) if met in rungs else -1
    rows = (_line(lang, name, index <= read, name == met, name == record.expect) for index, name in enumerate(rungs))
    head = element("figcaption", None, phrase(lang, "page.chart"))
    note = phrase(lang, "page.chart.about" if read >= 0 else "page.chart.none")
    return element(
        "figure", {"class": "chart"}, head, element("ol", None, *rows), element("p", {"class": "note"}, note)
    )


def classes(record: TrialRecord) -> list[str]:
    """Return the classes of the ladder, the one with the largest error first."""
    ladder = next((output.ladder for output in record.outputs if output.golden.elements and output.ladder), {})
    sizes = {name: rung.frobenius for name, rung in ladder.items() if rung.frobenius is not None}
    return sorted(sizes, key=lambda name: sizes[name], reverse=True)


def _line(lang: str, name: str, read: bool, met: bool, required: bool) -> Markup:
    key = "both" if met and required else "met" if met else "required" if required else None
    css = " ".join(filter(None, ("read" if read else "unread", "met" if met else "", "required" if required else "")))
    parts = [element("span", {"class": "class"}, name)]
    if key:
        parts.append(element("span", {"class": "mark"}, phrase(lang, f"page.chart.{key}")))
    elif not read:
        parts.append(element("span", {"class": "mark"}, phrase(lang, "page.chart.unread")))
    return element("li", {"class": css}, *parts)


def _keys(record: ReportRecord, lang: str) -> Iterator[Markup]:
    verdict, nothing = record.trial.verdict, phrase(lang, "page.none")
    ratio = verdict.ratio if verdict else None
    expected = phrase(lang, "page.key.class.note", expected=record.trial.expect)
    yield _key(lang, "ratio", nothing if ratio is None else say.number(ratio), phrase(lang, "page.key.ratio.note"))
    yield _key(lang, "class", (verdict.precision if verdict else None) or nothing, expected)
    best, first = fastest(record.bench), smallest(record.bench)
    if best is not None:
        yield _key(lang, "rate", say.number(best.images_per_s, 5), _batch(lang, "rate", best))
    if first is not None:
        yield _key(lang, "latency", say.ms(first[1].p50_ms), _batch(lang, "latency", first[0]))
    sizes = {kind: peak(record.bench, kind) for kind in KINDS}
    held = next((kind for kind, size in sizes.items() if size is not None), None)  # the most telling first
    if held is not None:
        yield _key(lang, "memory", say.mib(sizes[held]), phrase(lang, f"page.key.{held}"))


def _key(lang: str, key: str, value: str, note: str) -> Markup:
    name = element("dt", None, phrase(lang, f"page.key.{key}"))
    return element(
        "div", None, name, element("dd", None, element("b", None, words(value)), element("small", None, note))
    )


def _batch(lang: str, key: str, point: Point) -> str:
    return phrase(lang, f"page.key.{key}.note", batch=point.batch)
