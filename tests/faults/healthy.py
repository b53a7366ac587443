"""The runs in which nothing is wrong: other ways to compute the same, declared as what they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from faults import rewrites as w
from faults.edits import Edit
from faults.fault import Fits, Healthy, convnext, has, scaled, vit
from faults.subjects import Subject, resized, subjects

GELU = has(mlp="gelu")
LAYER = has(norm="layer")
LEARNED_BIAS = has(position="learned", qkv_bias="all")


def any_family(subject: Subject) -> bool:
    return True


REWRITES: tuple[tuple[str, Edit, Fits], ...] = (
    ("LayerScale folded into the weights", w.scale_folded, scaled),
    ("norms folded into the weights", w.norm_folded, LAYER),
    ("value bias behind the attention", w.value_bias_folded, has(qkv_bias=("all", "no_key"))),
    ("key bias dropped, which cancels", w.key_bias_dropped, LEARNED_BIAS),
    ("query weights scaled", w.query_weights_scaled, vit),
    ("attention written out", w.attention_explicit, vit),
    ("queries and keys scaled by the fourth root", w.queries_scaled, vit),
    ("attention in pieces of eight keys", w.attention_online, vit),
    ("heads in another order", w.heads_permuted, vit),
    ("hidden units in another order", w.hidden_permuted, any_family),
    ("products added in pieces of 32", w.matmuls_chunked, any_family),
    ("products added from the last", w.matmuls_reversed, any_family),
    ("convolutions as products", w.convolutions_as_matmuls, any_family),
    ("channels last", w.and_chunked(w.channels_last), any_family),
    ("GELU by the error function", w.gelu_written_out, GELU),
    ("SiLU by the exponential", w.silu_written_out, has(mlp="swiglu")),
    ("LayerNorm by hand", w.norms_by_hand, lambda s: convnext(s) or LAYER(s)),
    ("RMSNorm by hand", w.root_mean_by_hand, has(norm="rms")),
    ("rotation by complex numbers", w.and_chunked(w.rotation_complex), has(position="rope")),
    ("queries, keys, values apart", w.qkv_apart, vit),
    ("items one by one", w.and_chunked(w.items_one_by_one), any_family),
)

SIZES = {"dinov2 reg4": (70, 98), "dinov3 S": (64, 64), "convnext": (64, 64), "dinov3 B": (112, 64)}
BOTH = ("timm", "transformers")
GUESTS = dict.fromkeys(("dinov2 reg4", "dinov3 S", "dinov3 B", "aimv2", "convnext"), BOTH)
GUESTS["vit in21k"] = ("transformers",)  # timm runs it with another eps
LOWER = ("hf32", "float16", "bfloat16")


def healthy(chosen: tuple[Subject, ...] | None = None) -> Iterator[Healthy]:
    """Yield every healthy run on the subjects named (all shrunken ones)."""
    every = chosen or subjects()
    for subject in every:
        yield from _rewritten(subject)
        yield from _varied(subject)
        yield from _lower(subject)
    for subject in every:
        for runtime in GUESTS[subject.label]:
            yield Healthy(name=f"the model of {runtime}", subject=subject, runtime=runtime)


def _rewritten(subject: Subject) -> Iterator[Healthy]:
    for number, (name, edit, fits) in enumerate(REWRITES):
        if fits(subject):
            yield Healthy(name=name, subject=subject, edit=edit, seed=number % 3)


def _varied(subject: Subject) -> Iterator[Healthy]:
    """Other seeds, images, sizes, batches and threads; products are added in another order, to be another run."""
    run = Healthy(name="", subject=subject, edit=w.matmuls_reversed)
    yield replace(run, name="weights of seed 11", seed=11)
    yield replace(run, name="weights of seed 12, products in pieces", seed=12, edit=w.matmuls_chunked)
    yield replace(run, name="other photographs", first=3)
    yield replace(run, name="random pixels", photographs=0)
    yield replace(run, name="one input", photographs=1)
    yield replace(run, name="nine inputs, a batch and one more", photographs=9)
    yield replace(run, name="two threads", threads=2)
    if subject.label in SIZES:
        yield replace(run, name="inputs of another size", subject=resized(subject, SIZES[subject.label]))


def _lower(subject: Subject) -> Iterator[Healthy]:
    """Lower precision, asked for or expected."""
    run = Healthy(name="", subject=subject)
    yield replace(run, name="bfloat16 asked for, written out", dtype="bfloat16", edit=_written_out(subject))
    yield replace(run, name="bfloat16 asked for, products in pieces", dtype="bfloat16", edit=w.matmuls_chunked)
    yield replace(run, name="simulated NPU, strict", arithmetic="strict")
    yield replace(run, name="simulated NPU, bfloat16 asked for", arithmetic="strict", dtype="bfloat16")
    yield replace(run, name="simulated NPU, float16 asked for", arithmetic="strict", dtype="float16")
    yield replace(run, name="hf32 in convolutions, hf32 expected", arithmetic="hf32 convolution", expect="hf32")
    for precision in LOWER:
        yield replace(run, name=f"{precision} arithmetic, expected", arithmetic=precision, expect=precision)


def _written_out(subject: Subject) -> Edit:
    return w.attention_explicit if vit(subject) else w.norms_by_hand
