"""What a store says of its patch features is settled before its first part, and is then the same for all of them.

In: a folder, what is asked for, and the encoder. Out: ``dense/dense.json``, and the projection beside it; or an error
that names what does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.embed.patches import layout as layouts
from snellen.embed.patches import pca
from snellen.embed.patches.layout import FOLDER, Layout
from snellen.embed.patches.spec import Spec
from snellen.errors import UsageError
from snellen.store.files import keeping
from snellen.store.lock import Lock

if TYPE_CHECKING:
    from snellen.embed.patches.pca import Components, Single

WAIT_S = 3600
"""How long another process is waited for: it may be encoding the images that a projection is fitted on."""


def check(folder: Path, asked: Spec | None) -> None:
    """Raise UsageError unless a run that asks for this may write to the store in ``folder``, which need not exist.

    All parts of a store have patch features of one kind, or none has any.
    """
    found = layouts.find(folder)
    if found is None:
        if asked is not None and _begun(folder):
            raise UsageError(
                f"--dense {asked} was asked for, and '{folder}' has parts without patch features",
                expected="patch features of every part, or of none",
                todo="leave --dense out, or write to another folder",
            )
    elif asked is None:
        raise UsageError(
            f"'{folder}' has patch features ({found.spec}), and --dense was not asked for",
            expected="patch features of every part",
            todo=f"--dense {found.spec}",
        )
    elif str(asked) != found.spec:
        raise UsageError(
            f"--dense {asked} was asked for, and '{folder}' has {found.spec}",
            expected="patch features of one kind",
            todo=f"--dense {found.spec}, or write to another folder",
        )


def settle(folder: Path, wanted: Layout, images: Iterable[Single]) -> tuple[Layout, Components | None]:
    """Return the layout of the store in ``folder``, and its projection; write them where they are not there yet.

    ``images`` are cells [h, w, C] as they are before the projection, of the store's first images in their order; they
    are taken only where a projection is to be fitted. Whoever comes second waits, and takes what the first has settled.

    Raises UsageError where the store has features of another kind or encoder, naming what differs, and where there are
    too few cells for the projection.
    """
    check(folder, wanted.asked)
    place = folder / FOLDER
    with keeping(folder):
        place.mkdir(parents=True, exist_ok=True)
        lock = Lock(place / ".lock", "settles the patch features", shared=False, wait=WAIT_S)
    try:
        there = layouts.find(folder)
        if there is None:
            there = _fitted(folder, wanted, images)
            with keeping(folder):
                layouts.write(folder, there)
    finally:
        lock.release()
    if differences := there.differences(wanted):
        raise UsageError(
            f"the patch features in '{folder}' are of another kind: {'; '.join(differences)}",
            expected="features that can stand side by side",
            todo="write to another folder",
        )
    return opened(folder, there)


def opened(folder: Path, layout: Layout) -> tuple[Layout, Components | None]:
    """Return a layout with its projection, if it has one."""
    return layout, None if layout.projection is None else pca.load(folder, layout.projection)


def _fitted(folder: Path, wanted: Layout, images: Iterable[Single]) -> Layout:
    """Return the layout with a projection, written beside it, if there is to be one."""
    channels = wanted.asked.pca
    if channels is None:
        return wanted
    components = pca.fit(images, channels)
    with keeping(folder):
        pca.save(folder, components)
    return replace(wanted, projection=components.fitted)


def _begun(folder: Path) -> bool:
    """Tell whether there is a part, or the beginning of one."""
    patterns = ("part-*.parquet", ".snellen/journal/part-*.journal")
    return any(True for pattern in patterns for _ in folder.glob(pattern))
