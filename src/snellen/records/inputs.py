"""Where one image of a run is to be read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "tar", "parquet", "url"]
"""How the bytes of an input are reached.

``file``     the whole of a local file
``tar``      ``size`` bytes from ``offset`` on in an archive that is not compressed
``parquet``  row ``row`` of ``column`` of a Parquet file: the bytes of an image, or a struct that holds them
``url``      the whole of what fsspec opens
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One image to embed: the name it goes by, and where its bytes are.

    ``place`` is a path as ``os.fsdecode`` gives it, or a URL; for ``tar`` and ``parquet`` either.
    """

    path: str  # as it is shown and stored: printable, with / between its parts; "shard.tar/key.jpg" in an archive
    place: str
    kind: Kind = "file"
    offset: int | None = None
    size: int | None = None
    row: int | None = None
    column: str | None = None
