"""Images that cannot be used; the encoder is a shrunken one, and comes before them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import torch
from PIL import Image

from bad_cases.making import folder
from bad_cases.table import Call, Place, Table
from snellen import load
from snellen.errors import ImageError, TooLarge

TABLE = Table("Images")
row = TABLE.row


def embed(at: Place, image: object) -> Call:
    """Return the call that embeds one image."""
    model = load(folder(at))
    return lambda: model.embed([image])


def data(kind: str, image: Image.Image | None = None) -> bytes:
    """Return the bytes of a picture."""
    stream = io.BytesIO()
    (image or Image.effect_noise((60, 40), 80).convert("RGB")).save(stream, kind)
    return stream.getvalue()


def announced(width: int, height: int) -> bytes:
    """Return a small PNG whose header announces another size."""
    content = bytearray(data("PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    return bytes(content)


@row(
    "an image that does not exist",
    ImageError,
    seen="'photo.jpg' does not exist",
    expected="an image file",
    todo="check the spelling",
)
def missing(at: Place) -> Call:
    return embed(at, "photo.jpg")


@row(
    "a folder in place of an image",
    ImageError,
    seen="'photos' is a folder",
    expected="an image file",
    todo="name the files inside it",
)
def directory(at: Place) -> Call:
    (at.path / "photos").mkdir()
    return embed(at, "photos")


@row(
    "a web address",
    ImageError,
    seen="'https://example.org/photo.jpg' is a web address",
    expected="a file",
    todo="download it first, or pass its bytes",
)
def address(at: Place) -> Call:
    return embed(at, "https://example.org/photo.jpg")


@row(
    "an empty image file",
    ImageError,
    seen="'photo.jpg' is empty",
    expected="an image file",
    todo="fetch it again, or leave it out",
)
def empty(at: Place) -> Call:
    at.file("photo.jpg")
    return embed(at, "photo.jpg")


@row(
    "a truncated JPEG",
    ImageError,
    seen="'photo.jpg' is damaged or cut short (OSError: …)",
    expected="a whole image file",
    todo="fetch it again, or leave it out",
)
def truncated(at: Place) -> Call:
    at.file("photo.jpg", data("JPEG")[:-400])
    return embed(at, "photo.jpg")


@row(
    "a JPEG cut off in its header",
    ImageError,
    seen="'photo.jpg' begins like a JPEG file, but its header is damaged or cut short",
    expected="a whole image file",
    todo="fetch the file again, or leave it out",
)
def header(at: Place) -> Call:
    at.file("photo.jpg", data("JPEG")[:20])
    return embed(at, "photo.jpg")


@row(
    "a web page saved as an image",
    ImageError,
    seen=("'photo.jpg' is a web page (HTML), as a server sends instead of a missing file, not an image read here"),
    expected="an image file (JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF, ICO)",
    todo="if it is a picture at all, convert it to JPEG, PNG or WebP; if not, leave it out",
)
def page(at: Place) -> Call:
    at.file("photo.jpg", "<html><title>404</title></html>")
    return embed(at, "photo.jpg")


@row(
    "a text saved as an image",
    ImageError,
    seen="'photo.jpg' is text, not an image read here",
    expected="an image file (JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF, ICO)",
    todo="if it is a picture at all, convert it to JPEG, PNG or WebP; if not, leave it out",
)
def text(at: Place) -> Call:
    at.file("photo.jpg", "Not Found\n")
    return embed(at, "photo.jpg")


@row(
    "the git-lfs pointer of an image",
    ImageError,
    seen=("'photo.jpg' is a git-lfs pointer: the few lines of text that stand in for the image itself"),
    expected="an image file (JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF, ICO)",
    todo="run 'git lfs pull' in the repository it came from",
)
def pointer(at: Place) -> Call:
    at.file("photo.jpg", "version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 4711\n")
    return embed(at, "photo.jpg")


@row(
    "more pixels than are decoded",
    TooLarge,
    seen="'large.png' is a decompression bomb: …225000000 pixels…",
    expected="<= 178956970 pixels",
    todo="shrink it, or raise both max_pixels and PIL.Image.MAX_IMAGE_PIXELS",
)
def large(at: Place) -> Call:
    at.file("large.png", announced(15_000, 15_000))
    return embed(at, "large.png")


@row(
    "a decompression bomb",
    TooLarge,
    seen="'bomb.png' is a decompression bomb: …10000000000 pixels…",
    expected="<= 178956970 pixels",
    todo="shrink it, or raise both max_pixels and PIL.Image.MAX_IMAGE_PIXELS",
)
def bomb(at: Place) -> Call:
    at.file("bomb.png", announced(100_000, 100_000))
    return embed(at, "bomb.png")


@row(
    "a HEIC image",
    ImageError,
    seen="'photo.heic' is a HEIF (HEIC) image, not an image read here",
    expected="an image file (JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF, ICO)",
    todo="if it is a picture at all, convert it to JPEG, PNG or WebP; if not, leave it out",
)
def heic(at: Place) -> Call:
    at.file("photo.heic", b"\x00\x00\x00\x18ftypheic" + bytes(100))
    return embed(at, "photo.heic")


@row(
    "an SVG drawing",
    ImageError,
    seen="'photo.svg' is an SVG drawing, not an image read here",
    expected="an image file (JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF, ICO)",
    todo="if it is a picture at all, convert it to JPEG, PNG or WebP; if not, leave it out",
)
def drawing(at: Place) -> Call:
    at.file("photo.svg", '<svg xmlns="http://www.w3.org/2000/svg"/>')
    return embed(at, "photo.svg")


@row(
    "a video",
    ImageError,
    seen="'clip.mp4' is an MP4 or QuickTime video, not an image read here",
    expected="an image file (JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF, ICO)",
    todo="if it is a picture at all, convert it to JPEG, PNG or WebP; if not, leave it out",
)
def video(at: Place) -> Call:
    at.file("clip.mp4", b"\x00\x00\x00\x18ftypisom" + bytes(100))
    return embed(at, "clip.mp4")


@row(
    "an image of extreme aspect",
    ImageError,
    seen=(
        "an image of 60000 x 1 pixels is too long and thin: with its shorter side at 256 "
        "pixels the longer one has 15360000"
    ),
    expected="at most 67108864 pixels after 'shortest_edge 256 bicubic'",
    todo="crop it, or use a recipe that squashes",
)
def thin(at: Place) -> Call:
    at.file("thin.png", data("PNG", Image.new("L", (60_000, 1))))
    return embed(at, "thin.png")


@row(
    "32-bit pixels",
    ImageError,
    seen="'photo.tiff' holds 32-bit float pixels, whose black and white are not recorded",
    expected="8 or 16 bits per channel",
    todo="scale it to 8 bits with the range you know, or leave it out",
)
def floats(at: Place) -> Call:
    at.file("photo.tiff", data("TIFF", Image.new("F", (4, 3))))
    return embed(at, "photo.tiff")


@row(
    "an array of floats",
    ImageError,
    seen="an array of dtype float32",
    expected="uint8 [h,w,3]; [h,w], [h,w,1] and [h,w,4] are taken too",
    todo="scale to 0..255 and cast: (array * 255).round().astype('uint8') if it lies in 0..1",
)
def float_array(at: Place) -> Call:
    return embed(at, np.zeros((4, 3, 3), np.float32))


@row(
    "an array with channels first",
    ImageError,
    seen="an array of shape 3x40x30: channels first",
    expected="uint8 [h,w,3]; [h,w], [h,w,1] and [h,w,4] are taken too",
    todo="array.transpose(1, 2, 0)",
)
def channels_first(at: Place) -> Call:
    return embed(at, np.zeros((3, 40, 30), np.uint8))


@row(
    "an array of five channels",
    ImageError,
    seen="an array of shape 40x30x5",
    expected="uint8 [h,w,3]; [h,w], [h,w,1] and [h,w,4] are taken too",
    todo="pass one image at a time",
)
def five_channels(at: Place) -> Call:
    return embed(at, np.zeros((40, 30, 5), np.uint8))


@row(
    "an array without a pixel",
    ImageError,
    seen="an array of shape 0x30x3, without a pixel",
    expected="uint8 [h,w,3]; [h,w], [h,w,1] and [h,w,4] are taken too",
    todo="leave it out",
)
def no_pixel(at: Place) -> Call:
    return embed(at, np.zeros((0, 30, 3), np.uint8))


@row(
    "a tensor in place of an image",
    ImageError,
    seen="an object of type torch.Tensor",
    expected="a path, the bytes of an image file, a Pillow image, or a numpy array uint8 [h,w,3]",
    todo=("pass tensors as array.permute(1, 2, 0).numpy() in uint8, and lists one image at a time"),
)
def tensor(at: Place) -> Call:
    return embed(at, torch.zeros(3, 4, 4))


@row(
    "a number in place of images",
    ImageError,
    seen="an object of type builtins.int",
    expected="a path, the bytes of an image file, a Pillow image, or a numpy array uint8 [h,w,3]",
    todo=("pass tensors as array.permute(1, 2, 0).numpy() in uint8, and lists one image at a time"),
)
def number(at: Place) -> Call:
    model = load(folder(at))
    return lambda: model.embed(3)
