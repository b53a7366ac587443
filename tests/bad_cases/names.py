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


@row(
    "a misspelt timm name",
    UnknownName,
    seen="there is no model named 'vit_smal_patch14_dinov2.lvd142m'",
    todo=(
        "did you mean vit_small_patch14_dinov2.lvd142m or "
        "vit_small_patch14_reg4_dinov2.lvd142m or vit_base_patch14_dinov2.lvd142m?; 'snellen "
        "models' lists all"
    ),
)
def timm_name(at: Place) -> Call:
    return seeded(model="vit_smal_patch14_dinov2.lvd142m")


@row(
    "a misspelt Hugging Face id",
    UnknownName,
    seen="there is no model named 'facebook/dinov2-smal'",
    todo=(
        "did you mean facebook/dinov2-small or facebook/dinov2-base or "
        "facebook/dinov2-large?; 'snellen models' lists all"
    ),
)
def hub_id(at: Place) -> Call:
    return embed("facebook/dinov2-smal")


@row(
    "a misspelt original name",
    UnknownName,
    seen="there is no model named 'dinov2_vits41'",
    todo=("did you mean dinov2_vits14 or dinov3_vits16 or dinov2_vitl14?; 'snellen models' lists all"),
)
def original_name(at: Place) -> Call:
    return embed("dinov2_vits41", "--weights", "seed:0")


@row(
    "a name like no other",
    UnknownName,
    seen="there is no model named 'resnet50'",
    todo="'snellen models' lists all",
)
def strange_name(at: Place) -> Call:
    return embed("resnet50", "--weights", "seed:0")


@row(
    "no name at all",
    UnknownName,
    seen="there is no model named ''",
    todo="'snellen models' lists all",
)
def empty_name(at: Place) -> Call:
    return embed("", "--weights", "seed:0")


@row(
    "a bare ConvNeXt name, which in timm means other weights",
    UnknownName,
    seen="there is no model named 'convnext_tiny'",
    todo=("did you mean dinov3_convnext_tiny or convnext_tiny.dinov3_lvd1689m?; 'snellen models' lists all"),
)
def bare_convnext(at: Place) -> Call:
    return embed("convnext_tiny", "--weights", "seed:0")


@row(
    "a dialect that does not exist, in Python",
    UnknownName,
    seen="there is no dialect named 'keras'",
    todo="one of timm, transformers, meta, apple, jax",
)
def dialect(at: Place) -> Call:
    return lambda: convert("seed:0", "out", dialect="keras", name=S)


@row(
    "a stage that does not exist",
    UnknownName,
    seen="there is no stage named 'block.99'",
    todo="did you mean block.00?; this encoder has patches ... pooled",
)
def stage(at: Place) -> Call:
    model, image = load(folder(at)), photo(at)
    return lambda: model.features([image], stages=["block.99"])


@row(
    "a layer name that does not exist",
    UnknownName,
    seen="there is no layer with a map named 'block.7'",
    todo="did you mean block.00?; block.00 ... block.00",
)
def layer_name(at: Place) -> Call:
    return ["features", photo(at), "-m", folder(at), "--layers", "block.7"]


@row(
    "a layer number that does not exist",
    UsageError,
    seen="there is no layer 12",
    expected="0 to 0, or -1 to -1 counted from the end",
    todo="--layers -1 is the last",
)
def layer_number(at: Place) -> Call:
    return ["features", photo(at), "-m", folder(at), "--layers", "12"]


@row(
    "a device that does not exist",
    UnknownName,
    seen="there is no device named 'tpu'",
    todo="did you mean xpu or npu or cpu?; one of cpu, cuda, npu, xpu, mps",
)
def device(at: Place) -> Call:
    return seeded("--device", "tpu")


@row(
    "a device index that is no number",
    UsageError,
    seen="the device 'cuda:x' has the index 'x'",
    expected="a number from 0",
    todo="cuda:0",
)
def device_index(at: Place) -> Call:
    return seeded("--device", "cuda:x")


@row(
    "a second CPU",
    DeviceUnavailable,
    seen="there is no cpu:1",
    expected="cpu, all its cores together",
    todo="--device cpu",
)
def second_cpu(at: Place) -> Call:
    return seeded("--device", "cpu:1")


@row(
    "a GPU where there is none",
    DeviceUnavailable,
    seen="there is no cuda device on this machine (0 found)",
    todo="--device cpu",
    evident=True,
)
def no_gpu(at: Place) -> Call:
    at.patch.setattr(torch.cuda, "is_available", lambda: False)
    return seeded("--device", "cuda")


@row(
    "a GPU too many",
    DeviceUnavailable,
    seen="there is no cuda:2 on this machine (2 found)",
    expected="cuda:0 to cuda:1",
    todo="--device cuda:0",
)
def gpu_too_many(at: Place) -> Call:
    at.patch.setattr(torch.cuda, "is_available", lambda: True)
    at.patch.setattr(torch.cuda, "device_count", lambda: 2)
    return seeded("--device", "cuda:2")


