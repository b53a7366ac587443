"""The decoded image that recipes take: RGB pixels as stored, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What each EXIF orientation other than 1 asks for; Pillow rotates counter-clockwise."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels as stored, with the EXIF orientation beside them rather than applied.

    ``rgb`` is a loaded Pillow image of mode RGB, ``width`` x ``height`` pixels as its file has them, or fewer where
    that was asked for. ``orientation`` is 1 to 8.
    ``notes`` names, in words, everything the file held that the pixels no longer do, and every assumption made.
    """

    rgb: Image.Image
    orientation: int
    width: int
    height: int
    notes: tuple[str, ...] = ()

    def upright(self) -> Image.Image:
        """Return the pixels turned as the EXIF orientation asks; ``rgb`` itself where it asks for nothing."""
        method = UPRIGHT.get(self.orientation)
        return self.rgb if method is None else self.rgb.transpose(method)
