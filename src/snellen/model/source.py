"""From what a person names to weights that can be read: a name of the zoo, a path, a hub id, or ``seed:N``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen import zoo
from snellen.errors import BadFile, UsageError
from snellen.records import Choice, Origin

if TYPE_CHECKING:
    from snellen.checkpoints.sources import Located
    from snellen.checkpoints.tensors import Tensors

SEED = "seed:"

PathName = str | os.PathLike[str]
"""A name, or a path in whatever form."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: the name of a variant (None: the weights say what they are) and where the weights are."""

    name: str | None
    weights: str
    choices: tuple[Choice, ...] = ()

    @property
    def seed(self) -> int | None:
        """The seed, where the weights are drawn from one."""
        if not self.weights.startswith(SEED):
            return None
        text = self.weights.removeprefix(SEED)
        if not text.isdecimal():
            raise UsageError(
                f"the weights are {self.weights!r}", expected="seed:N with a whole number N", todo="seed:0"
            )
        return int(text)


def wanted(name: PathName, weights: PathName | None) -> Wanted:
    """Sort out what ``name`` and ``weights`` mean together.

    A name alone may be a path, a ``modelscope:`` id, a variant whose weights are then looked for on the hub, or the
    hub id of somebody's own weights: one whose organisation has no weights in the zoo, where it would be a misspelt
    name.
    """
    name = os.fspath(name)
    if weights is not None:
        return Wanted(name, os.fspath(weights))
    if name.startswith(SEED):
        raise UsageError(
            f"{name!r} says how weights are drawn, not of which encoder",
            todo="name the model, and give the seed as weights",
        )
    if name.startswith("modelscope:") or _is_path(name) or _is_strangers(name):
        return Wanted(None, name)
    named = zoo.find(name)
    if named.repo is None:
        raise UsageError(f"{named.name} has no repository on the hub", todo="give its file with --weights / weights=")
    choice = Choice(named.repo, "the hub repository that holds the weights of this name")
    return Wanted(name, named.repo, (choice,))


@dataclass(frozen=True, slots=True)
class Opened:
    """Weights that lie open: the tensors, the configurations beside them, the origin."""

    tensors: Tensors
    document: dict[str, Any] | None
    processor: dict[str, Any] | None
    origin: Origin
    where: str
    choices: tuple[Choice, ...]


@contextmanager
def opened(weights: str, revision: str | None) -> Iterator[Opened]:
    """Find and open weights; ``FILE#ENTRY`` takes one entry of a torch file that nests several state dicts."""
    from snellen.checkpoints.files import open_tensors
    from snellen.checkpoints.sources import locate
    from snellen.checkpoints.tensors import DRAWN

    located = locate(weights, revision=revision)
    folder = located.path if located.path.is_dir() else None
    with open_tensors(located.path, located.wrapper) as tensors:
        yield Opened(
            tensors=tensors,
            document=_json(folder, "config.json"),
            processor=_processor(folder),
            origin=_origin(located, tensors.metadata.get(DRAWN)),
            where=f"'{weights}'",
            choices=(found(located),),
        )


def found(located: Located) -> Choice:
    """Return where weights were found, and why there."""
    return Choice(str(located.origin), located.reason)


def _processor(folder: Path | None) -> dict[str, Any] | None:
    """Return the settings of the image processor, from where transformers takes them.

    That is a table in ``processor_config.json`` where it has one, else ``preprocessor_config.json``.
    """
    nested = (_json(folder, "processor_config.json") or {}).get("image_processor")
    if nested is None:
        return _json(folder, "preprocessor_config.json")
    return _object(nested, f"image_processor in '{folder}/processor_config.json'")


def _json(folder: Path | None, name: str) -> dict[str, Any] | None:
    from snellen.checkpoints.sniff import read_json

    if folder is None or not (folder / name).exists():
        return None
    return _object(read_json(folder / name), f"'{folder / name}'")


def _object(document: Any, where: str) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    raise BadFile(
        f"{where} is not a JSON object but a {type(document).__name__}", todo="download the file again, or mend it"
    )


def _origin(located: Located, drawn: str | None) -> Origin:
    """Return where weights came from; a file of drawn ones, which says so itself, counts as its seed."""
    if drawn is not None:
        return Origin(kind="seed", path=str(located.path), seed=int(drawn.removeprefix(SEED)))
    kinds = {"hub": "hub", "hub cache": "hub", "modelscope": "modelscope", "modelscope cache": "modelscope"}
    kind: Any = kinds.get(located.origin, "file")
    return Origin(kind=kind, path=str(located.path), repo=located.repo, revision=located.revision)


def _is_path(name: str) -> bool:
    return Path(name).expanduser().exists() or name.startswith((".", "/", "~"))


def _is_strangers(name: str) -> bool:
    """Tell whether ``name`` is a hub id of an organisation that the zoo has no weights of."""
    organisation, slash, _ = name.partition("/")
    ours = {"timm", *(known.partition("/")[0] for known in zoo.names() if "/" in known)}
    return bool(slash) and organisation not in ours and ":" not in organisation
