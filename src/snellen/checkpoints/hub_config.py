"""transformers' ``config.json``, in both directions: what it calls each setting, and which settings we can run.

Every setting that changes the numbers is either read into the configuration or held to the one value our encoders have;
anything else is refused by name. Checked against the configuration classes of transformers 5.23.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig
from snellen.errors import CheckpointError, UsageError

Json = dict[str, Any]

LARGEST = 2**20  # no count of these encoders comes near it, and products of several still fit an int64
SAME_REVISION = "take the config.json of the same revision as the weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one model type spells a configuration.

    ``same``: our field -> its key. ``fixed``: our fields that the type always has. ``held``: keys, and the one value
    that we run; a key that is absent has it. ``defaults``: values of keys that files may lack.
    ``architecture``: the class of the encoder, and that with a classifier.
    """

    family: str
    same: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    held: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    architecture: tuple[str, str] = ("", "")


_VIT = {"width": "hidden_size", "depth": "num_hidden_layers", "heads": "num_attention_heads", "patch": "patch_size"}
_DINOV2 = Settings(
    family="dinov2",
    same={**_VIT, "eps": "layer_norm_eps"},
    fixed={"layer_scale": True, "resize": "bicubic"},
    held={"hidden_act": "gelu", "qkv_bias": True, "num_channels": 3},
    defaults={"mlp_ratio": 4, "use_swiglu_ffn": False, "layer_norm_eps": 1e-6},
    architecture=("Dinov2Model", "Dinov2ForImageClassification"),
)

SETTINGS: dict[str, Settings] = {
    "dinov2": _DINOV2,
    "dinov2_with_registers": replace(
        _DINOV2,
        same={**_DINOV2.same, "registers": "num_register_tokens"},
        fixed={"layer_scale": True, "resize": "bicubic_antialias"},
        defaults={**_DINOV2.defaults, "num_register_tokens": 4},
        architecture=("Dinov2WithRegistersModel", "Dinov2WithRegistersForImageClassification"),
    ),
    "dinov3_vit": Settings(
        family="dinov3_vit",
        same={**_VIT, "hidden": "intermediate_size", "eps": "layer_norm_eps", "registers": "num_register_tokens"},
        fixed={"layer_scale": True, "position": "rope"},
        held={"rope_theta": 100.0, "key_bias": False, "proj_bias": True, "mlp_bias": True, "num_channels": 3},
        defaults={
            "layer_norm_eps": 1e-5,
            "num_register_tokens": 0,
            "use_gated_mlp": False,
            "hidden_act": "gelu",
            "query_bias": True,
            "value_bias": True,
        },
        architecture=("DINOv3ViTModel", ""),
    ),
    "dinov3_convnext": Settings(
        family="dinov3_convnext",
        same={"depths": "depths", "widths": "hidden_sizes", "eps": "layer_norm_eps"},
        held={"hidden_act": "gelu", "num_channels": 3},
        defaults={"layer_norm_eps": 1e-6},
        architecture=("DINOv3ConvNextModel", ""),
    ),
    "vit": Settings(
        family="vit",
        same={**_VIT, "hidden": "intermediate_size", "eps": "layer_norm_eps"},
        fixed={"resize": "bicubic"},
        held={"hidden_act": "gelu", "qkv_bias": True, "num_channels": 3, "pooler_act": "tanh"},
        defaults={"layer_norm_eps": 1e-12},
        architecture=("ViTModel", "ViTForImageClassification"),
    ),
    "aimv2_vision_model": Settings(
        family="aimv2",
        same={**_VIT, "hidden": "intermediate_size", "eps": "rms_norm_eps"},
        fixed={
            "mlp": "swiglu",
            "norm": "rms",
            "class_token": False,
            "patch_norm": True,
            "qkv_bias": "none",
            "bias": False,
            "pool": "patch_mean",
        },
        held={
            "hidden_act": "silu",
            "qkv_bias": False,
            "mlp_bias": False,
            "use_bias": False,
            "use_head": False,
            "is_native": False,
            "num_channels": 3,
        },
        defaults={"rms_norm_eps": 1e-5},
        architecture=("Aimv2VisionModel", ""),
    ),
}
# The configuration that came with Apple's own modelling file, in the hub revisions that its code pins.
SETTINGS["aimv2"] = SETTINGS["aimv2_vision_model"]


