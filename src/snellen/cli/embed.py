"""``snellen embed``: images to one vector each, in a file or in a store."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from snellen.cli import options, show
from snellen.errors import UsageError

if TYPE_CHECKING:
    from snellen.embed.run import Row, Vector
    from snellen.embed.worker import Job
    from snellen.records import ModelRecord, Outcome

STORES_END = "choose one of these; the name of a folder that is not there yet ends in /"

SHOWN = 4  # values of each vector in the table

STORE_ONLY = ("layout", "dense", "yes", "max_errors", "dedup_report", "shard", "engine")
"""Options that mean nothing without a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, one field for each parameter of the command."""

    sources: tuple[str, ...]
    output: str | None
    as_json: bool
    quiet: bool
    runtime: str | None
    plan: str | None
    batch_size: int | None
    workers: int | None
    normalize: bool
    pool: str | None
    decode: str
    layout: str
    dense: str | None
    yes: bool
    max_errors: int | None
    dedup_report: bool
    shard: str | None
    engine: str

    @property
    def stores(self) -> bool:
        """Whether the output is a folder."""
        if self.output is None:
            return False
        path = Path(self.output)
        return self.output.endswith(("/", "\\")) or path.is_dir() or not path.suffix


@click.command(short_help="Turn images into one vector each.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@options.encoder
@options.output
@options.as_json
@options.quiet
@click.option("--runtime", metavar="NAME", help="What executes it.  [default: openvino on a CPU, else eager]")
@click.option("--plan", type=click.Choice(["auto"]), help="Run as 'snellen tune' found best for it on this machine.")
@click.option("--batch-size", type=click.IntRange(1), help="Images encoded together.  [default: the runtime's]")
@click.option("--workers", type=click.IntRange(1), help="Threads that decode.  [default: one a core]")
@click.option("--normalize", is_flag=True, help="Bring vectors to length 1, and record that.")
@click.option("--pool", metavar="NAME", help="cls or patch_mean in the place of the recipe's own.")
@click.option(
    "--decode",
    type=click.Choice(["exact", "fast"]),
    default="exact",
    show_default=True,
    help="fast: shrink large JPEGs while decoding; another recipe, and the drift is said.",
)
@click.option(
    "--layout",
    type=click.Choice(["snellen", "clip-retrieval"]),
    default="snellen",
    help="clip-retrieval: write that layout, too, beside the parts.",
)
@click.option(
    "--dense", metavar="SPEC", help="Store patch features, too: float16, pool2, pca64, int8, joined by commas."
)
@click.option("--yes", is_flag=True, help="Write what --dense estimates without asking.")
@click.option("--max-errors", metavar="N", type=click.IntRange(0), help="Stop when more inputs than this fail.")
@click.option("--dedup-report", is_flag=True, help="List the rows of a finished store whose images are the same.")
@click.option("--shard", metavar="I/N", help="Do the I-th of N shares of the work, from 0; see 'merge'.")
@click.option("--engine", metavar="local|ray", default="local", show_default=True, help="ray, or ray:ADDRESS.")
def embed(wanted: options.Wanted, **given: Any) -> int:
    """Embed images: files, folders, patterns, lists, archives, data sets and URLs, or - for a list on stdin.

    A pattern is 'photos/**/*.jpg', a list a .txt, .csv or .parquet file, an archive a .tar of webdataset, a data set a
    folder of Parquet files as Hugging Face writes them, a URL what fsspec opens: s3://, https://, hdfs://.

    With -o FOLDER/ the vectors go to a store: Parquet files of equal length, a row for every image, and a manifest. A
    run that was killed goes on by the same command; a later one embeds what is new. With -o and a file they go to a
    .parquet, .npz or .jsonl file, whole or not at all; without -o, a table is printed. A bad image is reported, keeps
    its row, and makes the exit code 1. --device npu:0,npu:1 or npu:all takes several devices.

    The first run on a CPU converts the encoder for OpenVINO and keeps that below ~/.cache/snellen (SNELLEN_CACHE;
    SNELLEN_CACHE_LIMIT, 20GiB); later ones start at once.

    \b
    Example:
      snellen embed photos -m vit_small_patch14_dinov2.lvd142m -o photos.parquet
      snellen embed 's3://bucket/shards/*.tar' -m vit_small_patch14_dinov2.lvd142m --normalize -o vectors/
    """
    asked = Asked(**given)
    if asked.stores:
        from snellen.cli import storing

        return storing.store(asked, _job(wanted, asked), _command())
    _check_file(asked)
    return _embed(wanted, asked)


def _embed(wanted: options.Wanted, asked: Asked) -> int:
    """Embed into one file, or print a table."""
    from snellen import draft
    from snellen.embed import sinks
    from snellen.embed.sources import expand
    from snellen.embed.worker import Worker

    if asked.output:
        path = Path(asked.output)
        if path.suffix.lower() not in sinks.FORMATS:
            endings = " or ".join(sinks.FORMATS)
            _refuse(f"the output {asked.output!r} ends in {path.suffix}", f"{endings}, or a folder", STORES_END)
        draft.check(path, sinks.FORMATS)
    inputs = list(expand(asked.sources, sys.stdin.buffer, show.say))
    counts: Counter[str] = Counter()
    with Worker(_job(wanted, asked, images=len(inputs))) as worker:
        if asked.decode == "fast" and inputs:
            from snellen.embed import sample

            found = str(sample.fast_drift(worker.model, [inputs[place] for place in sample.spread(len(inputs))]))
            show.say(found, quiet=asked.quiet)
            worker.note(found)
        rows = worker.rows(inputs)
        counted = _counted(show.progress(rows, len(inputs), "embedding", quiet=asked.quiet), counts)
        record = worker.record
        document: dict[str, object] = {
            "schema": "snellen.embed/1",
            "model": record.to_dict(),
            "output": asked.output,
            "counts": counts,
        }
        if asked.output:
            with sinks.Sink(Path(asked.output), record) as sink:
                for outcome, vector in counted:
                    sink.add(outcome, vector)
        elif asked.as_json:
            document["inputs"] = [{**row.to_dict(), "embedding": sinks.numbers(vector)} for row, vector in counted]
        else:
            lines = [_line(outcome, vector) for outcome, vector in counted]
            click.echo(show.headline(record))
            show.table(("image", "size", "embedding", "norm", "status"), lines)
    if asked.as_json:
        show.document(document)
    show.say(_summary(counts, record, asked.output), quiet=asked.quiet)
    return int(set(counts) != {"done"})


def _check_file(asked: Asked) -> None:
    """Refuse options that mean something for a store only."""
    usual = {"layout": "snellen", "engine": "local"}
    for name in STORE_ONLY:
        value = getattr(asked, name)
        if value is not None and value is not False and value != usual.get(name):
            _refuse(
                f"--{name.replace('_', '-')} was given without a store", "-o FOLDER/", "name a folder for the output"
            )


def _refuse(seen: str, expected: str, todo: str) -> NoReturn:
    raise UsageError(seen, expected=expected, todo=todo)


def _job(wanted: options.Wanted, asked: Asked, images: int | None = None) -> Job:
    """Return what opens the encoder, with pooling and decoding in its recipe, and with all cores to decode."""
    from snellen.devices import processor
    from snellen.embed.worker import Job

    recipe = _recipe(wanted.recipe, asked.pool, fast=asked.decode == "fast")
    return Job(
        asked=wanted.asked(asked.runtime, recipe=recipe, plan=asked.plan is not None, images=images),
        normalized=asked.normalize,
        batch_size=asked.batch_size,
        workers=asked.workers or processor.cores(),
    )


def _recipe(given: str | None, pool: str | None, *, fast: bool) -> str | None:
    """Return the recipe that was given, by name or as text, with what other options change in it."""
    from snellen.recipes.parse import changed
    from snellen.recipes.recipe import DCT

    changes = [*([f"pool {pool}"] if pool else []), *([f"dct {DCT}"] if fast else [])]
    if not changes:
        return given
    if given is not None and given.split("|")[0].strip() in ("stored", "upright"):
        return changed(given, changes)
    return " | ".join([given or "own", *changes])  # a name takes changes behind it


def _command() -> str:
    """Return the command line, for whoever is to go on with it: names in it are relative to where it was given."""
    return f"cd {shlex.quote(os.getcwd())} && {shlex.join(['snellen', *sys.argv[1:]])}"


def _counted(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
    """Pass rows on, count them by status, and say of every failure what it was."""
    for outcome, vector in rows:
        counts[outcome.status] += 1
        if outcome.error_message:
            show.say(f"{show.plain(outcome.image_path)}: {outcome.error_message}")
        yield outcome, vector


def _line(outcome: Outcome, vector: Vector | None) -> tuple[str, str, str, str, str]:
    size = f"{outcome.width} x {outcome.height}" if outcome.width else "-"
    name = show.plain(outcome.image_path)
    if vector is None:
        return name, size, "-", "-", outcome.status
    first = " ".join(f"{value:7.3f}" for value in vector[:SHOWN].tolist())
    norm = f"{float((vector.astype('float64') ** 2).sum() ** 0.5):.3f}"
    return name, size, f"{first} ... ({len(vector)})", norm, outcome.status


def _summary(counts: Counter[str], record: ModelRecord, output: str | None) -> str:
    parts = [f"{counts['done']} embedded", *(f"{n} {status}" for status, n in counts.items() if status != "done")]
    where = f"; written to {output}\n{show.headline(record)}" if output else ""
    return ", ".join(parts) + where
