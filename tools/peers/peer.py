"""The peers, and snellen, as things that turn batches of pixels into vectors; runs in a worker.

Every one has the same weights, those drawn from seed 0 for timm's name of an encoder, so that all compute the same
network. transformers builds it under its own name, and its tokens are pooled as timm pools.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import snellen
from peers.cases import BATCHES, CLOSE, KEPT, SCOUTING_S, TURN_S, WEIGHTS
from peers.operators import declare
from snellen import devices, runtimes, zoo
from snellen.encoders.config import ViTConfig
from snellen.encoders.cost import operations
from snellen.model.loading import seeded_config
from snellen.records.plan import Layout
from snellen.runtimes.openvino.quantise import PHOTOS, UNSEEN
from snellen.timing import memory, rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from snellen.model.model import Model

    Array = NDArray[np.float32]

CPU = devices.resolve("cpu")


class Peer:
    """One case, built."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.side, self.threads, self.dtype, self.peer = spec["side"], spec["threads"], spec["dtype"], spec["peer"]
        self.name: str = spec["name"]
        model = snellen.load(named(self.name, self.peer), weights=WEIGHTS)
        config, recipe = model.encoder.config, model.recipe
        self.about = {
            "operations": operations(config, self.side, self.side),
            "weights_bytes": sum(p.numel() * p.element_size() for p in model.encoder.parameters()),
            "recipe": recipe.text,
            "called": named(self.name, self.peer),
        }
        self.colours = tuple(np.array(values, np.float32)[:, None, None] for values in (recipe.mean, recipe.std))
        self.runner: Any = BUILD[self.peer](model, self)

    def describe(self) -> dict[str, Any]:
        """Return what was built."""
        return {**self.about, "version": self.runner.version, "peak_bytes": memory.peak_bytes()}

    def scout(self, seconds: float) -> dict[str, Any]:
        """Measure every batch shortly; keep the best, and those close to it."""
        begin = time.monotonic()
        found: dict[int, Any] = {}
        left: dict[str, str] = {}
        for batch in BATCHES:
            if found and time.monotonic() - begin > SCOUTING_S:
                left[str(batch)] = "no time was left"
            elif found and _expected_s(batch, list(found.values())) > TURN_S:
                left[str(batch)] = "one measurement would take too long"
            else:
                list(self.of(batch).vectors(self.pixels(batch)[:1]))  # compiles, and wakes the threads
                found[batch] = rates.stream(self.of(batch), self.pixels(batch), seconds)
        ordered = sorted(found, key=lambda batch: -found[batch].images_per_s)
        least = (1 - CLOSE) * found[ordered[0]].images_per_s
        kept = [batch for batch in ordered[:KEPT] if found[batch].images_per_s >= least]
        return {"scout": {str(batch): asdict(found[batch]) for batch in sorted(found)}, "kept": kept, "left": left}

    def measure(self, batch: int, seconds: float) -> dict[str, Any]:
        """Measure one batch size; ``seconds`` are with its warm-up, which takes a third of them at most."""
        return asdict(rates.stream(self.of(batch), self.pixels(batch), seconds / 1.5))

    def embed(self, batch: int, *, parts: bool) -> dict[str, Any]:
        """Return the vectors of photographs that 8 bits were not calibrated on, as what is measured gives them."""
        mean, std = self.colours
        rows = []
        for image in pictures(parts=parts):
            small = np.asarray(image.resize((self.side, self.side)), np.float32)  # the same pixels for every case
            rows.append((small.transpose(2, 0, 1) / 255 - mean) / std)
        whole = np.stack(rows + rows[:1] * (-len(rows) % batch))  # full batches: nothing is compiled for another one
        batches = [np.ascontiguousarray(whole[i : i + batch]) for i in range(0, len(whole), batch)]
        found = np.concatenate(list(self.of(batch).vectors(batches)))[: len(rows)]
        return {"vectors": [[float(f"{value:.9g}") for value in row] for row in found]}

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
    """transformers' network up to its tokens, pooled as timm pools: the mean from ``first`` on, or the class token."""

    def __init__(self, module: nn.Module, first: int | None) -> None:
        super().__init__()
        self.module: Any = getattr(module, "vit", module)  # the trunk, where a classifier was drawn with it
        self.first = first

    def forward(self, pixels: Tensor) -> Tensor:
        """Return vectors [B, D] of pixels [B, 3, h, w]."""
        tokens = self.module(pixel_values=pixels).last_hidden_state
        return tokens[:, 0] if self.first is None else tokens[:, self.first :].mean(1)


def _expected_s(batch: int, found: list[Any]) -> float:
    """Return how long a measurement of a batch size takes at least, at the best rate so far of any few batches."""
    under_way = max(stream.under_way for stream in found)
    turns = 4 if under_way == 1 else 3 * under_way  # warm-up, what is counted, what is under way at the end
    image_s = []
    for stream in found:
        times, few = [0.0, *stream.samples], min(under_way, len(stream.samples))
        image_s += [(times[i + few] - times[i]) / few / stream.batch for i in range(len(times) - few)]
    return float(turns * batch * min(image_s))


def named(name: str, peer: str) -> str:
    """Return the name of what a peer builds for an encoder: transformers its own, all others timm's."""
    found = zoo.find(name).variant.name_in("transformers" if peer == "transformers" else "timm")
    if found is None:
        raise LookupError(f"{peer} has no name for {name}")
    return found


def pictures(*, parts: bool) -> Iterator[Any]:
    """Yield the photographs whole and, if asked for, in quarters."""
    from PIL import Image

    for name in UNSEEN:
        with Image.open(PHOTOS / name) as opened:
            image = opened.convert("RGB")
        yield image
        x, y = math.ceil(image.width / 2), math.ceil(image.height / 2)
        corners = ((0, 0, x, y), (x, 0, image.width, y), (0, y, x, image.height), (x, y, image.width, image.height))
        yield from (image.crop(corner) for corner in corners if parts)


def _timm(model: Model, peer: Peer) -> Torch:
    declare()
    guest: Any = runtimes.make("timm", model, CPU, peer.dtype)
    return Torch(Timm(guest.module), peer.dtype, guest.version)


def _transformers(model: Model, peer: Peer) -> Torch:
    declare()
    drawn = snellen.load(named(peer.name, "timm"), weights=WEIGHTS).encoder.state_dict()  # biases differ by the name
    model.encoder.load_state_dict({name: drawn.get(name, own) for name, own in model.encoder.state_dict().items()})
    del drawn
    guest: Any = runtimes.make("transformers", model, CPU, peer.dtype)
    config = seeded_config(zoo.find(named(peer.name, "timm")))
    first = config.prefix if isinstance(config, ViTConfig) and config.pool == "patch_mean" else None
    return Torch(Transformers(guest.module, first), peer.dtype, guest.version)


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
