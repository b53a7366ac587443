"""DINOv3 ConvNeXt: original, timm, transformers (on disk, and 5.x in memory).

The stem is a convolution and then a norm; the other changes of resolution are a norm and then a convolution. All three
libraries number them in that order, and so do we.

Checked against timm 1.0.31 and transformers 5.23.0, whose own loaders read what these tables write, and against the
key lists of facebookresearch/dinov3 at 6876159.
"""

from __future__ import annotations

from snellen.checkpoints.dialects.reasons import PROBE
from snellen.checkpoints.dialects.restored import same
from snellen.checkpoints.dialects.rules import Dialect, Ignore, Rule

TWICE = "the final norm, stored a second time"

META = Dialect(
    library="meta",
    name="meta",
    family="dinov3_convnext",
    marks=("downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"),
    uncounted=("norms.3.weight", "norms.3.bias"),
    rules=(
        Rule("body.{s}.down.{i}.{p}", "downsample_layers.{s}.{i}.{p}"),
        Rule("body.{s}.blocks.{i}.mix.{p}", "stages.{s}.{i}.dwconv.{p}"),
        Rule("body.{s}.blocks.{i}.norm.{p}", "stages.{s}.{i}.norm.{p}"),
        Rule("body.{s}.blocks.{i}.up.{p}", "stages.{s}.{i}.pwconv1.{p}"),
        Rule("body.{s}.blocks.{i}.down.{p}", "stages.{s}.{i}.pwconv2.{p}"),
        Rule("body.{s}.blocks.{i}.scale", "stages.{s}.{i}.gamma"),
        Rule("norm.{p}", "norm.{p}"),
        Ignore("norms.3.{p}", TWICE, each="norm.{p}", restore=same),
    ),
)

TIMM = Dialect(
    library="timm",
    name="timm",
    family="dinov3_convnext",
    marks=("stem.0.weight", "stages.0.blocks.0.conv_dw.weight"),
    rules=(
        Rule("body.0.down.{i}.{p}", "stem.{i}.{p}"),
        Rule("body.1.down.{i}.{p}", "stages.1.downsample.{i}.{p}"),
        Rule("body.2.down.{i}.{p}", "stages.2.downsample.{i}.{p}"),
        Rule("body.3.down.{i}.{p}", "stages.3.downsample.{i}.{p}"),
        Rule("body.{s}.blocks.{i}.mix.{p}", "stages.{s}.blocks.{i}.conv_dw.{p}"),
        Rule("body.{s}.blocks.{i}.norm.{p}", "stages.{s}.blocks.{i}.norm.{p}"),
        Rule("body.{s}.blocks.{i}.up.{p}", "stages.{s}.blocks.{i}.mlp.fc1.{p}"),
        Rule("body.{s}.blocks.{i}.down.{p}", "stages.{s}.blocks.{i}.mlp.fc2.{p}"),
        Rule("body.{s}.blocks.{i}.scale", "stages.{s}.blocks.{i}.gamma"),
        Rule("norm.{p}", "head.norm.{p}"),
        Ignore("head.fc.{p}", PROBE, each="norm.{p}"),
    ),
)


def _transformers(name: str, stage: str, *, on_disk: bool) -> Dialect:
    """Spell a dialect whose stage names begin with ``stage``."""
    layer = stage + "layers.{i}."
    return Dialect(
        library="transformers",
        name=name,
        on_disk=on_disk,
        family="dinov3_convnext",
        # The last one tells the stages' own "model." from a wrapper's, which stands before this name too.
        marks=(
            f"{stage}downsample_layers.0.weight".format(s=0),
            f"{layer}depthwise_conv.weight".format(s=0, i=0),
            "layer_norm.weight",
        ),
        rules=(
            Rule("body.{s}.down.{i}.{p}", stage + "downsample_layers.{i}.{p}"),
            Rule("body.{s}.blocks.{i}.mix.{p}", layer + "depthwise_conv.{p}"),
            Rule("body.{s}.blocks.{i}.norm.{p}", layer + "layer_norm.{p}"),
            Rule("body.{s}.blocks.{i}.up.{p}", layer + "pointwise_conv1.{p}"),
            Rule("body.{s}.blocks.{i}.down.{p}", layer + "pointwise_conv2.{p}"),
            Rule("body.{s}.blocks.{i}.scale", layer + "gamma"),
            Rule("norm.{p}", "layer_norm.{p}"),
        ),
    )


TRANSFORMERS = _transformers("transformers", "stages.{s}.", on_disk=True)
TRANSFORMERS_5 = _transformers("transformers 5 in memory", "model.stages.{s}.", on_disk=False)

DIALECTS = (META, TIMM, TRANSFORMERS, TRANSFORMERS_5)
