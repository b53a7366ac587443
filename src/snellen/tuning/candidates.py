"""What is tried: groups of setups that are opened once, the most promising first.

In: a device, a goal. Out: groups. Guests (timm, transformers) are no candidates: they are the libraries that snellen is
held to, and never faster than its own encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from snellen import runtimes
from snellen.devices import Device
from snellen.errors import Unavailable
from snellen.records.plan import Layout, Setup
from snellen.records.tuning import Goal

STREAM_BATCHES = (1, 2, 4)  # for each stream of a CPU; larger ones leave its caches
WHOLE_BATCHES = (4, 8)  # where all cores work on one batch
LARGE_BATCHES = (8, 16, 32, 64, 128, 256, 512, 1024)  # elsewhere, upward until the memory ends or nothing is gained
COMPILED_BATCHES = (32, 256)  # each is compiled by itself
LAYS_OUT = ("openvino",)
"""Runtimes that are told how many streams and threads there are, and take every core where they are not."""
HALVES = ("bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Setups that differ in the batch alone: what is opened once serves all of them."""

    runtime: str
    dtype: str = "float32"
    streams: int | None = None
    threads: int | None = None
    batches: tuple[int | None, ...] = (None,)
    calibration: str | None = None  # of int8: the digest of its images

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The setups, in the order in which they are tried."""
        return tuple(
            Setup(runtime=self.runtime, dtype=self.dtype, layout=self.layout(batch), calibration=self.calibration)
            for batch in self.batches
        )

    def layout(self, batch: int | None) -> Layout:
        """Return the layout with a batch."""
        return Layout(batch=batch, streams=self.streams, threads=self.threads)


def of(setup: Setup) -> Group:
    """Return the group of one setup."""
    layout = setup.layout
    return Group(
        runtime=setup.runtime,
        dtype=setup.dtype,
        streams=layout.streams,
        threads=layout.threads,
        batches=(layout.batch,),
        calibration=setup.calibration,
    )


def grouped(setups: Iterable[Setup]) -> tuple[Group, ...]:
    """Return groups of setups that somebody named, each by itself, in their order."""
    return tuple(of(setup) for setup in setups)


def calibrated(groups: Iterable[Group], digest: str | None) -> tuple[Group, ...]:
    """Return groups whose 8-bit setups are calibrated on images of a digest; one that names others keeps those."""
    return tuple(
        replace(group, calibration=group.calibration or digest) if group.dtype == runtimes.INT8 else group
        for group in groups
    )


def refused(group: Group, device: Device) -> str:
    """Return why a group is not tried on a device: its runtime is not here, or its dtype is not used there."""
    if group.dtype == runtimes.INT8 and group.runtime != "openvino":
        return ""  # a runner of somebody's own; no other runtime of ours has it
    try:
        runtimes.check(group.runtime, device, group.dtype)
    except Unavailable as error:
        return "; ".join(filter(None, (error.seen, error.todo)))
    return ""


def resolved(setup: Setup, batch: int | None, cores: int) -> Layout:
    """Return the layout of a setup with nothing left to the runtime."""
    if setup.runtime not in LAYS_OUT:
        return Layout(batch=batch)
    return Layout(batch=batch, streams=setup.layout.streams or cores, threads=setup.layout.threads or cores)


def default(device: Device) -> Setup:
    """Return what is run where there is no plan."""
    return Setup(runtime=runtimes.default(device, "float32").value)


def groups(device: Device, goal: Goal, cores: int) -> tuple[Group, ...]:
    """Return what is tried for a goal on a device, beside the default; ``cores`` of the CPU."""
    if device.kind != "cpu":
        found = tuple(_elsewhere(goal))
    elif goal == "throughput":
        found = tuple(_streaming(cores))
    else:
        found = tuple(_single(goal, cores))
    return tuple(dict.fromkeys(found))


def _streaming(cores: int) -> Iterator[Group]:
    """Yield what may give most images a second on a CPU: one small batch on each core comes first."""
    for dtype in ("bfloat16", "float32", runtimes.INT8):
        yield Group(runtime="openvino", dtype=dtype, streams=cores, batches=STREAM_BATCHES)
    for streams in _fewer(cores):
        for dtype in ("bfloat16", "float32"):
            yield Group(runtime="openvino", dtype=dtype, streams=streams, batches=WHOLE_BATCHES)
    if cores > 1:  # where two processors are one core, half of them may do as much
        half = cores // 2
        yield Group(runtime="openvino", dtype="bfloat16", streams=half, threads=half, batches=STREAM_BATCHES[:2])
    yield Group(runtime="onnxruntime", batches=STREAM_BATCHES[-1:])
    for dtype in ("bfloat16", "float32"):
        yield Group(runtime="eager", dtype=dtype, batches=(1, 4))
    for dtype in ("bfloat16", "float32"):  # the most expensive to prepare: what is left of the budget
        yield Group(runtime="compiled", dtype=dtype, batches=(4,))
    yield Group(runtime="openvino", dtype="float16", streams=cores, batches=(1,))


def _fewer(cores: int) -> Iterator[int]:
    """Yield half as many streams as cores, a quarter, and one."""
    streams = cores // 2
    while streams > 1 and streams * 4 >= cores:
        yield streams
        streams //= 2
    if cores > 1:
        yield 1


def _single(goal: Goal, cores: int) -> Iterator[Group]:
    """Yield what may answer soonest, or hold least, on a CPU: one image on all cores."""
    for dtype in ("bfloat16", "float32", runtimes.INT8):
        yield Group(runtime="openvino", dtype=dtype, streams=1, batches=(1,))
    if goal == "memory":
        yield Group(runtime="openvino", dtype="bfloat16", streams=cores, batches=(1,))
    if cores > 1:
        yield Group(runtime="openvino", dtype="bfloat16", streams=1, threads=cores // 2, batches=(1,))
    yield Group(runtime="onnxruntime", batches=(1,))
    for runtime in ("eager", "compiled"):
        for dtype in ("bfloat16", "float32"):
            yield Group(runtime=runtime, dtype=dtype, batches=(1,))
    yield Group(runtime="openvino", dtype="float16", streams=1, batches=(1,))


def _elsewhere(goal: Goal) -> Iterator[Group]:
    """Yield what is tried on any other device: every dtype it may compute in, batches upward."""
    one = goal != "throughput"
    for dtype in (*HALVES, "float32"):
        yield Group(runtime="eager", dtype=dtype, batches=(1,) if one else LARGE_BATCHES)
    for dtype in (*HALVES, "float32"):
        for batch in (1,) if one else COMPILED_BATCHES:
            yield Group(runtime="compiled", dtype=dtype, batches=(batch,))