@row(
    "an NPU without torch_npu",
    MissingPackage,
    seen="the npu needs the package torch_npu, which is not installed",
    expected="the torch_npu that was built for this version of torch and CANN",
    todo="pip install 'snellen[npu]', and source CANN's set_env.sh",
)
def no_torch_npu(at: Place) -> Call:
    at.patch.setitem(sys.modules, "torch_npu", None)
    return seeded("--device", "npu")


@row(
    "float64 on an NPU",
    DeviceUnavailable,
    seen=("float64 is refused on npu:0: an NPU computes double precision as single, without a word"),
    expected="float32 or bfloat16 or float16 on npu:0",
    todo="--dtype float32",
)
def npu_float64(at: Place) -> Call:
    package = ModuleType("torch_npu")
    package.npu = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)  # type: ignore[attr-defined]
    at.patch.setitem(sys.modules, "torch_npu", package)
    return seeded("--device", "npu", "--dtype", "float64")


@row(
    "a dtype that does not exist",
    UnknownName,
    seen="there is no dtype named 'fp16'",
    todo="one of float32, bfloat16, float16, float64, int8",
)
def dtype(at: Place) -> Call:
    return seeded("--dtype", "fp16")


@row(
    "float16 on a CPU",
    DeviceUnavailable,
    seen=(
        "float16 is refused on cpu: torch multiplies float16 matrices on a CPU about 200 times slower than float32 ones"
    ),
    expected="float32 or bfloat16 or float64 on cpu",
    todo="--dtype bfloat16",
)
def cpu_float16(at: Place) -> Call:
    return seeded("--dtype", "float16")


@row(
    "a seed that is no number",
    UsageError,
    seen="the weights are 'seed:x'",
    expected="seed:N with a whole number N",
    todo="seed:0",
)
def bad_seed(at: Place) -> Call:
    return embed(S, "--weights", "seed:x")


@row(
    "a seed without a model",
    UsageError,
    seen="'seed:0' says how weights are drawn, not of which encoder",
    todo="name the model, and give the seed as weights",
    evident=True,
)
def seed_alone(at: Place) -> Call:
    return embed("seed:0")


@row(
    "a seed in capital letters",
    WeightsUnavailable,
    seen="there is no file or folder 'SEED:0'",
    expected="a file, a folder, organisation/name, modelscope:organisation/name, or seed:N",
    todo="check the spelling, and the folder you are in",
)
def seed_capital(at: Place) -> Call:
    return embed(S, "--weights", "SEED:0")


@row(
    "the recipe of a name that does not exist",
    UnknownName,
    seen="there is no model named 'dinov2_vits41'",
    todo=("did you mean dinov2_vits14 or dinov3_vits16 or dinov2_vitl14?; 'snellen models' lists all"),
)
def recipe_name(at: Place) -> Call:
    return seeded("--recipe", "dinov2_vits41")


@row(
    "a recipe with an unknown step",
    RecipeError,
    seen="step 2 of the recipe, 'resize 224 bicubic': there is no step 'resize'",
    expected=("one of stored, upright, dct, shortest_edge, squash, center_crop, tensor, scale, mean, std, pool"),
    todo="see the steps above",
)
def recipe_step(at: Place) -> Call:
    return seeded("--recipe", f"stored | resize 224 bicubic | center_crop 224 | scale | {STATS} | pool cls")


@row(
    "a recipe in the wrong order",
    RecipeError,
    seen="step 4 of the recipe, 'mean 0 0 0': out of place: it cannot come after 'std 1 1 1'",
    expected=("stored or upright, resizes and crops with tensor and scale between them, mean, std, pool"),
    todo="write the step so, or take the whole recipe of a model by its name",
)
def recipe_order(at: Place) -> Call:
    return seeded("--recipe", "stored | scale | std 1 1 1 | mean 0 0 0 | squash 224 bicubic | pool cls")


