"""The index over finished rows: by content, for what need not be embedded again; by path, for what is present.

In: finished parts. Out: two files of sorted records of fixed length, which are searched where they lie on the disk:
``content`` (16 bytes of the sha256, 8 of the id) of rows that have a vector, obsolete ones too; ``paths`` (16 bytes of
a digest of the path, id, size, time, whether it was missing) of rows that are not obsolete. Numbers are big-endian, so
that records sort by key and then by id. A row costs 65 bytes on the disk, and none in memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.store.files import damaged, sync_folder
from snellen.store.layout import GOOD
from snellen.store.rows import keys
from snellen.store.tables import table_of

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

    Records = NDArray[Any]  # of the dtype S24 or S41: numpy sorts and searches these as bytes

_CONTENT, _PATH = 24, 41
_KEY = 16
_NAMES = {"content": _CONTENT, "paths": _PATH}
_NONE = -(1 << 63)  # where a number is not known
CHUNK = 1 << 19
"""Records that are sorted, or merged, in memory at a time."""


def path_key(path: str) -> bytes:
    """Return what a path is found by."""
    return hashlib.blake2b(path.encode("utf-8", "backslashreplace"), digest_size=_KEY).digest()


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row of a path: size and time of the file it was made of, where they are known."""

    id: int
    stamp: tuple[int, int] | None
    missing: bool


class Known:
    """An open index; safe to ask from several threads."""

    def __init__(self, folder: Path | None) -> None:
        """Open the index in ``folder``; None: an empty one. Raises UsageError where it is damaged."""
        if folder is not None and not whole(folder):
            raise damaged(folder, "is missing, or cut off")
        self._content = _mapped(folder, "content")
        self._paths = _mapped(folder, "paths")

    def content(self, sha256: str) -> int | None:
        """Return the id of the first row that has a vector of these bytes, or None."""
        key = bytes.fromhex(sha256)[:_KEY]
        start = int(self._content.searchsorted(_padded([key], _CONTENT))[0])
        if start == len(self._content):
            return None
        record = self._content[start : start + 1]
        return int(_number(record, _KEY)[0]) if _bytes(record)[0, :_KEY].tobytes() == key else None

    def paths(self, keys: Sequence[bytes]) -> list[list[KnownRow]]:
        """Return the rows of each path that are not obsolete."""
        import numpy

        starts = self._paths.searchsorted(_padded(keys, _PATH))
        ends = self._paths.searchsorted(_padded([key + b"\xff" * (_PATH - _KEY) for key in keys], _PATH))
        counts = ends - starts
        firsts = numpy.cumsum(counts) - counts  # where the rows of each path begin among all that are found
        places = numpy.repeat(starts - firsts, counts) + numpy.arange(counts.sum())
        rows = iter(_rows(self._paths[places]))
        return [[next(rows) for _ in range(count)] for count in counts.tolist()]

    def repeated(self) -> Iterator[Records]:
        """Yield the records of content that occurs more than once, in order, in chunks."""
        import numpy

        before = numpy.zeros(1, bool)  # whether the last record of the chunk before is followed by its like
        for start in range(0, len(self._content), CHUNK):
            chunk = self._content[start : start + CHUNK + 1]
            key = contents(chunk)
            equal = key[:-1] == key[1:]
            here = min(CHUNK, len(self._content) - start)
            followed = numpy.zeros(here, bool)
            followed[: len(equal)] = equal
            yield chunk[:here][followed | numpy.concatenate((before, followed[:-1]))]
            before = followed[-1:]


