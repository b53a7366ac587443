"""A compiled network: arrays in, arrays out. Imports no torch, so that a second process starts at once.

B batch, D width.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.devices import processor
from snellen.errors import DeviceUnavailable, MissingPackage
from snellen.records.plan import Layout

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]

NETWORK = "network.xml"
"""The network's file; its weights lie beside it, under the same name ending in .bin."""

OUTPUTS = "outputs.json"
"""Where each output of a network lies: two outputs may be one tensor, and OpenVINO adds names of its own."""

HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""What OpenVINO is asked to compute in."""

NUMBERS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
"""The dtypes OpenVINO says it ran."""

PRODUCTS = ("FullyConnected", "MatMul", "Convolution")
"""The kinds of node that do the work, by whose precision a network is said to run."""

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


@dataclass(frozen=True, slots=True)
class Executed:
    """What was compiled: how many products run in which dtype."""

    products: Mapping[str, int]

    def check(self, dtype: str, cpu: str) -> None:
        """Raise DeviceUnavailable unless the products run in ``dtype``; 8-bit networks keep some in float32."""
        wrong = [name for name in self.products if name != dtype]
        if dtype in self.products and (not wrong or dtype == "int8"):
            return
        ran = ", ".join(f"{count} in {name}" for name, count in self.products.items()) or "none"
        raise DeviceUnavailable(
            f"{dtype} was asked for, and OpenVINO would run its matrix products otherwise on {cpu}: {ran}",
            expected=f"all of them in {dtype}",
            todo="--dtype float32, which every CPU computes in",
        )


class Session:
    """One network, compiled for a dtype and a layout."""

    def __init__(self, network: Path, dtype: str, layout: Layout, blobs: Path | None = None) -> None:
        """Compile ``network``, or read what was compiled of it before from the folder ``blobs``.

        Raises DeviceUnavailable where OpenVINO runs another dtype than the one asked for.
        """
        package = openvino()
        core = package.Core()
        self.streams = layout.streams or processor.cores()
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS.get(dtype) or _beside_8_bit(core),
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": layout.threads or processor.cores(),
        }
        if blobs is not None:
            config |= {"CACHE_DIR": str(blobs), "CACHE_MODE": "OPTIMIZE_SIZE"}  # no second copy of the weights on disk
        self._compiled: Any = core.compile_model(str(network), "CPU", config)
        self.places: dict[str, int] = json.loads((network.parent / OUTPUTS).read_text(encoding="utf-8"))
        self.executed = executed(self._compiled)
        self.executed.check(dtype, str(core.get_property("CPU", "FULL_DEVICE_NAME")))
        self._requests = [self._compiled.create_infer_request() for _ in range(WAITING * self.streams)]

    @property
    def reused(self) -> bool:
        """Whether OpenVINO read what it compiled before."""
        return bool(self._compiled.get_property("LOADED_FROM_CACHE"))

    def noise(self) -> Array:
        """Return pixels of the network's size, [1, 3, h, w], as a recipe's might be, the same each time."""
        import numpy

        size = [length.get_length() for length in list(self._compiled.input(0).get_partial_shape())[1:]]
        return numpy.random.default_rng(0).standard_normal((1, *size), dtype=numpy.float32)

    def run(self, pixels: Array) -> dict[str, Array]:
        """Return every output for pixels [B, 3, h, w], each [B, ...]."""
        request = self._requests[0]
        request.infer({0: pixels}, share_inputs=True)
        return {name: request.get_output_tensor(place).data.copy() for name, place in self.places.items()}

    def pooled(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Return the pooled vectors [B, D] of every batch [B, 3, h, w], in order, with several batches under way."""
        place = self.places["pooled"]
        free = deque(self._requests)
        running: deque[tuple[Any, Array]] = deque()  # with its input, which must stay until it is done
        try:
            for pixels in batches:
                if not free:
                    yield self._taken(running, free, place)
                request = free.popleft()
                request.start_async({0: pixels}, share_inputs=True)
                running.append((request, pixels))
            while running:
                yield self._taken(running, free, place)
        finally:
            for request, _ in running:  # whoever stopped asking may not take the memory from under it
                request.wait()

    def close(self) -> None:
        """Let go of the network."""
        self._requests.clear()
        self._compiled = None

    @staticmethod
    def _taken(running: deque[tuple[Any, Array]], free: deque[Any], place: int) -> Array:
        """Wait for the oldest batch, and return its vectors."""
        request, _ = running[0]
        request.wait()
        vectors: Array = request.get_output_tensor(place).data.copy()
        running.popleft()
        free.append(request)
        return vectors


def _beside_8_bit(core: Any) -> str:
    """Return in what the rest of an 8-bit network runs; the network itself says what is 8 bits."""
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def executed(compiled: Any) -> Executed:
    """Read back from a compiled network in which dtype it runs its products."""
    products: dict[str, int] = {}
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) in PRODUCTS:
            ran = info["runtimePrecision"].astype(str)
            name = NUMBERS.get(ran, ran)
            products[name] = products.get(name, 0) + 1
    return Executed(products)
