"""Where everything of a store lies, and what the tables in it look like.

In: the folder of a store, numbers of runs and parts. Out: paths, Arrow schemas, the length of a part. ``.snellen``
holds what a run needs to go on; a reader needs only the manifest and the parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROW_GROUP = 1024
"""Rows of a part that are written and read together."""

MOST_ROWS = 10_000
"""Rows of a part, at most: its vectors are some tens of megabytes, and a folder of 10^8 rows has 10^4 files."""

LEAST_ROWS = 256

METADATA_KEY = "snellen"
PART_SCHEMA = "snellen.part/1"
RUN_SCHEMA = "snellen.run/1"

GOOD = ("done", "already_present")
"""The statuses of rows that have a vector."""


def part_rows(rows: int) -> int:
    """Return the rows of each part of a run of ``rows``: about 16 parts, but neither tiny nor large ones."""
    sixteenth = -(-rows // 16)
    rounded = -(-sixteenth // LEAST_ROWS) * LEAST_ROWS
    return min(MOST_ROWS, max(LEAST_ROWS, rounded))


def part_name(number: int) -> str:
    """Return the file name of a part."""
    return f"part-{number:05d}.parquet"


class Places:
    """The paths of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inside = folder / ".snellen"
        self.manifest = folder / "manifest.json"
        self.lock = self.inside / "lock"
        self.listing_lock = self.inside / "listing.lock"
        self.journals = self.inside / "journal"

    def part(self, number: int) -> Path:
        """Return the place of a finished part."""
        return self.folder / part_name(number)

    def run(self, run: int) -> Path:
        """Return the folder with what a run was asked and has done."""
        return self.inside / f"run-{run:05d}"

    def asked(self, run: int) -> Path:
        """Return the file that says what a run was asked; it is there when the listing is complete."""
        return self.run(run) / "run.json"

    def listing(self, run: int, number: int) -> Path:
        """Return one file of the listing of a run."""
        return self.run(run) / f"listing-{number:05d}.parquet"

    def record(self, run: int, number: int) -> Path:
        """Return the file that says that a part is finished."""
        return self.run(run) / f"part-{number:05d}.json"

    def journal(self, number: int) -> Path:
        """Return the journal of an unfinished part."""
        return self.journals / f"part-{number:05d}.journal"

    def known(self, runs: int) -> Path:
        """Return the folder of the index over the rows of the first ``runs`` runs."""
        return self.inside / f"known-{runs:05d}"

    def aside(self, name: str) -> Path:
        """Return where a file is written that is not whole yet; whoever writes it holds a lock."""
        return self.journals / f"{name}.aside"


def rows_schema() -> Any:
    """Return the Arrow schema of the rows of a part."""
    import pyarrow

    text, whole = pyarrow.string(), pyarrow.int64()
    columns = {
        "id": whole,
        "image_path": text,
        "embedding": pyarrow.list_(pyarrow.float32()),
        "status": text,
        "error_message": text,
        "sha256": text,
        "width": pyarrow.int32(),
        "height": pyarrow.int32(),
        "notes": pyarrow.list_(text),
        "file_size": whole,
        "modified_ns": whole,
        "same_as": whole,
    }
    return pyarrow.schema(list(columns.items()))


def listing_schema() -> Any:
    """Return the Arrow schema of a listing.

    ``place`` is binary, for paths need not be text. ``replaces``: ids of the rows of the same path that this one makes
    obsolete, unless it is missing; ``missed``: of those that were missing, and are obsolete anyway.
    """
    import pyarrow

    text, whole = pyarrow.string(), pyarrow.int64()
    columns = {
        "id": whole,
        "path": text,
        "place": pyarrow.binary(),
        "kind": text,
        "offset": whole,
        "size": whole,
        "row": whole,
        "column": text,
        "replaces": pyarrow.list_(whole),
        "missed": pyarrow.list_(whole),
    }
    return pyarrow.schema(list(columns.items()))