def build(target: Path, former: Known, parts: Iterable[Path], obsolete: NDArray[int64]) -> None:
    """Write the index of ``former`` and the rows of ``parts`` to the folder ``target``, anew.

    ``obsolete``: sorted ids whose paths are left out.
    """
    shutil.rmtree(target, ignore_errors=True)
    work = target.with_name(f"{target.name}.aside")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        chunks = _chunks(work, parts)
        content = [former._content, *(_mapped(chunk, "content") for chunk in chunks)]
        paths = [former._paths, *(_mapped(chunk, "paths") for chunk in chunks)]
        _write(work / "content", _merged(content))
        _write(work / "paths", (_without(records, obsolete) for records in _merged(paths)))
        for chunk in chunks:
            shutil.rmtree(chunk)
        sync_folder(work)
        work.rename(target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def ids(records: Records) -> NDArray[int64]:
    """Return the ids of records of content."""
    return _number(records, _KEY)


def contents(records: Records) -> NDArray[Any]:
    """Return the keys of records of content."""
    import numpy

    return numpy.ascontiguousarray(_bytes(records)[:, :_KEY]).view("S16").reshape(-1)


def whole(folder: Path) -> bool:
    """Return whether an index lies there, and no file of it was cut off."""
    sizes = {name: folder / name for name in _NAMES}
    return all(path.is_file() and path.stat().st_size % _NAMES[name] == 0 for name, path in sizes.items())


def _chunks(work: Path, parts: Iterable[Path]) -> list[Path]:
    """Sort the rows of the parts, CHUNK at a time, each into a folder of its own."""
    chunks: list[Path] = []
    held: dict[str, list[Records]] = {name: [] for name in _NAMES}
    count = 0

    def flush() -> None:
        import numpy

        folder = work / f"chunk-{len(chunks):05d}"
        folder.mkdir()
        chunks.append(folder)
        for name, records in held.items():
            (folder / name).write_bytes(numpy.sort(numpy.concatenate(records)).tobytes())
            records.clear()

    for part in parts:
        for name, records in _of_part(part).items():
            held[name].append(records)
        count += len(held["paths"][-1])
        if count >= CHUNK:
            flush()
            count = 0
    if count:
        flush()
    return chunks


def _of_part(path: Path) -> dict[str, Records]:
    """Return the records of one part."""
    import numpy

    table = table_of(path, ["id", "image_path", "status", "sha256", "file_size", "modified_ns"])
    ids = table["id"].to_numpy()
    status = table["status"].to_numpy()
    good = numpy.isin(status, GOOD)
    there, digests = keys(table["sha256"])
    content = numpy.concatenate((digests[good[there]], _big(ids[there & good])), axis=1)
    stamps = [_big(table[name].fill_null(_NONE).to_numpy()) for name in ("file_size", "modified_ns")]
    hashed = b"".join(map(path_key, table["image_path"].to_pylist()))
    missing = (status == "missing").astype(numpy.uint8)[:, None]
    key = numpy.frombuffer(hashed, numpy.uint8).reshape(-1, _KEY)
    paths = numpy.concatenate((key, _big(ids), *stamps, missing), axis=1)
    return {"content": _records(content), "paths": _records(paths)}


def _merged(sources: Sequence[Records], depth: int = 0) -> Iterator[Records]:
    """Yield the records of sorted ``sources``, which are equal in their first ``depth`` bytes, in order, in chunks.

    Keys are digests, so a byte more cuts what is too much for the memory into even pieces; ids cut what is equal.
    """
    import numpy

    pieces = [source for source in sources if len(source)]
    if len(pieces) == 1:
        yield from (pieces[0][start : start + CHUNK] for start in range(0, len(pieces[0]), CHUNK))
    elif sum(map(len, pieces)) <= CHUNK:
        yield from [numpy.sort(numpy.concatenate(pieces))] if pieces else []
    else:
        length = pieces[0].dtype.itemsize
        prefix = _bytes(pieces[0][:1])[0, :depth].tobytes()
        lows = _padded([prefix + bytes([byte]) for byte in range(256)], length)
        cuts = numpy.array([[*piece.searchsorted(lows), len(piece)] for piece in pieces])
        for byte in numpy.flatnonzero(numpy.diff(cuts).any(axis=0)):
            inside = [piece[cut[byte] : cut[byte + 1]] for piece, cut in zip(pieces, cuts, strict=True)]
            yield from _merged(inside, depth + 1)


def _without(records: Records, obsolete: NDArray[int64]) -> Records:
    """Return the records of paths whose ids are not in ``obsolete``, which is sorted."""
    if not len(obsolete):
        return records
    import numpy

    return records[~numpy.isin(_number(records, _KEY), obsolete, assume_unique=True)]


def _write(path: Path, chunks: Iterator[Records]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(_bytes(chunk).data)
        file.flush()
        os.fsync(file.fileno())


def _mapped(folder: Path | None, name: str) -> Records:
    """Return the records of a file, read where they are asked for."""
    import numpy

    kind = f"S{_NAMES[name]}"
    if folder is None or (folder / name).stat().st_size == 0:  # nothing cannot be mapped
        return numpy.zeros(0, kind)
    return numpy.memmap(folder / name, dtype=kind, mode="r")


def _padded(keys: Sequence[bytes], length: int) -> Records:
    """Return keys as records that come before all that begin with them; of the same length, or all would be copied."""
    import numpy

    return numpy.array(keys, f"S{length}")


def _records(matrix: NDArray[Any]) -> Records:
    import numpy

    return numpy.ascontiguousarray(matrix).view(f"S{matrix.shape[1]}").reshape(-1)


def _bytes(records: Records) -> NDArray[Any]:
    import numpy

    return numpy.ascontiguousarray(records).view(numpy.uint8).reshape(-1, records.dtype.itemsize)


def _big(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers as rows of 8 bytes, the highest first."""
    import numpy

    return numpy.ascontiguousarray(numbers.astype(">i8")).view(numpy.uint8).reshape(-1, 8)


def _number(records: Records, at: int) -> NDArray[int64]:
    """Return the numbers that stand ``at`` a place in each record."""
    import numpy

    columns = numpy.ascontiguousarray(_bytes(records)[:, at : at + 8])
    return columns.view(">i8").reshape(-1).astype(numpy.int64)


def _rows(records: Records) -> list[KnownRow]:
    identities, sizes, times = (_number(records, _KEY + 8 * at).tolist() for at in range(3))
    missing = _bytes(records)[:, -1].tolist()
    return [
        KnownRow(identity, None if _NONE in (size, time) else (size, time), bool(gone))
        for identity, size, time, gone in zip(identities, sizes, times, missing, strict=True)
    ]
