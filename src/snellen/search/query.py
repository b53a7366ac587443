"""The encoder that a store was made with, opened again for queries; and the refusal of any other.

In: a store's manifest, and perhaps another place to look for its weights. Out: vectors that can be compared with the
store's, or an error that names what differs.

B batch, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from snellen import zoo
from snellen.errors import CheckpointError, ImageError, UnknownName, UsageError, WeightsUnavailable
from snellen.images import Picture, decode
from snellen.recipes import Recipe
from snellen.records import ModelRecord, Origin
from snellen.records.store import Identity, Manifest
from snellen.runtimes.opening import AUTO, Asked, Embedder, embedder
from snellen.search.nearest import unit

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

MOST = 16
"""Pictures that are decoded at once, whatever batch suits the runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the store's encoder is to be found and to run; None: as the store says, or as is usual."""

    model: str | None = None
    weights: str | None = None
    device: str = "cpu"
    runtime: str | None = None
    dtype: str | None = None


def asked_again(manifest: Manifest, place: Place, images: int | None = None) -> Asked:
    """Return what to ask for to get the store's encoder, with its own recipe and dtype unless ``place`` says another.

    Raises UsageError where the store does not say how its encoder was asked for.
    """
    identity, known = manifest.identity, next((model for run in manifest.runs for model in run.models), None)
    name, weights, revision = place.model, place.weights, None
    if name is None:
        if known is None:
            raise UsageError(
                "the store does not say how its encoder was asked for", expected="a model", todo="name it: -m MODEL"
            )
        name = known.name
        if weights is None:
            weights, revision = _weights(name, identity.origin), identity.origin.revision
    return Asked(
        name=name,
        weights=weights,
        recipe=identity.recipe,
        revision=revision,
        device=place.device,
        runtime=place.runtime or AUTO,
        dtype=place.dtype or identity.dtype,
        images=images,
    )


def _weights(name: str, origin: Origin) -> str | None:
    """Return where weights were found, for a name of the zoo; any other name is itself the place."""
    if origin.seed is not None and origin.path is None:
        return f"seed:{origin.seed}"
    try:
        zoo.find(name)
    except UnknownName:
        return None
    return origin.path or (f"modelscope:{origin.repo}" if origin.kind == "modelscope" else origin.repo)


class Encoder:
    """The store's encoder, open; a context.

    Raises what ``runtimes.opening.embedder`` raises, and UsageError, naming the differences, where it is another one.
    ``any_dtype``: it may compute in another dtype than the store's.
    """

    def __init__(self, manifest: Manifest, place: Place, *, images: int | None = None, any_dtype: bool = False) -> None:
        asked = asked_again(manifest, place, images)
        self.store, self._named = manifest.identity, place.model is not None or place.weights is not None
        try:
            self._model: Embedder = embedder(asked)
        except (UnknownName, WeightsUnavailable, CheckpointError) as error:
            if self._named:
                raise
            raise UsageError(
                f"the encoder of the store cannot be opened where it was: {error.seen}",
                expected=error.expected,
                todo="say where it is now: -m MODEL, or --weights WHERE",
            ) from error
        self.record: ModelRecord = self._model.record
        try:
            mine = Identity.of(self.record, width=self.store.width, normalized=self.store.normalized)
            check(self.store, replace(mine, dtype=self.store.dtype) if any_dtype else mine)
        except BaseException:
            self.close()
            raise

    def vectors(self, pictures: Iterable[Picture]) -> NDArray[float32]:
        """Return a vector for each picture [n, D], of length 1 where the store's are.

        Raises ImageError where the recipe refuses a picture, UsageError where the vectors have another width.
        """
        import numpy

        found = list(self._model.vectors(self._batches(pictures)))
        if not found:
            return numpy.empty((0, self.store.width), numpy.float32)
        vectors: NDArray[float32] = numpy.concatenate(found)
        if vectors.shape[1] != self.store.width:
            width = vectors.shape[1]
            check(self.store, Identity.of(self.record, width=width, normalized=self.store.normalized))
        return unit(vectors) if self.store.normalized else vectors

    def close(self) -> None:
        """Let go of the encoder."""
        self._model.close()

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _batches(self, pictures: Iterable[Picture]) -> Iterator[NDArray[float32]]:
        import numpy

        pixels = (self._model.recipe.array(picture) for picture in pictures)
        while batch := list(islice(pixels, max(1, min(self._model.batch, MOST)))):
            yield numpy.stack(batch)


def check(store: Identity, mine: Identity) -> None:
    """Raise UsageError, naming what differs, where vectors cannot be compared with those of a store."""
    if differences := store.differences(mine):
        raise UsageError(
            "the vectors cannot be compared with those of the store: " + "; ".join(differences),
            expected="the weights, recipe, pooling and dtype that the store was made with",
            todo="leave -m and --weights out, or name the weights that the store was made with",
        )


def picture_of(source: str | bytes, store: Identity) -> Picture:
    """Decode an image as the recipe of a store has it; raise ImageError where it is none."""
    return decode(source, at_least=Recipe.parse(store.recipe).at_least)


def read(path: str, store: Identity) -> tuple[bytes, Picture]:
    """Return the bytes of an image file, and the picture in it; raise ImageError where it is none."""
    from pathlib import Path

    picture = picture_of(path, store)
    try:
        return Path(path).read_bytes(), picture
    except OSError as error:
        raise ImageError(f"{path!r} cannot be read: {error.strerror}", expected="a readable file") from error
