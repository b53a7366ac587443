"""How each library spells the checkpoints of each family, as data that is run in both directions."""

from __future__ import annotations

from snellen.checkpoints.dialects import aimv2, convnext, dinov2, dinov3, vit
from snellen.checkpoints.dialects.rules import Dialect

DIALECTS: tuple[Dialect, ...] = (
    *dinov2.DIALECTS,
    *dinov3.DIALECTS,
    *convnext.DIALECTS,
    *vit.DIALECTS,
    *aimv2.DIALECTS,
)
