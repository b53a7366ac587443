"""From what a person asks for to what embeds images, by the shortest way there is.

A request that was met before, on a CPU, with the same files, is answered from what was kept: neither torch is imported
nor are weights read. Otherwise the model is loaded and put into its runtime, and what comes of it is kept for the next
time.

B batch, D width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from snellen import cache, devices, runtimes
from snellen._version import __version__
from snellen.devices import Device
from snellen.errors import SnellenError, UsageError
from snellen.model import source
from snellen.recipes import Recipe
from snellen.records import Choice, ModelRecord
from snellen.records.plan import FREE, Layout, Setup
from snellen.records.reading import read
from snellen.runtimes import plans
from snellen.runtimes.openvino import session, store

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.images import Picture
    from snellen.model.model import Model
    from snellen.runtimes.base import Runner

    Array = NDArray[float32]

AUTO = "auto"
REQUESTS = "requests"

FEW = 4
"""Images up to which one after the other is done sooner than several at a time."""

ONE_BY_ONE = Layout(batch=1, streams=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asked for; ``plan``: run as 'snellen tune' found best, if it did.

    ``images`` says how many there will be, where that is known: a few are embedded one after the other on all cores.
    """

    name: str
    weights: str | None = None
    recipe: str | None = None
    revision: str | None = None
    device: str = "cpu"
    runtime: str = AUTO
    dtype: str | None = None
    plan: bool = False
    images: int | None = None


class Engine(Protocol):
    """What turns pixels into vectors."""

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] into vectors [B, D], in order."""

    def close(self) -> None:
        """Give back what is held."""


class Feeds(Protocol):
    """What turns a picture into the pixels that an engine takes."""

    @property
    def apply_orientation(self) -> bool:
        """Whether the EXIF orientation is applied."""

    def array(self, picture: Picture) -> NDArray[Any]:
        """Return the pixels [3, h, w]."""


@dataclass(frozen=True, slots=True)
class EightBit:
    """A recipe up to the last step that is done in 8 bits."""

    whole: Recipe

    @property
    def apply_orientation(self) -> bool:
        """Whether the EXIF orientation is applied."""
        return self.whole.apply_orientation

    def array(self, picture: Picture) -> NDArray[Any]:
        """Return the pixels [3, h, w] of uint8."""
        return self.whole.array_uint8(picture)


@dataclass(frozen=True, slots=True)
class Overlapped:
    """An engine on an accelerator: 8-bit pixels go over, and are normalised there."""

    runner: Runner
    recipe: Recipe

    def vectors(self, batches: Iterable[NDArray[Any]]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] of uint8 into vectors [B, D], in order."""
        return self.runner.eight_bit_vectors(batches, self.recipe.normalise)

    def close(self) -> None:
        """Give back what the runner holds."""
        self.runner.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """An encoder ready to embed, with what feeds it and the record of what it is."""

    recipe: Feeds
    record: ModelRecord
    setup: Setup
    batch: int  # images at once that suit it
    engine: Engine

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches [B, 3, h, w] into vectors [B, D], in order; several may be under way."""
        return self.engine.vectors(batches)

    def close(self) -> None:
        """Give back what is held."""
        self.engine.close()

    def __enter__(self) -> Embedder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is known of a request that was met before: the record of its model, and the networks made of it."""

    record: ModelRecord
    tokens: int  # of one image
    networks: dict[str, str]  # by what they are written in; see ``_form``


@dataclass(frozen=True, slots=True)
class Chosen:
    """How the encoder is run, and why so."""

    setup: Setup
    choices: tuple[Choice, ...] = ()


def embedder(asked: Asked) -> Embedder:
    """Return what embeds images as asked for.

    Raises what ``load`` and ``runtimes.make`` raise, and UsageError where a plan was asked for beside a runtime or a
    dtype, which a plan chooses.
    """
    if asked.plan and (asked.runtime != AUTO or asked.dtype is not None):
        raise UsageError(
            "a runtime or a dtype was named beside --plan auto, which chooses both", todo="leave one of the two out"
        )
    place = devices.resolve(asked.device)
    if not asked.plan:
        setup = _choose(asked, place, None).setup
        runtimes.check(setup.runtime, place, setup.dtype)
    request = _request(asked) if place.kind == "cpu" and asked.runtime in (AUTO, "openvino") else None
    kept = None if request is None else _recalled(request)
    if kept is not None:
        chosen = _choose(asked, place, kept.record)
        held = cache.find(store.NETWORKS, kept.networks.get(_form(chosen.setup), "none"))
        if chosen.setup.runtime == "openvino" and held is not None:
            session.check_able(chosen.setup.dtype)
            return _stored(held, kept, chosen)
    return _loaded(asked, place, request)


