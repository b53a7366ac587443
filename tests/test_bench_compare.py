"""Two measurements beside each other: what is slower is found, what is noise is not, and what cannot be said is not."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import partial
from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pytest

import snellen
from report_records import cpu_example, example, latency
from small_folder import RECIPE, written
from snellen import runtimes
from snellen.benchmark import circumstances, compare, turns
from snellen.errors import CandidateError, Unavailable, UsageError
from snellen.records.bench import BenchRecord, Files, Point
from snellen.records.plan import Setup
from snellen.records.reading import plain
from snellen.records.reports import read_compare
from snellen.report.compared import verdict
from snellen.runtimes.base import Runner
from snellen.timing.statistics import student

NAMES = ("old.json", "new.json")
STABILITY = cpu_example().bench.points[0].stability


def point(
    batch: int, middle_ms: float, seed: int, *, rounds: int = 8, scatter: float = 0.01, stable: bool = True
) -> Point:
    """Return a batch size of some rounds of five samples; the rounds scatter, their samples hardly."""
    drawn = random.Random(seed)
    samples = [
        level * (1 + 1e-4 * number)
        for level in (middle_ms * math.exp(drawn.gauss(0, scatter)) for _ in range(rounds))
        for number in range(5)
    ]
    return Point(
        batch=batch,
        outcome="measured",
        samples_ms=tuple(samples),
        rounds=(5,) * rounds,
        latency=latency(samples),
        images_per_s=batch / middle_ms,
        stability=replace(STABILITY, stable=stable),
    )


def record(*points: Point, **changes) -> BenchRecord:
    return replace(cpu_example().bench, points=points, files=None, baseline=None, **changes)


def compared(ratio: float, *, seed: int = 0, scatter: float = 0.01, rounds: int = 8, threshold: float = 0.05):
    """Compare a measurement with one of something ``ratio`` times as slow."""
    first = record(point(1, 20.0, 2 * seed, scatter=scatter, rounds=rounds))
    second = record(point(1, 20.0 * ratio, 2 * seed + 1, scatter=scatter, rounds=rounds))
    return compare.compare(first, second, names=NAMES, threshold=threshold)


@pytest.mark.parametrize(
    ("ratio", "verdict", "code"), [(1.1, "slower", 1), (0.9, "faster", 0), (1.0, "the same", 0), (1.05, "undecided", 3)]
)
def test_a_change_is_judged_by_its_interval(ratio, verdict, code) -> None:
    found = compared(ratio)
    (row,) = found.rows
    assert (row.verdict, found.exit_code) == (verdict, code)
    assert row.low < row.ratio < row.high
    assert row.ratio == pytest.approx(ratio, rel=0.02)


def test_the_threshold_decides_what_is_a_regression() -> None:
    assert compared(1.1, threshold=0.2).exit_code == 0
    assert compared(1.1, threshold=0.03).exit_code == 1


def test_noise_is_no_regression_and_no_proof_of_none() -> None:
    found = compared(1.1, scatter=0.2, rounds=4)
    assert found.rows[0].verdict == "undecided"
    assert found.exit_code == 3


def test_the_interval_holds_what_is_true_about_as_often_as_it_says() -> None:
    held = [row.low <= 1.03 <= row.high for seed in range(200) for row in compared(1.03, seed=seed).rows]
    assert 0.9 <= sum(held) / len(held) < 1  # it says 0.95
    narrower = [
        row.ratio * 0.998 <= 1.03 <= row.ratio * 1.002 for seed in range(200) for row in compared(1.03, seed=seed).rows
    ]
    assert sum(narrower) / len(narrower) < 0.5  # the control: an interval that claims too much


def test_welch_by_hand() -> None:
    first, second = (10.0, 10.0 * math.exp(0.02)), (11.0, 11.0 * math.exp(0.04))
    low, high = compare.welch(first, second)
    middle = math.log(1.1) + 0.01
    error = math.sqrt(0.02**2 / 4 + 0.04**2 / 4)  # the variance of two is half of their distance squared
    assert (math.log(high) + math.log(low)) / 2 == pytest.approx(middle)
    assert (math.log(high) - math.log(low)) / 2 == pytest.approx(student(1) * error)  # 1.47 degrees of freedom
    assert compare.welch((10.0, 10.0), (11.0, 11.0)) == pytest.approx((1.1, 1.1))
    assert compare.welch((10.0,), (11.0, 11.0)) is None


def test_what_was_not_stable_may_lie_wherever_its_samples_do() -> None:
    """A machine that was busy for a while makes one of two of the same thing slower, and its rounds agree on it."""
    calm = point(1, 20.0, 0)
    samples = [20.0 + 0.1 * number for number in range(10)] + [26.0 + 0.01 * number for number in range(30)]
    busy = replace(point(1, 26.0, 1, stable=False), samples_ms=tuple(samples), latency=latency(samples))
    (row,) = compare.compare(record(calm), record(busy), names=NAMES).rows
    assert row.verdict == "undecided"
    trusted = replace(busy, stability=STABILITY)
    (row,) = compare.compare(record(calm), record(trusted), names=NAMES).rows
    assert row.verdict == "slower"  # the control: what its rounds say
    far = point(1, 60.0, 2, stable=False)
    assert compare.compare(record(calm), record(far), names=NAMES).rows[0].verdict == "slower"


def test_one_round_decides_nothing() -> None:
    found = compared(2.0, rounds=1)
    assert (found.rows[0].low, found.rows[0].high, found.rows[0].verdict) == (None, None, "undecided")
    assert found.rows[0].ratio == pytest.approx(2.0, rel=0.05)
    assert compared(2.0, rounds=2, scatter=0.001).rows[0].verdict == "slower"


def test_a_batch_size_that_is_lost_is_a_regression() -> None:
    first = record(point(1, 20.0, 0, scatter=0.001), point(8, 140.0, 2))
    same = record(point(1, 20.0, 0, scatter=0.001), Point(batch=8, outcome="not tried"))
    found = compare.compare(first, same, names=NAMES)
    assert (found.lost, found.exit_code) == ((), 0)  # nobody asked for it
    for outcome in ("out of memory", "raised"):
        lost = record(point(1, 20.0, 0, scatter=0.001), Point(batch=8, outcome=outcome))
        found = compare.compare(first, lost, names=NAMES)
        assert (found.lost, found.exit_code) == ((8,), 1)
        assert "lost at batch 8" in verdict(found)


def test_only_batch_sizes_of_both_are_compared() -> None:
    full = Point(batch=8, outcome="out of memory")
    first = record(point(1, 20.0, 0), point(4, 70.0, 1), point(8, 140.0, 2))
    second = record(point(4, 70.0, 3), point(2, 35.0, 4), full)
    assert [row.batch for row in compare.compare(first, second, names=NAMES).rows] == [4]
    with pytest.raises(UsageError, match="no batch size in common"):
        compare.compare(record(point(1, 20.0, 0)), second, names=NAMES)


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (record(point(1, 20.0, 0), mode="throughput"), "first measured latency, the second throughput"),
        (record(replace(point(1, 20.0, 0), rounds=(5, 5))), "not those of its rounds"),
        (record(replace(point(1, 20.0, 0), samples_ms=(0.0,) * 40)), "not all above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(second, match) -> None:
    with pytest.raises(UsageError, match=match):
        compare.compare(record(point(1, 20.0, 0)), second, names=NAMES)


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.0, float("nan")])
def test_a_threshold_is_a_share(threshold) -> None:
    with pytest.raises(UsageError, match="threshold"):
        compared(1.0, threshold=threshold)


def test_what_else_differs_is_said() -> None:
    first = record(point(1, 20.0, 0))
    machine = replace(first.machine, threads=2, versions={**first.machine.versions, "torch": "3"})
    second = replace(first, setup=Setup(runtime="eager", dtype="bfloat16"), machine=machine)
    found = compare.compare(first, second, names=NAMES).differing
    assert "threads: 4, 2" in found
    assert "torch: 2.9.0, 3" in found
    assert any(one.startswith("setup: openvino") and one.endswith("eager, bfloat16") for one in found)
    assert compare.compare(first, first, names=NAMES).differing == ()


def test_what_was_simulated_or_drawn_is_said_first() -> None:
    real = record(point(1, 20.0, 0))
    dry = replace(example().bench, points=real.points)
    found = compare.compare(real, dry, names=NAMES).cautions
    assert found[0].startswith("SIMULATED: the device of the second")
    assert found[1].startswith("SEEDED WEIGHTS: those of the second")
    assert found[2].startswith("RANDOM PIXELS")
    assert compare.compare(real, real, names=NAMES).cautions == found[2:]


def test_the_record_reads_back() -> None:
    found = compared(1.1)
    assert read_compare(found.to_dict()) == found


# ---- measured again


class Clock:
    """Stands still but for what a runner does with it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Ticking(Runner):
    """Takes a hundredth of a second for each image, by that clock; somewhat longer where it is the slower one."""

    version = "0"

    def __init__(self, two: SimpleNamespace, name: str, times: float, device) -> None:
        self.two, self.runtime, self.times, self.device, self.dtype = two, name, times, device, "float32"

    def run(self, pixels, tap=None):
        self.two.runs.append(self.runtime)
        self.two.clock.now += 0.01 * self.times * len(pixels) * (1 + 0.01 * (len(self.two.runs) % 3))
        return SimpleNamespace(pooled=np.zeros((len(pixels), 1), np.float32))


