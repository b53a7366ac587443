"""What their hub functions set, read off the modules they build, and held against what snellen assumes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import torch

from originals import ours
from originals.result import Claim
from originals.shrunken import Case
from originals.theirs import Their
from snellen.encoders.config import ViTConfig
from snellen.encoders.position import periods
from snellen.zoo import ROWS
from snellen.zoo.conventions import config_for

RESIZE = {(False, 0.1): "bicubic_offset", (True, 0.0): "bicubic_antialias", (False, 0.0): "bicubic"}


def dinov2() -> Iterator[Claim]:
    """Read how each hub function of DINOv2 resizes positions."""
    for registers in (0, 4):
        configs = {
            variant.original[0]: config_for(variant, "original")
            for variant in ROWS
            if variant.family == "dinov2" and variant.config.registers == registers  # type: ignore[union-attr]
        }
        seen = {}
        for name in configs:
            model = Their("dinov2", name).fresh("meta")
            seen[name] = model.interpolate_antialias, model.interpolate_offset
        antialias, offset = next(iter(seen.values()))
        yield Claim(
            family="dinov2",
            text=f"the hub functions with {registers} registers resize positions as {RESIZE[antialias, offset]}",
            seen=f"{len(seen)} functions: antialias {antialias}, offset {offset}",
            holds=all(RESIZE[seen[name]] == configs[name].resize for name in configs),  # type: ignore[union-attr]
        )


def dinov3(case: Case, folder: Path) -> Iterator[Claim]:
    """Read the RoPE periods, the bias mask and the local norm off DINOv3's modules."""
    model = Their("dinov3", case.like, case.config).fresh()
    path = ours.write(case, ours.drawn(case), folder)
    stored = torch.load(path, weights_only=True)
    loaded = Their("dinov3", case.like, case.config).load(path, folder / "hub")
    path.unlink()
    rope = loaded.rope_embed
    exact = periods(case.config.head_width, rounded=False).float()  # type: ignore[union-attr]
    yield _claim("the hub functions work the RoPE angles out in float32", str(rope.dtype), rope.dtype == torch.float32)
    yield _claim(
        "their fresh module's periods are exact to float32, not rounded to bfloat16",
        f"off by {float((model.rope_embed.periods / exact - 1).abs().max()):.0e}",
        torch.allclose(model.rope_embed.periods, exact, rtol=1e-6),
    )
    yield _claim(
        "periods loaded from a file replace them, widened to float32: the file decides the rounding",
        f"file {stored['rope_embed.periods'].dtype}, buffer {rope.periods.dtype}",
        torch.equal(rope.periods, stored["rope_embed.periods"].float()) and rope.periods.dtype == torch.float32,
    )
    for width in (64, 128):
        embedding = importlib.import_module("dinov3.layers").RopePositionEmbedding
        theirs = embedding(4 * width, num_heads=4, dtype=torch.bfloat16).periods
        same = torch.equal(theirs.double(), periods(width, rounded=True))
        yield _claim(f"head width {width}: their module in bfloat16 makes the periods we write", _bits(same), same)
    mask = model.blocks[0].attn.qkv.bias_mask
    same = torch.equal(mask, stored["blocks.0.attn.qkv.bias_mask"])
    yield _claim("the mask of the q, k, v bias we write is the one their initialisation makes", _bits(same), same)
    yield from _local_norm()


def _local_norm() -> Iterator[Claim]:
    rows = [variant for variant in ROWS if variant.family == "dinov3_vit"]
    has = {v.original[-1] for v in rows if Their("dinov3", v.original[-1]).fresh("meta").local_cls_norm is not None}
    wanted = {variant.original[-1] for variant in rows if "local_cls_norm" in variant.extras}
    short = ", ".join(sorted(name.removeprefix("dinov3_").rpartition("-")[0] for name in has))
    yield _claim("local_cls_norm stands in the files of 7B and of the satellite L, and no other", short, has == wanted)


def _claim(text: str, seen: str, holds: bool) -> Claim:
    return Claim(family="dinov3_vit", text=text, seen=seen, holds=holds)


def _bits(same: bool) -> str:
    return "the same bits" if same else "other bits"


def aim(case: Case) -> Iterator[Claim]:
    """Show what AIMv2's code does at a size its position table does not fit: why snellen refuses it."""
    assert isinstance(case.config, ViTConfig)
    model = Their("aim", case.like, case.config).fresh()
    side = (case.config.grid or 0) * case.config.patch
    table = model.preprocessor.pos_embed[0]
    with torch.inference_mode():
        x = torch.zeros(1, 3, side, side - case.config.patch)
        added = model.preprocessor(x)[0] - model.preprocessor.patchifier(x)[0]
    first = torch.allclose(added, table[: len(added)], atol=1e-6)
    yield Claim(
        family="aimv2",
        text="at a smaller input their code adds the first rows of the table, whatever the grid; snellen refuses",
        seen=f"{len(added)} of {len(table)} rows" if first else "something else",
        holds=first,
    )


def claims(repo: str, cases: list[Case], folder: Path) -> Iterator[Claim]:
    """Read what there is to read off the modules of a repository."""
    if repo == "dinov2":
        return dinov2()
    return dinov3(cases[0], folder) if repo == "dinov3" else aim(cases[-1])
