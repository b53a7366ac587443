"""The loop, what goes into it and what comes out, with a model whose vectors can be foretold from the pixels."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import weakref
from collections import Counter
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet

import snellen
from fakes import RECORD, FakeModel, picture
from snellen.embed import run
from snellen.embed.run import AHEAD, HELD, Miscounted, embed
from snellen.embed.sinks import FORMATS, Sink
from snellen.embed.sources import paths, printable
from snellen.encoders.build import build
from snellen.encoders.config import ViTConfig
from snellen.errors import ImageError, Unavailable, UsageError
from snellen.model.model import Model
from snellen.recipes import Recipe, builtin
from snellen.records import Outcome


@pytest.fixture
def mixed(tmp_path: Path) -> list[str]:
    """Ten inputs, of which four cannot be embedded; the red of the others is their number."""
    paths = [picture(tmp_path / f"{i}.png", i) for i in range(10)]
    Path(paths[2]).write_bytes(b"not an image")
    Path(paths[5]).write_bytes(b"")
    Path(paths[6]).unlink()
    picture(Path(paths[9]), 9, size=(600, 2))
    return paths


FAILED = {2, 5, 6, 9}


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_a_bad_image_neither_stops_nor_shifts_the_others(mixed, batch_size, workers, ahead):
    model = FakeModel(ahead)
    rows = list(embed(model, mixed, batch_size=batch_size, workers=workers))
    assert [outcome.id for outcome, _ in rows] == list(range(10))
    assert [outcome.image_path for outcome, _ in rows] == mixed
    assert {outcome.id for outcome, vector in rows if vector is None} == FAILED
    for outcome, vector in rows:
        if outcome.id in FAILED:
            assert outcome.error_message
            assert outcome.status == ("missing" if outcome.id == 6 else "broken")
        else:
            assert outcome.status == "done"
            assert vector.tolist() == [outcome.id, 2 * outcome.id]
            assert (outcome.width, outcome.height) == (4, 3)
            assert outcome.sha256 == hashlib.sha256(Path(mixed[outcome.id]).read_bytes()).hexdigest()
    full, rest = divmod(6, batch_size)
    assert model.batches == [batch_size] * full + [rest] * (rest > 0)  # full, whatever stood between


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_memory_is_flat_and_the_loop_is_lazy(tmp_path, ahead):
    """However many inputs there are, only what the loop's docstring allows is taken and held."""
    path = picture(tmp_path / "a.png", 7)
    taken, size, workers = 0, 4, 2
    alive: Counter[str] = Counter()

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield path

    model = FakeModel(ahead)
    made = model.recipe.array

    def counted(source):
        pixels = made(source)
        alive["now"] += 1
        alive["most"] = max(alive["most"], alive["now"])
        weakref.finalize(pixels, alive.subtract, ["now"])
        return pixels

    model.recipe.array = counted
    rows = embed(model, endless(), batch_size=size, workers=workers)
    for given, _ in enumerate(islice(rows, 60), start=1):
        assert given <= taken <= given + size * (ahead + 1) + AHEAD * size + workers
    rows.close()
    assert alive["most"] <= AHEAD * size + workers + size
    assert alive["now"] == 0


@pytest.mark.parametrize("ahead", [0, 2])
def test_many_bad_images_in_a_row_are_not_hoarded(tmp_path, ahead, monkeypatch):
    monkeypatch.setattr(run, "HELD", 40)
    good = picture(tmp_path / "a.png", 7)
    paths = [good, *repeat(str(tmp_path / "gone.png"), 500), good, good]
    taken = 0

    def counting():
        nonlocal taken
        for taken, path in enumerate(paths, start=1):  # noqa: B007
            yield path

    model = FakeModel(ahead)
    rows = embed(model, counting(), batch_size=4, workers=2)
    for given, (outcome, vector) in enumerate(rows, start=1):
        assert outcome.id == given - 1
        assert taken <= given + 40 + AHEAD * 4 + 2 + 1
        assert (vector is None) == (paths[given - 1] != good)
    assert given == taken == len(paths)
    assert model.batches == [1, 2]


def test_bad_images_scattered_among_good_ones_leave_every_batch_full(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "HELD", 5)
    model = FakeModel()
    paths = [picture(tmp_path / "a.png", 7), str(tmp_path / "gone.png")] * 16
    assert [vector is None for _, vector in embed(model, paths, batch_size=4)] == [False, True] * 16
    assert model.batches == [4] * 4


