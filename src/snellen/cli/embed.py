"""``snellen embed``: images to one vector each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snellen.cli import options, show

if TYPE_CHECKING:
    from snellen.embed.run import Row, Vector
    from snellen.records import ModelRecord, Outcome

SHOWN = 4  # values of each vector in the table


@click.command(short_help="Turn images into one vector each.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@options.encoder
@options.output
@options.as_json
@options.quiet
@click.option("--runtime", metavar="NAME", help="What executes it.  [default: openvino on a CPU, else eager]")
@click.option("--plan", type=click.Choice(["auto"]), help="Run as 'snellen tune' found best for it on this machine.")
@click.option("--batch-size", type=click.IntRange(1), help="Images encoded together.  [default: the runtime's]")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that decode images.")
def embed(
    wanted: options.Wanted,
    sources: tuple[str, ...],
    output: str | None,
    as_json: bool,
    quiet: bool,
    runtime: str | None,
    plan: str | None,
    batch_size: int | None,
    workers: int,
) -> int:
    """Embed images: files, folders, patterns such as 'photos/**/*.jpg', or - for a list on stdin.

    With -o the vectors go to a .parquet, .npz or .jsonl file, a row for every image in the order named; without it, a
    table is printed. The file says what made it, a .jsonl in every row. A bad image is reported, keeps its row, and
    makes the exit code 1.

    The first run on a CPU converts the encoder for OpenVINO and keeps that below ~/.cache/snellen (SNELLEN_CACHE;
    SNELLEN_CACHE_LIMIT, 20GiB); later ones start at once.

    \b
    Example:
      snellen embed photos -m vit_small_patch14_dinov2.lvd142m -o photos.parquet
    """
    from snellen import draft
    from snellen.embed import inputs, run, sinks

    if output:
        draft.check(Path(output), sinks.FORMATS)
    paths = list(inputs.expand(sources, sys.stdin.buffer))
    counts: Counter[str] = Counter()
    with wanted.embedder(runtime, plan=plan is not None, images=len(paths)) as model:
        rows = run.embed(model, paths, batch_size=batch_size or model.batch, workers=workers)
        counted = _counted(show.progress(rows, len(paths), "embedding", quiet=quiet), counts)
        document: dict[str, object] = {
            "schema": "snellen.embed/1",
            "model": model.record.to_dict(),
            "output": output,
            "counts": counts,
        }
        if output:
            with sinks.Sink(Path(output), model.record) as sink:
                for outcome, vector in counted:
                    sink.add(outcome, vector)
        elif as_json:
            document["inputs"] = [{**row.to_dict(), "embedding": sinks.numbers(vector)} for row, vector in counted]
        else:
            lines = [_line(outcome, vector) for outcome, vector in counted]
            click.echo(show.headline(model.record))
            show.table(("image", "size", "embedding", "norm", "status"), lines)
    if as_json:
        show.document(document)
    show.say(_summary(counts, model.record, output), quiet=quiet)
    return int(set(counts) != {"done"})


def _counted(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
    """Pass rows on, count them by status, and say of every failure what it was."""
    for outcome, vector in rows:
        counts[outcome.status] += 1
        if outcome.error_message:
            show.say(f"{outcome.image_path}: {outcome.error_message}")
        yield outcome, vector


def _line(outcome: Outcome, vector: Vector | None) -> tuple[str, str, str, str, str]:
    size = f"{outcome.width} x {outcome.height}" if outcome.width else "-"
    if vector is None:
        return outcome.image_path, size, "-", "-", outcome.status
    first = " ".join(f"{value:7.3f}" for value in vector[:SHOWN].tolist())
    norm = f"{float((vector.astype('float64') ** 2).sum() ** 0.5):.3f}"
    return outcome.image_path, size, f"{first} ... ({len(vector)})", norm, outcome.status


def _summary(counts: Counter[str], record: ModelRecord, output: str | None) -> str:
    parts = [f"{counts['done']} embedded", *(f"{n} {status}" for status, n in counts.items() if status != "done")]
    where = f"; written to {output}\n{show.headline(record)}" if output else ""
    return ", ".join(parts) + where
