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


@row("tensors of an unknown encoder", UnknownDialect)
def unknown(at: Place) -> Call:
    at.file("x.safetensors", save({"conv1.weight": torch.ones(2), "layer1.0.bn1.bias": torch.ones(2)}))
    return load("x.safetensors")


@row("a CLIP checkpoint", UnknownDialect)
def clip(at: Place) -> Call:
    names = ("text_model.embeddings.token_embedding.weight", "vision_model.encoder.layers.0.layer_norm1.weight")
    at.file("x.safetensors", save({name: torch.ones(2) for name in names}))
    return load("x.safetensors")


@row("AIMv2 with a text tower", UnknownDialect)
def lit(at: Place) -> Call:
    names = ("image_encoder.trunk.blocks.0.attn.qkv.weight", "text_encoder.trunk.blocks.0.attn.qkv.weight")
    at.file("x.safetensors", save({name: torch.ones(2) for name in names}))
    return load("x.safetensors")


@row("a training checkpoint with heads", UnknownDialect)
def trainer(at: Place) -> Call:
    at.file("x.safetensors", save({"teacher.dino_head.mlp.0.weight": torch.ones(2)}))
    return load("x.safetensors")


@row("another variant than the name says", KeyMismatch)
def other_variant(at: Place) -> Call:
    return load(hollow(at.path / "x.safetensors", released("vit_base_patch14_dinov2.lvd142m")))


@row("another family than the name says", KeyMismatch)
def other_family(at: Place) -> Call:
    return load(hollow(at.path / "x.safetensors", released("vit_small_patch16_dinov3.lvd1689m")))


@row("one tensor missing", KeyMismatch)
def one_missing(at: Place) -> Call:
    wanted = dict(released(S))
    del wanted["blocks.3.mlp.fc1.bias"]
    return load(hollow(at.path / "x.safetensors", wanted))


@row("one tensor too many", KeyMismatch)
def one_unexpected(at: Place) -> Call:
    return load(hollow(at.path / "x.safetensors", {**released(S), "blocks.3.adapter.weight": (4, 4)}))


@row("one tensor of another shape", KeyMismatch)
def one_misshapen(at: Place) -> Call:
    return load(hollow(at.path / "x.safetensors", {**released(S), "blocks.3.mlp.fc1.bias": (1535,)}))


@row("a file without a name that fits nothing, quite", KeyMismatch)
def nearest_variant(at: Place) -> Call:
    wanted = dict(released(S))
    del wanted["blocks.3.mlp.fc1.bias"]
    return alone("./" + hollow(at.path / "x.safetensors", wanted))


@row("tensors with NaN and infinity", KeyMismatch)
def not_finite(at: Place) -> Call:
    tensors = small()
    tensors["layernorm.weight"][3] = float("nan")
    tensors["encoder.layer.0.norm1.bias"][0] = float("inf")
    return alone(folder(at, tensors))


@row("a query bias under timm's plain DINOv3 name", KeyMismatch)
def query_bias(at: Place) -> Call:
    wanted = released("facebook/dinov3-vits16-pretrain-lvd1689m")
    one = "layer.3.attention.q_proj.bias"
    weights = hollow(at.path / "x.safetensors", wanted, one)
    return load(weights, "vit_small_patch16_dinov3.lvd1689m")


@row("weights of LVD or SAT", CheckpointError)
def ambiguous(at: Place) -> Call:
    name = "facebook/dinov3-vitl16-pretrain-lvd1689m"
    return alone("./" + hollow(at.path / "x.safetensors", released(name)))


@row("a config.json with another activation", CheckpointError)
def activation(at: Place) -> Call:
    return alone(folder(at, hidden_act="relu"))


@row("an AIMv2 with an attention pooling head", CheckpointError)
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


@row("a config.json of another family than the tensors", CheckpointError)
def config_family(at: Place) -> Call:
    model = folder(at)
    vit = replace(SMALL, layer_scale=False)
    at.file("model/config.json", json.dumps(write_config("vit", vit, 28)))
    return alone(model)


@row("a config.json of a model that is no encoder here", CheckpointError)
def config_type(at: Place) -> Call:
    return alone(folder(at, model_type="clip"))


@row("a config.json of a CLIP model", CheckpointError)
def config_clip(at: Place) -> Call:
    return alone(folder(at, vision_config={}))


@row("a config.json that lacks a setting", CheckpointError)
def config_lacks(at: Place) -> Call:
    return alone(folder(at, num_attention_heads=None))


@row("a config.json with a text in place of a number", CheckpointError)
def config_text(at: Place) -> Call:
    return alone(folder(at, hidden_size="16"))


@row("a config.json with heads that do not divide the width", CheckpointError)
def config_heads(at: Place) -> Call:
    return alone(folder(at, num_attention_heads=3))


@row("a config.json of another depth than the tensors", KeyMismatch)
def config_depth(at: Place) -> Call:
    return alone(folder(at, num_hidden_layers=2))


@row("a timm folder of an architecture that is not known", UnknownName)
def timm_architecture(at: Place) -> Call:
    at.file("model/model.safetensors", save(drawn(shapes("dinov2", "timm", SMALL))))
    at.file("model/config.json", json.dumps({"architecture": "vit_tiny_patch14_dinov2"}))
    return alone("./model")


@row("a timm folder with changed settings", CheckpointError)
def timm_arguments(at: Place) -> Call:
    (at.path / "model").mkdir()
    hollow(at.path / "model" / "model.safetensors", released(S))
    document = {"architecture": "vit_small_patch14_dinov2", "model_args": {"act_layer": "relu"}}
    at.file("model/config.json", json.dumps({**document, "pretrained_cfg": {"tag": "lvd142m"}}))
    return alone("./model")


@row("a timm folder whose pretrained_cfg is no table", CheckpointError)
def timm_pretrained(at: Place) -> Call:
    (at.path / "model").mkdir()
    hollow(at.path / "model" / "model.safetensors", released(S))
    at.file("model/config.json", json.dumps({"architecture": "vit_small_patch14_dinov2", "pretrained_cfg": []}))
    return alone("./model")


@row("a processor that rescales by something else", RecipeError)
def processor(at: Place) -> Call:
    model = folder(at)
    at.file("model/preprocessor_config.json", json.dumps({"do_resize": True, "size": {"longest_edge": 224}}))
    return alone(model)
