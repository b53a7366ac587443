"""Large photographs to vectors, in a worker: snellen in several ways, and timm with a DataLoader as its users write it.

Every way has the same weights, drawn for timm's name of an encoder, and does the same: reads a file, decodes it, brings
it to pixels by timm's evaluation transform, encodes it, and keeps the vector.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import snellen
from peers.cases import WEIGHTS
from peers.operators import declare
from snellen import runtimes
from snellen.benchmark.files import Chain
from snellen.embed import run
from snellen.recipes import Recipe
from snellen.runtimes.opening import Asked, Embedder, embedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PREMADE = 2  # different batches that the encoder alone is fed
BATCH = 8  # of timm's loader: a larger one only leaves the encoder idle for longer at both ends


class Own:
    """snellen: exact and fast; decoding alone, both ways; the encoder alone."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.embedder: Embedder = embedder(Asked(name=spec["name"], weights=WEIGHTS, dtype=spec["dtype"]))
        recipe = self.embedder.recipe
        assert isinstance(recipe, Recipe)
        exact = Chain(
            recipe=recipe,
            engine=self.embedder.engine,
            batch=self.embedder.batch,
            paths=paths(spec["folder"]),
            clock=time.perf_counter,
            workers=spec["threads"],
        )
        self.chains = {
            "exact": exact,
            "fast": replace(exact, recipe=recipe.with_dct()),
        }

    def describe(self) -> dict[str, Any]:
        """Return how it is laid out, and both recipes."""
        texts = {name: self.chains[name].recipe.text for name in ("exact", "fast")}
        return {"setup": str(self.embedder.setup), "batch": self.embedder.batch, "recipes": texts}

    def measure(self, case: str, images: int) -> dict[str, Any]:
        """Measure one case over so many images."""
        what, _, way = case.partition(" ")
        if what == "encoder":
            return rate(images, self._encoded(images))
        chain = self.chains[way or what]
        return rate(images, chain.decoded(images) if what == "decode" else chain.embedded(images))

    def vectors(self, way: str, folder: str) -> dict[str, Any]:
        """Return the vector of every file of a folder, by name."""
        files = paths(folder)
        rows = run.embed(self.chains[way], files, batch_size=self.embedder.batch)
        return {"vectors": {Path(path).name: numbers(vector) for path, (_, vector) in zip(files, rows, strict=True)}}

    def _encoded(self, images: int) -> float:
        """Return how long the encoder alone takes for so many images, in batches of its own size."""
        drawn, size, batch = np.random.default_rng(0), self.embedder.recipe.size, self.embedder.batch
        made = [drawn.standard_normal((batch, 3, *size), dtype=np.float32) for _ in range(PREMADE)]
        begin = time.perf_counter()
        for _ in self.embedder.vectors(islice(cycle(made), -(-images // batch))):
            pass
        return (time.perf_counter() - begin) * images / (-(-images // batch) * batch)


class Peer:
    """timm in eager float32, with its own transform, fed by a DataLoader with workers of its own."""

    def __init__(self, spec: dict[str, Any]) -> None:
        declare()
        from timm.data import create_transform, resolve_model_data_config

        from peers.peer import CPU, Timm

        guest: Any = runtimes.make("timm", snellen.load(spec["name"], weights=WEIGHTS), CPU, "float32")
        self.module = Timm(guest.module).eval()
        self.transform = create_transform(**resolve_model_data_config(guest.module), is_training=False)
        self.paths, self.workers = paths(spec["folder"]), spec["threads"]

    def describe(self) -> dict[str, Any]:
        """Return how it is laid out."""
        import timm

        transform = " ".join(str(self.transform).split())
        return {"version": timm.__version__, "batch": BATCH, "workers": self.workers, "transform": transform}

    def measure(self, case: str, images: int) -> dict[str, Any]:
        """Measure it over so many images."""
        begin = time.perf_counter()
        found = sum(len(rows) for rows in self._rows(list(islice(cycle(self.paths), images))))
        assert found == images, (case, found)
        return rate(images, time.perf_counter() - begin)

    def vectors(self, way: str, folder: str) -> dict[str, Any]:
        """Return the vector of every file of a folder, by name."""
        files = paths(folder)
        rows = [row for rows in self._rows(files) for row in rows]
        return {"vectors": {Path(path).name: numbers(row) for path, row in zip(files, rows, strict=True)}}

    def _rows(self, files: Sequence[str]) -> Iterator[Array]:
        return pipeline(self.module, self.transform, files, batch=BATCH, workers=self.workers)


class Files:
    """A data set of image files, as one writes it."""

    def __init__(self, files: Sequence[str], transform: Callable[[Any], Any]) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB"))


def pipeline(
    module: Callable[[Any], Any], transform: Callable[[Any], Any], files: Sequence[str], *, batch: int, workers: int
) -> Iterator[Array]:
    """Yield vectors [b, D] of files, batch by batch."""
    import torch
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(Files(files, transform), batch_size=batch, num_workers=workers)  # type: ignore[arg-type]
    with torch.inference_mode():
        for pixels in loader:
            yield module(pixels).float().numpy()


def paths(folder: str) -> tuple[str, ...]:
    """Return the image files of a folder."""
    return tuple(sorted(str(path) for path in Path(folder).iterdir() if path.suffix in (".jpg", ".png")))


def numbers(vector: Iterable[float] | None) -> list[float]:
    """Return a vector as numbers of nine digits."""
    assert vector is not None, "a file that was to be embedded could not be"
    return [float(f"{value:.9g}") for value in vector]


def rate(images: int, seconds: float) -> dict[str, Any]:
    """Return a measurement."""
    return {"images_per_s": images / seconds, "images": images, "seconds": seconds}
