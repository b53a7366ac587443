"""Find where weights come from: a path, a folder on the search path, ModelScope, or the hub; and say why.

In: what a person wrote. Out: a ``Located``: a file or folder that exists, and the reason it was chosen.
What exists on this machine wins; nothing that looks like a path is ever taken for the name of a repository.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snellen.errors import UsageError, WeightsUnavailable, nearest

Origin = Literal["file", "folder", "search path", "hub", "hub cache", "modelscope", "modelscope cache"]

SEARCH_PATH = "SNELLEN_MODELS"
ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".npz", ".json", ".ckpt", ".onnx", ".h5", ".msgpack", ".zip")
REPO = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
FORMS = "a file, a folder, organisation/name, modelscope:organisation/name, or seed:N"
SPELLING = "check the spelling, and the folder you are in"


@dataclass(frozen=True, kw_only=True)
class Located:
    """Weights that were found: where, how, and why these.

    ``repo`` and ``revision`` (the commit, where the hub gave one) are None for plain paths; ``wrapper`` is what
    stood after a '#': the entry of a torch file to read.
    """

    path: Path
    origin: Origin
    reason: str
    repo: str | None = None
    revision: str | None = None
    wrapper: str | None = None


def locate(spec: str, *, revision: str | None = None) -> Located:
    """Find the weights that ``spec`` names, downloading them if need be.

    ``spec`` is a path ("~" allowed, "file.pth#teacher" names an entry of a torch file), organisation/name with an
    optional @revision, or modelscope:organisation/name. Raises UsageError or WeightsUnavailable.
    """
    if not spec.strip() or spec.startswith("seed:"):
        raise UsageError(f"'{spec}' names no file and no repository", expected=FORMS, todo=SPELLING)
    if spec.startswith("modelscope:"):
        return _from_modelscope(*_split_revision(spec.removeprefix("modelscope:"), revision))
    found = _existing(spec)
    if found:
        if revision:
            raise UsageError(
                f"a revision ('{revision}') was asked for, and '{spec}' is a {found.origin} on this machine",
                todo="leave the revision out, or name a repository",
            )
        return found
    repo, revision = _split_revision(spec, revision)
    if _looks_like_path(spec) or not REPO.fullmatch(repo):
        raise _no_such_path(spec)
    return _from_search_path(repo, revision) or _from_hub(repo, revision)


def _existing(spec: str) -> Located | None:
    """Return the file or folder of that name, if there is one; with what follows a '#' taken as wrapper."""
    whole, _, wrapper = spec.rpartition("#")
    for text, entry in ((spec, None), (whole, wrapper or None)):
        path = _expanded(text)
        if text and os.path.lexists(path):
            origin: Origin = "folder" if os.path.isdir(path) else "file"
            return Located(path=path, origin=origin, reason=f"the {origin} '{path}' exists", wrapper=entry)
    return None


def _expanded(text: str) -> Path:
    """Replace "~"; leave alone the home of a user who does not exist."""
    return Path(os.path.expanduser(text))


def _looks_like_path(spec: str) -> bool:
    name = spec.partition("#")[0]
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1 or name.endswith(ENDINGS)


def _no_such_path(spec: str) -> WeightsUnavailable:
    path = _expanded(spec.partition("#")[0])
    try:
        near = nearest(path.name, os.listdir(path.parent))
        todo = f"did you mean {' or '.join(str(path.parent / name) for name in near)}?" if near else SPELLING
    except FileNotFoundError:
        todo = f"check the path: there is no folder '{path.parent}' either"
    except (OSError, ValueError):
        todo = f"check the path: '{path.parent}' cannot be looked into"
    return WeightsUnavailable(f"there is no file or folder '{spec}'", expected=FORMS, todo=todo)


def _split_revision(text: str, revision: str | None) -> tuple[str, str | None]:
    repo, _, written = text.partition("@")
    if written and revision and written != revision:
        raise UsageError(
            f"two revisions were asked for: '{written}' in '{text}', and '{revision}'", todo="leave one of them out"
        )
    return repo, written or revision


def _from_modelscope(repo: str, revision: str | None) -> Located:
    from snellen.checkpoints import modelscope

    found = modelscope.fetch_repo(repo, revision)
    origin: Origin = "modelscope cache" if found.cached else "modelscope"
    return Located(path=found.folder, origin=origin, repo=repo, revision=found.commit, reason=found.reason)


def _from_search_path(repo: str, revision: str | None) -> Located | None:
    """Return the first folder below SNELLEN_MODELS that carries the name; the reason tells of others."""
    hits = list(_hits(repo, revision))
    if not hits:
        return None
    path, commit = hits[0]
    reason = f"'{path}' is called {repo} and stands below {SEARCH_PATH}"
    if len(hits) > 1:
        reason += f"; first of {len(hits)}, not used: " + ", ".join(f"'{other}'" for other, _ in hits[1:])
    return Located(path=path, origin="search path", repo=repo, revision=commit, reason=reason)


def _hits(repo: str, revision: str | None) -> Iterator[tuple[Path, str | None]]:
    """Go through the folders of the search path; where a revision is asked for, only those that tell theirs count."""
    from snellen.checkpoints import hub

    for root in _roots():
        if not revision:
            for folder in dict.fromkeys((root / repo, root / repo.rpartition("/")[2])):
                if folder.is_dir():
                    yield folder, None
        if "/" in repo:
            cached = hub.find_cached(root, repo, revision)
            if cached:
                yield cached.folder, cached.commit


def _roots() -> list[Path]:
    """List the folders of the search path; raise UsageError for one that does not exist."""
    roots = [_expanded(text) for text in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if text]
    for root in roots:
        if not root.is_dir():
            raise UsageError(
                f"{SEARCH_PATH} names '{root}', which is no folder",
                expected=f"folders, separated by '{os.pathsep}'",
                todo=f"correct {SEARCH_PATH}, or take the folder out of it",
            )
    return roots


def _from_hub(repo: str, revision: str | None) -> Located:
    if "/" not in repo:
        below = f", and none of that name below {SEARCH_PATH}" if os.environ.get(SEARCH_PATH) else ""
        raise WeightsUnavailable(f"there is no file or folder '{repo}'{below}", expected=FORMS, todo=SPELLING)
    from snellen.checkpoints import hub

    found = hub.fetch_repo(repo, revision)
    origin: Origin = "hub cache" if found.cached else "hub"
    note = f" (nothing called {repo} below {SEARCH_PATH})" if os.environ.get(SEARCH_PATH) else ""
    return Located(path=found.folder, origin=origin, repo=repo, revision=found.commit, reason=found.reason + note)
