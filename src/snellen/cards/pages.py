"""The files of a card, rendered from its record: the record itself, Markdown in one or two languages, one web page.

In: a record, languages, and another record to set beside it. Out: bytes by file name. Imports no torch.
"""

from __future__ import annotations

import json

from snellen.cards.folder import REPORT
from snellen.records.report import ReportRecord
from snellen.report.card_html import html
from snellen.report.card_markdown import markdown
from snellen.report.phrases import LANGS, language

BOTH = "both"
CHOICES = (*LANGS, BOTH)
MARKDOWN = {"en": "README.md", "zh": "README.zh-CN.md"}
PAGE = "index.html"


def pages(record: ReportRecord, lang: str = BOTH, other: ReportRecord | None = None) -> dict[str, bytes]:
    """Return the record as JSON, and its renderings; ``other`` is set beside it. Raises UnknownName for a language.

    The web page is in the language that was asked for, in English where both were.
    """
    langs = LANGS if lang == BOTH else (language(lang),)
    texts = {REPORT: json.dumps(record.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"}
    texts |= {MARKDOWN[name]: markdown(record, name, other) for name in langs}
    texts[PAGE] = html(record, langs[0], other)
    return {name: text.encode("utf-8") for name, text in texts.items()}
