"""Decoding: bit-identical to the libraries where they are plain, defined and noted where they are not."""

from __future__ import annotations

import io
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from snellen.errors import ImageError
from snellen.images import MAX_PIXELS, Picture, decode
from snellen.images.quiet import quiet

LOSSLESS = {"WEBP": {"lossless": True}}
RNG = np.random.default_rng(7)
COLOUR = RNG.integers(0, 256, (9, 13, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def plain(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def pixels(picture: Picture) -> np.ndarray:
    assert picture.rgb.mode == "RGB"
    assert (picture.width, picture.height) == picture.rgb.size
    return np.asarray(picture.rgb)


def colour(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(COLOUR).convert(mode)


def palette_with_transparency() -> bytes:
    return encoded(colour().quantize(16), "PNG", transparency=bytes([0, 128] + [255] * 14))


def with_exif(orientation: object, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(colour(), kind, exif=exif)


PLAIN = {
    "jpeg": (encoded(colour(), "JPEG"), ""),
    "grey_jpeg": (encoded(colour("L"), "JPEG"), ""),
    "cmyk_jpeg": (encoded(colour("CMYK"), "JPEG"), "CMYK"),  # written inverted with Adobe's marker, as Photoshop does
    "png": (encoded(colour(), "PNG"), ""),
    "palette": (encoded(colour().quantize(16), "PNG"), ""),
    "palette_with_transparency": (palette_with_transparency(), "transparency dropped"),
    "palette_with_one_transparent": (encoded(colour().quantize(16), "PNG", transparency=3), "transparency dropped"),
    "one_bit": (encoded(colour("1"), "PNG"), ""),
    "grey": (encoded(colour("L"), "PNG"), ""),
    "grey_alpha": (encoded(colour("LA"), "PNG"), "transparency dropped"),
    "rgba": (encoded(Image.fromarray(RNG.integers(0, 256, (9, 13, 4), dtype=np.uint8)), "PNG"), "transparency dropped"),
    "bmp": (encoded(colour(), "BMP"), ""),
    "tiff": (encoded(colour(), "TIFF"), ""),
    "tiff_cmyk": (encoded(colour("CMYK"), "TIFF"), "CMYK"),
    "ppm": (encoded(colour(), "PPM"), ""),
    "webp": (encoded(colour(), "WEBP", lossless=True), ""),
    "one_pixel": (encoded(Image.new("RGB", (1, 1), (3, 4, 5)), "PNG"), ""),
    "scan_line": (encoded(Image.new("RGB", (3000, 1), (3, 4, 5)), "PNG"), ""),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_conversions_are_the_libraries_to_the_bit(name):
    data, note = PLAIN[name]
    picture = decode(data)
    assert np.array_equal(pixels(picture), plain(data))
    assert picture.orientation == 1
    assert [text for text in picture.notes if note and note in text] or (not note and not picture.notes)


def test_sources_agree(tmp_path):
    path = tmp_path / "colour.png"
    path.write_bytes(PLAIN["png"][0])
    for source in (
        path,
        str(path),
        path.read_bytes(),
        bytearray(path.read_bytes()),
        Image.open(path),
        colour(),
        COLOUR,
    ):
        assert np.array_equal(pixels(decode(source)), COLOUR)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "CMYK", "P", "1", "RGBX", "PA", "RGBa"])
def test_pillow_images_of_any_mode_convert_as_they_do_there(mode):
    image = Image.fromarray(np.dstack([COLOUR, COLOUR[..., :1]])).convert(mode) if mode == "RGBa" else colour(mode)
    assert np.array_equal(pixels(decode(image)), np.asarray(image.convert("RGB")))


def test_the_callers_image_is_left_alone():
    image = colour("CMYK")
    before = image.tobytes()
    decode(image).rgb.putpixel((0, 0), (1, 2, 3))
    assert (image.mode, image.tobytes()) == ("CMYK", before)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_greyscale_is_scaled_where_the_libraries_saturate(kind):
    deep = np.array([[0, 255, 256, 4095, 32768, 65535]], dtype=np.uint16)
    data = encoded(Image.fromarray(deep), kind)
    picture = decode(data)
    assert pixels(picture)[0, :, 0].tolist() == [0, 0, 1, 15, 128, 255]
    assert any("16-bit" in note for note in picture.notes)
    assert plain(data)[0, :, 0].tolist() != [0, 0, 1, 15, 128, 255]  # else the exception is needed no longer


def test_sixteen_bit_ppm_is_scaled():
    data = b"P5 3 1 65535\n" + np.array([0, 256, 65535], dtype=">u2").tobytes()
    assert pixels(decode(data))[0, :, 0].tolist() == [0, 1, 255]


def test_sixteen_bit_colour_keeps_the_high_byte_as_the_libraries_do():
    data = sixteen_bit_rgb_png()
    picture = decode(data)
    assert pixels(picture)[0].tolist() == [[0, 1, 255], [128, 0, 7]] == plain(data)[0].tolist()
    assert any("high byte" in note for note in picture.notes)


def sixteen_bit_rgb_png() -> bytes:
    """Pillow writes none, so it is put together here: one row of two pixels."""
    import zlib

    row = b"\0" + np.array([[0, 256, 65535], [32768, 255, 1800]], dtype=">u2").tobytes()
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_thirty_two_bit_pixels_are_refused(dtype):
    data = encoded(Image.fromarray(np.array([[0, 7, 300]], dtype=dtype)), "TIFF")
    with pytest.raises(ImageError, match="32-bit"):
        decode(data)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame_and_says_so(kind):
    frames = [Image.new("RGB", (5, 4), shade) for shade in ("red", "green", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **LOSSLESS.get(kind, {}))
    picture = decode(data)
    assert np.array_equal(pixels(picture), plain(data))
    assert pixels(picture)[0, 0].tolist() == [255, 0, 0]
    count = "several" if kind == "GIF" else "3"  # of a GIF they are not counted
    assert any(f"frame 1 of {count}" in note for note in picture.notes)


def test_an_animation_damaged_in_a_later_frame_still_gives_its_first():
    frames = [Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    picture = decode(data[: len(data) * 2 // 3])
    assert np.array_equal(pixels(picture), plain(data))
    assert any("frame 1" in note for note in picture.notes)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_read_not_applied_and_upright_is_pillows(orientation, kind):
    data = with_exif(orientation, kind)
    picture = decode(data)
    assert picture.orientation == orientation
    assert np.array_equal(pixels(picture), plain(data))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(np.asarray(picture.upright()), np.asarray(expected))
    assert (picture.upright().size == picture.rgb.size) == (orientation < 5)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_tiff_is_turned_by_pillow_itself(compression):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(colour(), "TIFF", exif=exif, compression=compression)
    picture = decode(data)
    assert picture.orientation == 1
    assert np.array_equal(pixels(picture), plain(data))
    assert (picture.width, picture.height) == (9, 13)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_noted(orientation):
    picture = decode(with_exif(orientation))
    assert picture.orientation == 1
    assert any("does not exist" in note for note in picture.notes)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01", b"Exif\0\0II*\0"])
def test_damaged_exif_costs_no_pixels(exif):
    data = encoded(colour(), "JPEG", exif=exif)
    picture = decode(data)
    assert picture.orientation == 1
    assert any("EXIF" in note for note in picture.notes)
    assert np.array_equal(pixels(picture), plain(data))


BAD_BYTES = {
    "empty": (b"", "is empty"),
    "text": (b"these are not the pixels you are looking for\n", "is text"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "json": (b'{"error": "not found"}', "structured text"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git-lfs pointer"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    "jpeg_xl": (b"\xff\x0a\0\0\0", "JPEG XL"),
    "video": (b"\0\0\0\x18ftypisom\0\0\2\0", "video"),
    "zip": (b"PK\x03\x04" + bytes(40), "zip"),
    "noise": (bytes(range(128, 256)), "unknown format"),
    "jpeg_header_only": (PLAIN["jpeg"][0][:8], "cut short"),
    "png_header_only": (PLAIN["png"][0][:12], "PNG"),
    "truncated_jpeg": (
        encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG")[:-900],
        "cut",
    ),
    "truncated_png": (encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "PNG")[:-900], "cut"),
    "truncated_webp": (
        encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "WEBP")[:-900],
        "cut",
    ),
    "truncated_tiff": (PLAIN["tiff"][0][:60], "cut|damaged"),
    "corrupt_png": (PLAIN["png"][0][:50] + bytes(8) + PLAIN["png"][0][58:], "damaged"),
    "no_pixels": (b"P5 0 4 255\n", "."),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_bad_bytes(name):
    data, message = BAD_BYTES[name]
    with pytest.raises(ImageError, match=message) as raised:
        decode(data)
    assert raised.value.seen
    assert raised.value.exit_code == 1


def test_bad_paths(tmp_path, monkeypatch):
    page = tmp_path / "photo.jpg"
    page.write_text("<html>gone</html>")
    cases = {
        tmp_path / "nowhere.png": "does not exist",
        tmp_path: "is a folder",
        "https://example.org/cat.jpg": "web address",
        "null\0byte": "cannot be read",
        "x" * 5000: "cannot be read",
        "/dev/null": "device",
        page: "web page",
    }
    for source, message in cases.items():
        with pytest.raises(ImageError, match=message):
            decode(source)

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)  # the tests may run as root, whom nothing is forbidden
    with pytest.raises(ImageError, match="may not be read"):
        decode(page)


def test_the_size_is_checked_before_the_pixels():
    data = encoded(Image.new("1", (2000, 1000)), "PNG")
    with pytest.raises(ImageError, match="2000 x 1000 = 2000000 pixels"):
        decode(data, max_pixels=1_999_999)
    assert decode(data, max_pixels=2_000_000).width == 2000
    with pytest.raises(ImageError, match="pixels"):
        decode(Image.new("1", (2000, 1000)), max_pixels=10)


def test_decompression_bombs_are_refused_and_pillows_warning_stays_inside():
    def png(side: int) -> bytes:
        data = bytearray(PLAIN["one_bit"][0])
        data[16:24] = struct.pack(">II", side, side)
        import zlib

        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
        return bytes(data)

    with pytest.raises(ImageError, match="bomb"):
        decode(png(20_000))
    with pytest.raises(ImageError, match="100000000 pixels"):  # Pillow only warns of this one
        decode(png(10_000), max_pixels=99_999_999)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(png(10_000)))
    assert MAX_PIXELS >= 2 * 89_000_000


@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 1), (9, 13, 3), (9, 13, 4), (1, 1, 3)])
def test_arrays(shape):
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    picture = decode(array)
    expected = array
    if shape[2:] in ((), (1,)):
        expected = np.repeat(array.reshape(*shape[:2], 1), 3, axis=2)
    elif shape[2:] == (4,):
        expected = array[..., :3]
        assert any("transparency" in note for note in picture.notes)
    assert np.array_equal(pixels(picture), expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((3, 8, 8), np.uint8), "channels first"),
        (np.zeros((2, 8, 8, 3), np.uint8), "2x8x8x3"),
        (np.zeros((8, 8, 5), np.uint8), "8x8x5"),
        (np.zeros((8,), np.uint8), "shape 8"),
        (np.zeros((0, 8, 3), np.uint8), "without a pixel"),
        (["a.png"], "builtins.list"),
        (None, "NoneType"),
        (7, "builtins.int"),
    ],
)
def test_what_is_no_image_is_refused(array, message):
    with pytest.raises(ImageError, match=message) as raised:
        decode(array)
    assert raised.value.expected


def test_modes_pillow_cannot_convert_are_refused():
    with pytest.raises(ImageError, match="mode 'La'"):
        decode(Image.new("La", (2, 2)))


def test_decoding_in_threads_leaks_no_warning_and_restores_the_filters():
    data = palette_with_transparency()  # Pillow warns when converting it
    with pytest.warns(UserWarning, match="Palette images"):
        Image.open(io.BytesIO(data)).convert("RGB")
    before = list(warnings.filters)
    failures: list[Warning] = []

    def work() -> None:
        try:
            for _ in range(30):
                decode(data)
        except Warning as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == before


def test_quiet_hides_no_one_elses_warnings():
    with quiet(), pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_newer_formats_where_this_pillow_has_them(kind):
    Image.init()
    available = kind in Image.SAVE
    if available:
        data = encoded(colour(), kind)
        assert np.array_equal(pixels(decode(data)), plain(data))
    else:
        with pytest.raises(ImageError):
            decode(b"\0\0\0\x1cftypavif" if kind == "AVIF" else b"\0\0\0\x0cjP  ")


def test_the_photographs_of_the_examples():
    folder = Path(__file__).parent.parent / "examples" / "photos"
    files = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    assert 8 <= len(files) <= 12
    assert sum(path.stat().st_size for path in files) <= 2_000_000
    pictures = [decode(path) for path in files]
    assert [picture.orientation for picture in pictures if picture.orientation != 1] == [6]
    assert any(picture.upright().height > picture.upright().width for picture in pictures)
    assert max(picture.width * picture.height for picture in pictures) == 12_000_000
    sources = (folder / "SOURCES.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in sources for path in files)
