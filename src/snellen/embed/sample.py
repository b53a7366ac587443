"""A few of a run's own inputs, spread over all of them, for what is to be known of them before the first part.

In: inputs that were listed, and an open encoder. Out: what fast decoding costs on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.embed.drift import Drift, drift
from snellen.embed.sources import Reader
from snellen.errors import ImageError
from snellen.recipes import Recipe
from snellen.records.inputs import Input
from snellen.runtimes.opening import EightBit
from snellen.store import RunState, listing
from snellen.store.layout import Places

if TYPE_CHECKING:
    from snellen.runtimes.opening import Embedder

LOOKED_AT = 64
"""Inputs that are read; as many of them are compared as a drift takes."""


def spread(count: int) -> list[int]:
    """Return the places of at most LOOKED_AT of ``count`` inputs, evenly spread."""
    return sorted({index * count // LOOKED_AT for index in range(LOOKED_AT)}) if count else []


def of_run(folder: Path, run: RunState) -> Iterator[Input]:
    """Yield inputs spread over a run."""
    for place in spread(run.rows):
        for _, item in listing.read(Places(folder), run, range(place, place + 1)):
            yield item


def fast_drift(model: Embedder, inputs: Iterable[Input]) -> Drift:
    """Return how far the vectors of these inputs, decoded fast as the model's recipe says, are from exact ones."""
    whole = Recipe.parse(model.record.recipe)
    exact = whole.with_dct(None)
    feeds = EightBit(exact) if isinstance(model.recipe, EightBit) else exact
    with Reader() as reader:
        return drift(model, feeds, model.recipe, _contents(reader, inputs), batch=model.batch)


def _contents(reader: Reader, inputs: Iterable[Input]) -> Iterator[bytes]:
    for item in inputs:
        with suppress(ImageError):  # its outcome will say so
            yield reader.read(item).content
