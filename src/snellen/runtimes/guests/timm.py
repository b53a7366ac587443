"""timm's own model, built by ``timm.create_model`` and loaded strictly, at the encoder's size and the recipe's pooling.

Points and arguments were read in timm 1.0.31 and are held to it by the tests.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from snellen.devices import Device
from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig
from snellen.encoders.features import Features
from snellen.errors import Unavailable
from snellen.model.model import Model
from snellen.model.spelling import spellings
from snellen.model.stated import same_network
from snellen.runtimes.guests.hooked import Guest, Point, Seen, differs, importing, only_side
from snellen.zoo import ROWS
from snellen.zoo.conventions import config_for
from snellen.zoo.variant import Variant

if TYPE_CHECKING:
    from torch import Tensor, nn

POOL = {"cls": "token", "patch_mean": "avg"}
"""Our pooling of a transformer's tokens -> timm's. The tanh layer has no place there."""

# What the architecture decides: an encoder that has it otherwise is another network, whatever it is called.
DECIDED = ("patch", "mlp", "norm", "position", "rope_rounding", "class_token", "registers", "patch_norm", "layer_scale")

CONV_NOTE = "timm norms no map: patches are its final norm applied to its last map"


class Timm(Guest):
    """timm's model."""

    runtime = "timm"

    def __init__(self, model: Model, device: Device, dtype: str) -> None:
        with importing("timm"):
            import timm
        config = model.encoder.config
        self.version = timm.__version__
        self.note = CONV_NOTE if isinstance(config, ConvNeXtConfig) else ""
        only_side(model, "timm")  # before anything large is built
        super().__init__(model, built(model), points_of(config), device, dtype)

    def encode(self, module: Any, pixels: Tensor, grid: tuple[int, int], seen: Seen) -> Features:
        """Run timm's trunk and head; a classifier reads the class token, whatever is pooled."""
        x: Tensor = module.forward_features(pixels)  # [B, T, D], or the last map [B, D, h, w], not normed
        head: Tensor = module.forward_head(x, pre_logits=True)  # [B, D]
        if isinstance(self.config, ConvNeXtConfig):
            return self._of_map(module.head, x, head, seen)
        logits = module.head(x[:, 0]) if self.config.classes else None
        return self.features(x, grid, seen("pooled", head), logits)

    def _of_map(self, head: Any, x: Tensor, mean: Tensor, seen: Seen) -> Features:
        grid = (x.shape[2], x.shape[3])
        patches: Tensor = head.norm(x).flatten(2).transpose(1, 2)  # [B, N, D]
        pooled = seen("pooled", patches.mean(1) if self.config.pool == "patch_mean" else mean)
        return Features(cls=mean, registers=patches[:, :0], patches=patches, grid=grid, pooled=pooled)


def built(model: Model) -> nn.Module:
    """Let timm build the network, with values of its own; raise Unavailable where it cannot, or builds another."""
    import timm

    name = _name(model)
    try:
        module: nn.Module = timm.create_model(name, pretrained=False, **_arguments(model.encoder.config))
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise Unavailable(
            f"timm {timm.__version__} cannot build {name}: {error}",
            todo="pip install --upgrade 'snellen[timm]', or take --runtime eager",
        ) from error
    return module


def points_of(config: EncoderConfig) -> dict[str, Point]:
    """Return where each stage comes out."""
    if isinstance(config, ViTConfig):
        layout: Any = "channels_last" if _any_size(config) else "ours"
        blocks = {f"block.{i:02d}": Point(f"blocks.{i}") for i in range(config.depth)}
        return {"patches": Point("patch_embed", layout), "tokens": Point("norm_pre"), **blocks, "norm": Point("norm")}
    points = {"stem": Point("stem")}
    for s, depth in enumerate(config.depths):
        points |= {f"stage.{s}.down": Point(f"stages.{s}.downsample")} if s else {}
        points |= {f"stage.{s}.block.{i:02d}": Point(f"stages.{s}.blocks.{i}") for i in range(depth)}
    return points


def _arguments(config: EncoderConfig) -> dict[str, Any]:
    """Return what ``create_model`` is told beside the name; for a released encoder, what it has by itself."""
    if isinstance(config, ConvNeXtConfig):
        return {"depths": config.depths, "dims": config.widths, "num_classes": 0, "global_pool": "avg"}
    if config.pool not in POOL:
        raise Unavailable(
            f"timm has no place for the tanh layer of the recipe's pooling (pool {config.pool})",
            expected=f"pool {' or '.join(POOL)}",
            todo="add 'pool cls' to the recipe, or take --runtime transformers or eager",
        )
    arguments: dict[str, Any] = {
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "num_classes": config.classes,
        "global_pool": POOL[config.pool],
    }
    if config.position == "learned":
        side = (config.grid or 0) * config.patch
        # timm would move the norm behind the pooling where it averages; the encoder norms first
        arguments |= {"img_size": side, "dynamic_img_size": _any_size(config), "fc_norm": False}
    return arguments


def _any_size(config: ViTConfig) -> bool:
    """Tell whether the encoder takes other sizes than its own; timm then hands patches on as a map."""
    return config.position == "rope" or config.resize != "none"


def _name(model: Model) -> str:
    """Return timm's name for the network; raise Unavailable where it has none, or runs it in another way."""
    record, config = model.record, model.encoder.config
    dialects = {spelled.dialect.name for spelled in spellings(model, "timm")}
    for row in _rows(model):
        asked = record.name.removeprefix("timm/").partition(".")[0]
        names = sorted(
            zip(row.timm, row.timm_dialects, strict=False), key=lambda pair: pair[0].partition(".")[0] != asked
        )
        for name, dialect in names:
            if dialect in dialects:
                _check_decided(model, config_for(row, "timm"), config)
                return name
    raise Unavailable(
        f"timm has no name for the network of {record.name}",
        expected="a network that is released there: 'snellen models' lists them",
        todo="--runtime eager" + (" or transformers" if record.library == "transformers" else ""),
    )


def _rows(model: Model) -> list[Variant]:
    """Return the rows whose architecture the model has: its own, then others of the same network."""
    own = [row for row in ROWS if row.name == model.record.variant]
    family = [row for row in ROWS if row.family == model.record.family]
    return own + [row for row in family if same_network(row.config, own[0].config if own else model.encoder.config)]


def _check_decided(model: Model, theirs: EncoderConfig, ours: EncoderConfig) -> None:
    """Raise Unavailable where timm's architecture decides otherwise than the encoder."""
    wanted, there = asdict(ours), asdict(theirs)
    for field in ("eps", *DECIDED):
        if wanted.get(field) != there.get(field):
            raise differs(model, "timm", field, there.get(field), wanted.get(field))
