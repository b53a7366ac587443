"""Where embeddings go: Parquet, npz or JSON lines, chosen by the ending of the file.

In: outcomes and vectors, in order. Out: one file that appears whole or not at all: it is written beside its place
under another name, and renamed when it is complete. A failed image keeps its row, so that nothing shifts.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, final

from snellen.draft import Draft, check, writing
from snellen.records import ModelRecord, Outcome

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Vector = NDArray[float32]

METADATA_KEY = "snellen"
ROW_GROUP = 1024


class Format(ABC):
    """One file format; writes to an open binary stream."""

    @abstractmethod
    def __init__(self, stream: BinaryIO, record: ModelRecord) -> None: ...

    @abstractmethod
    def add(self, outcome: Outcome, vector: Vector | None) -> None:
        """Add one row; ``vector`` is [D], or None for an image that could not be embedded."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is still held."""

    @abstractmethod
    def abandon(self) -> None:
        """Let go of the stream; what is still held is lost."""


@final
class Parquet(Format):
    """One row an image, embedding null where there is none; the model's record is in the file's metadata."""

    def __init__(self, stream: BinaryIO, record: ModelRecord) -> None:
        from pyarrow import parquet

        from snellen.store.layout import rows_schema

        self._schema = rows_schema().with_metadata({METADATA_KEY: json.dumps(record.to_dict())})
        self._writer = parquet.ParquetWriter(stream, self._schema)
        self._rows: list[dict[str, Any]] = []

    def add(self, outcome: Outcome, vector: Vector | None) -> None:
        """Hold one row, and write a full group of them."""
        self._rows.append({**outcome.to_dict(), "embedding": vector})
        if len(self._rows) == ROW_GROUP:
            self._flush()

    def finish(self) -> None:
        """Write the last rows and the footer."""
        if self._rows:
            self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Close the writer, which would otherwise try that by itself when the stream is gone."""
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow

        self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()


@final
class Npz(Format):
    """Arrays with one row an image, held in memory until the end; rows of failed images are NaN.

    ``embedding`` [n, D] float32; ``width`` and ``height`` are 0 and texts are empty where there is nothing to say.
    """

    def __init__(self, stream: BinaryIO, record: ModelRecord) -> None:
        self._stream, self._record = stream, record
        self._outcomes: list[Outcome] = []
        self._vectors: list[Vector | None] = []

    def add(self, outcome: Outcome, vector: Vector | None) -> None:
        """Hold one row."""
        self._outcomes.append(outcome)
        self._vectors.append(vector)

    def finish(self) -> None:
        """Write all arrays."""
        import numpy

        width = next((len(vector) for vector in self._vectors if vector is not None), 0)
        embedding = numpy.full((len(self._vectors), width), numpy.nan, dtype=numpy.float32)
        for row, vector in zip(embedding, self._vectors, strict=True):
            if vector is not None:
                row[:] = vector
        numbers = {name: numpy.array([getattr(o, name) or 0 for o in self._outcomes], int) for name in NUMBERS}
        texts = {name: numpy.array([getattr(o, name) or "" for o in self._outcomes], str) for name in TEXTS}
        notes = numpy.array(["; ".join(outcome.notes) for outcome in self._outcomes], str)
        record = numpy.array(json.dumps(self._record.to_dict()))
        arrays: dict[str, Any] = {"embedding": embedding, **numbers, **texts, "notes": notes, METADATA_KEY: record}
        numpy.savez(self._stream, **arrays)

    def abandon(self) -> None:
        """Do nothing: the stream is only used at the end."""


NUMBERS = ("id", "width", "height")
TEXTS = ("image_path", "status", "error_message", "sha256")


@final
class JsonLines(Format):
    """One object an image, each with the encoder, its weights and its recipe: a line explains itself."""

    def __init__(self, stream: BinaryIO, record: ModelRecord) -> None:
        self._stream, self._model = stream, brief(record)

    def add(self, outcome: Outcome, vector: Vector | None) -> None:
        """Write one line."""
        row = {**outcome.to_dict(), "embedding": numbers(vector), "model": self._model}
        self._stream.write(json.dumps(row).encode() + b"\n")

    def finish(self) -> None:
        """Do nothing: every line is written already."""

    def abandon(self) -> None:
        """Do nothing: nothing is held."""


FORMATS: dict[str, Callable[[BinaryIO, ModelRecord], Format]] = {
    ".parquet": Parquet,
    ".npz": Npz,
    ".jsonl": JsonLines,
}


@final
class Sink:
    """A file of embeddings in the making: a context in which rows are added.

    Leaving the context renames the file to its name; leaving it by an exception removes it, and whatever stood under
    that name stays.

    Raises UsageError for an ending that is no format and for a place that cannot hold a file, Unavailable when the
    disk refuses.
    """

    def __init__(self, path: Path, record: ModelRecord) -> None:
        check(path, FORMATS)
        self.path = path
        self._draft = Draft(path)
        self._format = FORMATS[path.suffix.lower()](self._draft.stream, record)

    def add(self, outcome: Outcome, vector: Vector | None) -> None:
        """Add one row; ``vector`` is [D] float32, or None for an image that could not be embedded."""
        with writing(self.path):
            self._format.add(outcome, vector)

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with writing(self.path):
                    self._format.finish()
                    self._draft.publish()
        finally:
            self._draft.discard(self._format.abandon)


def brief(record: ModelRecord) -> dict[str, str | None]:
    """Return what of ``record`` goes beside every row: what made the numbers, without the reasons."""
    origin = record.origin
    drawn = f"seed:{origin.seed}, drawn at random: these numbers mean nothing"
    weights = origin.repo or origin.path or origin.kind if origin.trained else drawn
    return {
        "variant": record.variant,
        "library": record.library,
        "weights": weights,
        "digest": record.digest,
        "recipe": record.recipe,
        "recipe_hash": record.recipe_hash,
        "dtype": record.dtype,
        "device": record.device,
        "runtime": record.runtime,
    }


def numbers(vector: Vector | None) -> list[float] | None:
    """Return the values of a float32 vector with as many digits as they have (nine), ready for JSON."""
    return None if vector is None else [float(f"{value:.9g}") for value in vector.tolist()]
