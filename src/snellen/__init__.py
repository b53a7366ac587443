"""snellen runs a vision encoder from any checkpoint, with the numbers its own library gives.

``load`` gives a model, ``verify`` puts it on trial on a device, ``bench`` measures how fast it is there, ``tune`` finds
the fastest way to run it that passes, ``find`` gives a row of the zoo, ``inspect`` says what a checkpoint holds,
``convert`` spells it for another library. ``dense`` opens the patch features of a store.
Importing this package does nothing; each name is fetched when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snellen._version import __version__

if TYPE_CHECKING:
    from snellen.benchmark.bench import bench
    from snellen.embed.patches.reader import dense
    from snellen.model.conversion import convert
    from snellen.model.inspection import inspect
    from snellen.model.loading import load
    from snellen.tuning.tuner import tune
    from snellen.verification.trial import verify
    from snellen.zoo import find

__all__ = ["__version__", "bench", "convert", "dense", "find", "inspect", "load", "tune", "verify"]

_HOME = {
    "bench": "snellen.benchmark.bench",
    "convert": "snellen.model.conversion",
    "dense": "snellen.embed.patches.reader",
    "find": "snellen.zoo",
    "inspect": "snellen.model.inspection",
    "load": "snellen.model.loading",
    "tune": "snellen.tuning.tuner",
    "verify": "snellen.verification.trial",
}


def __getattr__(name: str) -> object:
    """Fetch a public name from the module it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module 'snellen' has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
