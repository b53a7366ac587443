"""Image files that are cut short, damaged, or no image files at all."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np

from odd_files.making import chunk, encoded, flipped, jpeg, picture, png, png_of, segment
from odd_files.table import Table

DAMAGED = Table("Cut short and damaged")
NOT_IMAGES = Table("Not images")

add = DAMAGED.bytes
JPEG, PNG = jpeg(), png()
SCAN = JPEG.index(b"\xff\xda") + 12  # where the pixels begin

add("an empty file", "empty.jpg", b"", "broken", "is empty")
add("two bytes that begin nothing", "bytes.jpg", b"\xfe\xff", "broken", "not an image read here")
add("a JPEG of two bytes", "two.jpg", JPEG[:2], "broken", "begins like a JPEG file")
add("a JPEG cut short in its header", "header.jpg", JPEG[:100], "broken", "damaged or cut short")
add("a JPEG cut short in its pixels", "half.jpg", JPEG[: (SCAN + len(JPEG)) // 2], "broken", "truncated")
add("a JPEG without its last ten bytes", "tail.jpg", JPEG[:-10], "broken", "truncated")
add("a JPEG without the mark of its end", "noend.jpg", JPEG[:-2], "broken", "truncated")
add("a progressive JPEG cut short", "progressive.jpg", jpeg(progressive=True)[:-300], "broken", "truncated")
add("a JPEG with damaged pixels: Pillow does not report it", "entropy.jpg", flipped(JPEG, SCAN + 300, 20), "done")
add(
    "a JPEG whose second half is zeros: Pillow does not report it",
    "zeros.jpg",
    JPEG[: SCAN + 400] + bytes(len(JPEG) - SCAN - 402) + JPEG[-2:],
    "done",
)
add("a JPEG without Huffman tables, as films have it", "tables.jpg", JPEG.replace(b"\xff\xc4", b"\xff\xfe"), "done")
add("a JPEG with a quantisation table of zeros", "quant.jpg", JPEG.replace(JPEG[25:89], bytes(64), 1), "done")
add(
    "a JPEG with 12 bits a colour",
    "twelve.jpg",
    JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
    "broken",
    "its header is damaged",
)
add("a JPEG behind a byte too many", "shifted.jpg", b"\0" + JPEG, "broken", "data of an unknown format")
add("a JPEG before 10 kB of something else", "trailing.jpg", JPEG + b"trailing garbage" * 640, "done")
add("a JPEG with a thousand comments", "comments.jpg", JPEG[:2] + segment(0xFE, b"x") * 1000 + JPEG[2:], "done")
add("a PNG cut short in its pixels", "half.png", PNG[: len(PNG) // 2], "broken", "truncated")
add("a PNG without the mark of its end", "noend.png", PNG[:-12], "done")
add("a PNG with a wrong checksum of its header", "crc.png", PNG[:29] + b"oops" + PNG[33:], "broken", "damaged")
add("a PNG with a wrong checksum of its pixels", "crc-pixels.png", PNG[:-16] + b"oops" + PNG[-12:], "done")
add("a PNG whose pixels do not unpack", "zlib.png", png_of(9, 9, b"no zlib data"), "broken", "damaged")
add(
    "a PNG with fewer pixels than it says: Pillow does not report it",
    "fewer.png",
    png_of(99, 99, zlib.compress(bytes(500))),
    "done",
)
add("a PNG of an unknown colour type", "colour.png", png_of(9, 9, b"", colour=5), "broken", "damaged")
add("a GIF cut short", "cut.gif", encoded(picture(mode="P"), "GIF")[:600], "broken", "its header is damaged")
add("a GIF without a picture", "none.gif", b"GIF89a" + bytes(7) + b";", "broken", "damaged")
add("a WebP cut short", "cut.webp", encoded(picture(), "WEBP")[:-40], "broken", "damaged or cut short")
add("a TIFF cut short", "cut.tif", encoded(picture(), "TIFF")[:2000], "broken", "damaged")
add("a BMP cut short", "cut.bmp", encoded(picture(), "BMP")[:2000], "broken", "truncated")
add("a JPEG 2000 cut short", "cut.jp2", encoded(picture(), "JPEG2000")[:-200], "broken", "damaged")
add("an AVIF cut short", "cut.avif", encoded(picture(), "AVIF")[:-100], "broken", "damaged")
add("an ICO that points beyond its end", "cut.ico", encoded(picture(), "ICO")[:100], "broken", "not an image read here")
add("a PPM without its pixels", "cut.ppm", b"P6 40 40 255\n", "broken", "truncated")
add("10 kB of zeros, as a failed copy leaves", "zeros.png", bytes(10_000), "broken", "data of an unknown format")


def numpy_file() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(9))
    return stream.getvalue()


def box(kind: bytes) -> bytes:
    return struct.pack(">I", 24) + b"ftyp" + kind + bytes(4) + kind + b"mif1" + bytes(200)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/written) (w) file\n"
for name, file, content, says in (
    ("text", "text.jpg", b"hello, world\n" * 9, "is text"),
    ("white space", "white.jpg", b" \n" * 9, "nothing but white space"),
    ("a web page", "page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "a web page (HTML)"),
    ("JSON", "data.json.jpg", json.dumps({"error": "gone"}).encode(), "structured text (JSON or XML)"),
    ("XML", "feed.jpg", b"<?xml version='1.0'?><feed/>", "structured text"),
    ("an SVG drawing", "drawing.svg.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    ("a git-lfs pointer", "pointer.jpg", POINTER, "a git-lfs pointer"),
    ("a PDF document", "paper.pdf.jpg", b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    ("an EPS drawing, which is a program: it is not run", "program.eps.jpg", EPS, "a PostScript drawing"),
    ("a Photoshop document", "layers.psd.jpg", b"8BPS\0\1" + bytes(99), "a Photoshop document"),
    ("an iPhone's HEIC", "phone.heic.jpg", box(b"heic"), "a HEIF (HEIC) image"),
    ("a JPEG XL", "new.jxl.jpg", b"\xff\x0a" + bytes(99), "a JPEG XL image"),
    ("a camera's raw file", "raw.cr3.jpg", box(b"crx "), "a camera raw image"),
    ("an OpenEXR image", "light.exr.jpg", b"v/1\1" + bytes(99), "an OpenEXR image"),
    ("a numpy array", "array.npy.jpg", numpy_file(), "a numpy array file"),
    ("a zip archive", "photos.zip.jpg", b"PK\3\4" + bytes(99), "a zip archive"),
    ("a gzip archive", "photo.jpg.gz.jpg", b"\x1f\x8b" + bytes(99), "a gzip archive"),
    ("a video", "film.mp4.jpg", box(b"isom"), "an MP4 or QuickTime video"),
    ("a sound", "sound.mp3.jpg", b"ID3" + bytes(99), "an MP3 sound file"),
    ("a Parquet file that calls itself an image", "rows.jpg", b"PAR1" + bytes(99), "a Parquet file"),
):
    NOT_IMAGES.bytes(name, file, content, "broken", says)

DAMAGED.bytes(
    "a PNG with a chunk that says it is 2 GB long",
    "chunk.png",
    PNG[:33] + struct.pack(">I", 0x7FFFFFFF) + b"tEXt" + PNG[33:],
    "broken",
    "Truncated File Read",
)
DAMAGED.bytes(
    "a PNG with an unknown chunk that must be known", "critical.png", PNG[:33] + chunk(b"NEWS", b"x") + PNG[33:], "done"
)
