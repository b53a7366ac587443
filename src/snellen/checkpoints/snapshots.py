"""What a model hub leaves on the disk: a folder that holds one revision of a repository.

Shared by the hubs: the record of a snapshot, the test that nothing of it is missing, and the ways out that every
"no weights" message ends with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from snellen.checkpoints.files import choose_weights, shards_of
from snellen.errors import BadFile, UsageError

LOCAL = "a local file or folder, named with --weights (weights= in Python) or found by name below SNELLEN_MODELS"
SEED = "seed:0 instead of weights, where only speed or correctness is measured"


@dataclass(frozen=True)
class Snapshot:
    """One revision of a repository as a folder: where, which commit (if known), fetched now or before, and why this."""

    folder: Path
    commit: str | None
    cached: bool
    reason: str


def ways_out(first: str) -> str:
    """Return the three ways to go on, numbered; ``first`` is the one that differs from case to case."""
    return f"(1) {first}; (2) {LOCAL}; (3) {SEED}"


def is_complete(folder: Path) -> bool:
    """Say whether ``folder`` has weights, and every shard if they are sharded."""
    try:
        weights = folder / choose_weights(sorted(entry.name for entry in folder.iterdir() if entry.is_file()), "")
        return not weights.name.endswith(".index.json") or bool(shards_of(weights))
    except (BadFile, OSError):
        return False


def check_repo_id(repo_id: str) -> None:
    """Raise UsageError unless ``repo_id`` has the form organisation/name."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repo_id, re.ASCII):
        raise UsageError(
            f"'{repo_id}' is not the name of a repository",
            expected="organisation/name",
            todo="add the organisation, as in facebook/dinov2-small",
        )
