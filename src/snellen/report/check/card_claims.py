"""Whether what a Markdown card says to pass is within the limits that it states itself.

In: a card. Out: findings, each with its line. Read are rows with a figure, a limit and an outcome, and lines that put a
number beside another. Which way a limit goes is told by its sign, or by what it is a limit of; else it is not checked.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from snellen.report.check.card_figures import at
from snellen.report.check.found import Findings, number
from snellen.report.check.reading import Card, Line, Row, Table
from snellen.report.check.words import (
    BETTER_LARGE,
    FAILED,
    GENERIC,
    NUMBER,
    PASSED,
    Value,
    metric_of,
    pattern,
    read,
    unit_of,
    value_of,
)

Side = Literal["below", "above"]
Said = Literal["pass", "fail"]

SIGNS: tuple[tuple[str, Side], ...] = (
    ("不超过|不大于|小于|低于|<|≤|&lt;|at most|less than|below|under", "below"),
    ("不低于|不小于|大于|高于|超过|>|≥|&gt;|at least|greater than|more than|above|exceeds", "above"),
)
SIGN = "|".join(words for words, _ in SIGNS)
LIMIT = pattern(rf"^[\s`*]*({SIGN})?\s*=?\s*({NUMBER})\s*(%)?[`*\s]*$")
BESIDE = pattern(rf"(?<![\w.\-])({NUMBER})\s*(%)?[\s`*]*(?<![-=])({SIGN})=?[\s`*]*({NUMBER})(?![\w.]*\d)\s*(%)?")
NAMED = pattern(
    rf"(?<![\w.\-])({NUMBER})\s*(%)?[^\d\n]{{0,20}}?(?:threshold|limit|阈值|限值|要求|标准)[^\d\n]{{0,8}}?({SIGN})?=?\s*"
    rf"({NUMBER})(?![\w.]*\d)\s*(%)?"
)
ERRORS = ("max_abs", "mean_abs", "relative")
QUANTITY = pattern(r"metric|indicator|\bitem\b|指标|项目|度量")
RULE = pattern(r"^[`*\s]*(rule|规则)")
WHOLE = pattern(r"overall|conclusion|verdict|final|summary|结论|总体|整体|最终|综合")
UNTOLD = "which figure is held to which limit cannot be told"
LONGEST = 24
"""Letters of a cell that is an outcome and no sentence."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure beside its limit, and what is said of it."""

    value: Value
    limit: Value
    side: Side  # where the figure has to lie
    said: Said
    line: int
    binding: bool = True  # a failure of it speaks against the whole card

    @property
    def within(self) -> bool:
        """Whether the figure keeps the limit, rounding taken in its favour."""
        if self.side == "below":
            return self.value.number - self.value.half <= self.limit.number
        return self.value.number + self.value.half >= self.limit.number

    @property
    def beyond(self) -> bool:
        """Whether it misses the limit, rounding taken in its favour the other way."""
        if self.side == "below":
            return self.value.number + self.value.half >= self.limit.number
        return self.value.number - self.value.half <= self.limit.number


def check(card: Card, out: Findings) -> None:
    """Look at every claim, and at the conclusion."""
    claims = [claim for table in card.tables for claim in _of_table(table, out)]
    lines = [line for line in card.lines if not line.code]
    failed = []
    for line in lines:
        found = list(_of_line(line, out))
        claims += found
        failed += [line.number for one in _admitted(line)]
    for claim in claims:
        holds = claim.within if claim.said == "pass" else claim.beyond
        seen = f"{number(claim.value.number)} is said to {claim.said}"
        expected = f"{claim.side} {number(claim.limit.number)} to pass"
        out.judge("verdict", at(claim.line), holds=holds, seen=seen, expected=expected)
    failed += [claim.line for claim in claims if claim.said == "fail" and claim.binding]
    for place in _passed(card, lines):
        seen, expected = "the whole is said to pass", f"not so, for line {failed[0] if failed else 0} does not"
        out.judge("verdict", at(place), holds=not failed, seen=seen, expected=expected)


def _passed(card: Card, lines: Sequence[Line]) -> Iterator[int]:
    """Yield where the card says that all of it passes."""
    for line in lines:
        if _said(line.text) == "pass" and (WHOLE.search(line.text) or WHOLE.search(line.heading)):
            yield line.number
    for table in card.tables:
        for row in table.rows:
            if len(row.cells) > 1 and WHOLE.search(row.cells[0]) and _said(row.cells[1]) == "pass":
                yield row.number


def _said(text: str) -> Said | None:
    return "fail" if FAILED.search(text) else "pass" if PASSED.search(text) else None


# ---- tables


