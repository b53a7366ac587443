"""Decode a JPEG at a half, a quarter or an eighth of its size: most of its pixels are never made.

In: an opened file, not yet decoded, and the smallest size wanted of it. The decoder then leaves the high frequencies of
each block of 8 x 8 pixels out. The whole file is read all the same, so what is damaged is found as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from PIL import Image, JpegImagePlugin

AtLeast = Callable[[int, int], "tuple[int, int] | None"]
"""Of the (height, width) of a file: those down to which it may be decoded, or None for in full."""

SCALES = (8, 4, 2)

SCAN = 0xDA
FRAMES = (0xC0, 0xC1, 0xC2)  # Huffman-coded cosines, all at once or in several passes
OTHERS = (0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)  # tables, restart interval, applications' data, comments


def reduce(image: Image.Image, stream: BinaryIO, at_least: AtLeast) -> bool:
    """Let ``image`` be decoded from ``stream`` at the smallest size allowed; tell whether it is smaller than its file.

    What is no usual JPEG is decoded in full.
    """
    sides = at_least(image.height, image.width) if isinstance(image, JpegImagePlugin.JpegImageFile) else None
    if sides is None:
        return False
    height, width = sides
    scale = next((s for s in SCALES if image.height >= s * height and image.width >= s * width), 1)
    if scale == 1 or not _is_usual(stream):
        return False
    image.draft(None, (image.width // scale, image.height // scale))
    return True


def _is_usual(stream: BinaryIO) -> bool:
    """Tell whether the header holds nothing but what every decoder understands alike.

    A lossless JPEG, for one, cannot be reduced: asked to, its decoder calls a good file broken.
    """
    place = stream.tell()
    stream.seek(0)
    try:
        return _frames(stream) == 1
    finally:
        stream.seek(place)


def _frames(stream: BinaryIO) -> int:
    """Count the frames before the first scan; 0 where anything else stands there."""
    frames = 0
    if stream.read(2) != b"\xff\xd8":
        return 0
    while True:
        head = stream.read(4)
        length = int.from_bytes(head[2:], "big")
        if len(head) < 4 or head[0] != 0xFF or length < 2:
            return 0
        if head[1] == SCAN:
            return frames
        if head[1] in FRAMES:
            frames += 1
        elif head[1] not in OTHERS:
            return 0
        stream.seek(length - 2, 1)
