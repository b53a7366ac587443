"""Whole encoders: written by us, read by the libraries' own loaders, compared on a photograph in float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import snellen
from parity.compare import relative, run
from parity.oracles import Oracle, Stages, of_timm, of_transformers
from snellen.images import decode
from snellen.model.model import Model

if TYPE_CHECKING:
    import torch

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "coffee.jpg"

# The models of the five reports, whole, under the name each report used.
REPORTS = (
    "vit_small_patch14_reg4_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m",
    "facebook/dinov3-vitb16-pretrain-lvd1689m",
    "google/vit-base-patch16-224-in21k",
    "apple/aimv2-large-patch14-224-distilled",
)
# One variant more for each family and kind of weights, so that every dialect is written and read at full size once.
OTHERS = (
    "facebook/dinov2-small",
    "vit_small_patch16_dinov3_qkvb.lvd1689m",
    "vit_small_plus_patch16_dinov3.lvd1689m",
    "convnext_tiny.dinov3_lvd1689m",
    "vit_small_patch16_224.augreg_in21k_ft_in1k",
)


# Original files that timm reads with the remapping it has for them.
ORIGINALS = (
    ("vit_small_patch14_dinov2.lvd142m", "meta", "dinov2.pth"),
    ("vit_small_patch14_reg4_dinov2.lvd142m", "meta", "reg.pth"),
    ("vit_small_patch16_dinov3_qkvb.lvd1689m", "meta", "dinov3.pth"),
    ("vit_small_plus_patch16_dinov3_qkvb.lvd1689m", "meta", "plus.pth"),
    ("convnext_tiny.dinov3_lvd1689m", "meta", "convnext.pth"),
    ("vit_small_patch16_224.augreg_in21k_ft_in1k", "jax", "vit.npz"),
    ("aimv2_large_patch14_224.apple_pt", "apple", "aim.safetensors"),
)


def from_timm(folder: Path, model: Model) -> Oracle:
    import timm

    return of_timm(timm.create_model(f"local-dir:{folder}", pretrained=True), model.encoder.config)


def from_transformers(folder: Path, model: Model) -> Oracle:
    from transformers import AutoModel, AutoModelForImageClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = model.encoder.config
    auto = AutoModelForImageClassification if getattr(config, "classes", 0) else AutoModel
    loaded, report = auto.from_pretrained(folder, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")), (
        report
    )
    return of_transformers(loaded, model.record.family, config)


LOADERS = {"timm": from_timm, "transformers": from_transformers}


def distances(model: Model, oracle: Oracle, pixels: torch.Tensor) -> dict[str, float]:
    """Compare every stage both sides expose."""
    mine: Stages = run(model.encoder, pixels)
    theirs = oracle.run(pixels)
    return {stage: relative(mine[stage], theirs[stage]) for stage in theirs}


def timm_reads(path: Path, name: str) -> torch.nn.Module:
    """Let timm read an original file with the remapping it has for it, strictly."""
    import timm
    from timm.models import load_checkpoint
    from timm.models.convnext import checkpoint_filter_fn as convnext_filter
    from timm.models.eva import checkpoint_filter_fn as eva_filter
    from timm.models.vision_transformer import checkpoint_filter_fn as vit_filter

    model = timm.create_model(name, pretrained=False)
    filters = {"EvaTransformer": eva_filter, "Eva": eva_filter, "ConvNeXt": convnext_filter}
    load_checkpoint(model, str(path), strict=True, filter_fn=filters.get(type(model).__name__, vit_filter))
    return model


def written(name: str, library: str, folder: Path) -> dict[str, float]:
    """Write drawn weights as a library keeps them, let it load them, and compare every stage."""
    record = snellen.convert("seed:1", folder, dialect=library, name=name)
    model = snellen.load(folder)
    assert model.record.library == library
    if not any("not written" in note or "joined" in note for note in record.notes):
        assert model.record.digest == record.digest
    pixels = model.recipe.pixels(decode(PHOTO))[None]
    return distances(model, LOADERS[library](folder, model), pixels)


def original(name: str, dialect: str, file: Path) -> dict[str, float]:
    """Write drawn weights as their authors keep them, let timm read that, and compare every stage."""
    snellen.convert("seed:1", file, dialect=dialect, name=name)
    model = snellen.load(name, weights=file)
    pixels = model.recipe.pixels(decode(PHOTO))[None]
    return distances(model, of_timm(timm_reads(file, name), model.encoder.config), pixels)
