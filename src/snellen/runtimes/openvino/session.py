"""A compiled network: arrays in, arrays out. Imports no torch, so that a second process starts at once.

B batch, D width.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from snellen.devices import Device, processor
from snellen.errors import DeviceUnavailable, InputError, MissingPackage, UsageError
from snellen.records.plan import Layout
from snellen.runtimes.openvino.executed import executed
from snellen.runtimes.openvino.files import places_of, read, said

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]
    Running = deque[tuple[Any, Array]]  # requests under way, with their inputs, which must stay until they are done

HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""What OpenVINO is asked to compute in."""

DTYPES = (*HINTS, "int8")

WAITING = 2  # requests for each stream: one runs while the other is handed its input


def openvino() -> Any:
    """Import OpenVINO, which reports nothing to its makers; raise MissingPackage where it is not installed."""
    try:
        with unreported():
            import openvino as package
    except ImportError as error:
        raise MissingPackage(
            f"the runtime openvino needs the package openvino ({error})",
            todo="pip install openvino, or --runtime eager",
        ) from error
    return package


@contextmanager
def unreported() -> Iterator[None]:
    """Hide the package through which OpenVINO and NNCF report that, and how, they are used."""
    name = "openvino_telemetry"
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails, which both are prepared for
    try:
        yield
    finally:
        if hidden:
            del sys.modules[name]


def check(device: Device, dtype: str) -> None:
    """Raise DeviceUnavailable unless OpenVINO is used here on ``device`` in ``dtype``.

    What it then runs is read back from what was compiled.
    """
    if device.kind != "cpu":
        raise DeviceUnavailable(
            f"the runtime openvino was asked for on {device.name}", expected="the CPU", todo="--runtime eager"
        )
    if dtype not in DTYPES:
        raise DeviceUnavailable(
            f"{dtype} was asked for, which OpenVINO does not compute in",
            expected=" or ".join(DTYPES),
            todo="--runtime eager",
        )
    check_able(dtype)


@cache
def _home() -> int:
    """Return the process that used OpenVINO first; one that is forked from it inherits the answer."""
    return os.getpid()


def check_process() -> None:
    """Raise UsageError in a process forked from one that used OpenVINO: it waits for ever there."""
    if _home() != os.getpid():
        raise UsageError(
            "OpenVINO was used before this process was forked: the threads that it computes with are not here",
            expected="a process that was not forked afterwards",
            todo="start processes by 'spawn' or 'forkserver', or use OpenVINO in the forked ones alone",
        )


def check_able(dtype: str) -> None:
    """Raise DeviceUnavailable where this CPU does not compute in ``dtype``."""
    core = openvino().Core()
    need = {"bfloat16": "BF16", "float16": "FP16"}.get(dtype)
    if need is not None and need not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise DeviceUnavailable(
            f"{dtype} is not used on this CPU ({core.get_property('CPU', 'FULL_DEVICE_NAME')}): "
            "it has no instructions for it, and OpenVINO would run another dtype instead",
            expected="float32 on the CPU",
            todo="--dtype float32",
        )


def describe() -> dict[str, str]:
    """Return what compiled networks depend on: OpenVINO's version and the CPU as OpenVINO sees it."""
    package = openvino()
    core = package.Core()
    able = sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    name = core.get_property("CPU", "FULL_DEVICE_NAME")
    return {"openvino": package.get_version(), "cpu": str(name), "able": " ".join(able)}


