"""The patch features of one part of a store, written while its rows go to the journal.

In: rows as the loop gives them, each a vector with its cells behind it. Out: the same rows with their vectors alone,
and the cells in ``dense/part-N.npy``. What the journal holds is the truth: cells are on the disk before their rows are
committed, and whatever is there beyond the committed rows is cut off when a part is taken up again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from snellen.cache.drafts import sync_folder
from snellen.embed.patches.layout import FOLDER, Layout, file_of, scales_of
from snellen.embed.patches.places import Places
from snellen.embed.patches.reduce import stored
from snellen.errors import SnellenError
from snellen.records import Outcome
from snellen.store.files import keeping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Row = tuple[Outcome, Array | None]

UNFINISHED = ".unfinished"
"""What the name of a file ends in until its part is finished."""

SYNC = getattr(os, "fdatasync", os.fsync)
"""Has the bytes of a file on the disk; its times do not matter."""

BEYOND = "its patch features reach {:.2g}, beyond what float16 holds\n  next: another folder, with int8 or float32"


class Lost(SnellenError):
    """The journal of a part has more rows than there are patch features for."""


class DensePart:
    """The features of one part in the making: a context, left with ``finish`` or to be taken up again.

    ``ids`` are those of its rows, ``done`` how many of them its journal holds. Only who writes the journal may open it.
    """

    def __init__(self, folder: Path, number: int, layout: Layout, *, ids: range, done: int) -> None:
        """Begin the files, or take them up behind row ``done``.

        Raises Lost where they have fewer rows, Unavailable where the disk refuses.
        """
        self._folder, self._number, self._layout, self._ids = folder, number, layout, ids
        self._row = done  # the next one
        self._earlier = Places(folder)
        self._files: list[_Rows] = []
        try:
            with keeping(folder):
                (folder / FOLDER).mkdir(exist_ok=True)
                for path, shape, dtype in arrays(folder, number, layout):
                    self._files.append(_Rows(path, (len(ids), *shape), dtype, done))
        except BaseException:
            self.close()
            raise

    def take(self, rows: Iterable[Row]) -> list[Row]:
        """Write the cells of the next rows, and return the rows with vectors alone.

        A row of ``already_present`` without cells gets those of the row that it is the same as. A row whose numbers
        cannot be stored becomes ``broken``.
        """
        with keeping(self._folder):
            return [self._taken(outcome, row) for outcome, row in rows]

    def flush(self) -> None:
        """Have everything on the disk that was taken: then its rows may be committed."""
        with keeping(self._folder):
            for file in self._files:
                file.flush(self._row)

    def finish(self) -> None:
        """Put the files in their place, once all rows were taken and committed, and before the part itself is."""
        if self._row != len(self._ids):
            raise ValueError(f"{self._row} of {len(self._ids)} rows were taken")
        with keeping(self._folder):
            for file in reversed(self._files):  # the features last: who finds them finds the scales
                file.publish()
            sync_folder(self._folder / FOLDER)

    def close(self) -> None:
        """Let go of the files; they stay as they are."""
        for file in self._files:
            file.close()

    def __enter__(self) -> DensePart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _taken(self, outcome: Outcome, row: Array | None) -> Row:
        if outcome.id != self._ids[self._row]:
            raise ValueError(f"row {outcome.id} was given, and {self._ids[self._row]} is the next")
        number, width = self._row, self._layout.pooled
        self._row += 1
        if outcome.status == "already_present" and outcome.same_as is not None and (row is None or len(row) == width):
            self._copy(number, outcome.same_as)
            return outcome, row
        if row is None:
            return outcome, None
        cells = row[width:].reshape(self._layout.shape)
        kept = stored(cells, self._layout.dtype)
        if kept is None:
            return replace(outcome, status="broken", error_message=BEYOND.format(abs(cells).max())), None
        for file, array in zip(self._files, kept, strict=True):
            file.write(number, array)
        return outcome, row[:width].copy()  # or the cells would stay in memory as long as the vector does

    def _copy(self, row: int, same_as: int) -> None:
        """Write the cells of another row, of this part or of an earlier run."""
        if same_as in self._ids:
            for file in self._files:
                file.write(row, file.read(self._ids.index(same_as)))
            return
        part, there = self._earlier.of(same_as)
        for file, (path, _, _) in zip(self._files, arrays(self._folder, part, self._layout), strict=True):
            file.write(row, self._earlier.mapped(path)[there])


def arrays(folder: Path, number: int, layout: Layout) -> Iterator[tuple[Path, tuple[int, ...], str]]:
    """Yield each file of a part: its path, the shape of one row, and its dtype."""
    yield file_of(folder, number), layout.shape, layout.dtype
    if layout.scales:
        yield scales_of(folder, number), (layout.channels,), "float32"


class _Rows:
    """One file of numpy's format in the making: its header says how many rows there will be.

    It is written by calls, not through a mapping: of a full disk a mapping tells by a signal that ends the process.
    Rows that were never written are holes, which read as zeros and take no room.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str, done: int) -> None:
        import numpy

        self._path, self._draft, self._rows = path, path.with_name(path.name + UNFINISHED), shape[0]
        self._header = _header(shape, dtype)
        self._row_bytes = numpy.dtype(dtype).itemsize * int(numpy.prod(shape[1:]))
        if path.exists() and not self._draft.exists():  # its part was not finished: killed just before, or begun anew
            path.replace(self._draft)
        self._descriptor = os.open(self._draft, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take_up(done)
        except BaseException:
            self.close()
            raise

    def write(self, row: int, array: Array) -> None:
        """Write one row."""
        import numpy

        left, offset = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).data, self._end(row)
        while left:
            count = os.pwrite(self._descriptor, left, offset)
            left, offset = left[count:], offset + count

    def read(self, row: int) -> Array:
        """Return the bytes of one row; of one that was not written, zeros."""
        import numpy

        found = os.pread(self._descriptor, self._row_bytes, self._end(row))
        return numpy.frombuffer(found.ljust(self._row_bytes, b"\0"), numpy.uint8)

    def flush(self, rows: int) -> None:
        """Have the first ``rows`` rows on the disk, holes and all."""
        if os.fstat(self._descriptor).st_size < self._end(rows):
            os.ftruncate(self._descriptor, self._end(rows))
        SYNC(self._descriptor)

    def publish(self) -> None:
        """Put the file in its place."""
        self.flush(self._rows)
        os.fsync(self._descriptor)
        self._draft.replace(self._path)

    def close(self) -> None:
        """Let go of the file; once is enough."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take_up(self, done: int) -> None:
        """Cut off what is behind row ``done``; raise Lost where there is less, or something else."""
        size = os.fstat(self._descriptor).st_size
        if done and (size < self._end(done) or os.pread(self._descriptor, len(self._header), 0) != self._header):
            raise Lost(
                f"'{self._draft}' holds other rows than the {done} that the journal of its part says are done",
                expected="the folder as the last run left it",
                todo="bring the file back from a copy, or remove the part's journal in .snellen/journal: "
                "then the part is embedded anew",
            )
        if not done:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, self._header, 0)
        os.ftruncate(self._descriptor, self._end(done))

    def _end(self, rows: int) -> int:
        return len(self._header) + rows * self._row_bytes


def _header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Return the header of an array of numpy's format."""
    import numpy

    stream = BytesIO()
    described = numpy.lib.format.dtype_to_descr(numpy.dtype(dtype).newbyteorder("<"))
    document = {"descr": described, "fortran_order": False, "shape": shape}
    numpy.lib.format.write_array_header_1_0(stream, document)
    return stream.getvalue()