@pytest.fixture
def two(tmp_path, monkeypatch) -> SimpleNamespace:
    """Return a clock, what ran, and two records of a shrunken encoder: one in a runtime, one in a slower one."""
    found = SimpleNamespace(clock=Clock(), runs=[], records=[])
    for name, times in (("ticking", 1.0), ("slower", 1.3)):
        make = partial(Ticking, found, name, times)
        monkeypatch.setitem(runtimes.RUNTIMES, name, lambda model, device, dtype, layout, make=make: make(device))
    folder = written(tmp_path / "model")
    model = plain(snellen.load(folder, recipe=RECIPE).record.to_dict())
    made = record(point(1, 10.0, 0), point(2, 20.0, 1), model=model, device={"name": "cpu"}, shape=(3, 28, 28))
    found.records = [replace(made, setup=Setup(runtime=name)) for name in ("ticking", "slower")]
    return found


def again(two: SimpleNamespace, *records: BenchRecord, **settings):
    """Measure again by the clock that the runners move."""
    return compare.again(*records, names=NAMES, seconds=0.2, clock=two.clock, **settings)


def test_again_measures_both_in_turns(two) -> None:
    said: list[str] = []
    found = again(two, *two.records, progress=said.append)
    assert [(row.batch, row.verdict) for row in found.rows] == [(1, "slower"), (2, "slower")]
    assert found.rows[0].ratio == pytest.approx(1.3, rel=0.02)
    assert (found.again, found.exit_code) == (True, 1)
    assert found.first_points[1].latency.p50_ms == pytest.approx(20.0, rel=0.03)  # by the clock: not the saved ones
    assert len(found.first_points[0].rounds) == len(found.second_points[0].rounds) >= 5
    assert sum(line.startswith("loading") for line in said) == 1  # both are one encoder
    alternated = [name for name, _ in groupby(two.runs)]
    assert len(alternated) > 10  # neither was measured at one go
    assert read_compare(found.to_dict()) == found