def _loaded(asked: Asked, place: Device, request: str | None) -> Embedder:
    """Load the model and put it into its runtime."""
    from snellen.model.loading import load

    dtype = asked.dtype or "float32"
    runtime = runtimes.default(place, dtype).value if asked.runtime == AUTO else asked.runtime
    there = runtime == "eager" and not asked.plan  # where it can be loaded as it will be run
    if runtime == "openvino":
        session.check_able(dtype)
    model = load(
        asked.name,
        weights=asked.weights,
        recipe=asked.recipe,
        revision=asked.revision,
        device=place.name if there else "cpu",
        dtype=dtype if there else "float32",
    )
    chosen = _choose(asked, place, model.record)
    if chosen.setup.runtime == "openvino":
        kept = _convert(model, place, chosen.setup, request)
        del model  # its weights are in the network's file now
        held = cache.find(store.NETWORKS, kept.networks[_form(chosen.setup)])
        if held is None:
            raise SnellenError(
                "the network that was just written is gone: the cache is too small for it, or somebody clears it",
                todo="raise SNELLEN_CACHE_LIMIT, or --runtime eager",
            )
        return _stored(held, kept, chosen)
    setup = chosen.setup
    runner = runtimes.make(setup.runtime, model, place, setup.dtype, setup.layout)
    record = _record(replace(model.record, device=place.name), chosen)
    if place.kind == "cpu" or not model.recipe.eight_bit:
        return Embedder(recipe=model.recipe, record=record, setup=setup, batch=runner.batch, engine=runner)
    recipe, engine = EightBit(model.recipe), Overlapped(runner, model.recipe)
    return Embedder(recipe=recipe, record=record, setup=setup, batch=runner.batch, engine=engine)


def _convert(model: Model, place: Device, setup: Setup, request: str | None) -> Kept:
    """Write the model's network, and remember for the request what it is."""
    from snellen.runtimes.openvino.runner import OpenVINO

    size = model.recipe.size
    runner = OpenVINO(model, place, setup.dtype, setup.layout, setup.calibration)
    network = runner.network(size)
    runner.close()
    known = None if request is None else _recalled(request)
    networks = {**({} if known is None else known.networks), _form(setup): network}
    kept = Kept(record=model.record, tokens=model.encoder.config.tokens(*size), networks=networks)
    if request is not None:
        cache.remember(REQUESTS, request, asdict(kept))
    return kept


def _stored(held: cache.Held, kept: Kept, chosen: Chosen) -> Embedder:
    """Open a network that was kept."""
    setup = chosen.setup
    return Embedder(
        recipe=Recipe.parse(kept.record.recipe),
        record=_record(kept.record, chosen),
        setup=setup,
        batch=setup.layout.batch or store.suits(kept.tokens),
        engine=store.Stored(held, setup.dtype, setup.layout),
    )


def _choose(asked: Asked, place: Device, record: ModelRecord | None) -> Chosen:
    """Return the setup of a plan, where one was asked for and holds for the model, else what was asked for."""
    without: tuple[Choice, ...] = ()
    if asked.plan and record is not None:
        looked = plans.look(record.digest or "", record.recipe_hash, place.name)
        if looked.plan is not None:
            setup = looked.plan.setup
            return Chosen(setup, (Choice(str(setup), looked.because),))
        without = (Choice("no plan", looked.because),)
    dtype = asked.dtype or "float32"
    if asked.runtime != AUTO:
        return Chosen(Setup(runtime=asked.runtime, dtype=dtype))
    default = runtimes.default(place, dtype)
    few = default.value == "openvino" and asked.images is not None and asked.images <= FEW
    setup = Setup(runtime=default.value, dtype=dtype, layout=ONE_BY_ONE if few else FREE)
    return Chosen(setup, (*without, default))


def _record(record: ModelRecord, chosen: Chosen) -> ModelRecord:
    """Say in a model's record how it is run."""
    setup = chosen.setup
    return replace(record, runtime=setup.runtime, dtype=setup.dtype, choices=(*record.choices, *chosen.choices))


def _form(setup: Setup) -> str:
    """Return what a network is written in, which may be run in several dtypes; of 8 bits, also the images' digest."""
    return " ".join(filter(None, (setup.dtype, setup.calibration))) if setup.dtype == runtimes.INT8 else "float32"


def _recalled(request: str) -> Kept | None:
    """Return what is known of a request; None where nothing is, or where it was written by another version."""
    document = cache.recall(REQUESTS, request)
    try:
        return None if document is None else read(Kept, document)
    except UsageError:
        return None


def _request(asked: Asked) -> str:
    """Return the key of a request: what was asked for, the files that it leads to as they are now, and the versions."""
    wanted = source.wanted(asked.name, asked.weights)
    files: list[Any] = []
    if wanted.seed is None:
        from snellen.checkpoints.sources import locate

        located = locate(wanted.weights, revision=asked.revision)
        files = [str(located.path), located.wrapper, *_files(located.path)]
    facts = {
        "asked": [asked.name, asked.weights, asked.recipe, asked.revision],
        "files": files,
        "versions": [__version__, store.FORM, metadata.version("torch"), metadata.version("openvino")],
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _files(path: Path) -> list[tuple[str, int, int, int]]:
    """Return name, size, time and number of a file, or of the files in a folder: another file has another of these."""
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in found if file.is_file()]
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats]
