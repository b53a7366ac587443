"""How far a run is, where its time goes, and the one change that would help most.

In: what was done, and seconds of each stage. Out: their shares, and a sentence. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from snellen.embed.spent import Spent

FEW = 0.1  # of the time that the encoder waits for images: as near to its limit as makes no difference


@dataclass(frozen=True, slots=True)
class Progress:
    """What was done since the last one: inputs by status, the seconds it took, and what failed and why.

    ``found``: inputs, by status, that an attempt before this one had done, and that are only seen now; ``notes``: what
    of that was damaged, and is done again.
    """

    counts: dict[str, int]
    spent: Spent = field(default_factory=Spent)
    failures: tuple[tuple[str, str], ...] = ()  # path and message
    found: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an advice depends on."""

    workers: int  # threads that read and decode
    cores: int  # processors that may be used
    host: bool  # whether the encoder runs on the processors that also decode
    fast: bool  # whether JPEGs are decoded the fast way
    narrow: bool  # whether the encoder computes in fewer than 32 bits


def shares(spent: Spent, workers: int) -> str:
    """Return one line: what each stage was busy with, in percent of the time it could have been."""
    wall = spent.wall_s or 1.0
    threads = wall * workers
    return (
        f"reading {spent.read_s / threads:.0%} and decoding {spent.decode_s / threads:.0%} of {workers} threads; "
        f"encoding {spent.encode_s / wall:.0%}, writing {spent.write_s / wall:.0%}, "
        f"waiting for images {spent.waited_s / wall:.0%} of the time"
    )


def advice(spent: Spent, there: Circumstances) -> str:
    """Return the one change that would help most, in a sentence; empty where nothing was done."""
    wall = spent.wall_s
    if not wall:
        return ""
    if spent.write_s > wall / 2:
        return "writing is the limit: a faster disk for the output"
    shared = there.host and spent.decode_s > wall * there.cores / 2  # the encoder does not wait, it is slowed down
    busy = spent.read_s + spent.decode_s > wall * there.workers / 2  # or it waited for the first images only
    if shared or (busy and spent.waited_s > FEW * wall):
        return _feeding(spent, there)
    if there.narrow:
        return "the encoder is the limit: another device, or 'snellen tune' and --plan auto"
    return "the encoder is the limit: --dtype bfloat16, or 'snellen tune' and --plan auto"


def _feeding(spent: Spent, there: Circumstances) -> str:
    """Return what would bring images sooner."""
    if spent.read_s > spent.decode_s:
        return f"reading is the limit: --workers {4 * there.workers}, or the images nearer to this machine"
    if there.workers < there.cores:
        return f"decoding is the limit: --workers {there.cores}, one for each core"
    if not there.fast:
        return "decoding is the limit, on all cores: --decode fast (it says what that costs), or smaller images"
    return "decoding is the limit, on all cores and the fast way: more cores, or images stored smaller"
