"""Networks and what OpenVINO compiled of them, kept between runs, so that only the first run of an encoder converts it.

A network is found by the weights' own digest, the encoder's configuration, the input size, and the versions that wrote
it; what was compiled of it also by the CPU and the dtype. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from snellen import cache
from snellen._version import __version__
from snellen.cache import Held
from snellen.cache.entries import MANIFEST
from snellen.records.plan import Layout
from snellen.runtimes.openvino.files import NETWORK, Unreadable
from snellen.runtimes.openvino.session import Session, describe
from snellen.runtimes.versions import numbers, version

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.encoders.config import EncoderConfig

    Array = NDArray[float32]

FORM = 2
"""Counts changes in how networks are written."""

NETWORKS, COMPILED = "networks", "compiled"
"""The kinds of entry."""

UNFIT = "unfit.txt"
"""Stands in an entry in the place of what was compiled, where OpenVINO does not read it again as it was."""

ACTIVATIONS = 640 * 384
"""Tokens times width in a batch that suits a stream: enough to fill a core's matrix units, few for its caches."""

MOST = 64
"""Images in a batch that nobody asked for: of a tiny encoder there would be thousands, all decoded before one runs."""

ONE = Layout(streams=1)

Value = str | int | tuple[int, ...] | tuple[str, ...]


def key(facts: Mapping[str, Value]) -> str:
    """Return the key of a network: a digest of all that it depends on."""
    whole = {**facts, "form": FORM, "snellen": __version__, "code": numbers(), "openvino": version("openvino")}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def network(name: str, write: Callable[[Path], None]) -> Held:
    """Return the folder of the network called ``name``, written by ``write`` unless it is there."""
    return cache.find(NETWORKS, name) or cache.make(NETWORKS, name, write)


def drop(held: Held) -> None:
    """Let go of an entry, and have it count as damaged: whoever looks for it next makes it again."""
    held.close()
    with suppress(OSError):  # in a cache that may only be read it stays
        (held.path / MANIFEST).unlink()


class Stored:
    """A session whose network and compiled form are kept, and not evicted while it is open.

    ``note`` says why OpenVINO compiles the network anew each time; it is empty where it does not. ``reused``: whether
    what it compiled was kept before.
    """

    def __init__(self, network: Held, dtype: str, layout: Layout) -> None:
        """Open ``network``, compiling it where nobody did so before; ``close`` closes it, too.

        Raises what ``Session`` raises; a network that is Unreadable is dropped, and can be written again.
        """
        self.note, self.reused = "", False
        self._held = [network]
        try:
            self.session = self._opened(network.path / NETWORK, dtype, layout)
        except BaseException as error:
            for held in self._held:
                held.close()
            if isinstance(error, Unreadable):
                drop(network)
            raise

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] into vectors [B, D], in order, several at a time."""
        yield from self.session.pooled(batches)  # holding on to the files meanwhile

    def close(self) -> None:
        """Let go of the session and of the files."""
        self.session.close()
        for held in self._held:
            held.close()

    def _opened(self, path: Path, dtype: str, layout: Layout) -> Session:
        written = str(path.stat().st_mtime_ns)  # OpenVINO knows its file by path and time
        name = key({"network": str(path), "written": written, "dtype": dtype, **describe()})
        try:
            known = cache.find(COMPILED, name)
            compiled = known or cache.make(COMPILED, name, lambda into: _compile(path, dtype, into))
        except _NothingLeft as nothing:
            self.note = f"the network is compiled anew this time: {nothing}"
            return Session(path, dtype, layout)
        self._held.append(compiled)
        unfit = compiled.path / UNFIT
        if unfit.exists():
            self.note = f"the network is compiled anew each time: {unfit.read_text(encoding='utf-8').strip()}"
            return Session(path, dtype, layout)
        session = Session(path, dtype, layout, compiled.path)
        self.reused = known is not None and session.reused
        if not session.reused:
            self.note = "the network was compiled anew: OpenVINO did not read what it had compiled of it"
        return session


class _NothingLeft(Exception):
    """OpenVINO left no files of what it compiled that it reads again, perhaps for once only."""


def suits(activations: int) -> int:
    """Return the batch that suits a stream, for images of so many numbers between two layers."""
    return min(max(1, ACTIVATIONS // activations), MOST)


def activations(config: EncoderConfig, size: tuple[int, int]) -> int:
    """Return how many numbers an image of ``size`` (height, width) is between two layers: tokens times width."""
    return config.tokens(*size) * config.width


def _compile(path: Path, dtype: str, into: Path) -> None:
    """Compile a network for the sake of the files that OpenVINO leaves, and keep them only if they give its numbers.

    A version of OpenVINO lost a token between compiling a network and reading what it had compiled. Raises _NothingLeft
    where there is nothing to read again, of which OpenVINO does not say why: the disk may be full.
    """
    import numpy

    Session(path, dtype, ONE, into).close()
    if not any(into.iterdir()):
        raise _NothingLeft("OpenVINO left no file of what it compiled, as where there is no room for one")
    fresh = Session(path, dtype, ONE)
    pixels = fresh.noise()
    expected = fresh.run(pixels)
    fresh.close()
    again = Session(path, dtype, ONE, into)
    reused, found = again.reused, again.run(pixels)
    again.close()
    if not reused:
        raise _NothingLeft("OpenVINO does not read what it compiled")
    if all(numpy.array_equal(found[name], array) for name, array in expected.items()):
        return
    for blob in list(into.iterdir()):
        blob.unlink()
    (into / UNFIT).write_text("OpenVINO reads other numbers from what it compiled\n", encoding="utf-8")
