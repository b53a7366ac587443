"""Networks and what OpenVINO compiled of them, kept between runs, so that only the first run of an encoder converts it.

A network is found by the weights' own digest, the encoder's configuration, the input size, and the versions that wrote
it; what was compiled of it also by the CPU and the dtype. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from snellen import cache
from snellen._version import __version__
from snellen.cache import Held
from snellen.records.plan import Layout
from snellen.runtimes.openvino.session import NETWORK, Session, describe

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]

FORM = 2
"""Counts changes in how networks are written."""

NETWORKS, COMPILED = "networks", "compiled"
"""The kinds of entry."""

UNFIT = "unfit.txt"
"""Stands in an entry in the place of what was compiled, where OpenVINO does not read it again as it was."""

TOKENS = 640
"""Tokens in a batch that suits a stream: enough to fill a core's matrix units, few enough for its caches."""

ONE = Layout(streams=1)

Value = str | int | tuple[int, ...] | tuple[str, ...]


def key(facts: Mapping[str, Value]) -> str:
    """Return the key of a network: a digest of all that it depends on."""
    whole = {**facts, "form": FORM, "snellen": __version__, "openvino": metadata.version("openvino")}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def network(name: str, write: Callable[[Path], None]) -> Held:
    """Return the folder of the network called ``name``, written by ``write`` unless it is there."""
    return cache.find(NETWORKS, name) or cache.make(NETWORKS, name, write)


class Stored:
    """A session whose network and compiled form are kept, and not evicted while it is open."""

    def __init__(self, network: Held, dtype: str, layout: Layout) -> None:
        """Open ``network``, compiling it where nobody did so before; ``close`` closes it, too."""
        path = network.path / NETWORK
        self._held = [network]
        written = str(path.stat().st_mtime_ns)  # OpenVINO knows its file by path and time
        name = key({"network": str(path), "written": written, "dtype": dtype, **describe()})
        compiled = cache.find(COMPILED, name) or cache.make(COMPILED, name, lambda into: _compile(path, dtype, into))
        self._held.append(compiled)
        self.session = Session(path, dtype, layout, None if (compiled.path / UNFIT).exists() else compiled.path)

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] into vectors [B, D], in order, several at a time."""
        return self.session.pooled(batches)

    def close(self) -> None:
        """Let go of the session and of the files."""
        self.session.close()
        for held in self._held:
            held.close()


def suits(tokens: int) -> int:
    """Return the batch that suits a stream, for images of so many tokens."""
    return max(1, TOKENS // tokens)


def _compile(path: Path, dtype: str, into: Path) -> None:
    """Compile a network for the sake of the files that OpenVINO leaves, and keep them only if they give its numbers.

    A version of OpenVINO lost a token between compiling a network and reading what it had compiled.
    """
    import numpy

    fresh = Session(path, dtype, ONE)
    pixels = fresh.noise()
    expected = fresh.run(pixels)
    fresh.close()
    for _ in range(2):  # the first leaves the files, the second reads them
        again = Session(path, dtype, ONE, into)
        found = again.run(pixels)
        again.close()
    same = all(numpy.array_equal(found[name], array) for name, array in expected.items())
    blobs = list(into.iterdir())
    if same and blobs:
        return
    for blob in blobs:
        blob.unlink()
    why = "reading it again gives other numbers" if blobs else "OpenVINO left nothing to read again"
    (into / UNFIT).write_text(f"{why}\n", encoding="utf-8")
