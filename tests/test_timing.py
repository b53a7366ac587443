"""Measuring: what is counted, in which order, and that the device is waited for; no test looks at a real clock."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import deque
from statistics import median

import numpy as np
import pytest
import torch

from held import held
from snellen.errors import CandidateError, DeviceUnavailable, UsageError
from snellen.records.timing import ratio
from snellen.timing import ceiling, machine, memory, rates
from snellen.timing.feed import KEPT, Changed, Feed, fresh

BATCH = 4


class Clock:
    """Stands still but for what somebody does with it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Device:
    """A queue that is worked off when it is waited for, and not before."""

    name, kind, torch_name = "fake:0", "fake", "cpu"

    def __init__(self, clock):
        self.clock, self.queued, self.waits = clock, 0.0, 0

    def check_dtype(self, dtype):
        pass

    def synchronize(self):
        self.waits += 1
        self.clock.now += self.queued
        self.queued = 0.0


class Runner:
    """Needs a second for each batch, more for the first ``slow`` ones; up to ``depth`` are done together."""

    def __init__(self, clock, *, slow=0, depth=1, seconds=1.0, wrong=None):
        self.clock, self.device = clock, Device(clock)
        self.slow, self.depth, self.seconds, self.wrong = slow, depth, seconds, wrong
        self.seen = []
        self.streams = 0

    def vectors(self, batches):
        self.streams += 1
        waiting = deque()
        for pixels in batches:
            self.seen.append(pixels.copy())  # the next batches may be put where it lies
            waiting.append(pixels)
            if len(waiting) == self.depth:
                yield from self.done(waiting)
        yield from self.done(waiting)

    def done(self, waiting):
        if not waiting:
            return
        together = len(waiting)
        cost = 5 * self.seconds if len(self.seen) <= self.slow else self.seconds
        if len(waiting[0]) == 1:  # one image
            cost /= 8
        self.clock.now += cost * together
        while waiting:
            rows = len(waiting.popleft())
            yield np.zeros((rows - (self.wrong == "rows"), 3), np.float32)


class Stopping(Runner):
    """Gives up after three batches."""

    def vectors(self, batches):
        for _, vectors in zip(range(3), super().vectors(batches), strict=False):
            yield vectors


class Losing(Runner):
    """Forgets the last batch."""

    def vectors(self, batches):
        last = None
        for vectors in super().vectors(batches):
            if last is not None:
                yield last
            last = vectors


def batches(count=2, images=BATCH):
    return [np.full((images, 3, 2, 2), number, np.float32) for number in range(count)]


# Throughput


def test_a_steady_stream_has_its_rate_and_its_samples() -> None:
    clock = Clock()
    found = rates.stream(Runner(clock), batches(), 8.0, clock=clock)
    assert found.images_per_s == BATCH
    assert found.samples == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
    assert (found.batch, found.under_way, found.spread, found.steady) == (BATCH, 1, 0.0, True)


def test_the_warm_up_is_left_out() -> None:
    clock = Clock()
    found = rates.stream(Runner(clock, slow=3), batches(), 40.0, clock=clock)
    assert found.images_per_s == BATCH
    assert found.warm_batches > 3
    assert found.steady


def test_with_the_warm_up_the_rate_would_be_another() -> None:
    clock = Clock()
    runner = Runner(clock, slow=3)
    found = rates.stream(runner, batches(), 10.0, clock=clock)  # too short a time to warm up
    whole = (len(found.samples) + found.warm_batches) * BATCH / (clock.now - 100.0)
    assert whole < 0.8 * BATCH
    assert not found.steady


def test_a_runner_that_never_gets_faster_is_warm_at_once() -> None:
    clock = Clock()
    assert rates.stream(Runner(clock), batches(), 10.0, clock=clock).warm_batches == 4


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_batches_done_together_are_counted_in_whole_groups(depth: int) -> None:
    for seconds in (4.0, 5.0, 6.0, 7.0, 8.0, 9.0):
        clock = Clock()
        found = rates.stream(Runner(clock, depth=depth), batches(), seconds, clock=clock)
        assert found.under_way == depth
        assert found.images_per_s == BATCH
        assert found.samples[-1] == len(found.samples)


def test_counting_from_any_completion_to_any_other_would_be_off() -> None:
    times = [0.0, 4.0, 4.0, 4.0, 4.0, 8.0, 8.0, 8.0, 8.0, 12.0]
    first, last = rates._whole(times, 4)
    assert (last - first) / (times[last] - times[first]) == 1.0
    assert (6 - first) / (times[6] - times[first]) == 0.75
    assert rates._whole(times[:4], 4) == ()  # nothing whole yet
    assert rates._whole(times[:1], 1) == ()
    assert rates._whole([0.0, 1.0, 2.0], 2) == (0, 1)  # even completions: each is an end
    assert rates._whole([0.0, 1.0, 2.0], 1) == (0, 2)


