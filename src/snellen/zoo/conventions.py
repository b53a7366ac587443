"""Where the libraries differ on the same weights: what a name means beyond the network itself.

Each entry states a behaviour read in the library's source (timm 1.0.31, transformers 5.23.0, and the original
repositories at the commits the rows cite) and held to it by the parity tests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from snellen.encoders.config import EncoderConfig, Pool, Resize, ViTConfig
from snellen.recipes import builtin
from snellen.zoo.variant import Family, Library, Variant

# How a learned position table is brought to another size, by (family, has registers) and library.
RESIZE: dict[tuple[Family, bool], dict[Library, Resize]] = {
    ("dinov2", False): {"timm": "bicubic_antialias", "transformers": "bicubic", "original": "bicubic_offset"},
    ("dinov2", True): {
        "timm": "bicubic_antialias",
        "transformers": "bicubic_antialias",
        "original": "bicubic_antialias",
    },
    ("vit", False): {"timm": "bicubic_antialias", "transformers": "bicubic", "original": "linear_corners"},
}

# How one vector is made of the tokens.
POOL: dict[Family, dict[Library, Pool]] = {
    "dinov2": {"timm": "cls", "transformers": "cls", "original": "cls"},
    "dinov3_vit": {"timm": "patch_mean", "transformers": "cls", "original": "cls"},
    "dinov3_convnext": {"timm": "cls", "transformers": "cls", "original": "cls"},
    "vit": {"timm": "cls", "transformers": "cls", "original": "cls"},
    "aimv2": {"timm": "patch_mean", "transformers": "patch_mean", "original": "patch_mean"},
}

# What the record says where a library gives no pooled output, and timm's pooling stands in for it.
UNPOOLED: dict[tuple[Family, Library], str] = {
    ("aimv2", "transformers"): "; it has no pooler_output for it, so the mean over the patches is taken, as timm does",
    ("aimv2", "original"): "; it does not pool, so the mean over the patches is taken, as timm does",
}

# Further settings in which a library differs from the row.
CHANGES: dict[tuple[Family, Library], dict[str, Any]] = {
    ("vit", "transformers"): {"eps": 1e-12},  # its config.json says so; everybody else has 1e-6
    ("vit", "original"): {"mlp": "gelu_tanh"},  # Flax's gelu is the approximation unless told otherwise
    ("dinov3_vit", "original"): {"rope_rounding": True},  # the files store the periods in bfloat16
}

# The side of the input, where a library does not use that of the row (which is timm's).
SIDE: dict[Family, dict[Library, int]] = {
    "dinov2": {"transformers": 224, "original": 224},
    "dinov3_vit": {"transformers": 224, "original": 256},
    "dinov3_convnext": {"original": 256},
}

# The colour means, where a library does not use the row's.
STATS: dict[Family, dict[Library, str]] = {"aimv2": {"original": "imagenet"}}

# The dialect of the first release.
ORIGINAL: dict[Family, str] = {
    "dinov2": "meta",
    "dinov3_vit": "meta",
    "dinov3_convnext": "meta",
    "vit": "jax",
    "aimv2": "apple",
}


def config_for(variant: Variant, library: Library) -> EncoderConfig:
    """Return the row's configuration as ``library`` runs it."""
    config = variant.config
    if not isinstance(config, ViTConfig):
        return config
    changes = CHANGES.get((variant.family, library), {})
    resizes = RESIZE.get((variant.family, config.registers > 0))
    resize = resizes[library] if resizes else config.resize
    return replace(config, pool=pool_for(variant, library), resize=resize, **changes)


def pool_for(variant: Variant, library: Library) -> Pool:
    """Return how ``library`` makes one vector of this row's tokens.

    The first release's in21k ViT has a tanh layer in place of a classifier: transformers' ``pooler_output`` and the
    original go through it, timm drops it.
    """
    if variant.family == "vit" and variant.head == "none" and library != "timm":
        return "tanh_cls"
    return POOL[variant.family][library]


def recipe_for(variant: Variant, library: Library) -> str:
    """Return the text of the preprocessing and pooling that ``library`` uses for this row."""
    return builtin(
        library,
        variant.family,
        size=SIDE.get(variant.family, {}).get(library, variant.image),
        stats=STATS.get(variant.family, {}).get(library, variant.stats),
        pool=pool_for(variant, library),
    )
