"""Cards taken apart again: by their headings, and into the keys of everything a section says."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from string import Formatter
from typing import Any

from snellen.report.card_markdown import escaped
from snellen.report.phrases import template
from snellen.report.sections import Section, Table, Text


def blocks(card: str) -> dict[str, str]:
    """Return a card's sections by their headings."""
    parts = re.split(r"(?m)^## (.+)$", card)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def keys(part: Any) -> set[str]:
    """Return the keys of every text in a part, those of titles too."""
    if isinstance(part, Text):
        return {part.key}.union(*(keys(value) for value in part.values.values()))
    if isinstance(part, (tuple, list)):
        return set().union(*map(keys, part))
    own = keys(part.title) if isinstance(part, (Section, Table)) else set()
    if is_dataclass(part) and not isinstance(part, type):
        return own.union(*(keys(getattr(part, field.name)) for field in fields(part)))
    return own


def words(lang: str, key: str) -> str:
    """Return the longest piece of a text that no value and no name interrupts, as Markdown shows it."""
    pieces = [part for literal, *_ in Formatter().parse(template(lang, key)) for part in literal.split("`")[::2]]
    return escaped(max(pieces, key=len)).strip()


def numbers(text: str) -> list[str]:
    """Return every number in a text, sorted."""
    return sorted(re.findall(r"\d+(?:[.,]\d+)*(?:e-?\d+)?", text))


def body(card: str) -> str:
    """Return a card without its front matter."""
    return card.split("\n---\n", 1)[1]
