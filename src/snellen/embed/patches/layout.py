"""How the patch features of a store are laid out: ``dense/dense.json``, which explains the files beside it.

In: what was asked for, and what an encoder gives. Out: a ``Layout``, one for a store for as long as it lives. Standard
library only.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from snellen._version import __version__
from snellen.draft import drafted
from snellen.embed.patches.spec import Dtype, Spec
from snellen.errors import SnellenError
from snellen.records import ModelRecord
from snellen.records.reading import read

SCHEMA = "snellen.dense/1"
FOLDER = "dense"
FILE = "dense.json"
PCA_FILE = "pca.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What an encoder gives for one image."""

    size: tuple[int, int]  # of its input in pixels, height and width
    patches: tuple[int, int]  # down and across
    width: int  # channels of a patch
    pooled: int  # numbers in its vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The projection of a store, which all of its parts share."""

    file: str
    sha256: str  # of its numbers
    images: int  # that it was fitted on, the first of the store's first run
    cells: int
    explained: float  # share of their variance that it keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What lies in ``part-N.npy``: [row, down, across, channel]; row j is row j of ``part-N.parquet``.

    Rows of images that have no vector are zeros. Class token and registers are not among the cells.
    """

    spec: str  # what was asked for, in the order in which it is done
    dtype: Dtype
    grid: tuple[int, ...]  # cells down and across
    channels: int  # of a cell
    order: tuple[str, ...] = ("row", "down", "across", "channel")
    scales: bool  # part-N.scales.npy [row, channel]: a number is its int8 times the scale
    row_bytes: int  # of one image, its scales included
    input: tuple[int, ...]  # pixels that the encoder takes, height and width: what the recipe makes
    down: tuple[tuple[int, ...], ...]  # of each row of cells, the input's pixels it covers: from, and up to
    across: tuple[tuple[int, ...], ...]  # and of each column
    patches: tuple[int, ...]  # of the encoder, down and across
    width: int  # channels of the encoder
    pooled: int  # numbers in a vector
    recipe: str
    recipe_hash: str
    weights: str | None  # sha256
    projection: Fitted | None
    version: str  # of snellen

    @property
    def asked(self) -> Spec:
        """What was asked for."""
        return Spec.parse(self.spec)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells down and across, and their channels."""
        return self.grid[0], self.grid[1], self.channels

    @property
    def unprojected(self) -> Layout:
        """The layout of what a projection is fitted on: cells averaged, in the encoder's channels, as float32."""
        spec = Spec(pool=self.asked.pool)
        row = spec.row_bytes((self.patches[0], self.patches[1]), self.width)
        return replace(
            self,
            spec=str(spec),
            dtype="float32",
            channels=self.width,
            scales=False,
            row_bytes=row,
            projection=None,
        )

    def differences(self, other: Layout) -> tuple[str, ...]:
        """Return what keeps features of ``other`` from standing beside these, a clause for each."""
        names = ("spec", "input", "patches", "width", "recipe", "weights")
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        if self.projection and other.projection:
            pairs.append(("projection", self.projection.sha256, other.projection.sha256))
        return tuple(f"{name} is {mine}, and {theirs} there" for name, mine, theirs in pairs if mine != theirs)

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as JSON-serialisable values."""
        return {"schema": SCHEMA, **asdict(self)}


def layout_of(spec: Spec, given: Given, record: ModelRecord) -> Layout:
    """Return how what ``spec`` asks for is laid out; its projection is still to be fitted.

    Raises UsageError for a PCA to more channels than there are.
    """
    grid = spec.grid(given.patches)
    stride = given.size[0] // given.patches[0], given.size[1] // given.patches[1]
    return Layout(
        spec=str(spec),
        dtype=spec.dtype,
        grid=grid,
        channels=spec.channels(given.width),
        scales=spec.dtype == "int8",
        row_bytes=spec.row_bytes(given.patches, given.width),
        input=given.size,
        down=_covered(grid[0], spec.pool * stride[0], given.size[0]),
        across=_covered(grid[1], spec.pool * stride[1], given.size[1]),
        patches=given.patches,
        width=given.width,
        pooled=given.pooled,
        recipe=record.recipe,
        recipe_hash=record.recipe_hash,
        weights=record.digest,
        projection=None,
        version=__version__,
    )


def grid_of(size: tuple[int, int], count: int) -> tuple[int, int]:
    """Return the grid of ``count`` square patches that cover an input of ``size``; raise SnellenError without one."""
    stride = math.isqrt(size[0] * size[1] // count)
    grid = size[0] // stride, size[1] // stride
    if grid[0] * grid[1] != count:
        raise SnellenError(
            f"the encoder gave {count} patches for {size[0]} x {size[1]} pixels",
            expected="a grid of squares",
            todo="take another --runtime",
        )
    return grid


def write(folder: Path, layout: Layout) -> None:
    """Write the layout of the store in ``folder``, whole or not at all."""
    with drafted(folder / FOLDER / FILE) as draft:
        draft.write_text(json.dumps(layout.to_dict(), indent=1) + "\n", encoding="utf-8")


def find(folder: Path) -> Layout | None:
    """Return the layout of the store in ``folder``, None where it has no patch features.

    Raises UsageError for a file that says something else.
    """
    try:
        text = (folder / FOLDER / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    document = json.loads(text)
    if document.get("schema") != SCHEMA:
        raise SnellenError(
            f"'{folder / FOLDER / FILE}' is of schema {document.get('schema')!r}",
            expected=SCHEMA,
            todo="read it with the version of snellen that wrote it",
        )
    return read(Layout, {name: value for name, value in document.items() if name != "schema"})


def file_of(folder: Path, number: int) -> Path:
    """Return where the features of a part are."""
    return folder / FOLDER / f"part-{number:05d}.npy"


def scales_of(folder: Path, number: int) -> Path:
    """Return where the scales of a part are."""
    return folder / FOLDER / f"part-{number:05d}.scales.npy"


def _covered(cells: int, stride: int, length: int) -> tuple[tuple[int, int], ...]:
    return tuple((i * stride, min((i + 1) * stride, length)) for i in range(cells))
