"""A measurement of speed as plain text: what came out, tables and a plot by batch size, and what to doubt.

In: the record of a measurement. Out: lines without colours, none wider than asked for. Every figure is the record's.
Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from snellen.records.bench import Baseline, BenchRecord, Latency, Memory, Mode, Point
from snellen.report.compared import compared, verdict
from snellen.report.doubts import doubts
from snellen.report.figures import digits, labelled, listed, percent, seconds, span, times, times_span
from snellen.report.sweep import plotted
from snellen.report.terminal import SIMULATED
from snellen.report.text import Column, clip, shape, table, wrapped

__all__ = ["WIDTH", "compared", "line", "lines", "verdict"]

WIDTH = 100
MIB = 2**20
PERCENTS = (50, 90, 95, 99)

MEASURES: dict[Mode, str] = {
    "latency": "one batch after another, the device waited for on both sides",
    "throughput": "a continuous stream of batches",
    "files": "from image files to vectors, and the encoder alone",
}

LATENCY = (
    Column(header="batch", right=True),
    Column(header="n", right=True),
    Column(header="mean", right=True),
    Column(header="std", right=True),
    *(Column(header=f"p{one}", right=True) for one in PERCENTS),
    Column(header="min", right=True),
    Column(header="max", right=True),
    Column(header="95% of p50", right=True, goes=1),
)
DROPPED = ("p90", "p95", "p99")  # of a stream
RATES = (
    Column(header="batch", right=True),
    Column(header="images/s", right=True),
    Column(header="enqueue", right=True),
    Column(header="stable"),
    Column(header="ceiling", right=True),
    Column(header="copies", right=True),
    Column(header="binds"),
)
SPEEDUPS = (
    Column(header="batch", right=True),
    Column(header="baseline p50 ms", right=True),
    Column(header="here p50 ms", right=True),
    Column(header="times as fast", right=True),
    Column(header="95% interval", right=True),
)
HELD: dict[str, Callable[[Memory], int | None]] = {
    "allocator MiB": lambda memory: memory.allocated_peak_bytes,
    "device MiB": lambda memory: memory.device_used_bytes,
    "process MiB": lambda memory: memory.process_peak_bytes,
}
LIMITS: dict[str, Callable[[Point], float | None]] = {
    "arithmetic": lambda point: point.ceiling_share,
    "memory": lambda point: point.bandwidth_share,
}
"""How near to its limit a batch size comes, of what has one that was measured."""


def lines(record: BenchRecord, width: int = WIDTH) -> list[str]:
    """Return the report of a measurement, in lines of at most ``width`` cells; 80 are needed."""
    found = [part for told in cautions(record) for part in wrapped(told, width, then="  ")]
    found += ["", *_head(record, width)] if found else _head(record, width)
    for title, section in SECTIONS.items():
        body = list(section(record, width))
        if body:
            found += ["", title, *body]
    return [clip(one.rstrip(), width) for one in found]


def line(record: BenchRecord) -> str:
    """Return what came out in one line; what was simulated says so first."""
    measured = _measured(record)
    rated = [(point.images_per_s, point.batch) for point in measured if point.images_per_s is not None]
    timed = [(point.latency.p50_ms, point.batch) for point in measured if point.latency is not None]
    told = ["SIMULATED"] if record.simulated else []
    if record.files is not None:
        told.append(f"{digits(record.files.images_per_s)} images/s from files to vectors")
    if rated:
        told.append(f"{digits(max(rated)[0])} images/s at batch {max(rated)[1]}")
    if timed and record.mode == "latency":
        told.append(f"a median of {digits(min(timed)[0])} ms at batch {min(timed)[1]}")
    return ", ".join(told) if measured or record.files else ", ".join([*told, "nothing was measured"])


def cautions(record: BenchRecord) -> list[str]:
    """Return what a reader has to know before any figure: what was simulated, and what was drawn."""
    told = [SIMULATED] if record.simulated else []
    origin = record.model.get("origin") or {}
    if origin.get("kind") == "seed":
        told.append(f"SEEDED WEIGHTS: drawn with seed:{origin.get('seed')}, not trained; the features mean nothing")
    fed = "the encoder alone" if record.mode == "files" else "the encoder"
    told.append(f"RANDOM PIXELS: {fed} was fed pixels drawn with the seed {record.seed}, no photographs")
    return told


# ---- the head


def _head(record: BenchRecord, width: int) -> list[str]:
    head = {
        "result": line(record),
        "measured": MEASURES[record.mode],
        "model": _model(record),
        "setup": _setup(record),
        "ceiling": _ceiling(record),
        "start": _start(record),
        "files": _files(record),
        "fits": "" if record.largest_batch is None else f"batch {record.largest_batch} is the largest that fits",
        "binds": "; ".join(_bound(record)),
        "time": f"{record.used_s:.0f} s{_load(record)}",
    }
    return [part for label, text in head.items() if text for part in labelled(label, text, width)]


def _model(record: BenchRecord) -> str:
    name, variant = record.model.get("name"), record.model.get("variant")
    called = f"{variant}" if name == variant else f"{variant} (asked for as {name})"
    size = f"{shape(record.shape)}, {record.operations_per_image / 1e9:.3g} GFLOP an image"
    return f"{called}, {size}, weights of {digits(record.weights_bytes / MIB)} MiB"


def _setup(record: BenchRecord) -> str:
    runtime = " ".join(filter(None, (record.setup.runtime, record.runtime_version)))
    rest = f"{record.setup}".removeprefix(record.setup.runtime)
    product = record.device.get("product") or record.machine.product
    return f"{runtime}{rest} on {record.device.get('name')}: {product}, {record.machine.threads} threads"


def _ceiling(record: BenchRecord) -> str:
    products, copies = record.ceiling, record.bandwidth
    known, absent = [], {}
    if products is not None and products.operations_per_s is not None:
        known.append(f"{products.dtype} {products.operations_per_s / 1e9:.4g} GFLOP/s in products of large matrices")
    else:
        absent["products of matrices"] = products.note if products else "not measured"
    if copies is not None and copies.bytes_per_s is not None:
        known.append(f"{copies.bytes_per_s / 1e9:.3g} GB/s in copies, read and written")
    else:
        absent["copies"] = copies.note if copies else "not measured"
    for note in dict.fromkeys(absent.values()):
        known.append(f"none of {' and '.join(what for what in absent if absent[what] == note)} ({note})")
    return "; ".join(known)


def _start(record: BenchRecord) -> str:
    start = record.start
    load = "the model was there already" if start.load_s is None else f"loaded in {seconds(start.load_s)}"
    kept = {True: ", compiled before", False: ", compiled now", None: ""}[start.cached]
    first = f"first run {digits(start.first_run_ms)} ms"
    return f"{load}; prepared in {seconds(start.prepare_s)}{kept}; {first}; none of it is in the tables"


def _files(record: BenchRecord) -> str:
    files = record.files
    if files is None:
        return ""
    return (
        f"{digits(files.images_per_s)} images/s, {files.images} images and {files.workers} workers: "
        f"{percent(files.share)} of the {digits(files.allowed_images_per_s)} that decoding alone "
        f"({digits(files.decode_images_per_s)}) and the encoder alone ({digits(files.model_images_per_s)}) allow"
    )


def _bound(record: BenchRecord) -> Iterator[str]:
    """Yield what binds, with the batch sizes and how near to the limit they come."""
    for kind in ("arithmetic", "memory", "host"):
        points = [point for point in _measured(record) if point.binds == kind]
        shares = [LIMITS[kind](point) for point in points if kind in LIMITS]
        near = [share for share in shares if share is not None]
        if points:
            reached = f", up to {percent(max(near))} of what was measured" if near else ""
            yield f"{kind} at batch {listed(point.batch for point in points)}{reached}"


def _load(record: BenchRecord) -> str:
    if not record.load_before or not record.load_after:
        return ""
    before, after = record.load_before[0], record.load_after[0]
    return f"; {before:.2g} processes ran before, {after:.2g} at the end, over a minute"


# ---- tables and the plot


def _latencies(record: BenchRecord, width: int) -> Iterator[str]:
    rows = [_latency_row(point.batch, point.latency) for point in _measured(record) if point.latency is not None]
    return table(LATENCY, rows, width) if rows and record.mode == "latency" else iter(())


def _streams(record: BenchRecord, width: int) -> Iterator[str]:
    """Yield what a batch takes of a stream; a sample is the mean of a whole visit, which has no percentiles."""
    rows = [_latency_row(point.batch, point.latency) for point in _measured(record) if point.latency is not None]
    kept = [number for number, column in enumerate(LATENCY) if column.header not in DROPPED]
    if rows and record.mode != "latency":
        yield from table([LATENCY[i] for i in kept], [[row[i] for i in kept] for row in rows], width)


def _latency_row(batch: int, latency: Latency) -> tuple[str, ...]:
    percentiles = {one.percent: one.ms for one in latency.percentiles}
    return (
        f"{batch}",
        f"{latency.count}",
        digits(latency.mean_ms),
        digits(latency.std_ms),
        *(digits(percentiles.get(one)) for one in PERCENTS),
        digits(latency.min_ms),
        digits(latency.max_ms),
        span(latency.low_ms, latency.high_ms),
    )


def _rates(record: BenchRecord, width: int) -> Iterator[str]:
    """Yield rates and shares; memory stands beside them where one kind of it is known, else in a table of its own."""
    points = _measured(record)
    if not points:
        return
    held = {name: tell for name, tell in HELD.items() if any(tell(point.memory) is not None for point in points)}
    beside = held if len(held) == 1 else {}
    columns = (*RATES, *(Column(header=name, right=True) for name in beside))
    yield from table(columns, [(*_rate_row(point), *_held(point.memory, beside)) for point in points], width)
    if len(held) > 1:
        yield ""
        columns = (RATES[0], *(Column(header=name, right=True) for name in held))
        yield from table(columns, [(f"{point.batch}", *_held(point.memory, held)) for point in points], width)


def _rate_row(point: Point) -> tuple[str, ...]:
    stable = {None: "-", True: "yes", False: "no"}[point.stability.stable if point.stability else None]
    return (
        f"{point.batch}",
        digits(point.images_per_s),
        digits(point.enqueue_p50_ms),
        f"{stable} (2nd)" if point.stability and point.stability.attempts > 1 else stable,
        percent(point.ceiling_share),
        percent(point.bandwidth_share),
        point.binds or "-",
    )


def _held(memory: Memory, kinds: Mapping[str, Callable[[Memory], int | None]]) -> Iterator[str]:
    for tell in kinds.values():
        size = tell(memory)
        yield "-" if size is None else f"{size / MIB:.0f}"


def _plot(record: BenchRecord, width: int) -> Iterator[str]:
    return plotted(_measured(record), width)


def _baseline(record: BenchRecord, width: int) -> Iterator[str]:
    if record.baseline is not None:
        yield from wrapped(f"{record.baseline.setup} on {record.baseline.device}, measured in the same rounds", width)
        yield from table(SPEEDUPS, list(_speedups(record, record.baseline)), width)


def _speedups(record: BenchRecord, baseline: Baseline) -> Iterator[tuple[str, ...]]:
    here = {point.batch: point.latency for point in record.points}
    for point in baseline.points:
        batch = f"{point.batch}"
        yield (
            batch,
            _median(point.latency),
            _median(here.get(point.batch)),
            times(baseline.speedup.get(batch)),
            times_span(baseline.speedup_low.get(batch), baseline.speedup_high.get(batch)),
        )


def _median(latency: Latency | None) -> str:
    return digits(None if latency is None else latency.p50_ms)


def _doubts(record: BenchRecord, width: int) -> Iterator[str]:
    for one in doubts(record):
        yield from wrapped(one, width, first="! ", then="  ")


def _notes(record: BenchRecord, width: int) -> Iterator[str]:
    for one in record.notes:
        yield from wrapped(one, width, first="- ", then="  ")


def _measured(record: BenchRecord) -> list[Point]:
    return [point for point in record.points if point.outcome == "measured"]


SECTIONS: dict[str, Callable[[BenchRecord, int], Iterator[str]]] = {
    "latency of a batch, in ms": _latencies,
    "time that a batch takes of the stream, in ms": _streams,
    "rate; host time until a batch is queued, in ms; shares of the measured ceilings": _rates,
    "by batch size": _plot,
    "speed-up": _baseline,
    "to be minded": _doubts,
    "notes": _notes,
}
