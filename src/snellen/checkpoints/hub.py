"""Fetch a repository from the hub through huggingface_hub: its config and one form of its weights, nothing else.

In: a repository id and a revision; HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the cache folder are read from the
environment when called. Out: a ``Snapshot`` in the library's own cache, or one WeightsUnavailable for every way this
can fail. A branch is marked as cached only after its last file has arrived, so that an interrupted download
never stands in for a whole one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from snellen.checkpoints.files import choose_weights, read_index
from snellen.checkpoints.hub_errors import HubError, explain
from snellen.checkpoints.snapshots import Snapshot, check_repo_id, is_complete, ways_out
from snellen.errors import BadFile, SnellenError, WeightsUnavailable

COMMIT = re.compile(r"[0-9a-f]{40}")
BRANCH = "main"
SETTINGS = ("config.json", "preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class Hub:
    """Where to ask, where to keep, and whether asking is allowed."""

    endpoint: str
    cache: Path
    offline: bool

    @classmethod
    def from_environment(cls) -> Hub:
        """Read the settings as they are now; what is not set is the library's default."""
        from huggingface_hub import constants

        env = os.environ
        cache = env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE")
        if not cache:
            cache = os.path.join(env["HF_HOME"], "hub") if env.get("HF_HOME") else constants.HF_HUB_CACHE
        asked = (env.get("HF_HUB_OFFLINE") or env.get("TRANSFORMERS_OFFLINE") or "").upper()
        return cls(
            endpoint=(env.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/"),
            cache=Path(os.path.expandvars(cache)).expanduser(),
            offline=asked in {"1", "ON", "YES", "TRUE"} or constants.HF_HUB_OFFLINE,
        )


def fetch_repo(repo_id: str, revision: str | None = None) -> Snapshot:
    """Fetch config and weights of a repository, or find them in the cache.

    ``revision`` is a branch, a tag or a commit; None is the main branch. Raises WeightsUnavailable, with the ways out.
    """
    check_repo_id(repo_id)
    hub = Hub.from_environment()
    cached = find_cached(hub.cache, repo_id, revision)
    if cached and COMMIT.fullmatch(revision or ""):
        return cached  # a commit never changes: nothing to ask
    if hub.offline:
        return cached or _refuse_offline(hub, repo_id, revision)
    try:
        return _download(hub, repo_id, revision)
    except HubError as error:
        if cached and error.cache_will_do:
            return Snapshot(cached.folder, cached.commit, True, f"{cached.reason}, because {error.seen}")
        raise


def find_cached(cache: Path, repo_id: str, revision: str | None = None) -> Snapshot | None:
    """Find a complete snapshot of a repository in a cache folder of the hub's layout; None if there is none."""
    home = cache / f"models--{repo_id.replace('/', '--')}"
    commit = revision if revision and COMMIT.fullmatch(revision) else _commit_of(home, revision or BRANCH)
    if commit is None and revision is None and (home / "snapshots").is_dir():
        snapshots = sorted(folder.name for folder in (home / "snapshots").iterdir())
        commit = snapshots[0] if len(snapshots) == 1 else None
    if commit is None or not is_complete(home / "snapshots" / commit):
        return None
    return Snapshot(home / "snapshots" / commit, commit, True, f"cached copy of {repo_id} at {commit[:12]}")


def _commit_of(home: Path, revision: str) -> str | None:
    """Read which commit a branch or tag was when it was last fetched."""
    try:
        return (home / "refs" / revision).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _refuse_offline(hub: Hub, repo_id: str, revision: str | None) -> Snapshot:
    raise WeightsUnavailable(
        f"the weights of {repo_id} ({revision or BRANCH}) are not, or not completely, in the cache '{hub.cache}', "
        "and HF_HUB_OFFLINE forbids to fetch them",
        todo=ways_out("unset HF_HUB_OFFLINE, with HF_ENDPOINT set to a mirror where the hub cannot be reached"),
    )


def _download(hub: Hub, repo_id: str, revision: str | None) -> Snapshot:
    """Fetch by commit what is wanted, then mark the branch."""
    from huggingface_hub import HfApi, constants

    api = HfApi(endpoint=hub.endpoint, library_name="snellen")
    with _translated(hub, repo_id, revision, ""):
        info = api.model_info(repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        commit, names = info.sha or revision or BRANCH, sorted(file.rfilename for file in info.siblings or ())
    before = find_cached(hub.cache, repo_id, commit)

    def get(name: str, at: str) -> Path:
        with _translated(hub, repo_id, revision, name):
            return Path(api.hf_hub_download(repo_id, name, revision=at, cache_dir=hub.cache))

    weights = _choose(names, repo_id)
    path = get(weights, commit)
    shards = [shard.name for shard in read_index(path)] if weights.endswith(".index.json") else []
    for name in (*shards, *(name for name in SETTINGS if name in names)):
        get(name, commit)
    if revision != commit:
        get(weights, revision or BRANCH)  # it is there already: this marks what the branch now is
    how = "cached copy of" if before else "fetched"
    reason = f"{how} {repo_id} at {commit[:12]}, which is {revision or BRANCH} at {hub.endpoint}"
    return Snapshot(path.parent, commit, before is not None, reason)


def _choose(names: list[str], repo_id: str) -> str:
    """Choose the weights among the files of a repository that do not stand in a folder of it."""
    try:
        return choose_weights([name for name in names if "/" not in name], f"the repository {repo_id}")
    except BadFile as error:
        raise WeightsUnavailable(error.seen, expected=error.expected, todo=ways_out("another repository")) from None


@contextmanager
def _translated(hub: Hub, repo_id: str, revision: str | None, file: str) -> Iterator[None]:
    """Turn whatever the library, its HTTP client or the disk raises into a HubError; ``file``: what was downloaded."""
    try:
        yield
    except SnellenError:
        raise
    except Exception as error:  # the classes differ between versions of library and client
        raise explain(error, repo_id, f"{revision or BRANCH}", (hub.endpoint, str(hub.cache), file)) from error
