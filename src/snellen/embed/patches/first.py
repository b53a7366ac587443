"""The first images of a store, encoded before its parts are: a projection is fitted on them.

In: an open encoder, and inputs in their order. Out: ``dense/dense.json``, and the projection beside it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.embed.patches import begin
from snellen.embed.patches.engine import DenseEngine
from snellen.embed.patches.layout import Layout
from snellen.embed.prepare import Preparing, Task
from snellen.embed.run import chunks
from snellen.embed.sources import Reader
from snellen.records.store import Input
from snellen.runtimes.opening import Embedder

if TYPE_CHECKING:
    from snellen.embed.patches.pca import Components, Single


def prepare(
    folder: Path, wanted: Layout, model: Embedder, inputs: Iterable[Input], *, batch_size: int, workers: int
) -> tuple[Layout, Components | None]:
    """Settle the patch features of the store in ``folder``; see ``begin.settle``.

    ``inputs`` are all of its first run; as many are read as a projection needs, and none where there is to be none.
    """
    cells = _cells(wanted.unprojected, model, inputs, batch_size, workers)
    with closing(cells):
        return begin.settle(folder, wanted, cells)


def _cells(
    layout: Layout, model: Embedder, inputs: Iterable[Input], batch_size: int, workers: int
) -> Generator[Single, None, None]:
    """Yield the cells [h, w, C] of every input that can be embedded."""
    engine = DenseEngine(model, layout)
    with Reader() as reader:
        preparing = Preparing(engine.recipe, reader.read)
        tasks = (Task(number, item) for number, item in enumerate(inputs))
        for chunk in chunks(engine, tasks, preparing, batch_size=batch_size, workers=workers):
            yield from (engine.cells(row) for _, row in chunk.rows if row is not None)
