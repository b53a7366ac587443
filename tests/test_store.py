"""Writing a store: every input one row, the same rows whatever happened in between, nothing embedded twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from snellen.errors import SnellenError, Unavailable, UsageError
from snellen.records import Origin, Outcome
from snellen.records.inputs import Input
from snellen.store import AlreadyFinished, Store, Writer, finished, layout, listing, part_writer
from snellen.store.layout import Places
from stores import IDENTITY, NAMES, RECORD, embedded, fill, inputs, ledger, stat, table, vector, work

COLUMNS = {
    "id": pa.int64(),
    "image_path": pa.string(),
    "embedding": pa.list_(pa.float32()),
    "status": pa.string(),
    "error_message": pa.string(),
    "sha256": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "notes": pa.list_(pa.string()),
    "file_size": pa.int64(),
    "modified_ns": pa.int64(),
    "same_as": pa.int64(),
}


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch) -> None:
    """Not wait for the disk: here the system itself stays alive."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def statuses(folder: Path) -> list[str]:
    return [row["status"] for row in table(folder)]


def test_every_input_is_one_row_in_order(tmp_path) -> None:
    fill(tmp_path / "out")
    rows = table(tmp_path / "out")
    assert [row["id"] for row in rows] == list(range(len(NAMES)))
    assert [row["image_path"] for row in rows] == [f"photos/{name}" for name in NAMES]
    for row in rows:
        assert (row["embedding"] is not None) == (row["status"] in ("done", "already_present"))
        if row["embedding"] is not None:
            assert np.array_equal(row["embedding"], vector(row["sha256"]))
    assert Counter(row["status"] for row in rows) == {
        "done": 9,
        "already_present": 2,
        "broken": 3,
        "missing": 2,
        "too_large": 1,
    }


def test_a_part_explains_itself(tmp_path) -> None:
    fill(tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "part-00001.parquet")
    assert {field.name: field.type for field in schema} == COLUMNS
    said = json.loads(schema.metadata[b"snellen"])
    assert said["schema"] == "snellen.part/1"
    assert said["identity"]["weights"] == IDENTITY.weights
    assert said["model"] == {**RECORD.to_dict(), **{name: [] for name in ("stored", "choices", "notes")}}
    assert (said["normalized"], said["run"], said["part"], said["first_id"], said["rows"]) == (False, 0, 1, 8, 8)


def test_the_manifest_names_parts_by_their_bytes(tmp_path) -> None:
    fill(tmp_path / "out")
    manifest = Store.open(tmp_path / "out").manifest
    assert [part.rows for part in manifest.parts] == [8, 8, 1]
    for part in manifest.parts:
        data = (tmp_path / "out" / f"part-{part.number:05d}.parquet").read_bytes()
        assert (part.size, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert sum(part.counts.values()) == part.rows
    (run,) = manifest.runs
    assert (run.rows, run.parts, run.part_rows, run.present, run.models) == (17, 3, 8, 0, (RECORD,))


def test_the_manifest_is_written_when_all_parts_are_there(tmp_path) -> None:
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(NAMES), stat, command="snellen embed photos", part_rows=8)
        with writer.part(1) as part:
            work(part)
        assert not (tmp_path / "out" / "manifest.json").exists()
        with pytest.raises(UsageError, match=r"2 of the 3 parts .* part-00000\.parquet, part-00002\.parquet") as raised:
            writer.finish()
        assert "snellen embed photos" in raised.value.todo
        for number in writer.todo(run):
            with writer.part(number) as part:
                work(part)
        assert writer.finish().rows == 17
        assert writer.unfinished is None


@pytest.mark.parametrize("batch", [1, 2, 5, 8, 100])
def test_rows_do_not_depend_on_batches_or_on_the_order_of_the_parts(tmp_path, batch) -> None:
    fill(tmp_path / "whole")
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(NAMES), stat, part_rows=8)
        for number in reversed(list(writer.todo(run))):
            with writer.part(number) as part:
                work(part, batch=batch)
        writer.finish()
    assert table(tmp_path / "out") == table(tmp_path / "whole")
    assert ledger(tmp_path / "out") == ledger(tmp_path / "whole")  # to the byte: the digests of the parts are in it


