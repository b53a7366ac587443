"""An 8-bit network: weights and the inputs of matrix products in 8 bits, their ranges taken from real images.

The method is NNCF's post-training quantisation for transformers: nothing is trained, ranges are read off while the
network runs on calibration images. What it costs in agreement has to be measured: ``verification.glance``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.errors import MissingPackage
from snellen.images import decode
from snellen.runtimes.openvino.session import NETWORK, openvino, unreported

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.recipes import Recipe

    Array = NDArray[float32]

PHOTOS = Path(__file__).parent.parent.parent / "photos"


def photographs(recipe: Recipe) -> list[Array]:
    """Return the package's photographs as the recipe makes them, each also mirrored, [3, h, w]."""
    paths = sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".png"))
    upright = [recipe.array(decode(path)) for path in paths]
    return [*upright, *(pixels[:, :, ::-1].copy() for pixels in upright)]


def digest(images: Sequence[Array]) -> str:
    """Return the digest of calibration images."""
    whole = hashlib.sha256()
    for pixels in images:
        whole.update(pixels.tobytes())
    return whole.hexdigest()


def version() -> str:
    """Return NNCF's version; raise MissingPackage where it is not installed."""
    return str(_nncf().__version__)


def write(network: Path, images: Sequence[Array], folder: Path) -> None:
    """Write the 8-bit form of ``network`` into ``folder``, calibrated on ``images`` [3, h, w].

    Raises MissingPackage where nncf is not installed.
    """
    nncf = _nncf()
    package = openvino()
    model: Any = package.Core().read_model(network)
    data = nncf.Dataset([pixels[None] for pixels in images])
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        made = nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(images))
    package.save_model(made, folder / NETWORK, compress_to_fp16=False)


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
