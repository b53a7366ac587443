"""How far fast decoding takes the vectors of the very images at hand from the exact ones.

In: an encoder, its recipe with and without 'dct', and the bytes of a few images. Out: ``Drift``, cosines, and what to
say of them. Each image of the sample is decoded twice, and so costs more than one that is embedded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Protocol

from snellen.embed.prepare import Recipe
from snellen.errors import ImageError
from snellen.images import decode

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]

SAMPLE = 16
"""Images that are compared, unless asked otherwise."""

DIGITS = 6


class Encodes(Protocol):
    """What is asked of an encoder here."""

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Encode batches of pixels [b, 3, h, w] to vectors [b, D], in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Cosines of fast vectors to exact ones, of the images that are decoded smaller; None where there is none."""

    images: int
    full: int  # others, which were looked at and are decoded in full either way
    lowest: float | None
    median: float | None
    mean: float | None

    def __str__(self) -> str:
        if self.lowest is None or self.median is None:
            looked = f"none of {self.full} images looked at is" if self.full else "no image was found that is"
            return f"decoded fast: {looked} decoded smaller, which would cost exactness"
        return (
            f"decoded fast: the cosine to the exact vectors is {_below(self.lowest)} at the lowest and "
            f"{_below(self.median)} in the median of {self.images} sample images"
        )


def drift(
    model: Encodes, exact: Recipe, fast: Recipe, contents: Iterable[bytes], *, batch: int, most: int = SAMPLE
) -> Drift:
    """Compare the vectors of the first ``most`` images that ``fast`` decodes smaller; no more are taken then.

    ``contents`` are the bytes of image files; what is no image is passed over, and nothing is raised for it.
    """
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = []
    full = 0
    for content in contents:
        try:
            picture = decode(content, at_least=fast.at_least)
            if picture.rgb.size == (picture.width, picture.height):
                full += 1
                continue
            pairs.append((exact.array(decode(content)), fast.array(picture)))
        except ImageError:
            continue
        if len(pairs) == most:
            break
    slow, quick = (_vectors(model, [pair[side] for pair in pairs], batch) for side in (0, 1))
    cosines = [cosine for cosine in map(_cosine, slow, quick) if math.isfinite(cosine)]
    if not cosines:
        return Drift(images=0, full=full, lowest=None, median=None, mean=None)
    return Drift(images=len(cosines), full=full, lowest=min(cosines), median=median(cosines), mean=fmean(cosines))


def _vectors(model: Encodes, pixels: list[NDArray[Any]], batch: int) -> list[NDArray[Any]]:
    import numpy

    batches = (numpy.stack(pixels[i : i + batch]) for i in range(0, len(pixels), batch))
    return [vector for vectors in model.vectors(batches) for vector in vectors.astype(numpy.float64)]


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the cosine, not finite where a vector is not or has no direction."""
    lengths = math.sqrt(float(a @ a) * float(b @ b)) if all(map(math.isfinite, (*a, *b))) else 0.0
    return min(1.0, float(a @ b) / lengths) if lengths else math.nan


def _below(cosine: float) -> str:
    """Write a cosine so that it is never said to be higher than it is."""
    return f"{math.floor(cosine * 10**DIGITS) / 10**DIGITS:.{DIGITS}f}"
