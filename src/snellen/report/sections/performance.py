"""Performance by batch size: latencies and their percentiles, throughput, what binds, what comes before, speed-up."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.bench import Baseline, BenchRecord, Latency, Point
from snellen.records.report import ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.common import ALONE, device_of, measured, named, needed, rows, unsupported, yes
from snellen.report.sections.parts import Name, Paragraph, Part, Quote, Say, Section, Table, Text, headed, text, word
from snellen.report.sections.tuned import tuned

LATENCY = ("batch", "samples", "mean", "std", "cv", "min", "p50", "p90", "p95", "p99", "max", "throughput")
STEADY = ("batch", "low", "high", "stable", "first_half", "second_half", "near", "attempts", "warm_up", "steady")
CEILING = ("batch", "gflops", "ceiling_share", "gbytes", "bandwidth_share", "enqueue", "host_bound", "binds")
PERCENTS = (50, 90, 95, 99)


def performance(record: ReportRecord) -> Section:
    """Return the measurement of speed."""
    return Section("performance", tuple(_parts(record)))


def _parts(record: ReportRecord) -> Iterator[Part]:
    bench = record.bench
    yield Paragraph(_method(bench))
    found = tuple(measured(bench))
    if found:
        latencies = tuple(_latency(point, latency) for point, latency in found)
        yield Table("latency", headed(*LATENCY), latencies, tuple(range(len(LATENCY))), tuple(_notes(bench)))
        steady = tuple(_steady(point, latency) for point, latency in found)
        yield Table("stability", headed(*STEADY), steady, (0, 1, 2, 4, 5, 6, 7, 8), (Text("below.stability"),))
    rated = [point for point in bench.points if point.images_per_s is not None]
    if rated and not found:
        rates = tuple((str(point.batch), f.number(point.images_per_s, 5)) for point in rated)
        yield Table("throughput", headed("batch", "throughput"), rates, (0, 1))
    if rated:
        yield Table("ceiling", headed(*CEILING), tuple(map(_ceiling, rated)), (0, 1, 2, 3, 4, 5), _ceilings(bench))
    yield from _unmeasured(bench)
    yield Table("start", headed("what", "value"), rows(_start(bench)))
    if bench.baseline is not None:
        yield _speedups(bench, bench.baseline)
    if bench.files is not None:
        yield Table("from_files", headed("what", "value"), rows(_files(bench)))
    if record.tune is not None:
        yield from tuned(record.tune)
    if bench.notes:
        yield Quote(Text("quote.bench"), bench.notes)


def _method(bench: BenchRecord) -> Text:
    values: dict[str, Say] = {
        "mode": word("mode", bench.mode),
        "setup": Name(str(bench.setup)),
        "device": device_of(bench.device),
        "shape": f.shape(bench.shape),
        "seed": str(bench.seed),
        "seconds": f.number(bench.used_s),
    }
    return text("performance.method", values)


def _latency(point: Point, latency: Latency) -> tuple[Say, ...]:
    told = {one.percent: one.ms for one in latency.percentiles}
    return (
        str(point.batch),
        f.count(latency.count),
        f.ms(latency.mean_ms),
        f.number(latency.std_ms),
        f.number(latency.cv_percent),
        f.ms(latency.min_ms),
        *(f.ms(told.get(percent)) for percent in PERCENTS),
        f.ms(latency.max_ms),
        f.number(point.images_per_s, 5),
    )


def _notes(bench: BenchRecord) -> Iterator[Text]:
    """Yield how percentiles are made, and how many samples each of those that are not given would need."""
    yield Text("below.latency" if bench.mode == ALONE else "below.stream")
    absent: dict[float, list[str]] = {}
    for batch, percent, count in unsupported(bench):
        absent.setdefault(percent, []).append(f"{batch} ({count})")
    for percent, found in sorted(absent.items()):
        values = {"percent": f"p{percent:g}", "found": f.listed(found), "needed": str(needed(percent))}
        yield text("below.percentile", values)


def _steady(point: Point, latency: Latency) -> tuple[Say, ...]:
    found = point.stability
    halves: tuple[Say, ...] = (f.NONE,) * 5
    if found is not None:
        medians = f.ms(found.first_half_p50_ms), f.ms(found.second_half_p50_ms)
        halves = (yes(found.stable), *medians, f.percent(found.near_share), str(found.attempts))
    ends = f.ms(latency.low_ms), f.ms(latency.high_ms)
    return str(point.batch), *ends, *halves, str(point.warm_up), yes(point.steady)


def _ceiling(point: Point) -> tuple[Say, ...]:
    return (
        str(point.batch),
        f.giga(point.operations_per_s),
        f.percent(point.ceiling_share),
        f.giga(point.bytes_per_s),
        f.percent(point.bandwidth_share),
        f.ms(point.enqueue_p50_ms),
        yes(point.host_bound),
        f.NONE if point.binds is None else word("binds", point.binds),
    )


def _ceilings(bench: BenchRecord) -> tuple[Text, ...]:
    """Return what the shares are shares of."""
    products, copies = bench.ceiling, bench.bandwidth
    known: dict[str, Say] = {
        "products": f.giga(products.operations_per_s if products else None),
        "dtype": named(products.dtype if products else None),
        "copies": f.giga(copies.bytes_per_s if copies else None),
        "operations": f.giga(bench.operations_per_image),
        "weights": f.mib(bench.weights_bytes),
        "activations": f.mib(bench.bytes_per_image),
    }
    return (text("below.ceiling", known), Text("below.host_bound"))


def _unmeasured(bench: BenchRecord) -> Iterator[Part]:
    left = [point for point in bench.points if point.outcome != "measured"]
    if left:
        body = tuple((str(point.batch), word("point", point.outcome), point.because) for point in left)
        yield Table("unmeasured", headed("batch", "outcome", "because"), body, (0,))
    if bench.largest_batch is not None:
        yield Paragraph(text("performance.largest", {"batch": str(bench.largest_batch)}))


def _start(bench: BenchRecord) -> Iterator[tuple[str, Say]]:
    start = bench.start
    yield "load_s", f.number(start.load_s)
    yield "prepare_s", f.number(start.prepare_s)
    yield "first_run_ms", f.ms(start.first_run_ms)
    yield "cached", yes(start.cached)
    for key, load in (("load_before", bench.load_before), ("load_after", bench.load_after)):
        yield key, f.listed(f.number(value, 2) for value in load or ())


def _speedups(bench: BenchRecord, baseline: Baseline) -> Table:
    here = {point.batch: latency for point, latency in measured(bench)}
    body = []
    for point in baseline.points:
        batch = str(point.batch)
        mine, theirs = here.get(point.batch), point.latency
        body.append(
            (
                batch,
                f.ms(theirs.p50_ms if theirs else None),
                f.number(point.images_per_s, 5),
                f.ms(mine.p50_ms if mine else None),
                *(f.number(of.get(batch)) for of in (baseline.speedup, baseline.speedup_low, baseline.speedup_high)),
            )
        )
    header = headed("batch", "baseline_p50", "baseline_throughput", "own_p50", "speedup", "speedup_low", "speedup_high")
    note = text("below.baseline", {"setup": Name(str(baseline.setup)), "device": Name(baseline.device)})
    return Table("baseline", header, tuple(body), tuple(range(len(header))), (note,))


def _files(bench: BenchRecord) -> Iterator[tuple[str, Say]]:
    files = bench.files
    if files is None:
        return
    yield "files_images_per_s", f.number(files.images_per_s, 5)
    yield "files_decode", f.number(files.decode_images_per_s, 5)
    yield "files_model", f.number(files.model_images_per_s, 5)
    yield "files_allowed", f.number(files.allowed_images_per_s, 5)
    yield "files_share", f.percent(files.share)
    yield "files_count", f.count(files.images)
    yield "files_workers", f.count(files.workers)