@row(
    "a recipe with an unknown filter",
    RecipeError,
    seen="step 2 of the recipe, 'squash 224 bicubc': there is no filter 'bicubc'",
    expected="bilinear or bicubic or lanczos or box",
    todo="did you mean bicubic?",
)
def recipe_filter(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubc | scale | pool cls")


@row(
    "a recipe with a number too few",
    RecipeError,
    seen="step 4 of the recipe, 'mean 0.5 0.5': three numbers are needed, one a channel",
    expected="'mean R G B'",
    todo="write the step so, or take the whole recipe of a model by its name",
)
def recipe_mean(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubic | scale | mean 0.5 0.5 | std 1 1 1 | pool cls")


@row(
    "a recipe without pooling",
    RecipeError,
    seen="the recipe has no step 'pool'",
    expected="'pool NAME' at the end, NAME one of cls, patch_mean, tanh_cls",
    todo="add 'pool'",
)
def recipe_no_pool(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubic | scale")


@row(
    "a recipe that leaves the size open",
    RecipeError,
    seen="the recipe leaves the size of the pixels open",
    expected="'squash H W FILTER' or 'center_crop H W' as the last resize or crop",
    todo="add a center_crop",
)
def recipe_size(at: Place) -> Call:
    return seeded("--recipe", "stored | shortest_edge 224 bicubic | scale | pool cls")


@row(
    "tanh pooling where the weights lack the layer",
    RecipeError,
    seen=("the recipe pools through the tanh layer (pool tanh_cls), which these weights do not hold"),
    expected=("the in21k weights of the first release, as transformers or the original files keep them"),
    todo="add 'pool cls' to the recipe's text instead",
)
def tanh_pool(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubic | scale | pool tanh_cls")


@row(
    "tanh pooling of a ConvNeXt",
    RecipeError,
    seen="a ConvNeXt has no tanh layer (pool tanh_cls)",
    todo="pool cls",
    evident=True,
)
def tanh_convnext(at: Place) -> Call:
    recipe = "stored | squash 224 bicubic | scale | pool tanh_cls"
    return seeded("--recipe", recipe, model="convnext_tiny.dinov3_lvd1689m")


@row(
    "the class token of an encoder that has none",
    RecipeError,
    seen="the recipe pools the class token (pool cls), which this encoder does not have",
    todo="pool patch_mean",
    evident=True,
)
def cls_aimv2(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 224 bicubic | scale | pool cls", model=AIM)


@row(
    "AIMv2 at a size that it was not trained for",
    InputError,
    seen="the input is 336 x 336 pixels",
    expected="224 x 224: this encoder's position table fits one size only",
    todo="resize to 224 x 224, or take the variant that was trained at the size you need",
)
def aimv2_size(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 336 bicubic | scale | pool patch_mean", model=AIM)


@row(
    "a size that is no whole number of patches",
    InputError,
    seen="the input is 230 x 230 pixels, which is not a whole number of 14 x 14 patches",
    expected="sides that are multiples of 14 (230 -> 224 or 238)",
    todo="resize or crop to one of these; nothing is cut off silently",
)
def indivisible(at: Place) -> Call:
    return seeded("--recipe", "stored | squash 230 bicubic | scale | pool cls")


@row(
    "pixels without a batch dimension",
    InputError,
    seen="pixels have shape [3, 28, 28]",
    expected="[batch, 3, height, width]",
    todo="add the batch dimension, or bring the channels to the front",
)
def pixels(at: Place) -> Call:
    model = load(folder(at))
    return lambda: model.embed_pixels(torch.zeros(3, 28, 28))


@row(
    "a batch of none",
    UsageError,
    seen="the batch size is 0",
    expected="1 or more",
    todo="leave it at 8",
)
def batch(at: Place) -> Call:
    model, image = load(folder(at)), photo(at)
    return lambda: model.embed([image], batch_size=0)


@row(
    "classify with a checkpoint of ImageNet-21k",
    UsageError,
    seen=("the weights of vit_small_patch16_224.augreg_in21k hold no classifier whose classes have names"),
    expected="a checkpoint fine-tuned on ImageNet-1k, or one whose config.json names its classes",
    todo=("for example vit_base_patch16_224.augreg2_in21k_ft_in1k or google/vit-base-patch16-224"),
)
def classify_in21k(at: Place) -> Call:
    name = "vit_small_patch16_224.augreg_in21k"
    return ["classify", photo(at), "-m", name, "--weights", hollow(at.path / "x.safetensors", released(name))]


@row(
    "classify with drawn weights",
    UsageError,
    seen=("vit_small_patch16_224.augreg_in21k_ft_in1k was given drawn weights, so its classes mean nothing"),
    todo="load trained weights",
    evident=True,
)
def classify_seeded(at: Place) -> Call:
    name = "vit_small_patch16_224.augreg_in21k_ft_in1k"
    return ["classify", photo(at), "-m", name, "--weights", "seed:0"]


@row(
    "features of no image",
    UsageError,
    seen="there is no image to take features of",
    expected="one or more",
    todo="name some images",
)
def no_image(at: Place) -> Call:
    model = load(folder(at))
    return lambda: model.features([])


@row(
    "a revision of a file",
    UsageError,
    seen="a revision ('v2') was asked for, and './model' is a folder on this machine",
    todo="leave the revision out, or name a repository",
    evident=True,
)
def revision(at: Place) -> Call:
    name = folder(at)
    return lambda: load(name, revision="v2")


@row(
    "weights under a name that is neither file nor repository",
    WeightsUnavailable,
    seen="there is no file or folder 'dino'",
    expected="a file, a folder, organisation/name, modelscope:organisation/name, or seed:N",
    todo="check the spelling, and the folder you are in",
)
def bare_weights(at: Place) -> Call:
    return embed(S, "--weights", "dino")
