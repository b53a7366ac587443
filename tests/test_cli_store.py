"""``snellen embed -o FOLDER/`` with a stub encoder: what is said, where it goes, what is refused; and the meter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snellen.cli import meter
from snellen.cli.main import main
from snellen.cli.meter import Meter, span
from snellen.embed.progress import Circumstances, Progress, advice, shares
from snellen.embed.spent import Spent
from snellen.recipes.recipe import DCT
from snellen.store import Store
from stub_encoder import Stub

EMBED = ["embed", "photos", "-m", "stub"]


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list:
    """Open a stub in the place of every encoder; what was asked for is in the list."""
    calls: list = []

    def embedder(asked):
        calls.append(asked)
        return Stub(device=asked.device)

    monkeypatch.setattr("snellen.runtimes.opening.embedder", embedder)
    return calls


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number % 5).integers(0, 256, (9, 12, 3), dtype=np.uint8)  # the last as the first
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_a_store_is_written_and_gone_on_with(photos, capsys) -> None:
    assert main([*EMBED, "-o", "out/"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "6 inputs in 1 part\n" in err
    assert "5 done, 1 already present; 6 in" in err
    assert "decoding" in err
    assert Store.open(Path("out")).rows == 6
    (photos / "7.png").write_bytes(b"no image")
    assert main([*EMBED, "-o", "out"]) == 1  # the folder is there: the stroke is not needed
    err = capsys.readouterr().err
    assert "photos/7.png: the data (8 bytes) is text, not an" in err
    assert "0 done, 1 broken, 6 were in the store before" in err


def test_json_and_duplicates(photos, capsys) -> None:
    assert main([*EMBED, "-o", "out/", "--json", "--dedup-report", "--quiet"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["counts"], document["inputs"]) == ({"done": 5, "already_present": 1}, 6)
    assert document["manifest"]["identity"]["width"] == 6
    assert [[row["image_path"] for row in group] for group in document["duplicates"]] == [
        ["photos/0.png", "photos/5.png"]
    ]
    assert err == ""
    assert main([*EMBED, "-o", "out/", "--dedup-report"]) == 0
    assert capsys.readouterr().out == "photos/0.png\tphotos/5.png\n"


def test_recipe_changes_are_asked_for(photos, asked) -> None:
    main([*EMBED, "-o", "out/", "--pool", "patch_mean", "--decode", "fast"])
    main([*EMBED, "-o", "x.npz", "--recipe", "other", "--pool", "cls"])
    main([*EMBED, "-o", "x.npz", "--recipe", "other"])
    text = "stored | squash 8 bilinear | scale | pool cls"
    main([*EMBED, "-o", "x.npz", "--recipe", text])
    main([*EMBED, "-o", "x.npz", "--recipe", text, "--pool", "patch_mean"])
    main([*EMBED, "-o", "x.npz", "--recipe", text, "--decode", "fast"])
    assert [asked.pop().recipe for _ in range(3)] == [
        f"stored | dct {DCT} | squash 8 bilinear | scale | pool cls",
        "stored | squash 8 bilinear | scale | pool patch_mean",
        text,
    ]
    assert [each.recipe for each in asked] == ["own | pool patch_mean | dct 1.4", "other | pool cls", "other"]


def test_shards_and_their_merger(photos, capsys) -> None:
    assert main([*EMBED, "-o", "out/", "--shard", "1/2"]) == 0
    assert "1 part is still to come" in capsys.readouterr().err
    assert main(["merge", "out"]) == 2
    assert main([*EMBED, "-o", "out/", "--shard", "0/2"]) == 0
    assert Store.open(Path("out")).rows == 6


def test_too_many_errors(photos, capsys) -> None:
    for number in range(4):
        (photos / f"bad{number}.png").write_bytes(b"no image")
    assert main([*EMBED, "-o", "out/", "--max-errors", "1", "--batch-size", "1"]) == 1
    assert "at most 1 (--max-errors)" in capsys.readouterr().err
    assert main([*EMBED, "-o", "out/"]) == 1
    assert Store.open(Path("out")).rows == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "2/2", "-o", "out/"], "I/N with I from 0 to N - 1"),
        (["--shard", "x", "-o", "out/"], "'x' is no share"),
        (["--engine", "spark", "-o", "out/"], "local, ray or ray:ADDRESS"),
        (["--shard", "0/2", "-o", "x.npz"], "--shard was given without a store"),
        (["--layout", "clip-retrieval"], "--layout was given without a store"),
        (["--max-errors", "0"], "--max-errors was given without a store"),
        (["--dedup-report", "-o", "x.parquet"], "--dedup-report was given without a store"),
        (["--engine", "ray"], "--engine was given without a store"),
        (["--device", "npu:0,npu:1", "-o", "x.npz"], "'npu:0,npu:1'"),
        (["-o", "photos"], "photos"),
        (["-o", "x.csv"], ".parquet or .npz or .jsonl"),
    ],
)
def test_what_means_nothing_is_refused(photos, capsys, monkeypatch, words, message) -> None:
    from snellen import devices

    real = Stub

    def embedder(asked):
        devices.resolve(asked.device)
        return real()

    monkeypatch.setattr("snellen.runtimes.opening.embedder", embedder)
    assert main([*EMBED, *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


# ---- the meter and the advice


@pytest.mark.parametrize(
    ("place", "message"), [("photos/0.png/", "'photos/0.png' is a file"), ("photos/0.png/x/", "or name another one")]
)
def test_a_file_is_no_folder(photos, capsys, place, message) -> None:
    assert main([*EMBED, "-o", place]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "fault in snellen" not in err


def test_names_of_files_do_nothing_to_the_terminal(photos, capsys) -> None:
    (photos / "bad\n\x1b[31m.png").write_bytes(b"no image")
    for name in ("twin\t.png", "twin\n.png"):
        (photos / name).write_bytes((photos / "0.png").read_bytes())
    assert main([*EMBED, "-o", "out/", "--dedup-report"]) == 1
    out, err = capsys.readouterr()
    assert "photos/bad\\n\\x1b[31m.png: the data" in err
    assert out == "photos/0.png\tphotos/5.png\tphotos/twin\\t.png\tphotos/twin\\n.png\n"
    assert main([*EMBED, "-o", "x.jsonl"]) == 1
    assert main(EMBED) == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "photos/bad\\n\\x1b[31m.png" in out


def test_an_interruption_says_what_is_kept(photos, capsys, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("snellen.cli.storing.fill", interrupted)
        assert main([*EMBED, "-o", "out/"]) == 130
    assert "the same command goes on with it" in capsys.readouterr().err


def test_the_meter_says_how_far_it_is(monkeypatch, capsys) -> None:
    now = [100.0]
    monkeypatch.setattr(meter.time, "monotonic", lambda: now[0])
    shown = Meter(1000, 2, start=100)
    now[0] += 10
    shown.add(Progress({"done": 48, "broken": 2}, Spent(decode_s=10, encode_s=4, waited_s=6), (("a.png", "damaged"),)))
    assert capsys.readouterr().err == "a.png: damaged\n"  # a log gets a line a minute
    now[0] += 60
    shown.add(Progress({"done": 20}, Spent(), (), {"done": 130}))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("300 of 1,000 (30%) | 1.0 images/s | 11 min 40 s left | 2 failed | reading 0%")
    assert "decoding 50% of 2 threads; encoding 40%" in line
    assert (shown.failed, shown.done) == (2, 70)


def test_only_the_first_failures_are_said(capsys) -> None:
    shown = Meter(1000, 2)
    for number in range(30):
        shown.add(Progress({"broken": 1}, Spent(), ((f"{number}.png", "damaged"),)))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == meter.SHOWN + 1
    assert "the others are said in the store" in lines[-1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h"), (7260, "2 h 1 min")],
)
def test_spans(seconds, text) -> None:
    assert span(seconds) == text


THERE = Circumstances(workers=2, cores=2, host=True, fast=False, narrow=False)


@pytest.mark.parametrize(
    ("spent", "there", "words"),
    [
        (Spent(decode_s=19, encode_s=2, waited_s=8), THERE, "--decode fast"),
        (
            Spent(decode_s=9, encode_s=2, waited_s=8),
            Circumstances(workers=1, cores=2, host=True, fast=False, narrow=False),
            "--workers 2",
        ),
        (
            Spent(decode_s=19, encode_s=2, waited_s=8),
            Circumstances(workers=2, cores=2, host=True, fast=True, narrow=False),
            "more cores",
        ),
        (Spent(read_s=19, decode_s=1, encode_s=2, waited_s=8), THERE, "--workers 8"),
        (Spent(decode_s=1, encode_s=10), THERE, "--dtype bfloat16"),
        (Spent(decode_s=2, encode_s=8, waited_s=2), THERE, "--dtype bfloat16"),  # for the first images
        (
            Spent(decode_s=1, encode_s=10),
            Circumstances(workers=2, cores=2, host=True, fast=False, narrow=True),
            "--plan auto",
        ),
        (Spent(write_s=10, encode_s=3), THERE, "a faster disk"),
        (Spent(), THERE, ""),
    ],
)
def test_the_one_change_that_helps_most(spent, there, words) -> None:
    said = advice(spent, there)
    assert words in said if words else said == ""


def test_shares_are_of_the_time_there_was() -> None:
    said = shares(Spent(read_s=1, decode_s=9, encode_s=6, write_s=1, waited_s=3), workers=2)
    assert (
        said
        == "reading 5% and decoding 45% of 2 threads; encoding 60%, writing 10%, waiting for images 30% of the time"
    )
