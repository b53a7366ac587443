"""A finished store, read: held to what Parquet's own reader gives, and to rules written out a second time."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from snellen.errors import UsageError
from snellen.store import Duplicates, Store, Writer, clip_layout, duplicates, known, reading
from snellen.store.layout import Places
from stores import IDENTITY, NAMES, WIDTH, fill, inputs, ledger, stat, table, vector, work

MORE = [*NAMES, "new.jpg", "moved=a.jpg", "last=g.jpg"]


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch) -> None:
    """Not wait for the disk: here the system itself stays alive."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def changed(item):
    return (99, 2) if item.path in ("photos/c.jpg", "photos/j=x.jpg") else stat(item)


@pytest.fixture
def place(tmp_path) -> Path:
    """A store of two runs, with rows that are obsolete."""
    fill(tmp_path / "out")
    fill(tmp_path / "out", MORE, stamp=changed)
    return tmp_path / "out"


@pytest.fixture
def good(place) -> dict[int, dict[str, object]]:
    gone = Store.open(place).manifest.superseded
    assert len(gone) == 4
    return {row["id"]: row for row in table(place) if row["embedding"] is not None and row["id"] not in gone}


def test_parts_give_the_good_rows(place, good) -> None:
    store = Store.open(place)
    for asked in (False, True):
        parts = list(store.parts(paths=asked))
        assert [part.number for part in parts] == [0, 1, 2, 3]
        assert np.concatenate([part.ids for part in parts]).tolist() == list(good)
        found = np.concatenate([part.vectors for part in parts])
        assert found.dtype == np.float32
        assert np.array_equal(found, [row["embedding"] for row in good.values()])
        paths = [path for part in parts for path in part.paths]
        assert paths == ([row["image_path"] for row in good.values()] if asked else [])
    assert store.good().tolist() == list(good)
    assert store.rows == len(table(place))


def test_a_part_without_good_rows_is_left_out(tmp_path) -> None:
    fill(tmp_path / "out", ["bad-1.jpg", "gone-1.jpg", "a.jpg"], part_rows=2)
    store = Store.open(tmp_path / "out")
    assert [part.number for part in store.parts()] == [1]
    assert store.part(store.manifest.parts[0]).vectors.shape == (0, WIDTH)
    fill(tmp_path / "out", ["a.jpg"], stamp=lambda _: (7, 7))
    assert [part.number for part in Store.open(tmp_path / "out").parts()] == [2]


def test_rows_by_their_ids_in_the_order_asked(place, good) -> None:
    store, rows = Store.open(place), {row["id"]: row for row in table(place)}
    asked = [16, 0, 8, 1, 19, 0]
    for row, identity in zip(store.outcomes(asked), asked, strict=True):
        expected = {name: value for name, value in rows[identity].items() if name != "embedding"}
        assert row.to_dict() == {**expected, "notes": tuple(expected["notes"])}
    asked = [*reversed(list(good)), 0]
    assert np.array_equal(store.vectors(asked), [rows[identity]["embedding"] for identity in asked])
    assert store.vectors([]).shape == (0, WIDTH)
    assert store.outcomes([]) == []
    assert [row.id for row in store.ledger()] == list(rows)
    with pytest.raises(UsageError, match="row 1 has no vector"):
        store.vectors([0, 1])
    for identity in (-1, len(rows)):
        with pytest.raises(UsageError, match=f"has no row {identity}"):
            store.outcomes([identity])


def test_rows_of_long_parts_are_read_by_row_groups(tmp_path, monkeypatch) -> None:
    names = [f"{number:04d}.jpg" for number in range(2_500)]
    fill(tmp_path / "out", names, part_rows=2_300)
    store, read, draw = Store.open(tmp_path / "out"), [], random.Random(3)
    table_of = reading.table_of
    monkeypatch.setattr(
        reading, "table_of", lambda path, columns, groups: read.append(groups) or table_of(path, columns, groups)
    )
    asked = [draw.randrange(2_500) for _ in range(50)]
    assert [row.image_path for row in store.outcomes(asked)] == [f"photos/{identity:04d}.jpg" for identity in asked]
    assert sorted(read) == [[0], [0], [1], [2]]
    expected = [vector(hashlib.sha256(f"{identity:04d}".encode()).hexdigest()) for identity in asked]
    assert np.array_equal(store.vectors(asked), expected)


def test_where_the_bytes_of_rows_were(place) -> None:
    store = Store.open(place)
    assert store.inputs([19, 0, 3]) == inputs(["gone-2.jpg", "a.jpg", "c.jpg"])
    shutil.rmtree(place / ".snellen")
    assert Store.open(place).rows == store.rows  # a reader needs only what can be seen
    with pytest.raises(UsageError, match=r"run\.json' is missing"):
        store.inputs([0])


