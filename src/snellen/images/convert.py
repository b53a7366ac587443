"""From whatever mode Pillow read to 8-bit RGB, with a note for everything that is lost on the way.

The conversion is Pillow's own ``convert("RGB")``, as in the libraries, with two exceptions: 16-bit greyscale,
which Pillow saturates (everything above 255 becomes white), is scaled to 8 bits; and 32-bit pixels, whose
range nobody can know, are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from snellen.errors import ImageError

if TYPE_CHECKING:
    import numpy

SIXTEEN = "16-bit greyscale scaled to 8 bits: the high byte is kept (a plain convert would saturate at 255)"
HIGH_BYTE = "16 bits per channel reduced to 8: the high byte is kept"
ALPHA = "transparency dropped: the colours stored under it are kept, nothing is blended"
CMYK = "CMYK turned into RGB by the plain formula; a colour profile is not applied"
LAB = "CIELAB turned into RGB by Pillow"


def to_rgb(
    image: Image.Image, name: str, *, high_byte: bool = False, own: bool = False
) -> tuple[Image.Image, list[str]]:
    """Return the loaded ``image`` as a new RGB image, and notes; as it is where it is RGB and its caller's ``own``.

    ``high_byte`` says that the file held 16 bits per channel which Pillow already cut to 8.
    Raises ImageError for 32-bit pixels and for modes that Pillow cannot convert.
    """
    if _is_sixteen_bit(image):
        return _from_sixteen_bit(image), [SIXTEEN]
    if image.mode in ("I", "F"):
        kind = "integer" if image.mode == "I" else "float"
        raise ImageError(
            f"{name} holds 32-bit {kind} pixels, whose black and white are not recorded",
            expected="8 or 16 bits per channel",
            todo="scale it to 8 bits with the range you know, or leave it out",
        )
    notes = [HIGH_BYTE] if high_byte else []
    if any(band in "Aa" for band in image.getbands() if image.mode != "LAB") or "transparency" in image.info:
        notes.append(ALPHA)
    notes += {"CMYK": [CMYK], "LAB": [LAB]}.get(image.mode, [])
    if image.mode == "RGB" and own:
        return image, notes
    try:
        return image.convert("RGB"), notes
    except ValueError as error:
        raise ImageError(
            f"{name} is of mode {image.mode!r}, which cannot be turned into RGB",
            expected="greyscale, palette, RGB, CMYK or YCbCr, with or without alpha",
            todo="convert it to RGB, or leave it out",
        ) from error


def from_array(array: numpy.ndarray) -> tuple[Image.Image, list[str]]:
    """Return a uint8 array [h,w], [h,w,1], [h,w,3] or [h,w,4] as an RGB image, and notes.

    Raises ImageError for any other dtype or shape.
    """
    shape = "x".join(map(str, array.shape))
    expected = "uint8 [h,w,3]; [h,w], [h,w,1] and [h,w,4] are taken too"
    if str(array.dtype) != "uint8":
        todo = "scale to 0..255 and cast: (array * 255).round().astype('uint8') if it lies in 0..1"
        raise ImageError(f"an array of dtype {array.dtype}", expected=expected, todo=todo)
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        raise ImageError(
            f"an array of shape {shape}: channels first", expected=expected, todo="array.transpose(1, 2, 0)"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(f"an array of shape {shape}", expected=expected, todo="pass one image at a time")
    if array.size == 0:
        raise ImageError(f"an array of shape {shape}, without a pixel", expected=expected, todo="leave it out")
    flat = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return to_rgb(Image.fromarray(flat), "the array")


def _is_sixteen_bit(image: Image.Image) -> bool:
    # Pillow reads 16-bit greyscale as "I;16", but from PPM, and before version 11 from PNG, as 32-bit "I".
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _from_sixteen_bit(image: Image.Image) -> Image.Image:
    import numpy

    high = (numpy.asarray(image).astype(numpy.int64) >> 8).clip(0, 255).astype(numpy.uint8)
    return Image.fromarray(high).convert("RGB")
