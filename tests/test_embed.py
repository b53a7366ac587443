"""The loop, what goes into it and what comes out, with a model whose vectors can be foretold from the pixels."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from fakes import RECORD, FakeModel, picture
from snellen.embed.inputs import expand, printable
from snellen.embed.run import embed
from snellen.embed.sinks import FORMATS, Sink
from snellen.errors import Unavailable, UsageError
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
def test_a_bad_image_neither_stops_nor_shifts_the_others(mixed, batch_size, workers):
    model = FakeModel()
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
    assert sum(model.batches) == 6
    assert max(model.batches) <= batch_size


def test_memory_is_flat_and_the_loop_is_lazy(tmp_path):
    """However many inputs there are, no more are taken than a batch, what waits behind it and one."""
    path = picture(tmp_path / "a.png", 7)
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield path

    rows = embed(FakeModel(), endless(), batch_size=4, workers=2)
    for _ in range(20):
        next(rows)
    assert 20 <= taken <= 20 + 2 * 4 + 2
    rows.close()


def test_an_error_that_is_no_image_error_is_not_swallowed(tmp_path):
    model = FakeModel()
    model.recipe.pixels = lambda picture: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(embed(model, [picture(tmp_path / "a.png", 7)]))


def test_values_that_are_not_finite_are_no_embedding(tmp_path):
    model = FakeModel()
    model.embed_pixels = lambda pixels: np.array([[1.0, np.nan], [1.0, 2.0]], np.float32)
    path = picture(tmp_path / "a.png", 7)
    (bad, none), (good, vector) = embed(model, [path, path])
    assert (bad.status, none) == ("broken", None)
    assert "not finite" in bad.error_message
    assert (good.status, vector.tolist()) == ("done", [1.0, 2.0])


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


@pytest.fixture
def tree(tmp_path: Path, monkeypatch) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/c.webp", "sub/deep/d.tif", ".git/x.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "photos/sub/loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(*sources: str, stdin: bytes = b"") -> list[str]:
    return list(expand(sources, io.BytesIO(stdin)))


def test_a_folder_stands_for_its_images(tree):
    expected = ["photos/a.PNG", "photos/b.jpg", "photos/sub/c.webp", "photos/sub/deep/d.tif"]
    assert listed("photos") == expected
    assert listed("photos/") == expected
    assert listed(str(tree / "photos")) == [str(tree / path) for path in expected]


def test_a_pattern_stands_for_the_files_it_matches(tree):
    assert listed("photos/*.jpg") == ["photos/b.jpg"]
    assert listed("photos/*") == ["photos/a.PNG", "photos/b.jpg", "photos/notes.txt"]
    assert listed("photos/**/?.webp") == ["photos/sub/c.webp"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tree):
    (tree / "[1].jpg").touch()
    assert listed("[1].jpg") == ["[1].jpg"]


def test_order_and_repetition_are_kept_and_missing_paths_stay(tree):
    named = ("photos/b.jpg", "gone.jpg", "photos/a.PNG", "photos/b.jpg", "photos/notes.txt")
    assert listed(*named) == list(named)


def test_a_list_on_stdin(tree):
    assert listed("-", "z.jpg", stdin=b"x y.jpg\r\n\nphotos\n*.jpg\nlast") == [
        "x y.jpg",
        "photos",
        "*.jpg",
        "last",
        "z.jpg",
    ]


@pytest.mark.parametrize(
    ("source", "message"), [("photos/empty", "holds no images"), ("photos/*.gif", "matches no file")]
)
def test_nothing_found_is_an_error(tree, source, message):
    with pytest.raises(UsageError, match=message):
        listed(source)


def test_a_name_that_is_not_text_can_be_written(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(raw)).write_bytes(Path(picture(tmp_path / "a.png", 7)).read_bytes())
    path = next(name for name in listed(str(tmp_path)) if "caf" in name)
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
        "weights": "seed:0",
        "digest": None,
        "recipe": "squash 2 nearest",
        "recipe_hash": "abc",
        "dtype": "float32",
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
