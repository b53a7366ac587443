"""What an encoder that is a stub says of itself."""

from __future__ import annotations

from snellen.recipes import Recipe
from snellen.records import ModelRecord, Origin

RECIPE = Recipe.parse("stored | squash 8 bilinear | scale | pool cls")

RECORD = ModelRecord(
    name="stub",
    variant="stub",
    library="timm",
    family="vit",
    dialect=None,
    origin=Origin(kind="seed", seed=0),
    digest="0" * 64,
    recipe=RECIPE.text,
    recipe_hash=RECIPE.hash,
    pool="cls",
    dtype="float32",
    device="cpu",
    version="0",
)
