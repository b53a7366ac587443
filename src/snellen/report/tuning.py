"""A search for the best setup as a page of plain text: what was picked, then every candidate.

In: the record of a search. Out: text without colours, no line wider than asked for. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.tuning import Trial, TuneRecord
from snellen.report.text import Column, clip, figure, table, wrapped

WIDTH = 110
LABELS = 11  # cells for the labels of the head
MIB = 2**20

TRIALS = (
    Column(header=""),  # what was picked
    Column(header="candidate"),
    Column(header="verdict"),
    Column(header="images/s", right=True),
    Column(header="spread", right=True, goes=1),
    Column(header="latency ms", right=True),
    Column(header="memory MiB", right=True),
    Column(header="of ceiling", right=True),
    Column(header="error/limit", right=True, goes=2),
)
REASONS = (Column(header="candidate"), Column(header="because"))
PICKED, DEFAULT = "*", "d"


def search(record: TuneRecord, width: int = WIDTH) -> str:
    """Return the report of a search, in lines of at most ``width`` cells; 80 are needed."""
    lines = [*_head(record, width), "", *table(TRIALS, [_row(record, trial) for trial in record.trials], width)]
    reasons = list(_reasons(record))
    if reasons:
        lines += ["", *table(REASONS, reasons, width)]
    return "\n".join(clip(line.rstrip(), width) for line in lines) + "\n"


def line(record: TuneRecord) -> str:
    """Return the choice in one line."""
    return f"{record.choice.value}: {record.choice.reason}"


def _head(record: TuneRecord, width: int) -> Iterator[str]:
    device = record.device
    product = device.get("product") or record.machine.product
    origin = record.model.get("origin") or {}
    weights = ", drawn weights" if origin.get("kind") == "seed" else ""
    yield from _labelled("plan", line(record), width)
    yield from _labelled("goal", record.goal, width)
    yield from _labelled("model", f"{record.model.get('name')}{weights}, {_giga(record.operations_per_image)}", width)
    yield from _labelled("machine", f"{device.get('name')}: {product}, {record.machine.threads} threads", width)
    known = [(one.dtype, one.operations_per_s / 1e9) for one in record.ceilings if one.operations_per_s is not None]
    if known:
        rates = ", ".join(f"{dtype} {value:.0f} GFLOP/s" for dtype, value in known)
        yield from _labelled("ceiling", f"{rates}, in products of large matrices", width)
    yield from _labelled("time", f"{record.used_s:.0f} s of {record.budget_s:.0f} s", width)
    if record.load_before and record.load_after:
        before, after = record.load_before[0], record.load_after[0]
        yield from _labelled("load", f"{before:.2g} before, {after:.2g} after, over a minute", width)
    unsteady = sum(trial.steady is False for trial in record.trials)
    if unsteady:
        yield from _labelled("unsteady", f"{unsteady} measured while the rate was still rising", width)
    for number, note in enumerate(record.notes):
        yield from _labelled("" if number else "note", note, width)


def _giga(operations: int) -> str:
    return f"{operations / 1e9:.3g} GFLOP an image"


def _labelled(label: str, text: str, width: int) -> list[str]:
    return wrapped(text, width, first=f"{label:<{LABELS}}")


def _row(record: TuneRecord, trial: Trial) -> tuple[str, ...]:
    mark = PICKED if record.plan is not None and trial.setup == record.plan.setup else ""
    mark += DEFAULT if trial.setup == record.default else ""
    return (
        mark,
        str(trial.setup),
        trial.outcome,
        figure(trial.images_per_s) if (trial.images_per_s or 0) < 1000 else f"{trial.images_per_s:.0f}",
        "-" if trial.spread is None else f"{trial.spread:.0%}",
        "-" if trial.latency_s is None else figure(1e3 * trial.latency_s),
        "-" if trial.memory_bytes is None else f"{trial.memory_bytes / MIB:.0f}",
        "-" if trial.ceiling_share is None else f"{trial.ceiling_share:.0%}",
        figure(trial.worst),
    )


def _reasons(record: TuneRecord) -> Iterator[tuple[str, str]]:
    """Yield why candidates were not measured or may not be picked; one line for those of one reason."""
    kept: dict[str, list[Trial]] = {}
    for trial in record.trials:
        if trial.outcome != "passed" or not trial.may_be_picked:
            kept.setdefault(trial.because, []).append(trial)
    for because, trials in kept.items():
        others = f" and {len(trials) - 1} more" if len(trials) > 1 else ""
        yield f"{trials[0].setup}{others}", because
