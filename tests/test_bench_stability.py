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
FAR = replace(LATENCY, low_ms=10.2, high_ms=10.4)


def compared(verdict: str) -> CompareRecord:
    """Return a comparison of two batch sizes, of which the second came out so."""
    row = Compared(batch=1, first_p50_ms=10.0, second_p50_ms=10.0, ratio=1.0, low=0.98, high=1.02, verdict="the same")
    rows = (row, replace(row, batch=2, verdict=verdict))
    return CompareRecord(first="a", second="b", threshold=0.05, again=False, rows=rows, differing=())


FINE = bench_stability.Repetition((LATENCY, LATENCY), (LATENCY, LATENCY), compared("the same"), compared("slower"))
APART = replace(FINE, second=(LATENCY, FAR))
ALARM = replace(FINE, same=compared("slower"))
MISSED = replace(FINE, slower=compared("undecided"))
PLAIN = replace(FINE, slower=None)


def turns(second: str = "the same", slower: str = "slower") -> dict[str, CompareRecord]:
    return {"second": compared(second), "slower": compared(slower)}


def test_intervals_that_overlap_agree() -> None:
    assert FINE.agree
    assert not APART.agree  # at every batch size
    touching = replace(LATENCY, low_ms=10.1, high_ms=10.4)
    assert replace(FINE, second=(LATENCY, touching)).agree
    assert not replace(FINE, first=(LATENCY, FAR)).agree


@pytest.mark.parametrize(
    ("others", "alternated", "code"),
    [
        ([], turns(), 0),
        ([APART], turns(), 0),  # nine of ten
        ([APART, APART], turns(), 1),
        ([MISSED], turns(), 0),
        ([MISSED, MISSED], turns(), 1),
        ([MISSED, *[PLAIN] * 8], turns(), 1),  # one of two that were planted
        ([ALARM, ALARM], turns(), 1),
        ([], turns(slower="undecided"), 1),
        ([], turns(second="slower"), 1),
        ([], turns(second="undecided"), 0),
    ],
)
def test_what_is_promised_is_judged(others, alternated, code, capsys) -> None:
    found = [*others, *[FINE] * (10 - len(others))]
    assert bench_stability.judged(found, alternated, 1.0) == code
    assert "of 10  two measurements of the same thing agree" in capsys.readouterr().out


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


def test_the_lines_hold_the_figures() -> None:
    first, second, same, slower = bench_stability.lines(3, APART)
    assert first == " 3  batch 1:   10.00 [9.90 10.10]    10.00 [9.90 10.10] ms  agree"
    assert second.endswith("[10.20 10.40] ms  DIFFER")
    assert same.endswith("1.000 [0.980 1.020] the same, 1.000 [0.980 1.020] the same")
    assert slower.endswith("slower")
    assert len(list(bench_stability.lines(3, PLAIN))) == 3
