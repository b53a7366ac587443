"""Every fault of the corpus.

The kinds stand in order: what is wrong in a block, elsewhere in the encoder, with the pixels, with the outputs, from
call to call, with the place it computes, with the precision; then the faults of runs asked for in bfloat16, and those
that are meant to lie below the noise.
"""

from __future__ import annotations

from dataclasses import replace

from faults import computing as c
from faults import edits as e
from faults import pixels as p
from faults import runners as r
from faults.fault import Fault, convnext, has, registers, resized, scaled, vit
from faults.simulated import AUTOCAST, CONVOLUTION, MATMUL, MODE

GELU = has(mlp="gelu")
SWIGLU = has(mlp="swiglu")
LAYER = has(norm="layer")
ROPE = has(position="rope")
LEARNED = has(position="learned")
BIASED = has(bias=True)
CLASS = has(class_token=True)


def _block(name, edit, fits=vit, culprit="middle", **more):
    return Fault(name=name, kind="block", edit=edit, culprit=culprit, fits=fits, **more)


def _elsewhere(name, edit, fits, culprit, **more):
    return Fault(name=name, kind="elsewhere", edit=edit, fits=fits, culprit=culprit, **more)


def any_family(subject) -> bool:
    return True


BLOCK = (
    _block("tanh GELU in one block", e.tanh_gelu_once, GELU),
    _block("tanh GELU in one block of a ConvNeXt", c.tanh_gelu_convnext, convnext),
    _block("tanh GELU in all blocks", e.tanh_gelu, GELU, "first block"),
    _block("sigmoid GELU in one block", c.quick_gelu, lambda s: GELU(s) or convnext(s)),
    _block("GELU for SiLU in one block", c.gelu_for_silu, SWIGLU),
    _block("gate and value swapped", e.gate_and_value_swapped, SWIGLU),
    _block("eps of another family in one block", e.eps_once, has(eps=(1e-6, 1e-5))),
    _block("softmax scale by the whole width", c.scale_of_width, vit, "first block"),
    _block("softmax scale 5 % off in one block", c.scale_five_percent),
    _block("causal mask in one block", c.causal),
    _block("last token hidden in one block", c.last_token_hidden),
    _block("padding seen by the attention", c.padded_token_seen, vit, "first block"),
    _block("interleaved rotation", c.rotation_interleaved, ROPE, "first block"),
    _block("rotation reversed in one block", c.rotation_reversed, ROPE),
    _block("keys not rotated in one block", c.keys_not_turned, ROPE),
    _block("registers rotated", c.registers_turned, ROPE, "first block"),
    _block("rotary axes swapped", c.axes_swapped, ROPE, "first block"),
    _block("rotary periods rounded to bfloat16", e.rope_rounded, ROPE, "first block"),
    _block("a head zeroed", e.head_zeroed),
    _block("two heads swapped", e.heads_swapped),
    _block("one weight of the MLP times 1.5", e.weight_scaled, any_family),
    _block("one weight of the attention times 1.5", e.attention_weight_scaled),
    _block("one weight of the last block times 1.5", e.last_weight_scaled, any_family, "last block"),
    _block("one channel of one weight times 1.1", e.channel_scaled, any_family),
    _block("a row negated", e.row_negated, any_family),
    _block("LayerScale skipped in one block", e.layer_scale_skipped, scaled),
    _block("qkv bias dropped in one block", e.qkv_bias_dropped_once, has(qkv_bias=("all", "no_key"))),
    _block("qkv bias dropped in all blocks", e.qkv_bias_dropped, has(qkv_bias=("all", "no_key")), "first block"),
    _block("key bias where there is none", e.key_bias_added, has(qkv_bias="no_key", position="rope")),
    _block("queries and keys swapped", e.queries_and_keys_swapped),
    _block("MLP bias dropped in one block", e.mlp_bias_dropped, lambda s: convnext(s) or BIASED(s)),
    _block("norm bias dropped in one block", e.norm_bias_dropped, lambda s: convnext(s) or LAYER(s)),
    _block("norm weight applied twice in one block", e.norm_weight_squared, any_family),
    _block("a block's two norms swapped", e.norms_swapped),
    _block("variance divided by D - 1", c.unbiased_variance, LAYER),
    _block("weights of another seed in one layer", e.other_seed, any_family),
    _block("attention output transposed", e.weights_transposed),
    _block("two blocks swapped", e.blocks_swapped),
    _block("last block skipped", c.last_block_skipped, any_family, "last block"),
    _block("residual dropped in one block", c.residual_dropped),
    _block("one block in bfloat16", c.block_bfloat16, any_family),
    _block("one linear map in bfloat16", c.mlp_bfloat16, any_family),
    _block("attention of one block in float16", c.attention_float16),
    _block("accumulation in float16 in one block", c.accumulation_float16, any_family),
    _block("one layer rounded to float16", e.layer_once_float16, any_family),
    _block("one layer rounded to 8 bits", e.layer_once_int8, any_family),
    _block("depth-wise convolution padded otherwise", c.depthwise_padding, convnext),
    _block("depth-wise convolution shifted", c.map_shifted, convnext),
)