def read_config(document: Json, where: str) -> tuple[str, EncoderConfig]:
    """Return (family, configuration) of a ``config.json``; raise CheckpointError for what cannot be run."""
    kind = document.get("model_type")
    settings = SETTINGS.get(str(kind))
    if settings is None or "vision_config" in document:
        raise CheckpointError(
            f"{where} describes a model of type {kind!r}",
            expected=f"one of {', '.join(SETTINGS)}",
            todo="'snellen models' lists the encoders that are run here",
        )
    for key, value in settings.held.items():
        if document.get(key, value) != value:
            raise CheckpointError(
                f"{where} sets {key} to {document[key]!r}",
                expected=f"{value!r}: nothing else is run here",
                todo="use the library that these weights were made with; 'snellen models' lists what is run here",
            )
    full = {**settings.defaults, **document}
    if "image_size" in document:
        full["image_size"] = image_side(document, where)
    needed = [*settings.same.values(), *(("image_size",) if "patch" in settings.same else ())]
    if absent := [key for key in needed if key not in full]:
        raise CheckpointError(f"{where} lacks {', '.join(absent)}", todo=SAME_REVISION)
    _check_values({key: full[key] for key in (*needed, *settings.defaults)}, where)
    values = {field: full[key] for field, key in settings.same.items()} | dict(settings.fixed)
    if settings.family == "dinov3_convnext":
        values = {**values, "depths": tuple(values["depths"]), "widths": tuple(values["widths"])}
        return settings.family, ConvNeXtConfig(**values)
    return settings.family, ViTConfig(**values, **_derived(settings, full, where))


def image_side(document: Json, where: str) -> int:
    """Return the side of the square that ``image_size`` states as one number or as [height, width]; 224 without it.

    Raises CheckpointError for anything else.
    """
    size = document.get("image_size", 224)
    sides = size if isinstance(size, list) and len(size) == 2 else [size, size]
    if sides[0] != sides[1] or not all(_is_count(side, 1) for side in sides):
        raise CheckpointError(
            f"{where} sets image_size to {size!r}", expected="a whole number, or two equal ones", todo=SAME_REVISION
        )
    return int(sides[0])


def _check_values(values: Json, where: str) -> None:
    """Raise CheckpointError for what is no number of its kind, and for heads that do not divide the width."""
    for key, value in values.items():
        if not _is_sound(key, value):
            kind = "four whole numbers" if key in ("depths", "hidden_sizes") else "a number of its kind"
            raise CheckpointError(f"{where} sets {key} to {value!r}", expected=kind, todo=SAME_REVISION)
    width, heads = values.get("hidden_size", 0), values.get("num_attention_heads", 1)
    if width % heads:
        raise CheckpointError(
            f"{where} divides a hidden_size of {width} among {heads} heads",
            expected="a whole number for each",
            todo=SAME_REVISION,
        )


def _is_sound(key: str, value: Any) -> bool:
    if key in ("depths", "hidden_sizes"):
        return isinstance(value, list) and len(value) == 4 and all(_is_count(n, 1) for n in value)
    if key.startswith("use_") or key.endswith("_bias"):
        return isinstance(value, bool)
    if key == "hidden_act":
        return isinstance(value, str)
    if key == "mlp_ratio":
        return type(value) in (int, float) and 0 < value <= LARGEST
    if key.endswith("_eps"):
        return isinstance(value, float) and 0 < value < 1
    return _is_count(value, 0 if key == "num_register_tokens" else 1)


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= LARGEST


