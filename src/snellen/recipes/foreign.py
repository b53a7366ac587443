"""Preprocessing as the libraries write it into files, in both directions.

``preprocessor_config.json`` of transformers -> ``from_processor`` -> text of a recipe;    recipe -> ``to_processor``
``pretrained_cfg`` of timm                   -> ``from_timm``      -> text of a recipe;    recipe -> ``to_timm``

What comes out gives the pixels that the library makes of the same file: timm's to the last bit, those of the
processors that transformers uses by default (built on torchvision) to float32 rounding. Whatever a file says that
the steps of a recipe cannot do exactly is refused by name, and so is a recipe that a file cannot express.
Checked against timm 1.0.31 and transformers 5.23.0.
"""

from __future__ import annotations

from snellen.recipes.foreign_timm import from_timm, to_timm
from snellen.recipes.foreign_transformers import from_processor, to_processor

__all__ = ["from_processor", "from_timm", "to_processor", "to_timm"]
