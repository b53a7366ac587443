"""Checkpoints that can be read, and hold something else than they should."""

from __future__ import annotations

import json
from dataclasses import replace

import torch
from safetensors.torch import save

from bad_cases.making import SMALL, drawn, folder, hollow, released, shapes, small
from bad_cases.table import Call, Place, Table
from snellen.checkpoints.hub_config import write_config
from snellen.encoders.config import ViTConfig
from snellen.errors import CheckpointError, KeyMismatch, RecipeError, UnknownDialect, UnknownName

TABLE = Table("Weights that are not what they should be")
row = TABLE.row

S = "vit_small_patch14_dinov2.lvd142m"


def load(weights: str, name: str = S) -> list[str]:
    """Return the command that loads these weights under a name."""
    return ["embed", "photo.png", "-m", name, "--weights", weights]


def alone(path: str) -> list[str]:
    """Return the command that loads weights that have to say themselves what they are."""
    return ["embed", "photo.png", "-m", path]


@row(
    "tensors of an unknown encoder",
    UnknownDialect,
    seen=(
        "'x.safetensors' holds 2 tensors, but of no encoder known here (for example: conv1.weight, layer1.0.bn1.bias)"
    ),
    expected="DINOv2, DINOv3, ViT or AIMv2 as timm, transformers or the original authors name them",
    todo="'snellen inspect' shows what is inside; 'snellen models' what is known",
)
def unknown(at: Place) -> Call:
    at.file("x.safetensors", save({"conv1.weight": torch.ones(2), "layer1.0.bn1.bias": torch.ones(2)}))
    return load("x.safetensors")


@row(
    "a CLIP checkpoint",
    UnknownDialect,
    seen="'x.safetensors' looks like a model of pictures and text, such as CLIP",
    expected="an encoder of pictures, alone",
    todo="take one of the encoders that 'snellen models' lists",
)
def clip(at: Place) -> Call:
    names = ("text_model.embeddings.token_embedding.weight", "vision_model.encoder.layers.0.layer_norm1.weight")
    at.file("x.safetensors", save({name: torch.ones(2) for name in names}))
    return load("x.safetensors")


@row(
    "AIMv2 with a text tower",
    UnknownDialect,
    seen="'x.safetensors' looks like AIMv2-LiT, an encoder with a text tower",
    expected="an encoder of pictures, alone",
    todo="take an AIMv2 without one, such as apple/aimv2-large-patch14-224",
)
def lit(at: Place) -> Call:
    names = ("image_encoder.trunk.blocks.0.attn.qkv.weight", "text_encoder.trunk.blocks.0.attn.qkv.weight")
    at.file("x.safetensors", save({name: torch.ones(2) for name in names}))
    return load("x.safetensors")


@row(
    "a training checkpoint with heads",
    UnknownDialect,
    seen="'x.safetensors' looks like a DINO training checkpoint, heads and all",
    expected="an encoder of pictures, alone",
    todo="take the released backbone, or save the teacher's backbone alone",
)
def trainer(at: Place) -> Call:
    at.file("x.safetensors", save({"teacher.dino_head.mlp.0.weight": torch.ones(2)}))
    return load("x.safetensors")


@row(
    "another variant than the name says",
    KeyMismatch,
    seen=(
        "the tensors of 'x.safetensors' are not those of this encoder\n"
        "    174 of another shape: blocks.0.attn.proj.bias [768] instead of [384], "
        "blocks.0.attn.proj.weight [768, 768] instead of [384, 384], blocks.0.attn.qkv.bias "
        "[2304] instead of [1152], blocks.0.attn.qkv.weight [2304, 768] instead of [1152, "
        "384], blocks.0.ls1.gamma [768] instead of [384], blocks.0.ls2.gamma [768] instead "
        "of [384], blocks.0.mlp.fc1.bias [3072] instead of [1536], blocks.0.mlp.fc1.weight "
        "[3072, 768] instead of [1536, 384] and 166 more"
    ),
    expected=("vit_small_patch14_dinov2.lvd142m as timm spells it; they are those of vit_base_patch14_dinov2.lvd142m"),
    todo="'snellen inspect' says which variant the file holds; nothing was loaded",
)
def other_variant(at: Place) -> Call:
    return load(hollow(at.path / "x.safetensors", released("vit_base_patch14_dinov2.lvd142m")))


@row(
    "another family than the name says",
    KeyMismatch,
    seen="'x.safetensors' holds an encoder of the family dinov3_vit",
    expected="dinov2, as vit_small_patch14_dinov2.lvd142m is",
    todo="'snellen inspect' says which variant it is",
)
def other_family(at: Place) -> Call:
    return load(hollow(at.path / "x.safetensors", released("vit_small_patch16_dinov3.lvd1689m")))


@row(
    "one tensor missing",
    KeyMismatch,
    seen=("the tensors of 'x.safetensors' are not those of this encoder\n    1 missing: blocks.3.mlp.fc1.bias"),
    expected="vit_small_patch14_dinov2.lvd142m as timm spells it",
    todo="'snellen inspect' says which variant the file holds; nothing was loaded",
)
def one_missing(at: Place) -> Call:
    wanted = dict(released(S))
    del wanted["blocks.3.mlp.fc1.bias"]
    return load(hollow(at.path / "x.safetensors", wanted))


