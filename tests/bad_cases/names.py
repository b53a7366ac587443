"""Names, devices, dtypes, seeds and recipes that do not exist or do not fit."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import torch

from bad_cases.making import folder, hollow, photo, released
from bad_cases.table import Call, Place, Table
from snellen import convert, load
from snellen.errors import (
    DeviceUnavailable,
    InputError,
    MissingPackage,
    RecipeError,
    UnknownName,
    UsageError,
    WeightsUnavailable,
)

TABLE = Table("Names, devices, recipes")
row = TABLE.row

S = "vit_small_patch14_dinov2.lvd142m"
AIM = "aimv2_large_patch14_224.apple_pt"
STATS = "mean 0.5 0.5 0.5 | std 0.5 0.5 0.5"


def embed(model: str, *more: str) -> list[str]:
    """Return the command that embeds one picture; names and recipes are looked at before it is."""
    return ["embed", "photo.png", "-m", model, *more]


def seeded(*more: str, model: str = S) -> list[str]:
    return embed(model, "--weights", "seed:0", *more)


@row("a misspelt timm name", UnknownName)
def timm_name(at: Place) -> Call:
    return seeded(model="vit_smal_patch14_dinov2.lvd142m")


@row("a misspelt Hugging Face id", UnknownName)
def hub_id(at: Place) -> Call:
    return embed("facebook/dinov2-smal")


@row("a misspelt original name", UnknownName)
def original_name(at: Place) -> Call:
    return embed("dinov2_vits41", "--weights", "seed:0")


@row("a name like no other", UnknownName)
def strange_name(at: Place) -> Call:
    return embed("resnet50", "--weights", "seed:0")


@row("no name at all", UnknownName)
def empty_name(at: Place) -> Call:
    return embed("", "--weights", "seed:0")


@row("a bare ConvNeXt name, which in timm means other weights", UnknownName)
def bare_convnext(at: Place) -> Call:
    return embed("convnext_tiny", "--weights", "seed:0")


@row("a dialect that does not exist, in Python", UnknownName)
def dialect(at: Place) -> Call:
    return lambda: convert("seed:0", "out", dialect="keras", name=S)


@row("a stage that does not exist", UnknownName)
def stage(at: Place) -> Call:
    model = load(folder(at))
    return lambda: model.features([photo(at)], stages=["block.99"])


@row("a layer name that does not exist", UnknownName)
def layer_name(at: Place) -> Call:
    return ["features", photo(at), "-m", folder(at), "--layers", "block.7"]


@row("a layer number that does not exist", UsageError)
def layer_number(at: Place) -> Call:
    return ["features", photo(at), "-m", folder(at), "--layers", "12"]


@row("a device that does not exist", UnknownName)
def device(at: Place) -> Call:
    return seeded("--device", "tpu")


@row("a device index that is no number", UsageError)
def device_index(at: Place) -> Call:
    return seeded("--device", "cuda:x")


@row("a second CPU", DeviceUnavailable)
def second_cpu(at: Place) -> Call:
    return seeded("--device", "cpu:1")


@row("a GPU where there is none", DeviceUnavailable)
def no_gpu(at: Place) -> Call:
    at.patch.setattr(torch.cuda, "is_available", lambda: False)
    return seeded("--device", "cuda")


@row("a GPU too many", DeviceUnavailable)
def gpu_too_many(at: Place) -> Call:
    at.patch.setattr(torch.cuda, "is_available", lambda: True)
    at.patch.setattr(torch.cuda, "device_count", lambda: 2)
    return seeded("--device", "cuda:2")


@row("an NPU without torch_npu", MissingPackage)
def no_torch_npu(at: Place) -> Call:
    at.patch.setitem(sys.modules, "torch_npu", None)
    return seeded("--device", "npu")


@row("float64 on an NPU", DeviceUnavailable)
def npu_float64(at: Place) -> Call:
    package = ModuleType("torch_npu")
    package.npu = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)  # type: ignore[attr-defined]
    at.patch.setitem(sys.modules, "torch_npu", package)
    return seeded("--device", "npu", "--dtype", "float64")


@row("a dtype that does not exist", UnknownName)
def dtype(at: Place) -> Call:
    return seeded("--dtype", "fp16")


@row("float16 on a CPU", DeviceUnavailable)
def cpu_float16(at: Place) -> Call:
    return seeded("--dtype", "float16")


@row("a seed that is no number", UsageError)
def bad_seed(at: Place) -> Call:
    return embed(S, "--weights", "seed:x")


@row("a seed too long", UsageError)
def long_seed(at: Place) -> Call:
    return embed(S, "--weights", "seed:" + "9" * 30)


@row("a seed without a model", UsageError)
def seed_alone(at: Place) -> Call:
    return embed("seed:0")


@row("a seed in capital letters", UsageError)
def seed_capital(at: Place) -> Call:
    return embed(S, "--weights", "SEED:0")


@row("the recipe of a name that does not exist", UnknownName)
def recipe_name(at: Place) -> Call:
    return seeded("--recipe", "dinov2_vits41")


@row("a recipe with an unknown step", RecipeError)
def recipe_step(at: Place) -> Call:
    return seeded("--recipe", f"stored | resize 224 bicubic | center_crop 224 | scale | {STATS} | pool cls")


@row("a recipe in the wrong order", RecipeError)
def recipe_order(at: Place) -> Call:
    return seeded("--recipe", "stored | scale | std 1 1 1 | mean 0 0 0 | squash 224 bicubic | pool cls")


@row("a recipe with an unknown filter", RecipeError)
def recipe_filter(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubc | scale | pool cls")


@row("a recipe with a number too few", RecipeError)
def recipe_mean(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubic | scale | mean 0.5 0.5 | std 1 1 1 | pool cls")


@row("a recipe without pooling", RecipeError)
def recipe_no_pool(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubic | scale")


@row("a recipe that leaves the size open", RecipeError)
def recipe_size(at: Place) -> Call:
    return seeded("--recipe", "stored | shortest_edge 224 bicubic | scale | pool cls")


@row("tanh pooling where the weights lack the layer", RecipeError)
def tanh_pool(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubic | scale | pool tanh_cls")


@row("tanh pooling of a ConvNeXt", RecipeError)
def tanh_convnext(at: Place) -> Call:
    recipe = "stored | squash 224 bicubic | scale | pool tanh_cls"
    return seeded("--recipe", recipe, model="convnext_tiny.dinov3_lvd1689m")


@row("the class token of an encoder that has none", RecipeError)
def cls_aimv2(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubic | scale | pool cls", model=AIM)


@row("AIMv2 at a size that it was not trained for", InputError)
def aimv2_size(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 336 bicubic | scale | pool patch_mean", model=AIM)


@row("a size that is no whole number of patches", InputError)
def indivisible(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 230 bicubic | scale | pool cls")


@row("pixels without a batch dimension", InputError)
def pixels(at: Place) -> Call:
    model = load(folder(at))
    return lambda: model.embed_pixels(torch.zeros(3, 28, 28))


@row("a batch of none", UsageError)
def batch(at: Place) -> Call:
    model = load(folder(at))
    return lambda: model.embed([photo(at)], batch_size=0)


@row("classify with a checkpoint of ImageNet-21k", UsageError)
def classify_in21k(at: Place) -> Call:
    name = "vit_small_patch16_224.augreg_in21k"
    return ["classify", photo(at), "-m", name, "--weights", hollow(at.path / "x.safetensors", released(name))]


@row("classify with drawn weights", UsageError)
def classify_seeded(at: Place) -> Call:
    name = "vit_small_patch16_224.augreg_in21k_ft_in1k"
    return ["classify", photo(at), "-m", name, "--weights", "seed:0"]


@row("features of no image", UsageError)
def no_image(at: Place) -> Call:
    model = load(folder(at))
    return lambda: model.features([])


@row("a revision of a file", UsageError)
def revision(at: Place) -> Call:
    name = folder(at)
    return lambda: load(name, revision="v2")


@row("weights under a name that is neither file nor repository", WeightsUnavailable)
def bare_weights(at: Place) -> Call:
    return embed(S, "--weights", "dino")
