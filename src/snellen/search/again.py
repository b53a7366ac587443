"""A sample of a store's rows, embedded here and now: from their images to vectors, distances and controls.

In: rows that were drawn, what reads their images, and the open encoder. Out: which of them could be embedded again, how
far their vectors lie from those in the store, and vectors that must not pass for them.

n images, D width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from snellen.errors import ImageError
from snellen.images import Picture
from snellen.records.inputs import Input
from snellen.records.search import ControlRecord, Distance, LeftOut
from snellen.records.store import Identity
from snellen.search.nearest import Best, unit
from snellen.search.query import Encoder, picture_of
from snellen.search.sample import Drawn
from snellen.search.searcher import pieces
from snellen.store.layout import GOOD

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.store import Store

    Vectors = NDArray[float32]  # [n, D]

Reads = Callable[[Input], bytes]
"""Reads the bytes of an input; raises Gone where there is none any more, ImageError where it cannot be read."""

NEIGHBOURS = 10
AMONG = 200_000
"""Rows of the store, at most, among which neighbours are looked for."""

CONTROLS = 8
"""Images that are embedded once more, prepared otherwise."""

CROPS = (7 / 8, 3 / 4, 1 / 2)
"""Other recipes, each further from the store's: so much of every side of the picture is used, from its middle."""


class Gone(ImageError):
    """The image is no longer where it was."""


@dataclass(frozen=True, slots=True)
class Again:
    """Rows whose images could be embedded again, their vectors in the store and now, and the first few pictures."""

    rows: list[Drawn]
    then: Vectors
    now: Vectors
    left_out: list[LeftOut]
    pictures: list[Picture]


def embedded(encoder: Encoder, drawn: Sequence[Drawn], read: Reads) -> Again:
    """Embed the images of rows that are what they were; say of the others why not."""
    import numpy

    store = encoder.store
    rows: list[Drawn] = []
    left_out: list[LeftOut] = []
    pictures: list[Picture] = []

    def there() -> Iterator[Picture]:
        for row in drawn:
            found = _picture(row, read, store)
            if isinstance(found, LeftOut):
                left_out.append(found)
                continue
            rows.append(row)
            if len(pictures) < CONTROLS:
                pictures.append(found)
            yield found

    now = encoder.vectors(there())
    then = numpy.stack([row.vector for row in rows]) if rows else now
    return Again(rows, then, now, left_out, pictures)


def _picture(row: Drawn, read: Reads, store: Identity) -> Picture | LeftOut:
    """Return the picture of a row, or why it cannot be compared: bytes that changed would be another image."""

    def left(why: Any, because: str) -> LeftOut:
        return LeftOut(id=row.outcome.id, path=row.outcome.image_path, why=why, because=because)

    try:
        content = read(row.input)
    except Gone as error:
        return left("missing", str(error))
    except ImageError as error:
        return left("broken", str(error))
    digest = hashlib.sha256(content).hexdigest()
    if digest != row.outcome.sha256:
        return left("changed", f"its sha256 is {digest}, and was {row.outcome.sha256}")
    try:
        return picture_of(content, store)
    except ImageError as error:
        return left("broken", f"it was decoded when it was embedded, and is not now: {error}")


def distances(then: Vectors, now: Vectors) -> list[Distance]:
    """Return how far vectors made now lie from those in the store, row by row, in float64."""
    import numpy

    if not len(then):
        return []
    old, new = then.astype(numpy.float64), now.astype(numpy.float64)
    with numpy.errstate(all="ignore"):  # what has no figure is None below
        longest, apart = numpy.abs(new - old).max(axis=1), numpy.sqrt(numpy.square(new - old).sum(axis=1))
        lengths = [numpy.sqrt(numpy.square(some).sum(axis=1)) for some in (old, new)]
        relative, cosine = apart / lengths[0], (old * new).sum(axis=1) / lengths[0] / lengths[1]
    return [
        Distance(max_abs=_finite(a), relative=_finite(b), cosine=_finite(c))
        for a, b, c in zip(longest.tolist(), relative.tolist(), cosine.tolist(), strict=True)
    ]


