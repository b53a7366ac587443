"""A card as one web page: it opens without a network, on a phone, on a desk and on paper, in light and in dark.

In: a report, and another one to set beside it. Out: HTML. The sections are those of every rendering; plots and pictures
stand in them, drawn from the same record. There is no script.
"""

from __future__ import annotations

from snellen.records.report import ReportRecord
from snellen.report.html.drift import drift
from snellen.report.html.histogram import histograms
from snellen.report.html.ladder import ladder
from snellen.report.html.markup import Markup, element, words
from snellen.report.html.page import contents, document, section_of
from snellen.report.html.pictures import pictures
from snellen.report.html.speed import speed
from snellen.report.html.top import header, place
from snellen.report.phrases import phrase
from snellen.report.sections import sections

TOP = "cautions"  # the section that stands above everything


def html(record: ReportRecord, lang: str = "en", other: ReportRecord | None = None) -> str:
    """Return the card as a whole file; ``other`` is set beside it."""
    whole = sections(record, other)
    title = record.facts.title
    cautions = next((section for section in whole if section.key == TOP and section.parts), None)
    below = [section for section in whole if section.key != TOP]
    figures = {
        "accuracy": [
            *pictures(record.pca, lang),
            *ladder(record.trial, lang),
            *histograms(record.histograms, record.trial.dtype, lang),
        ],
        "drift": list(drift(record.trial, lang)),
        "performance": list(speed(record, lang, other)),
    }
    body = [
        header(record, lang, title, cautions),
        contents(lang, below),
        element("main", None, *(section_of(lang, section, figures.get(section.key, ())) for section in below)),
        _footer(record, lang),
    ]
    verdict = record.trial.verdict.outcome if record.trial.verdict else "-"
    outcome = record.trial.verdict.outcome if record.trial.verdict else "inconclusive"
    page = element("div", {"class": f"page {outcome}"}, *body)
    return document(lang, f"{title} · {place(record)} · {verdict}", [page])


def _footer(record: ReportRecord, lang: str) -> Markup:
    made = phrase(lang, "page.made", version=record.version, when=record.started_at)
    return element("footer", None, element("p", None, words(made)))
