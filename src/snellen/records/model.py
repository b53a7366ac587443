"""Which encoder made the numbers, and what became of each image.

``ModelRecord`` says which encoder made the numbers and how every automatic choice fell; ``Outcome`` says what became
of one input image. Both are written beside the numbers, so that a file of embeddings explains itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Status = Literal["done", "already_present", "broken", "missing", "too_large"]
"""What became of one input image.

``done``      embedded
``already_present`` its very bytes were embedded before, as ``same_as`` says: the vector is a copy
``broken``    there, but not an image that can be used; the error message says why
``missing``   the path that was named does not exist
``too_large`` more pixels than are decoded without being asked to
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Something decided automatically, and why."""

    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where weights came from: a file or folder, a hub repository at a revision, or a seed."""

    kind: Literal["file", "hub", "modelscope", "seed"]
    path: str | None = None
    repo: str | None = None
    revision: str | None = None
    seed: int | None = None

    @property
    def trained(self) -> bool:
        """Tell whether the weights were trained; seeded ones mean nothing, and whatever shows them says so."""
        return self.kind != "seed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """Which encoder it was, with which weights, recipe and place."""

    name: str  # as it was asked for
    variant: str  # the row of the zoo
    library: str  # whose name it is, and so whose numbers: timm, transformers, meta, ...
    family: str
    dialect: str | None  # how the checkpoint was spelt; None for seeded weights
    origin: Origin
    digest: str | None = None  # sha256 of the weights, where it was asked for
    recipe: str
    recipe_hash: str
    pool: str
    dtype: str
    device: str
    version: str  # of snellen
    runtime: str = "eager"  # what executes it
    stored: tuple[str, ...] = ()  # dtypes of the weights where they came from; none for drawn ones
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": "snellen.model/1", **asdict(self)}

    def run_as(self, dtype: str, runtime: str) -> ModelRecord:
        """Return the record of the same encoder, run by another runtime or in another dtype."""
        before = cast_notes(self.stored, self.dtype)
        notes = (*cast_notes(self.stored, dtype), *(note for note in self.notes if note not in before))
        return replace(self, dtype=dtype, runtime=runtime, notes=notes)


def cast_notes(stored: tuple[str, ...], dtype: str) -> tuple[str, ...]:
    """Return what is said of weights that are run in another dtype than they were stored in."""
    return () if stored in ((), (dtype,)) else (f"stored as {', '.join(stored)}, run as {dtype}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one input image; ``id`` counts the inputs from 0, in the order they were named."""

    id: int
    image_path: str
    status: Status
    error_message: str | None = None
    sha256: str | None = None  # of the file's bytes
    width: int | None = None  # as decoded, before the recipe
    height: int | None = None
    notes: tuple[str, ...] = ()
    file_size: int | None = None  # in bytes
    modified_ns: int | None = None  # when the file was last changed, since 1970; None where nothing tells
    same_as: int | None = None  # the id of the row whose vector this is a copy of

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON-serialisable values."""
        return asdict(self)
