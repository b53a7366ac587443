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


@row("an image that does not exist", ImageError)
def missing(at: Place) -> Call:
    return embed(at, "photo.jpg")


@row("a folder in place of an image", ImageError)
def directory(at: Place) -> Call:
    (at.path / "photos").mkdir()
    return embed(at, "photos")


@row("a web address", ImageError)
def address(at: Place) -> Call:
    return embed(at, "https://example.org/photo.jpg")


@row("an empty image file", ImageError)
def empty(at: Place) -> Call:
    at.file("photo.jpg")
    return embed(at, "photo.jpg")


@row("a truncated JPEG", ImageError)
def truncated(at: Place) -> Call:
    at.file("photo.jpg", data("JPEG")[:-400])
    return embed(at, "photo.jpg")


@row("a JPEG cut off in its header", ImageError)
def header(at: Place) -> Call:
    at.file("photo.jpg", data("JPEG")[:20])
    return embed(at, "photo.jpg")


@row("a web page saved as an image", ImageError)
def page(at: Place) -> Call:
    at.file("photo.jpg", "<html><title>404</title></html>")
    return embed(at, "photo.jpg")


@row("a text saved as an image", ImageError)
def text(at: Place) -> Call:
    at.file("photo.jpg", "Not Found\n")
    return embed(at, "photo.jpg")


@row("the git-lfs pointer of an image", ImageError)
def pointer(at: Place) -> Call:
    at.file("photo.jpg", "version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 4711\n")
    return embed(at, "photo.jpg")


@row("more pixels than are decoded", TooLarge)
def large(at: Place) -> Call:
    at.file("photo.png", announced(15_000, 15_000))
    return embed(at, "photo.png")


@row("a decompression bomb", TooLarge)
def bomb(at: Place) -> Call:
    at.file("photo.png", announced(100_000, 100_000))
    return embed(at, "photo.png")


@row("a HEIC image", ImageError)
def heic(at: Place) -> Call:
    at.file("photo.heic", b"\x00\x00\x00\x18ftypheic" + bytes(100))
    return embed(at, "photo.heic")


@row("an SVG drawing", ImageError)
def drawing(at: Place) -> Call:
    at.file("photo.svg", '<svg xmlns="http://www.w3.org/2000/svg"/>')
    return embed(at, "photo.svg")


@row("a video", ImageError)
def video(at: Place) -> Call:
    at.file("clip.mp4", b"\x00\x00\x00\x18ftypisom" + bytes(100))
    return embed(at, "clip.mp4")


@row("an image of extreme aspect", ImageError)
def thin(at: Place) -> Call:
    at.file("photo.png", data("PNG", Image.new("L", (60_000, 1))))
    return embed(at, "photo.png")


@row("32-bit pixels", ImageError)
def floats(at: Place) -> Call:
    at.file("photo.tiff", data("TIFF", Image.new("F", (4, 3))))
    return embed(at, "photo.tiff")


@row("an array of floats", ImageError)
def float_array(at: Place) -> Call:
    return embed(at, np.zeros((4, 3, 3), np.float32))


@row("an array with channels first", ImageError)
def channels_first(at: Place) -> Call:
    return embed(at, np.zeros((3, 40, 30), np.uint8))


@row("an array of five channels", ImageError)
def five_channels(at: Place) -> Call:
    return embed(at, np.zeros((40, 30, 5), np.uint8))


@row("an array without a pixel", ImageError)
def no_pixel(at: Place) -> Call:
    return embed(at, np.zeros((0, 30, 3), np.uint8))


@row("a tensor in place of an image", ImageError)
def tensor(at: Place) -> Call:
    return embed(at, torch.zeros(3, 4, 4))


@row("a number in place of images", ImageError)
def number(at: Place) -> Call:
    model = load(folder(at))
    return lambda: model.embed(3)
