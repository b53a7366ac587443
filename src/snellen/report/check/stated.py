"""What a Markdown card states: figures by name, those of one case together.

In: a card as it was read. Out: groups, one for each case (a row, a column, a paragraph), with the figures that are
known by their names. What has no name that is known, or stands there twice, is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from snellen.report.check.reading import Card, Line, Table
from snellen.report.check.words import (
    BASE,
    BYTES,
    GENERIC,
    NUMBER,
    TIMES,
    UNIT,
    WHOLE,
    Value,
    metric_of,
    pattern,
    read,
    unit_of,
    value_of,
)

TIMED = (
    "latency_ms",
    "low_ms",
    "high_ms",
    "std_ms",
    "min_ms",
    "mean_ms",
    "max_ms",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
)
WORDS = ("dtype", "host", "stable", "result")
"""Metrics that are told in words."""
SIZED = ("memory", "size")
BARE = ("throughput", "batch", "speedup", "speedup_low", "speedup_high", "count", "tokens")
"""Metrics that have no unit to be scaled by."""
RATE = r"(images?|imgs?|samples?|frames?|张|图像)\s*/\s*(s(ec)?|秒)\b|\bfps\b"
QUALIFIERS = pattern(
    r"float(16|32|64)|bfloat16|\b(fp|bf)(16|32)\b|seed\s*[:=]?\s*\d+|\bcls\b|register\w*|patch(es)?\b|pool\w*|logits|"
    r"last_hidden_state|block\.?\d+|layer\s*\d+|stage\w*|golden|reference|[\w-]+\.(jpe?g|png|webp)|batch\s*[:=]?\s*\d+"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure: what it is of, its number in the base of its unit, and how far rounding may have moved it."""

    metric: str
    value: float
    half: float
    line: int
    unit: str | None
    text: str = ""  # where it is no number: a dtype


@dataclass(slots=True)
class Group:
    """The figures of one case."""

    line: int
    label: str  # every word of it that is no figure
    facts: dict[str, Fact] = field(default_factory=dict)
    table: int | None = None  # the line of its table
    heading: str = ""
    base: bool = False  # of a CPU or a baseline
    rest: list[Fact] = field(default_factory=list)  # further figures of names that are there already

    def get(self, *metrics: str) -> Fact | None:
        """Return the first of these that is stated."""
        return next((self.facts[name] for name in metrics if name in self.facts), None)


def groups(card: Card) -> list[Group]:
    """Return every case of a card."""
    found = [group for table in card.tables for group in _of_table(table)]
    lines = [line for line in card.lines if not line.code]
    for _, block in groupby(lines, key=lambda line: line.block):
        found += _of_block(list(block))
    return sorted((group for group in found if group.facts), key=lambda group: group.line)


def _of_table(table: Table) -> Iterator[Group]:
    """Yield a case for each row where the header names the figures, else for each column."""
    heads = [metric_of(label) for label in table.header]
    sides = [metric_of(row.cells[0]) if row.cells else None for row in table.rows]
    if sum(head is not None for head in heads[1:]) >= sum(side is not None for side in sides) or len(table.rows) < 2:
        yield from _by_rows(table, heads)
    else:
        yield from _by_columns(table, sides)


def _by_rows(table: Table, heads: list[str | None]) -> Iterator[Group]:
    named = {unit_of(label) for label, head in zip(table.header, heads, strict=True) if head in TIMED}
    units = named & set(TIMES)
    beside = f", {units.pop()}" if len(units) == 1 else table.caption  # a bare one beside them is of their unit
    for row in table.rows:
        words = [cell for cell, head in zip(row.cells, heads, strict=False) if head is None or value_of(cell) is None]
        group = Group(row.number, " ".join(words), table=table.number, heading=table.heading)
        group.base = bool(BASE.search(group.label))
        known = zip(table.header, heads, row.cells, strict=False)
        cells = [(label, head, cell) for label, head, cell in known if head is not None]
        _fill(group, cells, row.number, beside)
        if heads and heads[0] is None and row.cells and "batch" in table.header[0].lower():
            _fill(group, [(table.header[0], "batch", row.cells[0])], row.number, "")
        yield group


