"""The page around a card's sections: its head, its contents, sections with their tables, and figures.

In: sections and figures. Out: markup. The page asks for nothing outside itself, and its policy forbids it to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from snellen.report.html.markup import Attributes, Markup, clean, element, joined, lines, name, words
from snellen.report.phrases import phrase
from snellen.report.sections import Code, Paragraph, Part, Points, Quote, Say, Section, Style, Table, said

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
TAGS = {"en": "en", "zh": "zh-Hans"}  # of languages, in the web's words
STYLE = Style(text=words, name=name)
SHORT, LONG = 18, 44  # letters of a cell
FACTS = 2  # columns of a table that fits any screen, if its cells take several lines
BESIDE = 52  # letters of a row, so that two tables stand side by side


def document(lang: str, title: str, body: Sequence[Markup]) -> str:
    """Return the whole file."""
    head = element(
        "head",
        None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("meta", {"name": "referrer", "content": "no-referrer"}),
        element("title", None, title),
        element("style", None, _style()),
    )
    whole = element("html", {"lang": TAGS[lang]}, head, "\n", element("body", None, joined(body, "\n")))
    return f"<!DOCTYPE html>\n{whole}\n"


@cache
def _style() -> Markup:
    return Markup(Path(__file__).with_name("style.css").read_text(encoding="utf-8"))


def saying(lang: str, what: Say) -> Markup:
    """Return a text of the sections as markup."""
    return Markup(said(lang, what, STYLE))


def contents(lang: str, sections: Sequence[Section]) -> Markup:
    """Return links to the sections."""
    title = phrase(lang, "page.contents")
    links = (
        element("li", None, element("a", {"href": f"#{section.key}"}, saying(lang, section.title)))
        for section in sections
    )
    return element(
        "nav", {"id": "contents", "aria-label": title}, element("h2", None, title), element("ol", None, *links)
    )


def section_of(lang: str, section: Section, figures: Sequence[Markup] = ()) -> Markup:
    """Return a section; its figures come before its first table."""
    parts = section.parts
    first = next((index for index, part in enumerate(parts) if isinstance(part, Table)), len(parts))
    made = [_part(lang, part, f"{section.key}-{index}") for index, part in enumerate(parts)]
    drawn = [element("div", {"class": "plots"}, *figures)] if figures else []
    small = [isinstance(part, Table) and _is_small(lang, part) for part in parts]
    heading = element("h2", {"id": f"{section.key}-title"}, saying(lang, section.title))
    body = (heading, *made[:first], *drawn, *_beside(made[first:], small[first:]))
    return element("section", {"id": section.key, "aria-labelledby": f"{section.key}-title"}, *body)


def _is_small(lang: str, part: Table) -> bool:
    """Tell whether a table leaves room for another one beside it."""
    longest = max((sum(len(said(lang, cell)) for cell in row) for row in (part.header, *part.rows)), default=0)
    return len(part.header) <= 4 and longest <= BESIDE and not part.notes


def _beside(made: Sequence[Markup], small: Sequence[bool]) -> Iterator[Markup]:
    """Put small tables that follow each other side by side, where there is room for it."""
    for is_small, run in groupby(zip(made, small, strict=True), key=itemgetter(1)):
        parts = [part for part, _ in run]
        if is_small and len(parts) > 1:
            yield element("div", {"class": "beside"}, *parts)
        else:
            yield from parts


def _part(lang: str, part: Part, key: str) -> Markup:
    match part:
        case Paragraph():
            return element("p", {"class": "caution" if part.kind == "caution" else None}, saying(lang, part.text))
        case Points():
            return element("ul", None, *(element("li", None, saying(lang, item)) for item in part.items))
        case Quote():
            quoted = (element("p", None, words(sentence)) for sentence in part.sentences)
            tongue = None if lang == "en" else "en"  # what judged speaks English
            quote = element("blockquote", {"lang": tongue}, *quoted)
            return joined([element("p", None, saying(lang, part.by)), quote])
        case Code():
            typed = element("pre", None, element("code", None, lines(part.text)))
            return joined([element("p", {"class": "what"}, saying(lang, part.what)), typed])
        case Table():
            return table(lang, part, key)


def table(lang: str, part: Table, key: str) -> Markup:
    """Return a table under its title, in a box of its own, which scrolls where a screen is narrow."""
    head = element("tr", None, *(_cell("th", lang, what, i in part.numeric) for i, what in enumerate(part.header)))
    rows = (
        element("tr", None, *(_cell("td", lang, what, i in part.numeric) for i, what in enumerate(row)))
        for row in part.rows
    )
    facts = "facts" if len(part.header) <= FACTS else None
    whole = element("table", {"class": facts}, element("thead", None, head), element("tbody", None, *rows))
    box: Attributes = {"class": "scroll", "tabindex": 0, "role": "region", "aria-labelledby": f"{key}-title"}
    notes = (element("p", {"class": "note"}, saying(lang, note)) for note in part.notes)
    title = element("h3", {"id": f"{key}-title"}, saying(lang, part.title))
    return element("div", {"class": "sheet"}, title, element("div", box, whole), *notes)


def _cell(tag: str, lang: str, what: Say, numeric: bool) -> Markup:
    """Return a cell: a figure, or words that are not worth a second line, or so many that they need room."""
    if tag == "th":
        return element(tag, {"class": "n" if numeric else None, "scope": "col"}, saying(lang, what))
    length = len(said(lang, what))
    css = "n" if numeric else "k" if length <= SHORT else "t" if length >= LONG else "m"
    return element(tag, {"class": css}, saying(lang, what))


def figure_of(title: str, legend: Markup | str, drawn: Markup, *notes: str, css: str = "plot") -> Markup:
    """Return a drawing under its title and legend, with notes below it."""
    heading = element("h3", None, words(title))
    said_below = element("div", None, *(element("p", {"class": "note"}, words(note)) for note in notes))
    key = legend if isinstance(legend, Markup) else clean(legend)
    return element("figure", {"class": css}, element("figcaption", None, heading, key), drawn, said_below)
