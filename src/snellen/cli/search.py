"""``snellen search``: what in a store looks most like an image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snellen.cli import options, show

if TYPE_CHECKING:
    from snellen.records.search import FoundRecord, QueryRecord
    from snellen.search.again import Reads
    from snellen.store import Store

PAGE = (".html",)
DIGITS = 4  # of a cosine


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, one field for each parameter of the command."""

    out: str
    queries: tuple[str, ...]
    model: str | None
    weights: str | None
    device: str
    top: int
    index: str | None
    output: str | None
    as_json: bool
    quiet: bool


MODEL = click.option("-m", "--model", metavar="MODEL", help="The store's encoder, elsewhere.  [default: as it says]")
WEIGHTS = click.option("--weights", metavar="WHERE", help="Its weights, elsewhere.  [default: as the store says]")
DEVICE = options.ENCODER[3]


@click.command(short_help="Find in a store what looks like an image.")
@click.argument("out", metavar="OUT")
@click.argument("queries", nargs=-1, required=True, metavar="QUERY...")
@MODEL
@WEIGHTS
@DEVICE
@options.output
@options.as_json
@options.quiet
@click.option("-n", "--top", type=click.IntRange(1), default=10, show_default=True, help="Rows for each query.")
@click.option("--index", type=click.Choice(["faiss"]), help="Ask an index, built once, not every row; not exact.")
def search(**given: Any) -> int:
    """Print the rows of the store OUT whose vectors are nearest to each QUERY, by cosine.

    QUERY is an image file, which is embedded by the encoder the store was made with; or the id of a row; or the path of
    an image as the store has it. A row is not among its own hits. An encoder with other weights, another recipe,
    pooling or dtype is refused.

    Without --index every row is looked at, part by part, and memory does not grow with the store. With -o page.html the
    pictures are shown side by side, as far as they can still be read.

    \b
    Example:
      snellen search photos.store cat.jpg -n 5
      snellen search photos.store 1718 -o near.html
    """
    from snellen.search import find
    from snellen.search.query import Place
    from snellen.store import Store

    asked = Asked(**given)
    if asked.output is not None:
        from snellen import draft

        draft.check(Path(asked.output), PAGE)
    store = Store.open(Path(asked.out))
    place = Place(model=asked.model, weights=asked.weights, device=asked.device)
    record = find.find(store, asked.queries, place, k=asked.top, index=_index(asked) if asked.index else None)
    record = replace(record, peak_bytes=_peak())
    if asked.output is not None:
        with reading() as read:
            _write(store, record, Path(asked.output), read)
    if asked.as_json:
        show.document(record.to_dict())
    else:
        for query in record.queries:
            _print(query, several=len(record.queries) > 1)
    show.say(_summary(record), quiet=asked.quiet)
    if asked.output is not None:
        show.say(f"written to {asked.output}", quiet=asked.quiet)
    return 0


@contextmanager
def reading() -> Iterator[Reads]:
    """Give what reads the bytes of a store's images, from wherever they were embedded."""
    from snellen.embed.sources import Missing, Reader
    from snellen.records.inputs import Input
    from snellen.search.again import Gone

    with Reader() as reader:

        def read(item: Input) -> bytes:
            try:
                return reader.read(item).content
            except Missing as error:
                raise Gone(error.seen, expected=error.expected, todo=error.todo) from error

        yield read


def _index(asked: Asked) -> Any:
    from snellen.search import index

    def opened(store: Store) -> Any:
        made = index.opened(store, lambda text: show.say(text, quiet=asked.quiet))
        return made.search, made.record

    return opened


def _write(store: Store, record: FoundRecord, path: Path, read: Reads) -> None:
    """Write the page."""
    from snellen import draft
    from snellen.report.found import page
    from snellen.search import thumbnails

    hits, queries = thumbnails.of_hits(store, record, read), thumbnails.of_queries(store, record, read)
    text = page(record, hits, queries)
    with draft.writing(path), draft.drafted(path) as file:
        file.write_text(text, encoding="utf-8")
    if missing := thumbnails.failed(hits.values()):
        show.say(f"{missing} of {len(hits)} pictures could not be read; the page says why")


def _print(query: QueryRecord, *, several: bool) -> None:
    from snellen.report.text import one_line

    if several:
        click.echo(f"{one_line(query.path)}{'' if query.id is None else f' (row {query.id})'}")
    rows = [(hit.rank, f"{hit.score:.{DIGITS}f}", hit.id, one_line(hit.path)) for hit in query.hits]
    show.table(("rank", "score", "id", "image"), rows)


def _summary(record: FoundRecord) -> str:
    """Return what was searched, how exactly, and what it took."""
    index, peak = record.index, record.peak_bytes
    how = "exactly"
    if index is not None:
        how = (
            f"through {index.kind}, which finds {index.recall:.1%} of the nearest {index.k} ({index.tried} rows tried)"
        )
    spent = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in record.seconds.items())
    memory = "" if peak is None else f"; peak memory {peak / 2**20:.0f} MiB"
    lines = [f"{record.rows:,} rows searched {how}: {spent}{memory}"]
    if record.model is not None:
        lines.append(show.headline(record.model))
    elif not record.identity.origin.trained:
        lines.append(f"weights seed:{record.identity.origin.seed}, drawn at random: what is near means nothing")
    return "\n".join(lines)


def _peak() -> int | None:
    from snellen.timing.memory import peak_bytes

    return peak_bytes()
