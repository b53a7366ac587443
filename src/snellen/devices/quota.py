"""How much processor time control groups allow a process. Imports no torch.

A container may see every processor and yet be stopped for the rest of each period once it has used up its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def processors(root: Path = ROOT) -> float | None:
    """Return how many processors' time the process may use; None where nothing limits it, or nothing is said of it.

    The narrowest limit counts: of the process's own group, and of every group around it that can be seen.
    """
    found = [limit for group in _groups(root) for limit in (_version_2(group), _version_1(group)) if limit is not None]
    return min(found, default=None)


@dataclass(frozen=True, slots=True)
class _Mount:
    """Where a hierarchy of groups can be seen: its group ``top`` lies at ``point``."""

    top: PurePosixPath
    point: PurePosixPath
    unified: bool  # version 2


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of the process's groups, and of those around them."""
    own = dict(_own(root))
    for mount in _mounts(root):
        path = own.get(mount.unified)
        if path is None:
            continue
        # In a container the path may be that of the machine, of which only the container's part is mounted.
        below = path.relative_to(mount.top) if path.is_relative_to(mount.top) else PurePosixPath()
        point = root / mount.point.relative_to("/")
        yield from (point / part for part in (below, *below.parents))


def _own(root: Path) -> Iterator[tuple[bool, PurePosixPath]]:
    """Yield the process's group in the unified hierarchy (True), and in that of processor time (False)."""
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" or "cpu" in controllers.split(","):
            yield number == "0", PurePosixPath(path)


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, (kind, *rest) = before.split(" "), after.split(" ")
        if len(fields) > 4 and (kind == "cgroup2" or (kind == "cgroup" and "cpu" in rest[-1].split(","))):
            yield _Mount(PurePosixPath(fields[3]), PurePosixPath(fields[4]), kind == "cgroup2")


def _version_2(group: Path) -> float | None:
    return _ratio(" ".join(_lines(group / "cpu.max")).split())


def _version_1(group: Path) -> float | None:
    return _ratio([line for name in ("quota", "period") for line in _lines(group / f"cpu.cfs_{name}_us")])


def _ratio(words: list[str]) -> float | None:
    """Return quota through period; None for "max", for -1, and for anything else that limits nothing."""
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return None
    quota, period = map(int, words)
    return quota / period if quota and period else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):  # no such system, or no such file
        return []