def _by_columns(table: Table, sides: list[str | None]) -> Iterator[Group]:
    for at in range(1, len(table.header)):
        head = table.header[at]
        label = "" if GENERIC.match(head) else head
        group = Group(table.number, label, table=table.number, heading=table.heading, base=bool(BASE.search(head)))
        for row, side in zip(table.rows, sides, strict=True):
            if side is not None and at < len(row.cells):
                _fill(group, [(f"{row.cells[0]}", side, row.cells[at])], row.number, head)
        yield group


def _fill(group: Group, cells: Iterable[tuple[str, str, str]], line: int, beside: str) -> None:
    """Add figures to a case: (label, metric, cell). One whose name comes twice is ambiguous, but for the baseline's."""
    for label, metric, cell in cells:
        is_base = metric in (*TIMED, "throughput") and BASE.search(label) and not group.base
        name = f"base_{metric}" if is_base else metric
        if metric in WORDS:
            before = group.facts[name].text if name in group.facts else ""
            group.facts[name] = Fact(name, 0.0, 0.0, line, None, f"{before} {cell}".strip())
            continue
        value = value_of(cell)
        if value is None:
            continue
        unit = value.unit or unit_of(label) or (unit_of(beside) if metric in (*TIMED, *SIZED) else None)
        fact = _fact(name, value, unit, line)
        if fact is not None and name not in group.facts:
            group.facts[name] = fact
        elif fact is not None:
            group.rest.append(fact)


def _fact(name: str, value: Value, unit: str | None, line: int) -> Fact | None:
    """Return a figure in the base of its unit; None where that is not one of what it is.

    A time without a unit is of use for its order alone; memory and files want one, but for a nought.
    """
    metric = name.removeprefix("base_")
    if metric in SIZED and unit not in BYTES and value.number != 0:
        return None
    if metric in BARE or (metric in TIMED and unit not in TIMES):
        return Fact(name, value.number, value.half, line, None)
    scaled = value.scaled(unit)
    return Fact(name, scaled.number, scaled.half, line, unit)


# ---- lines

DIFFERENCE = r"(?:abs(?:olute)?(?:[\s_-]*(?:diff\w*|err\w*))?|diff\w*|err\w*)"
_NAMED = (
    ("cosine", r"cos(?:ine)?(?:[\s_-]*sim(?:ilarity)?)?|余弦(?:相似度)?"),
    ("max_abs", rf"(?:max(?:imum)?|largest)[\s_-]*{DIFFERENCE}|最大(?:绝对)?(?:误差|差异|差值)"),
    ("mean_abs", rf"(?:mean|avg|average)[\s_-]*{DIFFERENCE}|平均(?:绝对)?(?:误差|差异|差值)"),
    ("p50_ms", r"\bp50|median|中位数"),
    ("p90_ms", r"\bp90"),
    ("p95_ms", r"\bp95"),
    ("p99_ms", r"\bp99"),
    ("min_ms", r"\bmin(?:imum)?\b|最小(?:值)?"),
    ("max_ms", r"\bmax(?:imum)?\b|最大(?:值)?"),
    ("std_ms", r"\bstd\b|标准差"),
    ("mean_ms", r"\bmean\b|\bavg\b|average|平均(?:值|延迟|耗时|时延)?"),
    ("latency_ms", r"latency|延迟|时延|耗时"),
    ("throughput", r"through-?put|吞吐(?:量|率)?"),
    ("batch", r"batch(?:[\s_-]*size)?|\bbs\b|批大小"),
    ("speedup", r"speed-?\s?up|加速比"),
    ("memory", r"\bhbm\b|显存(?:占用)?|memory|内存"),
    ("parameters", r"param(?:eter)?s?|参数量?"),
    ("size", r"(?:file|weights?|checkpoint|model)[\s_-]*(?:file[\s_-]*)?size|权重文件(?:大小)?|模型大小|文件大小"),
)  # fmt: skip
_LINK = r"[\s:：=≈~*`()（]*(?:(?:is|are|about|约|为|是)\s*)?[\s:：=≈~*`<]*"
_WORDED = tuple((name, pattern(rf"(?:{words}){_LINK}({NUMBER})\s*({UNIT})?")) for name, words in _NAMED)
_COUNTED = pattern(rf"({NUMBER})\s*(?:{RATE})")
_PARAMETERS = pattern(rf"({NUMBER})\s*(B|M|K|billion|million|亿|万)?\s*(?:param(?:eter)?s?\b|个?参数)")
_RUNS = pattern(
    r"(?:\b(?:runs|repeats|repetitions|iterations|iters|num_runs|samples)|(?:重复|迭代|运行|测试|样本)(?:次?数)?)"
    rf"\s*[:：=]\s*({WHOLE})|"
    rf"({WHOLE})\s*(?:timed |measured )?(?:runs\b|repeats\b|repetitions\b|iterations\b|iters\b|samples\b|次)"
)
_WARM = pattern(r"warm[\s-]*up|预热|热身|need|需要")
_DTYPE = pattern(r"\b(float(?:16|32|64)|bfloat16|fp(?:16|32)|bf16)\b")


