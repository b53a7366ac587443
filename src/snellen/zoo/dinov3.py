"""DINOv3, ViT and ConvNeXt, trained on LVD-1689M or (satellite images) SAT-493M.

Numbers: facebookresearch/dinov3 at 6876159 (hub/backbones.py), timm 1.0.31 and transformers 5.23.0, compared key by key
on the meta device. The SwiGLU widths are the original's ratios worked out: int(width * 6 * 2/3) for S+ and H+,
int(width * 3 * 2/3) for 7B, rounded up to a multiple of 8 and 64.

The q and v biases of the released weights are zero. timm's plain names therefore have none; its ``_qkvb`` names, the
original and transformers keep them. The 7B never had any.
"""

from __future__ import annotations

from functools import partial

from snellen.encoders.config import ConvNeXtConfig, ViTConfig
from snellen.zoo.variant import Variant

vit = partial(
    ViTConfig, patch=16, eps=1e-5, position="rope", registers=4, layer_scale=True, qkv_bias="no_key", pool="patch_mean"
)

S = vit(width=384, depth=12, heads=6, hidden=1536)
S_PLUS = vit(width=384, depth=12, heads=6, hidden=1536, mlp="swiglu")
B = vit(width=768, depth=12, heads=12, hidden=3072)
L = vit(width=1024, depth=24, heads=16, hidden=4096)
H_PLUS = vit(width=1280, depth=32, heads=20, hidden=5120, mlp="swiglu")
SEVEN_B = vit(width=4096, depth=40, heads=32, hidden=8192, mlp="swiglu", qkv_bias="none")

T = ConvNeXtConfig(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768))
CONV_S = ConvNeXtConfig(depths=(3, 3, 27, 3), widths=(96, 192, 384, 768))
CONV_B = ConvNeXtConfig(depths=(3, 3, 27, 3), widths=(128, 256, 512, 1024))
CONV_L = ConvNeXtConfig(depths=(3, 3, 27, 3), widths=(192, 384, 768, 1536))

shared = partial(Variant, licence="DINOv3 License", gated=True)
row = partial(shared, family="dinov3_vit", image=256, stats="imagenet", timm_dialects=("timm", "timm (qkvb)"))
satellite = partial(row, stats="sat")
conv = partial(shared, family="dinov3_convnext", image=224, stats="imagenet")


def counts(timm: int, qkvb: int, transformers: int, meta: int) -> tuple[tuple[str, int], ...]:
    """Name the published counts of a row that timm has with and without q, v biases."""
    return ("timm", timm), ("timm (qkvb)", qkvb), ("transformers", transformers), ("meta", meta)


