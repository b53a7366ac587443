"""Files that we write are read strictly by the libraries' own loaders, and give the same numbers there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import snellen
from parity.compare import SINGLE, relative
from parity.whole import LOADERS, ORIGINALS, OTHERS, PHOTO, REPORTS, distances, from_transformers, original, written
from snellen.errors import Unavailable, UsageError
from snellen.images import decode


@pytest.mark.parametrize("library", LOADERS)
@pytest.mark.parametrize("name", REPORTS + OTHERS)
def test_the_library_itself_loads_what_we_write(name: str, library: str, tmp_path: Path) -> None:
    found = written(name, library, tmp_path / "out")
    assert len(found) > 12
    assert {stage: value for stage, value in found.items() if not value <= SINGLE} == {}


@pytest.mark.parametrize("library", LOADERS)
def test_another_seed_is_seen(library: str, tmp_path: Path) -> None:
    name = "vit_small_patch16_dinov3.lvd1689m"
    snellen.convert("seed:1", tmp_path / "out", dialect=library, name=name)
    snellen.convert("seed:2", tmp_path / "other", dialect=library, name=name)
    model = snellen.load(str(tmp_path / "other"))
    pixels = model.recipe.pixels(decode(PHOTO))[None]
    found = distances(model, LOADERS[library](tmp_path / "out", model), pixels)
    assert all(value > SINGLE for value in found.values())


def test_transformers_preprocesses_as_the_folder_says(tmp_path: Path) -> None:
    from PIL import Image
    from transformers import AutoImageProcessor

    snellen.convert("seed:1", tmp_path / "out", dialect="transformers", name="facebook/dinov2-small")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out")
    theirs = processor(Image.open(PHOTO).convert("RGB"), return_tensors="pt")["pixel_values"]
    ours = snellen.load(str(tmp_path / "out")).recipe.pixels(decode(PHOTO))[None]
    assert torch.allclose(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "dialect", "file"), ORIGINALS)
def test_timm_reads_the_original_files_we_write(name: str, dialect: str, file: str, tmp_path: Path) -> None:
    found = original(name, dialect, tmp_path / file)
    assert max(found.values()) <= SINGLE
    assert (
        snellen.load(name, weights=tmp_path / file).record.digest == snellen.load(name, weights="seed:1").record.digest
    )


CHAINS = [
    ("dinov2_vits14", ("meta", "transformers", "timm", "meta")),
    ("dinov2_vits14_reg", ("meta", "transformers", "meta")),
    ("facebook/dinov3-vits16-pretrain-lvd1689m", ("transformers", "timm", "meta", "transformers")),
    ("vit_small_patch16_dinov3.lvd1689m", ("timm", "meta", "transformers", "timm")),
    ("convnext_tiny.dinov3_lvd1689m", ("timm", "transformers", "meta", "timm")),
    ("google/vit-base-patch16-224-in21k", ("transformers", "jax", "transformers")),
    ("vit_small_patch16_224.augreg_in21k_ft_in1k", ("timm", "jax", "transformers", "timm")),
]
ENDINGS = {"meta": ".pth", "jax": ".npz", "apple": ".safetensors"}


def links(name: str, chain: tuple[str, ...], folder: Path) -> Iterator[snellen.model.conversion.ConvertRecord]:
    """Convert drawn weights along a chain of dialects, each from the file before."""
    source = "seed:3"
    for number, dialect in enumerate(chain):
        target = folder / f"{number}{ENDINGS.get(dialect, '')}"
        yield snellen.convert(source, target, dialect=dialect, name=name)
        source = str(target)


@pytest.mark.parametrize(("name", "chain"), CHAINS)
def test_there_and_back_the_tensors_are_identical(name: str, chain: tuple[str, ...], tmp_path: Path) -> None:
    records = list(links(name, chain, tmp_path))
    assert len({record.digest for record in records}) == 1
    assert snellen.load(name, weights=records[-1].files[0]).record.digest == records[0].digest


def test_what_timm_cannot_hold_is_said(tmp_path: Path) -> None:
    pooler = snellen.convert("seed:3", tmp_path / "a", dialect="timm", name="google/vit-base-patch16-224-in21k")
    assert any("pooler" in note and "no place" in note for note in pooler.notes)
    folded = snellen.convert("seed:3", tmp_path / "b", dialect="timm", name="dinov2_vits14_reg")
    assert any("position" in note and "for good" in note for note in folded.notes)
    there = snellen.load("dinov2_vits14_reg", weights="seed:3")
    back = snellen.load("dinov2_vits14_reg", weights=str(tmp_path / "b"))
    assert there.record.digest != back.record.digest  # other tensors,
    assert relative(torch.from_numpy(back.embed(PHOTO)), torch.from_numpy(there.embed(PHOTO))) == 0  # same encoder


@pytest.mark.parametrize(
    ("name", "dialect", "file"),
    [
        ("dinov2_vits14", "timm", "folder"),
        ("dinov2_vits14", "transformers", "folder"),
        ("dinov2_vits14", "meta", "x.pth"),
        ("vit_small_patch16_224.augreg_in1k", "jax", "x.npz"),
    ],
)
def test_drawn_weights_stay_known_as_drawn(name: str, dialect: str, file: str, tmp_path: Path) -> None:
    snellen.convert("seed:4", tmp_path / file, dialect=dialect, name=name)
    snellen.convert(str(tmp_path / file), tmp_path / "again", dialect="timm", name=name)
    for path in (tmp_path / file, tmp_path / "again"):
        record = snellen.load(name, weights=str(path)).record
        assert (record.origin.trained, record.origin.seed, record.origin.path) == (False, 4, str(path))
        assert any("mean nothing" in note for note in record.notes)


def test_large_checkpoints_are_written_in_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snellen.model.layout.SHARD_BYTES", 30_000_000)
    name = "facebook/dinov3-vits16-pretrain-lvd1689m"
    record = snellen.convert("seed:1", tmp_path / "out", dialect="transformers", name=name)
    assert sum("-of-00003" in file for file in record.files) == 3
    model = snellen.load(str(tmp_path / "out"))
    assert model.record.digest == record.digest
    pixels = model.recipe.pixels(decode(PHOTO))[None]
    assert max(distances(model, from_transformers(tmp_path / "out", model), pixels).values()) <= SINGLE


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("snellen.checkpoints.write._write_one", full)
    with pytest.raises(Unavailable, match="No space"):
        snellen.convert("seed:1", tmp_path / "x.safetensors", dialect="apple", name="aimv2_large_patch14_224")
    assert not list(tmp_path.iterdir())


def test_existing_files_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        snellen.convert("seed:1", tmp_path / "x.pth", dialect="meta", name="dinov2_vits14")
    assert (tmp_path / "x.pth").read_text() == "mine"
