"""What kept things depend on beside their inputs: versions of packages, and snellen's own code. Imports no torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent

ABSENT = "absent"

NUMBERS = ("encoders", "runtimes/graph.py", "runtimes/openvino")
"""The parts of snellen that decide what a network of OpenVINO computes."""


def version(package: str) -> str:
    """Return the version of an installed package; "absent" where there is none, or none that says its version."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ABSENT


@cache
def numbers() -> str:
    """Return a digest of the code that decides what a network of OpenVINO computes, wherever it is installed."""
    whole = hashlib.sha256()
    for part in NUMBERS:
        place = PACKAGE / part
        for path in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            whole.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


@cache
def code() -> str:
    """Return a digest of sizes and times of all of snellen's code, which is quicker than reading it."""
    return hashlib.sha256("\n".join(sorted(_sources(str(PACKAGE), ""))).encode()).hexdigest()


def _sources(folder: str, at: str) -> Iterator[str]:
    """Yield place, size and time of every file of code in a folder; ``at`` is the folder's place in the package."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                stat = entry.stat()
                yield f"{at}{entry.name} {stat.st_size} {stat.st_mtime_ns}"
            elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                yield from _sources(entry.path, f"{at}{entry.name}/")
