"""The shrunken encoders of the parity suite:

every family, MLP, register count and bias mode, two to four blocks deep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from parity.oracles import Oracle, timm_oracle, transformers_oracle
from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Dialect
from snellen.checkpoints.hub_config import write_config
from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig

Size = tuple[int, int]

# How far float64 results may lie apart (relative Frobenius): as far as the library's own float32 arithmetic goes,
# which it keeps whatever the model's dtype. Measured, and rounded up to the next 1 or 5.
EXACT = 1e-12  # everything in float64
ROPE = 1e-7  # angles and their cosines are float32 in timm and transformers
RESIZED = 5e-7  # position tables are resized in float32, but for transformers' ViT
RMS = 5e-7  # transformers' RMSNorm divides in float32


@dataclass(frozen=True)
class Case:
    """One encoder in one library: its configuration there, the oracle, the dialect, the input sizes.

    ``double``: how far float64 results may lie apart at each size.
    """

    name: str
    family: str
    config: EncoderConfig
    oracle: Callable[[], Oracle]
    dialect: Dialect
    sizes: tuple[Size, ...]
    double: dict[Size, float]


def dialect(family: str, name: str) -> Dialect:
    """Return a dialect by family and name."""
    return next(d for d in DIALECTS if (d.family, d.name) == (family, name))


def _case(
    name: str, family: str, config: EncoderConfig, spelling: str, oracle: Callable[[], Oracle], sizes: tuple[Size, ...]
) -> Case:
    double = {size: _limit(family, config, spelling, size) for size in sizes}
    return Case(name, family, config, oracle, dialect(family, spelling), sizes, double)


def _limit(family: str, config: EncoderConfig, spelling: str, size: Size) -> float:
    if isinstance(config, ConvNeXtConfig):
        return EXACT
    if config.position == "rope":
        return ROPE
    library = spelling.partition(" ")[0]
    if config.norm == "rms" and library == "transformers":
        return RMS
    resized = size != (config.grid * config.patch,) * 2
    return RESIZED if resized and (family, library) != ("vit", "transformers") else EXACT


def _timm(
    name: str, family: str, config: EncoderConfig, architecture: str, spelling: str, sizes: tuple[Size, ...]
) -> Case:
    return _case(name, family, config, spelling, partial(timm_oracle, architecture, config, **_shrunk(config)), sizes)


def _transformers(name: str, family: str, config: EncoderConfig, sizes: tuple[Size, ...]) -> Case:
    image = config.grid * config.patch if isinstance(config, ViTConfig) and config.grid else 224
    document = write_config(family, config, image)
    document.pop("architectures")
    build = partial(transformers_oracle, family, document, config)
    return _case(
        name, family, config, "transformers 5 in memory" if family != "aimv2" else "transformers", build, sizes
    )


def _shrunk(config: EncoderConfig) -> dict[str, object]:
    """Return timm's arguments for a shrunken encoder."""
    if isinstance(config, ConvNeXtConfig):
        return {"depths": config.depths, "dims": config.widths, "num_classes": 0}
    changes: dict[str, object] = {
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "num_classes": config.classes,
    }
    if config.position == "learned":
        changes["img_size"] = config.grid * config.patch
        changes["dynamic_img_size"] = config.resize != "none"
    return changes


D2 = ViTConfig(
    patch=14, width=96, depth=3, heads=3, hidden=384, eps=1e-6, grid=4, layer_scale=True, resize="bicubic_antialias"
)
D2_GLU = replace(D2, mlp="swiglu", hidden=256)
D3 = ViTConfig(
    patch=16,
    width=128,
    depth=3,
    heads=2,
    hidden=512,
    eps=1e-5,
    position="rope",
    registers=4,
    layer_scale=True,
    qkv_bias="no_key",
    pool="patch_mean",
)
D3_GLU = replace(D3, mlp="swiglu", hidden=512)
D3_7B = replace(D3, mlp="swiglu", hidden=256, qkv_bias="none", heads=1)
CONV = ConvNeXtConfig(depths=(2, 1, 3, 1), widths=(16, 32, 48, 64))
VIT = ViTConfig(patch=16, width=96, depth=4, heads=3, hidden=384, eps=1e-6, grid=3, resize="bicubic_antialias")
AIM = ViTConfig(
    patch=14,
    width=128,
    depth=2,
    heads=1,
    hidden=352,
    mlp="swiglu",
    norm="rms",
    eps=1e-5,
    grid=3,
    class_token=False,
    patch_norm=True,
    qkv_bias="none",
    bias=False,
    pool="patch_mean",
)

