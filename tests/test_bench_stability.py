"""The check of what bench promises: a runner that is slower by a tenth, and counts that are judged rightly."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from report_records import latency
from snellen.records.bench import Compared, CompareRecord

sys.path.append(str(Path(__file__).parent.parent / "tools"))  # behind the tests: both have a "parity"

import bench_stability

LATENCY = latency([10.0, 10.1, 9.9], (9.9, 10.1))
ROW = Compared(batch=1, first_p50_ms=10.0, second_p50_ms=10.0, ratio=1.0, low=0.98, high=1.02, verdict="the same")
FINE = bench_stability.Repetition(LATENCY, LATENCY, ROW, ROW, alarm=False, flagged=True)
APART = replace(FINE, second=replace(LATENCY, low_ms=10.2, high_ms=10.4))


def turns(second: str = "the same", slower: str = "slower") -> dict[str, CompareRecord]:
    made = CompareRecord(first="a", second="b", threshold=0.05, again=True, rows=(), differing=())
    names = {"second": second, "slower": slower}
    return {name: replace(made, rows=(replace(ROW, verdict=verdict),)) for name, verdict in names.items()}


def test_intervals_that_overlap_agree() -> None:
    assert FINE.agree
    assert not APART.agree
    assert replace(FINE, second=replace(LATENCY, low_ms=10.1, high_ms=10.4)).agree
    assert not replace(APART, first=APART.second, second=LATENCY).agree


@pytest.mark.parametrize(
    ("others", "alternated", "code"),
    [
        ([], turns(), 0),
        ([APART], turns(), 0),  # nine of ten
        ([APART, APART], turns(), 1),
        ([replace(FINE, flagged=False)] * 2, turns(), 1),
        ([replace(FINE, alarm=True)] * 2, turns(), 1),
        ([], turns(slower="undecided"), 1),
        ([], turns(second="slower"), 1),
        ([], turns(second="undecided"), 0),
    ],
)
def test_what_is_promised_is_judged(others, alternated, code, capsys) -> None:
    found = [*others, *[FINE] * (10 - len(others))]
    assert bench_stability.judged(found, alternated, 1.0) == code
    assert "of 10  measurements of the same thing agree" in capsys.readouterr().out


def test_what_is_planted_is_a_tenth_of_the_time(monkeypatch) -> None:
    clock = SimpleNamespace(now=0.0)

    def now() -> float:
        clock.now += 0.0001  # whoever waits by looking at the clock moves it
        return clock.now

    def run(pixels, tap):
        clock.now += 1.0
        return "features"

    monkeypatch.setattr(bench_stability, "time", SimpleNamespace(perf_counter=now))
    slowed = object.__new__(bench_stability.Slowed)
    slowed.inner, slowed.device = SimpleNamespace(run=run), SimpleNamespace(synchronize=lambda: None)
    assert slowed.run("pixels") == "features"
    assert clock.now == pytest.approx(1.1, rel=1e-3)


def test_a_line_holds_the_figures() -> None:
    text = bench_stability.line(3, APART)
    assert text.startswith(" 3   10.00 [  9.90  10.10]")
    assert "DIFFER" in text
    assert "1.000 [0.980 1.020] the same" in text