def test_images_that_cannot_be_read_are_never_encoded(tmp_path):
    model = FakeModel()
    rows = list(embed(model, [str(tmp_path / "gone.png")] * (HELD + 3), batch_size=2))
    assert [vector for _, vector in rows] == [None] * (HELD + 3)
    assert model.batches == []
    assert list(embed(model, [])) == []


def decodes_while_the_first_batch_is_encoded(path: str, count: int, seconds: float) -> bool:
    """Tell whether ``count`` images are decoded by the time that the first batch, waited for so long, is encoded."""
    model, decoded, enough = FakeModel(), [], threading.Event()
    made, encode = model.recipe.array, model.encode

    def counted(source):
        decoded.append(source)
        if len(decoded) >= count:
            enough.set()
        return made(source)

    def slow(pixels):
        reached.append(enough.wait(seconds if not reached else 0))
        return encode(pixels)

    reached: list[bool] = []
    model.recipe.array, model.encode = counted, slow
    assert len(list(embed(model, [path] * 24, batch_size=4, workers=2))) == 24
    return reached[0]


def test_two_batches_are_decoded_while_one_is_encoded(tmp_path, monkeypatch):
    path = picture(tmp_path / "a.png", 7)
    assert decodes_while_the_first_batch_is_encoded(path, 3 * 4, seconds=60)
    monkeypatch.setattr(run, "AHEAD", 1)
    assert not decodes_while_the_first_batch_is_encoded(path, 3 * 4, seconds=0.2)


def test_the_encoder_starts_when_the_first_batch_is_decoded(tmp_path):
    """The images behind the first batch are decoded only when that is at the encoder."""
    paths = [picture(tmp_path / f"{i}.png", i) for i in range(8)]
    model, begun = FakeModel(), threading.Event()
    made, encode = model.recipe.array, model.encode

    def patient(source):
        if source.rgb.getpixel((0, 0))[0] >= 4 and not begun.wait(60):
            raise ImageError("the encoder was not started")
        return made(source)

    def noted(pixels):
        begun.set()
        return encode(pixels)

    model.recipe.array, model.encode = patient, noted
    assert [vector[0] for _, vector in embed(model, paths, batch_size=4, workers=2)] == list(range(8))


def shorter(model: FakeModel) -> None:
    encode = model.encode
    model.encode = lambda pixels: encode(pixels)[:-1]


def longer(model: FakeModel) -> None:
    encode = model.encode
    model.encode = lambda pixels: np.concatenate([encode(pixels)] * 2)


def one_batch_less(model: FakeModel) -> None:
    vectors = model.vectors
    model.vectors = lambda batches: islice(vectors(batches), 1, None)


def one_batch_more(model: FakeModel) -> None:
    def vectors(batches):
        for pixels in batches:
            yield model.encode(pixels)
        yield model.encode(pixels)

    model.vectors = vectors


def stops_early(model: FakeModel) -> None:
    model.vectors = lambda batches: map(model.encode, islice(batches, 2))


def never_begins(model: FakeModel) -> None:
    model.vectors = lambda batches: iter(())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (shorter, "2 vectors for a batch of 3 images"),
        (longer, "6 vectors for a batch of 3 images"),
        (one_batch_less, "no vectors for 3 images"),
        (one_batch_more, "for a batch that was not asked for"),
        (stops_early, "stopped before it had taken every batch"),
        (never_begins, "stopped before it had taken every batch"),
    ],
)
@pytest.mark.parametrize("ahead", [0, 2])
def test_vectors_that_are_not_one_for_each_image_are_an_error(tmp_path, fault, message, ahead):
    paths = [picture(tmp_path / f"{i}.png", i) for i in range(9)]
    model = FakeModel(ahead)
    fault(model)
    with pytest.raises(Miscounted, match=message):
        list(embed(model, paths, batch_size=3, workers=2))


