"""DINOv2, trained on LVD-142M.

Numbers: facebookresearch/dinov2 at b8931f7 (hub/backbones.py, configs), timm 1.0.31 and transformers 5.23.0, compared
key by key on the meta device. The giant's 4096 is 4 * 1536 * 2/3, rounded up to a multiple of 8.
"""

from __future__ import annotations

from functools import partial

from snellen.encoders.config import ViTConfig
from snellen.zoo.variant import Variant

vit = partial(ViTConfig, patch=14, eps=1e-6, grid=37, layer_scale=True, resize="bicubic_antialias")

S = vit(width=384, depth=12, heads=6, hidden=1536)
B = vit(width=768, depth=12, heads=12, hidden=3072)
L = vit(width=1024, depth=24, heads=16, hidden=4096)
G = vit(width=1536, depth=40, heads=24, hidden=4096, mlp="swiglu")
S_REG = vit(width=384, depth=12, heads=6, hidden=1536, registers=4)
B_REG = vit(width=768, depth=12, heads=12, hidden=3072, registers=4)
L_REG = vit(width=1024, depth=24, heads=16, hidden=4096, registers=4)
G_REG = vit(width=1536, depth=40, heads=24, hidden=4096, mlp="swiglu", registers=4)

row = partial(Variant, family="dinov2", image=518, stats="imagenet", licence="Apache-2.0")


def counts(timm: int, other: int) -> tuple[tuple[str, int], ...]:
    """Name the published counts: timm leaves the mask token out, the other two keep it."""
    return ("timm", timm), ("transformers", other), ("meta", other)


ROWS = (
    row(
        config=S,
        timm=("vit_small_patch14_dinov2.lvd142m",),
        transformers="facebook/dinov2-small",
        original=("dinov2_vits14", "dinov2_vits14_pretrain"),
        parameters=counts(22_056_192, 22_056_576),
    ),
    row(
        config=B,
        timm=("vit_base_patch14_dinov2.lvd142m",),
        transformers="facebook/dinov2-base",
        original=("dinov2_vitb14", "dinov2_vitb14_pretrain"),
        parameters=counts(86_579_712, 86_580_480),
    ),
    row(
        config=L,
        timm=("vit_large_patch14_dinov2.lvd142m",),
        transformers="facebook/dinov2-large",
        original=("dinov2_vitl14", "dinov2_vitl14_pretrain"),
        parameters=counts(304_367_616, 304_368_640),
    ),
    row(
        config=G,
        timm=("vit_giant_patch14_dinov2.lvd142m",),
        transformers="facebook/dinov2-giant",
        original=("dinov2_vitg14", "dinov2_vitg14_pretrain"),
        parameters=counts(1_136_479_232, 1_136_480_768),
    ),
    row(
        config=S_REG,
        timm=("vit_small_patch14_reg4_dinov2.lvd142m",),
        transformers="facebook/dinov2-with-registers-small",
        original=("dinov2_vits14_reg", "dinov2_vits14_reg4_pretrain"),
        parameters=counts(22_057_344, 22_058_112),
    ),
    row(
        config=B_REG,
        timm=("vit_base_patch14_reg4_dinov2.lvd142m",),
        transformers="facebook/dinov2-with-registers-base",
        original=("dinov2_vitb14_reg", "dinov2_vitb14_reg4_pretrain"),
        parameters=counts(86_582_016, 86_583_552),
    ),
    row(
        config=L_REG,
        timm=("vit_large_patch14_reg4_dinov2.lvd142m",),
        transformers="facebook/dinov2-with-registers-large",
        original=("dinov2_vitl14_reg", "dinov2_vitl14_reg4_pretrain"),
        parameters=counts(304_370_688, 304_372_736),
    ),
    row(
        config=G_REG,
        timm=("vit_giant_patch14_reg4_dinov2.lvd142m",),
        transformers="facebook/dinov2-with-registers-giant",
        original=("dinov2_vitg14_reg", "dinov2_vitg14_reg4_pretrain"),
        parameters=counts(1_136_483_840, 1_136_486_912),
    ),
)
