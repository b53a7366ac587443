"""What workers made apart, brought together: equal to what one run would have made, or refused with the reason."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from snellen.errors import Unavailable, UsageError
from snellen.store import Locked, Writer, merge
from stores import IDENTITY, NAMES, fill, inputs, ledger, stat, table, work


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch) -> None:
    """Not wait for the disk: here the system itself stays alive."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def whole(tmp_path) -> Path:
    fill(tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def shards(tmp_path) -> list[Path]:
    """Two workers' folders: parts 0 and 2, and part 1."""
    for number in range(2):
        fill(tmp_path / f"shard-{number}", shard=(number, 2))
    return [tmp_path / f"shard-{number}" for number in range(2)]


def equal(place: Path, whole: Path) -> None:
    assert table(place) == table(whole)
    assert ledger(place) == ledger(whole)


def inside(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_shards_of_one_folder(tmp_path, whole) -> None:
    place = tmp_path / "out"
    fill(place, shard=(1, 2))
    with pytest.raises(UsageError, match=r"2 of the 3 parts .* part-00000\.parquet, part-00002\.parquet"):
        merge(place)
    fill(place, shard=(0, 2))
    merge(place)
    equal(place, whole)
    assert merge(place).rows == 17  # once more changes nothing
    equal(place, whole)


def test_shards_in_folders_of_their_own(tmp_path, shards, whole) -> None:
    before = [inside(folder) for folder in shards]
    merge(tmp_path / "out", shards)
    equal(tmp_path / "out", whole)
    assert [inside(folder) for folder in shards] == before
    assert (tmp_path / "out" / "part-00001.parquet").samefile(shards[1] / "part-00001.parquet")
    assert merge(tmp_path / "out", shards).rows == 17
    fill(tmp_path / "out", [*NAMES, "new.jpg"])  # it is a store as any other
    fill(whole, [*NAMES, "new.jpg"])
    equal(tmp_path / "out", whole)


def test_one_shard_may_become_the_whole(shards, whole) -> None:
    merge(shards[0], shards)
    equal(shards[0], whole)


def test_parts_are_copied_where_they_cannot_be_linked(tmp_path, shards, whole, monkeypatch) -> None:
    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    merge(tmp_path / "out", shards)
    equal(tmp_path / "out", whole)
    assert not (tmp_path / "out" / "part-00001.parquet").samefile(shards[1] / "part-00001.parquet")


def test_a_merge_that_died_is_gone_on_with(tmp_path, shards, whole, monkeypatch) -> None:
    class Killed(BaseException):
        pass

    count, steps = 0, 0
    while True:
        count, place = count + 1, tmp_path / f"out-{count}"
        with monkeypatch.context() as patch:
            steps = 0

            def dying(*given, step, at=count, **named):
                nonlocal steps
                steps += 1
                if steps >= at:
                    raise Killed
                return step(*given, **named)

            for name in ("replace", "link", "mkdir", "rename"):
                step = getattr(os, name)
                patch.setattr(os, name, lambda *given, step=step, **named: dying(*given, step=step, **named))
            try:
                merge(place, shards)
            except Killed:
                died = True
            else:
                died = False
        merge(place, shards)
        equal(place, whole)
        if not died:
            break
    assert count > 12


def test_a_full_disk_ends_cleanly(tmp_path, shards, whole, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(Unavailable, match="No space left on device") as raised:
            merge(tmp_path / "out", shards)
        assert "give the same command again" in raised.value.todo
    merge(tmp_path / "out", shards)
    equal(tmp_path / "out", whole)


# What is refused


def refused(place: Path, folders: list[Path], match: str) -> None:
    with pytest.raises(UsageError, match=match) as raised:
        merge(place, folders)
    assert raised.value.expected
    assert raised.value.todo
    assert not (place / "manifest.json").exists()
    assert not list(place.glob("part-*"))


def test_a_missing_shard_is_noticed_before_anything_is_moved(tmp_path, shards) -> None:
    refused(tmp_path / "out", [shards[0]], r"1 of the 3 parts of the run are not finished: part-00001\.parquet")
    (shards[1] / "part-00001.parquet").unlink()
    refused(tmp_path / "out", shards, r"1 of the 3 parts")


def test_a_part_whose_bytes_changed_is_refused(tmp_path, shards) -> None:
    path = shards[1] / "part-00001.parquet"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"part-00001\.parquet' is not what was written"):
        merge(tmp_path / "out", shards)
    assert not (tmp_path / "out" / "part-00001.parquet").exists()


def test_a_part_that_was_made_twice_must_be_the_same(tmp_path, shards, whole) -> None:
    fill(tmp_path / "again", shard=(1, 2))
    merge(tmp_path / "same", [*shards, tmp_path / "again"])
    equal(tmp_path / "same", whole)

    other = tmp_path / "other"
    with Writer.open(other, IDENTITY, shard=(1, 2)) as writer:
        run = writer.begin(["photos"], inputs(NAMES), stat, part_rows=8)
        with writer.part(next(writer.todo(run))) as part:
            work(part, stamp=lambda _: (5, 5))
    refused(tmp_path / "out", [*shards, other], r"made twice, and not the same: .*shard-1.*other")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"names": [*NAMES[:-1], "z.jpg"]}, "its listing is"),
        ({"names": [*NAMES, "z.jpg"]}, "its listing is"),
        ({"part_rows": 16}, "its part_rows is 16, and 8 in the others"),
        ({"identity": replace(IDENTITY, dtype="float16")}, "dtype is float16, and float32 there"),
    ],
)
def test_folders_of_different_runs_are_refused(tmp_path, shards, other, said) -> None:
    fill(tmp_path / "other", **{"shard": (1, 2), **other})
    refused(tmp_path / "out", [shards[0], tmp_path / "other"], said)