@row(
    "one tensor too many",
    KeyMismatch,
    seen=("the tensors of 'x.safetensors' are not those of this encoder\n    1 unexpected: blocks.3.adapter.weight"),
    expected="vit_small_patch14_dinov2.lvd142m as timm spells it",
    todo="'snellen inspect' says which variant the file holds; nothing was loaded",
)
def one_unexpected(at: Place) -> Call:
    return load(hollow(at.path / "x.safetensors", {**released(S), "blocks.3.adapter.weight": (4, 4)}))


@row(
    "one tensor of another shape",
    KeyMismatch,
    seen=(
        "the tensors of 'x.safetensors' are not those of this encoder\n"
        "    1 of another shape: blocks.3.mlp.fc1.bias [1535] instead of [1536]"
    ),
    expected="vit_small_patch14_dinov2.lvd142m as timm spells it",
    todo="'snellen inspect' says which variant the file holds; nothing was loaded",
)
def one_misshapen(at: Place) -> Call:
    return load(hollow(at.path / "x.safetensors", {**released(S), "blocks.3.mlp.fc1.bias": (1535,)}))


@row(
    "a file without a name that fits nothing, quite",
    KeyMismatch,
    seen=("the tensors of './x.safetensors' are not those of this encoder\n    1 missing: blocks.3.mlp.fc1.bias"),
    expected="vit_small_patch14_dinov2.lvd142m, the nearest variant, as timm spells it",
    todo="'snellen inspect' says which variant the file holds; nothing was loaded",
)
def nearest_variant(at: Place) -> Call:
    wanted = dict(released(S))
    del wanted["blocks.3.mlp.fc1.bias"]
    return alone("./" + hollow(at.path / "x.safetensors", wanted))


@row(
    "tensors with NaN and infinity",
    KeyMismatch,
    seen=("2 tensors of './model' hold NaN or infinity: encoder.layer.0.norm1.bias, layernorm.weight"),
    expected="finite numbers",
    todo="download or convert the file again; nothing was loaded",
)
def not_finite(at: Place) -> Call:
    tensors = small()
    tensors["layernorm.weight"][3] = float("nan")
    tensors["encoder.layer.0.norm1.bias"][0] = float("inf")
    return alone(folder(at, tensors))


@row(
    "a query bias under timm's plain DINOv3 name",
    KeyMismatch,
    seen=(
        "the weights hold a blocks.3.attention.qkv.bias that is not zero, which "
        "vit_small_patch16_dinov3.lvd1689m does not have (timm's plain names have no q, k, v "
        "bias, since it is zero in the released weights; its _qkvb names do)"
    ),
    todo="ask for vit_small_patch16_dinov3_qkvb.lvd1689m instead",
    evident=True,
)
def query_bias(at: Place) -> Call:
    wanted = released("facebook/dinov3-vits16-pretrain-lvd1689m")
    one = "layer.3.attention.q_proj.bias"
    weights = hollow(at.path / "x.safetensors", wanted, one)
    return load(weights, "vit_small_patch16_dinov3.lvd1689m")


@row(
    "weights of LVD or SAT",
    CheckpointError,
    seen=(
        "'./x.safetensors' could be facebook/dinov3-vitl16-pretrain-lvd1689m or "
        "facebook/dinov3-vitl16-pretrain-sat493m: same tensors, different preprocessing"
    ),
    todo="say which it is: the name as MODEL, the file as --weights",
    evident=True,
)
def ambiguous(at: Place) -> Call:
    name = "facebook/dinov3-vitl16-pretrain-lvd1689m"
    return alone("./" + hollow(at.path / "x.safetensors", released(name)))


@row(
    "a config.json with another activation",
    CheckpointError,
    seen="the config.json beside './model' sets hidden_act to 'relu'",
    expected="'gelu': nothing else is run here",
    todo=("use the library that these weights were made with; 'snellen models' lists what is run here"),
)
def activation(at: Place) -> Call:
    return alone(folder(at, hidden_act="relu"))


@row(
    "an AIMv2 with an attention pooling head",
    CheckpointError,
    seen="the config.json beside './model' sets use_head to True",
    expected="False: nothing else is run here",
    todo=("use the library that these weights were made with; 'snellen models' lists what is run here"),
)
def aimv2_head(at: Place) -> Call:
    config = ViTConfig(
        **{**_plain(SMALL), "mlp": "swiglu", "norm": "rms", "eps": 1e-5, "class_token": False, "patch_norm": True},
        qkv_bias="none",
        bias=False,
        pool="patch_mean",
    )
    model = folder(at, small("aimv2", config))
    at.file("model/config.json", json.dumps({**write_config("aimv2", config, 28), "use_head": True}))
    return alone(model)


def _plain(config: ViTConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in ("patch", "width", "depth", "heads", "hidden", "grid")}


