"""Speed: what is counted, that the device is waited for, what becomes of what does not fit; no test looks at a clock.

Time is that of a fake clock which the simulated device's work moves on, or that of runners which move it themselves.
"""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import snellen
from held import held
from small_folder import RECIPE, written
from snellen.benchmark import ceilings, figures, sweep
from snellen.benchmark.asked import checked
from snellen.benchmark.bench import bench
from snellen.benchmark.cases import Case
from snellen.benchmark.figures import Costs, Limits
from snellen.benchmark.largest import Search
from snellen.benchmark.memory import Room
from snellen.benchmark.sweep import ROUNDS, Sweep, Track
from snellen.devices import resolve, simulated
from snellen.devices.cpu import CPU
from snellen.devices.npu import NPU
from snellen.devices.simulated import Settings, configured, statistics
from snellen.encoders.build import build
from snellen.encoders.config import ConvNeXtConfig, ViTConfig
from snellen.encoders.cost import bytes_moved
from snellen.errors import CandidateError, Unavailable, UnknownName, UsageError
from snellen.records.bench import BenchRecord, Memory
from snellen.records.plan import Layout, Setup
from snellen.records.reading import read
from snellen.records.timing import Ceiling
from snellen.runtimes.eager import Eager
from snellen.timing import bandwidth, ceiling, latency, memory
from snellen.timing.feed import Changed
from snellen.timing.latency import OneByOne, Sample, Visit, Warm
from test_simulated import CONFIGS

LAUNCH_S = 0.01
WITHIN = 0.05  # of a known latency
PHOTOS = Path(snellen.__file__).parent / "photos"


class Clock:
    """Stands still but for what somebody does with it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock by which the simulated device's work takes its time."""
    made = Clock()
    monkeypatch.setattr("snellen.devices.simulated.machine.time", SimpleNamespace(sleep=made.sleep))
    return made


