"""What a search found as one web page: pictures side by side, each with its rank, its cosine and its path.

In: the record of a search, and small pictures of rows and queries. Out: HTML that asks for nothing outside itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from snellen.records.search import FoundRecord, Hit, QueryRecord, Thumbnail
from snellen.report.html.markup import Markup, element, name, words
from snellen.report.html.page import document

SQUARE = "aspect-ratio:1;object-fit:contain"
EMPTY = (
    "aspect-ratio:1;display:grid;place-content:center;text-align:center;padding:.5rem;border:1px dashed currentColor"
)
ASKED = "display:block;max-width:100%;max-height:13rem;margin:0 0 1.4rem"
GRID = "max-width:none;grid-template-columns:repeat(auto-fill,minmax(min(11rem,45%),1fr))"
DIGITS = 4  # of a cosine


def page(record: FoundRecord, hits: Mapping[int, Thumbnail], queries: Sequence[Thumbnail]) -> str:
    """Return the whole file; ``hits`` by id, ``queries`` in their order."""
    title = f"Nearest images in {record.store}"
    sections = [
        _section(number, query, hits, asked)
        for number, (query, asked) in enumerate(zip(record.queries, queries, strict=True), start=1)
    ]
    top = element(
        "header",
        None,
        *_cautions(record),
        element("p", {"class": "brand"}, "snellen"),
        element("h1", None, "Nearest images"),
        element("p", {"class": "where"}, name(record.store), words(f": {record.rows:,} rows, {_method(record)}")),
        element("p", {"class": "where"}, words(_encoder(record))),
    )
    foot = element("footer", None, element("p", None, words(_made(record))))
    return document("en", title, [top, element("main", None, *sections), foot])


def _cautions(record: FoundRecord) -> Iterator[Markup]:
    said = []
    if not record.identity.origin.trained:
        said.append(
            f"The weights are drawn at random (seed:{record.identity.origin.seed}): what is near means nothing."
        )
    if record.index is not None:
        index = record.index
        share = f"{index.recall:.1%} of the nearest {index.k} rows, as tried with {index.tried} rows of the store"
        said.append(f"An index was asked ({index.kind}): it finds {share}.")
    if said:
        yield element("div", {"class": "cautions", "role": "note"}, *(element("p", None, words(text)) for text in said))


def _section(number: int, query: QueryRecord, hits: Mapping[int, Thumbnail], asked: Thumbnail) -> Markup:
    key = f"query-{number}"
    what = "the image" if query.kind == "image" else f"row {query.id}"
    heading = element("h2", {"id": key}, words(f"{number}. Near to {what} "), name(query.path))
    seen = _picture(asked, f"the query, {query.path}", ASKED)
    body = [_hit(hit, hits[hit.id]) for hit in query.hits]
    grid = (
        element("div", {"class": "pictures", "style": GRID}, *body)
        if body
        else element("p", None, "The store has no other row.")
    )
    return element("section", {"aria-labelledby": key}, heading, seen, grid)


def _hit(hit: Hit, picture: Thumbnail) -> Markup:
    figures = element("b", None, f"{hit.rank}.", words(f" {hit.score:.{DIGITS}f}"))
    caption = element("figcaption", None, figures, words(f" · id {hit.id} · "), name(hit.path))
    return element("figure", None, _picture(picture, hit.path), caption)


def _picture(picture: Thumbnail, path: str, style: str = SQUARE) -> Markup:
    if picture.jpeg is None:
        why = words(picture.because or "no picture")
        return element("div", {"class": "note", "style": EMPTY if style == SQUARE else ""}, why)
    return element("img", {"src": f"data:image/jpeg;base64,{picture.jpeg}", "alt": path, "style": style})


def _method(record: FoundRecord) -> str:
    return "all of them compared" if record.index is None else f"asked through an index ({record.index.kind})"


def _encoder(record: FoundRecord) -> str:
    identity = record.identity
    origin = identity.origin
    weights = origin.repo or origin.path or f"seed:{origin.seed}"
    made = f"recipe {identity.recipe_hash} · pool {identity.pool} · {identity.dtype}"
    return f"{identity.variant} · weights {weights} · {made}"


def _made(record: FoundRecord) -> str:
    seconds = ", ".join(f"{what} {value:.2f} s" for what, value in record.seconds.items())
    return f"Made by snellen {record.version}. Figures are cosines, 1 for the same direction. {seconds}."
