"""Whether vectors may be mixed, as plain text for a terminal: the verdict first, then what it rests on.

In: the record of a sample that was embedded again. Out: text without colours. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.search import MixingRecord, MixingVerdict, PairRecord
from snellen.report.terminal import SIMULATED
from snellen.report.text import Column, clip, cosine, figure, one_line, table, wrapped

WIDTH = 100
LABELS = 12
WORST = 5  # images that are shown
PATH = 48  # cells for the path of one

CHECKS = (
    Column(header="status"),
    Column(header="median", right=True),
    Column(header="limit", right=True),
    Column(header="because"),
)
PAIRS = (
    Column(header="image"),
    Column(header="id", right=True),
    Column(header="run", right=True, goes=2),
    Column(header="relative", right=True),
    Column(header="cosine", right=True),
    Column(header="max abs", right=True, goes=3),
    Column(header="neighbours", right=True, goes=1),
)


def mixing(record: MixingRecord, width: int = WIDTH) -> str:
    """Return the report, in lines of at most ``width`` cells."""
    verdict = record.verdict
    assert verdict is not None  # it is judged before it is shown
    lines = [SIMULATED, ""] if record.simulated else []
    lines += [*_labelled("store", record.store, width), *_labelled("encoder", _encoder(record), width)]
    lines += _labelled("sample", f"{record.drawn} drawn (seed {record.seed}), {len(record.pairs)} compared", width)
    lines += ["", *_labelled("verdict", f"{verdict.outcome.upper()}: {verdict.because}", width)]
    for finding in verdict.findings:
        lines += _labelled("", finding, width)
    lines += _figures(record, verdict, width)
    lines += ["", "could it have failed", *_checks(verdict, width)]
    if record.pairs:
        lines += ["", "furthest apart", *_worst(record, width)]
    return "\n".join(clip(line.rstrip(), width) for line in lines) + "\n"


def _encoder(record: MixingRecord) -> str:
    model, origin = record.model, record.model.origin
    drawn = "" if origin.trained else f", weights seed:{origin.seed}: drawn at random"
    here = f"{model.variant} in {model.dtype} on {model.device} ({model.runtime}){drawn}"
    return f"{here}; the store is of {record.identity.dtype}"


def _figures(record: MixingRecord, verdict: MixingVerdict, width: int) -> Iterator[str]:
    found, limits = verdict.summary, verdict.limits
    if found is None:
        return
    yield ""
    relative = f"median {figure(found.relative_median)} (limit {figure(limits.relative_median)})"
    worst = f"worst {figure(found.relative_worst)} (limit {figure(limits.relative_worst)})"
    yield from _labelled("relative", f"{relative}, {worst}", width)
    yield from _labelled("cosine", f"median {cosine(found.cosine_median)}, worst {cosine(found.cosine_worst)}", width)
    yield from _labelled("max abs", figure(found.max_abs), width)
    if found.neighbours is not None:
        among = f"of the nearest {record.nearest} rows among {record.among:,}"
        yield from _labelled("neighbours", f"{found.neighbours:.1%} {among} stay the same", width)
    yield from _labelled("class", f"{verdict.precision or 'none'}, the store's is {limits.precision}", width)


def _checks(verdict: MixingVerdict, width: int) -> Iterator[str]:
    rows = [(check.status, figure(check.value), figure(check.limit), check.because) for check in verdict.checks]
    yield from table(CHECKS, rows, width)


def _worst(record: MixingRecord, width: int) -> Iterator[str]:
    """Yield the images that lie furthest apart, those without a figure first."""

    def far(pair: PairRecord) -> float:
        return -float("inf") if pair.distance.relative is None else -pair.distance.relative

    rows = []
    for pair in sorted(record.pairs, key=far)[:WORST]:
        apart = pair.distance
        kept = "-" if pair.neighbours is None else f"{pair.neighbours:.0%}"
        path = clip(one_line(pair.path), PATH)
        figures = (figure(apart.relative), cosine(apart.cosine), figure(apart.max_abs), kept)
        rows.append((path, str(pair.id), str(pair.run), *figures))
    yield from table(PAIRS, rows, width)


def _labelled(label: str, text: str, width: int) -> Iterator[str]:
    """Yield text behind a label, wrapped under itself."""
    for number, line in enumerate(wrapped(one_line(text), width - LABELS)):
        yield f"{'' if number else label:<{LABELS}}{line}"
