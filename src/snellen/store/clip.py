"""The layout of clip-retrieval beside the parts: matrices of float16 and tables of metadata, for what reads those.

In: a finished store. Out: ``img_emb/img_emb_00000.npy`` [n, D], rows of length 1, and the same n rows in
``metadata/metadata_00000.parquet``, a pair for each part: good rows only. A pair is made from its part alone, so that
one that is missing or out of date can be made again.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.records.store import PartRecord
from snellen.store.files import keeping, placed
from snellen.store.layout import METADATA_KEY, Places
from snellen.store.opening import locked
from snellen.store.reading import Store
from snellen.store.tables import table_of

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_COLUMNS = ("id", "image_path", "sha256", "width", "height")
_SCHEMA = "snellen.clip/1"


def bring_up(places: Places) -> int:
    """Write the pairs that are missing or out of date; return how many. Whoever calls it has the store for itself."""
    store = Store.open(places.folder)
    written = 0
    with keeping(places.folder):
        for folder in (places.folder / "img_emb", places.folder / "metadata", places.journals):
            folder.mkdir(exist_ok=True)
        for part in store.manifest.parts:
            written += _pair(places, store, part)
        with suppress(OSError):
            places.journals.rmdir()
    return written


def _pair(places: Places, store: Store, part: PartRecord) -> bool:
    """Write a pair; return whether it was needed."""
    matrix = places.folder / "img_emb" / f"img_emb_{part.number:05d}.npy"
    table = places.folder / "metadata" / f"metadata_{part.number:05d}.parquet"
    ids = hashlib.sha256(store.good_of(part).tobytes()).hexdigest()
    made_of = {"schema": _SCHEMA, "part": part.sha256, "ids": ids}  # a later run may make rows obsolete
    if matrix.is_file() and _made_of(table) == made_of:
        return False
    rows = store.part(part)
    _write_matrix(matrix, places.aside(matrix.name), rows.vectors)
    kept = table_of(places.part(part.number), _COLUMNS)
    _write_table(table, places.aside(table.name), kept.filter(_among(kept["id"], rows.ids)), made_of)
    return True


def clip_layout(folder: Path) -> int:
    """Bring the clip-retrieval layout of a finished store up to date; return how many pairs were written."""
    places = Places(folder)
    Store.open(folder)
    lock = locked(places, "embed --layout clip-retrieval", shared=False)
    try:
        return bring_up(places)
    finally:
        lock.release()


def _write_matrix(path: Path, aside: Path, vectors: NDArray[float32]) -> None:
    import numpy

    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1  # such a vector has no direction, and stays as it is
    with placed(path, aside), aside.open("wb") as file:
        numpy.save(file, (vectors / lengths).astype(numpy.float16))


def _write_table(path: Path, aside: Path, table: Any, made_of: dict[str, str]) -> None:
    from pyarrow import parquet

    named = table.replace_schema_metadata({METADATA_KEY: json.dumps(made_of)})
    with placed(path, aside), aside.open("wb") as file:
        parquet.write_table(named, file)


def _made_of(path: Path) -> object:
    """Return what a table says it was made of; None where there is none, or another's."""
    from pyarrow import ArrowException, parquet

    try:
        metadata = parquet.read_schema(path).metadata or {}
        return json.loads(metadata.get(METADATA_KEY.encode(), b"null"))
    except (OSError, ArrowException, ValueError):
        return None


def _among(column: Any, ids: NDArray[Any]) -> Any:
    import pyarrow
    import pyarrow.compute

    return pyarrow.compute.is_in(column, value_set=pyarrow.array(ids))
