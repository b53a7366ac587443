"""What ``npu-smi info`` prints, read by its headers: a table of NPUs and a table of the processes on them.

In: the text. Out: ``Table``. Layouts seen: two lines a chip, with NPU and name in one column (910B, 310P) or apart
(950); memory in a column of its own where there is HBM, or in the only one; a column more for the process id within a
container (npu-smi 26). Anything else is refused with a ValueError that says what could not be read: a figure from a
column that only looks like memory would be worse than none. tests/tool_outputs says where each layout was seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snellen.devices.cards import Card, Process

_TITLE = re.compile(r"npu-smi\s+\S+\s+Version:\s*([\w.]+)")
_PAIR = re.compile(r"(\d+)\s*/\s*(\d+)")
_USAGE = "-Usage(MB)"
_IDLE = "No running processes found"
_DCMI = re.compile(r"\bdcmi mod\w+ initialized? failed.*?ret is (-?\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Version of the tool, which is that of the driver, and every chip, counted from 0."""

    version: str | None
    cards: tuple[Card, ...]


def table(text: str) -> Table:
    """Read the output of ``npu-smi info``; raise ValueError, saying what could not be read."""
    rows = [_cells(line) for line in text.splitlines() if line.lstrip().startswith("|")]
    head = next((place for place, row in enumerate(rows) if "Health" in row), None)
    if head is None or head + 1 >= len(rows):
        raise ValueError("there is no table with a column 'Health' in it")
    split = next((place for place, row in enumerate(rows) if "Process id" in row), len(rows))
    columns = _Columns(rows[head], rows[head + 1])
    chips = columns.chips(rows[head + 2 : split])
    users = dict(_processes(rows[split:])) if split < len(rows) else {}
    title = _TITLE.search(text)
    several = len({key[0] for key, _ in chips}) < len(chips)
    cards = tuple(
        Card(
            index=index,
            label=f"NPU {npu} chip {chip}" if several else f"NPU {npu}",
            name=one.name,
            health=one.health,
            used_mib=one.used,
            total_mib=one.total,
            processes=tuple(users.get((npu, chip), ())),
        )
        for index, ((npu, chip), one) in enumerate(chips)
    )
    return Table(version=title[1] if title else None, cards=cards)


def board(text: str) -> dict[str, str]:
    """Read the "key : value" lines of ``npu-smi info -t board``."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def refused(text: str) -> str | None:
    """Return the code with which the driver's interface refused to start; None where it did not."""
    found = _DCMI.search(text)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class _Chip:
    name: str
    health: str
    used: int | None
    total: int | None


class _Columns:
    """What the two lines of the header say of the two lines of each chip."""

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self.apart = list(first[:2]) == ["NPU ID", "Name"]
        if not self.apart and first[0].split() != ["NPU", "Name"]:
            raise ValueError(f"its first column is headed {first[0]!r}, and not 'NPU  Name'")
        self.health = list(first).index("Health")
        self.usages = [word for word in second[-1].split() if word.endswith(_USAGE)]
        if not self.usages:
            raise ValueError(f"its last column is headed {second[-1]!r}, which names no memory")

    def chips(self, rows: Sequence[Sequence[str]]) -> list[tuple[tuple[int, int], _Chip]]:
        """Return each chip under its NPU and its number there."""
        if not rows or len(rows) % 2:
            raise ValueError(f"{len(rows)} lines below the header are not two for each chip")
        return [self._chip(rows[place], rows[place + 1]) for place in range(0, len(rows), 2)]

    def _chip(self, first: Sequence[str], second: Sequence[str]) -> tuple[tuple[int, int], _Chip]:
        number, name = first[:2] if self.apart else _two(first[0])
        chip = "0" if self.apart else second[0].split()[0] if second[0] else ""
        if not (number.isdigit() and chip.isdigit()) or self.health >= len(first):
            raise ValueError(f"the line {' | '.join(first)!r} is not that of an NPU")
        pairs = _PAIR.findall(second[-1])
        if len(pairs) != len(self.usages):
            raise ValueError(f"{second[-1]!r} does not have the memory that its header names")
        memory = {usage: (int(used), int(total)) for usage, (used, total) in zip(self.usages, pairs, strict=True)}
        # HBM where there is some; the memory of the chip's own processors otherwise, which is all it has.
        used, total = max(memory.values(), key=lambda pair: pair[1])
        if memory.get(f"HBM{_USAGE}", (0, 0))[1]:
            used, total = memory[f"HBM{_USAGE}"]
        known = total > 0
        return (int(number), int(chip)), _Chip(
            name, first[self.health], used if known else None, total if known else None
        )


def _processes(rows: Sequence[Sequence[str]]) -> Iterable[tuple[tuple[int, int], list[Process]]]:
    found: dict[tuple[int, int], list[Process]] = {}
    for row in rows[1:]:
        if row[0].startswith(_IDLE):
            continue
        places = row[0].split()
        if len(row) < 4 or not all(word.isdigit() for word in (*places, row[1], row[3])) or not 1 <= len(places) <= 2:
            raise ValueError(f"the line {' | '.join(row)!r} is not that of a process")
        key = (int(places[0]), int(places[1]) if len(places) == 2 else 0)
        found.setdefault(key, []).append(Process(pid=int(row[1]), name=row[2], mib=int(row[3])))
    return found.items()


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _two(cell: str) -> tuple[str, str]:
    number, _, name = cell.partition(" ")
    return number, name.strip()
