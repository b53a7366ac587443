"""What samples say: held to numpy, to tables, and to what happens when samples are drawn many times."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest

from snellen.errors import UsageError
from snellen.timing import statistics
from snellen.timing.statistics import by_round, exceedances, interval, latency, needed, percentile, stability, student

# Two-sided, 95 %: the table in any textbook.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 19: 2.093, 30: 2.042, 120: 1.980}

# Samples for one sample above the bound, and for two: MLPerf's early stopping.
SUPPORTED = {90: (44, 64), 95: (90, 130), 99: (459, 662)}


@pytest.mark.parametrize("count", [1, 2, 3, 10, 101, 500])
def test_figures_are_numpys(count: int) -> None:
    samples = np.random.default_rng(count).lognormal(3, 0.4, count).tolist()
    found = latency(samples, [count])
    assert (found.count, found.min_ms, found.max_ms) == (count, min(samples), max(samples))
    assert found.mean_ms == pytest.approx(np.mean(samples), rel=1e-12)
    for percent in (0, 1, 37.5, 50, 90, 95, 99, 100):
        assert percentile(sorted(samples), percent) == pytest.approx(np.percentile(samples, percent), rel=1e-12)
    if count == 1:
        assert (found.std_ms, found.cv_percent) == (None, None)
    else:
        assert found.std_ms == pytest.approx(np.std(samples, ddof=1), rel=1e-12)
        assert found.std_ms != pytest.approx(np.std(samples), rel=1e-4)  # the control: of a whole population
        assert found.cv_percent == pytest.approx(100 * np.std(samples, ddof=1) / np.mean(samples))


@pytest.mark.parametrize("percent", SUPPORTED)
def test_a_percentile_that_the_samples_do_not_support_is_none_and_says_how_many_would(percent: int) -> None:
    enough, for_two = SUPPORTED[percent]
    assert needed(percent) == enough
    samples = [float(number) for number in range(for_two)]
    for count in (1, 2, enough - 1, enough, for_two - 1, for_two):
        row = next(one for one in latency(samples[:count], [count]).percentiles if one.percent == percent)
        if count < enough:
            assert (row.ms, row.upper_ms) == (None, None)
            assert row.because == f"p{percent} needs {enough} samples, and there are {count}"
        else:
            assert row.ms == pytest.approx(np.percentile(samples[:count], percent))
            assert row.upper_ms == samples[count - 1 - (count == for_two)]
            assert row.because == ""


def test_the_median_is_always_given() -> None:
    row = latency([3.0, 1.0], [2]).percentiles[0]
    assert (row.percent, row.ms, row.upper_ms, row.because) == (50, 2.0, None, "")
    assert latency([5.0], [1]).p50_ms == 5.0
    assert needed(50) == 7
    assert latency([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [7]).percentiles[0].upper_ms == 7.0


def test_the_bound_is_the_binomial_one() -> None:
    for percent in (50, 90, 99):
        for count in (3, 20, 100, 700):
            above = 1 - percent / 100
            chances = [math.comb(count, k) * above**k * (1 - above) ** (count - k) for k in range(count + 1)]
            allowed = [k for k in range(count + 1) if sum(chances[: k + 1]) <= 0.01]
            assert exceedances(count, percent) == (max(allowed) if allowed else None)
    assert exceedances(200_000, 50) == pytest.approx(100_000 - 2.326 * math.sqrt(50_000), abs=2)


def test_the_bound_holds_in_99_of_100_and_one_sample_lower_would_not() -> None:
    drawn = np.sort(np.random.default_rng(1).exponential(size=(4000, 64)), axis=1)
    true = -math.log(0.1)
    assert exceedances(64, 90) == 1
    assert (drawn[:, 64 - 1 - 1] >= true).mean() > 0.985
    assert (drawn[:, 64 - 1 - 2] >= true).mean() < 0.985


@pytest.mark.parametrize("freedom", STUDENT)
def test_students_t_is_that_of_the_tables(freedom: int) -> None:
    assert student(freedom) == pytest.approx(STUDENT[freedom], abs=6e-4)
    assert student(freedom) > 1.96


def test_an_interval_by_hand() -> None:
    medians = [1.0, math.e, math.e**2]
    reach = 4.302653 / math.sqrt(3)
    assert interval(medians) == pytest.approx((math.exp(1 - reach), math.exp(1 + reach)), rel=1e-5)
    assert interval([7.0] * 5) == pytest.approx((7.0, 7.0))
    assert interval([7.0]) is None
    assert interval([]) is None
    assert interval([0.0, 1.0]) is None


def test_the_interval_holds_in_95_of_100_and_that_of_the_normal_distribution_would_not(monkeypatch) -> None:
    drawn = np.exp(np.random.default_rng(2).normal(3, 0.05, (2000, 5)))

    def held() -> float:
        spans = [interval(row) for row in drawn.tolist()]
        return sum(low <= math.exp(3) <= high for low, high in spans) / len(spans)

    assert 0.94 < held() < 0.96
    monkeypatch.setattr(statistics, "student", lambda freedom: 1.96)
    assert held() < 0.9


def test_the_interval_is_judged_by_rounds_and_not_by_samples() -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, 500)
    alike = latency((10 + noise).tolist(), [100] * 5)
    drift = latency((10 + noise + np.repeat([-2, -1, 0, 1, 2], 100)).tolist(), [100] * 5)
    assert alike.high_ms - alike.low_ms < 0.1
    assert drift.high_ms - drift.low_ms > 2
    assert latency((10 + noise).tolist(), [500]).low_ms is None  # one round tells nothing of the next
    for found in (alike, drift):
        assert found.low_ms <= found.p50_ms <= found.high_ms


def test_the_interval_holds_the_median_itself() -> None:
    found = latency([1.0, 9.0, 9.0, 9.0, 9.0, 9.0, 1.0, 1.0, 1.0], [6, 3])
    assert found.low_ms <= found.p50_ms <= found.high_ms
    lopsided = latency([5.0] * 90 + [1.0] * 4, [90, 1, 1, 1, 1])
    assert lopsided.high_ms == lopsided.p50_ms == 5.0


def test_rounds_have_medians() -> None:
    assert by_round([1.0, 2.0, 9.0, 4.0, 6.0], [3, 2]) == (2.0, 5.0)
    assert by_round([1.0, 2.0], [0, 2, 0]) == (1.5,)
    assert by_round([], []) == ()


@pytest.mark.parametrize(("samples", "rounds"), [([], []), ([1.0, 2.0], [1]), ([1.0], [1, 1])])
def test_samples_that_are_not_those_of_the_rounds_are_refused(samples: list[float], rounds: list[int]) -> None:
    with pytest.raises(UsageError, match="samples in rounds of"):
        latency(samples, rounds)


def test_what_is_stable() -> None:
    calm = stability([10.0, 10.1, 9.9, 10.0, 10.2, 30.0, 10.0, 9.8, 10.1, 10.0], 1)
    assert (calm.stable, calm.near_share, calm.attempts) == (True, 0.9, 1)
    assert (calm.first_half_p50_ms, calm.second_half_p50_ms) == (10.0, 10.0)
    assert "halves agree within 5%" in calm.because
    assert "90% of the samples" in calm.because


@pytest.mark.parametrize(
    ("samples", "because"),
    [
        ([10.0] * 10 + [10.6] * 10, "the second half took 10.6 ms, the first 10 ms"),
        ([10.0, 12.0, 8.0, 11.0, 9.0, 10.0, 12.0, 8.0, 11.0, 9.0], "20% of the samples lie within 5%"),
        ([10.0], "one sample alone"),
    ],
)
def test_what_is_not_stable(samples: list[float], because: str) -> None:
    found = stability(samples, 2)
    assert not found.stable
    assert because in found.because
    assert found.attempts == 2
    assert found.second_half_p50_ms == median(samples[len(samples) // 2 :])


def test_nothing_is_not_judged() -> None:
    with pytest.raises(UsageError, match="no samples"):
        stability([], 1)
