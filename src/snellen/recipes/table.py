"""Each library's own preprocessing, as data: one row a (library, family), from which the recipe's text is filled in.

timm          ``create_transform`` on the ``pretrained_cfg`` of the checkpoint. Pillow; EXIF not applied.
transformers  the image processor ``AutoImageProcessor`` gives by default, which since version 5 is the one built
              on torchvision wherever torchvision is installed: resizes are torch's, on 8-bit numbers, or for
              DINOv3 on float32. (The Pillow processors differ from it by single 8-bit steps, and by more along
              sharp edges where an image is enlarged bicubically.) ``load_image`` applies EXIF.
original      the evaluation transform of the authors' own repository. Pillow for DINOv2 and AIMv2, torchvision
              on 8-bit tensors for DINOv3, TensorFlow's ``tf.image.resize`` (float32, not antialiased) for ViT.

In: library, family, and what a variant changes: size, statistics, pooling. Out: text for ``Recipe.parse``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from snellen.encoders.config import Pool
from snellen.errors import RecipeError, UnknownName
from snellen.recipes.parse import LONGEST_SIDE, POOLS
from snellen.recipes.steps import Triple

STATS: dict[str, tuple[Triple, Triple]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "sat": ((0.43, 0.411, 0.296), (0.213, 0.156, 0.143)),
}
"""Mean and standard deviation by name; ``sat`` belongs to the satellite imagery of SAT-493M."""

CROP = "stored | shortest_edge {edge} bicubic | center_crop {size} | scale"
TENSOR_CROP = "upright | tensor | shortest_edge {edge} bicubic | center_crop {size} floor | scale"
TENSOR_SQUASH = "upright | tensor | squash {size} bilinear | scale"
FLOAT_SQUASH = "upright | scale | squash {size} bilinear"
STORED_TENSOR_SQUASH = "stored | tensor | squash {size} bilinear | scale"
STORED_ALIASED_SQUASH = "stored | scale | squash {size} bilinear aliased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A library's preprocessing of a family: geometry as a template, and the values that fill it by default."""

    geometry: str
    size: int
    stats: str
    pool: Pool = "cls"
    crop: float = 1.0  # the share of the resized shorter side that the crop keeps
    round_up: bool = False  # the resized side is rounded up rather than down

    def edge(self, size: int) -> int:
        """Return the shorter side to resize to, so that a crop of ``size`` keeps the row's share of it."""
        return math.ceil(size / self.crop) if self.round_up else math.floor(size / self.crop)


TABLE: dict[tuple[str, str], Row] = {
    ("timm", "dinov2"): Row(geometry=CROP, size=518, stats="imagenet"),
    ("timm", "dinov3_vit"): Row(geometry=CROP, size=256, stats="imagenet", pool="patch_mean"),
    ("timm", "dinov3_convnext"): Row(geometry=CROP, size=224, stats="imagenet"),
    ("timm", "vit"): Row(geometry=CROP, size=224, stats="half", crop=0.9),
    ("timm", "aimv2"): Row(geometry=CROP, size=224, stats="clip", pool="patch_mean"),
    ("transformers", "dinov2"): Row(geometry=TENSOR_CROP, size=224, stats="imagenet", crop=0.875),
    ("transformers", "dinov3_vit"): Row(geometry=FLOAT_SQUASH, size=224, stats="imagenet"),
    ("transformers", "dinov3_convnext"): Row(geometry=FLOAT_SQUASH, size=224, stats="imagenet"),
    ("transformers", "vit"): Row(geometry=TENSOR_SQUASH, size=224, stats="half"),
    ("transformers", "aimv2"): Row(geometry=TENSOR_CROP, size=224, stats="clip", pool="patch_mean"),
    ("original", "dinov2"): Row(geometry=CROP, size=224, stats="imagenet", crop=0.875),
    ("original", "dinov3_vit"): Row(geometry=STORED_TENSOR_SQUASH, size=256, stats="imagenet"),
    ("original", "dinov3_convnext"): Row(geometry=STORED_TENSOR_SQUASH, size=256, stats="imagenet"),
    ("original", "vit"): Row(geometry=STORED_ALIASED_SQUASH, size=224, stats="half"),
    ("original", "aimv2"): Row(geometry=CROP, size=224, stats="imagenet", pool="patch_mean", crop=0.875, round_up=True),
}

LIBRARIES = tuple(dict.fromkeys(library for library, _ in TABLE))
FAMILIES = tuple(dict.fromkeys(family for _, family in TABLE))


def builtin(
    library: str, family: str, *, size: int | None = None, stats: str | None = None, pool: str | None = None
) -> str:
    """Return the text of a library's own recipe for a family.

    ``size`` is the side of the square that goes into the encoder (the resize before a crop grows with it),
    ``stats`` a key of STATS, ``pool`` a pooling; each defaults to the table's.
    Raises UnknownName for a name that does not exist, RecipeError for an impossible size.
    """
    for what, name, known in (("library", library, LIBRARIES), ("family", family, FAMILIES)):
        if name not in known:
            raise UnknownName(what, name, known, todo=f"one of {', '.join(known)}")
    row = TABLE[library, family]
    stats, pool, size = stats or row.stats, pool or row.pool, row.size if size is None else size
    if stats not in STATS:
        raise UnknownName("mean and std", stats, STATS, todo=f"one of {', '.join(STATS)}")
    if pool not in POOLS:
        raise UnknownName("pooling", pool, POOLS, todo=f"one of {', '.join(POOLS)}")
    if not 1 <= size <= LONGEST_SIDE // 2:
        raise RecipeError(f"a recipe of size {size}", expected=f"1 to {LONGEST_SIDE // 2} pixels")
    mean, std = (" ".join(map(repr, three)) for three in STATS[stats])
    geometry = row.geometry.format(edge=row.edge(size), size=size)
    return f"{geometry} | mean {mean} | std {std} | pool {pool}"
