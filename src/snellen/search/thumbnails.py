"""Small pictures of what was found, for a page that holds them itself.

In: rows of a store and what reads their images. Out: JPEGs in base64, or why there is none: an image that has changed
since it was embedded is not what was found.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable

from snellen.errors import ImageError, UsageError
from snellen.images import Picture, decode
from snellen.records.search import FoundRecord, Hit, Thumbnail
from snellen.search.again import Gone, Reads
from snellen.store import Store

SIDE = 320
"""Pixels of the longer side: sharp at the size that a page shows it."""

QUALITY = 80


def of_hits(store: Store, record: FoundRecord, read: Reads) -> dict[int, Thumbnail]:
    """Return a thumbnail for every row that was found, by its id."""
    hits = {hit.id: hit for query in record.queries for hit in query.hits}
    return {id_: _of_row(store, hit, read) for id_, hit in hits.items()}


def of_queries(store: Store, record: FoundRecord, read: Reads) -> list[Thumbnail]:
    """Return a thumbnail for every query."""
    return [
        _of_row(store, Hit(rank=0, score=1.0, id=query.id, path=query.path, sha256=query.sha256), read)
        if query.id is not None
        else _of_file(query.path)
        for query in record.queries
    ]


def thumbnail(picture: Picture) -> Thumbnail:
    """Return a picture, upright, as a small JPEG."""
    small = picture.upright().copy()
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(jpeg=base64.b64encode(stream.getvalue()).decode())


def _of_row(store: Store, hit: Hit, read: Reads) -> Thumbnail:
    try:
        (item,) = store.inputs([hit.id])
        content = read(item)
        if hit.sha256 is not None and hashlib.sha256(content).hexdigest() != hit.sha256:
            return Thumbnail(jpeg=None, because="the file has changed since it was embedded")
        return thumbnail(decode(content, at_least=_enough))
    except Gone:
        return Thumbnail(jpeg=None, because="the file is no longer there")
    except (ImageError, UsageError) as error:
        return Thumbnail(jpeg=None, because=error.seen)


def _of_file(path: str) -> Thumbnail:
    try:
        return thumbnail(decode(path, at_least=_enough))
    except ImageError as error:
        return Thumbnail(jpeg=None, because=error.seen)


def _enough(_height: int, _width: int) -> tuple[int, int]:
    """Return how small a JPEG may be decoded."""
    return SIDE, SIDE


def failed(thumbnails: Iterable[Thumbnail]) -> int:
    """Count those that could not be made."""
    return sum(one.jpeg is None for one in thumbnails)