def test_machines_may_have_the_images_in_other_places(tmp_path, shards, whole) -> None:
    with Writer.open(tmp_path / "far", IDENTITY, shard=(1, 2)) as writer:
        here = [replace(item, place=item.place.replace("/data", "/mnt")) for item in inputs(NAMES)]
        run = writer.begin(["photos"], here, stat, part_rows=8)
        for number in writer.todo(run):
            with writer.part(number) as part:
                work(part)
    merge(tmp_path / "out", [shards[0], tmp_path / "far"])
    equal(tmp_path / "out", whole)


def test_a_later_run_is_merged_into_a_copy_of_what_all_began_with(tmp_path, whole) -> None:
    more = [*NAMES, *(f"{number}.jpg" for number in range(20)), "moved=a.jpg"]
    folders = [tmp_path / f"copy-{number}" for number in range(3)]
    for number, folder in enumerate(folders):
        shutil.copytree(whole, folder)
        fill(folder, more, shard=(number, 3))
    with pytest.raises(UsageError, match="do not hold the same finished runs"):
        merge(tmp_path / "new", folders)
    merge(folders[0], folders[1:])
    fill(whole, more)
    equal(folders[0], whole)


def test_a_folder_that_somebody_writes_to_is_not_merged(tmp_path, shards) -> None:
    with Writer.open(shards[1], IDENTITY), pytest.raises(Locked, match="shard-1' is in use"):
        merge(tmp_path / "out", shards)
    with Writer.open(shards[0], IDENTITY, shard=(0, 2)), pytest.raises(Locked, match="shard-0' is in use"):
        merge(shards[0], shards)


def test_what_is_no_store_is_not_merged(tmp_path, shards, whole) -> None:
    (tmp_path / "empty").mkdir()
    for folders in ([], [shards[0], tmp_path / "empty"], [tmp_path / "nowhere"]):
        with pytest.raises(UsageError, match="is no store"):
            merge(tmp_path / "out", folders)
    with pytest.raises(UsageError, match=r"no run of the store .* is unfinished"):
        merge(tmp_path / "out", [whole])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="holds other things"):
        merge(tmp_path / "photos", shards)
    Writer.open(tmp_path / "begun", IDENTITY).close()
    with pytest.raises(UsageError, match="no run was begun"):
        merge(tmp_path / "begun")
