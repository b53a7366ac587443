"""The names of ImageNet-1k's classes, read from the file beside this one when they are first asked for.

In: ``imagenet1k.txt``, a line a class in the order of a classifier's outputs. Out: the names, without synset numbers.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

FILE = "imagenet1k.txt"


@lru_cache(maxsize=1)
def imagenet1k() -> tuple[str, ...]:
    """Return the 1000 names, such as "tench, Tinca tinca", by index."""
    return tuple(name for _, name in _lines())


@lru_cache(maxsize=1)
def imagenet1k_synsets() -> tuple[str, ...]:
    """Return the 1000 WordNet synsets, such as "n01440764", by index."""
    return tuple(synset for synset, _ in _lines())


def _lines() -> list[tuple[str, str]]:
    text = resources.files("snellen.zoo").joinpath(FILE).read_text(encoding="utf-8")
    split = (line.partition(" ") for line in text.splitlines() if not line.startswith("#"))
    return [(synset, name) for synset, _, name in split]
