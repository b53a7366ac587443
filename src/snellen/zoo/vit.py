"""Google's ViT: the first release (orig) and the AugReg one, on ImageNet-21k and fine-tuned on ImageNet-1k.

Numbers: google-research/vision_transformer at c6de1e5, timm 1.0.31 and transformers 5.23.0, compared key by key on the
meta device. The in21k classifier of the first release is not valid (timm and transformers drop it); AugReg's is.
augreg2 was fine-tuned by timm's author from AugReg's in21k weights: it has no original file.
"""

from __future__ import annotations

from functools import partial

from snellen.encoders.config import ViTConfig
from snellen.zoo.variant import Variant

vit = partial(ViTConfig, eps=1e-6, resize="bicubic_antialias")

S = vit(patch=16, width=384, depth=12, heads=6, hidden=1536, grid=14)
B = vit(patch=16, width=768, depth=12, heads=12, hidden=3072, grid=14)
L = vit(patch=16, width=1024, depth=24, heads=16, hidden=4096, grid=14)
H = vit(patch=14, width=1280, depth=32, heads=16, hidden=5120, grid=16)

row = partial(Variant, family="vit", image=224, stats="half", licence="Apache-2.0", transformers=None)

ROWS = (
    row(
        config=S,
        timm=("vit_small_patch16_224.augreg_in21k",),
        original=("augreg/S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0",),
        head="imagenet21k",
        parameters=(("timm", 30_075_219), ("jax", 30_075_219)),
    ),
    row(
        config=S,
        timm=("vit_small_patch16_224.augreg_in21k_ft_in1k",),
        original=(
            "augreg/S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_224",
        ),
        head="imagenet1k",
        parameters=(("timm", 22_050_664), ("jax", 22_050_664)),
    ),
    row(
        config=S,
        timm=("vit_small_patch16_224.augreg_in1k",),
        original=(
            "augreg/S_16-i1k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_224",
        ),
        head="imagenet1k",
        parameters=(("timm", 22_050_664), ("jax", 22_050_664)),
    ),
    row(
        config=B,
        timm=("vit_base_patch16_224.orig_in21k",),
        transformers="google/vit-base-patch16-224-in21k",
        original=("imagenet21k/ViT-B_16",),
        parameters=(("timm", 85_798_656), ("transformers", 86_389_248), ("jax", 86_389_248)),
    ),
    row(
        config=B,
        timm=("vit_base_patch16_224.orig_in21k_ft_in1k",),
        transformers="google/vit-base-patch16-224",
        original=("imagenet21k+imagenet2012/ViT-B_16-224",),
        head="imagenet1k",
        parameters=(("timm", 86_567_656), ("transformers", 86_567_656), ("jax", 86_567_656)),
    ),
    row(
        config=B,
        timm=("vit_base_patch16_224.augreg2_in21k_ft_in1k",),
        original=(),
        head="imagenet1k",
        parameters=(("timm", 86_567_656),),
    ),
    row(
        config=B,
        timm=("vit_base_patch16_224.augreg_in21k",),
        original=("augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0",),
        head="imagenet21k",
        parameters=(("timm", 102_595_923), ("jax", 102_595_923)),
    ),
    row(
        config=B,
        timm=("vit_base_patch16_224.augreg_in21k_ft_in1k",),
        original=(
            "augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_224",
        ),
        head="imagenet1k",
        parameters=(("timm", 86_567_656), ("jax", 86_567_656)),
    ),
    row(
        config=B,
        timm=("vit_base_patch16_224.augreg_in1k",),
        original=(
            "augreg/B_16-i1k-300ep-lr_0.001-aug_strong2-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_224",
        ),
        head="imagenet1k",
        parameters=(("timm", 86_567_656), ("jax", 86_567_656)),
    ),
    row(
        config=L,
        timm=("vit_large_patch16_224.orig_in21k",),
        transformers="google/vit-large-patch16-224-in21k",
        original=("imagenet21k/ViT-L_16",),
        parameters=(("timm", 303_301_632), ("transformers", 304_351_232), ("jax", 304_351_232)),
    ),
    row(
        config=L,
        timm=(),  # timm has this network with AugReg's weights only
        transformers="google/vit-large-patch16-224",
        original=("imagenet21k+imagenet2012/ViT-L_16-224",),
        head="imagenet1k",
        parameters=(("transformers", 304_326_632), ("jax", 304_326_632)),
    ),
    row(
        config=L,
        timm=("vit_large_patch16_224.augreg_in21k",),
        original=("augreg/L_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1",),
        head="imagenet21k",
        parameters=(("timm", 325_690_707), ("jax", 325_690_707)),
    ),
    row(
        config=L,
        timm=("vit_large_patch16_224.augreg_in21k_ft_in1k",),
        original=(
            "augreg/L_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_224",
        ),
        head="imagenet1k",
        parameters=(("timm", 304_326_632), ("jax", 304_326_632)),
    ),
    row(
        config=H,
        timm=("vit_huge_patch14_224.orig_in21k",),
        transformers="google/vit-huge-patch14-224-in21k",
        original=("imagenet21k/ViT-H_14",),
        parameters=(("timm", 630_764_800), ("transformers", 632_404_480), ("jax", 632_404_480)),
    ),
)
