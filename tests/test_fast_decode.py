"""Fast decoding: JPEGs at a reduced size, nothing else touched, no outcome changed, and the drift said."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import snellen
from snellen.embed.drift import Drift, drift
from snellen.errors import ImageError, RecipeError, TooLarge
from snellen.images import Picture, decode
from snellen.recipes import FAMILIES, LIBRARIES, Recipe, apply, builtin
from snellen.recipes.foreign import to_processor, to_timm
from snellen.recipes.recipe import DCT
from snellen.recipes.steps import ShortestEdge

PHOTOS = Path(snellen.__file__).parent / "photos"
RNG = np.random.default_rng(5)
CROP = "stored | shortest_edge 40 bicubic | center_crop 32 | scale | mean 0.5 0.5 0.5 | std 0.5 0.5 0.5 | pool cls"
TENSOR = "upright | tensor | squash 32 bilinear | scale | pool cls"
FLOAT = "upright | scale | squash 32 36 bicubic | pool cls"


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    with Image.open(PHOTOS / "hubble.jpg") as opened:
        return opened.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def jpeg(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def half(height: int, width: int) -> tuple[int, int]:
    return -(-height // 2), -(-width // 2)


def by_pillow(data: bytes, scale: int) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.draft(None, (image.width // scale, image.height // scale))
    return np.asarray(image.convert("RGB"))


# ---- decoding


@pytest.mark.parametrize("seed", range(40))
def test_the_smallest_size_that_is_allowed_is_taken(seed):
    drawn = np.random.default_rng(seed)
    width, height, w, h = (int(2**power) for power in drawn.uniform((3, 3, 0, 0), (9, 9, 7, 7)))
    data = jpeg(Image.new("RGB", (width, height)))
    scale = max((s for s in (1, 2, 4, 8) if width / s >= w and height / s >= h), default=1)
    picture = decode(data, at_least=lambda rows, columns: (h, w) if (rows, columns) == (height, width) else None)
    assert (picture.width, picture.height) == (width, height)
    assert picture.rgb.size == (-(-width // scale), -(-height // scale))


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_pixels_are_the_decoders_own_at_that_scale(scale, tmp_path):
    data = jpeg(photo(417, 331))
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for source in (data, bytearray(data), path, str(path)):
        picture = decode(source, at_least=lambda height, width: (height // scale, width // scale))
        assert np.array_equal(np.asarray(picture.rgb), by_pillow(data, scale))
    if scale > 1:
        assert not np.array_equal(np.asarray(picture.rgb), by_pillow(data, scale // 2)[::2, ::2])


def test_nothing_asked_for_is_every_pixel():
    data = jpeg(photo(64, 48))
    exact = decode(data)
    for at_least in (None, lambda height, width: None, lambda height, width: (height, width)):
        picture = decode(data, at_least=at_least)
        assert np.array_equal(np.asarray(picture.rgb), np.asarray(exact.rgb))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_decoded_in_full(kind):
    assert decode(jpeg(photo(64, 48), kind), at_least=half).rgb.size == (64, 48)
    assert decode(jpeg(photo(64, 48)), at_least=half).rgb.size == (32, 24)


def test_jpeg_inside_tiff_is_decoded_in_full():
    data = jpeg(photo(64, 48), "TIFF", compression="jpeg")
    assert decode(data, at_least=half).rgb.size == (64, 48)


def frames() -> bytes:
    stream = io.BytesIO()
    photo(64, 48).save(stream, "MPO", save_all=True, append_images=[photo(32, 24)])
    return stream.getvalue()


KINDS = {
    "444": jpeg(photo(64, 48), subsampling=0),
    "422": jpeg(photo(64, 48), subsampling=1),
    "grey": jpeg(photo(64, 48, "L")),
    "cmyk": jpeg(photo(64, 48, "CMYK")),
    "progressive": jpeg(photo(64, 48), progressive=True),
    "restarts": jpeg(photo(64, 48), restart_marker_blocks=2),
    "large exif": jpeg(photo(64, 48), exif=b"Exif\0\0" + bytes(60_000), comment=b"!" * 4000),
    "several frames": frames(),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_jpeg(name):
    exact, fast = decode(KINDS[name]), decode(KINDS[name], at_least=half)
    assert fast.rgb.size == (32, 24)
    assert fast.rgb.mode == "RGB"
    assert (fast.notes, fast.orientation, fast.width, fast.height) == (exact.notes, exact.orientation, 64, 48)
    assert np.array_equal(np.asarray(fast.rgb), by_pillow(KINDS[name], 2))
    alike = np.asarray(exact.rgb.resize((32, 24), Image.Resampling.BOX), float)
    assert np.abs(np.asarray(fast.rgb, float) - alike).mean() < 4


def lossless(pixels: np.ndarray) -> bytes:
    """Return a lossless JPEG of grey pixels: each is written as its difference to the one before it."""
    bits = []
    for y, row in enumerate(pixels.astype(int)):
        before = 128 if y == 0 else int(pixels[y - 1, 0])
        for value in row:
            difference, before = value - before, value
            size = int(abs(difference)).bit_length()
            bits.append(f"{size:04b}")
            bits.append(f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}" if size else "")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)).replace(b"\xff", b"\xff\0")
    height, width = (side.to_bytes(2, "big") for side in pixels.shape)
    tables = segment(0xC4, bytes([0, 0, 0, 0, 9, *[0] * 12, *range(9)]))
    frame = segment(0xC3, b"\x08" + height + width + bytes([1, 1, 0x11, 0]))
    return b"\xff\xd8" + frame + tables + segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + scan + b"\xff\xd9"


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def test_a_lossless_jpeg_is_decoded_in_full_as_it_cannot_be_reduced():
    pixels = np.asarray(photo(64, 48, "L"))
    data = lossless(pixels)
    assert np.array_equal(np.asarray(decode(data, at_least=half).rgb)[..., 0], pixels)
    with pytest.raises(OSError, match="broken"):
        by_pillow(data, 2)


@pytest.mark.parametrize("extra", [b"\xff", b"junk", segment(0xDC, b"\0\x30"), segment(0xF7, b"")])
def test_a_header_that_is_read_one_way_or_another_is_decoded_in_full(extra):
    plain = jpeg(photo(64, 48))
    data = plain[:2] + extra + plain[2:]
    assert same_end(data)
    try:
        size = decode(data, at_least=half).rgb.size
    except ImageError:
        return
    assert size == (64, 48)


def end(data: bytes, at_least) -> tuple:
    try:
        picture = decode(data, at_least=at_least)
    except ImageError as error:
        return type(error), str(error)
    return picture.width, picture.height, picture.orientation, picture.notes


def same_end(data: bytes) -> bool:
    return end(data, None) == end(data, half)


def test_what_is_damaged_is_found_as_ever():
    whole = [jpeg(photo(160, 120)), jpeg(photo(160, 120), progressive=True), KINDS["restarts"], KINDS["cmyk"]]
    ends = set()
    for data in whole:
        for cut in RNG.integers(0, len(data), 40):
            assert same_end(data[:cut])
            ends.add(end(data[:cut], half)[0])
        for place in RNG.integers(0, len(data), 100):
            spoilt = bytearray(data)
            spoilt[place] ^= int(RNG.integers(1, 256))
            assert same_end(bytes(spoilt)), place
            ends.add(end(bytes(spoilt), half)[0])
    assert {ImageError, 160} <= ends


def test_too_many_pixels_are_those_of_the_file():
    data = jpeg(Image.new("L", (400, 300)))
    with pytest.raises(TooLarge, match="400 x 300 = 120000"):
        decode(data, max_pixels=119_999, at_least=half)
    assert decode(data, max_pixels=120_000, at_least=half).rgb.size == (200, 150)


def test_an_image_of_the_callers_is_neither_reduced_nor_shared():
    image = Image.open(io.BytesIO(KINDS["444"]))
    picture = decode(image, at_least=half)
    assert picture.rgb.size == image.size == (64, 48)
    before = np.array(image)
    picture.rgb.paste((1, 2, 3), (0, 0, 64, 48))
    assert np.array_equal(before, np.asarray(image))


def test_a_jpeg_is_not_copied_once_more(monkeypatch):
    expected = np.asarray(decode(KINDS["444"]).rgb)
    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "convert", lambda *_: pytest.fail("a copy was made"))
        rgb = decode(KINDS["444"]).rgb
    assert np.array_equal(np.asarray(rgb), expected)


def test_a_decoded_jpeg_can_be_used_as_any_image():
    for at_least in (None, half):
        rgb = decode(KINDS["444"], at_least=at_least).rgb
        expected = np.array(rgb)
        rgb.load()
        assert np.array_equal(np.asarray(rgb.copy()), expected)
        assert rgb.crop((1, 2, 5, 8)).size == (4, 6)
        rgb.putpixel((0, 0), (1, 2, 3))
        assert rgb.getpixel((0, 0)) == (1, 2, 3)


# ---- the recipe


def test_the_step_is_part_of_the_text_and_of_the_hash():
    exact = Recipe.parse(CROP)
    fast = exact.with_dct()
    assert fast.text == CROP.replace("stored |", f"stored | dct {DCT} |")
    assert Recipe.parse(fast.text) == fast
    assert fast.hash != exact.hash != exact.with_dct(3).hash != fast.hash
    assert fast.with_dct(None) == exact
    assert Recipe.parse(CROP.replace("stored |", "stored | DCT 02.0 |")).hash == exact.with_dct(2).hash
    assert "| dct 1.5 |" in exact.with_dct(1.5).text
    assert fast.with_pool("patch_mean").dct == DCT
    assert (fast.size, fast.eight_bit) == (exact.size, exact.eight_bit)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_builtin_takes_it_or_says_why_not(library, family):
    recipe = Recipe.parse(builtin(library, family))
    if "aliased" in recipe.text:
        with pytest.raises(RecipeError, match="takes single pixels of the whole file"):
            recipe.with_dct()
    else:
        assert recipe.with_dct().at_least(8000, 6000) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stored | dct | squash 8 box | scale | pool cls", "step 2 of the recipe, 'dct'"),
        (
            "stored | dct 0 | squash 8 box | scale | pool cls",
            "expected: 'dct N', N a number from 1 to 16 with one digit",
        ),
        ("stored | dct 17 | squash 8 box | scale | pool cls", "'dct N'"),
        ("stored | dct 2.25 | squash 8 box | scale | pool cls", "'dct N'"),
        ("stored | dct nan | squash 8 box | scale | pool cls", "'dct N'"),
        ("stored | dct 0.9 | squash 8 box | scale | pool cls", "'dct N'"),
        ("stored | dct 2 2 | squash 8 box | scale | pool cls", "'dct N'"),
        ("stored | squash 8 box | dct 2 | scale | pool cls", "step 3 of the recipe, 'dct 2': out of place"),
        ("stored | dct 2 | dct 2 | squash 8 box | scale | pool cls", "out of place"),
        ("dct 2 | squash 8 box | scale | pool cls", "what happens to the EXIF orientation"),
        ("stored | dct 2 | center_crop 8 | scale | pool cls", "'center_crop 8' before any resize"),
        ("stored | dct 2 | center_crop 80 | squash 8 box | scale | pool cls", "cuts pixels of the whole file out"),
        ("stored | dct 2 | scale | squash 8 bilinear aliased | pool cls", "takes single pixels of the whole file"),
    ],
)
def test_errors_name_the_step(text, message):
    with pytest.raises(RecipeError) as raised:
        Recipe.parse(text)
    assert message in str(raised.value)


def test_no_file_of_the_libraries_can_say_it():
    own = Recipe.parse(builtin("timm", "vit")), Recipe.parse(builtin("transformers", "vit"))
    to_timm(own[0])
    to_processor(own[1], "vit")
    with pytest.raises(RecipeError, match="cannot express"):
        to_timm(own[0].with_dct())
    with pytest.raises(RecipeError, match="cannot express"):
        to_processor(own[1].with_dct(), "vit")


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        (CROP, (300, 400), (80, 106)),
        (CROP, (400, 300), (106, 80)),
        (TENSOR, (300, 400), (64, 64)),
        (FLOAT, (300, 400), (72, 72)),  # it may be turned yet
        (FLOAT.replace("upright", "stored"), (300, 400), (64, 72)),
        (CROP, (1, 60_000_000), None),
    ],
)
def test_at_least(text, size, expected):
    assert Recipe.parse(text).with_dct(2).at_least(*size) == expected
    if expected is not None:
        less = tuple(-(-3 * side // 4) for side in expected)
        assert Recipe.parse(text).with_dct(1.5).at_least(*size) == less
    assert Recipe.parse(text).at_least(*size) is None


def test_what_is_too_long_and_thin_is_refused_in_the_same_words():
    recipe = Recipe.parse(CROP.replace("edge 40", "edge 2048").replace("crop 32", "crop 2000"))
    data = jpeg(Image.new("RGB", (60_000, 1)))
    messages = []
    for each in (recipe, recipe.with_dct()):
        with pytest.raises(ImageError, match="too long and thin") as raised:
            each.array(decode(data, at_least=each.at_least))
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


# ---- pixels


def shown(recipe: Recipe, data: bytes) -> tuple[np.ndarray, Picture]:
    picture = decode(data, at_least=recipe.at_least)
    array = recipe.array(picture)
    assert array.shape == (3, *recipe.size)
    return array, picture


def levels(a: np.ndarray, b: np.ndarray, recipe: Recipe) -> float:
    """Return the difference of pixels, root mean square, in 8-bit steps."""
    std = 1.0 if recipe.std is None else np.array(recipe.std)[:, None, None]
    return float(255 * np.sqrt(np.mean(((a - b) * std) ** 2)))


@pytest.mark.parametrize("text", [CROP, TENSOR, FLOAT, CROP.replace("bicubic", "lanczos")])
@pytest.mark.parametrize("size", [(1000, 872), (999, 869), (655, 641), (784, 701)])  # 98 x (32 / 98) is below 32
def test_reduced_pixels_are_like_the_exact_ones(text, size):
    recipe = Recipe.parse(text)
    data = jpeg(photo(*size), quality=90)
    (exact, _), (fast, picture) = shown(recipe, data), shown(recipe.with_dct(), data)
    assert picture.rgb.width < picture.width
    assert levels(exact, fast, recipe) < 1.5
    whole = replace(picture, width=picture.rgb.width, height=picture.rgb.height)
    if size[0] % 8:  # where the last pixel is not full, it may not count as one
        assert levels(exact, recipe.array(whole), recipe) > 1.1 * levels(exact, fast, recipe)


def test_the_longer_side_is_that_of_the_file():
    step = ShortestEdge(40, "bicubic")
    reduced = photo(86, 80)  # an eighth of 681 x 640, which alone would become 43 x 40
    assert apply.run(reduced, (step,), (640, 681)).shape == apply.run(photo(681, 640), (step,)).shape == (3, 40, 42)
    assert apply.run(reduced, (step,)).shape == (3, 40, 43)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("text", [TENSOR, FLOAT, "upright | squash 32 48 box | scale | pool cls"])
def test_reduced_pixels_are_turned(orientation, text):
    exif = Image.Exif()
    exif[0x0112] = orientation
    recipe = Recipe.parse(text)
    data = jpeg(photo(800, 640), exif=exif)
    (exact, _), (fast, picture) = shown(recipe, data), shown(recipe.with_dct(), data)
    assert (picture.width, picture.height, picture.orientation) == (800, 640, orientation)
    assert picture.rgb.width < 800
    assert levels(exact, fast, recipe) < 6 < levels(exact, fast[:, ::-1, ::-1], recipe)


def test_eight_bit_pixels_are_those_of_the_array():
    for text in (CROP, TENSOR):
        recipe = Recipe.parse(text).with_dct()
        array, picture = shown(recipe, jpeg(photo(800, 640)))
        assert torch.equal(recipe.normalise(recipe.uint8(picture)), torch.from_numpy(array))


def test_what_is_not_reduced_is_exact():
    for text in (CROP, TENSOR, FLOAT):
        recipe = Recipe.parse(text)
        for data in (jpeg(photo(79, 90)), jpeg(photo(800, 640), "PNG"), jpeg(photo(20, 30))):
            exact, fast = shown(recipe, data)[0], shown(recipe.with_dct(), data)[0]
            assert np.array_equal(exact, fast)


def test_an_exact_recipe_refuses_a_reduced_picture():
    recipe = Recipe.parse(CROP)
    picture = decode(jpeg(photo(800, 640)), at_least=half)
    with pytest.raises(RecipeError, match="decoded at 400 x 320 pixels and its file has 800 x 640"):
        recipe.array(picture)
    with pytest.raises(RecipeError, match="decoded at"):
        recipe.uint8(picture)


@pytest.mark.parametrize("seed", range(30))
def test_torch_resizes_alike_however_pixels_lie_in_memory(seed):
    drawn = np.random.default_rng(seed)
    height, width, h, w = (int(2**power) for power in drawn.uniform(1, 9, 4))
    image = Image.fromarray(drawn.integers(0, 256, (height, width, 3), dtype=np.uint8))
    numbers = apply.run(image, ())
    assert np.array_equal(numbers, np.asarray(image).transpose(2, 0, 1))
    for mode in ("bilinear", "bicubic"):
        plain = torch.from_numpy(np.ascontiguousarray(numbers))[None]
        expected = functional.interpolate(plain, (h + 1, w), mode=mode, antialias=True)[0]
        recipe = Recipe.parse(f"stored | tensor | squash {h + 1} {w} {mode} | scale | pool cls")
        assert torch.equal(recipe.uint8(decode(image)), expected)


# ---- drift


class Stub:
    """Gives the mean of each channel and the pixels of the middle; keeps the sizes of its batches."""

    def __init__(self, scale: float = 1.0) -> None:
        self.batches: list[int] = []
        self.scale = scale

    def vectors(self, batches):
        for pixels in batches:
            self.batches.append(len(pixels))
            yield pixels.reshape(len(pixels), -1)[:, ::7] * np.float32(self.scale)


def test_drift_is_the_cosine_of_vectors():
    exact = Recipe.parse(CROP)
    contents = [jpeg(photo(800, 640)), b"no image", jpeg(photo(800, 640), "PNG"), jpeg(photo(50, 40)), *[KINDS["444"]]]
    contents += [jpeg(photo(640 + 8 * n, 800)) for n in range(4)]
    model = Stub()
    found = drift(model, exact, exact.with_dct(), iter(contents), batch=2)
    assert (found.images, found.full) == (5, 3)
    assert model.batches == [2, 2, 1, 2, 2, 1]
    assert found.lowest is not None
    assert 0.99 < found.lowest <= found.median <= 1 > found.mean > found.lowest
    recipes = exact, exact.with_dct()
    vectors = [
        shown(recipe, contents[0])[0].reshape(-1)[::7].astype(float) / (1 if recipe.dct else 3) for recipe in recipes
    ]
    alone = drift(Stub(), *recipes, contents[:1], batch=4)
    cosine = vectors[0] @ vectors[1] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[1])
    assert alone.lowest == alone.median == alone.mean == pytest.approx(cosine, abs=1e-12)
    small = [jpeg(photo(400, 320))]
    fine, coarse = (drift(Stub(), exact, exact.with_dct(factor), small, batch=2).lowest for factor in (2, 1))
    assert coarse < fine < 1


def test_drift_takes_no_more_images_than_it_needs():
    def contents():
        for _ in range(3):
            yield jpeg(photo(800, 640))
        pytest.fail("one more was taken")

    exact = Recipe.parse(CROP)
    assert drift(Stub(), exact, exact.with_dct(), contents(), batch=8, most=3).images == 3


def test_drift_says_what_it_saw():
    none = Drift(images=0, full=0, lowest=None, median=None, mean=None)
    assert str(none) == "decoded fast: no image was found that is decoded smaller, which would cost exactness"
    assert "none of 3 images looked at is decoded smaller" in str(replace(none, full=3))
    some = Drift(images=16, full=1, lowest=0.9999999, median=1.0, mean=0.99999999)
    assert "is 0.999999 at the lowest and 1.000000 in the median of 16 sample images" in str(some)


@pytest.mark.parametrize("scale", [0.0, float("inf"), float("nan")])
def test_drift_counts_no_vector_without_a_direction(scale):
    exact = Recipe.parse(CROP)
    found = drift(Stub(scale), exact, exact.with_dct(), [jpeg(photo(800, 640))], batch=8)
    assert (found.images, found.lowest) == (0, None)