ELSEWHERE = (
    _elsewhere(
        "eps of another family everywhere", e.eps_everywhere, has(eps=(1e-6, 1e-5), patch_norm=False), "first block"
    ),
    _elsewhere(
        "eps of another family everywhere, norm at the patches", e.eps_everywhere, has(patch_norm=True), "patches"
    ),
    _elsewhere("eps of another family everywhere in a ConvNeXt", e.eps_everywhere, convnext, "first stage"),
    _elsewhere("position table off by one", e.positions_shifted, LEARNED, "tokens"),
    _elsewhere("position table transposed", e.positions_transposed, LEARNED, "tokens"),
    _elsewhere("position table resized without antialiasing", e.positions_resized_otherwise, resized, "tokens"),
    _elsewhere(
        "class token without its position",
        e.class_without_position,
        has(position="learned", class_token=True),
        "tokens",
    ),
    _elsewhere("registers in another order", e.registers_permuted, registers, "tokens"),
    _elsewhere("a register for the class token", e.register_for_class, registers, "tokens"),
    _elsewhere("red and blue swapped", e.colours_swapped, any_family, "first stage"),
    _elsewhere("a channel of the patch convolution zeroed", e.convolution_channel_zeroed, any_family, "first stage"),
    _elsewhere("bias of the patch convolution dropped", e.patch_bias_dropped, any_family, "first stage"),
    _elsewhere("patches laid out by column", c.patches_by_column, vit, "patches"),
    _elsewhere("norm at the patches skipped", c.patch_norm_skipped, has(patch_norm=True), "patches"),
    _elsewhere("weights once rounded to bfloat16", e.once_bfloat16, any_family, "first stage"),
    _elsewhere("final norm skipped", c.final_norm_skipped, any_family, "norm"),
    _elsewhere("final norm in bfloat16", c.norm_bfloat16, any_family, "norm"),
    _elsewhere(
        "mean over all tokens, the prefix too", c.pool_all_tokens, has(pool="patch_mean", class_token=True), "pooled"
    ),
    _elsewhere("mean over the patches for the class token", c.pool_patches, has(pool=("cls", "tanh_cls")), "pooled"),
    _elsewhere(
        "class token for what the recipe pools",
        c.pool_class,
        has(pool=("patch_mean", "tanh_cls"), class_token=True),
        "pooled",
    ),
    _elsewhere("mean of the normed map", c.pool_map, convnext, "pooled"),
)

PIXELS = (
    Fault(name="pixels normalised twice", kind="pixels", recipe=p.normalised_twice, culprit="first stage"),
    Fault(name="pixels divided by 256", kind="pixels", recipe=p.range_off, culprit="first stage"),
    Fault(name="pixels rounded to bfloat16", kind="pixels", recipe=lambda *_: p.pixels_rounded, culprit="first stage"),
    Fault(name="picture moved by a pixel", kind="pixels", recipe=lambda *_: p.pixels_shifted, culprit="first stage"),
    Fault(name="picture mirrored", kind="pixels", recipe=lambda *_: p.pixels_mirrored, culprit="first stage"),
)


def _wrapped(kind, name, wrap, fits=any_family):
    return Fault(name=name, kind=kind, wrap=wrap, fits=fits)


OUTPUTS = tuple(
    _wrapped("outputs", *row)
    for row in (
        ("outputs times 1.001", r.scaled(1.001)),
        ("outputs times 1.00001", r.scaled(1.00001)),
        ("outputs shifted by 0.0001", r.offset(1e-4)),
        ("outputs cut off at twice their scale", r.clipped),
        ("outputs rounded to 16 bits", r.rounded(16)),
        ("one patch token wrong", r.one_patch_wrong),
        ("two patch tokens swapped", r.two_patches_swapped),
        ("patch tokens by column", r.patches_transposed),
        ("NaN in one element", r.nan_always),
        ("infinity in one element", r.infinite),
    )
)

