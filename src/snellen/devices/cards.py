"""Accelerators as their own tools tell of them, and what is to be said of any of them: hidden ones, full ones.

In: ``Card`` and the text of the variable that chooses among them. Out: findings. What a kind calls its devices and its
variable is handed in. ``Looked`` is what a look at one kind of device gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from snellen.devices.probe import Answer
from snellen.records.doctor import Finding, Severity

BUSY = 0.25  # of a device's memory in use: more than an idle one takes
LITTLE_MIB = 1024  # too little for any encoder and its batches
NAMED = 3  # devices and processes that a sentence names


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was seen of one kind of device."""

    findings: tuple[Finding, ...] = ()
    there: bool = False  # whether there is such a device, or something that looks like one
    facts: dict[str, Any] = field(default_factory=dict)
    stack: dict[str, str] = field(default_factory=dict)  # versions of the device's own software


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One that holds memory of a device."""

    pid: int
    name: str  # "": not told
    mib: int | None  # None: not told


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One device as the tool of its driver shows it."""

    index: int  # as the variables count them, from 0
    label: str  # as the tool calls it
    name: str
    health: str = "OK"
    used_mib: int | None
    total_mib: int | None
    processes: tuple[Process, ...] = ()
    uuid: str = ""

    @property
    def busy(self) -> bool:
        """Tell whether somebody works on it, or holds much of its memory."""
        if self.used_mib is None or not self.total_mib:
            return any((process.mib or 0) >= LITTLE_MIB for process in self.processes)
        held = max((process.mib or 0 for process in self.processes), default=0)
        return held >= LITTLE_MIB or self.used_mib > BUSY * self.total_mib


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a kind of device is called, and the variable that chooses among its devices."""

    name: str  # "npu"
    plural: str  # "NPUs"
    variable: str
    tool: str  # the command that shows them


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a variable leaves of the devices: their indices, in its order, and what of it is not read."""

    indices: tuple[int, ...]
    unread: str = ""


Named = Callable[[str], int | None]
"""Return the device that an entry of a variable names; None where it names none."""


def chosen(text: str | None, count: int, named: Named) -> Chosen:
    """Read a list of devices up to the first entry that names none, as the drivers do; None names them all."""
    if text is None:
        return Chosen(indices=tuple(range(count)))
    entries = text.split(",")
    found: list[int] = []
    for place, entry in enumerate(entries):
        index = named(entry)
        if index is None or index in found:
            return Chosen(indices=tuple(found), unread=",".join(entries[place:]))
        found.append(index)
    return Chosen(indices=tuple(found))


def visible(
    kind: Kind, left: Chosen, count: int, wanted: int | None, how: tuple[str | None, Severity]
) -> Iterator[Finding]:
    """Say which devices a process sees, and whether the one that was asked for is among them.

    ``how``: the text of the variable, and how bad it is if none is left.
    """
    text, grave = how
    name, at = f"{kind.name}.visible", f"{kind.variable}={text}"
    again = f"unset {kind.variable}"
    if not left.indices:
        yield Finding(
            name=name,
            severity=grave,
            seen=f"{at} leaves none of the {count} {kind.plural} that are here",
            matters=f"a process sees no {kind.name} at all",
            mend=again,
        )
    elif wanted is not None and wanted >= len(left.indices):
        yield Finding(
            name=name,
            severity=grave,
            seen=f"{kind.name}:{wanted} was asked for, and a process sees {_counted(len(left.indices), kind)}"
            + ("" if text is None else f" ({at})"),
            matters="devices are counted from 0, among those that are visible",
            mend=f"--device {kind.name}:{len(left.indices) - 1}" + ("" if text is None else f", or {again}"),
        )
    elif left.unread:
        kept = ",".join(map(str, left.indices))
        yield Finding(
            name=name,
            severity="warning",
            seen=f"of {at} only {kept} is read: {left.unread!r} names none of the {count} that are here, or not again",
            matters="the rest of the list counts for nothing, without a word",
            mend=f"export {kind.variable}={kept}",
        )
    else:
        yield Finding(
            name=name, severity="fine", seen=f"{len(left.indices)} of {count}" + (f", {at}" if text is not None else "")
        )


def memory(kind: Kind, cards: Sequence[Card], indices: Sequence[int]) -> Iterator[Finding]:
    """Say how much memory of the visible devices others hold, and who."""
    seen = [card for card in cards if card.index in indices]
    told = [card for card in seen if card.used_mib is not None and card.total_mib]
    name = f"{kind.name}.memory"
    busy = [card for card in seen if card.busy]
    if not busy:
        if told:
            most = max((card.used_mib or 0) / (card.total_mib or 1) for card in told)
            yield Finding(name=name, severity="fine", seen=f"{100 * most:.0f} % of it in use at most")
        elif seen:
            yield Finding(
                name=name, severity="note", seen=f"{kind.tool} does not tell how much of it is in use", matters=""
            )
        return
    idle = [card.index for card in cards if not card.busy]
    full = len(told) == len(seen) and all((card.total_mib or 0) - (card.used_mib or 0) < LITTLE_MIB for card in told)
    severity: Severity = "stop" if full else "warning"
    more = f"; and {len(busy) - NAMED} more" if len(busy) > NAMED else ""
    yield Finding(
        name=name,
        severity=severity,
        seen="; ".join(map(_held, busy[:NAMED])) + more,
        matters="what others hold is missing for large batches, and what they compute disturbs every measurement",
        mend=f"export {kind.variable}={idle[0]}" if idle else f"wait until they are done: {kind.tool}",
    )


def health(kind: Kind, cards: Sequence[Card]) -> Iterator[Finding]:
    """Say which devices are not well."""
    bad = [card for card in cards if card.health.upper() != "OK"]
    for card in bad[:NAMED]:
        yield Finding(
            name=f"{kind.name}.health",
            severity="warning",
            seen=f"{card.label} ({kind.name}:{card.index}) says of itself: {card.health}",
            matters="a device that is not well may stop in the middle of a run, or compute something else",
            mend=f"{kind.tool} -t health -i {card.label.split()[1]}",
        )


def answered(kind: Kind, name: str, answer: Answer) -> Finding:
    """Say whether a run would find the device and could compute on it; ``name`` is the device that was asked."""
    if answer.ok:
        product = answer.described.get("product", "")
        return Finding(name=f"{kind.name}.run", severity="fine", seen=f"{name} computes ({product})")
    return Finding(
        name=f"{kind.name}.run",
        severity="stop",
        seen=answer.error,
        matters=f"a run with --device {name} ends here",
        mend=answer.todo,
    )


def facts(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Return devices as JSON-serialisable values."""
    return [asdict(card) for card in cards]


def _held(card: Card) -> str:
    users = sorted(card.processes, key=lambda process: -(process.mib or 0))
    parts = [
        f"process {user.pid}{f' ({user.name})' if user.name else ''}"
        + ("" if user.mib is None else f" holds {user.mib} MiB")
        for user in users[:NAMED]
    ]
    more = [f"{len(users) - NAMED} more processes"] if len(users) > NAMED else []
    used = "" if card.used_mib is None else f": {card.used_mib} of {card.total_mib} MiB in use"
    return f"{card.label}{used}" + (f", {', '.join(parts + more)}" if parts else "")


def _counted(count: int, kind: Kind) -> str:
    return f"1 {kind.plural.rstrip('s')}" if count == 1 else f"{count} {kind.plural}"
