"""Google ViT: the original .npz, timm, transformers (on disk, and 5.x in memory).

Checked against timm 1.0.31 and transformers 5.23.0, whose own loaders read what these tables write (timm reads the .npz
too), and against the parameter names of google-research/vision_transformer at c6de1e5.
"""

from __future__ import annotations

from snellen.checkpoints.dialects.ops import (
    ConvKernel,
    HeadsBias,
    HeadsKernel,
    HeadsOutKernel,
    Join,
    Transpose,
)
from snellen.checkpoints.dialects.reasons import MASK
from snellen.checkpoints.dialects.restored import no_class_biases, no_classes
from snellen.checkpoints.dialects.rules import Dialect, Drop, Ignore, Rule

NO_HEAD = "the in21k classifier of the first release is not valid, and this name has none"
NO_POOLER = "timm has no place for the tanh layer of the in21k checkpoints, and its outputs do not use it"

TIMM = Dialect(
    library="timm",
    name="timm",
    family="vit",
    marks=("blocks.0.attn.qkv.bias", "pos_embed"),
    unmarks=("blocks.0.ls1.gamma", "blocks.0.gamma_1", "reg_token"),
    rules=(
        Rule("cls", "cls_token"),
        Rule("position", "pos_embed"),
        Rule("patch.{p}", "patch_embed.proj.{p}"),
        Rule("blocks.{i}.norm1.{p}", "blocks.{i}.norm1.{p}"),
        Rule("blocks.{i}.attention.qkv.{p}", "blocks.{i}.attn.qkv.{p}"),
        Rule("blocks.{i}.attention.out.{p}", "blocks.{i}.attn.proj.{p}"),
        Rule("blocks.{i}.norm2.{p}", "blocks.{i}.norm2.{p}"),
        Rule("blocks.{i}.mlp.up.{p}", "blocks.{i}.mlp.fc1.{p}"),
        Rule("blocks.{i}.mlp.down.{p}", "blocks.{i}.mlp.fc2.{p}"),
        Rule("norm.{p}", "norm.{p}"),
        Rule("head.{p}", "head.{p}"),
        Ignore("head.{p}", NO_HEAD, each="norm.{p}", unless="head.weight"),
        Ignore("pre_logits.fc.{p}", NO_POOLER, each="norm.{p}"),
        Drop("pooler.{p}", NO_POOLER),
    ),
)

_TRANSFORMERS = (
    Rule("cls", "embeddings.cls_token"),
    Rule("position", "embeddings.position_embeddings"),
    Rule("patch.{p}", "embeddings.patch_embeddings.projection.{p}"),
    Rule("norm.{p}", "layernorm.{p}"),
    Rule("pooler.{p}", "pooler.dense.{p}"),
    Rule("head.{p}", "/classifier.{p}"),
    Ignore("/classifier.{p}", NO_HEAD, each="norm.{p}", unless="head.weight"),
    Ignore("embeddings.mask_token", MASK),
)

TRANSFORMERS = Dialect(
    library="transformers",
    name="transformers",
    family="vit",
    marks=("encoder.layer.0.layernorm_before.weight", "encoder.layer.0.attention.attention.query.weight"),
    prefixes=("", "vit."),
    head_prefix="vit.",
    rules=(
        *_TRANSFORMERS,
        Rule("blocks.{i}.norm1.{p}", "encoder.layer.{i}.layernorm_before.{p}"),
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
        Rule("blocks.{i}.norm2.{p}", "encoder.layer.{i}.layernorm_after.{p}"),
        Rule("blocks.{i}.mlp.up.{p}", "encoder.layer.{i}.intermediate.dense.{p}"),
        Rule("blocks.{i}.mlp.down.{p}", "encoder.layer.{i}.output.dense.{p}"),
    ),
)

