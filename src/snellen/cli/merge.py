"""``snellen merge``: the shares of one run become one store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snellen.cli import options, show

if TYPE_CHECKING:
    from snellen.records.store import Manifest


@click.command(short_help="Join what 'embed --shard' made apart.")
@click.argument("out", metavar="OUT")
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@options.as_json
@options.quiet
def merge(out: str, folders: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Bring the shares of a run, which each FOLDER has from 'snellen embed --shard', into the store OUT.

    OUT may be new, or one of them. It is checked first that all are of the same listing and the same encoder, and that
    every part is there, whole; then parts become hard links where that is possible, copies elsewhere, and the manifest
    is written. Patch features come along. Without a FOLDER the run in OUT is finished if all its parts are there, which
    the last of its shares does, too. Given again, it goes on where it was stopped.

    \b
    Example:
      snellen merge vectors/ share0/ share1/
    """
    from snellen.embed.filling import joined

    manifest = joined(Path(out), [Path(folder) for folder in folders])
    if as_json:
        show.document({"schema": "snellen.merge/1", "output": out, "manifest": manifest.to_dict()})
    show.say(_summary(manifest, out), quiet=quiet)
    return 0


def _summary(manifest: Manifest, out: str) -> str:
    """Return what the store holds."""
    counts: Counter[str] = Counter()
    for part in manifest.parts:
        counts.update(part.counts)
    words = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in sorted(counts.items()) if number)
    parts = "1 part" if len(manifest.parts) == 1 else f"{len(manifest.parts):,} parts"
    return f"{out}: {manifest.rows:,} rows in {parts}{': ' if words else ''}{words}"
