"""What is to be kept of the patch features: ``pool2,pca64,float16`` goes in, a ``Spec`` comes out.

Standard library only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast, get_args

from snellen.errors import UnknownName, UsageError

Dtype = Literal["float32", "float16", "int8"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
SIZES: dict[Dtype, int] = {"float32": 4, "float16": 2, "int8": 1}
"""Bytes of one number."""

POOLS = {"pool2": 2, "pool4": 4}
"""Words for averages over squares of so many cells a side."""

WORDS = (*DTYPES, *POOLS, "pcaK")
EXAMPLE = "pool2,pca64,float16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What is done to the patch features, in this order: cells averaged, channels projected, numbers stored."""

    pool: int = 1  # cells a side that become one
    pca: int | None = None  # channels that are left
    dtype: Dtype = "float32"

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read words with commas between them, in any order; float32 where no number format is named.

        Raises UsageError for an empty text and for two words that say the same thing, UnknownName for any other word.
        """
        found: dict[str, tuple[str, object]] = {}  # what is said -> the word, and what it says
        for word in filter(None, (part.strip().lower() for part in text.split(","))):
            field, value = _read(word)
            if field in found:
                raise UsageError(
                    f"--dense {text!r} says both {found[field][0]} and {word}", expected=f"for example {EXAMPLE}"
                )
            found[field] = word, value
        if not found:
            raise UsageError("--dense says nothing", expected=f"words such as {EXAMPLE}")
        values = {field: value for field, (_, value) in found.items()}
        return cls(
            pool=cast("int", values.get("pool", 1)),
            pca=cast("int | None", values.get("pca")),
            dtype=cast("Dtype", values.get("dtype", "float32")),
        )

    def __str__(self) -> str:
        pool = [f"pool{self.pool}"] if self.pool > 1 else []
        pca = [f"pca{self.pca}"] if self.pca is not None else []
        return ",".join([*pool, *pca, self.dtype])

    def grid(self, patches: tuple[int, int]) -> tuple[int, int]:
        """Return how many cells (h, w) are left of a grid of patches; at the edges a cell may average fewer of them."""
        return math.ceil(patches[0] / self.pool), math.ceil(patches[1] / self.pool)

    def channels(self, width: int) -> int:
        """Return how many numbers a cell has, of ``width`` channels; raise UsageError where PCA has nothing to do."""
        if self.pca is not None and self.pca >= width:
            raise UsageError(
                f"pca{self.pca} was asked for, and the encoder has {width} channels",
                expected=f"fewer than {width}",
                todo="leave pca out",
            )
        return self.pca or width

    def row_bytes(self, patches: tuple[int, int], width: int) -> int:
        """Return the bytes of one image, its scales included."""
        height, across = self.grid(patches)
        channels = self.channels(width)
        scales = SIZES["float32"] * channels if self.dtype == "int8" else 0
        return height * across * channels * SIZES[self.dtype] + scales


def _read(word: str) -> tuple[str, object]:
    """Return which field of a Spec a word is about, and what it says."""
    if word in DTYPES:
        return "dtype", word
    if word in POOLS:
        return "pool", POOLS[word]
    number = word.removeprefix("pca")
    if word != number and number.isascii() and number.isdecimal() and int(number):
        return "pca", int(number)
    raise UnknownName("reduction", word, WORDS, todo=f"any of {', '.join(WORDS)}, with commas: {EXAMPLE}")