def test_nothing_is_left_under_way() -> None:
    clock = Clock()
    runner = Runner(clock, depth=3)
    rates.stream(runner, batches(), 5.0, clock=clock)
    assert runner.streams == 1
    assert runner.device.waits == 2  # before the stream, and when it is drained


def test_the_batches_alternate() -> None:
    clock = Clock()
    runner = Runner(clock)
    rates.stream(runner, batches(3), 4.0, clock=clock)
    assert {round(float(pixels[0, 0, 0, 0])) for pixels in runner.seen} == {0, 1, 2}
    assert all((a != b).any() for a, b in zip(runner.seen, runner.seen[1:], strict=False))


def test_the_spread_is_that_of_the_parts() -> None:
    samples = [1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0]  # twice as fast in the second half
    assert rates._spread(samples, 4) == pytest.approx((2 - 1) / median([1, 2]))
    assert rates._spread(samples, 8) is None
    assert rates._spread([1.0, 2.0, 3.0], 1) == 0.0


@pytest.mark.parametrize(
    ("pixels", "seen"),
    [
        (batches(1), "1 batches of pixels"),
        ([batches()[0]] * 2, "not two different"),
        ([batches()[0], batches(2, 3)[1]], "shapes"),
    ],
)
def test_pixels_that_measure_nothing_are_refused(pixels: list[np.ndarray], seen: str) -> None:
    clock = Clock()
    if seen == "shapes":
        pixels = [batches(2)[0], batches(2)[1], batches(2, 3)[1]]
    with pytest.raises(UsageError, match=seen):
        rates.measure(Runner(clock), pixels, 1.0, clock=clock)


@pytest.mark.parametrize("kind", [Stopping, Losing])
def test_a_runner_that_loses_a_batch_is_no_fast_one(kind: type[Runner]) -> None:
    clock = Clock()
    with pytest.raises(CandidateError, match="batches"):
        rates.stream(kind(clock), batches(), 5.0, clock=clock)


def test_a_runner_that_loses_an_image_is_no_fast_one() -> None:
    clock = Clock()
    with pytest.raises(CandidateError, match="rows"):
        rates.stream(Runner(clock, wrong="rows"), batches(), 5.0, clock=clock)


# What is fed


@pytest.mark.parametrize("measured", [rates.stream, rates.latencies, rates.measure])
def test_no_row_is_handed_out_twice(measured) -> None:
    clock = Clock()
    runner = Runner(clock, depth=3)
    for _ in range(2):  # nor in the next measurement
        measured(runner, batches(), 30.0, clock=clock)
    rows = [row.tobytes() for pixels in runner.seen for row in pixels]
    assert len(set(rows)) == len(rows) > 40


def test_what_is_changed_is_a_neighbouring_number_of_one_value_of_each_row() -> None:
    pixels = np.random.default_rng(0).standard_normal((5, 3, 224, 224)).astype(np.float32)
    for found in (fresh(pixels), fresh(pixels)):
        other = np.argwhere((found != pixels).reshape(5, -1))
        assert other[:, 0].tolist() == [0, 1, 2, 3, 4]
        assert np.abs(found.view(np.int32) - pixels.view(np.int32)).max() <= 2
    changed = Changed(pixels)
    for _ in range(9):
        changed.change(1, pixels[3])
    assert (changed.pixels != pixels[[0, 3, 2, 3, 4]]).sum() == 5  # what was moved before is put back