BEHAVIOUR = tuple(
    _wrapped("behaviour", *row)
    for row in (
        ("third item of a batch wrong", r.third_item_wrong),
        ("batch in reverse order", r.batch_reversed),
        ("items see the mean of their batch", r.batch_leaks),
        ("an item alone computed otherwise", r.single_wrong),
        ("stale output: the batch before", r.stale),
        ("stale output: the first one for ever", r.first_kept),
        ("output buffer used again", r.buffer_reused),
        ("NaN in the second call only", r.nan_once),
        ("NaN in the seventh call only", r.nan_while_watched),
        ("noise of 1e-4 in every run", r.noisy(1e-4)),
        ("noise of 1e-6 in every run", r.noisy(1e-6)),
        ("every third call off by a thousandth", r.once_noisy),
    )
)

PLACEMENT = (
    Fault(name="the CPU compared with itself", kind="placement"),
    Fault(name="computed on the CPU in silence", kind="placement", arithmetic="strict", wrap=r.computed_on_cpu),
    Fault(name="a parameter left on the CPU", kind="placement", arithmetic="strict", wrap=r.LeftBehind),
    Fault(name="outputs left on the CPU", kind="placement", arithmetic="strict", wrap=r.to_cpu),
    Fault(name="an operator falls back to the CPU", kind="placement", arithmetic="missing operator"),
)


def _arithmetic(name, setup, precision, cause=None, culprit="first stage"):
    more = {"arithmetic": setup, "precision": precision, "cause": cause, "culprit": culprit}
    return Fault(name=name, kind="precision", **more)


PRECISION = (
    _arithmetic("hf32 in convolutions", "hf32 convolution", "hf32", CONVOLUTION),
    _arithmetic("hf32 in matrix products", "hf32 matmul", "hf32", MATMUL, "first block"),
    _arithmetic("hf32 in both", "hf32 switches", "hf32", f"{CONVOLUTION} and {MATMUL}"),
    _arithmetic("float16 by the precision mode", "float16 mode", "float16", MODE),
    _arithmetic("float16 by autocast", "float16 autocast", "float16", AUTOCAST),
    _arithmetic("bfloat16 by autocast", "bfloat16 autocast", "bfloat16", AUTOCAST),
    _arithmetic("hf32 on a device that heeds no switch", "hf32", "hf32"),
    _arithmetic("float16 on a device that heeds no switch", "float16", "float16"),
    _arithmetic("bfloat16 on a device that heeds no switch", "bfloat16", "bfloat16"),
)


def _half(fault: Fault, fits=None) -> Fault:
    """Ask for the same in bfloat16."""
    return replace(fault, name=f"{fault.name} (bfloat16)", dtype="bfloat16", fits=fits or fault.fits)


def by_name(name: str) -> Fault:
    """Return a fault by its name."""
    return next(fault for fault in FAULTS if fault.name == name)


IN_BFLOAT16 = (
    "a head zeroed",
    "two blocks swapped",
    "last block skipped",
    "weights of another seed in one layer",
    "softmax scale by the whole width",
    "interleaved rotation",
    "position table off by one",
    "red and blue swapped",
    "gate and value swapped",
    "final norm skipped",
    "third item of a batch wrong",
    "stale output: the batch before",
    "NaN in one element",
    "two patch tokens swapped",
    "tanh GELU in one block",
    "eps of another family in one block",
    "one weight of the MLP times 1.5",
    "rotary periods rounded to bfloat16",
    "outputs times 1.001",
)
"""Asked for in bfloat16 too: the last five are expected to drown in its noise."""

SMALL = (
    *(
        _block(f"one weight of the MLP times {f}", e.weight_times(f), any_family)
        for f in (1.002, 1.001, 1.0005, 1.0001)
    ),
    _elsewhere("eps 1e-6 for 1e-12", e.eps_1e_6, has(eps=1e-12), "first block"),
    *(
        _wrapped("outputs", f"outputs times {f}", r.scaled(f))
        for f in (1.000003, 1.000002, 1.0000015, 1.000001, 1.0000001)
    ),
)
"""Graded, so that some lie just above the noise and some just below."""

IN_FLOAT32 = (*BLOCK, *ELSEWHERE, *PIXELS, *OUTPUTS, *BEHAVIOUR, *PLACEMENT, *PRECISION, *SMALL)
FAULTS = (*IN_FLOAT32, *(_half(fault) for fault in IN_FLOAT32 if fault.name in IN_BFLOAT16))
