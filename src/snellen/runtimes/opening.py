"""From what a person asks for to what embeds images, by the shortest way there is.

A request that was met before, on a CPU, with the same files, is answered from what was kept: neither torch is imported
nor are weights read. Otherwise the model is loaded and put into its runtime, and what comes of it is kept for the next
time.

B batch, D width.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from snellen import cache, devices, runtimes
from snellen.devices import Device
from snellen.errors import SnellenError, UsageError
from snellen.recipes import Recipe
from snellen.records import Choice, ModelRecord
from snellen.records.plan import FREE, Layout, Setup
from snellen.runtimes import plans
from snellen.runtimes.openvino import store
from snellen.runtimes.openvino.files import Unreadable
from snellen.runtimes.requests import AUTO, Asked, Kept, Request, recalled, remember, request
from snellen.runtimes.versions import version

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.images import Picture
    from snellen.model.model import Model
    from snellen.runtimes.base import Runner

    Array = NDArray[float32]

__all__ = ["AUTO", "Asked", "EightBit", "Embedder", "Engine", "Feeds", "Overlapped", "embedder"]

FEW = 4
"""Images up to which one after the other is done sooner than several at a time."""

ONE_BY_ONE = Layout(batch=1, streams=1)


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

    def at_least(self, height: int, width: int) -> tuple[int, int] | None:
        """Return how small, in (height, width), a file of so many pixels may be decoded; None: in full."""

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

    def at_least(self, height: int, width: int) -> tuple[int, int] | None:
        """Return how small a file may be decoded, as the whole recipe says."""
        return self.whole.at_least(height, width)

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
    setup = _choose(asked, place, None).setup  # unless there is a plan
    runtimes.check(setup.runtime, place, setup.dtype)
    known = request(asked) if place.kind == "cpu" and setup.runtime == "openvino" else None
    kept = None if known is None else recalled(known)
    if kept is not None:
        chosen = _choose(asked, place, kept.record)
        held = cache.find(store.NETWORKS, kept.networks.get(_form(chosen.setup), "none"))
        if chosen.setup.runtime == "openvino" and held is not None:
            runtimes.check("openvino", place, chosen.setup.dtype)
            with suppress(Unreadable):  # it is dropped, and written again
                return _stored(held, kept, chosen)
    return _loaded(asked, place, setup, known)


def _loaded(asked: Asked, place: Device, setup: Setup, known: Request | None) -> Embedder:
    """Load the model and put it into its runtime, which is that of ``setup`` unless there is a plan."""
    from snellen.model.loading import load

    there = setup.runtime == "eager" and not asked.plan  # where it can be loaded as it will be run
    if setup.dtype == runtimes.INT8:
        from snellen.runtimes.openvino import quantise

        quantise.version()  # or it is missing, before weights are read
    model = load(
        asked.name,
        weights=asked.weights,
        recipe=asked.recipe,
        revision=asked.revision,
        device=place.name if there else "cpu",
        dtype=setup.dtype if there else "float32",
    )
    chosen = _choose(asked, place, model.record)
    if chosen.setup.runtime == "openvino":
        kept = _convert(model, place, chosen.setup, known)
        del model  # its weights are in the network's file now;
        gc.collect()  # what torch exported holds on to itself, and to them
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


def _convert(model: Model, place: Device, setup: Setup, known: Request | None) -> Kept:
    """Write the model's network, and remember for the request what it is; its record says where that failed."""
    from snellen.runtimes.openvino.runner import OpenVINO

    size = model.recipe.size
    runner = OpenVINO(model, place, setup.dtype, setup.layout, setup.calibration)
    network = runner.network(size)
    runner.close()
    activations = store.activations(model.encoder.config, size)
    kept = Kept(record=model.record, activations=activations, networks={_form(setup): network})
    lost = None if known is None else remember(known, kept)
    if lost is None:
        return kept
    return replace(kept, record=replace(kept.record, notes=(*kept.record.notes, lost)))


def _stored(held: cache.Held, kept: Kept, chosen: Chosen) -> Embedder:
    """Open a network that was kept."""
    setup = chosen.setup
    engine = store.Stored(held, setup.dtype, setup.layout)
    notes = (engine.note,) if engine.note else ()
    record = replace(kept.record, notes=(*kept.record.notes, *notes))
    if setup.dtype == runtimes.INT8:
        record = _eight_bits(record, held.path, engine.session.beside)
    return Embedder(
        recipe=Recipe.parse(kept.record.recipe),
        record=_record(record, chosen),
        setup=setup,
        batch=setup.layout.batch or store.suits(kept.activations),
        engine=engine,
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
    run = record.run_as(chosen.setup.dtype, chosen.setup.runtime)
    return replace(run, choices=(*run.choices, *chosen.choices))


def _eight_bits(record: ModelRecord, network: Path, beside: str) -> ModelRecord:
    """Say in a model's record how its 8 bits were made, and what is not in 8 bits."""
    from snellen.runtimes.openvino.quantise import METHOD

    made = json.loads((network / METHOD).read_text(encoding="utf-8"))
    errors = made["relative_error_of_pooled_on_images_held_out"]
    figures = ", ".join(f"{error:.2g} {method}" for method, error in errors.items())
    choice = Choice(made["method"], f"nearer to the network of float32 on images held out; relative errors: {figures}")
    note = f"8 bits were calibrated on the images {made['calibration']}; the rest runs in {beside}"
    return replace(record, choices=(*record.choices, choice), notes=(*record.notes, note))


def _form(setup: Setup) -> str:
    """Return what a network is written in, which may be run in several dtypes; of 8 bits, also by what."""
    if setup.dtype != runtimes.INT8:
        return "float32"
    return " ".join(filter(None, (setup.dtype, "nncf", version("nncf"), setup.calibration)))
