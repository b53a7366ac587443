"""Files to embed: the package's photographs, cut in many ways to the size of a common data set's."""

from __future__ import annotations

from pathlib import Path

import snellen

SIZE = (500, 375)
EACH = 8  # cuts of every photograph
QUALITY = 90
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