def test_the_same_thing_in_turns_is_the_same(two) -> None:
    found = again(two, two.records[0], two.records[0])
    assert {row.verdict for row in found.rows} == {"the same"}
    assert found.exit_code == 0
    assert set(two.runs) == {"ticking"}


def test_a_disturbance_of_both_does_not_widen_the_interval(two, monkeypatch) -> None:
    """What makes rounds differ makes saved samples doubtful; in turns it falls on both."""
    slow = {number: 1.0 + number for number in range(20)}

    def disturbed(records, batches, **_):
        found = []
        for record, times in zip(records, (1.0, 1.1), strict=True):
            samples = [10.0 * times * slow[number] for number in range(6) for _ in range(5)]
            one = replace(point(1, 10.0, 0), samples_ms=tuple(samples), rounds=(5,) * 6, latency=latency(samples))
            found.append(replace(record, points=(one,)))
        return tuple(found)

    monkeypatch.setattr("snellen.benchmark.turns.taken", disturbed)
    (row,) = again(two, *two.records).rows
    assert (row.low, row.ratio, row.high) == pytest.approx((1.1, 1.1, 1.1))
    apart = compare.compare(*disturbed(two.records, ()), names=NAMES)
    assert apart.rows[0].verdict == "undecided"


def test_other_weights_are_not_taken_for_those_of_the_record(two) -> None:
    other = {**two.records[0].model, "digest": "0" * 64}
    with pytest.raises(UsageError, match=r"the weights of .* are others now"):
        again(two, replace(two.records[0], model=other), two.records[1])
    assert two.runs == []