def _of_table(table: Table, out: Findings) -> Iterator[Claim]:
    heads = [metric_of(label) for label in table.header]
    limits = [index for index, head in enumerate(heads) if head == "limit" and _limiting(table, index)]
    if len(limits) != 1:
        return
    binding = not any(RULE.match(label) for label in table.header)
    for row in table.rows:
        said = _outcome(row)
        if said is None or len(row.cells) <= limits[0]:
            continue
        limit, value = _limit(row, limits[0], table), _value(row, limits[0], heads, table)
        side = _side(row, limits[0], heads, table)
        if limit is None or value is None or side is None or (value.unit == "%") != (limit.unit == "%"):
            out.skip("verdict", UNTOLD, at(row.number))
            continue
        yield Claim(value, limit, side, said, row.number, binding)


def _limiting(table: Table, index: int) -> bool:
    """Tell whether a column holds limits, and not demands in words."""
    return any(LIMIT.match(row.cells[index]) for row in table.rows if index < len(row.cells))


def _outcome(row: Row) -> Said | None:
    """Return what the one cell of a row says that is an outcome."""
    found = {said for cell in row.cells[1:] if len(cell) <= LONGEST and (said := _said(cell)) is not None}
    return found.pop() if len(found) == 1 else None


def _limit(row: Row, index: int, table: Table) -> Value | None:
    found = LIMIT.match(row.cells[index])
    if found is None:
        return None
    return read(found.group(2), found.group(3) or _percent(table.header[index])).scaled()


def _value(row: Row, limit: int, heads: Sequence[str | None], table: Table) -> Value | None:
    """Return the figure of a row: that under a header that says so, else the only one there is."""
    cells = enumerate(row.cells[: len(heads)])
    known = {index: value for index, cell in cells if index not in (0, limit) and (value := value_of(cell)) is not None}
    named = [index for index in known if GENERIC.match(table.header[index])]
    chosen = named or [index for index in known if heads[index] in (*ERRORS, *BETTER_LARGE)] or list(known)
    if len(chosen) != 1:
        return None
    return Value(
        known[chosen[0]].number, known[chosen[0]].half, known[chosen[0]].unit or _percent(table.header[chosen[0]])
    ).scaled()


def _percent(label: str) -> str | None:
    return "%" if unit_of(label) == "%" else None


def _side(row: Row, limit: int, heads: Sequence[str | None], table: Table) -> Side | None:
    """Return where a figure has to lie: by the limit's sign, else by what it is a limit of."""
    found = LIMIT.match(row.cells[limit])
    if found is not None and found.group(1):
        return _sign(found.group(1))
    named = [index for index, label in enumerate(table.header) if QUANTITY.search(label)]
    labels = [row.cells[index] for index in named if index < len(row.cells)] or [row.cells[0]]
    kinds = {metric_of(label) for label in labels} | (set() if named else {head for head in heads if head in ERRORS})
    return _direction(kinds - {None, "limit", "result"})


def _direction(kinds: set[str | None]) -> Side | None:
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    return "above" if kind in BETTER_LARGE else "below" if kind in ERRORS else None


def _sign(text: str) -> Side | None:
    return next((side for words, side in SIGNS if re.fullmatch(words, text.strip(), re.IGNORECASE)), None)


# ---- lines


def _of_line(line: Line, out: Findings) -> Iterator[Claim]:
    """Yield what a line says of a number beside another, or beside a limit that it names."""
    said = _said(line.text)
    for found in BESIDE.finditer(line.text):
        value, limit, sign = read(found[1], found[2]).scaled(), read(found[4], found[5]).scaled(), _sign(found[3])
        if sign is None or bool(found[2]) != bool(found[5]):
            continue
        compare: Callable[[float, float], bool] = operator.le if sign == "below" else operator.ge
        slack = value.half if sign == "above" else -value.half
        seen, expected = f"{found[0].strip()}", "a comparison that is true"
        out.judge(
            "verdict", at(line.number), holds=compare(value.number + slack, limit.number), seen=seen, expected=expected
        )
        side = _direction(_quantity(line.text[: found.start()]))
        if said is not None and side is not None and side != sign:
            yield Claim(value, limit, side, said, line.number)
    if said is None or BESIDE.search(line.text):
        return
    for found in NAMED.finditer(line.text):
        value, limit = read(found[1], found[2]).scaled(), read(found[4], found[5]).scaled()
        side = _sign(found[3]) if found[3] else _direction(_quantity(line.text[: found.start()]))
        if side is None or bool(found[2]) != bool(found[5]):
            out.skip("verdict", UNTOLD, at(line.number))
            continue
        yield Claim(value, limit, side, said, line.number)


def _admitted(line: Line) -> Iterator[str]:
    """Yield where a line says itself that an error is above a limit, or a likeness below it, and not that it passes."""
    if _said(line.text) == "pass":
        return
    for found in BESIDE.finditer(line.text):
        side = _direction(_quantity(line.text[: found.start()]))
        if side is not None and _sign(found[3]) not in (side, None):
            yield found[0]


def _quantity(before: str) -> set[str | None]:
    """Return what the words before a number are a figure of: the last that is known."""
    words = re.split(r"[,;，；。|]|(?<=\d)\s", before)
    found = [kind for part in words if (kind := metric_of(part)) in (*ERRORS, *BETTER_LARGE)]
    return {found[-1]} if found else set()
