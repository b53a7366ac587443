"""The long trials of stores, made short: ``make soak`` runs them in full."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tools"))  # behind the tests: both have a "parity"

import flat_memory
import soak


def test_the_long_trials_made_short(tmp_path, monkeypatch) -> None:
    """In one test, for all of them want the store that nobody disturbed."""
    images, out = tmp_path / "images", tmp_path / "clean"
    soak.generate(images, 150, seed=3)
    soak.attempt(soak.command(images, tmp_path / "warm"), None)  # converts the encoder
    code, length = soak.attempt(soak.command(images, out), None)
    assert code == 1  # some are damaged
    expected = soak.rows(out)
    assert expected.num_rows == 150
    soak.control(expected)

    drawn = random.Random(1)
    for number in range(2):
        found = soak.one_round(images, tmp_path / f"out{number}", expected, length, drawn)
        assert found.kills
        assert found.equal, found

    soak.generate(tmp_path / "many", 1500, seed=4)
    few = flat_memory.peak_mib(soak.command(images, tmp_path / "few"))
    many = flat_memory.peak_mib(soak.command(tmp_path / "many", tmp_path / "more"))
    assert few > 50
    assert many < flat_memory.LIMIT * few

    monkeypatch.setattr(soak, "RECIPE", soak.RECIPE.replace("mean 0.5", "mean 0.4"))
    other = soak.one_round(images, tmp_path / "other", expected, 1e6, drawn)
    assert not other.equal
    assert any("embedding differs" in line for line in other.differences)


def test_two_simulated_devices_make_the_store_that_one_makes(tmp_path, monkeypatch) -> None:
    """One thread each: a sum over two threads is added up in another order, here as on any processor."""
    soak.generate(tmp_path / "images", 520, seed=5)  # three parts
    monkeypatch.setenv("SNELLEN_SIMULATE", "npu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = {}
    for device in ("npu:0", "npu:all"):
        line = [*soak.command(tmp_path / "images", tmp_path / device.replace(":", "")), "--device", device]
        assert soak.attempt(line, None)[0] == 1  # some are damaged
        found[device] = tmp_path / device.replace(":", "")
    assert not soak.differences(*map(soak.rows, found.values()))
    records = json.loads((found["npu:all"] / "manifest.json").read_text())["runs"][0]["models"]
    assert {record["device"] for record in records} == {"npu:0", "npu:1"}
