"""Every text of a card, in English and in Chinese, by a short key; the same keys in both.

In: a language and a key. Out: a template, or the text with its values. Texts hold no figures: those come from records.
A template's ``{name}`` is a value, and what stands between two backticks is a name that programs read; each rendering
marks that in its own way (``snellen.report.sections.said``).
"""

from __future__ import annotations

from typing import Literal, get_args

from snellen.errors import UnknownName
from snellen.report.phrases import en, en_notes, en_page, en_tables, zh, zh_notes, zh_page, zh_tables

__all__ = ["LANGS", "Lang", "known", "language", "phrase", "template"]

Lang = Literal["en", "zh"]
LANGS: tuple[Lang, ...] = get_args(Lang)

_TABLES: dict[str, dict[str, str]] = {
    "en": {**en.PHRASES, **en_tables.PHRASES, **en_notes.PHRASES, **en_page.PHRASES},
    "zh": {**zh.PHRASES, **zh_tables.PHRASES, **zh_notes.PHRASES, **zh_page.PHRASES},
}


def template(lang: str, key: str) -> str:
    """Return the text of ``key`` in a language, its values still to be put in."""
    return _TABLES[lang][key]


def phrase(lang: str, key: str, **values: object) -> str:
    """Return the text of ``key`` with its values, as plain text."""
    return template(lang, key).replace("`", "").format_map(values)


def known(key: str) -> bool:
    """Tell whether there is a text of this key."""
    return key in _TABLES["en"]


def language(name: str) -> Lang:
    """Return a language that cards are written in; raise UnknownName for any other."""
    if name not in LANGS:
        raise UnknownName("language", name, LANGS, todo=f"one of {', '.join(LANGS)}")
    return name
