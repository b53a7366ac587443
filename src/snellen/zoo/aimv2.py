"""AIMv2, without its text tower.

Numbers: apple/ml-aim at bd9e068 (aim-v2/aim/v2/torch/models.py), timm 1.0.31 and transformers 5.23.0, compared key by
key on the meta device. The distilled weights have no attention-pooling head: they are plain large encoders.
The licence is that of the hub repositories since 2025 (apple-amlr); timm's metadata still says apple-ascl.
"""

from __future__ import annotations

from functools import partial

from snellen.encoders.config import ViTConfig
from snellen.zoo.variant import Variant

vit = partial(
    ViTConfig,
    patch=14,
    depth=24,
    mlp="swiglu",
    norm="rms",
    eps=1e-5,
    class_token=False,
    patch_norm=True,
    qkv_bias="none",
    bias=False,
    pool="patch_mean",
)

large = partial(vit, width=1024, heads=8, hidden=2816)
huge = partial(vit, width=1536, heads=12, hidden=4096)
one_b = partial(vit, width=2048, heads=16, hidden=5632)
three_b = partial(vit, width=3072, heads=24, hidden=8192)

row = partial(Variant, family="aimv2", stats="clip", licence="Apple Machine Learning Research Model (apple-amlr)")


def counts(count: int) -> tuple[tuple[str, int], ...]:
    """Name the published count: it is the same in all dialects."""
    return ("timm", count), ("transformers", count), ("apple", count)


ROWS = (
    row(
        config=large(grid=16),
        image=224,
        timm=("aimv2_large_patch14_224.apple_pt",),
        transformers="apple/aimv2-large-patch14-224",
        original=("aimv2-large-patch14-224",),
        parameters=counts(309_197_824),
    ),
    row(
        config=large(grid=24),
        image=336,
        timm=("aimv2_large_patch14_336.apple_pt",),
        transformers="apple/aimv2-large-patch14-336",
        original=("aimv2-large-patch14-336",),
        parameters=counts(309_525_504),
    ),
    row(
        config=large(grid=32),
        image=448,
        timm=("aimv2_large_patch14_448.apple_pt",),
        transformers="apple/aimv2-large-patch14-448",
        original=("aimv2-large-patch14-448",),
        parameters=counts(309_984_256),
    ),
    row(
        config=large(grid=16),
        image=224,
        timm=("aimv2_large_patch14_224.apple_pt_dist",),
        transformers="apple/aimv2-large-patch14-224-distilled",
        original=("aimv2-large-patch14-224-distilled",),
        parameters=counts(309_197_824),
    ),
    row(
        config=large(grid=24),
        image=336,
        timm=("aimv2_large_patch14_336.apple_pt_dist",),
        transformers="apple/aimv2-large-patch14-336-distilled",
        original=("aimv2-large-patch14-336-distilled",),
        parameters=counts(309_525_504),
    ),
    row(
        config=huge(grid=16),
        image=224,
        timm=("aimv2_huge_patch14_224.apple_pt",),
        transformers="apple/aimv2-huge-patch14-224",
        original=("aimv2-huge-patch14-224",),
        parameters=counts(680_851_968),
    ),
    row(
        config=huge(grid=24),
        image=336,
        timm=("aimv2_huge_patch14_336.apple_pt",),
        transformers="apple/aimv2-huge-patch14-336",
        original=("aimv2-huge-patch14-336",),
        parameters=counts(681_343_488),
    ),
    row(
        config=huge(grid=32),
        image=448,
        timm=("aimv2_huge_patch14_448.apple_pt",),
        transformers="apple/aimv2-huge-patch14-448",
        original=("aimv2-huge-patch14-448",),
        parameters=counts(682_031_616),
    ),
    row(
        config=one_b(grid=16),
        image=224,
        timm=("aimv2_1b_patch14_224.apple_pt",),
        transformers="apple/aimv2-1B-patch14-224",
        original=("aimv2-1B-patch14-224",),
        parameters=counts(1_234_958_336),
    ),
    row(
        config=one_b(grid=24),
        image=336,
        timm=("aimv2_1b_patch14_336.apple_pt",),
        transformers="apple/aimv2-1B-patch14-336",
        original=("aimv2-1B-patch14-336",),
        parameters=counts(1_235_613_696),
    ),
    row(
        config=one_b(grid=32),
        image=448,
        timm=("aimv2_1b_patch14_448.apple_pt",),
        transformers="apple/aimv2-1B-patch14-448",
        original=("aimv2-1B-patch14-448",),
        parameters=counts(1_236_531_200),
    ),
    row(
        config=three_b(grid=16),
        image=224,
        timm=("aimv2_3b_patch14_224.apple_pt",),
        transformers="apple/aimv2-3B-patch14-224",
        original=("aimv2-3B-patch14-224",),
        parameters=counts(2_720_658_432),
    ),
    row(
        config=three_b(grid=24),
        image=336,
        timm=("aimv2_3b_patch14_336.apple_pt",),
        transformers="apple/aimv2-3B-patch14-336",
        original=("aimv2-3B-patch14-336",),
        parameters=counts(2_721_641_472),
    ),
    row(
        config=three_b(grid=32),
        image=448,
        timm=("aimv2_3b_patch14_448.apple_pt",),
        transformers="apple/aimv2-3B-patch14-448",
        original=("aimv2-3B-patch14-448",),
        parameters=counts(2_723_017_728),
    ),
)
