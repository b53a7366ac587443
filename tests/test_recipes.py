"""The grammar of recipes: canonical text, hash, order, and errors that name the step."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from snellen.errors import ImageError, RecipeError, UnknownName
from snellen.images import Picture, decode
from snellen.recipes import FAMILIES, LIBRARIES, STATS, Recipe, builtin
from snellen.recipes.apply import FILTERS, resized
from snellen.recipes.steps import CenterCrop, Scale, Step, Tensor
from snellen.zoo import ROWS
from snellen.zoo.conventions import recipe_for

TEXT = (
    "stored | shortest_edge 256 bicubic | center_crop 224 | scale"
    " | mean 0.485 0.456 0.406 | std 0.229 0.224 0.225 | pool cls"
)
RNG = np.random.default_rng(3)


def image(height: int, width: int) -> Picture:
    return decode(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_canonical_text_and_hash():
    recipe = Recipe.parse(TEXT)
    assert recipe.text == TEXT
    assert recipe.hash == "7c66844fe602"  # changes only if the meaning of a text does
    assert (recipe.size, recipe.pool, recipe.eight_bit) == ((224, 224), "cls", True)


@pytest.mark.parametrize(
    ("loose", "canonical"),
    [
        (TEXT.replace(" | ", "|").upper(), TEXT),
        (TEXT.replace(" | ", "\n  |   "), TEXT),
        (TEXT.replace("0.485", "4.85e-1").replace("0.225", "0.22500"), TEXT),
        (TEXT.replace("center_crop 224", "center_crop 224 224"), TEXT),
        ("upright|scale|squash 32 48 bilinear aliased|pool tanh_cls",) * 2,
        ("stored | tensor | squash 8 bicubic | center_crop 8 6 floor | scale | pool patch_mean",) * 2,
        ("stored | squash 8 lanczos | scale | pool cls",) * 2,
        ("stored | squash 8 box | tensor | scale | pool cls",) * 2,
    ],
)
def test_other_spellings_are_the_same_recipe(loose, canonical):
    recipe, same = Recipe.parse(loose), Recipe.parse(Recipe.parse(canonical).text)
    assert (recipe, recipe.text, recipe.hash) == (same, same.text, same.hash)


def test_order_and_numbers_are_meaning():
    texts = [
        TEXT,
        TEXT.replace("stored", "upright"),
        TEXT.replace("bicubic", "bilinear"),
        TEXT.replace("center_crop 224", "center_crop 224 floor"),
        TEXT.replace("stored |", "stored | tensor |"),
        TEXT.replace(" | scale", "").replace("stored |", "stored | scale |"),
        TEXT.replace("0.485", "0.486"),
        TEXT.replace("pool cls", "pool patch_mean"),
    ]
    assert len({Recipe.parse(text).hash for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "step 1 .*nothing stands"),
        ("stored || pool cls", "step 2 .*nothing stands"),
        ("scale | pool cls", "step 1 of the recipe, 'scale'.*orientation"),
        ("stored | upright | squash 8 box | scale | pool cls", "step 2 .*'upright'.*out of place"),
        ("stored | centre_crop 224 | scale | pool cls", "(?s)step 2 .*'centre_crop 224'.*did you mean center_crop"),
        ("stored | shortest-edge 224 bicubic | scale | pool cls", "(?s)did you mean shortest_edge"),
        ("stored | frobnicate | scale | pool cls", "there is no step 'frobnicate'"),
        ("stored | squash 8 bicubc | scale | pool cls", "(?s)there is no filter 'bicubc'.*did you mean bicubic"),
        ("stored | squash 8 nearest | scale | pool cls", "no filter 'nearest'"),
        ("stored | tensor | squash 8 lanczos | scale | pool cls", "no filter 'lanczos' after 'tensor'"),
        ("stored | scale | squash 8 box | pool cls", "no filter 'box' after 'scale'"),
        ("stored | squash 8 | scale | pool cls", "filter is missing"),
        ("stored | squash 8 bilinear sharply | scale | pool cls", "'sharply' is not understood"),
        ("stored | squash 8 bilinear aliased | scale | pool cls", "always antialiased"),
        ("stored | tensor | squash 8 bilinear aliased | scale | pool cls", "always antialiased"),
        ("stored | squash bilinear | scale | pool cls", "whole number"),
        ("stored | squash 0 bilinear | scale | pool cls", "whole number"),
        ("stored | squash -8 bilinear | scale | pool cls", "whole number"),
        ("stored | squash 8.5 bilinear | scale | pool cls", "whole number"),
        ("stored | squash 99999 bilinear | scale | pool cls", "16384"),
        ("stored | squash ² bilinear | scale | pool cls", "whole number"),
        ("stored | shortest_edge 8 9 bilinear | center_crop 8 | scale | pool cls", "no filter '9'"),
        ("stored | center_crop 8 ceil | scale | pool cls", "'ceil' is not understood"),
        ("stored | shortest_edge 8 bilinear | scale | pool cls", "size of the pixels open"),
        ("stored | center_crop 8 | shortest_edge 8 box | scale | pool cls", "size of the pixels open"),
        ("stored | squash 8 box | scale | scale | pool cls", "step 4 .*out of place"),
        ("stored | squash 8 box | scale | tensor | pool cls", "'tensor'.*out of place"),
        ("stored | squash 8 box | pool cls", "no step 'scale'"),
        ("stored | squash 8 box | scale", "no step 'pool'"),
        ("stored | squash 8 box | scale | pool cls | center_crop 4", "step 5 .*out of place"),
        ("stored | scale | mean 1 2 3 | std 1 2 3 | squash 8 bilinear | pool cls", "step 5 .*out of place"),
        ("stored | squash 8 box | scale | std 1 1 1 | mean 0 0 0 | pool cls", "'mean 0 0 0'.*out of place"),
        ("stored | squash 8 box | scale | mean 0 0 0 | pool cls", "no step 'std'"),
        ("stored | squash 8 box | scale | mean 0 0 | std 1 1 1 | pool cls", "three numbers"),
        ("stored | squash 8 box | scale | mean 0 0 x | std 1 1 1 | pool cls", "three numbers"),
        ("stored | squash 8 box | scale | mean 0 0 nan | std 1 1 1 | pool cls", "three numbers"),
        ("stored | squash 8 box | scale | mean 0 0 0 | std 1 0 1 | pool cls", "above 0"),
        ("stored | squash 8 box | scale | pool clss", "(?s)there is no pooling 'clss'.*did you mean cls"),
        ("stored | squash 8 box | scale | pool", "no pooling ''"),
        ("stored 3 | squash 8 box | scale | pool cls", "nothing may follow"),
        ("stored | squash 8 box | scale 255 | pool cls", "nothing may follow"),
    ],
)
def test_errors_name_the_step(text, message):
    with pytest.raises(RecipeError, match=message) as raised:
        Recipe.parse(text)
    assert raised.value.expected


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_builtin_is_canonical_and_gives_its_size(library, family):
    text = builtin(library, family)
    recipe = Recipe.parse(text)
    assert recipe.text == text
    assert recipe.apply_orientation == (library == "transformers")
    pixels = recipe(image(90, 61))
    assert tuple(pixels.shape) == (3, *recipe.size)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous()


def test_builtin_parameters():
    assert "shortest_edge 248 " in builtin("timm", "vit")
    assert "shortest_edge 384 " in builtin("original", "aimv2", size=336)
    assert "shortest_edge 258 " in builtin("original", "aimv2", size=225)  # rounded up
    assert "shortest_edge 257 " in builtin("original", "dinov2", size=225)  # rounded down
    text = builtin("transformers", "vit", size=384, stats="clip", pool="tanh_cls")
    assert Recipe.parse(text).size == (384, 384)
    assert Recipe.parse(text).mean == STATS["clip"][0]
    assert text.endswith("| pool tanh_cls")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("tim", "vit"), {}, "no library named 'tim'"),
        (("timm", "dinov3"), {}, "no family named 'dinov3'"),
        (("timm", "vit"), {"stats": "imagnet"}, "did you mean imagenet"),
        (("timm", "vit"), {"pool": "mean"}, "no pooling named 'mean'"),
    ],
)
def test_builtin_offers_the_nearest(arguments, options, message):
    with pytest.raises(UnknownName, match=f"(?s){message}"):
        builtin(*arguments, **options)


@pytest.mark.parametrize("size", [0, -1, 10**6])
def test_builtin_refuses_impossible_sizes(size):
    with pytest.raises(RecipeError):
        builtin("timm", "vit", size=size)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_eight_bit_pixels_normalise_to_the_same_pixels(library, family):
    recipe, picture = Recipe.parse(builtin(library, family)), image(50, 70)
    if not recipe.eight_bit:
        with pytest.raises(RecipeError, match="no 8-bit pixels"):
            recipe.uint8(picture)
        return
    small = recipe.uint8(picture)
    assert small.dtype == torch.uint8
    assert torch.equal(recipe.normalise(torch.stack([small, small]))[1], recipe.pixels(picture))


def test_orientation_is_applied_where_the_recipe_says():
    stored = Image.fromarray(RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8))
    picture = Picture(stored, orientation=6, width=4, height=6)
    turned = Picture(stored.transpose(Image.Transpose.ROTATE_270), orientation=1, width=6, height=4)
    text = "{} | squash 6 6 box | scale | pool cls"
    upright, as_stored = (Recipe.parse(text.format(word)) for word in ("upright", "stored"))
    assert torch.equal(upright(picture), as_stored(turned))
    assert not torch.equal(as_stored(picture), as_stored(turned))


def test_extreme_aspect_ratios_are_refused_before_they_cost_memory():
    recipe = Recipe.parse(TEXT)
    line = decode(Image.new("RGB", (60_000, 1)))
    with pytest.raises(ImageError, match="60000 x 1 pixels is too long and thin") as raised:
        recipe(line)
    assert "shortest_edge 256" in raised.value.expected
    assert recipe(decode(Image.new("RGB", (1, 900)))).shape == (3, 224, 224)
    assert Recipe.parse("stored | squash 8 box | scale | pool cls")(line).shape == (3, 8, 8)


def test_one_pixel_is_enough():
    for library in LIBRARIES:
        pixels = Recipe.parse(builtin(library, "dinov2"))(decode(Image.new("RGB", (1, 1), (10, 20, 30))))
        assert torch.equal(pixels, pixels[:, :1, :1].expand_as(pixels))


def test_with_pool_changes_nothing_else():
    recipe = Recipe.parse(TEXT)
    assert recipe.with_pool("patch_mean").text == TEXT.replace("pool cls", "pool patch_mean")


def test_reading_a_recipe_imports_nothing_heavy():
    code = (
        "import sys; from snellen.recipes import Recipe, builtin; Recipe.parse(builtin('timm', 'vit')).hash;"
        "print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


# ---- arrays: the same pixels without torch

ZOO = sorted({recipe_for(row, library) for row in ROWS for library in {library for library, _ in row.names}})
OTHERS = (
    "stored | center_crop 40 30 | scale | pool cls",
    "stored | tensor | center_crop 41 97 floor | scale | mean 0.1 0.2 0.3 | std 0.7 0.8 0.9 | pool cls",
    "stored | tensor | center_crop 64 90 | squash 33 47 bicubic | scale | mean 0.1 0.2 0.3 | std 0.7 0.8 1 | pool cls",
    "upright | scale | center_crop 41 97 | mean 0.1 0.2 0.3 | std 0.7 0.8 0.9 | pool cls",
    "upright | squash 50 lanczos | scale | squash 24 31 bicubic | center_crop 20 | pool cls",
    "stored | shortest_edge 40 box | tensor | shortest_edge 30 bilinear | center_crop 32 28 | scale | pool cls",
)
PICTURES = tuple(
    image(height, width) for height, width in ((1, 1), (90, 61), (61, 90), (40, 600), (256, 259), (331, 278))
)


def by_torch(recipe: Recipe, picture: Picture) -> torch.Tensor:
    """Return the pixels by the formulas of torchvision, written out with torch alone."""
    pixels = picture.upright() if recipe.apply_orientation else picture.rgb
    for step in recipe.steps:
        pixels = one_by_torch(pixels, step)
    if recipe.mean is None or recipe.std is None:
        return pixels
    mean, std = (torch.tensor(three, dtype=torch.float32)[:, None, None] for three in (recipe.mean, recipe.std))
    return pixels.sub(mean).div(std)


def one_by_torch(pixels: Image.Image | torch.Tensor, step: Step) -> Image.Image | torch.Tensor:
    drawn = isinstance(pixels, Image.Image)
    height, width = (pixels.height, pixels.width) if drawn else pixels.shape[1:]
    if isinstance(step, (Tensor, Scale)):
        tensor = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous() if drawn else pixels
        return tensor if isinstance(step, Tensor) else tensor.to(torch.float32).div(255)
    if isinstance(step, CenterCrop):
        tall, wide = max(step.height - height, 0), max(step.width - width, 0)
        left, top = wide // 2, tall // 2
        half = (lambda margin: margin // 2) if step.floor else (lambda margin: round(margin / 2))
        y, x = half(max(height - step.height, 0)), half(max(width - step.width, 0))
        if drawn:
            box = (x - left, y - top, x - left + step.width, y - top + step.height)
            return pixels.crop(box)
        padded = functional.pad(pixels, (left, wide - left, top, tall - top))
        return padded[:, y : y + step.height, x : x + step.width]
    size = resized(step, height, width)
    if size == (height, width):
        return pixels
    if drawn:
        return pixels.resize(size[::-1], FILTERS[step.filter])
    return functional.interpolate(pixels[None], size, mode=step.filter, antialias=not step.aliased)[0]


def same_pixels(recipe: Recipe, other: Recipe) -> bool:
    return all(np.array_equal(recipe.array(picture), by_torch(other, picture).numpy()) for picture in PICTURES)


@pytest.mark.parametrize("text", [*ZOO, *OTHERS])
def test_arrays_are_torchs_pixels_to_the_last_bit(text):
    recipe = Recipe.parse(text)
    assert same_pixels(recipe, recipe)
    for picture in PICTURES[:3]:
        before = np.array(picture.rgb)
        array, pixels = recipe.array(picture), recipe.pixels(picture)
        assert (array.dtype, array.shape) == (np.float32, (3, *recipe.size))
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert torch.equal(pixels, torch.from_numpy(array))
        array[:] = 7  # it is the caller's own
        assert np.array_equal(before, np.array(picture.rgb))
        assert torch.equal(pixels, recipe.pixels(picture))


@pytest.mark.parametrize("text", [*ZOO, *OTHERS])
def test_eight_bit_arrays_are_torchs_pixels_to_the_last_bit(text):
    recipe = Recipe.parse(text)
    if not recipe.eight_bit:
        with pytest.raises(RecipeError, match="no 8-bit pixels"):
            recipe.array_uint8(PICTURES[0])
        return
    for picture in PICTURES:
        small = recipe.array_uint8(picture)
        assert (small.dtype, small.shape, small.flags.c_contiguous) == (np.uint8, (3, *recipe.size), True)
        assert torch.equal(recipe.uint8(picture), torch.from_numpy(small))
        assert torch.equal(recipe.normalise(torch.from_numpy(small)), by_torch(recipe, picture))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("0.485", "0.48500003"),
        ("0.229", "0.22900002"),
        ("center_crop 224", "center_crop 224 floor"),
        ("bicubic", "bilinear"),
        ("stored |", "stored | tensor |"),
    ],
)
def test_arrays_differ_from_those_of_a_wrong_recipe(right, wrong):
    assert right in TEXT
    assert not same_pixels(Recipe.parse(TEXT), Recipe.parse(TEXT.replace(right, wrong)))


@pytest.mark.parametrize(
    ("text", "torch_is_needed"),
    [
        (TEXT, False),
        *((text, False) for text in (OTHERS[0], OTHERS[1], OTHERS[3])),
        (builtin("transformers", "dinov2"), True),
        (builtin("original", "vit"), True),
    ],
)
def test_torch_is_imported_only_for_its_own_resizes(text, torch_is_needed):
    code = (
        "import sys; from PIL import Image; import snellen.recipes.apply; from snellen.images import decode;"
        f"from snellen.recipes import Recipe; Recipe.parse({text!r}).array(decode(Image.new('RGB', (50, 40))));"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(torch_is_needed)
