"""The peers, and snellen, as things that turn batches of pixels into vectors; runs in a worker.

Every one has the same weights, drawn from seed 0, under the name that its own library has for the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import snellen
from peers.cases import CLOSE, WEIGHTS
from peers.operators import declare
from snellen import devices, runtimes, zoo
from snellen.encoders.cost import operations
from snellen.images import decode
from snellen.records.plan import Layout
from snellen.timing import memory, rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from snellen.model.model import Model

    Array = NDArray[np.float32]

PHOTOS = Path(snellen.__file__).parent / "photos"
CPU = devices.resolve("cpu")


class Peer:
    """One case, built."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.side, self.threads, self.dtype, self.peer = spec["side"], spec["threads"], spec["dtype"], spec["peer"]
        self.batches: list[int] = spec["batches"]
        model = snellen.load(named(spec["name"], self.peer), weights=WEIGHTS)
        config, recipe = model.encoder.config, model.recipe
        self.about = {
            "operations": operations(config, self.side, self.side),
            "weights_bytes": sum(p.numel() * p.element_size() for p in model.encoder.parameters()),
            "recipe": recipe.text,
        }
        self.recipe = recipe
        self.runner: Any = BUILD[self.peer](model, self)

    def describe(self) -> dict[str, Any]:
        """Return what was built."""
        return {**self.about, "version": self.runner.version, "peak_bytes": memory.peak_bytes()}

    def scout(self, seconds: float) -> dict[str, Any]:
        """Measure every batch shortly; keep the best, and those close to it."""
        found = {batch: rates.stream(self.of(batch), self.pixels(batch), seconds) for batch in self.batches}
        best = max(stream.images_per_s for stream in found.values())
        kept = [batch for batch, stream in found.items() if stream.images_per_s >= (1 - CLOSE) * best]
        return {"scout": {str(batch): asdict(stream) for batch, stream in found.items()}, "kept": kept}

    def measure(self, batch: int, seconds: float) -> dict[str, Any]:
        """Measure one batch size."""
        return rates.measure(self.of(batch), self.pixels(batch), seconds).to_dict()

    def embed(self) -> dict[str, Any]:
        """Return the vectors of the package's photographs, each whole and in two halves."""
        batches = [self.recipe.pixels(decode(part)).numpy()[None] for part in parts()]
        rows = np.concatenate(list(self.of(self.batches[0]).vectors(batches)))
        return {"vectors": rows.astype(float).round(7).tolist()}

    def of(self, batch: int) -> Any:
        """Return what runs batches of this size."""
        return self.runner.of(batch) if isinstance(self.runner, Own) else self.runner

    def pixels(self, batch: int) -> list[Array]:
        """Draw two batches."""
        drawn = np.random.default_rng(0)
        return [drawn.standard_normal((batch, 3, self.side, self.side), dtype=np.float32) for _ in range(2)]


class Torch:
    """A module that is called batch by batch."""

    device = CPU

    def __init__(self, module: nn.Module, dtype: str, version: str) -> None:
        self.module, self.dtype, self.version = module, getattr(torch, dtype), version

    @torch.inference_mode()
    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches one after another."""
        for pixels in batches:
            yield self.module(torch.from_numpy(pixels).to(self.dtype)).float().numpy()


class Frozen(Torch):
    """The same compiled; freezing wants gradients off and no inference mode."""

    @torch.no_grad()
    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches one after another."""
        for pixels in batches:
            yield self.module(torch.from_numpy(pixels).to(self.dtype)).float().numpy()


class Onnx:
    """A session of ONNX Runtime."""

    device = CPU

    def __init__(self, session: Any, version: str) -> None:
        self.session, self.version = session, version

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches one after another."""
        for pixels in batches:
            yield self.session.run(None, {"pixels": pixels})[0]


class Own:
    """snellen on its default runtime of a CPU, laid out for one batch size at a time."""

    def __init__(self, model: Model, dtype: str, streams: int) -> None:
        self.model, self.dtype, self.streams = model, dtype, streams
        self.runner, self.batch = self._made(1), 1
        self.version = f"{snellen.__version__}, openvino {self.runner.version}"

    def of(self, batch: int) -> Any:
        """Return a runner laid out for ``batch``; the one before is closed."""
        if batch != self.batch:
            self.runner.close()
            self.runner, self.batch = self._made(batch), batch
        return self.runner

    def _made(self, batch: int) -> Any:
        return runtimes.make("openvino", self.model, CPU, self.dtype, Layout(streams=self.streams, batch=batch))


class Timm(nn.Module):
    """timm's network up to its pooled vector, without a classifier."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module: Any = module

    def forward(self, pixels: Tensor) -> Tensor:
        """Return vectors [B, D] of pixels [B, 3, h, w]."""
        return self.module.forward_head(self.module.forward_features(pixels), pre_logits=True)


class Transformers(nn.Module):
    """transformers' network up to its pooled vector, or to its first token where it pools nothing."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module: Any = getattr(module, "vit", module)  # the trunk, where a classifier was drawn with it

    def forward(self, pixels: Tensor) -> Tensor:
        """Return vectors [B, D] of pixels [B, 3, h, w]."""
        found = self.module(pixel_values=pixels)
        pooled = found.get("pooler_output")
        return found.last_hidden_state[:, 0] if pooled is None else pooled


def named(name: str, peer: str) -> str:
    """Return the name that the peer's library has for an encoder."""
    if peer == "snellen":
        return name
    found = zoo.find(name).variant.name_in("transformers" if peer == "transformers" else "timm")
    if found is None:
        raise LookupError(f"{peer} has no name for {name}")
    return found


def parts() -> Iterator[Any]:
    """Yield the photographs, whole, and their left and right halves."""
    from PIL import Image

    for path in sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".png")):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((1024, 1024))
        half = math.ceil(image.width / 2)
        yield image
        yield image.crop((0, 0, half, image.height))
        yield image.crop((image.width - half, 0, image.width, image.height))


def _timm(model: Model, peer: Peer) -> Torch:
    declare()
    guest: Any = runtimes.make("timm", model, CPU, peer.dtype)
    return Torch(Timm(guest.module), peer.dtype, guest.version)


def _transformers(model: Model, peer: Peer) -> Torch:
    declare()
    guest: Any = runtimes.make("transformers", model, CPU, peer.dtype)
    return Torch(Transformers(guest.module), peer.dtype, guest.version)


def _compiled(model: Model, peer: Peer) -> Torch:
    import torch._inductor.config as settings

    settings.freezing = True
    module: Any = torch.compile(_timm(model, peer).module, dynamic=False)
    return Frozen(module, peer.dtype, f"torch {torch.__version__}")


def _onnx(model: Model, peer: Peer) -> Onnx:
    import onnxruntime

    module = _timm(model, peer).module
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = peer.threads
    with TemporaryDirectory() as folder:
        path = Path(folder) / "timm.onnx"
        torch.onnx.export(
            module,
            (torch.zeros(2, 3, peer.side, peer.side),),
            path,
            input_names=["pixels"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            dynamo=True,
            external_data=True,
            verbose=False,
        )
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Onnx(session, onnxruntime.__version__)


BUILD = {
    "timm": _timm,
    "transformers": _transformers,
    "torch.compile": _compiled,
    "ONNX Runtime": _onnx,
    "snellen": lambda model, peer: Own(model, peer.dtype, peer.threads),
}
