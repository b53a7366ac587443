"""Batches through a device one after another: on the simulated NPU, which fills nothing before somebody waits."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from snellen import devices
from snellen.devices import Device, simulated
from snellen.devices.simulated import Settings
from snellen.errors import InputError
from snellen.runtimes import make, streaming
from snellen.runtimes.eager import Eager
from test_runtimes import CASES, Case, golden, model_of, pixels_for, side_of

SIZES = (3, 1, 4, 2, 2, 1)
CONFIG = CASES["dinov3"].config


@pytest.fixture(autouse=True)
def npu():
    simulated.start(Settings(arithmetic="float32"))
    yield torch.npu
    simulated.stop()


@pytest.fixture(params=["npu:0", "npu:1", "cpu"])
def device(request: pytest.FixtureRequest) -> Device:
    return devices.resolve(request.param)


def eager(device: Device, case: Case = CASES["dinov3"], dtype: str = "float32") -> Eager:
    runner = make("eager", model_of(case), device, dtype)
    assert isinstance(runner, Eager)
    return runner


def batches(sizes: tuple[int, ...] = SIZES) -> list[np.ndarray]:
    whole = pixels_for(CONFIG, batch=sum(sizes)).split(sizes)
    return [pixels.numpy() for pixels in whole]


def eight_bits(sizes: tuple[int, ...] = SIZES) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    side = side_of(CONFIG)
    return [draw.integers(0, 256, (size, 3, side, side), dtype=np.uint8) for size in sizes]


def expected(runner: Eager, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [runner.run(torch.from_numpy(array)).pooled.float().cpu().numpy() for array in arrays]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_vectors_are_those_of_run_in_order(device: Device, dtype: str) -> None:
    with eager(device, dtype=dtype) as runner:
        found = list(runner.vectors(iter(batches())))
        assert [len(part) for part in found] == list(SIZES)
        for part, wanted in zip(found, expected(runner, batches()), strict=True):
            assert part.dtype == np.float32
            assert np.isfinite(part).all()
            assert np.array_equal(part, wanted)
    assert len({part.tobytes() for part in found}) == len(SIZES)  # no batch was taken for another


def test_without_waiting_the_numbers_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above would see a copy that nobody waited for."""
    monkeypatch.setattr(torch.npu.Event, "synchronize", lambda self: None)
    with eager(devices.resolve("npu:0")) as runner:
        assert np.isnan(next(runner.vectors(batches()))).all()


