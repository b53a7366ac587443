"""The encoders on which faults are tried: those of the five reports, shrunken, and a small ConvNeXt.

In: a name of the zoo and what it is shrunken to. Out: a ``Model`` with drawn weights, as ``snellen.load`` would give,
and pixels of photographs for it. The configuration is the row's own except for width, depth, heads and grid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

import snellen
from snellen import zoo
from snellen.checkpoints.dialects.rules import native_shapes
from snellen.checkpoints.seeded import draw
from snellen.encoders.build import Encoder, build
from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig
from snellen.images import decode
from snellen.model.loading import seeded_config
from snellen.model.model import Model
from snellen.recipes import Recipe
from snellen.records import ModelRecord, Origin
from snellen.zoo.conventions import recipe_for

PHOTOS = Path(snellen.__file__).parent / "photos"
SMALL_PHOTOS = ("astronaut.jpg", "cat.jpg", "coffee.jpg", "clock.png", "rocket_portrait.jpg", "gravel.jpg")


@dataclass(frozen=True)
class Subject:
    """One encoder: the name under which a report ran it, and its shrunken configuration (None: whole)."""

    name: str
    config: EncoderConfig | None
    size: tuple[int, int]

    @property
    def label(self) -> str:
        """A short name that is the same for the whole and the shrunken encoder."""
        return LABELS[self.name]

    @property
    def network(self) -> EncoderConfig:
        """The configuration that runs, whole or shrunken."""
        return self.config or seeded_config(zoo.find(self.name))


REG4 = "vit_small_patch14_reg4_dinov2.lvd142m"
DINOV3 = "vit_small_patch16_dinov3.lvd1689m"
DINOV3_B = "facebook/dinov3-vitb16-pretrain-lvd1689m"
GOOGLE = "google/vit-base-patch16-224-in21k"
AIM = "apple/aimv2-large-patch14-224-distilled"
CONVNEXT = "convnext_tiny.dinov3_lvd1689m"
LABELS = {
    REG4: "dinov2 reg4",
    DINOV3: "dinov3 S",
    DINOV3_B: "dinov3 B",
    GOOGLE: "vit in21k",
    AIM: "aimv2",
    CONVNEXT: "convnext",
}


def _shrunken(name: str, size: tuple[int, int], **changes: object) -> Subject:
    config = seeded_config(zoo.find(name))
    return Subject(name, replace(config, **changes), size)


def subjects() -> tuple[Subject, ...]:
    """Return the shrunken encoders; the grids are 5 x 5 to 6 x 7, so that rows and columns differ somewhere."""
    return (
        _shrunken(REG4, (84, 84), width=96, depth=4, heads=3, hidden=384, grid=5),  # its table is resized
        _shrunken(DINOV3, (96, 112), width=96, depth=4, heads=3, hidden=384),
        _shrunken(DINOV3_B, (80, 80), width=144, depth=5, heads=3, hidden=576),
        _shrunken(GOOGLE, (96, 96), width=128, depth=4, heads=4, hidden=512, grid=6),
        _shrunken(AIM, (70, 70), width=128, depth=4, heads=2, hidden=352, grid=5),
        _shrunken(CONVNEXT, (96, 128), depths=(1, 1, 2, 1), widths=(24, 48, 72, 96)),
    )


def whole() -> tuple[Subject, ...]:
    """Return the encoders of the five reports as they are."""
    return tuple(Subject(name, None, size_of(name)) for name in (REG4, DINOV3, DINOV3_B, GOOGLE, AIM))


def size_of(name: str) -> tuple[int, int]:
    """Return the input size of a name's own recipe."""
    named = zoo.find(name)
    return Recipe.parse(recipe_for(named.variant, named.library)).size


def resized(subject: Subject, size: tuple[int, int]) -> Subject:
    """Return the same encoder with inputs of another size."""
    return replace(subject, size=size)


def model(subject: Subject, seed: int = 0) -> Model:
    """Draw a subject's weights; a model like any that was loaded."""
    if subject.config is None:
        return snellen.load(subject.name, weights=f"seed:{seed}")
    named = zoo.find(subject.name)
    recipe = recipe_of(subject)
    record = ModelRecord(
        name=subject.name,
        variant=named.variant.name,
        library=named.library,
        family=named.variant.family,
        dialect=None,
        origin=Origin(kind="seed", seed=seed),
        digest=f"shrunken {subject.label} {seed}",
        recipe=recipe.text,
        recipe_hash=recipe.hash,
        pool=recipe.pool,
        dtype="float32",
        device="cpu",
        version=snellen.__version__,
        notes=("shrunken", f"the weights are drawn (seed:{seed}): the numbers are repeatable, but mean nothing"),
    )
    return Model(drawn(subject.config, seed), recipe, record)


def drawn(config: EncoderConfig, seed: int) -> Encoder:
    """Build an encoder with drawn weights; what its library's spelling has no place for is not left out."""
    encoder = build(config, "cpu")
    encoder.load_state_dict({name: draw(seed, name, shape, config) for name, shape in native_shapes(config).items()})
    return encoder


def recipe_of(subject: Subject) -> Recipe:
    """Return the row's recipe with its resize and crop replaced by one squash to the subject's size."""
    named = zoo.find(subject.name)
    text = recipe_for(named.variant, named.library)
    if subject.config is None:
        return Recipe.parse(text)
    normalised = re.search(r"mean .* \| std [^|]*", text)
    height, width = subject.size
    middle = f"squash {height} {width} bicubic | scale | {normalised.group().strip()}"
    return Recipe.parse(f"stored | {middle} | pool {subject.network.pool}")


@lru_cache(maxsize=32)
def photographs(subject: Subject, count: int = 4, first: int = 0) -> torch.Tensor:
    """Return pixels [count, 3, h, w] of photographs, as the subject's recipe makes them."""
    recipe = recipe_of(subject)
    names = [SMALL_PHOTOS[(first + i) % len(SMALL_PHOTOS)] for i in range(count)]
    return torch.stack([recipe.pixels(decode(PHOTOS / name)) for name in names])


def noise(subject: Subject, count: int = 4, seed: int = 42) -> torch.Tensor:
    """Return seeded random pixels [count, 3, h, w]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, *subject.size, generator=generator)


def is_vit(subject: Subject) -> bool:
    """Whether the subject is a vision transformer."""
    return isinstance(subject.network, ViTConfig)


def is_convnext(subject: Subject) -> bool:
    """Whether the subject is a ConvNeXt."""
    return isinstance(subject.network, ConvNeXtConfig)
