"""The figures behind a verdict: each output by every metric, each input, each seed, and how errors are spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from snellen.records.report import Histogram, Pca, ReportRecord
from snellen.records.verify import Metrics, OutputRecord, TrialRecord
from snellen.report.sections import figures as f
from snellen.report.sections.parts import Name, Part, Say, Table, Text, headed, text

Shown = Callable[[Metrics], str]


def _figure(name: str) -> Shown:
    return lambda metrics: f.number(getattr(metrics, name))


def _count(name: str) -> Shown:
    return lambda metrics: f.count(getattr(metrics, name))


def _cosine(name: str) -> Shown:
    return lambda metrics: f.cosine(getattr(metrics, name))


def _distance(name: str) -> Shown:
    return lambda metrics: f.distance(getattr(metrics, name))


def _share(name: str) -> Shown:
    return lambda metrics: f.percent(getattr(metrics, name))


def _place(name: str) -> Shown:
    return lambda metrics: f.NONE if getattr(metrics, name) is None else f.shape(getattr(metrics, name))


FIGURES: tuple[str, ...] = (
    "max_abs",
    "mean_abs",
    "rmse",
    "max_relative",
    "mean_relative",
    "median_relative",
    "trimmed_relative",
)
FIGURES += ("mean_ratio", "relative_frobenius", "gain")
COSINES = ("cosine", "mean_token_cosine", "p01_token_cosine")
SHARES = ("share_1e2", "share_1e3", "share_1e4", "ulp_above_1")
COUNTS = ("close_mismatched", "polygraphy_exceeded")

METRICS: tuple[tuple[str, Shown], ...] = (
    ("elements", _count("elements")),
    ("nonfinite", _count("nonfinite")),
    *((name, _figure(name)) for name in FIGURES),
    *((row, shown(name)) for name in COSINES for row, shown in ((name, _cosine), (f"{name}_distance", _distance))),
    ("worst_token", _figure("worst_token")),
    ("snr_db", _figure("snr_db")),
    ("mere", _figure("mere")),
    ("mare", _figure("mare")),
    *((name, _share(name)) for name in SHARES),
    ("ulp_mean", _figure("ulp_mean")),
    ("ulp_p99", _figure("ulp_p99")),
    *((name, _count(name)) for name in COUNTS),
    ("top1_match", _figure("top1_match")),
    ("max_abs_at", _place("max_abs_at")),
    ("worst_token_at", _place("worst_token_at")),
)
"""Every metric of a record, and how it is shown; a test holds this list to the fields of ``Metrics``."""


def tensors(record: ReportRecord) -> Iterator[Part]:
    """Yield the tables of figures."""
    trial = record.trial
    if trial.outputs:
        yield _by_metric("tensors_single", trial, lambda output: output.single)
        yield _by_metric("tensors_golden", trial, lambda output: output.golden)
        yield _ladder(trial.outputs)
        yield from _images(trial)
    if record.seeds:
        header = headed("seed", "output", "max_abs", "mean_abs", "mean_ratio", "cosine", "cosine_distance")
        seeds = tuple(
            (
                str(row.seed),
                Name(row.output),
                f.number(row.max_abs),
                f.number(row.mean_abs),
                f.number(row.relative),
                f.cosine(row.cosine),
                f.distance(row.cosine),
            )
            for row in record.seeds
        )
        yield Table("seeds", header, seeds, (0, 2, 3, 4, 5, 6))
    yield from map(_histogram, record.histograms)
    if record.pca:
        header = headed("image", "grid", "explained", "patch_mean", "patch_worst", "patch_at")
        yield Table("pca", header, tuple(map(_pca, record.pca)), (2, 3, 4), (Text("below.pca"),))


def _by_metric(key: str, trial: TrialRecord, of: Callable[[OutputRecord], Metrics]) -> Table:
    body: list[tuple[Say, ...]] = [(Text("metric.shape"), *(f.shape(output.shape) for output in trial.outputs))]
    for name, shown in METRICS:
        body.append((Text(f"metric.{name}"), *(shown(of(output)) for output in trial.outputs)))
    header: tuple[Say, ...] = (Text("column.metric"), *(Name(output.name) for output in trial.outputs))
    return Table(key, header, tuple(body), tuple(range(1, len(header))), (Text("below.metrics"),))


def _ladder(outputs: Sequence[OutputRecord]) -> Table:
    classes = list(dict.fromkeys(name for output in outputs for name in output.ladder))
    body: list[tuple[Say, ...]] = []
    for output in outputs:
        rungs = [output.ladder.get(name) for name in classes]
        shown = [f.number(rung.frobenius) if rung else f.NONE for rung in rungs]
        body.append(
            (Name(output.name), f.number(output.golden.relative_frobenius), *shown, f.number(output.rounding.frobenius))
        )
    header: tuple[Say, ...] = (*headed("output", "candidate"), *map(Name, classes), Text("column.rounding"))
    return Table("ladder", header, tuple(body), tuple(range(1, len(header))), (Text("below.ladder"),))


def _images(trial: TrialRecord) -> Iterator[Part]:
    names = trial.inputs.names
    body = []
    for output in trial.outputs:
        for number, one in enumerate(output.images):
            name: Say = names[number] if number < len(names) else text("value.input_number", {"number": str(number)})
            figures = (one.max_abs, one.mean_abs, one.mean_ratio, one.relative_frobenius)
            ends = f.cosine(one.cosine), f.distance(one.cosine), f.count(one.nonfinite)
            body.append((name, Name(output.name), *map(f.number, figures), *ends))
    if body:
        columns = ("image", "output", "max_abs", "mean_abs", "mean_ratio", "relative_frobenius")
        header = headed(*columns, "cosine", "cosine_distance", "nonfinite")
        yield Table("images", header, tuple(body), tuple(range(2, len(header))))


def _histogram(one: Histogram) -> Table:
    """Return how many elements err by how much, decade by decade."""
    decades: dict[int, list[int]] = {}
    for low, high, candidate, reference in zip(one.edges, one.edges[1:], one.candidate, one.reference, strict=False):
        middle = math.sqrt(low * high) if low > 0 else high / 2  # an edge itself may lie beside a power of ten
        decade = math.floor(math.log10(middle))
        found = decades.setdefault(decade, [0, 0])
        found[0] += candidate
        found[1] += reference
    body = tuple(
        (text("value.range", {"low": f"1e{decade}", "high": f"1e{decade + 1}"}), f.count(mine), f.count(trusted))
        for decade, (mine, trusted) in sorted(decades.items())
    )
    note = text("below.histogram", {"output": Name(one.output), "zeros": f.count(one.zeros)})
    return Table("histogram", headed("error_range", "candidate_count", "trusted_count"), body, (1, 2), (note,))


def _pca(one: Pca) -> tuple[Say, ...]:
    explained = f.listed(f.percent(share) for share in one.explained)
    if not one.differences:
        return one.image, f.by(one.grid), explained, f.NONE, f.NONE, f.NONE
    worst = max(range(len(one.differences)), key=one.differences.__getitem__)
    mean = sum(one.differences) / len(one.differences)
    row, column = divmod(worst, one.grid[1])
    at = text("value.patch", {"row": str(row), "column": str(column)})
    return one.image, f.by(one.grid), explained, f.number(mean), f.number(one.differences[worst]), at