def test_waiting_for_another_device_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event lies on the current device unless it is told otherwise."""

    class Nowhere:
        def __init__(self, index: int) -> None:
            assert index == 1

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(torch.npu, "device", Nowhere)
    with eager(devices.resolve("npu:1")) as runner:
        assert np.isnan(next(runner.vectors(batches()))).all()


def test_the_current_device_stays(npu) -> None:
    with eager(devices.resolve("npu:1")) as runner:
        list(runner.vectors(batches()))
    assert npu.current_device() == 0


def test_the_next_batch_is_queued_before_the_last_is_fetched_and_no_more(device: Device) -> None:
    asked, given, ahead = 0, 0, []

    def source() -> Iterator[np.ndarray]:
        nonlocal asked
        for array in batches():
            asked += 1
            yield array

    with eager(device) as runner:
        stream = runner.vectors(source())
        assert asked == 0  # nothing happens before somebody wants a vector
        for _ in stream:
            ahead.append(asked - given)
            given += 1
    assert ahead == ([1] * len(SIZES) if device.kind == "cpu" else [2] * (len(SIZES) - 1) + [1])


def test_memory_does_not_grow_with_the_number_of_batches(npu) -> None:
    def peaks(count: int) -> tuple[int, int]:
        pixels = batches((2,))[0]
        with eager(devices.resolve("npu:0")) as runner:
            gc.collect()
            npu.reset_peak_memory_stats()
            tracemalloc.start()
            for _ in runner.vectors(pixels.copy() for _ in range(count)):
                pass
            host = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return npu.max_memory_allocated(), host

    peaks(2)
    few, many = peaks(3), peaks(24)
    assert many[0] <= few[0]
    assert many[1] < few[1] + 21 / 4 * batches((2,))[0].nbytes  # a quarter of what keeping all would take


def test_a_stream_that_is_left_gives_its_memory_back(npu) -> None:
    with eager(devices.resolve("npu:0")) as runner:
        runner.run(torch.from_numpy(batches()[0]))
        npu.synchronize()
        gc.collect()
        before = npu.memory_allocated()
        stream = runner.vectors(batches())
        next(stream)
        stream.close()
        npu.synchronize()
        gc.collect()
        assert npu.memory_allocated() == before


def broken_source() -> Iterator[np.ndarray]:
    yield from batches()[:2]
    raise OSError("the disk is gone")


def broken_batch() -> Iterator[np.ndarray]:
    good = batches()
    yield from (*good[:2], good[2][:, :, :-1], good[3])


@pytest.mark.parametrize(("source", "error"), [(broken_source, OSError), (broken_batch, InputError)])
def test_an_error_loses_nothing_of_what_came_before(
    device: Device, source: Callable[[], Iterator[np.ndarray]], error: type[Exception]
) -> None:
    with eager(device) as runner:
        found: list[np.ndarray] = []
        with pytest.raises(error):
            found.extend(runner.vectors(source()))  # keeps those before the error
        wanted = expected(runner, batches()[:2])
    assert [np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)] == [True, True]


def test_nothing_gives_nothing(device: Device) -> None:
    with eager(device) as runner:
        assert list(runner.vectors([])) == []


def test_eight_bits_go_over_and_are_prepared_there(device: Device) -> None:
    model = golden("dinov3").model
    seen: list[tuple[torch.dtype, str]] = []

    def prepare(pixels: Tensor) -> Tensor:
        seen.append((pixels.dtype, str(pixels.device)))
        return model.recipe.normalise(pixels)

    with eager(device) as runner:
        found = list(runner.eight_bit_vectors(eight_bits(), prepare))
        floats = [model.recipe.normalise(torch.from_numpy(array)).numpy() for array in eight_bits()]
        for part, wanted in zip(found, expected(runner, floats), strict=True):
            assert np.abs(part - wanted).max() < 1e-5
    assert set(seen) == {(torch.uint8, device.torch_name)}
    assert len(seen) == len(SIZES)


def test_pixels_of_another_kind_are_refused(device: Device) -> None:
    recipe = golden("dinov3").model.recipe
    with eager(device) as runner:
        with pytest.raises(InputError, match="pixels is uint8"):
            next(runner.vectors(eight_bits()))
        with pytest.raises(InputError, match="pixels is float32"):
            next(runner.eight_bit_vectors(batches(), recipe.normalise))  # would be brought to the range twice
        with pytest.raises(InputError, match="pixels is float64"):
            next(runner.vectors([batches()[0].astype(np.float64)]))


def test_pixels_may_be_read_only_and_reused(device: Device) -> None:
    """Whoever decodes into one array again and again loses nothing: it has been copied when the next is asked for."""
    array = batches((2,))[0].copy()
    wanted: list[np.ndarray] = []

    def source() -> Iterator[np.ndarray]:
        for step in range(4):
            array[:] = step
            wanted.append(array.copy())
            array.flags.writeable = step % 2 == 0
            yield array
            array.flags.writeable = True

    with eager(device) as runner:
        found = list(runner.vectors(source()))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected(runner, wanted), strict=True))


def test_a_device_without_events_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.npu, "Event")
    device = devices.resolve("npu:0")
    with eager(device) as runner:
        found = list(streaming.vectors(device, lambda pixels: runner.run(pixels).pooled, batches()))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected(runner, batches()), strict=True))