TRANSFORMERS_5 = Dialect(
    library="transformers",
    name="transformers 5 in memory",
    on_disk=False,
    family="vit",
    marks=("layers.0.layernorm_before.weight", "layers.0.attention.q_proj.weight"),
    prefixes=("", "vit."),
    head_prefix="vit.",
    rules=(
        *_TRANSFORMERS,
        Rule("blocks.{i}.norm1.{p}", "layers.{i}.layernorm_before.{p}"),
        Rule(
            "blocks.{i}.attention.qkv.{p}",
            (
                "layers.{i}.attention.q_proj.{p}",
                "layers.{i}.attention.k_proj.{p}",
                "layers.{i}.attention.v_proj.{p}",
            ),
            Join(3),
        ),
        Rule("blocks.{i}.attention.out.{p}", "layers.{i}.attention.o_proj.{p}"),
        Rule("blocks.{i}.norm2.{p}", "layers.{i}.layernorm_after.{p}"),
        Rule("blocks.{i}.mlp.up.{p}", "layers.{i}.mlp.fc1.{p}"),
        Rule("blocks.{i}.mlp.down.{p}", "layers.{i}.mlp.fc2.{p}"),
    ),
)

_BLOCK = "Transformer/encoderblock_{i}/"
_HEADS = _BLOCK + "MultiHeadDotProductAttention_1/"

JAX = Dialect(
    library="jax",
    name="jax",
    family="vit",
    marks=("embedding/kernel", "Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel"),
    prefixes=("", "opt/target/"),
    rules=(
        Rule("cls", "cls"),
        Rule("position", "Transformer/posembed_input/pos_embedding"),
        Rule("patch.weight", "embedding/kernel", ConvKernel()),
        Rule("patch.bias", "embedding/bias"),
        Rule("blocks.{i}.norm1.weight", _BLOCK + "LayerNorm_0/scale"),
        Rule("blocks.{i}.norm1.bias", _BLOCK + "LayerNorm_0/bias"),
        Rule(
            "blocks.{i}.attention.qkv.weight",
            (_HEADS + "query/kernel", _HEADS + "key/kernel", _HEADS + "value/kernel"),
            HeadsKernel(),
        ),
        Rule(
            "blocks.{i}.attention.qkv.bias",
            (_HEADS + "query/bias", _HEADS + "key/bias", _HEADS + "value/bias"),
            HeadsBias(),
        ),
        Rule("blocks.{i}.attention.out.weight", _HEADS + "out/kernel", HeadsOutKernel()),
        Rule("blocks.{i}.attention.out.bias", _HEADS + "out/bias"),
        Rule("blocks.{i}.norm2.weight", _BLOCK + "LayerNorm_2/scale"),
        Rule("blocks.{i}.norm2.bias", _BLOCK + "LayerNorm_2/bias"),
        Rule("blocks.{i}.mlp.up.weight", _BLOCK + "MlpBlock_3/Dense_0/kernel", Transpose()),
        Rule("blocks.{i}.mlp.up.bias", _BLOCK + "MlpBlock_3/Dense_0/bias"),
        Rule("blocks.{i}.mlp.down.weight", _BLOCK + "MlpBlock_3/Dense_1/kernel", Transpose()),
        Rule("blocks.{i}.mlp.down.bias", _BLOCK + "MlpBlock_3/Dense_1/bias"),
        Rule("norm.weight", "Transformer/encoder_norm/scale"),
        Rule("norm.bias", "Transformer/encoder_norm/bias"),
        Rule("pooler.weight", "pre_logits/kernel", Transpose()),
        Rule("pooler.bias", "pre_logits/bias"),
        Rule("head.weight", "head/kernel", Transpose()),
        Rule("head.bias", "head/bias"),
        # The original loader puts a new classifier in the place of the file's, and fails where there is none.
        Ignore("head/kernel", NO_HEAD, unless="head.weight", restore=no_classes),
        Ignore("head/bias", NO_HEAD, unless="head.weight", restore=no_class_biases),
        Ignore("opt/state/step", "the optimiser's step counter"),
    ),
)

DIALECTS = (TIMM, TRANSFORMERS, TRANSFORMERS_5, JAX)