def likes(found: Again) -> list[int | None]:
    """Return for each image another row of the sample whose vector in the store is nearer to the new one, or None."""
    import numpy

    if not len(found.rows) or not numpy.isfinite(found.now).all():
        return [None] * len(found.rows)
    cosines = unit(found.now) @ unit(found.then).T  # [n, n]
    nearest = cosines.argmax(axis=1)
    own = cosines.diagonal()
    return [
        found.rows[other].outcome.id if cosines[row, other] > own[row] else None
        for row, other in enumerate(nearest.tolist())
    ]


def controls(encoder: Encoder, found: Again, told: Callable[[ControlRecord], bool]) -> Iterator[ControlRecord]:
    """Yield vectors that must not pass: those of other images, and of the same images prepared otherwise.

    ``told`` tells whether a control is told apart; of several recipes the nearest one that is stands for all.
    """
    yield _shifted(found)
    record = ControlRecord(name="control.recipe", what="there is no image to prepare otherwise", distances=())
    for share in CROPS if found.pictures else ():
        other = encoder.vectors(_cropped(picture, share) for picture in found.pictures)
        record = replace(
            record,
            what=f"vectors of the same images, cropped to {share:.3g} of their sides before the recipe,",
            distances=tuple(distances(found.then[: len(other)], other)),
        )
        if told(record):
            break
    yield record


def _shifted(found: Again) -> ControlRecord:
    """Hold each new vector against the row of the next image that has other bytes."""
    digests = [row.outcome.sha256 for row in found.rows]
    count = len(digests)
    others = [
        next((j % count for j in range(i + 1, i + count) if digests[j % count] != digests[i]), None)
        for i in range(count)
    ]
    pairs = [(i, j) for i, j in enumerate(others) if j is not None]
    if not pairs:
        return ControlRecord(name="control.pairing", what="there are no two images with different bytes", distances=())
    here, there = zip(*pairs, strict=True)
    found_apart = distances(found.then[list(there)], found.now[list(here)])
    return ControlRecord(
        name="control.pairing", what="vectors held against the rows of other images", distances=tuple(found_apart)
    )


def _cropped(picture: Picture, share: float) -> Picture:
    """Return the middle of a picture, at least one pixel; of one that was decoded smaller, too."""
    width, height = (max(1, round(side * share)) for side in picture.rgb.size)
    left, top = (picture.rgb.width - width) // 2, (picture.rgb.height - height) // 2
    rgb = picture.rgb.crop((left, top, left + width, top + height))
    if picture.rgb.size == (picture.width, picture.height):
        return replace(picture, rgb=rgb, width=width, height=height)
    return replace(picture, rgb=rgb, width=round(picture.width * share), height=round(picture.height * share))


def neighbours(store: Store, found: Again) -> tuple[list[float | None], int, int]:
    """Return the share of its nearest rows that old and new vector of each image agree on, of how many, among how many.

    A row is no neighbour of its own. Of a small store fewer are taken: of all its rows any two vectors would agree.
    """
    import numpy

    good = sum(part.counts.get(status, 0) for part in store.manifest.parts for status in GOOD)
    nearest = min(NEIGHBOURS, (good - 1) // 2)
    directed = len(found.rows) and numpy.isfinite(found.now).all() and (found.now.any(1) & found.then.any(1)).all()
    if nearest < 1 or not directed:
        return [None] * len(found.rows), 0, 0
    own = [row.outcome.id for row in found.rows]
    old, new = Best(unit(found.then), nearest, own), Best(unit(found.now), nearest, own)
    among = 0
    for ids, units in pieces(store):
        old.add(ids, units)
        new.add(ids, units)
        among += len(ids)
        if among >= AMONG:
            break
    pairs = zip(old.found(), new.found(), strict=True)
    return [len(numpy.intersect1d(a.ids, b.ids)) / max(1, len(a.ids)) for a, b in pairs], nearest, among


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
