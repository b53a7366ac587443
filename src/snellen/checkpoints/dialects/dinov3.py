"""DINOv3 ViT: original, timm (with and without q, v biases), transformers (on disk, and 5.x in memory).

Checked against timm 1.0.31 and transformers 5.23.0, whose own loaders read what these tables write, and against the
key lists of facebookresearch/dinov3 at 6876159.
"""

from __future__ import annotations

from snellen.checkpoints.dialects.ops import Join, JoinWithoutKey, MaskKey
from snellen.checkpoints.dialects.reasons import MASK, PROBE
from snellen.checkpoints.dialects.restored import no_rows, ones, rounded_periods, zeros, zeros_row
from snellen.checkpoints.dialects.rules import Dialect, Fill, Ignore, Rule

NO_REGISTERS = "an empty table: there are no registers"
LOCAL = "norms the class token of small crops during training only"

META = Dialect(
    library="meta",
    name="meta",
    family="dinov3_vit",
    marks=("storage_tokens", "blocks.0.ls1.gamma"),
    uncounted=("attn.qkv.bias_mask", "rope_embed.periods"),
    rules=(
        Rule("cls", "cls_token"),
        Rule("registers", "storage_tokens"),
        Rule("patch.{p}", "patch_embed.proj.{p}"),
        Rule("blocks.{i}.norm1.{p}", "blocks.{i}.norm1.{p}"),
        Rule("blocks.{i}.attention.qkv.weight", "blocks.{i}.attn.qkv.weight"),
        Rule("blocks.{i}.attention.qkv.bias", ("blocks.{i}.attn.qkv.bias", "blocks.{i}.attn.qkv.bias_mask"), MaskKey()),
        Rule("blocks.{i}.attention.out.{p}", "blocks.{i}.attn.proj.{p}"),
        Rule("blocks.{i}.scale1.factor", "blocks.{i}.ls1.gamma"),
        Rule("blocks.{i}.norm2.{p}", "blocks.{i}.norm2.{p}"),
        Rule("blocks.{i}.mlp.up.{p}", "blocks.{i}.mlp.fc1.{p}"),
        Rule("blocks.{i}.mlp.down.{p}", "blocks.{i}.mlp.fc2.{p}"),
        Rule("blocks.{i}.mlp.gate_value.{p}", ("blocks.{i}.mlp.w1.{p}", "blocks.{i}.mlp.w2.{p}"), Join(2)),
        Rule("blocks.{i}.mlp.out.{p}", "blocks.{i}.mlp.w3.{p}"),
        Rule("blocks.{i}.scale2.factor", "blocks.{i}.ls2.gamma"),
        Rule("norm.{p}", "norm.{p}"),
        Ignore("mask_token", MASK, each="cls", restore=zeros_row),
        Ignore("rope_embed.periods", "follow from the head width; see rope_rounding", restore=rounded_periods),
        Ignore("local_cls_norm.weight", LOCAL, each="norm.weight", restore=ones, extra="local_cls_norm"),
        Ignore("local_cls_norm.bias", LOCAL, each="norm.bias", restore=zeros, extra="local_cls_norm"),
    ),
)

_TIMM = (
    Rule("cls", "cls_token"),
    Rule("registers", "reg_token"),
    Rule("patch.{p}", "patch_embed.proj.{p}"),
    Rule("blocks.{i}.norm1.{p}", "blocks.{i}.norm1.{p}"),
    Rule("blocks.{i}.attention.qkv.weight", "blocks.{i}.attn.qkv.weight"),
    Rule("blocks.{i}.attention.out.{p}", "blocks.{i}.attn.proj.{p}"),
    Rule("blocks.{i}.scale1.factor", "blocks.{i}.gamma_1"),
    Rule("blocks.{i}.norm2.{p}", "blocks.{i}.norm2.{p}"),
    Rule("blocks.{i}.mlp.up.{p}", "blocks.{i}.mlp.fc1.{p}"),
    Rule("blocks.{i}.mlp.down.{p}", "blocks.{i}.mlp.fc2.{p}"),
    Rule("blocks.{i}.mlp.gate_value.{p}", ("blocks.{i}.mlp.fc1_g.{p}", "blocks.{i}.mlp.fc1_x.{p}"), Join(2)),
    Rule("blocks.{i}.mlp.out.{p}", "blocks.{i}.mlp.fc2.{p}"),
    Rule("blocks.{i}.scale2.factor", "blocks.{i}.gamma_2"),
    Rule("norm.{p}", "norm.{p}"),
    Ignore("head.{p}", PROBE, each="norm.{p}"),
)

