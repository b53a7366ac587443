"""Fetch a repository from ModelScope: its cache is read here, downloads go through its own library (an extra).

In: organisation/name and a revision. Out: a ``Snapshot``. The layout of the cache changed over the years; all of
these are read, below MODELSCOPE_CACHE or ~/.cache/modelscope, newest layout first:

    models/<org>--<name>/snapshots/<revision>/
    models/<org>/<name>/          hub/models/<org>/<name>/
    <org>/<name>/                 hub/<org>/<name>/

In the older ones a dot in <name> is written as three underscores, and the revision is known only from
the note ".mv" that the library leaves in the folder. A cached copy is used without asking the hub.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from snellen.checkpoints.snapshots import Snapshot, check_repo_id, is_complete, ways_out
from snellen.errors import MissingPackage, WeightsUnavailable

SETTINGS = ["config.json", "preprocessor_config.json", "processor_config.json"]
DEFAULTS = ("master", "main")
WANTED = [*SETTINGS, "model*.safetensors", "model.safetensors.index.json"]
OTHERWISE = ["*.bin", "*.bin.index.json", "*.pth", "*.pt", "*.npz", "*.safetensors"]


def cache_root() -> Path:
    """Return the folder ModelScope keeps its downloads in."""
    return Path(os.environ.get("MODELSCOPE_CACHE") or Path.home() / ".cache" / "modelscope").expanduser()


def fetch_repo(repo_id: str, revision: str | None = None) -> Snapshot:
    """Find a repository in the cache, or download its config and weights.

    Raises MissingPackage where a download is needed and the library is not installed, WeightsUnavailable if it fails.
    """
    check_repo_id(repo_id)
    cached = find_cached(cache_root(), repo_id, revision)
    return cached or _download(repo_id, revision)


def find_cached(root: Path, repo_id: str, revision: str | None = None) -> Snapshot | None:
    """Find a complete copy of a repository in a ModelScope cache; None if there is none of that revision."""
    for folder, known in _candidates(root, repo_id):
        fits = known == revision if revision else True
        if fits and is_complete(folder):
            at = known or "an unknown revision"
            return Snapshot(folder, known, True, f"cached copy of {repo_id} at {at}, not compared with ModelScope")
    return None


def _candidates(root: Path, repo_id: str) -> list[tuple[Path, str | None]]:
    """List the folders a repository may stand in, each with its revision as far as it is known."""
    owner, name = repo_id.split("/")
    snapshots = root / "models" / f"{owner}--{name}" / "snapshots"
    revisions = sorted(folder.name for folder in snapshots.iterdir() if folder.is_dir()) if snapshots.is_dir() else []
    first = [revision for revision in DEFAULTS if revision in revisions]
    others = [revision for revision in revisions if revision not in DEFAULTS]
    ordered = first + (others if len(others) == 1 or not first else [])
    found: list[tuple[Path, str | None]] = [(snapshots / revision, revision) for revision in ordered]
    for parent in (root / "models", root / "hub" / "models", root, root / "hub"):
        for written in dict.fromkeys((name.replace(".", "___"), name)):
            folder = parent / owner / written
            if folder.is_dir():
                found.append((folder, _noted_revision(folder)))
    return found


def _noted_revision(folder: Path) -> str | None:
    try:
        noted = re.match(r"Revision:([^,\s]+)", (folder / ".mv").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return noted[1] if noted else None


def _download(repo_id: str, revision: str | None) -> Snapshot:
    try:
        from modelscope import snapshot_download
    except ImportError:
        raise MissingPackage(
            f"{repo_id} is not in the ModelScope cache '{cache_root()}', and the package modelscope is not installed",
            todo="pip install 'snellen[modelscope]'; or " + ways_out("a cache folder that has it: MODELSCOPE_CACHE"),
        ) from None
    place = {"cache_dir": os.environ["MODELSCOPE_CACHE"]} if os.environ.get("MODELSCOPE_CACHE") else {}
    folder = Path()
    for patterns in (WANTED, [*SETTINGS, *OTHERWISE]):
        try:
            folder = Path(snapshot_download(repo_id, revision=revision, allow_patterns=patterns, **place))
        except Exception as error:
            raise _failed(error, repo_id, revision) from error
        if is_complete(folder):
            return Snapshot(folder, revision, False, f"{repo_id} ({revision or 'default revision'}) from ModelScope")
    raise WeightsUnavailable(
        f"{repo_id} at ModelScope has no weights that are read here", todo=ways_out("another repository")
    )


def _failed(error: Exception, repo_id: str, revision: str | None) -> WeightsUnavailable:
    """Translate what the library raised: its classes differ between versions, the HTTP status does not."""
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status_code", None)
    reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:200]
    at = f" at revision '{revision}'" if revision else ""
    if status in (401, 403):
        return WeightsUnavailable(
            f"ModelScope refuses access to {repo_id} ({reason})",
            todo=ways_out("ask for access on its page, then log in: modelscope login"),
        )
    if status == 404:
        return WeightsUnavailable(
            f"ModelScope has no {repo_id}{at} ({reason})", todo=ways_out("check organisation, name and revision")
        )
    return WeightsUnavailable(
        f"{repo_id}{at} could not be fetched from ModelScope ({reason})",
        todo=ways_out("try again, or set MODELSCOPE_ENDPOINT to the site that can be reached"),
    )