ROWS = (
    row(
        config=S,
        timm=("vit_small_patch16_dinov3.lvd1689m", "vit_small_patch16_dinov3_qkvb.lvd1689m"),
        transformers="facebook/dinov3-vits16-pretrain-lvd1689m",
        original=("dinov3_vits16", "dinov3_vits16_pretrain_lvd1689m-08c60483"),
        parameters=counts(21_586_944, 21_596_160, 21_596_544, 21_601_152),
    ),
    row(
        config=S_PLUS,
        timm=("vit_small_plus_patch16_dinov3.lvd1689m", "vit_small_plus_patch16_dinov3_qkvb.lvd1689m"),
        transformers="facebook/dinov3-vits16plus-pretrain-lvd1689m",
        original=("dinov3_vits16plus", "dinov3_vits16plus_pretrain_lvd1689m-4057cbaa"),
        parameters=counts(28_683_264, 28_692_480, 28_692_864, 28_697_472),
    ),
    row(
        config=B,
        timm=("vit_base_patch16_dinov3.lvd1689m", "vit_base_patch16_dinov3_qkvb.lvd1689m"),
        transformers="facebook/dinov3-vitb16-pretrain-lvd1689m",
        original=("dinov3_vitb16", "dinov3_vitb16_pretrain_lvd1689m-73cec8be"),
        parameters=counts(85_641_216, 85_659_648, 85_660_416, 85_669_632),
    ),
    row(
        config=L,
        timm=("vit_large_patch16_dinov3.lvd1689m", "vit_large_patch16_dinov3_qkvb.lvd1689m"),
        transformers="facebook/dinov3-vitl16-pretrain-lvd1689m",
        original=("dinov3_vitl16", "dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd"),
        parameters=counts(303_079_424, 303_128_576, 303_129_600, 303_154_176),
    ),
    satellite(
        config=L,
        timm=("vit_large_patch16_dinov3.sat493m", "vit_large_patch16_dinov3_qkvb.sat493m"),
        transformers="facebook/dinov3-vitl16-pretrain-sat493m",
        original=("dinov3_vitl16_pretrain_sat493m-eadcf0ff",),
        extras=("local_cls_norm",),
        parameters=counts(303_079_424, 303_128_576, 303_129_600, 303_156_224),
    ),
    row(
        config=H_PLUS,
        timm=("vit_huge_plus_patch16_dinov3.lvd1689m", "vit_huge_plus_patch16_dinov3_qkvb.lvd1689m"),
        transformers="facebook/dinov3-vith16plus-pretrain-lvd1689m",
        original=("dinov3_vith16plus", "dinov3_vith16plus_pretrain_lvd1689m-7c1da9a5"),
        parameters=counts(840_509_440, 840_591_360, 840_592_640, 840_633_600),
    ),
    row(
        config=SEVEN_B,
        timm=("vit_7b_patch16_dinov3.lvd1689m",),
        transformers="facebook/dinov3-vit7b16-pretrain-lvd1689m",
        original=("dinov3_vit7b16", "dinov3_vit7b16_pretrain_lvd1689m-a955f4ea"),
        extras=("local_cls_norm",),
        parameters=(("timm", 6_716_030_976), ("transformers", 6_716_035_072), ("meta", 6_716_043_264)),
    ),
    satellite(
        config=SEVEN_B,
        timm=("vit_7b_patch16_dinov3.sat493m",),
        transformers="facebook/dinov3-vit7b16-pretrain-sat493m",
        original=("dinov3_vit7b16_pretrain_sat493m-a6675841",),
        extras=("local_cls_norm",),
        parameters=(("timm", 6_716_030_976), ("transformers", 6_716_035_072), ("meta", 6_716_043_264)),
    ),
    conv(
        config=T,
        timm=("convnext_tiny.dinov3_lvd1689m",),
        transformers="facebook/dinov3-convnext-tiny-pretrain-lvd1689m",
        original=("dinov3_convnext_tiny", "dinov3_convnext_tiny_pretrain_lvd1689m-21b726bb"),
        parameters=(("timm", 27_820_128), ("transformers", 27_820_128), ("meta", 27_820_128)),
    ),
    conv(
        config=CONV_S,
        timm=("convnext_small.dinov3_lvd1689m",),
        transformers="facebook/dinov3-convnext-small-pretrain-lvd1689m",
        original=("dinov3_convnext_small", "dinov3_convnext_small_pretrain_lvd1689m-296db49d"),
        parameters=(("timm", 49_454_688), ("transformers", 49_454_688), ("meta", 49_454_688)),
    ),
    conv(
        config=CONV_B,
        timm=("convnext_base.dinov3_lvd1689m",),
        transformers="facebook/dinov3-convnext-base-pretrain-lvd1689m",
        original=("dinov3_convnext_base", "dinov3_convnext_base_pretrain_lvd1689m-801f2ba9"),
        parameters=(("timm", 87_566_464), ("transformers", 87_566_464), ("meta", 87_566_464)),
    ),
    conv(
        config=CONV_L,
        timm=("convnext_large.dinov3_lvd1689m",),
        transformers="facebook/dinov3-convnext-large-pretrain-lvd1689m",
        original=("dinov3_convnext_large", "dinov3_convnext_large_pretrain_lvd1689m-61fa432d"),
        parameters=(("timm", 196_230_336), ("transformers", 196_230_336), ("meta", 196_230_336)),
    ),
)
