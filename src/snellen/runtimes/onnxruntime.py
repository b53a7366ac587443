"""A model in ONNX Runtime, behind the contract of runtimes: one session for each input size, made on first use.

B batch, D width.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snellen.devices import Device, processor, resolve
from snellen.encoders.build import Encoder
from snellen.encoders.features import Features, Tap
from snellen.errors import DeviceUnavailable, Unavailable, UsageError
from snellen.model.model import Model
from snellen.records.plan import Layout
from snellen.runtimes import graph, onnx_file
from snellen.runtimes.base import BATCH, Runner, check_tap
from snellen.runtimes.eager import placed

if TYPE_CHECKING:
    from snellen.runtimes.base import Array

OPEN = 4  # input sizes kept open at once
WAITING = 2  # batches: one runs while the next is asked for
PRODUCTS = ("MatMul", "Gemm", "Conv", "LayerNormalization")
"""The kinds of node that must have been given to the device's own provider; it may leave sums of shapes to the CPU."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What ONNX Runtime calls a kind of device, what installs it, and how it is kept from a lower precision."""

    name: str
    memory: str  # what its memory is called
    install: str
    options: tuple[tuple[str, str], ...] = ()


PROVIDERS = {
    "cpu": Provider("CPUExecutionProvider", "cpu", onnx_file.INSTALL),
    # Both would otherwise multiply float32 in a lower class: TF32 on CUDA, float16 on CANN.
    "cuda": Provider("CUDAExecutionProvider", "cuda", "pip install onnxruntime-gpu", (("use_tf32", "0"),)),
    "npu": Provider(
        "CANNExecutionProvider", "cann", "pip install onnxruntime-cann", (("precision_mode", "must_keep_origin_dtype"),)
    ),
}

# What ONNX Runtime 1.31 does with a network of these dtypes on a CPU, read from the nodes it ran.
ON_CPU = {
    "float16": "it casts them to float32 and back around every product",
    "bfloat16": "its convolution takes none",
    "float64": "its convolution takes none",
}