class Session:
    """One network, compiled for a dtype and a layout; any number of callers and threads use it at once."""

    def __init__(self, network: Path, dtype: str, layout: Layout, blobs: Path | None = None) -> None:
        """Compile ``network``, or read what was compiled of it before from the folder ``blobs``.

        Raises DeviceUnavailable where OpenVINO compiles nothing, or runs another dtype than the one asked for,
        Unreadable where it cannot read the network, UsageError in a process that was forked from one that used it.
        """
        check_process()
        package = openvino()
        core = package.Core()
        self.streams = layout.streams or processor.cores()
        self.beside = _beside_8_bit(core) if dtype == "int8" else dtype  # what is not in 8 bits
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[self.beside],
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": layout.threads or processor.cores(),
        }
        if blobs is not None:
            config |= {"CACHE_DIR": str(blobs), "CACHE_MODE": "OPTIMIZE_SIZE"}  # no second copy of the weights on disk
        self.places = places_of(network)
        try:
            self._compiled: Any = core.compile_model(str(network), "CPU", config)
        except RuntimeError as error:
            read(core, network)  # where that is what fails
            raise _refused(dtype, core, error) from error
        self.executed = executed(self._compiled)
        self.executed.check(dtype, str(core.get_property("CPU", "FULL_DEVICE_NAME")))
        sides = list(self._compiled.input(0).get_partial_shape())[1:]
        self.shape: tuple[int, ...] = tuple(side.get_length() for side in sides)  # of one image, [3, h, w]
        self._lock = Lock()
        self._free: list[Any] = []  # requests; each serves one batch at a time, whoever handed it over

    @property
    def reused(self) -> bool:
        """Whether OpenVINO read what it compiled before."""
        return bool(self._compiled.get_property("LOADED_FROM_CACHE"))

    def noise(self) -> Array:
        """Return pixels of the network's size, [1, 3, h, w], as a recipe's might be, the same each time."""
        import numpy

        return numpy.random.default_rng(0).standard_normal((1, *self.shape), dtype=numpy.float32)

    def run(self, pixels: Array) -> dict[str, Array]:
        """Return every output for pixels [B, 3, h, w], each [B, ...]; raise InputError for other arrays."""
        request = self._take()
        try:
            request.infer({0: self._checked(pixels)}, share_inputs=True)
            return {name: request.get_output_tensor(place).data.copy() for name, place in self.places.items()}
        finally:
            self._give(request)

    def pooled(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Return the pooled vectors [B, D] of every batch [B, 3, h, w], in order, with several batches under way.

        A batch is read until its vectors are given. An error in a batch, or in ``batches``, is raised after the vectors
        of every batch before it; InputError for arrays that the network does not take.
        """
        running: Running = deque()
        failed: list[Exception] = []
        try:
            for pixels in _until_failure(map(self._checked, batches), failed):
                if len(running) == WAITING * self.streams:
                    yield self._vectors(running)
                running.append((self._take(), pixels))
                running[-1][0].start_async({0: pixels}, share_inputs=True)
            while running:
                yield self._vectors(running)
        finally:
            self._finish(running)
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Let go of the network."""
        with self._lock:
            self._free.clear()
            self._compiled = None

    def _checked(self, pixels: Array) -> Array:
        """Return the pixels; raise InputError unless they are what the network takes, which OpenVINO might convert."""
        dtype, shape = str(getattr(pixels, "dtype", type(pixels).__name__)), tuple(getattr(pixels, "shape", ()))
        if dtype == "float32" and shape[1:] == self.shape:
            return pixels
        raise InputError(
            f"a batch of pixels is {dtype} of shape {list(shape)}",
            expected=f"an array of float32 of shape [batch, {', '.join(map(str, self.shape))}]",
            todo="hand over what the recipe makes of the images, at the size that this network was made for",
        )

    def _take(self) -> Any:
        """Return a request that nobody else uses; raise UsageError where the session is closed."""
        check_process()
        with self._lock:
            if self._compiled is None:
                raise closed("session")
            return self._free.pop() if self._free else self._compiled.create_infer_request()

    def _give(self, request: Any) -> None:
        """Take a request back that is done."""
        with self._lock:
            if self._compiled is not None:
                self._free.append(request)

    def _vectors(self, running: Running) -> Array:
        """Wait for the oldest batch, and return its vectors."""
        check_process()
        request, _ = running[0]
        request.wait()
        vectors: Array = request.get_output_tensor(self.places["pooled"]).data.copy()
        running.popleft()
        self._give(request)
        return vectors

    def _finish(self, running: Running) -> None:
        """Wait for all that is under way: whoever stopped asking may not take the memory from under it."""
        if _home() != os.getpid():
            return  # it is under way in another process
        for request, _ in running:
            with suppress(RuntimeError):  # of a batch whose vectors nobody waits for; the others are still under way
                request.wait()
            self._give(request)


def closed(what: str) -> UsageError:
    """Return the error for something that was closed."""
    return UsageError(f"this {what} is closed", expected="one that is open", todo="open another one, or close it later")


def _refused(dtype: str, core: Any, error: Exception) -> DeviceUnavailable:
    return DeviceUnavailable(
        f"OpenVINO does not compile the network in {dtype} on {core.get_property('CPU', 'FULL_DEVICE_NAME')}: "
        f"{said(error)}",
        expected="a dtype that OpenVINO computes in on this CPU, with no variable (ONEDNN_MAX_CPU_ISA) against it",
        todo="--dtype float32, or --runtime eager",
    )


def _until_failure(batches: Iterable[Array], failed: list[Exception]) -> Iterator[Array]:
    """Yield batches up to an error, which is put into ``failed``, to be raised when the time has come."""
    try:
        yield from batches
    except Exception as error:  # noqa: BLE001
        failed.append(error)


def _beside_8_bit(core: Any) -> str:
    """Return in what the rest of an 8-bit network runs; the network itself says what is 8 bits."""
    return "bfloat16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "float32"
