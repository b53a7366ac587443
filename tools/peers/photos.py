"""Files to embed, made of the package's photographs: many of a common data set's size, a few as large as a phone's.

Enlarged, a photograph lacks what makes a JPEG of a phone large: detail of a few pixels, and the grain of the sensor.
Both are added: its own detail once more, small and in mirrored tiles, and noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import snellen

if TYPE_CHECKING:
    from PIL import Image

SIZE = (500, 375)
EACH = 8  # cuts of every photograph
QUALITY = 90
LARGE = (4032, 3024)  # 12 million pixels, as phones have them
DETAIL, GRAIN = 0.5, 3.0  # share of a photograph's own detail that is added; standard deviation of the noise
PHOTOS = Path(snellen.__file__).parent / "photos"


def photographs(folder: Path) -> None:
    """Write JPEG files of 500 x 375 pixels into a new folder."""
    from PIL import Image

    folder.mkdir()
    for path in sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".png")):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        width, height = image.size
        for number in range(EACH):
            margin = 0.02 * number  # another cut each time, so that no two files are the same
            box = (margin * width, margin * height, width - margin * width / 2, height - margin * height / 3)
            cut = image.resize(SIZE, Image.Resampling.LANCZOS, box=box)
            cut.save(folder / f"{path.stem}-{number}.jpg", quality=QUALITY)


def large_photographs(folder: Path, size: tuple[int, int] = LARGE) -> list[Path]:
    """Write every photograph as a JPEG file of ``size`` (width, height) into a new folder; the same ones each time."""
    from PIL import Image

    folder.mkdir()
    made = []
    for number, path in enumerate(sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".png"))):
        with Image.open(path) as opened:
            image = enlarged(opened.convert("RGB"), size, number)
        made.append(folder / f"{path.stem}.jpg")
        image.save(made[-1], quality=QUALITY)
    return made


def enlarged(image: Image.Image, size: tuple[int, int], seed: int) -> Image.Image:
    """Return the middle of a photograph at ``size`` (width, height), with detail and grain."""
    import numpy as np
    from PIL import Image, ImageOps

    drawn = np.random.default_rng(seed)
    fitted = np.asarray(ImageOps.fit(image, size, Image.Resampling.LANCZOS), np.float32)
    grey = image.convert("L")
    blurred = grey.reduce(8).resize(grey.size, Image.Resampling.BICUBIC)
    fine = np.asarray(grey, np.float32) - np.asarray(blurred, np.float32)
    tile = np.block([[fine, fine[:, ::-1]], [fine[::-1], fine[::-1, ::-1]]])
    rows, columns = (-(-side // length) for side, length in zip(size[::-1], tile.shape, strict=True))
    added = DETAIL * np.tile(tile, (rows, columns))[: size[1], : size[0]]
    added += GRAIN * drawn.standard_normal(added.shape, dtype=np.float32)
    return Image.fromarray((fitted + added[..., None]).clip(0, 255).astype(np.uint8))
