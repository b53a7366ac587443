"""Say what a file is, from its first bytes, when it is no image that can be read here.

In: the name used in messages and the first bytes. Out: the error to raise. Nothing here decides whether a
file *is* readable; it only explains why it was not.
"""

from __future__ import annotations

from snellen.errors import ImageError

HEAD = 512
"""Bytes that are enough to recognise everything below."""

SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript drawing"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript drawing"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"SIMPLE  =", "a FITS image"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a numpy array file"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (4, b"ftyphei", "a HEIF (HEIC) image"),
    (4, b"ftypmif1", "a HEIF image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypcrx", "a camera raw image"),
    (4, b"ftyp", "an MP4 or QuickTime video"),
    (8, b"AVI ", "an AVI video"),
    (0, b"ID3", "an MP3 sound file"),
)
"""Offset, bytes, what they mean: formats that this package does not read."""

BROKEN: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"BM", "BMP"),
    (b"\x00\x00\x00\x0cjP", "JPEG 2000"),
)
"""Beginnings of formats that are read here; seen again after reading failed, they mean a damaged header."""

CONVERT = "if it is a picture at all, convert it to JPEG, PNG or WebP; if not, leave it out"


def not_an_image(name: str, head: bytes, readable: str) -> ImageError:
    """Explain why the bytes that start with ``head`` are no image; ``readable`` lists the formats that are read."""
    expected = f"an image file ({readable})"
    if head.startswith(b"version https://git-lfs"):
        return ImageError(
            f"{name} is a git-lfs pointer: the few lines of text that stand in for the image itself",
            expected=expected,
            todo="run 'git lfs pull' in the repository it came from",
        )
    for start, kind in BROKEN:
        if head.startswith(start):
            seen = f"{name} begins like a {kind} file, but its header is damaged or cut short"
            return ImageError(seen, expected="a whole image file", todo="fetch the file again, or leave it out")
    return ImageError(f"{name} is {_kind(head)}, not an image read here", expected=expected, todo=CONVERT)


def _kind(head: bytes) -> str:
    for offset, signature, kind in SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return kind
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (HTML), as a server sends instead of a missing file"
    if b"<svg" in start:
        return "an SVG drawing"
    if start.startswith((b"{", b"[", b"<?xml")):
        return "structured text (JSON or XML)"
    if not start:
        return "nothing but white space"
    return "text" if _is_text(head) else "data of an unknown format"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character cut in two by the end of the head is no reason
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)
