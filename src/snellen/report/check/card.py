"""What contradicts in a Markdown card, of snellen or of anybody.

In: its text, and the folder it lies in. Out: findings with the lines they are on. What is not stated is not checked.
"""

from __future__ import annotations

import json
from pathlib import Path

from snellen.report.check import card_claims, card_figures, card_origin, card_speed
from snellen.report.check.found import Findings
from snellen.report.check.reading import read
from snellen.report.check.stated import groups
from snellen.report.check.walk import Part

REPORT = "report.json"


def check(text: str, folder: Path | None = None) -> Findings:
    """Look at a card; ``folder``: where a report and the files that it names may lie."""
    out, card = Findings(), read(text)
    cases = groups(card)
    card_figures.check(card, cases, out)
    card_speed.check(card, cases, out)
    card_claims.check(card, out)
    card_origin.check(card, cases, _beside(folder), folder, out)
    return out


def _beside(folder: Path | None) -> Part:
    """Return the report that the card is a rendering of; nothing where none lies there, or it cannot be read."""
    try:
        return Part(json.loads((folder / REPORT).read_text(encoding="utf-8")) if folder else None)
    except (OSError, ValueError, RecursionError):
        return Part(None)
