"""Fill a store: list the inputs, have an engine do the parts, write the manifest.

In: an order, an engine, and somebody who watches. Out: a store that is finished, or can be gone on with by the same
order. The order of things is all there is here: what is lost by a death between two lines is nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from snellen.embed.patches import whole
from snellen.embed.progress import Progress
from snellen.embed.sources import Reader, expand
from snellen.embed.sources.names import is_remote
from snellen.errors import SnellenError, UsageError
from snellen.records.inputs import Input
from snellen.records.store import Manifest, PartRecord
from snellen.store import RunState, Store, Writer, merge

if TYPE_CHECKING:
    from snellen.embed.engines import Engine

SNELLEN, CLIP = "snellen", "clip-retrieval"

FAILED = ("broken", "missing", "too_large")
"""The outcomes of inputs that have no vector."""


class TooManyErrors(SnellenError):
    """More inputs failed than the run was allowed; what was done is kept."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a store is to be filled with."""

    folder: Path
    sources: tuple[str, ...]
    command: str  # what a person types to go on with it
    shard: tuple[int, int] | None = None  # which part of all: i of n
    layout: str = SNELLEN
    max_errors: int | None = None
    settle: Callable[[RunState], None] | None = None  # what is done between the listing and the first part
    part_rows: int | None = None  # None: as many as suit the number of inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Who is told what happens."""

    say: Callable[[str], None]
    begin: Callable[[int, Counter[str]], None]  # how many inputs, and what became of those that were done before
    add: Callable[[Progress], None]


@dataclass(slots=True)
class Filled:
    """What came of it; ``manifest`` is None where other shards are still to come."""

    run: RunState
    counts: Counter[str] = field(default_factory=Counter)
    manifest: Manifest | None = None
    missing: int = 0  # parts that others are to do

    @property
    def failed(self) -> int:
        """How many inputs have no vector."""
        return sum(self.counts[status] for status in FAILED)


def fill(order: Order, engine: Engine, stdin: BinaryIO, watching: Watching) -> Filled:
    """Do all that is still to do.

    Raises UsageError where the folder is no store, is another encoder's, or is in use; TooManyErrors; Unavailable where
    the disk refuses; and what the engine raises. The same order then goes on with it.
    """
    with Writer.open(order.folder, engine.identity, shard=order.shard) as writer:
        before = writer.unfinished
        run = _begun(order, writer, stdin, watching, new=before is None)
        done = list(writer.done(run))
        watching.say(_said(run, done, new=before is None))
        _settled(order, writer, run, new=before is None)
        filled = Filled(run)
        for part in done:
            if part.number in _share(run, order.shard):
                filled.counts.update(part.counts)
        watching.begin(sum(len(run.span(number)) for number in _share(run, order.shard)), filled.counts.copy())
        _check(filled, order)  # or a run that is begun again and again would come to its end in spite of it
        for event in engine.run(str(order.folder), writer.todo(run)):
            if isinstance(event, PartRecord):
                continue
            filled.counts.update(event.counts)
            filled.counts.update(event.found)
            watching.add(event)
            _check(filled, order)
        filled.missing = run.parts - sum(1 for _ in writer.done(run))
        if not filled.missing:
            filled.manifest = _finished(writer, run)
            if order.layout == CLIP:
                writer.clip_layout()
            elif (order.folder / "img_emb").is_dir():
                watching.say("img_emb/ and metadata/ are as they were: --layout clip-retrieval brings them up to date")
    return filled


def joined(out: Path, folders: Sequence[Path] = ()) -> Manifest:
    """Bring what shards made in folders of their own to ``out``, patch features too, and finish their run.

    Raises what ``store.merge`` raises, and UsageError where patch features are missing or of different kinds.
    """

    def features(run: RunState) -> None:
        whole.bring(out, folders)
        whole.check(out, _rows(run))

    return merge(out, folders, first=features)


def _settled(order: Order, writer: Writer, run: RunState, *, new: bool) -> None:
    """Do what comes before the first part; a new run that fails there leaves nothing that must be gone on with."""
    if order.settle is None:
        return
    try:
        order.settle(run)
    except BaseException:  # also where a person stops it instead of an answer
        if new:
            writer.withdraw(run)
        raise


def _begun(order: Order, writer: Writer, stdin: BinaryIO, watching: Watching, *, new: bool) -> RunState:
    """Return the run to do: the one that was not finished, or a new one, whose inputs are listed."""
    if new:
        watching.say("listing the inputs")
    with Reader() as reader:
        inputs = map(_whole_place, expand(order.sources, stdin, watching.say))
        return writer.begin(order.sources, inputs, reader.stat, command=order.command, part_rows=order.part_rows)


def _said(run: RunState, done: Sequence[PartRecord], *, new: bool) -> str:
    """Return what there is to do."""
    if not new:
        rows = sum(part.rows for part in done)
        return f"going on with run {run.number}, begun {run.started}: {rows:,} of {run.rows:,} inputs are done"
    present = f"; {run.present:,} are in the store already" if run.present else ""
    parts = "1 part" if run.parts == 1 else f"{run.parts:,} parts"
    return f"{run.rows:,} inputs in {parts}{present}"


def _whole_place(item: Input) -> Input:
    """Return an input that is found from any working directory; its name stays as it was given."""
    if not item.place or is_remote(item.place):
        return item
    return replace(item, place=os.path.abspath(item.place))


def _finished(writer: Writer, run: RunState) -> Manifest:
    """Finish a run; of several shards that come to the end together, one does it for all."""
    whole.check(writer.folder, _rows(run))
    try:
        return writer.finish()
    except UsageError:
        if writer.unfinished is not None:
            raise
        manifest = Store.open(writer.folder).manifest
        if len(manifest.runs) <= run.number:
            raise
        return manifest


def _rows(run: RunState) -> list[tuple[int, int]]:
    """Return number and rows of every part."""
    return [(number, len(run.span(number))) for number in run.numbers]


def _share(run: RunState, shard: tuple[int, int] | None) -> range:
    """Return the numbers of the parts of one shard, as ``Writer.todo`` deals them out."""
    index, count = shard or (0, 1)
    return run.numbers[index::count]


def _check(filled: Filled, order: Order) -> None:
    if order.max_errors is not None and filled.failed > order.max_errors:
        raise TooManyErrors(
            f"{filled.failed:,} inputs could not be embedded",
            expected=f"at most {order.max_errors:,} (--max-errors)",
            todo="look at the messages above; the same command with a higher --max-errors goes on where it stopped",
        )
