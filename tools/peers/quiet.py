"""What else ran while something was measured, and whether that was too much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from peers.cases import BUSY
from peers.figures import Raw, runs


def _loads(subjects: dict[str, Raw]) -> list[Raw]:
    """Return what else ran, measurement by measurement."""
    each = (case for newest in subjects.values() for run in runs(newest) for case in run["cases"].values())
    return [rate["load"] for case in each for rates in case.get("rounds", ()) for rate in rates.values()]


def warning(subjects: dict[str, Raw]) -> str:
    """Say so where the machine was busy with other things."""
    busy = [load["others"] for load in _loads(subjects) if load["others"] is not None]
    if not busy or sum(share > BUSY for share in busy) <= len(busy) / 10:
        return ""
    return (
        f"\n**The machine was not quiet**: other processes took more than {BUSY:.0%} of its time in "
        f"{sum(share > BUSY for share in busy)} of {len(busy)} measurements. That slows libraries down unequally; "
        "measure again before any of this is quoted.\n"
    )


def quiet(subjects: dict[str, Raw]) -> str:
    """Say how much else ran while something was measured."""
    loads = _loads(subjects)
    if not loads:
        return "Nothing was measured.\n"
    lines = []
    kinds = (("idle_workers", "waiting workers"), ("others", "other processes"), ("stolen", "taken by the host"))
    for key, what in kinds:
        told = sorted(load[key] for load in loads if load[key] is not None)
        if told:
            lines.append((what, f"{median(told):.1%}", f"{told[int(0.9 * (len(told) - 1))]:.1%}", f"{told[-1]:.1%}"))
    head = "Share of all processors' time during the measurements that went elsewhere.\n\n"
    return head + table(("to", "median", "nine of ten below", "most"), lines)


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; nothing measured is said."""
    body = list(lines)
    if not body:
        return "Not measured.\n"
    rows = [header, ["---"] * len(header), *body]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