def test_a_device_that_is_not_here_is_refused_before_anything_is_loaded(two) -> None:
    said: list[str] = []
    gone = replace(two.records[0], device={"name": "xpu:3"})
    with pytest.raises(Unavailable):
        again(two, two.records[0], gone, progress=said.append)
    assert said == []


def test_a_device_that_was_not_simulated_is_not_taken_for_one_that_is(two) -> None:
    from snellen.devices import simulated

    simulated.start()
    try:
        with pytest.raises(UsageError, match="was not simulated when it was measured, and is simulated now"):
            turns.device(replace(two.records[0], device={"name": "npu:0"}))
        assert turns.device(replace(two.records[0], device={"name": "npu:0"}, simulated=True)).simulated
    finally:
        simulated.stop()


def test_nothing_that_could_be_measured_again_is_an_error(two, monkeypatch) -> None:
    def taken(records, batches, **_):
        bad = Point(batch=1, outcome="raised", because="no such kernel")
        return tuple(replace(record, points=(bad,)) for record in records)

    monkeypatch.setattr("snellen.benchmark.turns.taken", taken)
    with pytest.raises(CandidateError, match="nothing could be measured again: no such kernel"):
        again(two, *two.records)


VARIANT = "vit_small_patch14_dinov2.lvd142m"


@pytest.mark.parametrize(
    ("name", "origin", "asked"),
    [
        (VARIANT, {"kind": "seed", "seed": 3, "path": None}, {"weights": "seed:3"}),
        (VARIANT, {"kind": "seed", "seed": 3, "path": "drawn.safetensors"}, {"weights": "drawn.safetensors"}),
        (VARIANT, {"kind": "file", "path": "w.pth", "repo": None}, {"weights": "w.pth"}),
        ("./folder", {"kind": "file", "path": "./folder", "repo": None}, {}),
        (
            VARIANT,
            {"kind": "hub", "path": "x", "repo": "timm/x", "revision": "abc"},
            {"weights": "timm/x", "revision": "abc"},
        ),
        ("somebody/x", {"kind": "hub", "path": "x", "repo": "somebody/x", "revision": "abc"}, {"revision": "abc"}),
        (VARIANT, {"kind": "modelscope", "path": "x", "repo": "a/b", "revision": None}, {"weights": "modelscope:a/b"}),
    ],
)
def test_weights_are_asked_for_as_the_record_names_them(name, origin, asked) -> None:
    assert turns.named(record(point(1, 10.0, 0), model={"name": name, "origin": origin})) == asked


def test_another_machine_is_said() -> None:
    here = record(point(1, 10.0, 0))
    there = replace(here, machine=replace(here.machine, product="another"))
    assert list(circumstances.moved((there, here), (here, here))) == [
        f"the first was measured on another before, and on {here.machine.product} again"
    ]


def test_a_busy_machine_is_said() -> None:
    calm = record(point(1, 10.0, 0), load_before=(0.3, 0.3, 0.3))
    busy = replace(calm, load_before=(6.1, 4.0, 2.0))
    assert list(circumstances.differing(calm, busy)) == ["processes that ran over the minute before: 0.3, 6.1"]
    assert list(circumstances.differing(calm, calm)) == []


def test_a_batch_size_that_one_did_not_measure_is_said() -> None:
    first = record(point(1, 20.0, 0), Point(batch=8, outcome="out of memory"))
    second = record(point(1, 20.0, 1), point(8, 140.0, 2), point(2, 35.0, 3))
    found = compare.compare(first, second, names=NAMES).differing
    assert found == ("batch 2: not asked for, measured", "batch 8: out of memory, measured")


def test_of_files_it_is_said_that_the_encoder_alone_is_judged() -> None:
    files = Files(
        images_per_s=50.0,
        decode_images_per_s=100.0,
        model_images_per_s=100.0,
        allowed_images_per_s=50.0,
        share=1.0,
        images=80,
        workers=2,
    )
    fast = replace(record(point(1, 20.0, 0)), mode="files", files=files)
    slow = replace(fast, files=replace(files, images_per_s=25.0))
    found = compare.compare(fast, slow, names=NAMES)
    assert any("THE ENCODER ALONE" in told and "50, 25 images/s" in told for told in found.cautions)
    assert not any("THE ENCODER ALONE" in told for told in compared(1.0).cautions)
