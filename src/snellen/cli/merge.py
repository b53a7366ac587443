"""``snellen merge``: what several workers of --shard made becomes one store.

In: the folder of the whole, and those of the workers where each had its own. Out: the manifest, or what is missing and
the commands that make it.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snellen.cli import options, show
from snellen.errors import SnellenError, UsageError

if TYPE_CHECKING:
    from snellen.records.store import Manifest
    from snellen.store import RunState

SHARD = re.compile(r"(\d+)/(\d+)")
NAMED = 10  # parts that are named in a line


@dataclass(frozen=True, slots=True)
class Lacking:
    """Parts that no folder has, and what a person types to make them."""

    parts: tuple[int, ...] = ()
    commands: tuple[str, ...] = ()


@click.command(short_help="Join what 'embed --shard' made apart.")
@click.argument("out", metavar="OUT")
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@options.as_json
@options.quiet
def merge(out: str, folders: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Make one store of what 'snellen embed --shard I/N' made, I from 0 to N - 1.

    Workers that shared one folder are joined by its name alone, which the last of them does, too. Where each had a
    folder of its own, OUT is a new one, or one of them, and FOLDER names the others: their parts are linked, or copied
    where that cannot be, and checked by their sha256; patch features come along. It is refused unless all worked on the
    same listing with the same encoder and every part is there; what is missing is named, with the commands that make
    it. A merge that was stopped goes on by the same command.

    \b
    Example:
      snellen merge vectors/
      snellen merge vectors/ share-0/ share-1/ share-2/
    """
    from snellen.embed.filling import joined

    others = [Path(folder) for folder in folders]
    try:
        manifest = joined(Path(out), others)
    except UsageError as error:
        lacking = Lacking()
        with suppress(SnellenError):  # what is wrong is said already
            lacking = _lacking(Path(out), others)
        if as_json:
            show.document({**_document(out, None, lacking), "error": error.seen})
        for line in _told(lacking):
            show.say(line)
        raise
    if as_json:
        show.document(_document(out, manifest, Lacking()))
    show.say(_summary(out, manifest), quiet=quiet)
    return 0


def _summary(out: str, manifest: Manifest) -> str:
    """Return what the store holds."""
    counts: Counter[str] = Counter()
    for part in manifest.parts:
        counts.update(part.counts)
    named = ", ".join(f"{number:,} {status.replace('_', ' ')}" for status, number in sorted(counts.items()) if number)
    parts = "1 part" if len(manifest.parts) == 1 else f"{len(manifest.parts):,} parts"
    return f"{out}: {manifest.rows:,} rows in {parts}{': ' if named else ''}{named}"


def _document(out: str, manifest: Manifest | None, lacking: Lacking) -> dict[str, object]:
    return {
        "schema": "snellen.merge/1",
        "output": out,
        "missing": list(lacking.parts),
        "commands": list(lacking.commands),
        "manifest": None if manifest is None else manifest.to_dict(),
    }


def _told(lacking: Lacking) -> Iterator[str]:
    """Yield what is missing, and the commands, a line each."""
    if not lacking.parts:
        return
    named = ", ".join(map(str, lacking.parts[:NAMED]))
    more = f" and {len(lacking.parts) - NAMED:,} more" if len(lacking.parts) > NAMED else ""
    yield f"missing: {'part' if len(lacking.parts) == 1 else 'parts'} {named}{more}"
    yield from (f"  {command}" for command in lacking.commands)


def _lacking(out: Path, folders: Sequence[Path]) -> Lacking:
    """Return the parts of the run in work that are in none of the folders."""
    from snellen.store import state
    from snellen.store.layout import Places

    places = [Places(folder) for folder in (out, *folders)]
    there = [(each, run) for each in places if (run := state.unfinished(each, state.manifest(each))) is not None]
    if not there:
        return Lacking()
    first = there[0][1]
    missing = [
        number
        for number in first.numbers
        if all(state.finished_part(each, run.number, number) is None for each, run in there)
    ]
    return Lacking(tuple(missing), tuple(_commands(first, missing, [run.command for _, run in there])))


def _commands(run: RunState, missing: Sequence[int], commands: Sequence[str]) -> Iterator[str]:
    """Yield what makes the parts: the commands of their workers, as these gave them or as the others suggest them."""
    known = {shard: command for command in commands if (shard := _shard(command)) is not None}
    if not known:
        yield from (commands[:1] if missing and commands[0] else ())
        return
    (_, count), command = next(iter(known.items()))
    for index in sorted({(number - run.first_part) % count for number in missing}):
        yield known.get((index, count)) or _another(command, index, count, apart=len(commands) > 1)


def _shard(command: str) -> tuple[int, int] | None:
    """Return the share in a command line: I and N of --shard I/N."""
    words = shlex.split(command)
    for at, word in enumerate(words):
        name, _, value = word.partition("=")
        given = value or (words[at + 1] if at + 1 < len(words) else "")
        if name == "--shard" and (found := SHARD.fullmatch(given)):
            return int(found[1]), int(found[2])
    return None


def _another(command: str, index: int, count: int, *, apart: bool) -> str:
    """Return the command of another worker; ``apart``: it has a folder of its own, which nobody named."""
    words, wanted = shlex.split(command), f"{index}/{count}"
    for at, word in enumerate(words):
        if at and words[at - 1] == "--shard":
            words[at] = wanted
        elif word.startswith("--shard="):
            words[at] = f"--shard={wanted}"
        elif apart and at and words[at - 1] in ("-o", "--output"):
            words[at] = "FOLDER/"
        elif apart and word.startswith("--output="):
            words[at] = "--output=FOLDER/"
    return shlex.join(words)
