"""DINOv2, with and without registers: original, timm, transformers (on disk, and 5.x in memory).

Checked against timm 1.0.31 and transformers 5.23.0, whose own loaders read what these tables write, and against the
key lists of facebookresearch/dinov2 at b8931f7.
"""

from __future__ import annotations

from snellen.checkpoints.dialects.ops import FoldClassPosition, Join
from snellen.checkpoints.dialects.reasons import MASK, PROBE
from snellen.checkpoints.dialects.restored import zeros_row
from snellen.checkpoints.dialects.rules import Dialect, Ignore, Rule

# The original and timm spell a block alike, but for the SwiGLU.
BLOCK = (
    Rule("patch.{p}", "patch_embed.proj.{p}"),
    Rule("blocks.{i}.norm1.{p}", "blocks.{i}.norm1.{p}"),
    Rule("blocks.{i}.attention.qkv.{p}", "blocks.{i}.attn.qkv.{p}"),
    Rule("blocks.{i}.attention.out.{p}", "blocks.{i}.attn.proj.{p}"),
    Rule("blocks.{i}.scale1.factor", "blocks.{i}.ls1.gamma"),
    Rule("blocks.{i}.norm2.{p}", "blocks.{i}.norm2.{p}"),
    Rule("blocks.{i}.mlp.up.{p}", "blocks.{i}.mlp.fc1.{p}"),
    Rule("blocks.{i}.mlp.down.{p}", "blocks.{i}.mlp.fc2.{p}"),
    Rule("blocks.{i}.scale2.factor", "blocks.{i}.ls2.gamma"),
    Rule("norm.{p}", "norm.{p}"),
)

META = Dialect(
    library="meta",
    name="meta",
    family="dinov2",
    marks=("blocks.0.ls1.gamma", "mask_token", "pos_embed"),
    rules=(
        Rule("cls", "cls_token"),
        Rule("registers", "register_tokens"),
        Rule("position", "pos_embed"),
        *BLOCK,
        Rule("blocks.{i}.mlp.gate_value.{p}", "blocks.{i}.mlp.w12.{p}"),
        Rule("blocks.{i}.mlp.out.{p}", "blocks.{i}.mlp.w3.{p}"),
        Ignore("mask_token", MASK, each="cls", restore=zeros_row),
    ),
)

TIMM = Dialect(
    library="timm",
    name="timm",
    family="dinov2",
    marks=("blocks.0.ls1.gamma", "pos_embed"),
    unmarks=("mask_token", "register_tokens"),
    rules=(
        Rule("cls", "cls_token", unless="registers"),
        Rule("position", "pos_embed", unless="registers"),
        Rule(("cls", "position"), ("cls_token", "pos_embed"), FoldClassPosition(), given="registers"),
        Rule("registers", "reg_token"),
        *BLOCK,
        Rule("blocks.{i}.mlp.gate_value.{p}", "blocks.{i}.mlp.fc1.{p}"),
        Rule("blocks.{i}.mlp.out.{p}", "blocks.{i}.mlp.fc2.{p}"),
        Ignore("head.{p}", PROBE, each="norm.{p}"),
    ),
)

_TRANSFORMERS = (
    Rule("cls", "embeddings.cls_token"),
    Rule("registers", "embeddings.register_tokens"),
    Rule("position", "embeddings.position_embeddings"),
    Rule("patch.{p}", "embeddings.patch_embeddings.projection.{p}"),
    Rule("blocks.{i}.norm1.{p}", "encoder.layer.{i}.norm1.{p}"),
    Rule("blocks.{i}.scale1.factor", "encoder.layer.{i}.layer_scale1.lambda1"),
    Rule("blocks.{i}.norm2.{p}", "encoder.layer.{i}.norm2.{p}"),
    Rule("blocks.{i}.mlp.up.{p}", "encoder.layer.{i}.mlp.fc1.{p}"),
    Rule("blocks.{i}.mlp.down.{p}", "encoder.layer.{i}.mlp.fc2.{p}"),
    Rule("blocks.{i}.scale2.factor", "encoder.layer.{i}.layer_scale2.lambda1"),
    Rule("norm.{p}", "layernorm.{p}"),
    Ignore("embeddings.mask_token", MASK, each="cls", restore=zeros_row),
    Ignore(
        "/classifier.{p}",
        "a linear probe on the class token joined with the mean patch: not part of the encoder, and not run",
        each="norm.{p}",
    ),
)
_PREFIXES = ("", "dinov2.", "dinov2_with_registers.")

TRANSFORMERS = Dialect(
    library="transformers",
    name="transformers",
    family="dinov2",
    marks=("encoder.layer.0.attention.attention.query.weight", "encoder.layer.0.layer_scale1.lambda1"),
    prefixes=_PREFIXES,
    rules=(
        *_TRANSFORMERS,
        Rule(
            "blocks.{i}.attention.qkv.{p}",
            (
                "encoder.layer.{i}.attention.attention.query.{p}",
                "encoder.layer.{i}.attention.attention.key.{p}",
                "encoder.layer.{i}.attention.attention.value.{p}",
            ),
            Join(3),
        ),
        Rule("blocks.{i}.attention.out.{p}", "encoder.layer.{i}.attention.output.dense.{p}"),
        Rule("blocks.{i}.mlp.gate_value.{p}", "encoder.layer.{i}.mlp.weights_in.{p}"),
        Rule("blocks.{i}.mlp.out.{p}", "encoder.layer.{i}.mlp.weights_out.{p}"),
    ),
)

TRANSFORMERS_5 = Dialect(
    library="transformers",
    name="transformers 5 in memory",
    on_disk=False,
    family="dinov2",
    marks=("encoder.layer.0.attention.q_proj.weight", "encoder.layer.0.layer_scale1.lambda1"),
    prefixes=_PREFIXES,
    rules=(
        *_TRANSFORMERS,
        Rule(
            "blocks.{i}.attention.qkv.{p}",
            (
                "encoder.layer.{i}.attention.q_proj.{p}",
                "encoder.layer.{i}.attention.k_proj.{p}",
                "encoder.layer.{i}.attention.v_proj.{p}",
            ),
            Join(3),
        ),
        Rule("blocks.{i}.attention.out.{p}", "encoder.layer.{i}.attention.o_proj.{p}"),
        Rule(
            "blocks.{i}.mlp.gate_value.{p}",
            ("encoder.layer.{i}.mlp.gate_proj.{p}", "encoder.layer.{i}.mlp.up_proj.{p}"),
            Join(2),
        ),
        Rule("blocks.{i}.mlp.out.{p}", "encoder.layer.{i}.mlp.down_proj.{p}"),
    ),
)

DIALECTS = (META, TIMM, TRANSFORMERS, TRANSFORMERS_5)