def _derived(settings: Settings, full: Json, where: str) -> Json:
    """Work out the fields that transformers states in other terms than we do."""
    values: Json = {}
    if settings.fixed.get("position") != "rope":
        values["grid"] = full["image_size"] // full["patch_size"]
    if settings.family == "dinov2":
        gated = full["use_swiglu_ffn"]
        hidden = _hidden_of(full["hidden_size"], full["mlp_ratio"], gated)
        values |= {"mlp": "swiglu" if gated else "gelu", "hidden": hidden}
    if settings.family == "dinov3_vit":
        values["mlp"] = "swiglu" if full["use_gated_mlp"] else "gelu"
        want = "silu" if full["use_gated_mlp"] else "gelu"
        if full["hidden_act"] != want:
            raise CheckpointError(
                f"{where} has the hidden_act {full['hidden_act']!r}", expected=repr(want), todo=SAME_REVISION
            )
        biases = (full["query_bias"], full["value_bias"])
        if biases[0] != biases[1]:
            raise CheckpointError(f"{where} has a bias on only one of query and value", expected="on both or on none")
        values["qkv_bias"] = "no_key" if biases[0] else "none"
    return values


def write_config(family: str, config: EncoderConfig, image: int, labels: tuple[str, ...] = ()) -> Json:
    """Return the ``config.json`` that transformers needs to build this encoder; the reverse of ``read_config``.

    Raises UsageError for a network that it cannot describe.
    """
    registers = isinstance(config, ViTConfig) and config.registers > 0
    kind = {"dinov2": "dinov2_with_registers" if registers else "dinov2", "aimv2": "aimv2_vision_model"}.get(
        family, family
    )
    settings = SETTINGS[kind]
    document: Json = {"model_type": kind, **settings.held, "image_size": image}
    document |= {key: _json(getattr(config, name)) for name, key in settings.same.items()}
    classes = config.classes if isinstance(config, ViTConfig) else 0
    document["architectures"] = [settings.architecture[1 if classes else 0]]
    if isinstance(config, ViTConfig):
        document |= _stated(family, config)
    if classes:
        names = labels if len(labels) == classes else tuple(f"LABEL_{i}" for i in range(classes))
        document["id2label"] = {str(i): name for i, name in enumerate(names)}
        document["label2id"] = {name: i for i, name in enumerate(names)}
    for absent in ("use_bias",):  # Apple's own key: transformers does not know it
        document.pop(absent, None)
    _check_said(document, config)
    return document


def _check_said(document: Json, config: EncoderConfig) -> None:
    """Raise UsageError unless ``document`` describes ``config``, but for the parts that only the weights show."""
    _, said = read_config(document, "the config.json to be written")
    if isinstance(said, ViTConfig) and isinstance(config, ViTConfig):
        said = replace(said, pool=config.pool, pooler=config.pooler, classes=config.classes)
    if said != config:
        lost = [key for key, value in asdict(config).items() if asdict(said).get(key) != value]
        raise UsageError(
            f"transformers' {document['model_type']} cannot be set to the {', '.join(lost)} of this network",
            todo="write it as another library spells it",
        )


def _stated(family: str, config: ViTConfig) -> Json:
    """State the fields that transformers puts in other terms than we do."""
    gated = config.mlp == "swiglu"
    if family == "dinov2":
        return {"mlp_ratio": _ratio(config), "use_swiglu_ffn": gated}
    if family == "dinov3_vit":
        bias = config.qkv_bias != "none"
        act = "silu" if gated else "gelu"
        return {"use_gated_mlp": gated, "hidden_act": act, "query_bias": bias, "value_bias": bias}
    return {}


def _hidden_of(width: int, ratio: float, gated: bool) -> int:
    """Return the hidden width that transformers makes of a ratio; a gate gets two thirds, in steps of eight."""
    hidden = int(width * ratio)
    return (int(hidden * 2 / 3) + 7) // 8 * 8 if gated else hidden


def _ratio(config: ViTConfig) -> int:
    """Return the ratio that stands for the hidden width; UsageError for none, since transformers takes whole ones."""
    gated = config.mlp == "swiglu"
    exact = (config.hidden * 3 / 2 if gated else config.hidden) / config.width
    for ratio in (math.floor(exact), math.ceil(exact)):
        if _hidden_of(config.width, ratio, gated) == config.hidden:
            return ratio
    raise UsageError(
        f"transformers has no mlp_ratio for a {config.mlp} of {config.hidden} between layers of {config.width}",
        expected="a whole ratio",
        todo="write it as another library spells it",
    )


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