@row(
    "a config.json of another family than the tensors",
    CheckpointError,
    seen="the tensors are of dinov2, but the config.json beside './model' describes vit",
    todo="take both files from one revision",
    evident=True,
)
def config_family(at: Place) -> Call:
    model = folder(at)
    vit = replace(SMALL, layer_scale=False)
    at.file("model/config.json", json.dumps(write_config("vit", vit, 28)))
    return alone(model)


@row(
    "a config.json of a model that is no encoder here",
    CheckpointError,
    seen="the config.json beside './model' describes a model of type 'clip'",
    expected=("one of dinov2, dinov2_with_registers, dinov3_vit, dinov3_convnext, vit, aimv2_vision_model, aimv2"),
    todo="'snellen models' lists the encoders that are run here",
)
def config_type(at: Place) -> Call:
    return alone(folder(at, model_type="clip"))


@row(
    "a config.json that lacks a setting",
    CheckpointError,
    seen="the config.json beside './model' lacks num_attention_heads",
    todo="take the config.json of the same revision as the weights",
    evident=True,
)
def config_lacks(at: Place) -> Call:
    return alone(folder(at, num_attention_heads=None))


@row(
    "a config.json with a text in place of a number",
    CheckpointError,
    seen="the config.json beside './model' sets hidden_size to '16'",
    expected="a number of its kind",
    todo="take the config.json of the same revision as the weights",
)
def config_text(at: Place) -> Call:
    return alone(folder(at, hidden_size="16"))


@row(
    "a config.json with heads that do not divide the width",
    CheckpointError,
    seen="the config.json beside './model' divides a hidden_size of 16 among 3 heads",
    expected="a whole number for each",
    todo="take the config.json of the same revision as the weights",
)
def config_heads(at: Place) -> Call:
    return alone(folder(at, num_attention_heads=3))


@row(
    "a config.json of another depth than the tensors",
    KeyMismatch,
    seen=(
        "the tensors of './model' are not those of this encoder\n"
        "    18 missing: encoder.layer.1.attention.attention.key.bias, "
        "encoder.layer.1.attention.attention.key.weight, "
        "encoder.layer.1.attention.attention.query.bias, "
        "encoder.layer.1.attention.attention.query.weight, "
        "encoder.layer.1.attention.attention.value.bias, "
        "encoder.layer.1.attention.attention.value.weight, "
        "encoder.layer.1.attention.output.dense.bias, "
        "encoder.layer.1.attention.output.dense.weight and 10 more"
    ),
    expected="the network that the config.json beside it describes",
    todo="'snellen inspect' says which variant the file holds; nothing was loaded",
)
def config_depth(at: Place) -> Call:
    return alone(folder(at, num_hidden_layers=2))


@row(
    "a timm folder of an architecture that is not known",
    UnknownName,
    seen="there is no model named 'vit_tiny_patch14_dinov2'",
    todo=(
        "did you mean vit_giant_patch14_dinov2 or vit_base_patch14_dinov2 or "
        "vit_small_patch14_dinov2?; 'snellen models' lists all"
    ),
)
def timm_architecture(at: Place) -> Call:
    at.file("model/model.safetensors", save(drawn(shapes("dinov2", "timm", SMALL))))
    at.file("model/config.json", json.dumps({"architecture": "vit_tiny_patch14_dinov2"}))
    return alone("./model")


@row(
    "a timm folder with changed settings",
    CheckpointError,
    seen=("the config.json beside './model' changes the network by model_args: act_layer"),
    expected="a variant as timm defines it",
    todo="name the variant it stands for, and give the file rather than the folder as weights",
)
def timm_arguments(at: Place) -> Call:
    (at.path / "model").mkdir()
    hollow(at.path / "model" / "model.safetensors", released(S))
    document = {"architecture": "vit_small_patch14_dinov2", "model_args": {"act_layer": "relu"}}
    at.file("model/config.json", json.dumps({**document, "pretrained_cfg": {"tag": "lvd142m"}}))
    return alone("./model")


@row(
    "a timm folder whose pretrained_cfg is no table",
    CheckpointError,
    seen="pretrained_cfg or model_args in the config.json beside './model' is no table",
    todo="take the config.json of the same revision",
    evident=True,
)
def timm_pretrained(at: Place) -> Call:
    (at.path / "model").mkdir()
    hollow(at.path / "model" / "model.safetensors", released(S))
    at.file("model/config.json", json.dumps({"architecture": "vit_small_patch14_dinov2", "pretrained_cfg": []}))
    return alone("./model")


@row(
    "a processor that rescales by something else",
    RecipeError,
    seen="preprocessor_config.json sets size to {'longest_edge': 224}, which no recipe can do",
    expected="height and width, or one number, or shortest_edge alone",
    todo="give the text of a recipe, or another name whose recipe to use",
)
def processor(at: Place) -> Call:
    model = folder(at)
    at.file("model/preprocessor_config.json", json.dumps({"do_resize": True, "size": {"longest_edge": 224}}))
    return alone(model)
