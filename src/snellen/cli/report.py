"""``snellen report``: a card rendered again from its record, or read again for what contradicts in it.

In: a report.json, or Markdown cards of anybody. Out: Markdown, a web page, text; or a list of contradictions. Needs no
torch, no model and no device.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from snellen.cli import asking, options, show, verdict
from snellen.errors import UsageError

if TYPE_CHECKING:
    from snellen.records.report import ReportRecord

Format = Literal["md", "html", "terminal"]
FORMATS: tuple[Format, ...] = ("md", "html", "terminal")
ENDINGS: dict[str, Format] = {".md": "md", ".html": "html", ".txt": "terminal"}
LANGS = ("en", "zh")
RENDERING = ("format", "lang", "compare", "output")
"""What belongs to a rendering, and so not to a check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, one field for each parameter of the command."""

    files: tuple[str, ...]
    check: bool
    format: Format | None
    lang: str
    compare: str | None
    output: str | None
    as_json: bool
    quiet: bool


@click.command(short_help="Render a card again, or check it.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="List what contradicts in each FILE, a report.json or a Markdown card.")
@click.option("--format", type=click.Choice(FORMATS), help="md, html, terminal.  [default: by the ending of -o]")
@click.option("--lang", type=click.Choice(LANGS), default="en", show_default=True, help="Of the text.")
@click.option("--compare", metavar="REPORT", type=click.Path(), help="Set another card's report.json beside it.")
@options.output
@options.as_json
@options.quiet
@click.pass_context
def report(context: click.Context, /, **given: Any) -> int:
    """Render the report.json of a card again, or check cards for contradictions.

    Every text of a card is a rendering of its report.json. With --check it is read again, and so is any Markdown card,
    in English or Chinese: a pass beyond its own limit, a cosine above 1, a p99 of 20 runs, a throughput that does not
    follow from the latency, parameters that do not fit the file, and more. What cannot be read is listed as not
    checked.

    The exit code of --check is 0 for no contradiction, 1 for at least one, 3 where a file holds nothing that can be
    checked.

    \b
    Example:
      snellen report card/report.json --format md --lang zh -o README.zh-CN.md
      snellen report --check card/report.json card/README.md
    """
    asked = Asked(**given)
    stated = {name for name in given if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    return _checked(asked, stated) if asked.check else _rendered(asked)


# ---- check


def _checked(asked: Asked, stated: Collection[str]) -> int:
    """Read cards again, and list what contradicts."""
    from snellen.report.check import check_file
    from snellen.report.checked import lines

    for name in RENDERING:
        if name in stated:
            asking.apart("check", name, "a check, or a rendering")
    cards = [check_file(path) for name in asked.files for path in _texts(Path(name))]
    if asked.as_json:
        documents = [card.to_dict() for card in cards]
        show.document(documents[0] if len(documents) == 1 else documents)
    else:
        for card in cards:
            click.echo("\n".join(lines(card, brief=asked.quiet)))
    codes = {card.exit_code for card in cards}
    return 1 if 1 in codes else max(codes)


def _texts(path: Path) -> list[Path]:
    """Return what can be checked of a card's folder, or the file itself."""
    if not path.is_dir():
        return [path]
    found = [path / "report.json", *sorted(path.glob("*.md"))]
    return [file for file in found if file.is_file()] or [path]


# ---- rendering


def _rendered(asked: Asked) -> int:
    """Render one report, to stdout or to a file."""
    from snellen import draft
    from snellen.cli.card import read

    if asked.as_json:
        raise UsageError("--json was given without --check", expected="--check, whose result it prints", todo="add it")
    if len(asked.files) != 1:
        raise UsageError(f"{len(asked.files)} files were named", expected="one report.json", todo="render one by one")
    path = Path(asked.output) if asked.output else None
    if path is not None:
        verdict.check(path, tuple(ENDINGS))
    kind = asked.format or (ENDINGS[path.suffix.lower()] if path else "terminal")
    record = read(asked.files[0])
    other = read(asked.compare) if asked.compare else None
    text = RENDERERS[kind](record, asked.lang, other)
    if path is None:
        click.echo(text, nl=False)
        return 0
    with draft.writing(path), draft.drafted(path) as file:
        file.write_text(text, encoding="utf-8")
    show.say(f"written to {path}", quiet=asked.quiet)
    return 0


def _markdown(record: ReportRecord, lang: str, other: ReportRecord | None) -> str:
    from snellen.report.card_markdown import markdown

    return markdown(record, lang, other)


def _html(record: ReportRecord, lang: str, other: ReportRecord | None) -> str:
    from snellen.report.card_html import html

    return html(record, lang, other)


def _terminal(record: ReportRecord, lang: str, other: ReportRecord | None) -> str:
    from snellen.report.card_terminal import terminal

    columns = shutil.get_terminal_size((verdict.ELSEWHERE, 24)).columns if sys.stdout.isatty() else verdict.ELSEWHERE
    width = min(max(columns, verdict.NARROWEST), verdict.WIDEST)
    return "\n".join(terminal(record, lang, width, other)) + "\n"


RENDERERS: dict[Format, Callable[[ReportRecord, str, ReportRecord | None], str]] = {
    "md": _markdown,
    "html": _html,
    "terminal": _terminal,
}