def test_embedding_imports_no_torch(tmp_path):
    """With an encoder that needs none, in a process of its own; a recipe whose resizes are torch's imports it."""
    path = picture(tmp_path / "a.png", 7, size=(40, 30))
    program = """
import sys
from pathlib import Path
import numpy
from snellen.embed import run, sinks
from snellen.recipes import Recipe, builtin
from snellen.records import ModelRecord, Origin

class Stub:
    recipe = Recipe.parse(builtin(sys.argv[2], "vit"))
    def vectors(self, batches):
        for pixels in batches:
            assert pixels.shape == (2, 3, 224, 224) and pixels.dtype == numpy.float32 and pixels.flags.c_contiguous
            yield pixels.mean(axis=(2, 3))

record = ModelRecord(name="", variant="", library="timm", family="vit", dialect=None, recipe="", recipe_hash="",
    origin=Origin(kind="seed", seed=0), pool="cls", dtype="float32", device="cpu", version="0")
for ending in sinks.FORMATS:
    with sinks.Sink(Path(sys.argv[1]).with_suffix(ending), record) as sink:
        for outcome, vector in run.embed(Stub(), [sys.argv[1], "gone.png", sys.argv[1]], batch_size=2):
            sink.add(outcome, vector)
print(outcome.status, "torch" in sys.modules)
"""

    def after(library: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(Path(snellen.__file__).parents[1])}
        command = [sys.executable, "-c", program, path, library]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    assert after("timm") == "done False"
    assert after("transformers") == "done True"


def test_an_error_that_is_no_image_error_is_not_swallowed(tmp_path):
    model = FakeModel()
    model.recipe.array = lambda picture: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(embed(model, [picture(tmp_path / "a.png", 7)]))


