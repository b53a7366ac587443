"""What a search is shown: the images it is judged on, and others that 8-bit networks are calibrated on.

In: what a person named, or nothing. Out: pixels, names, and a calibration of images that are none of those judged on: a
network is good on what its ranges were read off.

n images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.errors import UsageError
from snellen.images import decode
from snellen.records.plan import Setup
from snellen.runtimes.openvino import quantise
from snellen.runtimes.openvino.quantise import UNSEEN, Calibration
from snellen.verification import inputs

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray
    from torch import Tensor

    from snellen.recipes import Recipe

    Array = NDArray[float32]

LEAST = 2  # images that are judged on: one alone could not be told from another
CALIBRATED = (quantise.LEAST, 32)  # images that 8 bits are calibrated on, at least and at most

NO_IMAGES = "verified with photographs of the package: others than those that 8-bit networks are made with"
OWN = "8-bit networks are calibrated on the images named: {count}, none of them verified with"
PACKAGES = (
    "8-bit networks are calibrated on the package's photographs: beside those verified with, {count} different "
    f"images were named, and it takes {CALIBRATED[0]}"
)
COPIES = "passed over, for the same image was named before: {names}"
DROPPED = "not verified with, for 8-bit networks are calibrated on them: {names}"
SPOILT = "it would be judged on images that it was calibrated on ({names}), and fewer than two others were named"


@dataclass(frozen=True)
class Shown:
    """Pixels [n, 3, h, w] of the images that are judged on, their names, and what is to be said of them."""

    pixels: Tensor
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    calibration: Calibration | None = None  # None: the package's photographs
    calibrated: tuple[str, ...] = ()  # the names of its images
    spoilt: str = ""  # why nothing can be judged that was calibrated on the package's photographs, where it cannot


@dataclass
class Different:
    """The images at paths, one after another, without those that were there before."""

    recipe: Recipe
    paths: Iterator[Path]
    known: set[bytes] = field(default_factory=set)
    copies: list[str] = field(default_factory=list)  # the names of those that were passed over

    def take(self, count: int) -> list[tuple[str, Array]]:
        """Read on until there are so many, or no more. Raises ImageError."""
        found: list[tuple[str, Array]] = []
        while len(found) < count and (path := next(self.paths, None)) is not None:
            pixels = self.recipe.array(decode(path))
            if pixels.tobytes() in self.known:
                self.copies.append(path.name)
            else:
                self.known.add(pixels.tobytes())
                found.append((path.name, pixels))
        return found


def shown(images: Sequence[str | Path] | None, recipe: Recipe, count: int, *, eight_bit: bool) -> Shown:
    """Return the first ``count`` different images to judge on, and, for ``eight_bit``, others to calibrate on.

    Raises UsageError for fewer than two images, ImageError for one that is none.
    """
    chosen = inputs.photographs() if images is None else inputs.images(images)
    paths = [path for path in chosen.paths if images is not None or path.name in UNSEEN]
    different = Different(recipe, iter(paths))
    judged = different.take(count)
    if images is None:
        return _of(judged, NO_IMAGES)
    if len(judged) < LEAST:
        raise UsageError(
            f"{len(judged)} image was named" + (f", and {len(different.copies)} copies" if different.copies else ""),
            expected="two or more, to tell them apart",
            todo="name another",
        )
    found = _calibrated(judged, different) if eight_bit else _of(judged)
    copies = (COPIES.format(names=", ".join(different.copies)),) if different.copies else ()
    return replace(found, notes=(*found.notes, *copies))


def meant(setup: Setup, calibration: Calibration | None) -> Calibration | str | None:
    """Return the images that a setup was calibrated on; their digest alone where they are none of those at hand."""
    if calibration is not None and setup.calibration == calibration.digest:
        return calibration
    return setup.calibration


def packed(calibration: Calibration) -> dict[str, Array]:
    """Return a calibration's images by name, as ``wire`` sends them."""
    parts = {"images": calibration.images, "held_out": calibration.held_out}
    return {f"{part} {number}": array for part, arrays in parts.items() for number, array in enumerate(arrays)}


def unpacked(arrays: Mapping[str, Array]) -> Calibration:
    """Return the calibration that ``packed`` took apart."""
    images, held_out = (
        [array for name, array in arrays.items() if name.startswith(part)] for part in ("images ", "held_out ")
    )
    return Calibration(images, held_out)


def _of(judged: Sequence[tuple[str, Array]], *notes: str) -> Shown:
    import numpy
    import torch

    return Shown(torch.from_numpy(numpy.stack([x for _, x in judged])), tuple(name for name, _ in judged), notes)


def _calibrated(judged: list[tuple[str, Array]], different: Different) -> Shown:
    """Calibrate on the images that come next; where they are too few, see that none of the package's is judged on."""
    found = different.take(CALIBRATED[1])
    if len(found) >= CALIBRATED[0]:
        calibration = quantise.given([pixels for _, pixels in found])
        return replace(
            _of(judged, OWN.format(count=len(found))),
            calibration=calibration,
            calibrated=tuple(name for name, _ in found),
        )
    packages = quantise.photographs(different.recipe)
    seen = {pixels.tobytes() for pixels in (*packages.images, *packages.held_out)}
    unseen = [one for one in judged if one[1].tobytes() not in seen]
    names = ", ".join(name for name, pixels in judged if pixels.tobytes() in seen)
    because = PACKAGES.format(count=len(found))
    if not names:
        return _of(judged, because)
    if len(unseen) < LEAST:
        return replace(_of(judged, because), spoilt=SPOILT.format(names=names))
    return _of(unseen, because, DROPPED.format(names=names))
