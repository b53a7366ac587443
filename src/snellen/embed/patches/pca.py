"""A projection of patch features to fewer channels, fitted once for a store and kept in it.

In: the cells of the first images. Out: ``Components``: the directions of largest variance, as float32, the same for the
same cells.

C channels, K channels that are left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.draft import drafted
from snellen.embed.patches.layout import FOLDER, PCA_FILE, Fitted
from snellen.errors import SnellenError, UsageError

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Single = NDArray[float32]

IMAGES = 512
"""Images that a projection is fitted on, where there are so many."""

AGAIN = "copy the store again, with everything in it"


@dataclass(frozen=True, eq=False)
class Components:
    """A projection: x -> (x - mean) @ directions, and back: z @ directions.T + mean."""

    mean: Single  # [C]
    directions: Single  # [C, K], each of length 1, largest variance first
    images: int
    cells: int
    explained: float

    @property
    def sha256(self) -> str:
        """Digest of its numbers."""
        return hashlib.sha256(self.mean.tobytes() + self.directions.tobytes()).hexdigest()

    @property
    def fitted(self) -> Fitted:
        """What the layout says of it."""
        return Fitted(file=PCA_FILE, sha256=self.sha256, images=self.images, cells=self.cells, explained=self.explained)

    def back(self, cells: Single) -> Single:
        """Return projected cells [..., K] in the channels of the encoder [..., C]."""
        found: Single = cells @ self.directions.T + self.mean
        return found


def fit(images: Iterable[Single], channels: int) -> Components:
    """Fit a projection to ``channels`` on the cells [h, w, C] of the first IMAGES images.

    Sums are of float64, an image at a time, so that they do not depend on batches. Raises UsageError where the images
    have too few cells.
    """
    import numpy

    count = cells = 0
    shift = total = product = numpy.zeros(0)
    for image in islice(images, IMAGES):
        flat = image.reshape(-1, image.shape[-1]).astype(numpy.float64)
        if not count:  # numbers about 0 lose no digits in the products
            shift = flat.mean(axis=0)
            total, product = numpy.zeros_like(shift), numpy.zeros((len(shift), len(shift)))
        flat -= shift
        total, product = total + flat.sum(axis=0), product + flat.T @ flat
        count, cells = count + 1, cells + len(flat)
    if cells <= channels:
        raise UsageError(
            f"pca{channels} was asked for, and the first {count} images that can be embedded have {cells} cells",
            expected=f"more than {channels} of them",
            todo="begin with more images, or ask for fewer channels",
        )
    mean = total / cells
    variances, vectors = numpy.linalg.eigh(product / cells - numpy.outer(mean, mean))  # smallest first
    directions = _pointed(vectors[:, ::-1][:, :channels])
    share = float(variances[::-1][:channels].sum() / variances.sum()) if variances.sum() > 0 else 1.0
    single = numpy.float32
    return Components((mean + shift).astype(single), directions.astype(single), count, cells, share)


def save(folder: Path, components: Components) -> None:
    """Write the projection of the store in ``folder``."""
    import numpy

    with drafted(folder / FOLDER / PCA_FILE) as draft, draft.open("wb") as stream:
        numpy.savez(
            stream,
            mean=components.mean,
            directions=components.directions,
            images=components.images,
            cells=components.cells,
            explained=components.explained,
        )


def load(folder: Path, fitted: Fitted) -> Components:
    """Read the projection of the store in ``folder``; raise SnellenError for another one than it was made with."""
    from zipfile import BadZipFile

    import numpy

    path = folder / FOLDER / fitted.file
    try:
        with path.open("rb") as stream, numpy.load(stream) as kept:  # of a damaged file, numpy would leave it open
            numbers = kept["mean"], numpy.ascontiguousarray(kept["directions"])
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise SnellenError(f"'{path}' cannot be read: {error}", todo=AGAIN) from error
    found = Components(*numbers, fitted.images, fitted.cells, fitted.explained)
    if found.sha256 != fitted.sha256:
        raise SnellenError(
            f"'{path}' holds another projection than the one that the features were made with",
            expected=f"numbers whose sha256 is {fitted.sha256}",
            todo=AGAIN,
        )
    return found


def _pointed(directions: Any) -> Any:
    """Turn directions [C, K] so that the largest number of each is positive: an eigenvector has no sign of its own."""
    import numpy

    largest = numpy.abs(directions).argmax(axis=0)
    signs = numpy.sign(directions[largest, numpy.arange(directions.shape[1])])
    return numpy.ascontiguousarray(directions * signs)