def test_the_same_bytes_are_embedded_once_in_a_part_and_again_in_the_next(tmp_path) -> None:
    """Across the parts of one run it would depend on which worker came first."""
    fill(tmp_path / "out")
    same = {row["image_path"]: row["same_as"] for row in table(tmp_path / "out") if "=x" in row["image_path"]}
    assert same == {"photos/b=x.jpg": None, "photos/d=x.jpg": 2, "photos/f=x.jpg": None, "photos/j=x.jpg": 8}


def test_the_same_bytes_are_broken_for_the_same_reason(tmp_path) -> None:
    fill(tmp_path / "out")
    first, second = (row for row in table(tmp_path / "out") if "=y" in row["image_path"])
    assert (second["status"], second["error_message"], second["same_as"]) == ("broken", "no good", None)
    assert second["sha256"] == first["sha256"]


def test_a_claim_is_remembered_by_the_next_process(tmp_path) -> None:
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], inputs(NAMES), stat, part_rows=8)
        with writer.part(0) as part:
            part.add([embedded(*next(part.inputs), part, stat) for _ in range(3)])
            part.commit()
        with writer.part(0) as part:
            assert part.claim(hashlib.sha256(b"x").hexdigest(), 4) == 2
            assert part.claim("ff" * 32, 4) is None
            assert part.claim("ff" * 32, 5) == 4


# A later run


def test_what_is_present_is_neither_read_nor_listed(tmp_path) -> None:
    fill(tmp_path / "out")
    asked = []

    def noting(item: Input):
        asked.append(item.path)
        return stat(item)

    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        run = writer.begin(["photos"], inputs([*NAMES, "new.jpg"]), noting, part_rows=8)
        assert (run.number, run.first_part, run.first_id, run.present, run.rows) == (1, 3, 17, 15, 3)
        with writer.part(3) as part:
            assert [item.path for _, item in part.inputs] == [
                f"photos/{n}" for n in ("gone-1.jpg", "gone-2.jpg", "new.jpg")
            ]
    assert asked == [f"photos/{name}" for name in NAMES]  # what is new need not be looked at


def test_a_run_with_nothing_new_is_finished_at_once(tmp_path) -> None:
    good = [name for name in NAMES if not name.startswith("gone")]
    fill(tmp_path / "out", good)
    before = table(tmp_path / "out")
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(good), stat)
        assert (run.rows, run.parts, run.present) == (0, 0, 15)
        assert list(writer.todo(run)) == []
        manifest = writer.finish()
    assert [each.rows for each in manifest.runs] == [15, 0]
    assert table(tmp_path / "out") == before
    fill(tmp_path / "out", [*good, "new.jpg"])  # and the next goes on from there
    assert [row["image_path"] for row in table(tmp_path / "out")[15:]] == ["photos/new.jpg"]


def test_a_file_with_another_name_costs_no_embedding(tmp_path) -> None:
    fill(tmp_path / "out")
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], inputs(["moved=a.jpg", "other=z.jpg"]), stat)
        with writer.part(3) as part:
            row, _ = embedded(17, inputs(["moved=a.jpg"])[0], part, stat)
            assert part.earlier(row.sha256) == 0
            assert part.earlier("ab" * 32) is None
            work(part)
        writer.finish()
    moved, other = table(tmp_path / "out")[17:]
    first = table(tmp_path / "out")[0]
    assert (moved["status"], moved["same_as"]) == ("already_present", 0)
    assert {name: moved[name] for name in ("embedding", "width", "height", "notes")} == {
        name: first[name] for name in ("embedding", "width", "height", "notes")
    }
    assert (other["status"], other["same_as"]) == ("done", None)


def test_bytes_that_were_only_ever_broken_are_looked_at_again(tmp_path) -> None:
    fill(tmp_path / "out")
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], inputs(["bad-9=y.jpg"]), stat)
        with writer.part(3) as part:
            work(part)
        writer.finish()
    assert statuses(tmp_path / "out")[17:] == ["broken"]


def changed(*names: str, to=(99, 5)):
    return lambda item: to if item.path in [f"photos/{name}" for name in names] else stat(item)


