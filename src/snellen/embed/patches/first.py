"""What is done once before the parts of a run: agreement to what they will take, and the projection of a new store.

In: a run whose inputs are listed, what is asked for, and an open encoder. Out: ``dense/dense.json``, and the projection
beside it, which is fitted on the first images.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.embed.patches import begin
from snellen.embed.patches.engine import DenseEngine, given
from snellen.embed.patches.layout import FOLDER, Layout, layout_of
from snellen.embed.patches.room import Room, room
from snellen.embed.patches.spec import Spec
from snellen.embed.prepare import Preparing, Task
from snellen.embed.run import chunks
from snellen.embed.sources import Reader
from snellen.records.inputs import Input
from snellen.runtimes.opening import Embedder
from snellen.store import RunState, listing
from snellen.store.layout import Places

if TYPE_CHECKING:
    from snellen.embed.patches.pca import Components, Single


def start(
    folder: Path, run: RunState, asked: Spec, model: Embedder, agreed: Callable[[Room], None], *, workers: int
) -> None:
    """Make the store in ``folder`` ready for the parts of ``run``; do nothing where one was begun before.

    ``agreed`` raises unless what they take may be written. Raises what ``settle`` raises. Nothing is written before.
    """
    begin.check(folder, asked)
    if not run.rows or _begun(folder, run):
        return
    wanted = layout_of(asked, given(model), model.record)
    agreed(room(wanted, run.rows, folder))
    inputs = (item for _, item in listing.read(Places(folder), run, range(run.rows)))
    settle(folder, wanted, model, inputs, workers=workers)


def settle(
    folder: Path, wanted: Layout, model: Embedder, inputs: Iterable[Input], *, workers: int
) -> tuple[Layout, Components | None]:
    """Settle the patch features of the store in ``folder``; see ``begin.settle``.

    ``inputs`` are all of its first run; as many are read as a projection needs, and none where there is to be none.
    """
    cells = _cells(wanted.unprojected, model, inputs, workers)
    with closing(cells):
        return begin.settle(folder, wanted, cells)


def _begun(folder: Path, run: RunState) -> bool:
    """Tell whether features of a part of the run were written, to its end or not."""
    names = {f"part-{number:05d}" for number in run.numbers}
    return any(path.name.partition(".")[0] in names for path in (folder / FOLDER).glob("part-*.npy*"))


def _cells(layout: Layout, model: Embedder, inputs: Iterable[Input], workers: int) -> Generator[Single, None, None]:
    """Yield the cells [h, w, C] of every input that can be embedded."""
    engine = DenseEngine(model, layout)
    with Reader() as reader:
        preparing = Preparing(engine.recipe, reader.read)
        tasks = (Task(number, item) for number, item in enumerate(inputs))
        for chunk in chunks(engine, tasks, preparing, batch_size=model.batch, workers=workers):
            yield from (engine.cells(row) for _, row in chunk.rows if row is not None)