D2_SIZES = ((56, 56), (42, 84))
D3_SIZES = ((64, 64), (48, 80))
CONV_SIZES = ((64, 64), (96, 32))
VIT_SIZES = ((48, 48), (64, 32))


def cases() -> list[Case]:
    """Return every case; an encoder appears once for each library that has it."""
    return [
        _timm("gelu", "dinov2", D2, "vit_small_patch14_dinov2", "timm", D2_SIZES),
        _timm(
            "gelu, 4 registers", "dinov2", replace(D2, registers=4), "vit_small_patch14_reg4_dinov2", "timm", D2_SIZES
        ),
        _timm("swiglu", "dinov2", D2_GLU, "vit_giant_patch14_dinov2", "timm", D2_SIZES),
        _timm(
            "swiglu, 4 registers",
            "dinov2",
            replace(D2_GLU, registers=4),
            "vit_giant_patch14_reg4_dinov2",
            "timm",
            D2_SIZES,
        ),
        _transformers("gelu", "dinov2", replace(D2, resize="bicubic"), D2_SIZES),
        _transformers("gelu, 4 registers", "dinov2", replace(D2, registers=4), D2_SIZES),
        _transformers("swiglu", "dinov2", replace(D2_GLU, resize="bicubic"), D2_SIZES),
        _transformers("swiglu, 4 registers", "dinov2", replace(D2_GLU, registers=4), D2_SIZES),
        _timm("gelu, no q v bias", "dinov3_vit", D3, "vit_small_patch16_dinov3", "timm", D3_SIZES),
        _timm("gelu, q v bias", "dinov3_vit", D3, "vit_small_patch16_dinov3_qkvb", "timm (qkvb)", D3_SIZES),
        _timm("swiglu, q v bias", "dinov3_vit", D3_GLU, "vit_small_plus_patch16_dinov3_qkvb", "timm (qkvb)", D3_SIZES),
        _timm("swiglu, head width 128", "dinov3_vit", D3_7B, "vit_7b_patch16_dinov3", "timm", D3_SIZES),
        _transformers("gelu, q v bias", "dinov3_vit", replace(D3, pool="cls"), D3_SIZES),
        _transformers("swiglu, q v bias", "dinov3_vit", replace(D3_GLU, pool="cls"), D3_SIZES),
        _transformers("swiglu, head width 128", "dinov3_vit", replace(D3_7B, pool="cls"), D3_SIZES),
        _timm("convnext", "dinov3_convnext", CONV, "convnext_tiny.dinov3_lvd1689m", "timm", CONV_SIZES),
        _transformers("convnext", "dinov3_convnext", CONV, CONV_SIZES),
        _timm("no classifier", "vit", VIT, "vit_small_patch16_224", "timm", VIT_SIZES),
        _timm("classifier", "vit", replace(VIT, classes=7), "vit_small_patch16_224", "timm", VIT_SIZES),
        _transformers(
            "tanh pooler", "vit", replace(VIT, eps=1e-12, resize="bicubic", pooler=True, pool="tanh_cls"), VIT_SIZES
        ),
        _transformers("classifier", "vit", replace(VIT, eps=1e-12, resize="bicubic", classes=7), VIT_SIZES),
        _timm("grid 3", "aimv2", AIM, "aimv2_large_patch14_224", "timm", ((42, 42),)),
        _timm("grid 4", "aimv2", replace(AIM, grid=4), "aimv2_large_patch14_224", "timm", ((56, 56),)),
        _transformers("grid 3", "aimv2", AIM, ((42, 42),)),
        _transformers("grid 4", "aimv2", replace(AIM, grid=4), ((56, 56),)),
    ]