def test_a_changed_file_makes_its_former_row_obsolete(tmp_path) -> None:
    fill(tmp_path / "out")
    fill(tmp_path / "out", stamp=changed("a.jpg", "bad-1.jpg"))
    rows = table(tmp_path / "out")[17:]
    assert [row["image_path"] for row in rows] == [
        f"photos/{n}" for n in ("a.jpg", "bad-1.jpg", "gone-1.jpg", "gone-2.jpg")
    ]
    assert Store.open(tmp_path / "out").manifest.superseded == (0, 1, 5, 14)
    fill(tmp_path / "out", ["a.jpg"], stamp=changed("a.jpg"))
    assert Store.open(tmp_path / "out").manifest.runs[2].present == 1
    fill(tmp_path / "out", ["a.jpg"])
    assert 17 in Store.open(tmp_path / "out").manifest.superseded


def test_a_file_that_is_gone_leaves_its_vector(tmp_path) -> None:
    """It is missing now, but nothing else has come in its place."""
    fill(tmp_path / "out", ["a.jpg", "b.jpg"])

    def gone(id_, item, part, stamp):
        row, _ = embedded(id_, item, part, stamp)
        return replace(row, status="missing", sha256=None, same_as=None, file_size=None, modified_ns=None), None

    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(["a.jpg"]), lambda _: None)
        with writer.part(run.first_part) as part:
            part.add([gone(*next(part.inputs), part, stat)])
            part.finish(RECORD)
        manifest = writer.finish()
    assert manifest.superseded == ()
    assert [rows.ids.tolist() for rows in Store.open(tmp_path / "out").parts()] == [[0, 1]]
    fill(tmp_path / "out", ["a.jpg"])  # it is back, as it was
    manifest = Store.open(tmp_path / "out").manifest
    assert manifest.runs[2].present == 1


def test_a_file_named_twice_is_two_rows_which_a_change_replaces_both(tmp_path) -> None:
    fill(tmp_path / "out", ["a.jpg", "b.jpg", "a.jpg"])
    assert statuses(tmp_path / "out") == ["done", "done", "already_present"]
    fill(tmp_path / "out", ["a.jpg", "b.jpg"], stamp=changed("a.jpg"))
    assert Store.open(tmp_path / "out").manifest.superseded == (0, 2)


def test_a_store_without_its_inner_folder_grows_on(tmp_path) -> None:
    """Somebody copied what he could see."""
    import shutil

    for place in ("out", "whole"):
        fill(tmp_path / place)
    shutil.rmtree(tmp_path / "out" / ".snellen")
    for place in ("out", "whole"):
        fill(tmp_path / place, [*NAMES, "moved=a.jpg", "new.jpg"], stamp=changed("c.jpg"))
    assert table(tmp_path / "out") == table(tmp_path / "whole")
    assert ledger(tmp_path / "out") == ledger(tmp_path / "whole")


# What is refused


def test_another_identity_is_refused_and_each_difference_named(tmp_path) -> None:
    fill(tmp_path / "out")
    other = replace(IDENTITY, recipe_hash="9999", dtype="bfloat16")
    with pytest.raises(UsageError) as raised:
        Writer.open(tmp_path / "out", other)
    assert f"recipe_hash is 9999, and {IDENTITY.recipe_hash} there" in raised.value.seen
    assert "dtype is bfloat16, and float32 there" in raised.value.seen
    assert "weights" not in raised.value.seen
    Writer.open(tmp_path / "out", replace(IDENTITY, origin=Origin(kind="file", path="x.pth"))).close()


def test_another_identity_is_refused_before_the_first_run_is_finished(tmp_path) -> None:
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], inputs(NAMES), stat)
    with pytest.raises(UsageError, match="pool is mean, and cls there"):
        Writer.open(tmp_path / "out", replace(IDENTITY, pool="mean"))


def test_a_run_of_other_sources_waits_for_the_unfinished_one(tmp_path) -> None:
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        begun = writer.begin(["photos", "more"], inputs(NAMES), stat, command="snellen embed photos more -o out")
        with pytest.raises(UsageError, match="not finished: photos more") as raised:
            writer.begin(["others"], inputs(NAMES), stat)
        assert raised.value.todo == "finish that one first: snellen embed photos more -o out"

        def never():
            raise AssertionError("a run that goes on reads its own listing")
            yield

        assert writer.begin(["photos", "more"], never(), stat) == begun == writer.unfinished