def _of_block(lines: list[Line]) -> Iterator[Group]:
    """Yield a case for a paragraph or list whose names each come once, else one for each of its lines."""
    each = [_of_line(line) for line in lines]
    counts = Counter(name for group in each for name in group.facts)
    if all(count == 1 for count in counts.values()):
        whole = Group(lines[0].number, " ".join(group.label for group in each), heading=lines[0].heading)
        for group in each:
            whole.facts |= group.facts
            whole.base |= group.base and len(each) == 1
        yield whole
    else:
        yield from each


def _of_line(line: Line) -> Group:
    """Return the figures that one line names; a name that comes twice on it is left out."""
    text = re.sub(r"<[^>]*>", " ", line.text)
    label = " ".join(sorted({found.group(0).lower() for found in QUALIFIERS.finditer(text)}))
    group = Group(line.number, label, heading=line.heading, base=bool(BASE.search(text)))
    for name, words in _WORDED:
        found = list(words.finditer(text))
        if len(found) == 1:
            _add(group, name, read(found[0].group(1), found[0].group(2)), line.number)
    for name, words in (("throughput", _COUNTED), ("parameters", _PARAMETERS)):
        found = list(words.finditer(text))
        if len(found) == 1 and name not in group.facts:
            unit = found[0].group(2) if name == "parameters" else None
            _add(group, name, read(found[0].group(1), unit), line.number)
    count = runs(text)
    if count is not None:
        group.facts["count"] = Fact("count", count, 0.0, line.number, None)
    dtypes = {found.group(1).lower() for found in _DTYPE.finditer(text)}
    if len(dtypes) == 1:
        group.facts["dtype"] = Fact("dtype", 0.0, 0.0, line.number, None, dtypes.pop())
    return group


def _add(group: Group, name: str, value: Value, line: int) -> None:
    """Add a figure, where its unit is one of what it is: a time wants one of time."""
    unit = value.unit
    if name in TIMED and unit not in TIMES:
        return
    if name == "max_ms" and "max_abs" in group.facts and group.facts["max_abs"].line == line:
        return
    fact = _fact(name, value, unit, line)
    if fact is not None:
        group.facts[name] = fact


def runs(text: str) -> float | None:
    """Return how many runs a text says were timed; None where it says none, or several."""
    found = set()
    for one in _RUNS.finditer(text):
        before = re.split(r"[,，;；.。、]", text[: one.start()])[-1]
        if not _WARM.search(f"{before} | {text[one.end() : one.end() + 10]}"):
            found.add(float((one.group(1) or one.group(2)).replace(",", "")))
    return found.pop() if len(found) == 1 else None