def test_a_batch_that_lies_where_another_lay_holds_another_image() -> None:
    feed = Feed(batches(2, 3))  # one number for each batch
    held, seen = [], []
    for pixels in feed:
        held.append(id(pixels))
        seen.append(pixels.round()[:, 0, 0, 0].tolist())
        feed.take(np.zeros((3, 2), np.float32))
        feed.ended = len(seen) == 20
    assert len(set(held)) == 2
    shown = [[float(row // 3) for row in answer.rows] for answer in feed.last]
    assert shown == seen[-KEPT:]  # and it knows which
    assert len({tuple(rows) for rows in seen}) > 2


def test_what_is_under_way_is_not_changed() -> None:
    feed = Feed(batches())
    given = iter(feed)
    first = next(given)
    before = first.copy()
    others = [next(given) for _ in range(5)]
    assert np.array_equal(first, before)
    assert len({id(pixels) for pixels in (first, *others)}) == 6


def test_what_the_last_batches_gave_is_kept() -> None:
    clock, kept = Clock(), []
    rates.stream(Runner(clock, depth=2), batches(), 9.0, clock=clock, kept=kept)
    assert len(kept) == KEPT
    assert all(answer.vectors.shape == (BATCH, 3) and len(answer.rows) == BATCH for answer in kept)
    rates.latencies(Runner(clock), batches(), 1.0, clock=clock, kept=kept)
    assert {answer.rows[0] % BATCH for answer in kept[KEPT:]} == {0}  # each the first of its batch


def test_a_runner_that_gives_more_than_it_asked_for_is_no_fast_one() -> None:
    class Inventing(Runner):
        def vectors(self, batches):
            for vectors in super().vectors(batches):
                yield vectors
                yield vectors

    clock = Clock()
    with pytest.raises(CandidateError, match="more batches"):
        rates.stream(Inventing(clock), batches(), 5.0, clock=clock)


# Latency


def test_latency_is_the_median_of_single_images() -> None:
    clock = Clock()
    runner = Runner(clock)
    found = rates.measure(runner, batches(), 8.0, clock=clock)
    assert found.latency_s == 1 / 8
    assert found.images_per_s == BATCH
    assert len(found.latencies_s) == 16  # two seconds of eighths; the first call is not among them
    assert all(len(pixels) == 1 for pixels in runner.seen[-17:])
    assert dataclasses.asdict(found) == found.to_dict()


def test_the_first_single_image_is_not_counted() -> None:
    clock = Clock()
    found = rates.latencies(Runner(clock, slow=1), batches(), 0.5, clock=clock)
    assert set(found) == {1 / 8}


def test_the_device_is_waited_for_before_and_after() -> None:
    class Queueing(Runner):
        """Hands results out before they are there, as a careless runtime does."""

        def vectors(self, batches):
            for pixels in batches:
                self.device.queued += 0.5
                yield np.zeros((len(pixels), 3), np.float32)

    clock = Clock()
    runner = Queueing(clock)
    runner.device.queued = 50.0  # of somebody else: not to be counted
    found = rates.latencies(runner, batches(), 1.0, clock=clock)
    assert set(found) == {0.5}
    assert runner.device.waits == 2 * (len(found) + 1)
    deaf = Queueing(clock)
    deaf.device.synchronize = lambda: None
    assert set(rates.latencies(deaf, batches(), 1.0, clock=clock)) == {0.0}  # the control: it would look instant


# In alternation


def test_cases_take_turns_in_an_order_that_changes() -> None:
    calls = []
    cases = {name: lambda s, name=name: calls.append((name, s)) or float(len(calls)) for name in "abcd"}
    found = rates.interleaved(cases, 6, 2.5)
    assert len(calls) == 24
    assert [name for name, _ in calls] == [name for order in found.orders for name in order]
    assert all(sorted(order) == list("abcd") for order in found.orders)
    assert len(set(found.orders)) > 1
    assert {seconds for _, seconds in calls} == {2.5}
    mine = [float(place) for place, (name, _) in enumerate(calls, 1) if name == "a"]
    assert [values["a"] for values in found.values] == mine
    again = rates.interleaved(dict.fromkeys("abcd", lambda _: 1.0), 6, 1.0)
    assert again.orders == found.orders
    assert rates.interleaved(dict.fromkeys("abcd", lambda _: 1.0), 6, 1.0, seed=1).orders != found.orders


def test_values_belong_to_the_names_whatever_the_order() -> None:
    found = rates.interleaved({"a": lambda _: 1.0, "b": lambda _: 2.0, "c": lambda _: 3.0}, 5, 1.0)
    assert found.values == ({"a": 1.0, "b": 2.0, "c": 3.0},) * 5
    assert [list(values) for values in found.values] == [list("abc")] * 5


def test_ratios_are_formed_within_a_round() -> None:
    # The machine gets faster from round to round, and both with it.
    found = ratio((2.0, 4.0, 8.4), (1.0, 2.0, 4.0))
    assert (found.median, found.least, found.most) == (2.0, 2.0, 2.1)
    assert found.values == (2.0, 2.0, 2.1)
    with pytest.raises(ValueError, match="argument"):
        ratio((1.0, 2.0), (1.0,))


@pytest.mark.parametrize(("cases", "count"), [({}, 3), ({"a": lambda _: 1.0}, 0)])
def test_no_rounds_are_no_measurement(cases: dict, count: int) -> None:
    with pytest.raises(UsageError):
        rates.interleaved(cases, count, 1.0)


# The ceiling


def test_the_ceiling_is_the_best_product(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    device = Device(clock)
    costs = iter((9.0, 9.0, 0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5))

    def product(a, b, out):
        device.queued += next(costs)  # it is queued; only waiting for it takes the time

    monkeypatch.setattr(torch, "mm", product)
    found = ceiling.measured("float32", device=device, side=16, clock=clock)
    assert found.samples_s == (0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)  # without the two that warm up
    assert found.operations_per_s == 2 * 16**3 / 0.25
    assert device.waits == 2 * (ceiling.WARM + ceiling.REPEATS)
    assert found.threads is None


def test_without_waiting_there_would_be_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    device = Device(clock)
    device.synchronize = lambda: None
    monkeypatch.setattr(torch, "mm", lambda a, b, out: setattr(device, "queued", device.queued + 1))
    with pytest.raises(ZeroDivisionError):
        ceiling.measured("float32", device=device, side=16, clock=clock)


def test_a_product_on_the_cpu_is_measured_and_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    found = ceiling.measured("bfloat16", before + 1, side=32)
    assert torch.get_num_threads() == before
    assert (found.threads, found.side, found.device, found.dtype) == (before + 1, 32, "cpu", "bfloat16")
    assert found.operations_per_s == 2 * 32**3 / min(found.samples_s)
    assert len(found.samples_s) == ceiling.REPEATS


def test_threads_are_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()

    def fails(a, b, out):
        raise RuntimeError("no memory")

    monkeypatch.setattr(torch, "mm", fails)
    with pytest.raises(RuntimeError, match="no memory"):
        ceiling.measured("float32", before + 1, side=8)
    assert torch.get_num_threads() == before


def test_what_is_no_ceiling_is_said_or_refused() -> None:
    assert ceiling.measured("int8").operations_per_s is None
    assert "8-bit" in ceiling.measured("int8").note
    with pytest.raises(DeviceUnavailable, match="float16 is refused"):  # it would take minutes
        ceiling.measured("float16")


# Memory and machine


def test_the_peak_rises_and_can_start_anew() -> None:
    peak = memory.peak_bytes()
    assert peak is not None
    with held(64 << 20):
        high = memory.peak_bytes()
    assert high is not None
    assert high >= 64 << 20
    if memory.reset_peak():  # where the system allows it; what happens elsewhere is the next test
        after = memory.peak_bytes()
        assert after is not None
        assert after < high


def test_an_unknown_peak_is_none_and_never_nothing(tmp_path) -> None:
    assert memory.peak_bytes(tmp_path / "nowhere") is None
    (tmp_path / "status").write_text("Name:\tx\nVmRSS:\t  12 kB\n")
    assert memory.peak_bytes(tmp_path) is None
    assert not memory.reset_peak(tmp_path)
    (tmp_path / "status").write_text("VmHWM:\t  34 kB\nVmRSS:\t  12 kB\n")
    assert memory.peak_bytes(tmp_path) == 34 * 1024
    assert not memory.reset_peak(tmp_path / "nowhere")


def test_a_peak_that_only_seems_to_start_anew_is_noticed(tmp_path) -> None:
    (tmp_path / "status").write_text("VmHWM:\t  200000 kB\nVmRSS:\t  100000 kB\n")
    assert not memory.reset_peak(tmp_path)
    (tmp_path / "status").write_text("VmHWM:\t  100100 kB\nVmRSS:\t  100000 kB\n")
    assert memory.reset_peak(tmp_path)


CPUINFO = """processor\t: 0
model name\t: Abacus 9000
flags\t\t: fpu avx2 avx512f avx512_bf16 sse

processor\t: 1
model name\t: Abacus 1
"""


def test_a_machine_is_described_as_the_system_tells_it(tmp_path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    (tmp_path / "meminfo").write_text("MemTotal:       1024 kB\nMemFree: 3 kB\n")
    found = machine.describe(tmp_path)
    assert found.product == "Abacus 9000"
    assert found.flags == ("avx2", "avx512f", "avx512_bf16")
    assert found.memory_bytes == 1024**2
    assert found.versions["torch"] == torch.__version__
    assert machine.describe(tmp_path / "nowhere").memory_bytes is None
    assert machine.describe(tmp_path / "nowhere").flags == ()


def test_a_description_needs_no_torch() -> None:
    program = "import sys; from snellen.timing import machine, memory; machine.describe(); memory.peak_bytes(); "
    check = "sys.exit([n for n in ('torch', 'numpy', 'openvino') if n in sys.modules] != [])"
    assert subprocess.run([sys.executable, "-c", program + check], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", "import numpy; " + program + check], check=False).returncode == 1