def test_an_error_of_the_encoder_is_not_swallowed_and_the_rows_before_it_are_given(tmp_path):
    model, encode = FakeModel(), FakeModel().encode
    model.encode = lambda pixels: encode(pixels) if pixels[0, 0, 0, 0] < 4 else 1 / 0
    rows = embed(model, [picture(tmp_path / f"{i}.png", i) for i in range(8)], batch_size=2)
    assert [next(rows)[1][0] for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        next(rows)


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_no_embedding(tmp_path, ahead, value):
    model = FakeModel(ahead)
    encode = model.encode

    def spoilt(pixels):
        vectors = encode(pixels)
        vectors[vectors[:, 0] == 3, 1] = value
        return vectors

    model.encode = spoilt
    rows = list(embed(model, [picture(tmp_path / f"{i}.png", i) for i in range(6)], batch_size=2))
    bad, none = rows.pop(3)
    assert (bad.status, none) == ("broken", None)
    assert "not finite" in bad.error_message
    assert [(outcome.status, vector.tolist()) for outcome, vector in rows] == [
        ("done", [i, 2 * i]) for i in (0, 1, 2, 4, 5)
    ]


def test_a_model_embeds_the_same_through_the_loop(tmp_path):
    """The loop's call fits a loaded model, whose own ``embed`` goes the same way."""
    photos = sorted(str(path) for path in (Path(snellen.__file__).parent / "photos").glob("[ac]*.jpg"))
    torch.manual_seed(0)
    config = ViTConfig(patch=16, width=32, depth=1, heads=2, hidden=64, grid=2)
    encoder = build(config, "cpu")
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(0, 0.2)
    model = Model(encoder, Recipe.parse(builtin("timm", "vit", size=32)), RECORD)
    rows = list(embed(model, [*photos, str(tmp_path / "gone.jpg")], batch_size=2))
    assert [outcome.status for outcome, _ in rows] == ["done"] * len(photos) + ["missing"]
    vectors = np.stack([vector for _, vector in rows[:-1]])
    assert np.array_equal(vectors, model.embed(photos, batch_size=2))
    assert len(np.unique(vectors, axis=0)) == len(photos) > 2


@pytest.mark.parametrize(("applied", "words"), [(True, "applied"), (False, "not applied")])
def test_the_orientation_is_noted(tmp_path, applied, words):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg", exif=exif)
    model = FakeModel()
    model.recipe.apply_orientation = applied
    ((outcome, _),) = embed(model, [str(tmp_path / "a.jpg")])
    assert outcome.notes == (f"EXIF orientation 6 {words}, as the recipe says",)


def test_a_folder_and_a_pipe_on_the_list_are_bad_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    rows = list(embed(FakeModel(), [str(tmp_path), str(tmp_path / "pipe.png")]))
    assert [(outcome.status, vector) for outcome, vector in rows] == [("broken", None)] * 2


# ---- inputs


def test_a_name_that_is_not_text_can_be_written(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(raw)).write_bytes(Path(picture(tmp_path / "a.png", 7)).read_bytes())
    path = next(name for name in paths([str(tmp_path)], io.BytesIO()) if "caf" in name)
    assert printable(path).endswith("/caf\\xe9.png")
    ((outcome, vector),) = embed(FakeModel(), [path])
    assert outcome.status == "done"
    with Sink(tmp_path / "x.parquet", RECORD) as sink:
        sink.add(outcome, vector)


# ---- sinks

ROWS = [
    (
        Outcome(id=0, image_path="a.jpg", status="done", sha256="00", width=4, height=3, notes=("frame 1 of 2",)),
        np.array([1 / 3, -2e-30], np.float32),
    ),
    (Outcome(id=1, image_path="b.jpg", status="missing", error_message="'b.jpg' does not exist"), None),
    (Outcome(id=2, image_path="c.jpg", status="done", sha256="02", width=5, height=6), np.array([3, 4], np.float32)),
]


def written(path: Path, rows=ROWS) -> Path:
    with Sink(path, RECORD) as sink:
        for outcome, vector in rows:
            sink.add(outcome, vector)
        assert not path.exists() or path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    return path


def test_parquet(tmp_path):
    table = parquet.read_table(written(tmp_path / "x.parquet"))
    assert json.loads(table.schema.metadata[b"snellen"]) == json.loads(json.dumps(RECORD.to_dict()))
    names = ["id", "image_path", "embedding", "status", "error_message", "sha256", "width", "height", "notes"]
    names += ["file_size", "modified_ns", "same_as"]
    assert table.column_names == names
    assert str(table.schema.field("embedding").type) in ("list<element: float>", "list<item: float>")
    rows = table.to_pylist()
    for row, (outcome, vector) in zip(rows, ROWS, strict=True):
        assert row.pop("embedding") == (None if vector is None else vector.tolist())
        assert row == {**outcome.to_dict(), "notes": list(outcome.notes)}


def test_parquet_writes_as_it_goes(tmp_path):
    rows = [(Outcome(id=i, image_path=f"{i}", status="done"), np.array([i], np.float32)) for i in range(2500)]
    file = parquet.ParquetFile(written(tmp_path / "x.parquet", rows))
    assert file.num_row_groups == 3
    assert file.read().column("embedding").to_pylist() == [[i] for i in range(2500)]


def test_npz(tmp_path):
    with np.load(written(tmp_path / "x.npz"), allow_pickle=False) as arrays:
        assert arrays["embedding"].dtype == np.float32
        assert arrays["embedding"][[0, 2]].tolist() == [ROWS[0][1].tolist(), ROWS[2][1].tolist()]
        assert np.isnan(arrays["embedding"][1]).all()
        assert arrays["status"].tolist() == ["done", "missing", "done"]
        assert arrays["image_path"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]
        assert arrays["width"].tolist() == [4, 0, 5]
        assert arrays["error_message"].tolist() == ["", "'b.jpg' does not exist", ""]
        assert json.loads(str(arrays["snellen"]))["variant"] == "fake"


def test_json_lines(tmp_path):
    lines = written(tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["status"] for row in rows] == ["done", "missing", "done"]
    assert rows[1]["embedding"] is None
    assert np.array(rows[0]["embedding"], np.float32).tobytes() == ROWS[0][1].tobytes()
    assert rows[0]["model"] == {
        "variant": "fake",
        "library": "timm",
        "weights": "seed:0, drawn at random: these numbers mean nothing",
        "digest": None,
        "recipe": "squash 2 nearest",
        "recipe_hash": "abc",
        "dtype": "float32",
        "device": "cpu",
        "runtime": "eager",
    }
    assert rows[0]["notes"] == list(ROWS[0][0].notes)


@pytest.mark.parametrize("ending", FORMATS)
def test_no_rows_at_all(tmp_path, ending):
    written(tmp_path / f"x{ending}", [])


@pytest.mark.parametrize("ending", FORMATS)
def test_only_failures(tmp_path, ending):
    written(tmp_path / f"x{ending}", [ROWS[1]])


@pytest.mark.parametrize("ending", FORMATS)
def test_an_existing_file_is_replaced_only_by_a_complete_one(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"old")

    def interrupted():
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(path, interrupted())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    written(path)
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.csv", "ends in .csv\n  expected: .parquet or .npz or .jsonl"),
        ("x", "has no ending"),
        ("gone/x.npz", "does not exist\n  next: mkdir -p"),
        ("folder.npz", "is a folder"),
    ],
)
def test_places_that_cannot_hold_the_file(tmp_path, name, message):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UsageError, match=message):
        Sink(tmp_path / name, RECORD)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_full_disk_is_said_plainly(tmp_path, ending, monkeypatch):
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="cannot be written: No space left on device"):
        written(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
