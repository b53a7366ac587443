"""Make the photographs in ``examples/photos`` from those that the scikit-image package carries.

They are kept in the repository, so nobody needs to run this; it says exactly what was done to them. Needs
scikit-image, which snellen itself does not. Licences and authors: ``examples/photos/SOURCES.md``.
"""

from __future__ import annotations

from pathlib import Path

import skimage
from PIL import Image

SOURCE = Path(skimage.__file__).parent / "data"
TARGET = Path(__file__).parent / "photos"
ORIENTATION = 0x0112

RECODED = {
    "astronaut": ("astronaut.png", 88),
    "camera": ("camera.png", 85),
    "cat": ("chelsea.png", 90),
    "coffee": ("coffee.png", 90),
    "grass": ("grass.png", 75),
    "gravel": ("gravel.png", 75),
    "hubble": ("hubble_deep_field.jpg", 80),
}
"""New name, file in scikit-image, JPEG quality: recoded and nothing else."""


def recode() -> None:
    for name, (source, quality) in RECODED.items():
        Image.open(SOURCE / source).save(TARGET / f"{name}.jpg", quality=quality, optimize=True)
    (TARGET / "clock.png").write_bytes((SOURCE / "clock_motion.png").read_bytes())


def portrait() -> None:
    """Crop the launch to portrait format and store it as a camera held sideways does: lying, with a note to turn it."""
    upright = Image.open(SOURCE / "rocket.jpg").crop((190, 0, 510, 427))
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turn by 90 degrees clockwise to see it upright
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    lying.save(TARGET / "rocket_portrait.jpg", quality=92, optimize=True, exif=exif)


def twelve_megapixels() -> None:
    """Crop the retina to 4:3 and enlarge it to what a telephone takes; compressed hard to stay small."""
    crop = Image.open(SOURCE / "retina.jpg").crop((0, 176, 1411, 1234))
    crop.resize((4000, 3000), Image.Resampling.LANCZOS).save(TARGET / "retina_12mp.jpg", quality=60, optimize=True)


if __name__ == "__main__":
    TARGET.mkdir(exist_ok=True)
    recode()
    portrait()
    twelve_megapixels()
