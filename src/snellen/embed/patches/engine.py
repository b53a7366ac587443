"""Encoders that give patch features beside vectors, behind the loop's own contract.

In: an open encoder, and what is asked for. Out: batches of pixels go in, and for each image one row of float32 comes
out: its vector, and behind it the numbers of its cells, averaged and projected. So the loop carries them as it carries
vectors, and nobody has to keep two things in step. On an accelerator they are made smaller before they are copied.

B batch, D width of a vector, N patches, h x w cells, C channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.embed.patches import begin
from snellen.embed.patches import layout as layouts
from snellen.embed.patches.layout import Given, Layout, grid_of
from snellen.embed.patches.reduce import averaged, projected
from snellen.errors import SnellenError, Unavailable
from snellen.recipes import Recipe
from snellen.runtimes.base import Runner
from snellen.runtimes.opening import Embedder, Feeds, Overlapped
from snellen.runtimes.openvino.session import WAITING, Session
from snellen.runtimes.openvino.store import Stored

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray
    from torch import Tensor

    from snellen.embed.patches.pca import Components

    Array = NDArray[float32]


class DenseEngine:
    """An open encoder whose rows are its vectors with the cells of a layout behind them.

    ``pooled`` is done to every array of vectors [B, D], as bringing them to length 1 is. The encoder is not closed.
    """

    def __init__(
        self,
        model: Embedder,
        layout: Layout,
        components: Components | None = None,
        pooled: Callable[[Array], Array] | None = None,
    ) -> None:
        self.layout = layout
        self._model, self._components, self._pooled = model, components, pooled
        if (layout.projection is None) != (components is None):
            raise SnellenError("a projection and a layout without one were given, or the other way round")

    @property
    def recipe(self) -> Feeds:
        """What turns a picture into pixels."""
        return self._model.recipe

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Encode batches of pixels [B, 3, h, w] to rows [B, D + h * w * C], in order; several may be under way."""
        width = self.layout.pooled
        for rows in self._rows(batches):
            if self._pooled is not None:
                rows[:, :width] = self._pooled(rows[:, :width])
            yield rows

    def outputs(self, batches: Iterable[Array]) -> Iterator[tuple[Array, Array]]:
        """Encode batches of pixels to vectors [B, D] and cells [B, h, w, C], in order."""
        for rows in self.vectors(batches):
            yield rows[:, : self.layout.pooled], rows[:, self.layout.pooled :].reshape(-1, *self.layout.shape)

    def cells(self, row: Array) -> Array:
        """Return the cells [h, w, C] of one row."""
        return row[self.layout.pooled :].reshape(self.layout.shape)

    def _rows(self, batches: Iterable[Array]) -> Iterator[Array]:
        engine = self._model.engine
        if isinstance(engine, Stored):
            return _in_threads(engine.session, self._on_host, batches)
        from snellen.runtimes import streaming

        runner, prepare = _runner(self._model)
        return streaming.vectors(runner.device, self._there(runner), batches, prepare)

    def _on_host(self, pooled: Array, patches: Array) -> Array:
        """Return rows for vectors [B, D] and patches [B, N, C]."""
        import numpy

        found = self._components
        projection = None if found is None else (found.mean, found.directions)
        cells = self._reduced(patches, projection, numpy.stack)
        return numpy.concatenate([pooled, cells.reshape(len(pooled), -1)], axis=1, dtype=numpy.float32)

    def _there(self, runner: Runner) -> Callable[[Tensor], Tensor]:
        """Return what maps pixels to rows where a runner of torch leaves its features."""
        import torch

        found, place = self._components, runner.device.torch_name
        projection = None
        if found is not None:
            projection = (torch.from_numpy(found.mean).to(place), torch.from_numpy(found.directions).to(place))

        def rows(pixels: Tensor) -> Tensor:
            features = runner.run(pixels)
            cells = self._reduced(features.patches.float(), projection, torch.stack)
            return torch.cat([features.pooled.float(), cells.reshape(len(pixels), -1)], 1)

        return rows

    def _reduced(self, patches: Any, projection: tuple[Any, Any] | None, stack: Callable[[list[Any], int], Any]) -> Any:
        """Return cells [B, h, w, C] for patches [B, N, C]; raise SnellenError for others than the layout's."""
        layout = self.layout
        height, across = layout.patches
        if tuple(patches.shape[1:]) != (height * across, layout.width):
            raise SnellenError(
                f"the encoder gave {patches.shape[1]} patches of {patches.shape[2]} channels",
                expected=f"{height * across} of {layout.width}, as in the store",
                todo="run the encoder that the store was begun with",
            )
        cells = averaged(patches.reshape(-1, height, across, layout.width), layout.asked.pool, stack)
        return cells if projection is None else projected(cells, *projection)


def engine_of(folder: Path, model: Embedder, pooled: Callable[[Array], Array] | None = None) -> DenseEngine | None:
    """Return what gives the rows of the store in ``folder``; None where it has no patch features.

    Raises SnellenError where the store's projection cannot be read.
    """
    layout = layouts.find(folder)
    if layout is None:
        return None
    return DenseEngine(model, *begin.opened(folder, layout), pooled)


def given(model: Embedder) -> Given:
    """Return what an encoder gives for one image, which is seen by encoding one of zeros."""
    import numpy

    size = Recipe.parse(model.record.recipe).size
    pixels = numpy.zeros((1, 3, *size), numpy.float32)
    if isinstance(model.engine, Stored):
        found = model.engine.session.run(pixels)
        pooled, patches = found["pooled"].shape, found["patches"].shape
    else:
        import torch

        runner, _ = _runner(model)
        features = runner.run(torch.from_numpy(pixels))
        pooled, patches = tuple(features.pooled.shape), tuple(features.patches.shape)
    return Given(size=size, patches=grid_of(size, patches[1]), width=patches[2], pooled=pooled[1])


def _runner(model: Embedder) -> tuple[Runner, Callable[[Tensor], Tensor] | None]:
    """Return the runner of an encoder, and what brings its 8-bit pixels to the encoder's range, if it takes such."""
    engine = model.engine
    if isinstance(engine, Overlapped):
        return engine.runner, engine.recipe.normalise
    if isinstance(engine, Runner):
        return engine, None
    raise Unavailable(
        f"the runtime {model.setup.runtime!r} gives vectors alone", expected="patch features", todo="--runtime eager"
    )


def _in_threads(session: Session, rows: Callable[[Array, Array], Array], batches: Iterable[Array]) -> Iterator[Array]:
    """Yield the rows of every batch, in order, with as many batches under way as keep a session's streams busy.

    An error in a batch, or in ``batches``, is raised after the rows of every batch before it.
    """

    def one(pixels: Array) -> Array:
        found = session.run(pixels)
        return rows(found["pooled"], found["patches"])

    running: deque[Future[Array]] = deque()
    failed: Exception | None = None
    source = iter(batches)
    most = WAITING * session.streams
    with ThreadPoolExecutor(most, thread_name_prefix="dense") as pool:
        while failed is None:
            pixels = None
            try:
                pixels = next(source, None)
            except Exception as error:  # noqa: BLE001  # raised again when what was begun before has been given
                failed = error
            if pixels is None:
                break
            if len(running) == most:
                yield running.popleft().result()
            running.append(pool.submit(one, pixels))
        while running:
            yield running.popleft().result()
    if failed is not None:
        raise failed
