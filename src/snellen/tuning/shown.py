"""What a search is shown: the images it is judged on, and others that 8-bit networks are calibrated on.

In: what a person named, or nothing. Out: pixels, names, and a calibration of images that are none of those judged on: a
network is good on what its ranges were read off.

n images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Shown:
    """Pixels [n, 3, h, w] of the images that are judged on, their names, and what is to be said of them."""

    pixels: Tensor
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    calibration: Calibration | None = None  # None: the package's photographs
    calibrated: tuple[str, ...] = ()  # the names of its images


def shown(images: Sequence[str | Path] | None, recipe: Recipe, count: int, *, eight_bit: bool) -> Shown:
    """Return the first ``count`` images to judge on, and, for ``eight_bit``, others to calibrate on.

    Raises UsageError for fewer than two images, ImageError for one that is none.
    """
    chosen = inputs.photographs() if images is None else inputs.images(images)
    paths = [path for path in chosen.paths if images is not None or path.name in UNSEEN]
    chosen = replace(chosen, paths=tuple(paths[:count]))
    judged = Shown(chosen.pixels(recipe), tuple(path.name for path in chosen.paths))
    if images is None:
        return replace(judged, notes=(NO_IMAGES,))
    if len(judged.names) < LEAST:
        raise UsageError(
            f"{len(judged.names)} image was named", expected="two or more, to tell them apart", todo="name another"
        )
    return _calibrated(judged, recipe, paths[count:]) if eight_bit else judged


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


def _calibrated(judged: Shown, recipe: Recipe, paths: Iterable[Path]) -> Shown:
    """Add a calibration on the images at ``paths``; one that is judged on, or was there before, counts for nothing."""
    known = {image.numpy().tobytes() for image in judged.pixels}
    found: dict[str, Array] = {}
    for path in paths:
        if len(found) == CALIBRATED[1]:
            break
        pixels = recipe.array(decode(path))
        if pixels.tobytes() not in known:
            known.add(pixels.tobytes())
            found[str(path)] = pixels
    if len(found) < CALIBRATED[0]:
        return replace(judged, notes=(*judged.notes, PACKAGES.format(count=len(found))))
    calibration = quantise.given(list(found.values()))
    names = tuple(Path(path).name for path in found)
    notes = (*judged.notes, OWN.format(count=len(found)))
    return replace(judged, notes=notes, calibration=calibration, calibrated=names)
