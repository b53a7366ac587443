"""A model in OpenVINO, behind the contract of runtimes: converted on first use of an input size, and kept.

B batch, D width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from snellen import cache
from snellen.cache import Held
from snellen.checkpoints.state import digest_of
from snellen.devices import Device
from snellen.encoders.build import Encoder
from snellen.encoders.features import Features, Tap
from snellen.errors import DeviceUnavailable, Unavailable
from snellen.model.model import Model
from snellen.records.plan import FREE, SHOWN, Layout
from snellen.runtimes import graph
from snellen.runtimes.base import Runner, check_tap
from snellen.runtimes.eager import placed
from snellen.runtimes.openvino import convert, quantise, store
from snellen.runtimes.openvino.quantise import Calibration
from snellen.runtimes.openvino.session import NETWORK, Session, check_able, openvino
from snellen.runtimes.openvino.store import Stored, Value

if TYPE_CHECKING:
    from snellen.runtimes.base import Array

DTYPES = ("float32", "bfloat16", "float16", "int8")
OPEN = 4  # input sizes kept open at once


class OpenVINO(Runner):
    """The encoder as a compiled network on the CPU."""

    runtime = "openvino"
    note = "a compiled network shows no stages while it runs"

    def __init__(
        self,
        model: Model,
        device: Device,
        dtype: str,
        layout: Layout = FREE,
        calibration: Calibration | str | None = None,
    ) -> None:
        """Prepare a runner; nothing is converted before the first pixels show their size.

        ``calibration`` is what an 8-bit network takes its ranges from: the package's photographs where none is given.
        By the digest of images, the network that was made with them is found, where it is still kept.
        """
        check(device, dtype)
        self.device, self.dtype, self.version = device, dtype, openvino().get_version()
        self.batch = layout.batch or store.suits(model.encoder.config.tokens(*model.recipe.size))
        self._layout, self._calibration = layout, calibration
        self._recipe = model.recipe
        self._encoder: Encoder | None = placed(model.encoder, device, "float32")
        self._open: OrderedDict[tuple[int, int], Stored] = OrderedDict()
        self.watched = self._encoder.stages

    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels [B, 3, h, w]; the first of a size are converted."""
        check_tap(self, tap)
        grid = self._grid(pixels)
        found = self._session((pixels.shape[2], pixels.shape[3])).run(pixels.numpy())
        return graph.features({name: torch.from_numpy(array) for name, array in found.items()}, grid)

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] into vectors [B, D], in order, several at a time."""
        for size, same in groupby(batches, key=self._size):
            yield from self._session(size).pooled(same)

    def look(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return every stage for pixels [B, 3, h, w], from a second network that has them among its outputs."""
        self._grid(pixels)
        stored = self._stored((pixels.shape[2], pixels.shape[3]), self.watched)
        try:
            found = stored.session.run(pixels.numpy())
        finally:
            stored.close()
        return {name: torch.from_numpy(found[graph.STAGE + name]) for name in self.watched}

    def network(self, size: tuple[int, int]) -> str:
        """Return the key under which the network for pixels of ``size`` is kept."""
        with self._network(size, ()) as held:
            return held.path.name

    def close(self) -> None:
        """Let go of the sessions and of the model's encoder."""
        while self._open:
            self._open.popitem()[1].close()
        self._encoder = None

    def _grid(self, pixels: Tensor) -> tuple[int, int]:
        """Return the grid of ``pixels``; raise InputError for a size that the encoder does not take."""
        assert self._encoder is not None  # not closed
        return self._encoder.grid(pixels)

    def _size(self, pixels: Array) -> tuple[int, int]:
        """Return the size of a batch; raise InputError for one that the encoder does not take."""
        self._grid(torch.from_numpy(pixels))
        return pixels.shape[2], pixels.shape[3]

    def _session(self, size: tuple[int, int]) -> Session:
        """Return the open session for a size; the one that was used longest ago makes room."""
        if size not in self._open:
            while len(self._open) >= OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[size] = self._stored(size, ())
        self._open.move_to_end(size)
        return self._open[size].session

    def _stored(self, size: tuple[int, int], stages: tuple[str, ...]) -> Stored:
        return Stored(self._network(size, stages), self.dtype, self._layout)

    def _network(self, size: tuple[int, int], stages: tuple[str, ...]) -> Held:
        """Return the kept network for a size, converting the encoder, and making it 8-bit, where it is not there."""
        encoder = self._encoder
        assert encoder is not None  # not closed
        facts: dict[str, Value] = {
            "weights": digest_of(iter(encoder.state_dict().items())),  # as they are now, not as they were loaded
            "encoder": repr(encoder.config),
            "size": size,
            "stages": stages,
            "torch": torch.__version__,
        }

        def write(folder: Path) -> None:
            convert.write(graph.exported(encoder, size, stages), folder)

        exact = store.key(facts)
        if self.dtype != "int8":
            return store.network(exact, write)
        return self._eight_bit(exact, write)

    def _eight_bit(self, exact: str, write: Callable[[Path], None]) -> Held:
        """Return the kept 8-bit form of the network called ``exact``; make it where its images are at hand.

        Raises Unavailable where nothing is kept, and only the digest of the images is known.
        """
        images = self._calibration or quantise.photographs(self._recipe)
        digest = images if isinstance(images, str) else images.digest
        name = store.key({"of": exact, "calibration": digest, "nncf": quantise.version()})
        if isinstance(images, str):
            held = cache.find(store.NETWORKS, name)
            if held is None:
                raise _gone(images)
            return held

        def write_8_bit(folder: Path) -> None:
            with store.network(exact, write) as held:
                quantise.write(held.path / NETWORK, images, folder)

        return store.network(name, write_8_bit)


def _gone(digest: str) -> Unavailable:
    return Unavailable(
        f"the 8-bit network that was calibrated on the images {digest[:SHOWN]} is not kept any more, "
        "and its calibration images are not here",
        expected="the network in the cache, or its images",
        todo="'snellen tune --images DIR --int8' makes it again; SNELLEN_CACHE_LIMIT says how much is kept",
    )


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
