"""Numbers as colours: a small picture of a grid of values, one pixel each, and the scale that explains it.

In: values row by row. Out: PNG in base64. The ramp grows lighter all the way, so that it can be read without colours
and in print; it is the same in light and dark.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Sequence

RAMP = ((13, 19, 43), (38, 55, 118), (46, 104, 144), (74, 152, 139), (150, 192, 110), (248, 231, 132))
"""Colours at equal distances from least to most."""

Colour = tuple[int, int, int]


def colour(share: float) -> Colour:
    """Return the colour of a share from 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(RAMP) - 1)
    index = min(int(place), len(RAMP) - 2)
    low, high, part = RAMP[index], RAMP[index + 1], place - index
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return red, green, blue


def heat_map(values: Sequence[float], columns: int) -> str:
    """Return the picture of a grid of values, from 0 to the largest of them; equal ones are told apart from nothing."""
    most = max(values)
    pixels = [colour(value / most if most > 0 else 0.0) for value in values]
    return _png([pixels[start : start + columns] for start in range(0, len(pixels), columns)])


def bar(steps: int = 64) -> str:
    """Return the ramp from least to most as a picture one pixel high."""
    return _png([[colour(step / (steps - 1)) for step in range(steps)]])


def _png(rows: Sequence[Sequence[Colour]]) -> str:
    """Write rows of pixels as a PNG of 8 bits a channel."""
    raw = b"".join(b"\0" + bytes(channel for pixel in row for channel in pixel) for row in rows)
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(_chunks(chunks))).decode("ascii")


def _chunks(chunks: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for name, body in chunks:
        yield struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
