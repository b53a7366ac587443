"""The folders that runs write to: may they, is there room, how much is there already.

In: ``System``; the settings that choose the folders. Out: findings and facts. Nothing is written to find out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snellen import cache
from snellen.checkpoints import modelscope
from snellen.checkpoints.hub import Hub
from snellen.devices.system import System
from snellen.errors import SnellenError
from snellen.records.doctor import Finding

ENTRIES = 20_000  # files that are counted before "at least" is said
LITTLE_BYTES = 2**30
GIB = 2**30


def look(system: System) -> tuple[tuple[Finding, ...], dict[str, Any]]:
    """Return what is to be said of the folders, and how much they hold."""
    findings: list[Finding] = []
    facts: dict[str, Any] = {}
    try:
        own, most = cache.root(), cache.limit()
    except SnellenError as error:
        findings.append(
            Finding(
                name="cache.snellen",
                severity="warning",
                seen=error.seen,
                matters="nothing that was made once can be kept",
                mend=error.todo,
            )
        )
    else:
        lost = "compiled models and tuned plans are made anew in every run, and 'snellen tune' refuses to begin"
        place = _Place("cache.snellen", own, "SNELLEN_CACHE", lost, *_size(own))
        facts["snellen"] = {**place.facts(), "limit_bytes": most}
        findings.append(_folder(system, place))
    hubs = [("cache.modelscope", modelscope.cache_root(), "MODELSCOPE_CACHE")]
    with suppress(ImportError):  # without its library there is none, which the look at the hub says
        hubs.insert(0, ("cache.hub", Hub.from_environment().cache, "HF_HUB_CACHE"))
    for name, path, variable in hubs:
        if name == "cache.modelscope" and not path.is_dir():
            continue
        place = _Place(name, path, variable, "weights cannot be kept, and so not fetched", *_size(path))
        facts[name.removeprefix("cache.")] = place.facts()
        findings.append(_folder(system, place))
    return tuple(findings), facts


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder, the variable that chooses it, what is lost without it, and how much it holds."""

    name: str
    path: Path
    variable: str
    lost: str
    size: int
    whole: bool  # whether all was counted

    def facts(self) -> dict[str, Any]:
        return {"path": str(self.path), "bytes": self.size, "counted": self.whole}


def _folder(system: System, place: _Place) -> Finding:
    """Say of one folder whether it can be written to and has room."""
    elsewhere = f"export {place.variable}=FOLDER"
    if not system.writable(place.path):
        return Finding(
            name=place.name,
            severity="warning",
            seen=f"{place.path} cannot be written to",
            matters=place.lost,
            mend=f"{elsewhere}, one that you may write to",
        )
    room = system.free(_existing(place.path))
    held = f"{'' if place.whole else 'at least '}{place.size / GIB:.1f} GiB"
    if room < LITTLE_BYTES:
        return Finding(
            name=place.name,
            severity="warning",
            seen=f"{place.path} holds {held}, and {room / GIB:.2f} GiB are free on its disk",
            matters=place.lost,
            mend=f"free some space, or {elsewhere} on another disk",
        )
    return Finding(name=place.name, severity="fine", seen=f"{place.path}: {held}, {room / GIB:.0f} GiB free")


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists() or each == each.parent)


def _size(folder: Path) -> tuple[int, bool]:
    """Return how many bytes the files of a folder have, and whether all were counted; links are not followed."""
    total, seen, left = 0, 0, [folder]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if seen > ENTRIES:
                        return total, False
                    if entry.is_dir(follow_symlinks=False):
                        left.append(Path(entry.path))
                    elif not entry.is_symlink():
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # it is gone, or not for us to see
            continue
    return total, True