def test_inputs_that_cannot_be_listed_leave_nothing(tmp_path) -> None:
    def some():
        yield from inputs(NAMES)
        raise UsageError("the folder 'x' holds no images")

    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        with pytest.raises(UsageError, match="holds no images"):
            writer.begin(["photos"], some(), stat)
        assert writer.unfinished is None
        assert [path.name for path in (tmp_path / "out" / ".snellen").glob("run-*")] == []
    fill(tmp_path / "out", sources=["others"])


def test_only_a_store_or_an_empty_folder_is_written_to(tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"is no store, and holds other things: 1\.jpg, 2\.jpg, 3\.jpg and 1 more"):
        Writer.open(tmp_path / "photos", IDENTITY)
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    with pytest.raises(UsageError, match="is a file"):
        Writer.open(tmp_path / "photos" / "1.jpg", IDENTITY)
    (tmp_path / "disk" / "lost+found").mkdir(parents=True)
    Writer.open(tmp_path / "disk", IDENTITY).close()
    (tmp_path / "disk" / "notes.txt").write_text("mine")  # in a store that is one, other things may lie
    Writer.open(tmp_path / "disk", IDENTITY).close()


@pytest.mark.parametrize("shard", [(4, 4), (-1, 4), (0, 0)])
def test_a_shard_that_is_none_is_refused(tmp_path, shard) -> None:
    with pytest.raises(UsageError, match=f"no shard {shard[0]} of {shard[1]}"):
        Writer.open(tmp_path / "out", IDENTITY, shard=shard)
    assert not (tmp_path / "out").exists()


def test_a_finished_part_is_not_written_again(tmp_path) -> None:
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(NAMES), stat, part_rows=8)
        assert finished(tmp_path / "out", 0) is None
        with writer.part(0) as part:
            work(part)
        record = finished(tmp_path / "out", 0)
        assert record in list(writer.done(run))
        with pytest.raises(AlreadyFinished) as raised:
            writer.part(0)
        assert raised.value.record == record
        assert list(writer.todo(run)) == [1, 2]
        (tmp_path / "out" / "part-00000.parquet").unlink()  # somebody tidied up: it is to be done again
        assert list(writer.todo(run)) == [0, 1, 2]
        for number in (3, -1):
            with pytest.raises(UsageError, match="is no part of the run in work"):
                writer.part(number)


def test_a_part_without_a_run_is_refused(tmp_path) -> None:
    Writer.open(tmp_path / "out", IDENTITY).close()
    with pytest.raises(UsageError, match="no run of the store"):
        part_writer(tmp_path / "out", 0)


def rows_of_part(part, count: int):
    return [embedded(*next(part.inputs), part, stat) for _ in range(count)]


@pytest.fixture
def part(tmp_path):
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], inputs(NAMES), stat, part_rows=8)
        with writer.part(0) as part:
            yield part


SPOILT = {
    "comes where": lambda row, vector: (replace(row, id=1), vector),
    r"photos/z\.jpg": lambda row, vector: (replace(row, image_path="photos/z.jpg"), vector),
    "is done, without a vector": lambda row, vector: (row, None),
    "is broken, with a vector": lambda row, vector: (replace(row, status="broken"), vector),
    r"float32 \[3\]": lambda row, vector: (row, vector[:3]),
    r"float64 \[4\]": lambda row, vector: (row, vector.astype(float)),
    "not as which row": lambda row, vector: (replace(row, status="already_present"), None),
    "not in this part": lambda row, vector: (replace(row, status="already_present", same_as=7), None),
}


@pytest.mark.parametrize("said", SPOILT)
def test_a_row_that_is_not_of_its_input_is_refused(part, said) -> None:
    (row,) = rows_of_part(part, 1)
    with pytest.raises(ValueError, match=said):
        part.add([SPOILT[said](*row)])
    part.add([row])
    with pytest.raises(ValueError, match="comes where that of no input"):
        part.add([row])
    assert part.rows_done == 1