@pytest.fixture(autouse=True)
def collected(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Count how often garbage is collected, which takes a third of a second; nothing here is held by a cycle."""
    found: list[None] = []
    monkeypatch.setattr("snellen.benchmark.memory.gc", SimpleNamespace(collect=lambda: found.append(None)))
    return found


@pytest.fixture
def npu():
    simulated.start(Settings(arithmetic="float32"))
    yield resolve("npu")
    simulated.stop()


@pytest.fixture
def slow(npu):
    """Let every operator of the simulated device take its time."""
    with configured(Settings(arithmetic="float32", launch_seconds=LAUNCH_S)):
        yield npu


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return snellen.load(written(tmp_path_factory.mktemp("benchmark") / "small"), recipe=RECIPE)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ceilings of the real machine be measured on little."""
    monkeypatch.setattr(ceiling, "SIDE", 32)
    monkeypatch.setattr(bandwidth, "SIZE", 1 << 16)


def launches(model, device, batch: int = 1) -> int:
    """Count what one batch puts into the device's queue: operators, and the copy of the pixels."""
    runner, pixels = Eager(model, device, "float32"), torch.zeros(batch, 3, *model.recipe.size)
    runner.run(pixels)
    before = sum(statistics().launched.values())
    runner.run(pixels)
    return sum(statistics().launched.values()) - before + 1


def quick(model, clock, **asked) -> BenchRecord:
    return bench(model, **{"device": "npu", "batch_sizes": (1, 2), "seconds": 0.5, "clock": clock, **asked})


# The proof of the timing


class Neighbour(Changed):
    """Pixels whose change leaves work on the device, as another program would, before the clock is looked at."""

    def change(self, *given) -> None:
        super().change(*given)
        if simulated.started():
            busy = torch.zeros(4, device="npu:0")
            for _ in range(20):
                busy.add_(1)


class Waits:
    """Synchronises but for what is left out: the wait before a batch, or the one after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]) -> None:
        self.ran, self.without = False, without
        wait, run = NPU.synchronize, Eager.run

        def synchronize(device) -> None:
            which, self.ran = "after" if self.ran else "before", False
            if which not in self.without:
                wait(device)

        def encode(runner, *given):
            self.ran = True
            return run(runner, *given)

        monkeypatch.setattr(NPU, "synchronize", synchronize)
        monkeypatch.setattr(Eager, "run", encode)


def is_measured(record: BenchRecord, expected_ms: float) -> bool:
    """Tell whether every batch size has the latency that it is known to have."""
    assert [point.batch for point in record.points] == [1, 2]
    assert all(point.latency is not None for point in record.points)
    return all(abs(point.latency.p50_ms - expected_ms) <= WITHIN * expected_ms for point in record.points)


def test_known_latencies_are_measured(model, clock, slow, monkeypatch) -> None:
    count = launches(model, slow)
    assert 10 < count < 200
    monkeypatch.setattr(latency, "Changed", Neighbour)
    record = quick(model, clock)
    assert is_measured(record, 1e3 * LAUNCH_S * count)
    for point in record.points:
        assert point.images_per_s == pytest.approx(1e3 * point.batch / point.latency.mean_ms)
        assert point.enqueue_p50_ms == pytest.approx(1e3 * LAUNCH_S)  # the copy of the pixels, which the host waits for
        assert len(point.enqueue_ms) == len(point.samples_ms) == sum(point.rounds) == point.latency.count
        assert (point.host_bound, point.steady, point.stability.stable) == (False, True, True)
        assert len(point.rounds) == ROUNDS[0]


@pytest.mark.parametrize("without", [("before",), ("after",), ("before", "after")])
def test_without_a_synchronisation_they_would_not_be(model, clock, slow, monkeypatch, without) -> None:
    count = launches(model, slow)
    monkeypatch.setattr(latency, "Changed", Neighbour)
    monkeypatch.setattr("snellen.devices.simulated.machine.DEPTH", 500)  # what nobody waits for is done at last
    monkeypatch.setattr(latency, "MOST", 20)
    Waits(monkeypatch, without)
    assert not is_measured(quick(model, clock), 1e3 * LAUNCH_S * count)


def test_a_stream_has_the_rate_that_it_is_known_to_have(model, clock, slow) -> None:
    runner, pixels = Eager(model, slow, "float32"), np.zeros((2, 3, *model.recipe.size), np.float32)
    list(runner.vectors([pixels]))
    begin = clock.now
    list(runner.vectors([pixels] * 10))
    expected = 2 * 10 / (clock.now - begin)
    (point,) = quick(model, clock, mode="throughput", batch_sizes=[2], seconds=5.0).points
    assert point.images_per_s == pytest.approx(expected, rel=WITHIN)
    assert point.rounds == (1,) * len(point.samples_ms)  # a visit is one sample of a stream
    assert point.enqueue_ms == ()
    assert point.host_bound is None


def test_a_host_that_is_busy_all_the_time_is_said_to_bind(model, clock, slow, monkeypatch) -> None:
    def waiting(runner, pixels):
        features = run(runner, pixels)
        slow.synchronize()  # as a runtime does that returns with the result
        return features

    run = Eager.run
    monkeypatch.setattr(Eager, "run", waiting)
    for point in quick(model, clock).points:
        assert point.host_bound is True
        assert point.binds == "host"


@pytest.mark.parametrize("kind", ["cpu", "npu"])
def test_one_contract_for_every_kind_of_device(model, npu, cheap, kind: str) -> None:
    told: list[str] = []
    record = bench(
        model, device=kind, runtime="eager", seconds=0.02, load_s=1.5, baseline="cpu", seed=7, progress=told.append
    )
    assert [point.batch for point in record.points] == [1, 2, 4, 8]
    assert read(BenchRecord, {k: v for k, v in plain(record).items() if k not in ("schema", "SIMULATED")}) == record
    there = kind == "cpu"
    for point in (*record.points, *record.baseline.points):
        assert point.outcome == "measured"
        assert sum(point.rounds) == len(point.samples_ms) >= 2 * len(point.rounds) >= 2 * ROUNDS[0]
        assert point.latency.low_ms <= point.latency.p50_ms <= point.latency.high_ms
        assert point.warm_up >= 2
        assert point.operations_per_s == pytest.approx(point.images_per_s * record.operations_per_image)
    for point in record.points:
        assert (point.enqueue_p50_ms is None, point.host_bound is None) == (there, there)
        assert (point.ceiling_share is None) != there
        assert (point.bandwidth_share is None) != there
        moved = record.weights_bytes + point.batch * record.bytes_per_image
        assert point.bytes_per_s == pytest.approx(1e3 * moved / point.latency.mean_ms)
        assert (point.memory.allocated_peak_bytes is None) == there
        assert (point.memory.device_used_bytes is None) == there
    assert set(record.baseline.speedup) == {"1", "2", "4", "8"}
    for batch, ratio in record.baseline.speedup.items():
        assert record.baseline.speedup_low[batch] <= ratio <= record.baseline.speedup_high[batch]
    assert (record.start.load_s, record.start.cached) == (1.5, None)
    assert record.start.first_run_ms > 0
    assert record.simulated is not there
    assert ("SIMULATED" in plain(record)) is not there
    assert (record.ceiling.note == record.bandwidth.note == ceilings.SIMULATED) is not there
    assert any("simulated" in note for note in record.notes) is not there
    assert any("round 1 of" in text for text in told)
    assert (record.model["device"], record.model["runtime"]) == (record.device["name"], "eager")
    assert (record.seed, record.shape) == (7, (3, 28, 28))


def plain(record: BenchRecord) -> dict:
    return json.loads(json.dumps(record.to_dict(), allow_nan=False))


def test_the_default_of_a_cpu_runs_one_batch_on_all_cores_and_tells_what_was_kept(model, cheap) -> None:
    first, second = (bench(model, batch_sizes=(1,), seconds=0.02) for _ in range(2))
    assert first.setup == Setup(runtime="openvino", layout=Layout(streams=1))
    assert first.start.cached in (True, False)  # another test may have made it
    assert second.start.cached is True
    assert any("one batch at a time" in note for note in first.notes)


def test_what_was_opened_is_closed(model, npu, monkeypatch) -> None:
    closed = []
    monkeypatch.setattr(Eager, "close", lambda runner: closed.append(runner.device.name))

    def interrupted(text: str) -> None:
        if text.startswith("round 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(model, device="npu", baseline="cpu", seconds=0.02, batch_sizes=[1], progress=interrupted)
    assert sorted(closed) == ["cpu", "npu:0"]


# One batch after another


class Queue:
    """A device whose queue is worked off when it is waited for, and not before."""

    name, kind, torch_name = "fake:0", "fake", "cpu"

    def __init__(self, clock: Clock) -> None:
        self.clock, self.queued, self.waits = clock, 0.0, 0

    def memory(self) -> None:
        return None

    def synchronize(self) -> None:
        self.waits += 1
        self.clock.now += self.queued
        self.queued = 0.0


class Runner:
    """Each call takes the next of ``seconds``, on a device that queues; the last of them for ever."""

    def __init__(self, *seconds: float, rows: int = 0, host: float = 0.0) -> None:
        self.clock = Clock()
        self.device, self.left, self.seen = Queue(self.clock), list(seconds), []
        self.rows, self.host = rows, host

    def run(self, pixels):
        self.seen.append(pixels.numpy().copy())
        self.clock.now += self.host
        self.device.queued += self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return SimpleNamespace(pooled=torch.zeros(len(pixels) + self.rows, 2))


def alone(runner: Runner, batch: int = 2) -> OneByOne:
    return OneByOne(runner, np.zeros((batch, 3, 4, 4), np.float32), runner.clock)


def test_the_hosts_part_is_told_apart() -> None:
    runner = Runner(0.5, host=0.1)
    runner.device.queued = 50.0  # of somebody else
    assert alone(runner).once() == Sample(pytest.approx(0.6), pytest.approx(0.1))
    assert runner.device.waits == 2
    runner.device.kind = "cpu"
    assert alone(runner).once().enqueue_s is None


def test_a_warm_up_ends_when_times_no_longer_fall() -> None:
    assert alone(Runner(1.0)).warm(20.0) == Warm(6, True)
    falling = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    found = alone(Runner(*falling)).warm(1000.0)
    assert found.steady
    assert found.runs > len(falling) + 3
    assert alone(Runner(*falling)).warm(20.0) == Warm(3, False)  # 9 + 8 + 7 s
    assert alone(Runner(1 / 1024)).warm(1.0).runs == 103  # a tenth of the time, however steady


def test_slow_batches_are_not_warmed_up_for_ever() -> None:
    assert alone(Runner(6.0)).warm(2.0) == Warm(2, True)
    assert alone(Runner(60.0, 6.0)).warm(2.0) == Warm(2, False)
    assert alone(Runner(0.0)).warm(2.0).runs == latency.MOST  # time stands still


def test_a_visit_has_its_seconds_and_its_repeats() -> None:
    found = alone(Runner(0.25)).visit(2.0)
    assert [len(found.samples), found.uncounted] == [8, 0]
    found = alone(Runner(0.875, 0.125)).visit(0.5)  # a first run that is most of the visit counts
    assert [sample.seconds for sample in found.samples] == [0.875, 0.125]
    found = alone(Runner(0.125, 0.0625)).visit(2.0)
    assert [len(found.samples), found.uncounted] == [32, 1]
    assert {sample.seconds for sample in found.samples} == {0.0625}
    assert len(alone(Runner(0.75)).visit(0.1).samples) == latency.LEAST
    assert len(alone(Runner(7.0)).visit(0.1).samples) == 1


def test_no_row_is_handed_out_twice() -> None:
    runner = Runner(0.01)
    for _ in range(2):
        alone(runner, 3).visit(0.5)
    rows = [row.tobytes() for pixels in runner.seen for row in pixels]
    assert len(set(rows)) == len(rows) > 100


def test_a_runner_that_loses_a_row_is_no_fast_one() -> None:
    with pytest.raises(CandidateError, match="gave 1 rows"):
        alone(Runner(1.0, rows=-1)).once()


# Rounds


class Script:
    """A batch size whose visits were written beforehand, in seconds; an error is raised."""

    def __init__(self, log: list, batch: int, *visits) -> None:
        self.log, self.batch, self.visits = log, batch, list(visits)

    def warm(self, limit_s: float) -> Warm:
        return Warm(3, True)

    def visit(self, seconds: float) -> Visit:
        self.log.append(self.batch)
        told = self.visits.pop(0) if len(self.visits) > 1 else self.visits[0]
        if isinstance(told, Exception):
            raise told
        return Visit(tuple(Sample(second) for second in told), uncounted=1)


class Scripted:
    """A case made of scripts."""

    image_bytes = pixel_bytes = 0

    def __init__(self, log: list | None = None, name: str = "first", **scripts) -> None:
        self.setup = name
        self.runner = SimpleNamespace(device=resolve("cpu"))
        self.scripts = {int(key[1:]): Script(log if log is not None else [], int(key[1:]), *visits)
                        for key, visits in scripts.items()}  # fmt: skip

    def timed(self, batch: int):
        if isinstance(self.scripts[batch].visits[0], MemoryError):
            raise self.scripts[batch].visits[0]
        return self.scripts[batch]


STEADY = ([0.1, 0.1],)


def swept(*cases: Scripted, seed: int = 0, seconds: float = 2.0) -> Sweep:
    made = Sweep(cases, list(cases[0].scripts), seconds, seed=seed, say=lambda _: None)
    made.run()
    return made


def test_a_round_visits_every_batch_size_once_in_an_order_drawn_anew() -> None:
    log: list[int] = []
    swept(Scripted(log, b1=STEADY, b2=STEADY, b4=STEADY, b8=STEADY))
    rounds = [log[at : at + 4] for at in range(0, len(log), 4)]
    assert len(rounds) == ROUNDS[0]
    assert all(sorted(one) == [1, 2, 4, 8] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 2
    again: list[int] = []
    swept(Scripted(again, b1=STEADY, b2=STEADY, b4=STEADY, b8=STEADY))
    assert again == log


def test_only_small_pixels_are_kept_from_one_visit_to_the_next() -> None:
    case = Scripted(b1=STEADY, b2=STEADY)
    case.pixel_bytes = sweep.HELD
    small, large = swept(case).tracks
    assert small.timed is case.scripts[1]
    assert large.timed is None
    assert len(small.visits) == len(large.visits) == ROUNDS[0]


def test_more_seconds_are_more_rounds() -> None:
    for seconds, rounds in ((0.1, 5), (2.0, 5), (4.0, 10), (1000.0, 20)):
        (track,) = swept(Scripted(b1=STEADY), seconds=seconds).tracks
        assert len(track.visits) == rounds


def test_what_is_not_stable_is_measured_again_once() -> None:
    wild = [[0.1, 0.3], [0.2, 0.1], [0.4, 0.1], [0.1, 0.2], [0.3, 0.1]]
    sweep = swept(Scripted(b1=STEADY, b2=(*wild, [0.5, 0.5]), b4=(*wild, *wild, [9.0])))
    calm, second, never = (figures.point(track, COSTS, Limits()) for track in sweep.tracks)
    assert (calm.stability.stable, calm.stability.attempts) == (True, 1)
    assert (second.stability.stable, second.stability.attempts) == (True, 2)
    assert set(second.samples_ms) == {500.0}  # the second attempt's
    assert (never.stability.stable, never.stability.attempts) == (False, 2)
    assert set(never.samples_ms) == {100.0, 200.0, 300.0, 400.0}


def test_a_batch_that_is_measured_again_takes_its_baseline_along() -> None:
    wild = [[0.1, 0.3], [0.2, 0.1], [0.4, 0.1], [0.1, 0.2], [0.3, 0.1]]
    sweep = swept(Scripted(b1=STEADY, b2=(*wild, [0.5, 0.5])), Scripted(name="slow", b1=STEADY, b2=STEADY))
    assert [(track.batch, track.attempts) for track in sweep.tracks] == [(1, 1), (1, 1), (2, 2), (2, 2)]


def test_an_error_ends_one_batch_size_and_not_the_others() -> None:
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    sweep = swept(
        Scripted(
            b1=STEADY, b2=([0.1, 0.1], RuntimeError("broken\nand more")), b4=([0.1, 0.1], full), b8=(MemoryError(),),
            b16=STEADY,
        ),
        Scripted(name="slow", b1=STEADY, b2=STEADY, b4=STEADY, b8=STEADY, b16=STEADY),
    )  # fmt: skip
    points = [figures.point(track, COSTS, Limits()) for track in sweep.of(sweep.cases[0])]
    outcomes = {point.batch: point.outcome for point in points}
    assert outcomes == {1: "measured", 2: "raised", 4: "out of memory", 8: "out of memory", 16: "not tried"}
    assert points[1].because == "RuntimeError: broken"
    assert points[4].because == "a batch of 8 did not fit into memory"
    assert all(not point.samples_ms and point.latency is None for point in points[1:])
    slow = figures.baseline(sweep.of(sweep.cases[1]), sweep.of(sweep.cases[0]), COSTS, Limits())
    assert [point.outcome for point in slow.points] == ["measured"] * 3 + ["not tried"] * 2
    assert slow.speedup == {"1": 1.0}


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("NPU out of memory."), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("memory format"), False),
    ],
)
def test_what_says_that_memory_is_full(error: Exception, is_full: bool) -> None:
    assert memory.is_full(error) is is_full


# Figures

COSTS = Costs(operations=100, image_bytes=30, weights_bytes=10)


def test_costs_are_those_of_the_dtype(model) -> None:
    sizes = [(p.ndim, p.numel()) for p in model.encoder.parameters()]
    whole = sum(count for _, count in sizes)
    matrices = sum(count for ndim, count in sizes if ndim > 1)
    found = {dtype: figures.costs(model, dtype) for dtype in ("float64", "float32", "bfloat16", "int8")}
    assert [one.weights_bytes for one in found.values()] == [8 * whole, 4 * whole, 2 * whole, 4 * whole - 3 * matrices]
    assert found["float32"].image_bytes == 2 * found["bfloat16"].image_bytes == 4 * found["int8"].image_bytes
    assert len({one.operations for one in found.values()}) == 1


def track(*seconds: float, batch: int = 2, enqueue: float | None = None) -> Track:
    made = Track(Scripted(), batch)
    made.visits = [Visit((Sample(one, enqueue), Sample(one, enqueue))) for one in seconds]
    return made


def test_rates_and_shares_by_hand() -> None:
    point = figures.point(track(0.5, 0.5, enqueue=0.1), COSTS, Limits(operations_per_s=1000.0, bytes_per_s=280.0))
    assert (point.images_per_s, point.operations_per_s, point.bytes_per_s) == (4.0, 400.0, (10 + 2 * 30) / 0.5)
    assert (point.ceiling_share, point.bandwidth_share, point.binds) == (0.4, 0.5, "memory")
    assert (point.enqueue_p50_ms, point.host_bound) == (100.0, False)
    assert figures.point(track(0.5, enqueue=0.41), COSTS, Limits()).host_bound is True


@pytest.mark.parametrize(
    ("arithmetic", "moved", "host", "binds"),
    [
        (0.9, 0.2, None, "arithmetic"),
        (0.2, 0.3, 0.1, "memory"),
        (0.2, 0.3, 0.7, "host"),
        (None, None, 0.9, "host"),
        (None, None, 0.5, None),
        (None, None, None, None),
        (None, 0.1, None, "memory"),
    ],
)
def test_what_is_nearest_to_its_limit_binds(arithmetic, moved, host, binds) -> None:
    assert figures.binds(arithmetic, moved, host) == binds


def test_a_speed_up_is_that_of_the_rounds() -> None:
    slow, fast = track(1.0, 2.0, 4.0), track(0.5, 1.0, 1.0)
    found = figures.baseline([slow], [fast], COSTS, Limits())
    assert found.speedup == {"2": 2.0}  # of 2, 2 and 4
    assert found.speedup_low["2"] < 2.0 < found.speedup_high["2"]
    assert found.setup == "first"


def test_ceilings_are_looked_at_again_where_a_rate_lies_above_them(monkeypatch) -> None:
    sides = []

    def measured(dtype, device, side, clock):
        sides.append(side)
        rate = {None: 10.0, 16: 9.0, 32: 30.0}[side]
        return Ceiling(dtype=dtype, device="cpu", operations_per_s=rate, side=side or 16)

    monkeypatch.setattr(ceiling, "measured", measured)
    monkeypatch.setattr(bandwidth, "measured", lambda device, clock: None)
    known = ceilings.Ceilings(resolve("cpu"), "float32", Clock())
    known.measure()
    assert not known.look_again(9.0)
    assert sides == [None]
    assert known.look_again(11.0)
    assert sides == [None, 16, 32]
    assert known.limits == Limits(operations_per_s=30.0)
    other = ceilings.Ceilings(resolve("cpu"), "float16", Clock())
    other.measure()
    assert other.products.operations_per_s is None
    assert "slower" in other.products.note


def test_a_ceiling_that_does_not_fit_is_none_and_says_so(monkeypatch) -> None:
    def fails(*_, **__):
        raise torch.OutOfMemoryError("out of memory")

    for module in (ceiling, bandwidth):
        monkeypatch.setattr(module, "measured", fails)
    known = ceilings.Ceilings(resolve("cpu"), "float32", Clock())
    known.measure()
    assert (known.limits, known.products.note, known.copies.note) == (Limits(), ceilings.FULL, ceilings.FULL)
    monkeypatch.setattr(bandwidth, "measured", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        known.measure()


def test_bandwidth_counts_what_is_read_and_what_is_written(monkeypatch) -> None:
    clock = Clock()
    device = Queue(clock)
    costs = iter((9.0, 9.0, 0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5))
    copy = torch.Tensor.copy_

    def copied(target, source):
        device.queued += next(costs)  # it is queued; only waiting for it takes the time
        return copy(target, source)

    monkeypatch.setattr(torch.Tensor, "copy_", copied)
    found = bandwidth.measured(device, size=1024, clock=clock)
    assert (found.bytes_per_s, found.size_bytes) == (2 * 1024 / 0.25, 1024)
    assert found.samples_s == (0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)  # without the two that warm up
    assert device.waits == 2 * (bandwidth.WARM + bandwidth.REPEATS)
    device.memory = lambda: {"free": 800}
    costs = iter([1.0] * 10)
    assert bandwidth.measured(device, clock=clock).size_bytes == 100


def test_without_waiting_there_would_be_no_bandwidth() -> None:
    device = Queue(Clock())
    device.synchronize = lambda: None
    with pytest.raises(ZeroDivisionError):
        bandwidth.measured(device, size=64, clock=device.clock)


@pytest.mark.parametrize("name", CONFIGS)
def test_bytes_are_those_of_every_layer(name: str, monkeypatch) -> None:
    """Count what really enters and leaves every matrix product, convolution and attention of an encoder."""
    config = CONFIGS[name]
    encoder, counted = build(config).to_empty(device="cpu"), [0]

    def count(module, given, out) -> None:
        counted[0] += given[0].numel() + out.numel()

    for module in encoder.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.register_forward_hook(count)
    attention = torch.nn.functional.scaled_dot_product_attention

    def attended(q, k, v):
        out = attention(q, k, v)
        counted[0] += sum(x.numel() for x in (q, k, v, out))
        return out

    monkeypatch.setattr("snellen.encoders.vit.scaled_dot_product_attention", attended)
    height, width = (56, 56) if name in ("dinov2", "aimv2") else (64, 64)
    with torch.inference_mode():
        encoder(torch.zeros(1, 3, height, width))
    unused = 2 * config.width if isinstance(config, ViTConfig) and config.pooler and config.pool != "tanh_cls" else 0
    assert bytes_moved(config, height, width, 1) == counted[0] + unused
    assert bytes_moved(config, height, width, 4) == 4 * bytes_moved(config, height, width, 1)
    more = {"widths": (16, 32, 48, 128)} if isinstance(config, ConvNeXtConfig) else {"depth": 3}
    wider = replace(config, **more)
    assert bytes_moved(wider, height, width, 1) > counted[0]


# Memory


def room(npu) -> int:
    """Return what lies on the device already."""
    gc.collect()
    return torch.npu.memory_allocated()


def test_a_batch_that_does_not_fit_is_told_and_nothing_is_left(model, npu, collected) -> None:
    before = room(npu)
    with configured(Settings(arithmetic="float32", memory_bytes=before + (1 << 20))):
        record = bench(model, device="npu", batch_sizes=(1, 2, 1024, 2048), seconds=0.02)
    outcomes = [point.outcome for point in record.points]
    assert outcomes == ["measured", "measured", "out of memory", "not tried"]
    assert "NPU out of memory" in record.points[2].because
    assert "1024 did not fit" in record.points[3].because
    assert record.points[1].memory.allocated_peak_bytes > record.weights_bytes
    assert record.points[1].memory.device_used_bytes >= record.weights_bytes
    assert room(npu) == before
    assert len(collected) == 1  # where something did not fit


def test_where_the_smallest_does_not_fit_one_image_is_the_first_run(model, npu) -> None:
    with configured(Settings(arithmetic="float32", memory_bytes=room(npu) + (1 << 20))):
        record = bench(model, device="npu", batch_sizes=(1024,), seconds=0.02)
        assert [point.outcome for point in record.points] == ["out of memory"]
        assert record.start.first_run_ms > 0
    with (
        configured(Settings(arithmetic="float32", memory_bytes=room(npu) + 4096)),
        pytest.raises(Unavailable, match="weights do not fit"),
    ):
        bench(model, device="npu")
    weights = sum(-(-p.numel() * 4 // 512) * 512 for p in model.encoder.parameters())
    with (
        configured(Settings(arithmetic="float32", memory_bytes=room(npu) + weights + 512)),
        pytest.raises(Unavailable, match="one image does not fit"),
    ):
        bench(model, device="npu")


def test_the_largest_batch_is_found_and_the_next_does_not_fit(model, npu) -> None:
    with configured(Settings(arithmetic="float32", memory_bytes=room(npu) + (1 << 18))):
        record = bench(model, device="npu", batch_sizes="max", seconds=0.02)
        runner = Eager(model, npu, "float32")
        largest = record.largest_batch
        assert 4 < largest < 256
        fits = torch.zeros(largest, 3, 28, 28)
        runner.run(fits).pooled.cpu()
        with pytest.raises(torch.OutOfMemoryError):
            runner.run(torch.zeros(largest + 1, 3, 28, 28))
    assert [point.outcome for point in record.points][-1] == "out of memory"
    assert record.points[-1].batch == largest + 1
    measured = [point.batch for point in record.points if point.outcome == "measured"]
    assert measured == [*(2**n for n in range(largest.bit_length())), *([largest] if largest & (largest - 1) else [])]


class Limited:
    """A case of which batches up to ``most`` fit; each image takes ``seconds``."""

    image_bytes = 0

    def __init__(self, most: int, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.most, self.each, self.error, self.clock, self.tried = most, seconds, error, Clock(), []
        self.runner = SimpleNamespace(device=resolve("cpu"))

    def alone(self, batch: int):
        self.tried.append(batch)
        if batch > self.most:
            raise self.error or MemoryError
        self.clock.now += self.each * batch
        return SimpleNamespace(once=lambda: Sample(self.each * batch))


@pytest.mark.parametrize("most", [0, 1, 2, 3, 37, 64, 100])
def test_the_search_doubles_and_then_halves(most: int) -> None:
    case = Limited(most)
    found = searched(case)
    assert found.found == (most or None)
    assert found.full.batch == most + 1
    assert len(case.tried) <= 2 * (most + 1).bit_length()
    assert not found.stopped


def test_the_search_ends_when_its_time_is_up_or_something_else_is_wrong() -> None:
    slow = searched(Limited(10**9, seconds=1.0))
    assert slow.case.clock.now - 100.0 < 60.0
    assert slow.found == 16
    assert "no time left" in slow.stopped
    broken = searched(Limited(20, error=ValueError("of another kind")))
    assert (broken.found, broken.full) == (16, None)
    assert "of another kind" in broken.stopped


def test_a_search_that_was_ended_claims_no_largest_batch(model, npu, monkeypatch) -> None:
    run = Eager.run

    def broken(self, pixels, tap=None):
        if len(pixels) > 2:
            raise ValueError("of another kind")
        return run(self, pixels, tap)

    monkeypatch.setattr(Eager, "run", broken)
    with configured(Settings(arithmetic="float32")):
        record = bench(model, device="npu", batch_sizes="max", seconds=0.02)
    assert record.largest_batch is None
    assert any("raised an error" in note and "2 fits" in note for note in record.notes)
    assert [(point.batch, point.outcome) for point in record.points] == [
        (1, "measured"),
        (2, "measured"),
        (4, "raised"),
    ]


def searched(case: Limited) -> Search:
    made = Search(case, Room(SimpleNamespace(kind="fake"), 0), lambda _: None)
    made.run()
    return made


class Small(CPU):
    """A CPU of a machine that has a gigabyte left."""

    def memory(self):
        return {"free": 1 << 30, "total": 1 << 31}


def test_what_would_end_the_process_is_not_tried(monkeypatch) -> None:
    cpu = Small(name="cpu", kind="cpu")
    monkeypatch.setattr(memory, "resident_bytes", lambda: 1 << 20)
    monkeypatch.setattr(memory, "group_left_bytes", lambda: None)
    foretold = Room(cpu, 100 << 20)
    assert foretold.refuses(8) == ""
    assert "more than 80% of the 1 GiB" in foretold.refuses(9)
    foretold.saw(8, Memory(process_peak_bytes=(1 << 20) + (8 << 20)))  # a megabyte an image
    assert foretold.refuses(64) == ""
    assert "88 GiB" in foretold.refuses(900)  # nothing like it was run
    foretold.saw(128, Memory(process_peak_bytes=(1 << 20) + (256 << 20)))  # two of them
    assert foretold.refuses(400) == ""
    assert "it would take about 0.82 GiB" in foretold.refuses(420)
    foretold.saw(500, Memory())  # it was tried, and fitted
    assert foretold.refuses(420) == ""
    assert foretold.refuses(501)
    assert Room(SimpleNamespace(kind="fake"), 1 << 60).refuses(1) == ""  # an accelerator says so itself


def test_on_a_cpu_a_batch_that_would_not_fit_is_not_tried(model, cheap, monkeypatch) -> None:
    monkeypatch.setattr(CPU, "memory", lambda device: {"free": 64 << 20, "total": 1 << 31})
    seen = []
    run = Eager.run
    monkeypatch.setattr(Eager, "run", lambda self, pixels: seen.append(len(pixels)) or run(self, pixels))
    record = bench(model, runtime="eager", batch_sizes=(1, 100_000), seconds=0.02)
    assert [point.outcome for point in record.points] == ["measured", "not tried"]
    assert "it would take about" in record.points[1].because
    assert set(seen) == {1}


def test_peaks_are_those_of_a_batch_size() -> None:
    class Holding(Script):
        def visit(self, seconds: float) -> Visit:
            with held(64 << 20 if self.batch == 2 else 1 << 20):
                return super().visit(seconds)

    case = Scripted(b1=STEADY, b2=STEADY)
    for script in case.scripts.values():
        script.__class__ = Holding
    small, large = (found.memory.process_peak_bytes for found in swept(case).tracks)
    if memory.reset_peak():
        assert large - small > 32 << 20
    else:
        assert (small, large) == (None, None)


def test_the_groups_of_a_process_limit_it(tmp_path) -> None:
    assert memory.group_left_bytes(tmp_path) is None
    write(tmp_path, "proc/self/cgroup", "0::/box/inner\n9:memory:/old\n3:cpu:/\n")
    write(tmp_path, "sys/fs/cgroup/box/inner/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/box/inner/memory.current", "5\n")
    assert memory.group_left_bytes(tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/box/memory.max", "1000\n")
    write(tmp_path, "sys/fs/cgroup/box/memory.current", "700\n")
    assert memory.group_left_bytes(tmp_path) == 300
    write(tmp_path, "sys/fs/cgroup/box/memory.stat", "anon 500\ninactive_file 150\n")
    assert memory.group_left_bytes(tmp_path) == 450
    write(tmp_path, "sys/fs/cgroup/memory/old/memory.limit_in_bytes", "9223372036854771712\n")
    write(tmp_path, "sys/fs/cgroup/memory/old/memory.usage_in_bytes", "1\n")
    assert memory.group_left_bytes(tmp_path) == 450
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "100\n")
    write(tmp_path, "sys/fs/cgroup/memory/memory.usage_in_bytes", "90\n")
    assert memory.group_left_bytes(tmp_path) == 10


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_resident_memory_is_no_more_than_its_peak(tmp_path) -> None:
    resident, peak = memory.resident_bytes(), memory.peak_bytes()
    assert resident is not None
    assert peak is not None
    assert 0 < resident <= peak + memory.NEAR
    assert memory.resident_bytes(tmp_path / "nowhere") is None


# From files to vectors


def test_files_are_held_against_what_their_parts_allow(model, cheap) -> None:
    images = [PHOTOS / "clock.png", PHOTOS / "cat.jpg"]
    record = bench(model, runtime="eager", mode="files", batch_sizes=(4,), seconds=0.05, images=images)
    files, (point,) = record.files, record.points
    decode, alone = files.decode_images_per_s, files.model_images_per_s
    assert files.allowed_images_per_s == pytest.approx(1 / (1 / decode + 1 / alone))
    assert files.share == pytest.approx(files.images_per_s / files.allowed_images_per_s)
    assert files.images % (4 * files.workers) == 0
    assert point.batch == 4
    assert point.images_per_s == pytest.approx(files.model_images_per_s)
    assert len(point.rounds) == ROUNDS[0]
    assert record.setup.layout == Layout()  # as embed has it
    assert record.start.first_run_ms > 0


def test_files_go_to_an_accelerator_in_8_bits(model, npu, monkeypatch) -> None:
    given = []
    eight = Eager.eight_bit_vectors

    def seen(runner, batches, normalise):
        return eight(runner, (given.append(pixels.dtype.name) or pixels for pixels in batches), normalise)

    monkeypatch.setattr(Eager, "eight_bit_vectors", seen)
    images = [PHOTOS / "clock.png"]
    record = bench(model, device="npu", mode="files", seconds=0.02, images=images)
    assert set(given) == {"uint8"}
    assert any("8-bit" in note for note in record.notes)
    assert any("batches of 8" in note for note in record.notes)  # the runtime's own


def test_a_file_that_is_no_image_is_refused(model, cheap, tmp_path) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    with pytest.raises(UsageError, match=r"of \d+ files were not embedded"):
        bench(model, runtime="eager", mode="files", batch_sizes=(1,), seconds=0.02, images=[tmp_path / "bad.jpg"])


def test_an_encoder_that_does_not_fit_has_no_files(model, npu) -> None:
    with configured(Settings(arithmetic="float32", memory_bytes=room(npu) + (1 << 20))):
        record = bench(model, device="npu", mode="files", batch_sizes=(1024,), seconds=0.02)
    assert record.files is None
    assert [point.outcome for point in record.points] == ["out of memory"]


# What is refused


@pytest.mark.parametrize(
    ("asked", "error", "seen"),
    [
        ({"batch_sizes": ()}, UsageError, "batch sizes are"),
        ({"batch_sizes": (0, 1)}, UsageError, "batch sizes are"),
        ({"batch_sizes": "all"}, UsageError, "batch sizes are"),
        ({"batch_sizes": (1.5,)}, UsageError, "batch sizes are"),
        ({"mode": "letency"}, UnknownName, "did you mean latency"),
        ({"seconds": 0.0}, UsageError, "0.0 s for each"),
        ({"seconds": float("nan")}, UsageError, "nan s for each"),
        ({"baseline": "cuda"}, UnknownName, "no baseline named 'cuda'"),
        ({"mode": "files", "baseline": "cpu"}, UsageError, "beside the mode files"),
        ({"mode": "files", "batch_sizes": "max"}, UsageError, "beside the mode files"),
        ({"images": ["a.jpg"]}, UsageError, "images were named beside the mode latency"),
        ({"mode": "files", "images": []}, UsageError, "no image"),
        ({"device": "cpu:1"}, Unavailable, "no cpu:1"),
        ({"runtime": "egaer"}, UnknownName, "did you mean eager"),
        ({"dtype": "float16"}, Unavailable, "float16"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_opened(asked: dict, error: type, seen: str) -> None:
    with pytest.raises(error, match=seen):
        bench(None, **{"runtime": "eager", **asked})


def test_batch_sizes_are_sorted_and_each_is_there_once() -> None:
    rest = {"mode": "latency", "seconds": 1.0, "baseline": None, "images": None, "seed": 0}
    assert checked([8, 1, 8, 2], "cpu", "eager", "float32", **rest).batches == (1, 2, 8)
    assert checked("max", "cpu", "eager", "float32", **rest).batches == ()
    assert checked([1], "cpu", None, "float32", **rest).setup.runtime == "openvino"


def test_a_runner_that_breaks_at_once_raises(model, npu, monkeypatch) -> None:
    def broken(runner, pixels):
        raise RuntimeError("the kernel is missing")

    monkeypatch.setattr(Eager, "run", broken)
    with pytest.raises(CandidateError, match="the kernel is missing"):
        bench(model, device="npu")


def test_pixels_are_drawn_with_the_seed() -> None:
    settings = {"runner": None, "setup": None, "mode": "latency", "size": (4, 4), "image_bytes": 0, "clock": None}
    one, same, other = (Case(seed=seed, **settings)._drawn(2, 0) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    many = Case(seed=1, **settings)._drawn(20, 0)
    assert many.shape == (20, 3, 4, 4)
    assert np.array_equal(many[:8], many[8:16])
    assert sweep.said(UsageError("only this", todo="not this")) == "only this"
