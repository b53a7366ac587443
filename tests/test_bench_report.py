"""A measurement as text: every figure is the record's, no line is too wide, and doubts come with remedies."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from report_records import cpu_example, example, point
from snellen.records.bench import BenchRecord, Compared, CompareRecord, Memory, Point
from snellen.records.model import Origin
from snellen.report import bench as report
from snellen.report.doubts import doubts

WIDTHS = (80, 100, 120)


def npu() -> BenchRecord:
    return example().bench


def cpu() -> BenchRecord:
    return cpu_example().bench


def clean(**changes) -> BenchRecord:
    """Return a measurement that nothing is to be said against."""
    points = tuple(point(batch, 10.0, 500) for batch in (1, 2, 4))
    made = replace(cpu(), points=points, notes=(), baseline=None, load_before=(0.1, 0.1, 0.1))
    return replace(made, **changes)


def changed(number: int = 0, **changes) -> BenchRecord:
    """Return the same with one of its points changed."""
    record = clean()
    points = list(record.points)
    points[number] = replace(points[number], **changes)
    return replace(record, points=tuple(points))


def stream() -> BenchRecord:
    """Return a throughput: a sample is the mean of a whole visit."""
    return clean(mode="throughput", points=tuple(point(batch, 10.0, 6, queues=False) for batch in (1, 8)))


def full(largest: int | None = 8) -> BenchRecord:
    """Return one that ended where memory did, which was looked for or not."""
    ended = Point(batch=64, outcome="out of memory", because="the allocator asked for 3 GiB")
    return replace(npu(), points=(*npu().points, ended), largest_batch=largest)


RECORDS = {"npu": npu, "cpu": cpu, "clean": clean, "stream": stream, "full": full}


def section(record: BenchRecord, title: str, width: int = 100) -> list[str]:
    """Return the lines of one section, without its title."""
    lines = report.lines(record, width)
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    rest = [*lines[start + 1 :], ""]
    following = [number for number, line in enumerate(rest) if any(line.startswith(one) for one in report.SECTIONS)]
    return [line for line in rest[: following[0] if following else len(rest)] if line]


def row(lines: list[str], batch: int) -> list[str]:
    return next(line.split() for line in lines if line.split()[:1] == [str(batch)])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", RECORDS)
def test_no_line_is_wider_than_asked_for(name, width) -> None:
    lines = report.lines(RECORDS[name](), width)
    assert max(map(len, lines)) <= width
    assert not any(line.endswith("…") for line in lines)  # nothing was cut, either


def test_the_table_holds_what_the_record_does() -> None:
    record = clean()
    found = row(section(record, "latency of a batch"), 4)
    latency = record.points[2].latency
    assert latency is not None
    named = [latency.mean_ms, *(one.ms for one in latency.percentiles), latency.min_ms, latency.max_ms]
    assert found[:2] == ["4", "500"]
    assert [float(found[2]), *map(float, found[4:10])] == pytest.approx(named, rel=1e-3)
    assert float(found[3]) == pytest.approx(latency.std_ms, rel=1e-3)
    assert found[10] == "39.60–40.40"
    rates = row(section(record, "rate;"), 4)
    assert float(rates[1]) == pytest.approx(record.points[2].images_per_s, rel=1e-3)
    assert float(rates[2]) == pytest.approx(record.points[2].enqueue_p50_ms, rel=1e-3)
    assert rates[3] == "yes"
    assert rates[4] == f"{record.points[2].ceiling_share:.0%}"
    assert rates[5] == f"{record.points[2].bandwidth_share:.0%}"
    assert rates[6] == "arithmetic"


@pytest.mark.parametrize("width", WIDTHS)
def test_no_figure_goes_for_want_of_room(width) -> None:
    lines = report.lines(npu(), width)
    for word in ("95% of p50", "enqueue", "ceiling", "copies", "allocator MiB", "device MiB", "process MiB", "max"):
        assert any(word in line for line in lines), word


def test_figures_have_four_digits_and_no_exponent() -> None:
    from snellen.report.figures import digits

    values = (0.01234, 0.5, 9.8765, 9.99996, 99.994, 123.45, 1234.5, 98765.4, None)
    assert [digits(value) for value in values] == [
        *("0.012", "0.500", "9.877", "10.00", "99.99", "123.5", "1234", "98765", "-"),
    ]


def test_what_was_simulated_and_drawn_is_said_first() -> None:
    first = report.lines(npu())[:3]
    assert first[0].startswith("SIMULATED")
    assert first[1].startswith("SEEDED WEIGHTS: drawn with seed:")
    assert first[2] == "RANDOM PIXELS: the encoder was fed pixels drawn with the seed 0, no photographs"
    assert report.lines(cpu())[0].startswith("RANDOM PIXELS")  # trained weights, on a device that is there
    assert report.lines(replace(cpu(), mode="files"))[0].startswith("RANDOM PIXELS: the encoder alone")
    assert report.line(npu()).startswith("SIMULATED, ")
    assert not report.line(cpu()).startswith("SIMULATED")


def test_the_head_tells_start_ceilings_and_what_binds() -> None:
    text = "\n".join(report.lines(npu()))
    assert "loaded in 0.620 s; prepared in 1.400 s; first run 912.5 ms; none of it is in the tables" in text
    assert "float32 150 GFLOP/s in products of large matrices; 12 GB/s in copies, read and written" in text
    words = " ".join(text.split())
    assert re.search(r"binds arithmetic at batch 2, 4, 8, up to \d+% of what was measured; host at batch 1 time", words)
    assert "compiled now" in "\n".join(report.lines(cpu()))
    here = replace(npu(), start=replace(npu().start, load_s=None), ceiling=None)
    text = "\n".join(report.lines(here))
    assert "the model was there already" in text
    assert "none of products of matrices (not measured)" in text


def test_the_result_names_the_best_rate_and_the_shortest_latency() -> None:
    fast, slow = (
        replace(clean().points[0], batch=batch, images_per_s=rate) for batch, rate in ((16, 512.3), (32, 498.0))
    )
    line = report.line(replace(clean(), points=(clean().points[0], fast, slow), files=None))
    assert line == "512.3 images/s at batch 16, a median of 9.999 ms at batch 1"


def test_from_files_says_what_was_possible() -> None:
    text = " ".join(" ".join(report.lines(replace(npu(), mode="files"))).split())
    assert "5.100 images/s, 40 images and 4 workers: 94% of the 5.431 that decoding alone (180.0)" in text
    assert "5.100 images/s from files to vectors" in report.line(npu())


def test_memory_has_columns_of_what_is_known() -> None:
    one = section(replace(cpu(), baseline=None), "rate;")
    assert "process MiB" in one[0]
    assert "allocator" not in one[0]
    several = section(npu(), "rate;")
    assert "MiB" not in several[0]
    assert sum("allocator MiB" in line for line in several) == 1
    none = replace(clean(), points=tuple(replace(one, memory=Memory()) for one in clean().points))
    assert "MiB" not in "\n".join(section(none, "rate;"))


def test_the_plot_has_a_row_for_each_batch_size() -> None:
    lines = section(clean(), "by batch size")
    assert lines[0].split()[:4] == ["images/s", "ms", "a", "batch:"]
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "4"]
    assert all(line.count("o") == 2 and line.count("<") == 1 for line in lines[1:4])
    places = [line.rindex("o") for line in lines[1:4]]
    assert places == sorted(set(places))  # a larger batch takes longer
    assert "1e1" in lines[-1]


def test_one_batch_size_makes_no_plot() -> None:
    alone = replace(clean(), points=clean().points[:1])
    assert "by batch size" not in report.lines(alone)
    assert "by batch size" in report.lines(clean())


def test_the_baseline_is_said_to_be_of_the_same_rounds() -> None:
    record = npu()
    assert record.baseline is not None
    lines = section(record, "speed-up", 80)
    assert lines[0] == "eager, float32 on cpu, measured in the same rounds"
    found = row(lines[1:], 8)
    assert float(found[3]) == pytest.approx(record.baseline.speedup["8"], rel=1e-3)
    low, high = map(float, found[4].split("–"))
    assert low < float(found[3]) < high
    assert "speed-up" not in report.lines(clean())


def test_a_stream_has_times_and_no_percentiles() -> None:
    lines = report.lines(stream())
    assert "latency of a batch, in ms" not in lines
    times = section(stream(), "time that a batch takes")
    assert times[0].split()[:6] == ["batch", "n", "mean", "std", "p50", "min"]
    assert row(times, 8)[:2] == ["8", "6"]
    assert "a continuous stream of batches" in "\n".join(lines)
    assert not any("no p" in one for one in doubts(stream()))
    assert any("no p" in one for one in doubts(replace(stream(), mode="latency")))
    assert "median" not in report.line(stream())
    assert "median" in report.line(clean())


def test_a_batch_that_was_not_measured_is_named_with_a_remedy() -> None:
    said = "batch 64 has no figures, out of memory: the allocator asked for 3 GiB"
    assert any(one.startswith(f"{said}; take smaller batches") for one in doubts(full(None)))
    assert said in doubts(full())  # it was what was looked for
    assert said in " ".join(" ".join(section(full(), "to be minded")).split())
    assert not any(line.split()[:1] == ["64"] for line in report.lines(full()))
    assert "batch 8 is the largest that fits" in "\n".join(report.lines(full()))
    nothing = replace(clean(), points=(full().points[-1],), files=None)
    assert report.line(nothing) == "nothing was measured"
    assert "latency of a batch, in ms" not in report.lines(nothing)


# ---- doubts


def test_nothing_is_said_against_a_clean_measurement() -> None:
    assert list(doubts(clean())) == []
    assert "to be minded" not in report.lines(clean())


UNSTABLE = replace(
    clean().points[0].stability,  # type: ignore[type-var]
    stable=False,
    because="the halves differ by 12 %",
    attempts=2,
)
DOUBTS = {
    "not stable, measured twice: batch 1 (batch 1: the halves differ by 12 %); end what else runs": changed(
        stability=UNSTABLE
    ),
    "at batch 2 the host was busy": changed(1, host_bound=True),
    "batch 4: times were still falling": changed(2, steady=False),
    "something else was running (3.1 processes": replace(clean(), load_before=(3.1, 1.0, 1.0)),
    "no p99 at batch 1 (batch 1: p99 needs 459 samples, there are 100); measure longer with --seconds": changed(
        latency=point(1, 10.0, 100).latency
    ),
}


@pytest.mark.parametrize("text", DOUBTS)
def test_a_doubt_is_said_in_plain_words_with_its_remedy(text) -> None:
    assert [one for one in doubts(DOUBTS[text]) if one.startswith(text)] == list(doubts(DOUBTS[text]))
    words = " ".join(" ".join(section(DOUBTS[text], "to be minded")).split())
    assert text in words


def test_what_is_unstable_is_said_once_with_the_worst() -> None:
    worse = replace(UNSTABLE, near_share=0.1, because="most lie elsewhere")
    points = clean().points
    shaky = (replace(points[0], stability=UNSTABLE), replace(points[1], stability=worse), points[2])
    (told,) = doubts(replace(clean(), points=shaky))
    assert told.startswith("not stable, measured twice: batch 1, 2 (batch 2: most lie elsewhere)")


def test_an_unstable_row_says_so_in_the_table() -> None:
    assert "no (2nd)" in " ".join(row(section(changed(stability=UNSTABLE), "rate;"), 1))


def test_a_percentile_that_is_not_supported_is_a_dash() -> None:
    short = changed(latency=point(1, 10.0, 100).latency)
    assert row(section(short, "latency of a batch"), 1)[7] == "-"
    assert row(section(clean(), "latency of a batch"), 1)[7] != "-"


def test_a_percentile_that_is_missing_everywhere_is_said_once() -> None:
    counts = ((1, 100), (2, 20), (4, 30), (8, 120))
    points = tuple(point(batch, 10.0, count) for batch, count in counts)
    told = list(doubts(replace(clean(), points=points)))
    assert [one.partition(" (")[0] for one in told] == ["no p99 at batch 1, 2, 4, 8", "no p90, p95 at batch 2, 4"]
    assert "(batch 8: p99 needs 459 samples, there are 120)" in told[0]
    assert "(batch 4: p90 needs 44 samples, there are 30; p95 needs 90 samples, there are 30)" in told[1]


def test_notes_stand_apart_from_doubts() -> None:
    noted = replace(clean(), notes=("a note",))
    assert section(noted, "notes") == ["- a note"]
    assert list(doubts(noted)) == []
    assert "notes" not in report.lines(clean())


# ---- two beside each other


def ratio(batch: int, value: float, verdict, *, wide: float | None = 0.02) -> Compared:
    low, high = (None, None) if wide is None else (value - wide, value + wide)
    return Compared(
        batch=batch,
        first_p50_ms=10.0 * batch,
        second_p50_ms=10.0 * batch * value,
        ratio=value,
        low=low,
        high=high,
        verdict=verdict,
    )


def two(*rows: Compared, **changes) -> CompareRecord:
    made = CompareRecord(
        first="old.json", second="new.json", threshold=0.05, again=False, rows=rows, differing=("threads: 2, 4",)
    )
    return replace(made, **changes)


def test_a_comparison_says_the_verdict_first() -> None:
    record = two(ratio(1, 1.0, "the same"), ratio(4, 1.12, "slower"), ratio(8, 1.2, "slower"))
    lines = report.compared(record)
    assert lines[0] == "verdict    slower at batch 4, 8 (1.200 times as long at batch 8); the same at batch 1"
    assert row(lines, 4) == ["4", "40.00", "44.80", "1.120", "1.100–1.140", "slower"]
    assert "differ in  threads: 2, 4" in lines
    assert "more than 5% slower is a regression" in "\n".join(lines)
    assert not any(line.startswith("!") for line in lines)


def test_the_cautions_of_a_comparison_come_first() -> None:
    lines = report.compared(two(ratio(1, 1.0, "the same"), cautions=("SIMULATED: both", "SEEDED WEIGHTS: both")))
    assert lines[:4] == ["SIMULATED: both", "SEEDED WEIGHTS: both", "", "verdict    the same at batch 1"]


def test_what_is_undecided_has_a_remedy() -> None:
    record = two(ratio(1, 1.04, "undecided"), ratio(2, 1.04, "undecided", wide=None))
    text = " ".join(" ".join(report.compared(record)).split())
    assert "batch 2: too few rounds" in text
    assert "batch 1: the interval reaches over the threshold" in text
    assert "--again measures both in turns" in text
    assert "--again" not in "\n".join(report.compared(replace(record, again=True)))
    assert report.verdict(record) == "undecided at batch 1, 2"


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_of_a_comparison_is_wider(width) -> None:
    rows = [ratio(batch, 1.04, "undecided") for batch in (1, 64, 1024)]
    record = two(*rows, differing=("setup: " + "openvino, bfloat16, batch 8, streams 2; " * 4,))
    assert max(map(len, report.compared(record, width))) <= width


def test_what_is_faster_is_no_regression() -> None:
    record = two(ratio(1, 0.8, "faster"), ratio(2, 0.9, "faster"))
    assert report.verdict(record) == "faster at batch 1, 2 (0.800 times as long at batch 1)"
    assert (record.exit_code, two(ratio(1, 1.1, "slower")).exit_code) == (0, 1)
    assert two(ratio(1, 1.0, "undecided")).exit_code == 3


def test_the_report_needs_neither_torch_nor_numpy() -> None:
    check = "import snellen.report.bench, sys; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", f"import numpy; {check}"], check=False).returncode == 1


def test_a_name_that_was_asked_for_otherwise_is_said() -> None:
    model = {**cpu().model, "name": "facebook/dinov3", "origin": {"kind": Origin(kind="file").kind}}
    assert "(asked for as facebook/dinov3)" in "\n".join(report.lines(replace(cpu(), model=model)))
    assert "asked for as" not in "\n".join(report.lines(cpu()))