def test_a_part_is_not_finished_before_its_last_row(part) -> None:
    part.add(rows_of_part(part, 7))
    with pytest.raises(ValueError, match="part 0 has 7 of 8 rows"):
        part.finish(RECORD)
    part.add(rows_of_part(part, 1))
    assert part.finish(RECORD).counts == part.counts


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("manifest.json", "{", "is not JSON"),
        ("manifest.json", "[]", "is no record"),
        ("manifest.json", '{"schema": "snellen.store/9"}', r"is of the schema 'snellen\.store/9'"),
        ("manifest.json", '{"schema": "snellen.store/1"}', "is missing"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path, name, text, said) -> None:
    fill(tmp_path / "out")
    (tmp_path / "out" / name).write_text(text)
    for look in (lambda: Store.open(tmp_path / "out"), lambda: Writer.open(tmp_path / "out", IDENTITY)):
        with pytest.raises(SnellenError, match=said) as raised:
            look()
        assert raised.value.todo


def test_a_file_that_may_not_be_read_is_said_to_be(tmp_path, monkeypatch) -> None:
    fill(tmp_path / "out")
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(Unavailable, match="cannot be read: Permission denied"):
        Store.open(tmp_path / "out")


def test_a_listing_that_is_gone_is_named(tmp_path) -> None:
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], inputs(NAMES), stat)
        Places(tmp_path / "out").listing(0, 0).unlink()
        with writer.part(0) as part, pytest.raises(UsageError, match=r"listing-00000\.parquet' is missing"):
            next(part.inputs)


# The listing


def test_a_listing_gives_inputs_back_as_they_were(tmp_path) -> None:
    odd = [
        Input(path="photos/\\udcff.jpg", place=os.fsdecode(b"photos/\xff.jpg")),
        Input(path="a.tar/x.jpg", place="/data/a.tar", kind="tar", offset=512, size=10),
        Input(path="t.parquet/7", place="s3://b/t.parquet", kind="parquet", row=7, column="image"),
        Input(path="http://h/x.jpg", place="http://h/x.jpg", kind="url"),
        Input(path="名/é.jpg", place="/名/é.jpg"),
    ]
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], odd, stat)
        with writer.part(0) as part:
            assert list(part.inputs) == list(enumerate(odd))


def test_text_that_no_file_can_hold_is_escaped(tmp_path) -> None:
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], inputs(["a.jpg"]), stat)
        with writer.part(0) as part:
            id_, item = next(part.inputs)
            row = Outcome(id=id_, image_path=item.path, status="missing", error_message="no \udcff", notes=("\udc80",))
            part.add([(row, None)])
            part.finish(RECORD)
        writer.finish()
    (row,) = table(tmp_path / "out")
    assert (row["error_message"], row["notes"]) == ("no \\udcff", ["\\udc80"])


def test_a_long_listing_is_cut_into_files_that_parts_need_not_fit(tmp_path, monkeypatch) -> None:
    names = [f"{number:03d}.jpg" for number in range(100)]
    fill(tmp_path / "whole", names, part_rows=7)
    monkeypatch.setattr(listing, "GROUP", 4)
    monkeypatch.setattr(listing, "LISTED", 16)
    fill(tmp_path / "out", names, part_rows=7)
    assert len(list((tmp_path / "out" / ".snellen" / "run-00000").glob("listing-*"))) == 7
    assert table(tmp_path / "out") == table(tmp_path / "whole")
    assert ledger(tmp_path / "out") == ledger(tmp_path / "whole")
    fill(tmp_path / "out", [*names, "new.jpg"], stamp=changed("050.jpg"))
    assert Store.open(tmp_path / "out").manifest.superseded == (50,)


@pytest.mark.parametrize(
    ("rows", "length"),
    [
        (0, 256),
        (1, 256),
        (2_000, 256),
        (5_000, 512),
        (100_000, 6_400),
        (159_744, 9_984),
        (10**6, 10_000),
        (10**8, 10_000),
    ],
)
def test_the_length_of_parts_follows_from_the_number_of_inputs(rows, length) -> None:
    assert layout.part_rows(rows) == length


def test_row_groups_do_not_depend_on_batches(tmp_path, monkeypatch) -> None:
    names = [f"{number:04d}.jpg" for number in range(2_500)]
    fill(tmp_path / "out", names, part_rows=2_500)
    file = pq.ParquetFile(tmp_path / "out" / "part-00000.parquet")
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert groups == [1024, 1024, 452]
