"""The benchmark of large photographs: files as promised, timm's pipeline as written, a page that tells the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parent.parent / "tools"))  # behind the tests: both have a "parity"

import bench_photos
from peers.channel import Worker
from peers.large import paths, pipeline
from peers.photos import PHOTOS, enlarged, large_photographs

LOAD = {"idle_workers": 0.0, "others": 0.01, "stolen": None}


def round_of(**rates):
    names = {name.replace(" ", "_"): name for name in bench_photos.CASES}
    values = {
        names[key]: {"images_per_s": rate, "images": 8, "seconds": 8 / rate, "load": LOAD}
        for key, rate in rates.items()
    }
    return {"order": list(values), "values": values}


def raw_of(*fast, cosine=0.9999):
    rest = {"timm": 5.0, "exact": 10.0, "encoder": 40.0, "decode_exact": 15.0, "decode_fast": 50.0}
    return {
        "schema": bench_photos.SCHEMA,
        "machine": {"product": "Abacus", "system": "Linux", "versions": {"torch": "9"}},
        "threads": 2,
        "model": "vit",
        "dtype": "bfloat16",
        "size": [4032, 3024],
        "bytes": {"a.jpg": 2_000_000, "b.jpg": 3_500_000},
        "images": 8,
        "about": {
            "snellen": {
                "setup": "openvino, bfloat16",
                "batch": 2,
                "recipes": {"exact": "stored", "fast": "stored | dct 1.4"},
            },
            "timm": {"version": "1", "batch": 8, "workers": 2, "transform": "Compose"},
        },
        "rounds": [round_of(**rest, fast=rate) for rate in fast],
        "cosines": {key: {"a.jpg": 1.0, "b.jpg": cosine} for key in ("large", "as they are", "timm")},
    }


def test_ratios_are_formed_round_by_round():
    raw = raw_of(20.0, 24.0, 30.0)
    raw["rounds"][2]["values"]["exact"]["images_per_s"] = 20.0
    found = bench_photos.over(raw, "fast", "exact")
    assert found.values == (2.0, 2.4, 1.5)
    assert (found.median, found.least, found.most) == (2.0, 1.5, 2.4)


def test_the_page_tells_what_was_kept_and_what_was_not():
    text = bench_photos.page(json.loads(json.dumps(raw_of(24.0, 25.0, 22.0))))
    assert "| fast over exact | 2.40 | 2.20 to 2.50 | at least 2.3 | met |" in text
    assert "| fast over timm | 4.80 | 4.40 to 5.00 | at least 3.2 | met |" in text
    assert "| exact over timm | 2.00 | 2.00 to 2.00 | at least 1.3 | met |" in text
    assert "| cosine of fast to exact | 0.999900 | the lowest | at least 0.995 | met |" in text
    assert "2.0 to 3.5 MB" in text
    assert "timm 1" in text
    assert "| other processes | 1.0% | 1.0% |" in text
    missed = bench_photos.page(raw_of(22.0, 22.0, 25.0, cosine=0.99))
    assert "| fast over exact | 2.20 | 2.20 to 2.50 | at least 2.3 | **missed** |" in missed
    assert "| cosine of fast to exact | 0.990000 | the lowest | at least 0.995 | **missed** |" in missed


def test_large_photographs_are_all_different_and_the_same_each_time(tmp_path):
    made = large_photographs(tmp_path / "a", (160, 120))
    again = large_photographs(tmp_path / "b", (160, 120))
    contents = [path.read_bytes() for path in made]
    assert len(set(contents)) == len(contents) == len(paths(str(PHOTOS)))
    assert contents == [path.read_bytes() for path in again]
    for path in made:
        with Image.open(path) as image:
            assert (image.size, image.format) == ((160, 120), "JPEG")


def test_detail_and_grain_are_added_and_the_photograph_stays():
    with Image.open(PHOTOS / "cat.jpg") as opened:
        cat = opened.convert("RGB")
    plain = np.asarray(cat.resize((451 * 2, 300 * 2), Image.Resampling.LANCZOS), float)
    large = np.asarray(enlarged(cat, (451 * 2, 300 * 2), 0), float)
    fine = [np.abs(np.diff(pixels, axis=1)).mean() for pixels in (plain, large)]
    assert fine[1] > 1.5 * fine[0]
    assert np.corrcoef(plain.ravel(), large.ravel())[0, 1] > 0.97


def test_timms_pipeline_gives_a_vector_for_every_file_in_order(tmp_path):
    files = [str(path) for path in large_photographs(tmp_path / "photographs", (64, 48))]

    def transform(image):
        assert image.mode == "RGB"
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()

    def module(pixels):
        assert not torch.is_grad_enabled()
        return pixels.mean((2, 3))

    rows = list(pipeline(module, transform, files, batch=4, workers=0))
    assert [len(each) for each in rows] == [4, 4, 2]
    expected = [np.asarray(Image.open(path).convert("RGB"), np.float32).mean((0, 1)) for path in files]
    assert np.concatenate(rows) == pytest.approx(np.array(expected), abs=1e-2)


def test_a_turn_asks_the_worker_of_its_case():
    asked = []

    class Idle:
        def __init__(self, name):
            self.name = name

        def cpu_s(self):
            return 0.0

        def ask(self, do, **arguments):
            asked.append((self.name, do, arguments["case"], arguments["images"]))
            return {"images_per_s": 1.0}

    own, timm = Idle("own"), Idle("timm")
    for case in bench_photos.CASES:
        assert bench_photos._turn(case, own, timm, 8)["load"].keys() == LOAD.keys()
    assert [row[0] for row in asked] == ["timm" if case == "timm" else "own" for case in bench_photos.CASES]
    assert {row[2] for row in asked} == set(bench_photos.CASES)


def test_the_promises_name_cases_that_are_measured():
    for over, under, *_ in (*bench_photos.PROMISES, *bench_photos.OTHERS):
        assert {over, under} <= set(bench_photos.CASES)


def test_time_of_children_that_ended_counts_as_the_workers():
    busy = "import time\nwhile time.process_time() < 0.4: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); print(flush=True); input()"
    worker = Worker.__new__(Worker)
    worker.process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.process.stdout is not None
        worker.process.stdout.readline()
        assert worker.cpu_s() > 0.3  # in ticks of 10 ms, cut off for each process; without the child it is 0.05
    finally:
        worker.process.communicate("\n")
