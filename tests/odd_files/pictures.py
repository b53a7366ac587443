"""Images of odd size, odd colours, several frames, or odd metadata."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from PIL import Image

from odd_files.making import (
    behind_exif,
    behind_header,
    chunk,
    encoded,
    ifd,
    jpeg,
    picture,
    png,
    png_of,
    resized_header,
    segment,
)
from odd_files.table import Table

SIZES = Table("Sizes")
COLOURS = Table("Colours")
FRAMES = Table("Several frames")
METADATA = Table("Orientation and other metadata")

ARITHMETIC = base64.b64decode(  # 16 x 16 pixels, by cjpeg -quality 60 -arithmetic
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxO"
    "UlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P"
    "T09PT09PT0//yQARCAAQABADASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AHSaq5M0fSbXoGeFaVKGASN2PJKu"
    "llnFBwOK/9k="
)


def bmp(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture(), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def scans(count: int) -> bytes:
    """Return a progressive JPEG of 64 x 64 pixels and so many scans, each of one code: nothing in all blocks."""
    tables = segment(0xDB, b"\0" + bytes([1] * 64)) + segment(0xC2, struct.pack(">BHHB", 8, 64, 64, 1) + b"\1\x11\0")
    codes = segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\x60")  # AC: "0" is a run of 64 blocks and more
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, 0) + b"\x01"
    return b"\xff\xd8" + tables + codes + scan * count + b"\xff\xd9"


add = SIZES.bytes
add("a progressive JPEG of 1,000 scans", "scans.jpg", scans(1000), "broken", "is a JPEG of 1000 scans")
add("one pixel", "pixel.png", encoded(picture(1, 1), "PNG"), "done")
add(
    "a line of 60,000 pixels",
    "line.png",
    encoded(Image.new("RGB", (60_000, 1), (9, 9, 9)), "PNG"),
    "broken",
    "too long",
)
add("a column of 60,000 pixels", "column.png", encoded(Image.new("L", (1, 60_000), 9), "PNG"), "broken", "too long")
add("a PNG of no width", "flat.png", png_of(0, 9, b""), "broken", "its header is damaged")
add("a PNG that says 13,500 x 13,500", "large.png", png_of(13_500, 13_500, b""), "too_large", "182250000 pixels")
add("a PNG that says 20,000 x 20,000", "bomb.png", png_of(20_000, 20_000, b""), "too_large", "decompression bomb")
add("a PNG that says 2,147,483,647 x 2,147,483,647", "most.png", png_of(2**31 - 1, 2**31 - 1, b""), "too_large", "bomb")
add("a JPEG that says 65,500 x 65,500", "bomb.jpg", resized_header(jpeg(), 65_500, 65_500), "too_large", "bomb")
add(
    "a JPEG that says it is higher than it is: Pillow does not report it",
    "higher.jpg",
    resized_header(jpeg(), 48, 400),
    "done",
)
add("a BMP that says 30,000 x 30,000", "lies.bmp", bmp(30_000, 30_000), "too_large", "bomb")
add("a BMP that says 10,000 x 10,000", "claims.bmp", bmp(10_000, 10_000), "broken", "truncated")
add("a BMP of negative width", "negative.bmp", bmp(-48, 40), "too_large", "bomb")
add(
    "a PNG of 10 x 10 whose data unpack to 64 MB",
    "unpacks.png",
    png_of(10, 10, zlib.compress(bytes(64 << 20), 9)),
    "done",
)
add(
    "a GIF frame far outside its screen",
    "outside.gif",
    b"GIF89a"
    + struct.pack("<HHBBB", 9, 9, 0x80, 0, 0)
    + bytes(6)
    + b","
    + struct.pack("<HHHHB", 60_000, 60_000, 5_000, 5_000, 0)
    + b"\2\1\x44\0;",
    "too_large",
    "bomb",
)

add = COLOURS.bytes
NOISE = np.random.default_rng(5).integers(0, 65536, (9, 9), dtype=np.uint16)
TRANSPARENT = "transparency dropped"
add("a CMYK JPEG", "cmyk.jpg", encoded(picture(mode="CMYK"), "JPEG"), "done", "CMYK turned into RGB")
add("a greyscale JPEG", "grey.jpg", encoded(picture(mode="L"), "JPEG"), "done")
add("an arithmetically coded JPEG", "arithmetic.jpg", ARITHMETIC, "done")
add("16-bit greyscale", "sixteen.png", encoded(Image.fromarray(NOISE), "PNG"), "done", "scaled to 8 bits")
add(
    "16 bits a colour",
    "deep.png",
    png_of(1, 1, zlib.compress(bytes(7)), depth=16, colour=2),
    "done",
    "the high byte is kept",
)
add(
    "a palette with transparency",
    "palette.png",
    encoded(picture().quantize(9), "PNG", transparency=bytes(9)),
    "done",
    TRANSPARENT,
)
add("colours with transparency", "rgba.png", encoded(picture(mode="RGBA"), "PNG"), "done", TRANSPARENT)
add("greyscale with transparency", "la.png", encoded(picture(mode="LA"), "PNG"), "done", TRANSPARENT)
add("black and white", "bits.png", encoded(picture(mode="1"), "PNG"), "done")
add("a palette PNG without its palette", "nopalette.png", png_of(9, 9, zlib.compress(bytes(90)), colour=3), "done")
add(
    "float pixels", "float.tif", encoded(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"), "broken", "32-bit float"
)
add(
    "32-bit integers",
    "integer.tif",
    encoded(Image.fromarray(np.ones((9, 9), np.int32)), "TIFF"),
    "broken",
    "32-bit integer",
)
add("CIELAB", "lab.tif", encoded(Image.new("LAB", (9, 9)), "TIFF"), "done", "CIELAB turned into RGB")
add("JPEG 2000", "good.jp2", encoded(picture(), "JPEG2000"), "done")
add("AVIF", "good.avif", encoded(picture(), "AVIF"), "done")
add("an icon", "good.ico", encoded(picture(), "ICO"), "done")
add("a portable pixmap", "good.ppm", encoded(picture(), "PPM"), "done")

add = FRAMES.bytes
FEW = [picture(seed=seed) for seed in (4, 5)]
MORE = {"save_all": True, "append_images": FEW}
add(
    "an animated GIF",
    "film.gif",
    encoded(picture(), "GIF", **MORE),
    "done",
    "frame 1 of several: the others are not used",
)
add(
    "a GIF damaged behind its first frame",
    "torn.gif",
    encoded(picture(), "GIF", **MORE)[:-900],
    "done",
    "frame 1 of several",
)
add("an animated WebP", "film.webp", encoded(picture(), "WEBP", lossless=True, **MORE), "done", "frame 1 of 3")
add("an animated PNG", "film.png", encoded(picture(), "PNG", **MORE), "done", "frame 1 of 3")
add("an animated AVIF", "film.avif", encoded(picture(), "AVIF", **MORE), "done", "frame 1 of 3")
add("a TIFF of three pages", "pages.tif", encoded(picture(), "TIFF", **MORE), "done", "frame 1 of several")
add(
    "two pictures in one JPEG (MPO)",
    "stereo.mpo.jpg",
    encoded(picture(), "MPO", save_all=True, append_images=FEW[:1]),
    "done",
    "frame 1 of 2",
)
add(
    "a TIFF whose pages go round in a circle",
    "circle.tif",
    encoded(picture(), "TIFF")[:-4] + struct.pack("<I", 8),
    "done",
)

add = METADATA.bytes
for turn in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = turn
    note = f"EXIF orientation {turn} not applied, as the recipe says" if turn > 1 else ""
    add(f"EXIF orientation {turn}", f"turn{turn}.jpg", jpeg(exif=exif), "done", note)
for turn in (0, 9, 65_535):
    add(
        f"EXIF orientation {turn}",
        f"turn{turn}.jpg",
        behind_exif(ifd((0x0112, 3, 1, turn))),
        "done",
        "does not exist: taken as 1",
    )
NOTHING = "EXIF block with nothing readable"
HOSTILE = {
    "a text": (ifd((0x0112, 2, 4, 0x41414141)), "does not exist"),
    "that is nothing but noise": (b"\xaa" * 200, NOTHING),
    "of no bytes": (b"", NOTHING),
    "whose directory points to itself": (ifd((0x0112, 3, 1, 1), following=8), ""),
    "whose directories inside point to it": (ifd((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)), ""),
    "with a tag of 4,294,967,295 values": (ifd((0x010E, 2, 2**32 - 1, 8), (0x0112, 3, 1, 1)), ""),
    "with a directory of 65,535 tags": (b"II*\0\x08\0\0\0\xff\xff" + bytes(2000), NOTHING),
    "whose directory lies beyond its end": (b"II*\0\xff\xff\xff\xff", NOTHING),
    "of 65 kB": (ifd((0x0112, 3, 1, 1)) + bytes(65_000), ""),
}
for number, (what, (block, says)) in enumerate(HOSTILE.items()):
    name = f"EXIF orientation as {what}" if number == 0 else f"an EXIF block {what}"
    add(name, f"exif{number}.jpg", behind_exif(block), "done", says)
XMP = b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 65_000
add("XMP of 65 kB that is no XML", "xmp.jpg", jpeg()[:2] + segment(0xE1, XMP) + jpeg()[2:], "done")
add("a colour profile that is none", "profile.jpg", jpeg(icc_profile=b"\xff" * 9000), "done")
add(
    "a preview that is damaged",
    "preview.jpg",
    jpeg()[:2] + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\xff\xff") + jpeg()[20:],
    "done",
)
BOMB = zlib.compress(bytes(256 << 20), 9)
add(
    "a PNG whose colour profile unpacks to 256 MB",
    "profile.png",
    behind_header(png(), chunk(b"iCCP", b"x\0\0" + BOMB)),
    "broken",
    "data too large",
)
add(
    "a PNG whose text unpacks to 256 MB",
    "text.png",
    behind_header(png(), chunk(b"zTXt", b"x\0\0" + BOMB)),
    "broken",
    "data too large",
)
add("a PNG with 300 texts", "texts.png", behind_header(png(), *[chunk(b"tEXt", b"x\0y")] * 300), "done")


def turned_png() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(), "PNG", exif=exif)


add("EXIF orientation 6 in a PNG", "turned.png", turned_png(), "done", "EXIF orientation 6")


def tiff(**changed: int) -> bytes:
    """Return a TIFF of one grey strip with some tags that lie."""
    tags = {"width": 9, "height": 9, "bits": 8, "packing": 1, "meaning": 1, "begin": 300, "rows": 9, "length": 81}
    count = {"begin": changed.pop("strips", 1)}
    numbers = {"width": 256, "height": 257, "bits": 258, "packing": 259, "meaning": 262, "begin": 273, "rows": 278}
    entries = [(numbers.get(name, 279), 4, count.get(name, 1), value) for name, value in {**tags, **changed}.items()]
    head = ifd(*entries)
    return head + bytes(300 - len(head)) + bytes(81)


add("a TIFF that is plain, to compare", "plain.tif", tiff(), "done")
add("a TIFF whose pixels lie beyond its end", "beyond.tif", tiff(begin=2**31), "broken", "truncated")
add("a TIFF with 4,294,967,295 strips", "strips.tif", tiff(strips=2**32 - 1), "broken", "its header is damaged")
add("a TIFF of 65,535 bits a pixel", "bits.tif", tiff(bits=65_535), "broken", "its header is damaged")
add("a TIFF that says 60,000 x 60,000", "bomb.tif", tiff(width=60_000, height=60_000), "too_large", "bomb")
add("a TIFF packed in an unknown way", "packing.tif", tiff(packing=60_000), "broken", "its header is damaged")
add("a TIFF without tags", "empty.tif", ifd(), "broken", "its header is damaged")