TIMM = Dialect(
    library="timm",
    name="timm",
    family="dinov3_vit",
    marks=("reg_token", "blocks.0.gamma_1"),
    unmarks=("blocks.0.attn.q_bias",),
    rules=(
        *_TIMM,
        Fill(
            "blocks.{i}.attention.qkv.bias",
            "timm's plain names have no q, k, v bias, since it is zero in the released weights; its _qkvb names do",
        ),
    ),
)

TIMM_QKV_BIAS = Dialect(
    library="timm",
    name="timm (qkvb)",
    family="dinov3_vit",
    marks=("reg_token", "blocks.0.gamma_1", "blocks.0.attn.q_bias"),
    rules=(
        *_TIMM,
        Rule(
            "blocks.{i}.attention.qkv.bias",
            ("blocks.{i}.attn.q_bias", "blocks.{i}.attn.v_bias"),
            JoinWithoutKey(),
        ),
    ),
)


def _transformers(name: str, layer: str, *, on_disk: bool) -> Dialect:
    """Spell a dialect whose block names begin with ``layer``."""
    attention = layer + "attention."
    return Dialect(
        library="transformers",
        name=name,
        on_disk=on_disk,
        family="dinov3_vit",
        marks=(f"{layer}layer_scale1.lambda1".format(i=0), "embeddings.register_tokens"),
        rules=(
            Rule("cls", "embeddings.cls_token"),
            Rule("registers", "embeddings.register_tokens"),
            Rule("patch.{p}", "embeddings.patch_embeddings.{p}"),
            Rule("blocks.{i}.norm1.{p}", layer + "norm1.{p}"),
            Rule(
                "blocks.{i}.attention.qkv.weight",
                tuple(attention + key for key in ("q_proj.weight", "k_proj.weight", "v_proj.weight")),
                Join(3),
            ),
            Rule(
                "blocks.{i}.attention.qkv.bias",
                tuple(attention + key for key in ("q_proj.bias", "v_proj.bias")),
                JoinWithoutKey(),
            ),
            Rule("blocks.{i}.attention.out.{p}", attention + "o_proj.{p}"),
            Rule("blocks.{i}.scale1.factor", layer + "layer_scale1.lambda1"),
            Rule("blocks.{i}.norm2.{p}", layer + "norm2.{p}"),
            Rule("blocks.{i}.mlp.up.{p}", layer + "mlp.up_proj.{p}"),
            Rule("blocks.{i}.mlp.down.{p}", layer + "mlp.down_proj.{p}"),
            Rule(
                "blocks.{i}.mlp.gate_value.{p}",
                (layer + "mlp.gate_proj.{p}", layer + "mlp.up_proj.{p}"),
                Join(2),
            ),
            Rule("blocks.{i}.mlp.out.{p}", layer + "mlp.down_proj.{p}"),
            Rule("blocks.{i}.scale2.factor", layer + "layer_scale2.lambda1"),
            Rule("norm.{p}", "norm.{p}"),
            Ignore("embeddings.mask_token", MASK, each="cls", restore=zeros),
            Ignore("embeddings.register_tokens", NO_REGISTERS, each="cls", unless="registers", restore=no_rows),
        ),
    )


TRANSFORMERS = _transformers("transformers", "layer.{i}.", on_disk=True)
TRANSFORMERS_5 = _transformers("transformers 5 in memory", "model.layer.{i}.", on_disk=False)

DIALECTS = (META, TIMM, TIMM_QKV_BIAS, TRANSFORMERS, TRANSFORMERS_5)
