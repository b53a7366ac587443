"""Whether the files that a report names lie beside it, and are those that it names.

In: a report's document and its folder. Out: findings.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from snellen.report.check.found import Findings
from snellen.report.check.walk import Part

PIECE = 1 << 20


def check(document: Part, folder: Path | None, out: Findings) -> None:
    """Look at every file that is named."""
    named = [file for file in document["files"].parts() if file["name"].text]
    if folder is None or not named:
        out.skip("files", "there is no folder to look in" if named else "none is named", "files")
        return
    inside = [file for file in named if _inside(file, out)]
    if inside and not any(_path(folder, file).is_file() for file in inside):
        out.skip("files", "none of them lies beside this file", "files")
        return
    for file in inside:
        beside(_path(folder, file), file, out)


def beside(path: Path, file: Part, out: Findings) -> None:
    """Hold one file to the size and the digest that are named."""
    there = path.is_file()
    out.judge("files", file["name"].place, holds=there, seen=f"{path.name} is not there", expected="a file")
    size, digest = file["bytes"].number, file["sha256"].text
    if there and size is not None:
        found = path.stat().st_size
        out.judge(
            "files", file["bytes"].place, holds=found == size, seen=f"{size:.0f} bytes", expected=f"{found} bytes"
        )
    if there and digest is not None:
        found_digest = sha256(path)
        holds, expected = found_digest == digest.lower(), f"{found_digest[:16]}..."
        out.judge("files", file["sha256"].place, holds=holds, seen=f"{digest[:16]}...", expected=expected)


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _inside(file: Part, out: Findings) -> bool:
    """Tell whether a name stays within the folder; one that leads elsewhere is not followed."""
    name = file["name"].text or ""
    parts = PurePosixPath(name).parts
    holds = ".." not in parts and not name.startswith(("/", "\\")) and ":" not in name
    out.judge("files", file["name"].place, holds=holds, seen=repr(name[:60]), expected="a name inside the folder")
    return holds


def _path(folder: Path, file: Part) -> Path:
    return folder / PurePosixPath(file["name"].text or "")
