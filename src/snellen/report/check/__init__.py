"""A card, read again: what in it contradicts, and what could not be checked. Imports no torch.

In: a report.json or a Markdown card. Out: contradictions, each with its place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from snellen.errors import UsageError
from snellen.records.checked import CheckedCard, Contradiction
from snellen.report.check import card, record

__all__ = ["check_file", "contradictions"]

ENDINGS = (".json", ".md")


def contradictions(document: Any, folder: Path | None = None) -> tuple[Contradiction, ...]:
    """Return what contradicts in the document of a report; ``folder``: where the files that it names lie."""
    return record.check(document, folder).card("", "report").contradictions


def check_file(path: Path) -> CheckedCard:
    """Read a report or a Markdown card again.

    Raises UsageError for a file of another ending, one that cannot be read, and one that is no JSON.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(
            f"{str(path)!r} is no card that can be checked", expected=" or ".join(ENDINGS), todo="name one"
        )
    text = _text(path)
    if ending == ".md":
        return card.check(text, path.parent).card(path.name, "markdown")
    return record.check(_document(text, path), path.parent).card(path.name, "report")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        seen = f"{str(path)!r} cannot be read: {error.strerror}"
        raise UsageError(seen, expected="a card", todo="check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{str(path)!r} is no UTF-8: {error}", expected="a card", todo="check the file") from error


def _document(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{str(path)!r} is no JSON: {error}", expected="a report", todo="check the file") from error
