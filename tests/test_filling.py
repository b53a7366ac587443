"""Stores filled by a stub encoder: every input has one outcome, and nothing that happens on the way changes a row."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import Table, concat_tables, parquet

from snellen.embed import engines, parts
from snellen.embed.engines import Local, Processes
from snellen.embed.filling import Filled, Order, TooManyErrors, Watching, fill
from snellen.errors import SnellenError, UsageError
from snellen.images import decode
from snellen.store import Store, duplicates, merge
from stub_encoder import StubJob

JOB = StubJob()
ROWS = 16  # of a part


def quiet() -> Watching:
    return Watching(say=lambda text: None, begin=lambda total, done: None, add=lambda progress: None)


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Fifty files: three damaged, four with the bytes of another (of the same part, and of one before)."""
    folder = tmp_path_factory.mktemp("images") / "photos"
    for number in range(50):
        draw(folder / f"{number:02d}.png", number)
    (folder / "05.png").write_bytes(b"not an image")
    (folder / "17.png").write_bytes(b"")
    whole = (folder / "40.png").read_bytes()
    (folder / "41.png").write_bytes(whole[: len(whole) // 2])
    for twin, of in ((3, 1), (9, 5), (20, 2), (48, 49)):
        shutil.copy(folder / f"{of:02d}.png", folder / f"{twin:02d}.png")
    return folder


def order(photos: Path, out: Path, **changes: object) -> Order:
    return replace(Order(folder=out, sources=(str(photos),), command="again", part_rows=ROWS), **changes)


def filled(photos: Path, out: Path, job: StubJob = JOB, **changes: object) -> Filled:
    with Local(job) as engine:
        return fill(order(photos, out, **changes), engine, io.BytesIO(), quiet())


def rows(out: Path) -> Table:
    parts = Store.open(out).manifest.parts
    return concat_tables(
        [parquet.read_table(out / f"part-{part.number:05d}.parquet").replace_schema_metadata(None) for part in parts]
    )


@pytest.fixture(scope="module")
def clean(photos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("clean") / "store"
    assert filled(photos, out).manifest is not None
    return out


def test_every_input_has_one_outcome_and_its_own_vector(photos, clean):
    table = rows(clean).to_pylist()
    assert [row["id"] for row in table] == list(range(50))
    assert [Path(row["image_path"]).name for row in table] == sorted(path.name for path in photos.iterdir())
    stub = JOB.open()
    for row in table:
        number = row["id"]
        if number in (5, 9, 17, 41):
            assert (row["status"], row["embedding"]) == ("broken", None)
            assert row["error_message"]
            continue
        ((expected,),) = stub.vectors([stub.recipe.array(decode(photos / f"{number:02d}.png"))[None]])
        assert np.array_equal(np.float32(row["embedding"]), expected)
        assert row["same_as"] == {3: 1, 49: 48}.get(number)
        assert row["status"] == ("done" if row["same_as"] is None else "already_present")
    counts = Counter(row["status"] for row in table)
    assert counts == {"done": 44, "already_present": 2, "broken": 4}
    parts = Store.open(clean).manifest.parts
    assert [part.rows for part in parts] == [16, 16, 16, 2]
    assert sum((Counter(part.counts) for part in parts), Counter()) == counts


@pytest.mark.parametrize("after", range(0, 18, 2))
def test_a_run_that_ends_anywhere_goes_on_with_the_same_batches(photos, clean, tmp_path, after, monkeypatch):
    with Local(JOB) as engine:
        whole = engine.run

        def cut(folder, numbers):
            for number, event in enumerate(whole(folder, numbers)):
                if number == after:
                    raise KeyboardInterrupt
                yield event

        monkeypatch.setattr(engine, "run", cut)
        with pytest.raises(KeyboardInterrupt):
            fill(order(photos, tmp_path / "s"), engine, io.BytesIO(), quiet())
    with Local(JOB) as engine:
        assert fill(order(photos, tmp_path / "s"), engine, io.BytesIO(), quiet()).manifest is not None
        again = engine.model.seen[1:]  # the first was to see how wide vectors are
    assert rows(tmp_path / "s").equals(rows(clean))
    batches = [4, 4, 4, 1, 4, 4, 4, 3, 4, 4, 4, 3, 1]  # whole ones of each part, and what is left of it
    assert again == batches[len(batches) - len(again) :]
    assert len(again) <= len(batches) - (after - after // 5) + 1


def test_the_batch_size_and_threads_change_no_row(photos, clean, tmp_path):
    assert filled(photos, tmp_path / "s", replace(JOB, batch_size=7, workers=5)).manifest is not None
    assert rows(tmp_path / "s").equals(rows(clean))


def test_rows_that_differ_are_seen(photos, clean, tmp_path):
    """The control of the comparisons in this file."""
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    draw(copy / "30.png", 1030)
    assert filled(copy, tmp_path / "s").manifest is not None
    assert (
        not rows(tmp_path / "s")
        .drop_columns(["image_path", "modified_ns"])
        .equals(rows(clean).drop_columns(["image_path", "modified_ns"]))
    )


def test_shards_joined_are_the_whole(photos, clean, tmp_path):
    for index in (2, 0):
        assert filled(photos, tmp_path / "s", shard=(index, 3)).manifest is None
    with pytest.raises(UsageError, match="part"):
        merge(tmp_path / "s")
    assert filled(photos, tmp_path / "s", shard=(1, 3)).manifest is not None  # the last to come finishes it
    assert rows(tmp_path / "s").equals(rows(clean))


def test_shards_in_folders_of_their_own(photos, clean, tmp_path):
    for index in range(2):
        assert filled(photos, tmp_path / f"s{index}", shard=(index, 2)).missing == 2
    with pytest.raises(UsageError, match="part"):
        merge(tmp_path / "half", [tmp_path / "s0"])
    merge(tmp_path / "whole", [tmp_path / "s0", tmp_path / "s1"])
    assert rows(tmp_path / "whole").equals(rows(clean))


def test_two_processes_are_one_ledger(photos, clean, tmp_path):
    jobs = [replace(JOB, asked=replace(JOB.asked, device=f"npu:{index}")) for index in range(2)]
    with Processes(jobs) as engine:
        assert {record.device for record in engine.records} == {"npu:0", "npu:1"}
        found = fill(order(photos, tmp_path / "s"), engine, io.BytesIO(), quiet())
    assert found.manifest is not None
    assert found.counts == {"done": 44, "already_present": 2, "broken": 4}
    assert rows(tmp_path / "s").equals(rows(clean))


def test_a_process_that_is_killed_ends_the_run_and_loses_nothing(photos, clean, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "LOOK_S", 0.05)
    with Processes([replace(JOB, pause_s=0.05)] * 2) as engine:
        run = engine.run

        def murderous(folder, numbers):
            for number, event in enumerate(run(folder, numbers)):
                if number == 2:
                    os.kill(engine._workers[0].pid, signal.SIGKILL)
                yield event

        monkeypatch.setattr(engine, "run", murderous)
        with pytest.raises(SnellenError, match="died"):
            fill(order(photos, tmp_path / "s"), engine, io.BytesIO(), quiet())
    monkeypatch.setattr(parts, "WAIT_S", 5.0)
    assert filled(photos, tmp_path / "s").manifest is not None
    assert rows(tmp_path / "s").equals(rows(clean))


ORPHANS = """
import io, sys
from pathlib import Path
from test_filling import JOB, Processes, Watching, fill, order, quiet, replace

def tell(progress):
    print(*(worker.pid for worker in engine._workers), flush=True)

with Processes([replace(JOB, pause_s=1.5)] * 2) as engine:
    fill(order(Path(sys.argv[1]), Path(sys.argv[2])), engine, io.BytesIO(), replace(quiet(), add=tell))
"""


def test_the_processes_end_with_the_one_that_began_them(photos, clean, tmp_path, monkeypatch):
    command = [sys.executable, "-c", ORPHANS, str(photos), str(tmp_path / "s")]
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}) as parent:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    monkeypatch.setattr(parts, "WAIT_S", 2.0)  # three batches of each part, 4.5 seconds, are still to come
    assert filled(photos, tmp_path / "s").manifest is not None
    assert rows(tmp_path / "s").equals(rows(clean))


def test_processes_must_run_one_encoder(tmp_path):
    with pytest.raises(UsageError, match="weights is"):
        Processes([JOB, replace(JOB, weights="1" * 64)])


def test_a_second_run_embeds_what_is_new(photos, tmp_path):
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    assert filled(copy, tmp_path / "s").run.present == 0
    (copy / "10.png").rename(copy / "sub.png")  # renamed: its bytes are known
    draw(copy / "11.png", 1011)  # changed: embedded anew
    draw(copy / "99.png", 99)  # new
    again = filled(copy, tmp_path / "s")
    assert again.run.present == 48
    assert again.counts == {"done": 2, "already_present": 1}
    store = Store.open(tmp_path / "s")
    assert store.manifest.superseded == (11,)
    renamed = next(row for row in store.ledger() if row.image_path.endswith("sub.png"))
    assert (renamed.status, renamed.same_as) == ("already_present", 10)
    assert np.array_equal(*store.vectors([10, renamed.id]))
    nothing = filled(copy, tmp_path / "s")
    assert (nothing.run.rows, nothing.run.present) == (0, 51)


def test_duplicates_are_listed(clean):
    groups = {tuple(group.ids) for group in duplicates(Store.open(clean))}
    assert groups == {(1, 3), (2, 20), (48, 49)}


def test_other_encoders_and_other_sources_are_refused(photos, clean, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(clean, copy)
    with pytest.raises(UsageError, match=r"normalized is (?:False|True)"):
        filled(photos, copy, replace(JOB, normalized=True))
    with pytest.raises(UsageError, match="weights is"):
        filled(photos, copy, replace(JOB, weights="1" * 64))
    draw(tmp_path / "more" / "new.png", 7)
    with Local(JOB) as engine:
        engine.run = lambda folder, parts: iter([1 / 0])  # type: ignore[method-assign]
        with pytest.raises(ZeroDivisionError):
            fill(order(tmp_path / "more", copy), engine, io.BytesIO(), quiet())
    with pytest.raises(UsageError, match="again"):
        filled(photos, copy)
    assert filled(tmp_path / "more", copy).manifest is not None


def test_too_many_errors_end_the_run_and_more_of_them_go_on(photos, clean, tmp_path):
    with pytest.raises(TooManyErrors, match="could not be embedded"):
        filled(photos, tmp_path / "s", max_errors=2)
    for _ in range(4):  # as a scheduler does it: no attempt comes to the end
        with pytest.raises(TooManyErrors):
            filled(photos, tmp_path / "s", max_errors=2)
    assert filled(photos, tmp_path / "s", max_errors=4).manifest is not None
    assert rows(tmp_path / "s").equals(rows(clean))


@pytest.mark.parametrize("error", [UsageError("no"), KeyboardInterrupt()])
def test_a_run_that_is_not_agreed_to_was_never_asked_for(photos, tmp_path, error):
    def settle(run):
        raise error

    with pytest.raises(type(error)):
        filled(photos, tmp_path / "s", settle=settle)
    assert filled(photos, tmp_path / "s", sources=(str(photos / "01.png"),)).manifest is not None


def test_vectors_of_length_one(photos, clean, tmp_path):
    filled(photos, tmp_path / "s", replace(JOB, normalized=True))
    assert Store.open(tmp_path / "s").identity.normalized
    (raw,), (unit,) = (Store.open(folder).vectors([30]) for folder in (clean, tmp_path / "s"))
    assert np.allclose(unit, raw / np.linalg.norm(raw), rtol=1e-6)
    assert not np.allclose(unit, raw)


def test_the_layout_of_clip_retrieval_beside_our_own(photos, tmp_path):
    filled(photos, tmp_path / "s", layout="clip-retrieval")
    vectors = np.load(tmp_path / "s" / "img_emb" / "img_emb_00000.npy")
    names = parquet.read_table(tmp_path / "s" / "metadata" / "metadata_00000.parquet").column("image_path")
    assert vectors.dtype == np.float16
    assert len(vectors) == len(names) == 14
    said: list[str] = []
    for layout, stale in (("snellen", True), ("clip-retrieval", False)):
        with Local(JOB) as engine:
            fill(order(photos, tmp_path / "s", layout=layout), engine, io.BytesIO(), replace(quiet(), say=said.append))
        assert any("--layout clip-retrieval" in line for line in said) is stale
        said.clear()
    assert np.allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=1e-3)
