"""Decode one image: every foreseeable fault ends in an ImageError that names it.

In: a path, the bytes of a file, a Pillow image, or a numpy array. Out: a ``Picture``. Size is checked after
the header and before the pixels, formats that run other programs or have no signature are not opened, and
Pillow's warnings and exceptions stay inside this room.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, BinaryIO, cast

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from snellen.errors import ImageError, TooLarge
from snellen.images import sniff
from snellen.images.convert import from_array, to_rgb
from snellen.images.picture import Picture
from snellen.images.quiet import quiet
from snellen.images.reduced import AtLeast, reduce

if TYPE_CHECKING:
    import numpy

MAX_PIXELS = 178_956_970
"""Largest width x height decoded unless asked otherwise: where Pillow, and so the libraries, stop as well."""

FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "ICO")
"""Formats that are opened. Not among them: EPS (starts another program) and formats known by no signature."""

READABLE = "JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF, ICO"

ORIENTATION = 0x0112

SCAN, SCANS = b"\xff\xda", 100
"""The marker of a scan of a JPEG, and the most scans of a progressive one: encoders write about ten."""

COUNTED_ONE_BY_ONE = ("GIF", "TIFF")
"""Formats of which frames are counted by going through the file, which may hold tens of thousands."""

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image


def decode(source: Source | numpy.ndarray, *, max_pixels: int = MAX_PIXELS, at_least: AtLeast | None = None) -> Picture:
    """Decode a path, the bytes of an image file, a Pillow image, or a uint8 array [h,w,3] to a Picture.

    The pixels equal ``PIL.Image.open(path).convert("RGB")`` except where the notes say otherwise; the EXIF
    orientation is read, not applied. A file of several frames gives its first.
    ``at_least``: the pixels of a JPEG file may be fewer, at a half, a quarter or an eighth of its size, as long as both
    sides stay as large as it says for the file's (height, width).
    Raises ImageError for anything that cannot be decoded, TooLarge for more than ``max_pixels`` pixels.
    """
    if isinstance(source, Image.Image):
        with quiet():
            _check_size(source, "the Pillow image", max_pixels)
            return _picture(source, "the Pillow image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_stream(io.BytesIO(source), f"the data ({len(source)} bytes)", max_pixels, at_least)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fspath(source), max_pixels, at_least)
    import numpy

    if not isinstance(source, numpy.ndarray):
        raise _unknown(source)
    rgb, notes = from_array(source)
    return Picture(rgb, 1, rgb.width, rgb.height, tuple(notes))


def _unknown(source: object) -> ImageError:
    kind = type(source)
    return ImageError(
        f"an object of type {kind.__module__}.{kind.__qualname__}",
        expected="a path, the bytes of an image file, a Pillow image, or a numpy array uint8 [h,w,3]",
        todo="pass tensors as array.permute(1, 2, 0).numpy() in uint8, and lists one image at a time",
    )


def _from_path(path: str, max_pixels: int, at_least: AtLeast | None) -> Picture:
    name = repr(path)
    if path.startswith(("http://", "https://", "data:")):
        raise ImageError(
            f"{name[:80]} is a web address", expected="a file", todo="download it first, or pass its bytes"
        )
    try:
        mode = Path(path).stat().st_mode
        if S_ISDIR(mode):
            raise ImageError(f"{name} is a folder", expected="an image file", todo="name the files inside it")
        if not S_ISREG(mode):
            raise ImageError(f"{name} is a device or a pipe", expected="an image file", todo="pass its bytes instead")
        with Path(path).open("rb") as stream:
            return _from_stream(stream, name, max_pixels, at_least)
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist", expected="an image file", todo="check the spelling") from error
    except PermissionError as error:
        todo = f"allow it: chmod u+r {name}"
        raise ImageError(f"{name} may not be read by this user", expected="a readable file", todo=todo) from error
    except (OSError, ValueError) as error:  # a name too long, a null in the name, a disk that fails
        todo = "check the path and the disk, or leave it out"
        raise ImageError(f"{name} cannot be read: {error}", expected="an image file", todo=todo) from error


def _from_stream(stream: BinaryIO, name: str, max_pixels: int, at_least: AtLeast | None) -> Picture:
    head = stream.read(sniff.HEAD)
    stream.seek(0)
    if not head:
        raise ImageError(f"{name} is empty", expected="an image file", todo="fetch it again, or leave it out")
    with quiet(), _open(stream, name, head) as image:
        _check_size(image, name, max_pixels)
        _check_scans(image, stream, name)
        full = image.size
        reduced = at_least is not None and reduce(image, stream, at_least)
        return _picture(image, name, own=True, full=full if reduced else None)


def _open(stream: BinaryIO, name: str, head: bytes) -> Image.Image:
    try:
        return _opened(stream)
    except UnidentifiedImageError as error:
        raise sniff.not_an_image(name, head, READABLE) from error
    except Image.DecompressionBombError as error:
        todo = "shrink it, or raise both max_pixels and PIL.Image.MAX_IMAGE_PIXELS"
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise TooLarge(f"{name} is a decompression bomb: {error}", expected=f"<= {limit} pixels", todo=todo) from error
    except Exception as error:  # a decoder may raise anything on a damaged header
        raise _damaged(name, error) from error


def _opened(stream: BinaryIO) -> Image.Image:
    """Open an image with the few decoders that Pillow imports at once; with all of them where none of those fits.

    No two of the formats share a signature, so the first that fits is the same. Importing all takes 0.03 s.
    """
    Image.preinit()
    try:
        return Image.open(stream, formats=[kind for kind in FORMATS if kind in Image.OPEN])
    except UnidentifiedImageError:
        Image.init()
        stream.seek(0)
        return Image.open(stream, formats=[kind for kind in FORMATS if kind in Image.OPEN])


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(
            f"{name} is {width} x {height} = {width * height} pixels",
            expected=f"at most {max_pixels}",
            todo="shrink it, or raise max_pixels if you trust the file",
        )
    if width * height == 0:
        raise ImageError(
            f"{name} is {width} x {height}: it has no pixels", expected="at least one pixel", todo="leave it out"
        )


def _check_scans(image: Image.Image, stream: BinaryIO, name: str) -> None:
    """Raise ImageError for a progressive JPEG that keeps the decoder busy: it goes over the whole picture each scan."""
    if not image.info.get("progressive"):
        return
    at = stream.tell()
    stream.seek(0)
    count = stream.read().count(SCAN)  # in coded data a zero follows every 0xFF
    stream.seek(at)
    if count > SCANS:
        raise ImageError(
            f"{name} is a JPEG of {count} scans", expected=f"at most {SCANS}", todo="store it anew, or leave it out"
        )


def _picture(image: Image.Image, name: str, *, own: bool = False, full: tuple[int, int] | None = None) -> Picture:
    """Decode what was opened, here if it is ``own``; ``full``: (width, height) of its file, where it is reduced."""
    high_byte = _cuts_to_high_byte(image)
    try:
        image.load()
    except Exception as error:  # a decoder may raise anything on damaged data
        raise _damaged(name, error) from error
    orientation, doubts = _orientation(image)
    own = own and isinstance(image, JpegImagePlugin.JpegImageFile)  # a format whose other frames share no memory
    rgb, losses = to_rgb(image, name, high_byte=high_byte, own=own)
    return Picture(rgb, orientation, *(full or rgb.size), (*_frames(image), *doubts, *losses))


def _damaged(name: str, error: Exception) -> ImageError:
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ImageError(
        f"{name} is damaged or cut short ({why})",
        expected="a whole image file",
        todo="fetch it again, or leave it out",
    )


def _frames(image: Image.Image) -> list[str]:
    shown = image.tell() + 1
    if image.format in COUNTED_ONE_BY_ONE:
        several = getattr(image, "is_animated", False)  # looks for a second one only
        return [f"frame {shown} of several: the others are not used"] if several else []
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:  # noqa: BLE001 - a later frame is damaged; this one was read whole
        return [f"frame {shown} of an animation that is damaged further on"]
    return [f"frame {shown} of {count}: the others are not used"] if count > 1 else []


def _cuts_to_high_byte(image: Image.Image) -> bool:
    """Whether Pillow will drop the low byte of 16-bit colour; seen only before loading, in the decoder's orders."""
    tiles = cast("list[tuple[object, ...]]", getattr(image, "tile", None) or [])
    return not image.mode.startswith("I") and any(";16" in str(tile[3]) for tile in tiles)


def _orientation(image: Image.Image) -> tuple[int, list[str]]:
    """Return the EXIF orientation of a loaded image, 1 where it says none, and a note where it is unusable."""
    try:
        exif = image.getexif()
        value = exif.get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF fails in many ways, and is no reason to lose the pixels
        return 1, ["EXIF data damaged: taken as stored, orientation 1"]
    if not exif and image.info.get("exif"):
        return 1, ["EXIF block with nothing readable in it: taken as stored, orientation 1"]
    if type(value) is not int or not 1 <= value <= 8:
        return 1, [f"EXIF orientation {value!r} does not exist: taken as 1"]
    return value, []
