"""Two measurements of speed beside each other as plain text: the verdict first, then every batch size.

In: the record of a comparison. Out: lines without colours, none wider than asked for. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.bench import Compared, CompareRecord
from snellen.report.figures import digits, labelled, listed, percent, times, times_span
from snellen.report.text import Column, clip, table, wrapped

WIDTH = 100
COLUMNS = (
    Column(header="batch", right=True),
    Column(header="first p50 ms", right=True),
    Column(header="second p50 ms", right=True),
    Column(header="second / first", right=True),
    Column(header="95% interval", right=True),
    Column(header="verdict"),
)


def compared(record: CompareRecord, width: int = WIDTH) -> list[str]:
    """Return two measurements beside each other, in lines of at most ``width`` cells; 80 are needed."""
    found = [line for caution in record.cautions for line in wrapped(caution, width, then="  ")]
    found += ["", *_head(record, width)] if found else _head(record, width)
    found += ["", *table(COLUMNS, [_row(row) for row in record.rows], width)]
    doubts = [line for doubt in _doubts(record) for line in wrapped(doubt, width, first="! ", then="  ")]
    found += ["", *doubts] if doubts else []
    return [clip(line.rstrip(), width) for line in found]


def verdict(record: CompareRecord) -> str:
    """Return what came out of a comparison in one line."""
    told = []
    for kind in ("slower", "faster", "the same", "undecided"):
        rows = [row for row in record.rows if row.verdict == kind]
        if rows:
            told.append(f"{kind} at batch {listed(row.batch for row in rows)}{_farthest(rows)}")
    if record.lost:
        told.append(f"lost at batch {listed(record.lost)}: the second's memory ended, or it raised an error")
    return "; ".join(told) or "nothing was compared"


def _farthest(rows: list[Compared]) -> str:
    """Say of what is slower or faster by how much, where it is most."""
    if rows[0].verdict not in {"slower", "faster"}:
        return ""
    row = max(rows, key=lambda row: max(row.ratio, 1 / row.ratio))
    return f" ({times(row.ratio)} times as long at batch {row.batch})"


def _head(record: CompareRecord, width: int) -> list[str]:
    how = "measured again, both in turns in every round" if record.again else "from the samples that were saved"
    head = {
        "verdict": verdict(record),
        "first": record.first,
        "second": record.second,
        "how": f"{how}; more than {percent(record.threshold)} slower is a regression",
    }
    found = [line for label, text in head.items() for line in labelled(label, text, width)]
    for number, one in enumerate(record.differing):
        found += labelled("" if number else "differ in", one, width)
    return found


def _row(row: Compared) -> tuple[str, ...]:
    medians = digits(row.first_p50_ms), digits(row.second_p50_ms)
    return (f"{row.batch}", *medians, times(row.ratio), times_span(row.low, row.high), row.verdict)


def _doubts(record: CompareRecord) -> Iterator[str]:
    """Yield what is not decided, with the remedy."""
    few = [row.batch for row in record.rows if row.low is None]
    wide = [row.batch for row in record.rows if row.verdict == "undecided" and row.low is not None]
    todo = "measure longer with --seconds" if record.again else "--again measures both in turns"
    if few:
        yield f"batch {listed(few)}: too few rounds to tell how far the ratio can be trusted; {todo}"
    if wide:
        yield f"batch {listed(wide)}: the interval reaches over the threshold, so nothing is decided; {todo}"
