"""What a person asks for, and what is known of it when it was asked for before. Imports no torch.

In: a request. Out: a key, which is another one as soon as the files that the request leads to, the versions or
snellen's own code are others; and what was kept under it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen import cache
from snellen._version import __version__
from snellen.errors import BadFile, Unavailable, UsageError
from snellen.model import source
from snellen.records import Choice, ModelRecord
from snellen.records.reading import read
from snellen.runtimes.versions import code, version

if TYPE_CHECKING:
    from collections.abc import Iterable

AUTO = "auto"
REQUESTS = "requests"
"""The kind of document."""

PACKAGES = ("torch", "openvino")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asked for; ``plan``: run as 'snellen tune' found best, if it did.

    ``images`` says how many there will be, where that is known: a few are embedded one after the other on all cores.
    """

    name: str
    weights: str | None = None
    recipe: str | None = None
    revision: str | None = None
    device: str = "cpu"
    runtime: str = AUTO
    dtype: str | None = None
    plan: bool = False
    images: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is known of a request that was met before: the record of its model, and the networks made of it."""

    record: ModelRecord
    activations: int  # of one image between two layers: tokens times width
    networks: dict[str, str]  # by what they are written in


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it stands now: its key, and where its weights were found today."""

    key: str
    found: Choice | None  # None: they are drawn
    place: int  # of that choice among those of the model's record


def request(asked: Asked) -> Request | None:
    """Return what a request leads to; None where its weights cannot be read, which loading them words.

    Raises what ``locate`` raises where they cannot be found.
    """
    wanted = source.wanted(asked.name, asked.weights)
    found: Choice | None = None
    files: list[Any] = []
    if wanted.seed is None:
        from snellen.checkpoints.sources import locate

        located = locate(wanted.weights, revision=asked.revision)
        found = source.found(located)
        try:
            files = [str(located.path), located.wrapper, *_files(located.path)]
        except (OSError, BadFile):
            return None
    facts = {
        "asked": [asked.name, asked.weights, asked.recipe, asked.revision],
        "files": files,
        "versions": [__version__, code(), *map(version, PACKAGES)],
    }
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return Request(key, found, len(wanted.choices))


def recalled(request: Request) -> Kept | None:
    """Return what is known of a request, with where its weights were found today in the place of that day's.

    None where nothing is known, or where it was written by another version.
    """
    document = cache.recall(REQUESTS, request.key)
    try:
        kept = None if document is None else read(Kept, document)
    except UsageError:
        return None
    if kept is None or request.found is None:
        return kept
    choices = list(kept.record.choices)
    choices[request.place : request.place + 1] = [request.found]
    return replace(kept, record=replace(kept.record, choices=tuple(choices)))


def remember(request: Request, kept: Kept) -> str | None:
    """Keep what is known of a request, beside its networks that are known already; return why it could not be kept.

    Nothing is lost then but time: the next one has to load the model again.
    """
    known = recalled(request)
    networks = {**({} if known is None else known.networks), **kept.networks}
    try:
        cache.remember(REQUESTS, request.key, asdict(replace(kept, networks=networks)))
    except Unavailable as error:
        return f"what was found is not kept, and the next run has to load the model again: {error.seen}"
    return None


def _files(path: Path) -> list[tuple[Any, ...]]:
    """Return what tells a file from every other, for all that are read: a file, the shards of an index, a folder's.

    Raises OSError and BadFile where they cannot be read; a shard that is not there is told by its name alone.
    """
    if path.is_dir():
        return [_told(file) for file in sorted(path.iterdir()) if not file.is_dir()]
    from snellen.checkpoints.files import read_index
    from snellen.checkpoints.sniff import identify

    beside: Iterable[Path] = read_index(path) if identify(path) == "index" else ()
    return [_told(file) for file in (path, *beside)]


def _told(file: Path) -> tuple[Any, ...]:
    """Return name, size, times, number and disk of a file; whoever puts the time back changes the other one."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return (file.name,)
    return (file.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)
