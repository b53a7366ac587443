"""An 8-bit network: weights and the inputs of matrix products in 8 bits, their ranges taken from real images.

The method is NNCF's post-training quantisation for transformers: nothing is trained, ranges are read off while the
network runs on calibration images. What it costs in agreement has to be measured: ``verification.glance``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from snellen.errors import MissingPackage, UsageError
from snellen.images import Picture, decode
from snellen.runtimes.openvino.files import NETWORK, OUTPUTS, places_of, read
from snellen.runtimes.openvino.session import check_process, openvino, unreported

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.recipes import Recipe

    Array = NDArray[float32]

PHOTOS = Path(__file__).parent.parent.parent / "photos"

CALIBRATION = ("astronaut.jpg", "clock.png", "gravel.jpg", "hubble.jpg", "retina_12mp.jpg")
HELD_OUT = ("grass.jpg", "rocket_portrait.jpg")
"""Photographs of the package that ranges are read off, and those by which the method is chosen."""

UNSEEN = ("cat.jpg", "coffee.jpg", "camera.jpg")
"""Those that an 8-bit network was not made with, and can be judged by."""

QUARTERS = ((0, 0), (0, 1), (1, 0), (1, 1))

LEAST = 4
"""Images that 8 bits are calibrated on, at least: one in four is held out."""

METHOD = "quantised.json"
"""Says beside an 8-bit network how it was made."""

SINGLE = {"INFERENCE_PRECISION_HINT": "f32"}

SMOOTHED = "SmoothQuant, as NNCF sets it for transformers"
PLAIN = "without SmoothQuant"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Images [3, h, w] that ranges are read off, and others by which the method is chosen."""

    images: Sequence[Array]
    held_out: Sequence[Array]

    @property
    def digest(self) -> str:
        """The digest of all images, and of which are held out."""
        whole = hashlib.sha256(f"{len(self.images)} {len(self.held_out)}".encode())
        for pixels in (*self.images, *self.held_out):
            whole.update(pixels.tobytes())
        return whole.hexdigest()


def photographs(recipe: Recipe) -> Calibration:
    """Return the package's photographs as the recipe makes them, whole, mirrored and in quarters."""
    views = [view for name in CALIBRATION for view in _views(recipe, decode(PHOTOS / name))]
    return Calibration(views, [recipe.array(decode(PHOTOS / name)) for name in HELD_OUT])


def given(images: Sequence[Array]) -> Calibration:
    """Return somebody's own images, of which one in four is held out. Raises UsageError for fewer than four."""
    if len(images) < LEAST:
        raise UsageError(
            f"{len(images)} images were given to calibrate 8 bits on",
            expected=f"{LEAST} or more: one in four is held out",
            todo="give more, or none: the package's photographs are used then",
        )
    kept = [pixels for index, pixels in enumerate(images) if index % 4]
    return Calibration(kept, images[::4])


def version() -> str:
    """Return NNCF's version; raise MissingPackage where it is not installed."""
    return str(_nncf().__version__)


def write(network: Path, calibration: Calibration, folder: Path) -> None:
    """Write the 8-bit form of ``network`` into ``folder``, by the method that is nearer to it on images held out.

    SmoothQuant moves large activations into the weights, which trained encoders may need; its factors fit the images
    they were read off, and may fit no others. Raises MissingPackage where nncf is not installed, Unreadable where
    OpenVINO cannot read ``network``, Unavailable where the disk refuses.
    """
    from snellen.runtimes.openvino import convert  # torch, which nncf needs anyhow

    check_process()
    nncf = _nncf()
    core = openvino().Core()
    data = nncf.Dataset([pixels[None] for pixels in calibration.images])
    exact, places = read(core, network), places_of(network)
    plain = nncf.AdvancedQuantizationParameters(
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=-1, convolution=-1)
    )
    made, errors = {}, {}
    for method, advanced in ((SMOOTHED, None), (PLAIN, plain)):
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
            made[method] = nncf.quantize(
                exact.clone(),
                data,
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(calibration.images),
                advanced_parameters=advanced,
            )
        errors[method] = _error(core, exact, made[method], places["pooled"], calibration.held_out)
    chosen = min(errors, key=lambda method: errors[method])
    convert.save(made[chosen], folder / NETWORK)
    (folder / OUTPUTS).write_text(json.dumps(places), encoding="utf-8")
    said = {"method": chosen, "calibration": calibration.digest, "relative_error_of_pooled_on_images_held_out": errors}
    (folder / METHOD).write_text(json.dumps(said, indent=2), encoding="utf-8")


def _error(core: Any, exact: Any, made: Any, place: int, images: Sequence[Array]) -> float:
    """Return how far an 8-bit network's pooled vectors lie from the exact one's, relative to their size."""
    pixels = numpy.stack(images)
    theirs, mine = (core.compile_model(model, "CPU", SINGLE)(pixels)[place] for model in (exact, made))
    return float(numpy.linalg.norm(mine - theirs) / numpy.linalg.norm(theirs))


def _views(recipe: Recipe, picture: Picture) -> list[Array]:
    """Return a picture whole, mirrored, and its four quarters, as the recipe makes them."""
    image = picture.rgb
    width, height = image.width // 2, image.height // 2
    corners = [(x * width, y * height) for y, x in QUARTERS]
    whole = recipe.array(picture)
    parts = [image.crop((x, y, x + width, y + height)) for x, y in corners]
    return [whole, whole[:, :, ::-1].copy(), *(recipe.array(decode(part)) for part in parts)]


def _nncf() -> Any:
    """Import NNCF, which neither prints its progress nor reports its use to its makers."""
    os.environ.setdefault("NNCF_CI", "1")  # read when it is imported: no telemetry
    try:
        with unreported():
            import nncf
    except ImportError as error:
        raise MissingPackage(f"int8 needs the package nncf ({error})", todo="pip install 'snellen[int8]'") from error
    nncf.set_log_level(logging.ERROR)
    return nncf
