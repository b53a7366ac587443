"""AIMv2: Apple's fused names (its own code, and the hub revisions that pins), transformers' split names, timm.

Checked against timm 1.0.31 and transformers 5.23.0, whose own loaders read what these tables write, and against the
key lists of apple/ml-aim at bd9e068.
"""

from __future__ import annotations

from snellen.checkpoints.dialects.ops import Join, Unbatch
from snellen.checkpoints.dialects.rules import Dialect, Rule

APPLE = Dialect(
    library="apple",
    name="apple",
    family="aimv2",
    marks=("preprocessor.patchifier.proj.weight", "trunk.blocks.0.attn.qkv.weight"),
    rules=(
        Rule("patch.{p}", "preprocessor.patchifier.proj.{p}"),
        Rule("patch_norm.weight", "preprocessor.patchifier.norm.weight"),
        Rule("position", "preprocessor.pos_embed"),
        Rule("blocks.{i}.norm1.weight", "trunk.blocks.{i}.norm_1.weight"),
        Rule("blocks.{i}.attention.qkv.weight", "trunk.blocks.{i}.attn.qkv.weight"),
        Rule("blocks.{i}.attention.out.weight", "trunk.blocks.{i}.attn.proj.weight"),
        Rule("blocks.{i}.norm2.weight", "trunk.blocks.{i}.norm_2.weight"),
        Rule(
            "blocks.{i}.mlp.gate_value.weight",
            ("trunk.blocks.{i}.mlp.fc1.weight", "trunk.blocks.{i}.mlp.fc3.weight"),
            Join(2),
        ),
        Rule("blocks.{i}.mlp.out.weight", "trunk.blocks.{i}.mlp.fc2.weight"),
        Rule("norm.weight", "trunk.post_trunk_norm.weight"),
    ),
)

TIMM = Dialect(
    library="timm",
    name="timm",
    family="aimv2",
    marks=("patch_embed.norm.weight", "blocks.0.mlp.fc1_g.weight"),
    rules=(
        Rule("patch.{p}", "patch_embed.proj.{p}"),
        Rule("patch_norm.weight", "patch_embed.norm.weight"),
        Rule("position", "pos_embed"),
        Rule("blocks.{i}.norm1.weight", "blocks.{i}.norm1.weight"),
        Rule("blocks.{i}.attention.qkv.weight", "blocks.{i}.attn.qkv.weight"),
        Rule("blocks.{i}.attention.out.weight", "blocks.{i}.attn.proj.weight"),
        Rule("blocks.{i}.norm2.weight", "blocks.{i}.norm2.weight"),
        Rule(
            "blocks.{i}.mlp.gate_value.weight",
            ("blocks.{i}.mlp.fc1_g.weight", "blocks.{i}.mlp.fc1_x.weight"),
            Join(2),
        ),
        Rule("blocks.{i}.mlp.out.weight", "blocks.{i}.mlp.fc2.weight"),
        Rule("norm.weight", "norm.weight"),
    ),
)

_ATTENTION = "encoder.layers.{i}.attention."

TRANSFORMERS = Dialect(
    library="transformers",
    name="transformers",
    family="aimv2",
    marks=("encoder.layers.0.ffn.gate_proj.weight", "embeddings.rms_norm.weight"),
    prefixes=("", "vision_model."),
    rules=(
        Rule("patch.{p}", "embeddings.patch_embed.{p}"),
        Rule("patch_norm.weight", "embeddings.rms_norm.weight"),
        Rule("position", "embeddings.position_embedding.weight", Unbatch()),
        Rule("blocks.{i}.norm1.weight", "encoder.layers.{i}.rms_norm1.weight"),
        Rule(
            "blocks.{i}.attention.qkv.weight",
            (_ATTENTION + "q_proj.weight", _ATTENTION + "k_proj.weight", _ATTENTION + "v_proj.weight"),
            Join(3),
        ),
        Rule("blocks.{i}.attention.out.weight", _ATTENTION + "out_proj.weight"),
        Rule("blocks.{i}.norm2.weight", "encoder.layers.{i}.rms_norm2.weight"),
        Rule(
            "blocks.{i}.mlp.gate_value.weight",
            ("encoder.layers.{i}.ffn.gate_proj.weight", "encoder.layers.{i}.ffn.up_proj.weight"),
            Join(2),
        ),
        Rule("blocks.{i}.mlp.out.weight", "encoder.layers.{i}.ffn.down_proj.weight"),
        Rule("norm.weight", "rms_norm.weight"),
    ),
)

DIALECTS = (APPLE, TIMM, TRANSFORMERS)
