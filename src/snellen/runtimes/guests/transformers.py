"""transformers' own model, built from the ``config.json`` that describes the encoder, and loaded strictly.

Points were read in transformers 5.23.0 and are held to it by the tests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snellen.checkpoints.hub_config import write_config
from snellen.devices import Device
from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig
from snellen.encoders.features import Features
from snellen.errors import Unavailable, UsageError
from snellen.model.model import Model
from snellen.runtimes.guests.hooked import Guest, Point, Seen, importing, only_side, prefix_of, resize_in

if TYPE_CHECKING:
    from torch import Tensor, nn

_DINOV2 = {
    "patches": Point("embeddings.patch_embeddings"),
    "tokens": Point("embeddings"),
    "block": Point("encoder.layer.{}"),
    "norm": Point("layernorm"),
}
POINTS = {
    "dinov2": _DINOV2,
    "dinov3_vit": {
        "patches": Point("embeddings.patch_embeddings", "channels_first"),
        "tokens": Point("embeddings"),
        "block": Point("model.layer.{}"),
        "norm": Point("norm"),
    },
    "vit": {**_DINOV2, "block": Point("layers.{}")},
    "aimv2": {
        "patches": Point("embeddings.rms_norm"),
        "tokens": Point("embeddings"),
        "block": Point("encoder.layers.{}"),
        "norm": Point("rms_norm"),
    },
}
"""Where the stages of each family of transformers come out."""

POOLED_HERE = "transformers does not pool so: its patch tokens are averaged"


class Transformers(Guest):
    """transformers' model."""

    runtime = "transformers"

    def __init__(self, model: Model, device: Device, dtype: str) -> None:
        with importing("transformers"):
            import transformers
        config, family = model.encoder.config, model.record.family
        self.version = transformers.__version__
        self.note = POOLED_HERE if config.pool == "patch_mean" else ""
        self.wants_telling = family == "vit"
        only_side(model, "transformers")  # before anything large is built
        super().__init__(model, built(model), points_of(config, family), device, dtype)

    def encode(self, module: nn.Module, pixels: Tensor, grid: tuple[int, int], seen: Seen) -> Features:
        """Run transformers' model; the tokens are what its final norm hands on, which not every class returns."""
        output = module(pixel_values=pixels, **self._sized(pixels))
        tokens = seen.kept["norm"]
        if self.config.pool == "tanh_cls":
            pooled = output.pooler_output
        elif self.config.pool == "patch_mean":
            pooled = tokens[:, prefix_of(self.config)[1] :].mean(1)
        else:
            pooled = tokens[:, 0]  # what pooler_output is, where there is one
        return self.features(tokens, grid, seen("pooled", pooled), output.get("logits"))

    def _sized(self, pixels: Tensor) -> dict[str, bool]:
        """Say that positions are to be resized, to the one family that does not see for itself."""
        if not self.wants_telling or not isinstance(self.config, ViTConfig):
            return {}
        own = (self.config.grid or 0) * self.config.patch
        return {} if tuple(pixels.shape[2:]) == (own, own) else {"interpolate_pos_encoding": True}


def built(model: Model) -> nn.Module:
    """Let transformers build the network, with values of its own; raise Unavailable where it cannot.

    It imports most of itself, and torchvision, only here.
    """
    with importing("transformers"):
        return _built(model)


def _built(model: Model) -> nn.Module:
    import transformers

    config, document = model.encoder.config, _document(model)
    heads = isinstance(config, ViTConfig) and config.classes > 0
    auto = transformers.AutoModelForImageClassification if heads else transformers.AutoModel
    try:
        settings = transformers.AutoConfig.for_model(**document)
        module: nn.Module = auto.from_config(settings, **_arguments(model))
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise Unavailable(
            f"transformers {transformers.__version__} cannot build a {document['model_type']}: {error}",
            todo="pip install --upgrade 'snellen[transformers]', or take --runtime eager",
        ) from error
    return module


def points_of(config: EncoderConfig, family: str) -> dict[str, Point]:
    """Return where each stage comes out; behind the name of the trunk where a classifier stands beside it."""
    if isinstance(config, ConvNeXtConfig):
        points = {"stem": Point("model.stages.0.downsample_layers.1"), "norm": Point("layer_norm")}
        for s, depth in enumerate(config.depths):
            points |= {f"stage.{s}.down": Point(f"model.stages.{s}.downsample_layers.1")} if s else {}
            points |= {f"stage.{s}.block.{i:02d}": Point(f"model.stages.{s}.layers.{i}") for i in range(depth)}
        return points
    trunk = "vit." if config.classes else ""
    points = {name: Point(trunk + point.path, point.layout) for name, point in POINTS[family].items()}
    block = points.pop("block")
    return points | {f"block.{i:02d}": Point(block.path.format(i), block.layout) for i in range(config.depth)}


def _document(model: Model) -> dict[str, Any]:
    """Return the ``config.json`` of the encoder; raise Unavailable where transformers cannot be set to it."""
    config, image = model.encoder.config, model.recipe.size[0]
    if isinstance(config, ConvNeXtConfig):
        config = replace(config, pool="cls")  # what is pooled is decided in ``encode``
    elif config.grid:
        image = config.grid * config.patch
        config = replace(config, resize=resize_in(model, "transformers"))  # it has been seen that this does not matter
    try:
        document = write_config(model.record.family, config, image)
    except UsageError as error:
        raise Unavailable(
            error.seen, expected="a network that transformers has", todo="--runtime timm or eager"
        ) from error
    document.pop("architectures")
    return document


def _arguments(model: Model) -> dict[str, Any]:
    """Return what the class is told beside the configuration."""
    config = model.encoder.config
    if isinstance(config, ConvNeXtConfig):
        return {}
    arguments: dict[str, Any] = {"attn_implementation": "sdpa"}
    if model.record.family == "vit" and not config.classes:
        arguments["add_pooling_layer"] = config.pooler
    return arguments
