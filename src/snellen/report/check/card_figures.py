"""Figures of a Markdown card that cannot be: cosines above 1, blanks, times out of order, one error with two values.

In: a card, and the cases that were read of it. Out: findings, each with its line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from snellen.report.check.found import Findings, number
from snellen.report.check.reading import Card
from snellen.report.check.stated import TIMED, Fact, Group
from snellen.report.check.words import SPREAD, metric_of

SAME = 0.05
"""Two values of one error may differ by so much: reports round."""
UNNAMED = ("value", "limit", "result", "dtype")
PREFIX = 16
"""Tokens that may stand before the patches, at most: the class token and registers."""
GRID = re.compile(r"(\d+)\s*[x×*]\s*(\d+)")


def check(card: Card, groups: Sequence[Group], out: Findings) -> None:
    """Look at every figure of a card."""
    for group in groups:
        for fact in (*group.facts.values(), *group.rest):
            _possible(fact, out)
        _ordered([group.get(name) for name in SPREAD], out)
        _ordered([group.get(name) for name in ("min_ms", "mean_ms", "max_ms")], out)
        _ordered([group.get(name) for name in ("mean_abs", "max_abs")], out)
    _blanks(card, out)
    _maxima(groups, out)
    _tokens(card, groups, out)


def at(line: int) -> str:
    """Return the place of a line."""
    return f"line {line}"


def _possible(fact: Fact, out: Findings) -> None:
    """Hold one figure to what it is of."""
    value, name, place = fact.value, fact.metric.removeprefix("base_"), at(fact.line)
    if name == "cosine":
        out.judge("cosine", place, holds=abs(value) <= 1, seen=number(value), expected="from -1 to 1")
    elif name == "memory":
        out.judge("memory", place, holds=value > 0, seen=number(value), expected="more than 0, or no figure")
    elif (name in TIMED and fact.unit is not None) or name in (
        "throughput",
        "max_abs",
        "mean_abs",
        "size",
        "parameters",
    ):
        out.judge("negative", place, holds=value >= 0, seen=number(value), expected="0 or more")
    elif name == "share":
        seen = f"{value:.4g} of the whole"
        out.judge("ceiling", place, holds=value - fact.half <= 1.1, seen=seen, expected="at most all of it")


def _ordered(facts: Sequence[Fact | None], out: Findings) -> None:
    """Hold figures to their order, but for rounding; those of another unit are left out."""
    known = [fact for fact in facts if fact is not None]
    for below, above in pairwise(known):
        if below.unit != above.unit:
            continue
        holds = below.value - below.half <= above.value + above.half
        seen = f"{below.metric} {number(below.value)}"
        out.judge(
            "order", at(below.line), holds=holds, seen=seen, expected=f"at most {above.metric}, {number(above.value)}"
        )


def _blanks(card: Card, out: Findings) -> None:
    """Look for cells without anything in them, in columns or rows that hold figures; first cells are labels."""
    for table in card.tables:
        heads = [metric_of(label) for label in table.header]
        known = sum(bool(row.cells) and metric_of(row.cells[0]) is not None for row in table.rows)
        by_columns = 2 * known >= len(table.rows)  # else a name in the first cell is one by chance
        for row in table.rows:
            side = metric_of(row.cells[0]) if by_columns and row.cells else None
            for index, cell in enumerate(row.cells[1 : len(heads)], 1):
                if heads[index] is None and side is None:
                    continue
                what = table.header[index] if heads[index] is not None else row.cells[0]
                expected = f"a figure for {what.strip('*` ')!r}, or why there is none"
                out.judge(
                    "blank", at(row.number), holds=bool(cell.strip("*` ")), seen="an empty cell", expected=expected
                )
    for line in card.lines:
        label = re.match(r"^\s*[-*+]\s+([^:：]{2,40})[:：]\s*$", line.text)
        if label is not None and not line.code and metric_of(label.group(1)) in ("cosine", "max_abs", "mean_abs"):
            out.judge("blank", at(line.number), holds=False, seen="nothing after the name", expected="a figure")


def _maxima(groups: Sequence[Group], out: Findings) -> None:
    """Hold an error that is given twice of the same thing to one value."""
    before: dict[tuple[str, str], Fact] = {}
    for group in groups:
        for name in ("max_abs", "mean_abs"):
            fact, key = group.get(name), (name, _about(group))
            if fact is None:
                continue
            first = before.setdefault(key, fact)
            if first is fact:
                continue
            apart = abs(first.value - fact.value) - first.half - fact.half
            holds = apart <= SAME * max(abs(first.value), abs(fact.value))
            expected = f"{number(first.value)}, as line {first.line} says"
            out.judge("maximum", at(fact.line), holds=holds, seen=f"{name} {number(fact.value)}", expected=expected)


def _about(group: Group) -> str:
    """Return what a case is about: its label, its batch; in a table of several cases that table, too."""
    label = " ".join(sorted(set(re.findall(r"[\w.]+", group.label.lower())) - set(UNNAMED)))
    batch = group.get("batch")
    place = f"table {group.table}" if group.table is not None and label else ""
    return f"{label} | {batch.value if batch else ''} | {place}"


def _tokens(card: Card, groups: Sequence[Group], out: Findings) -> None:
    """Hold the tokens to the grid, where a card states both once."""
    counts = {fact.value: fact.line for group in groups if (fact := group.get("tokens")) is not None}
    grids: dict[tuple[int, int], int] = {}
    for table in card.tables:
        for row in table.rows:
            found = GRID.search(row.cells[1]) if len(row.cells) > 1 and metric_of(row.cells[0]) == "grid" else None
            if found is not None:
                grids[int(found.group(1)), int(found.group(2))] = row.number
    if len(counts) != 1 or len(grids) != 1:
        out.skip("shape", "the card does not state its tokens and its grid, once each")
        return
    ((count, line),) = counts.items()
    patches = math.prod(next(iter(grids)))
    holds = patches <= count <= patches + PREFIX
    seen = f"{number(count)} tokens"
    out.judge("shape", at(line), holds=holds, seen=seen, expected=f"{patches} patches, and few tokens before them")
