"""Whether the patch features of a store are all there, and bringing those of its shards together.

In: folders. Out: what is missing; files linked, or copied, into one folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from snellen.cache.drafts import sync_folder
from snellen.embed.patches import layout as layouts
from snellen.embed.patches.layout import FOLDER, PCA_FILE, Layout
from snellen.embed.patches.part import arrays
from snellen.errors import UsageError
from snellen.store.files import keeping, placed

SHOWN = 3


def check(folder: Path, parts: Iterable[tuple[int, int]]) -> None:
    """Raise UsageError unless the features of parts, given by number and rows, are all there."""
    lacking = missing(folder, parts)
    if lacking:
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        raise UsageError(
            f"patch features are missing or cut off in '{folder / FOLDER}': {', '.join(lacking[:SHOWN])}{more}",
            expected="a file for every part",
            todo="bring them from where they were made",
        )


def missing(folder: Path, parts: Iterable[tuple[int, int]]) -> list[str]:
    """Return the files that are missing or of another shape, of parts given by number and rows.

    None are for a store without patch features.
    """
    layout = layouts.find(folder)
    if layout is None:
        return []
    wanted = ((path, (rows, *shape), dtype) for n, rows in parts for path, shape, dtype in arrays(folder, n, layout))
    return [path.name for path, shape, dtype in wanted if not _whole(path, shape, dtype)]


def bring(out: Path, folders: Sequence[Path]) -> None:
    """Bring the features of every finished part in ``folders`` into ``out``, by hard link where that can be.

    Raises UsageError where the features are not of one kind, or some folders have features and others none.
    """
    found = {folder: layouts.find(folder) for folder in (out, *folders)}
    layout = next((there for there in found.values() if there is not None), None)
    if layout is None:
        return
    for folder, there in found.items():
        if folder == out and there is None:
            continue  # a new folder
        _check(folder, there, layout)
    with keeping(out):
        (out / FOLDER).mkdir(parents=True, exist_ok=True)
        for folder in folders:
            own = [folder / FOLDER / PCA_FILE] if layout.projection else []
            for path in (*sorted((folder / FOLDER).glob("part-*.npy")), *own):
                _brought(path, out / FOLDER / path.name)
        if found[out] is None:
            layouts.write(out, layout)
        sync_folder(out / FOLDER)


def _check(folder: Path, there: Layout | None, layout: Layout) -> None:
    differences = ("it has none",) if there is None else layout.differences(there)
    if differences:
        raise UsageError(
            f"the patch features in '{folder}' are not of the kind of the others: {'; '.join(differences)}",
            expected="one kind in all folders, and one projection",
            todo="let one begin, and copy its dense/dense.json and dense/pca.npz to the others before they do",
        )


def _brought(source: Path, place: Path) -> None:
    if place.exists():
        return
    aside = place.with_name(f".{place.name}.{os.getpid()}.aside")
    with placed(place, aside):
        try:
            os.link(source, aside)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(source, aside)


def _whole(path: Path, shape: tuple[int, ...], dtype: str) -> bool:
    """Tell whether a file is there with the rows that it should have."""
    import numpy

    try:
        found = numpy.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return False
    return bool(found.shape == shape and found.dtype == numpy.dtype(dtype))