def test_no_store_and_an_unfinished_one_are_told_apart(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        with pytest.raises(UsageError, match="is no store"):
            Store.open(tmp_path / name)
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(
            ["photos"], inputs(NAMES), stat, command="snellen embed photos -m stub --shard 0/2 -o out", part_rows=8
        )
        with writer.part(0) as part:
            work(part)
    with pytest.raises(UsageError, match="is not finished") as raised:
        Store.open(tmp_path / "out")
    assert raised.value.todo == "finish it: snellen embed photos -m stub -o out"


def test_a_later_run_counts_when_it_is_finished(place) -> None:
    before, rows = ledger(place), table(place)
    with Writer.open(place, IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(["z.jpg"]), stat)
        with writer.part(run.first_part) as part:
            work(part)
    assert (ledger(place), table(place)) == (before, rows)
    assert Store.open(place).good().max() < run.first_id


@pytest.mark.parametrize("how", ["gone", "cut", "shorter", "wider"])
def test_a_damaged_part_is_named(place, how) -> None:
    path = place / "part-00001.parquet"
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        there = pq.read_table(path)
        if how == "shorter":
            there = there.slice(1)
        else:
            wider = pa.array([row and [*row, 1.0] for row in there["embedding"].to_pylist()], pa.list_(pa.float32()))
            there = there.set_column(2, "embedding", wider)
        pq.write_table(there, path)
    with pytest.raises(UsageError, match=r"the store is damaged: '.*part-00001\.parquet'") as raised:
        list(Store.open(place).parts())
    assert raised.value.todo


# Duplicates


@pytest.mark.parametrize("how", [os.remove, lambda path: os.truncate(path, 100)])
def test_a_run_does_not_take_what_is_lost_for_present(place, how) -> None:
    before = len(Store.open(place).manifest.runs)
    fill(place)
    assert len(Store.open(place).manifest.runs) == before + 1  # with all parts there it is begun
    how(place / "part-00000.parquet")
    with pytest.raises(UsageError, match=r"part-00000\.parquet' (is missing|has 100 bytes)"):
        fill(place)


def groups(rows: dict[int, dict[str, object]]) -> list[Duplicates]:
    by_bytes = defaultdict(list)
    for row in rows.values():
        by_bytes[row["sha256"]].append(row)
    found = [
        Duplicates(sha256, tuple(row["id"] for row in same), tuple(row["image_path"] for row in same))
        for sha256, same in by_bytes.items()
        if len(same) > 1
    ]
    return sorted(found, key=lambda group: group.ids[0])


def test_duplicates_are_the_good_rows_with_the_same_bytes(place, good) -> None:
    found = list(duplicates(Store.open(place)))
    assert found == groups(good)
    assert len(found) == 3
    shutil.rmtree(place / ".snellen")  # without an index one is made for it
    assert list(duplicates(Store.open(place))) == found
    assert not (place / ".snellen").exists()


def test_a_store_without_duplicates_has_none(tmp_path) -> None:
    fill(tmp_path / "out", ["a.jpg", "b.jpg", "bad-1=y.jpg", "bad-2=y.jpg"])
    assert list(duplicates(Store.open(tmp_path / "out"))) == []
    fill(tmp_path / "none", ["bad-1.jpg"])
    assert list(duplicates(Store.open(tmp_path / "none"))) == []


# The index, which is larger than memory


@pytest.mark.parametrize("chunk", [3, 64, 10_000])
def test_the_index_does_not_depend_on_what_fits_into_memory(tmp_path, monkeypatch, chunk) -> None:
    monkeypatch.setattr(known, "CHUNK", chunk)
    draw = random.Random(chunk)
    names = [f"{number}={draw.randrange(40)}.jpg" for number in range(150)]
    fill(tmp_path / "out", names, part_rows=20)
    fill(tmp_path / "out", [*names, *(f"again-{name}" for name in names[:60])], stamp=lambda item: (len(item.path), 3))
    fill(tmp_path / "out", [*names, "bad-1.jpg"], stamp=lambda item: (len(item.path), 3))
    store = Store.open(tmp_path / "out")
    rows = {row["id"]: row for row in table(tmp_path / "out")}
    gone = set(store.manifest.superseded)
    assert gone == set(range(150))
    index = known.Known(Places(tmp_path / "out").known(3))
    firsts, paths = {}, defaultdict(list)
    for identity, row in rows.items():
        if row["embedding"] is not None:
            firsts.setdefault(row["sha256"], identity)
        if identity not in gone:
            paths[row["image_path"]].append((identity, (row["file_size"], row["modified_ns"])))
    for sha256, identity in firsts.items():
        assert index.content(sha256) == identity
    for strange in ("00" * 32, "ff" * 32, "80" * 32):
        assert index.content(strange) is None
    asked = [*paths, "photos/none.jpg"]
    found = index.paths([known.path_key(path) for path in asked])
    assert [[(row.id, row.stamp) for row in each] for each in found] == [*paths.values(), []]
    live = {identity: row for identity, row in rows.items() if row["embedding"] is not None and identity not in gone}
    assert list(duplicates(store)) == groups(live)


def test_times_before_1970_and_unknown_ones(tmp_path) -> None:
    early = lambda item: (1, -5) if "a.jpg" in item.path else None  # noqa: E731
    fill(tmp_path / "out", ["a.jpg", "b.jpg"], stamp=early)
    fill(tmp_path / "out", ["a.jpg", "b.jpg"], stamp=early)
    (_, run) = Store.open(tmp_path / "out").manifest.runs
    assert (run.present, run.rows) == (1, 1)  # nothing tells whether b.jpg is the same


def test_an_index_that_is_cut_off_is_made_anew(place) -> None:
    path = Places(place).known(2) / "content"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with Writer.open(place, IDENTITY) as writer:
        writer.begin(["photos"], inputs(["z.jpg"]), stat)
        assert path.read_bytes() == whole
        path.write_bytes(whole[:-1])
        with pytest.raises(UsageError, match="the store is damaged"):
            writer.part(4)


# The layout of clip-retrieval


def pairs(place: Path) -> tuple[list[np.ndarray], list[dict[str, object]]]:
    """Read the pairs as embedding-reader does: both folders in the order of their names."""
    matrices = [np.load(path) for path in sorted((place / "img_emb").iterdir())]
    tables = [pq.read_table(path) for path in sorted((place / "metadata").iterdir())]
    assert [len(matrix) for matrix in matrices] == [len(rows) for rows in tables]
    return matrices, [row for rows in tables for row in rows.to_pylist()]


def test_the_clip_layout_holds_the_good_rows(place, good) -> None:
    assert clip_layout(place) == 4
    for folder, ending in (("img_emb", "npy"), ("metadata", "parquet")):
        names = sorted(path.name for path in (place / folder).iterdir())
        assert names == [f"{folder}_{number:05d}.{ending}" for number in range(4)]
    matrices, rows = pairs(place)
    columns = ("id", "image_path", "sha256", "width", "height")
    assert rows == [{name: row[name] for name in columns} for row in good.values()]
    found = np.concatenate(matrices)
    assert found.dtype == np.float16
    exact = np.array([row["embedding"] for row in good.values()], np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    assert np.abs(found - exact).max() <= 2.0**-11


def test_only_pairs_that_are_out_of_date_are_written(place) -> None:
    assert clip_layout(place) == 4
    assert clip_layout(place) == 0
    (place / "img_emb" / "img_emb_00001.npy").unlink()
    assert clip_layout(place) == 1
    (place / "metadata" / "metadata_00003.parquet").write_bytes(b"")
    assert clip_layout(place) == 1
    fill(place, ["k.jpg"], stamp=lambda _: (3, 3))
    assert clip_layout(place) == 2  # the new part, and the one whose row is obsolete
    _, rows = pairs(place)
    assert [row["id"] for row in rows if row["image_path"] == "photos/k.jpg"] == [Store.open(place).rows - 1]


def test_a_death_between_the_two_of_a_pair_is_noticed(place, monkeypatch) -> None:
    from snellen.store import clip

    clip_layout(place)
    fill(place, ["k.jpg"], stamp=lambda _: (3, 3))
    with monkeypatch.context() as patch:
        patch.setattr(clip, "_write_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            clip_layout(place)
    assert clip_layout(place) == 2
    pairs(place)


def test_a_vector_of_zeros_stays_one(tmp_path, monkeypatch) -> None:
    import stores

    monkeypatch.setattr(stores, "vector", lambda _: np.zeros(WIDTH, np.float32))
    fill(tmp_path / "out", ["a.jpg"])
    clip_layout(tmp_path / "out")
    assert pairs(tmp_path / "out")[0][0].tolist() == [[0.0] * WIDTH]


def test_the_layout_is_of_a_finished_store(tmp_path) -> None:
    with pytest.raises(UsageError, match="is no store"):
        clip_layout(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
