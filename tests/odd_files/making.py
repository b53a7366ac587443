"""Pictures to spoil, and the pieces that files are made of."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def picture(width: int = 48, height: int = 40, seed: int = 3, mode: str = "RGB") -> Image.Image:
    """Return a picture of soft noise, which no format makes very small."""
    rough = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(**options) -> bytes:
    return encoded(picture(), "JPEG", quality=90, **options)


def png(**options) -> bytes:
    return encoded(picture(), "PNG", **options)


def behind_exif(block: bytes, data: bytes | None = None) -> bytes:
    """Return a JPEG with an APP1 segment that holds ``block`` behind the mark of EXIF."""
    data = data or jpeg()
    return data[:2] + segment(0xE1, b"Exif\0\0" + block) + data[2:]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def ifd(*tags: tuple[int, int, int, int], following: int = 0, order: str = "<", header: bool = True) -> bytes:
    """Return a TIFF header with one directory of tags (number, type, count, value)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) if header else b""
    entries = b"".join(struct.pack(order + "HHII", *tag) for tag in tags)
    return head + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", following)


def chunk(kind: bytes, content: bytes, crc: int | None = None) -> bytes:
    """Return a chunk of a PNG file."""
    checked = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checked)


def png_of(width: int, height: int, data: bytes, *extra: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """Return a PNG of any announced size, with compressed data of its own and chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def behind_header(data: bytes, *extra: bytes) -> bytes:
    """Return a PNG with chunks put behind its header."""
    return data[:33] + b"".join(extra) + data[33:]


def resized_header(data: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose frame header announces another size."""
    at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def flipped(data: bytes, first: int, count: int) -> bytes:
    """Return data with all bits of some bytes turned round; no byte becomes 0xFF, a marker of JPEG."""
    turned = bytes((255 - byte) % 255 for byte in data[first : first + count])
    return data[:first] + turned + data[first + count :]
