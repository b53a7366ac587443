"""The main job from end to end, with a real encoder and drawn weights: the command line gives what Python gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

import snellen
from fakes import picture
from snellen.cli.main import main

MODEL = "vit_small_patch16_224.augreg_in21k"
ASKED = ["-m", MODEL, "--weights", "seed:0", "--quiet"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return [picture(Path(f"{red}.png"), red, size=(300 + red, 260)) for red in (10, 90, 250)]


@pytest.fixture(scope="module")
def model():
    return snellen.load(MODEL, weights="seed:0")


def test_embed(photos, model) -> None:
    Path("bad.png").write_bytes(b"")
    assert main(["embed", photos[0], "bad.png", *photos[1:], *ASKED, "-o", "x.parquet"]) == 1
    table = parquet.read_table("x.parquet")
    good, bad = [0, 2, 3], 1
    written = table.column("embedding").to_pylist()
    expected = model.embed(photos)
    assert written[bad] is None
    np.testing.assert_allclose([written[row] for row in good], expected, rtol=0, atol=1e-5 * abs(expected).max())
    assert abs(expected[0] - expected[2]).max() > 1e-2  # the images are told apart, so the comparison can fail
    record = json.loads(table.schema.metadata[b"snellen"])
    mine = json.loads(json.dumps(model.record.to_dict()))
    assert record == {**mine, "runtime": "openvino", "choices": [*mine["choices"], record["choices"][-1]]}
    assert record["choices"][-1]["value"] == "openvino"
    assert not model.record.origin.trained


def test_features(photos, model) -> None:
    assert main(["features", *photos, *ASKED, "-o", "x.npz"]) == 0
    assert main(["features", *photos, *ASKED, "-o", "maps.npz", "--layers", "3,-1"]) == 0
    features = model.features(photos)
    with np.load("x.npz") as arrays:
        assert arrays["grid"].tolist() == list(features.grid) == [14, 14]
        np.testing.assert_array_equal(arrays["patches"], features.patches.numpy())
    with np.load("maps.npz") as arrays:
        assert arrays["image_path"].tolist() == photos
        assert {name: arrays[name].shape for name in arrays if name not in ("snellen", "image_path")} == {
            "block.03": (3, 384, 14, 14),
            "block.11": (3, 384, 14, 14),
        }


def test_classes_of_drawn_weights_are_refused(photos, capsys) -> None:
    assert main(["classify", photos[0], *ASKED]) == 2
    assert "its classes mean nothing" in capsys.readouterr().err
