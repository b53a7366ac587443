"""A model in OpenVINO, behind the contract of runtimes: converted on first use of an input size, and kept.

B batch, D width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from snellen import cache
from snellen.cache import Held
from snellen.checkpoints.state import digest_of
from snellen.devices import Device
from snellen.encoders.build import Encoder
from snellen.encoders.features import Features, Tap
from snellen.errors import InputError, SnellenError, Unavailable
from snellen.model.model import Model
from snellen.records.plan import FREE, SHOWN, Layout
from snellen.runtimes import graph
from snellen.runtimes.base import Runner, check_tap
from snellen.runtimes.eager import placed
from snellen.runtimes.openvino import convert, quantise, store
from snellen.runtimes.openvino.files import NETWORK, Unreadable
from snellen.runtimes.openvino.quantise import Calibration
from snellen.runtimes.openvino.session import check, check_process, closed, openvino
from snellen.runtimes.openvino.store import Stored, Value

if TYPE_CHECKING:
    from snellen.runtimes.base import Array

OPEN = 4  # input sizes kept open at once

Made = TypeVar("Made")


class OpenVINO(Runner):
    """The encoder as a compiled network on the CPU; any number of callers and threads use it at once.

    The parameters are constants of its networks, as they are when the first is made or found: whoever changes them
    afterwards has to make a new runner.
    """

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
        self.batch = layout.batch or store.suits(store.activations(model.encoder.config, model.recipe.size))
        self._layout, self._calibration = layout, calibration
        self._recipe = model.recipe
        self._encoder: Encoder | None = placed(model.encoder, device, "float32")
        self._weights: str | None = None  # the digest of the parameters that are in all of its networks
        self._lock = RLock()
        self._open: OrderedDict[tuple[int, int], Stored] = OrderedDict()
        self.watched = self._encoder.stages

    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels [B, 3, h, w]; the first of a size are converted."""
        check_tap(self, tap)
        grid = self._grid(pixels)
        found = self._at((pixels.shape[2], pixels.shape[3])).session.run(_array(pixels))
        return graph.features({name: torch.from_numpy(array) for name, array in found.items()}, grid)

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] into vectors [B, D], in order, several at a time.

        An error in a batch, or in ``batches``, is raised after the vectors of every batch before it.
        """
        for size, same in groupby(batches, key=self._size):
            yield from self._at(size).vectors(same)

    def look(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return every stage for pixels [B, 3, h, w], from a second network that has them among its outputs."""
        self._grid(pixels)
        stored = self._stored((pixels.shape[2], pixels.shape[3]), self.watched)
        try:
            found = stored.session.run(_array(pixels))
        finally:
            stored.close()
        return {name: torch.from_numpy(found[graph.STAGE + name]) for name in self.watched}

    def network(self, size: tuple[int, int]) -> str:
        """Return the key under which the network for pixels of ``size`` is kept."""
        with self._network(size, ()) as held:
            return held.path.name

    def close(self) -> None:
        """Let go of the sessions and of the model's encoder."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()
            self._encoder = None

    def _own(self) -> Encoder:
        """Return the encoder; raise UsageError where the runner is closed."""
        if self._encoder is None:
            raise closed("runner")
        return self._encoder

    def _grid(self, pixels: Tensor) -> tuple[int, int]:
        """Return the grid of ``pixels``; raise InputError for a size that the encoder does not take."""
        return self._own().grid(pixels)

    def _size(self, pixels: Array) -> tuple[int, int]:
        """Return the size of a batch; raise InputError for one that the encoder does not take."""
        self._grid(torch.empty(pixels.shape, device="meta"))
        return pixels.shape[2], pixels.shape[3]

    def _at(self, size: tuple[int, int]) -> Stored:
        """Return what is open for a size; what was used longest ago makes room, and closes when nobody uses it."""
        check_process()
        with self._lock:
            if size not in self._open:
                opened = self._stored(size, ())
                self.reused = opened.reused
                while len(self._open) >= OPEN:
                    self._open.popitem(last=False)
                self._open[size] = opened
            self._open.move_to_end(size)
            return self._open[size]

    def _stored(self, size: tuple[int, int], stages: tuple[str, ...]) -> Stored:
        """Open a network for a size; the dtype's compiled form is made where it is not there."""
        return _twice(lambda: Stored(self._network(size, stages), self.dtype, self._layout))

    def _network(self, size: tuple[int, int], stages: tuple[str, ...]) -> Held:
        """Return the kept network for a size, converting the encoder, and making it 8-bit, where it is not there."""
        with self._lock:  # torch exports one at a time
            encoder = self._own()
            known = self._weights
            self._weights = known or digest_of(iter(encoder.state_dict().items()))  # not as they were loaded
            facts: dict[str, Value] = {
                "weights": self._weights,
                "encoder": repr(encoder.config),
                "size": size,
                "stages": stages,
                "torch": torch.__version__,
            }

            def write(folder: Path) -> None:
                if known and digest_of(iter(encoder.state_dict().items())) != known:
                    raise _changed()
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
            _twice(lambda: quantise_into(folder))

        def quantise_into(folder: Path) -> None:
            with store.network(exact, write) as held:
                try:
                    quantise.write(held.path / NETWORK, images, folder)
                except Unreadable:
                    store.drop(held)
                    raise

        return store.network(name, write_8_bit)


def _twice(attempt: Callable[[], Made]) -> Made:
    """Return what comes of an attempt; where it drops a network that is Unreadable, of a second one."""
    try:
        return attempt()
    except Unreadable:
        return attempt()


def _array(pixels: Tensor) -> Array:
    """Return pixels of any floating dtype as an array of float32; raise InputError for another dtype."""
    if not pixels.is_floating_point():
        raise InputError(
            f"pixels are {str(pixels.dtype).removeprefix('torch.')}",
            expected="floating-point numbers, as the recipe makes them",
            todo="hand over what recipe.pixels returns",
        )
    array: Array = pixels.detach().to("cpu", torch.float32).numpy()
    return array


def _changed() -> SnellenError:
    return SnellenError(
        "the encoder's parameters were changed after this runner made its first network",
        expected="the same parameters in all networks of a runner",
        todo="make a new runner, which takes them as they are now",
    )


def _gone(digest: str) -> Unavailable:
    return Unavailable(
        f"the 8-bit network that was calibrated on the images {digest[:SHOWN]} is not kept any more, "
        "and its calibration images are not here",
        expected="the network in the cache, or its images",
        todo="'snellen tune --images DIR --int8' makes it again; SNELLEN_CACHE_LIMIT says how much is kept",
    )