class OnnxRuntime(Runner):
    """The encoder as an ONNX network, run by ONNX Runtime in float32."""

    runtime = "onnxruntime"
    note = "a session of ONNX Runtime shows no stages while it runs"

    def __init__(self, model: Model, device: Device, dtype: str, layout: Layout) -> None:
        """Prepare a runner; nothing is exported before the first pixels show their size."""
        self.version = onnx_file.package("onnxruntime").__version__
        check(device, dtype, layout)
        self.device, self.dtype = device, dtype
        self.batch = layout.batch or BATCH
        self._threads = layout.threads
        self._encoder: Encoder | None = placed(model.encoder, resolve("cpu"), "float32")
        self._open: OrderedDict[tuple[int, int], Session] = OrderedDict()
        self.watched = self._encoder.stages

    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels [B, 3, h, w]; the first of a size are exported."""
        check_tap(self, tap)
        grid = self._grid(pixels)
        return graph.features(self._session(pixels).run(pixels), grid)

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] into vectors [B, D], in order; the next is asked for while one is run."""
        with ThreadPoolExecutor(1) as worker:
            running: deque[Future[Array]] = deque()
            for pixels in batches:
                running.append(worker.submit(self._pooled, pixels))
                if len(running) == WAITING:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()

    def look(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return every stage for pixels [B, 3, h, w], from a second network that has them among its outputs."""
        self._grid(pixels)
        session = self._built(pixels, self.watched)
        found = session.run(pixels, [graph.STAGE + name for name in self.watched])
        return {name.removeprefix(graph.STAGE): x for name, x in found.items()}

    def close(self) -> None:
        """Let go of the sessions and of the model's encoder."""
        self._open.clear()
        self._encoder = None

    def _pooled(self, array: Array) -> Array:
        pixels = torch.from_numpy(array)
        self._grid(pixels)
        vectors: Array = self._session(pixels).run(pixels, ["pooled"])["pooled"].cpu().numpy()
        return vectors

    def _grid(self, pixels: Tensor) -> tuple[int, int]:
        """Return the grid of ``pixels``; raise InputError for a size that the encoder does not take."""
        assert self._encoder is not None  # not closed
        return self._encoder.grid(pixels)

    def _session(self, pixels: Tensor) -> Session:
        """Return the open session for the size of ``pixels``; the one that was used longest ago makes room."""
        size = (pixels.shape[2], pixels.shape[3])
        if size not in self._open:
            while len(self._open) >= OPEN:
                self._open.popitem(last=False)
            self._open[size] = self._built(pixels, ())
        self._open.move_to_end(size)
        return self._open[size]

    def _built(self, pixels: Tensor, stages: Sequence[str]) -> Session:
        """Export the encoder for the size of ``pixels`` and open it; the file is gone again when this returns."""
        assert self._encoder is not None  # not closed
        exported = graph.exported(self._encoder, (pixels.shape[2], pixels.shape[3]), stages)
        with tempfile.TemporaryDirectory(prefix="snellen-", ignore_cleanup_errors=True) as folder:
            path = onnx_file.write(exported, Path(folder) / "model.onnx")[0]
            return Session(path, self.device, self._threads)


class Session:
    """One ONNX file, open on a device."""

    def __init__(self, path: Path, device: Device, threads: int | None = None) -> None:
        """Open ``path``; raise DeviceUnavailable where ONNX Runtime gives the work to another device."""
        runtime = onnx_file.package("onnxruntime")
        self._device, self._provider = device, provider(device)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or processor.cores()
        options.log_severity_level = 3  # errors
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        chosen = dict(self._provider.options)
        if device.kind != "cpu":
            chosen["device_id"] = str(device.index)
        self._session: Any = runtime.InferenceSession(str(path), options, providers=[(self._provider.name, chosen)])
        self._run_options = runtime.RunOptions()
        self._run_options.only_execute_path_to_fetches = True
        self.shapes = {output.name: tuple(output.shape[1:]) for output in self._session.get_outputs()}
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        check_placed(self._session, self._provider.name, device)

    @torch.inference_mode()
    def run(self, pixels: Tensor, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return outputs for pixels [B, 3, h, w] on the device, each [B, ...]: those in ``names``, or all."""
        # Memory is torch's own, so that nothing is copied, and what lies on a device stays there.
        there = pixels.to(self._device.torch_name, torch.float32).contiguous()
        outputs = {
            name: torch.empty((len(pixels), *self.shapes[name]), device=there.device) for name in names or self.shapes
        }
        self._device.synchronize()  # ONNX Runtime has a stream of its own
        binding = self._session.io_binding()
        place = (self._provider.memory, self._device.index, "float32")
        binding.bind_input(onnx_file.PIXELS, *place, tuple(there.shape), there.data_ptr())
        for name, x in outputs.items():
            binding.bind_output(name, *place, tuple(x.shape), x.data_ptr())
        self._session.run_with_iobinding(binding, self._run_options)
        binding.synchronize_outputs()
        return outputs


def check(device: Device, dtype: str, layout: Layout) -> None:
    """Raise unless ONNX Runtime is used here on ``device`` in ``dtype`` with ``layout``."""
    name = provider(device).name
    if dtype != "float32":
        why = ON_CPU.get(dtype, "") if device.kind == "cpu" else "nobody has tried it here"
        raise DeviceUnavailable(
            f"{dtype} was asked for, which ONNX Runtime is not used in with {name}" + (f": {why}" if why else ""),
            expected="float32",
            todo="--dtype float32, or --runtime eager",
        )
    if layout.streams not in (None, 1):
        raise UsageError(
            f"{layout.streams} streams were asked for, and ONNX Runtime runs one batch at a time",
            expected="1 stream",
            todo="--runtime openvino on a CPU",
        )


def provider(device: Device) -> Provider:
    """Return the provider for a device; raise Unavailable where the installed ONNX Runtime has none."""
    runtime: ModuleType = onnx_file.package("onnxruntime")
    there = runtime.get_available_providers()
    found = PROVIDERS.get(device.kind)
    if found is None or found.name not in there:
        raise Unavailable(
            f"ONNX Runtime {runtime.__version__} as installed does not run on {device.name}; it has {', '.join(there)}",
            expected=found.name if found else f"a device of {', '.join(PROVIDERS)}",
            todo=f"{found.install} in the place of onnxruntime" if found else "--runtime eager",
        )
    return found


def check_placed(session: Any, wanted: str, device: Device) -> None:
    """Raise DeviceUnavailable unless the products were given to the provider that was asked for."""
    has = session.get_providers()
    strays: list[str] = []
    if hasattr(session, "get_provider_graph_assignment_info"):  # since ONNX Runtime 1.24
        parts = session.get_provider_graph_assignment_info()
        strays = [node.op_type for part in parts if part.ep_name != wanted for node in part.get_nodes()]
    strays = [kind for kind in strays if kind in PRODUCTS]
    if has[0] == wanted and not strays:
        return
    kinds = ", ".join(sorted(set(strays)))
    raise DeviceUnavailable(
        f"{device.name} was asked for, and ONNX Runtime gave "
        + (f"{len(strays)} nodes ({kinds}) to another provider" if strays else f"the work to {has[0]}"),
        expected=f"all of it on {wanted}",
        todo="look at what the provider needs (drivers, versions), or take --runtime eager",
    )
