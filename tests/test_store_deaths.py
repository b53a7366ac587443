"""A store whose writer dies, or whose disk is full, at any step: what the next one makes of it is what would have been.

Every step by which files come, grow, change their names or go is a place to die. A torn write is half done.
"""

from __future__ import annotations

import errno
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import snellen
from snellen.errors import SnellenError, Unavailable, UsageError
from snellen.store import Writer, finishing, journal, part_writer
from snellen.store import writer as writer_module
from snellen.store.layout import Places
from stores import EMBEDDED, IDENTITY, NAMES, RECORD, embedded, fill, inputs, ledger, stat, table, work

FEW = ["a.jpg", "b=x.jpg", "bad-1.jpg", "c=x.jpg", "gone-1.jpg", "d.jpg"]
MORE = [*FEW, "e=x.jpg", "f.jpg"]
STEPS = ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "ftruncate")


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch) -> None:
    """Not wait for the disk: here the system itself stays alive."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Killed(BaseException):
    """What a process does not survive."""


class Deadly:
    """Counts the steps, and fails at one of them: ``die`` says how, and whether anything works afterwards."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int | None, die, *, for_good: bool) -> None:
        self.count, self._at, self._die, self._for_good = 0, at, die, for_good
        for name in STEPS:
            patch.setattr(os, name, self._stepping(getattr(os, name), lambda *given: None))
        patch.setattr(os, "pwrite", self._stepping(os.pwrite, self._half(os.pwrite)))
        read, write = io.open, self._stepping(io.open, lambda *given: None)
        patch.setattr(io, "open", lambda *given, **named: (write if "wb" in given else read)(*given, **named))

    def _half(self, write):
        return lambda file, data, at: write(file, bytes(data)[: len(data) // 2], at)

    def _stepping(self, step, halfway):
        def stepping(*given, **named):
            here, self.count = self.count, self.count + 1
            if self._at is not None and (here == self._at or (self._for_good and here > self._at)):
                if here == self._at:
                    halfway(*given)
                raise self._die()
            return step(*given, **named)

        return stepping


def changed(item):
    """Say what two inputs are like since they were changed."""
    return (99, 2) if item.path in ("photos/a.jpg", "photos/bad-1.jpg") else stat(item)


def first(folder: Path) -> None:
    fill(folder, FEW, part_rows=4)


def second(folder: Path) -> None:
    fill(folder, MORE, part_rows=4, stamp=changed)


class Whole:
    """What a store is that was written without a pause."""

    def __init__(self, folder: Path, runs) -> None:
        for run in runs:
            run(folder)
        self.rows, self.ledger, self.names = table(folder), ledger(folder), self.inside(folder)

    def inside(self, folder: Path) -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}

    def resumed(self, write, place: Path) -> None:
        """Let the next process do what is left of a run, and see that nothing is otherwise."""
        if (place / "manifest.json").exists() and ledger(place) == self.ledger:
            Writer.open(place, IDENTITY).close()  # only the removal of what is of no more use was to be done
        else:
            write(place)
        assert ledger(place) == self.ledger
        assert table(place) == self.rows
        assert self.inside(place) == self.names


def at_every_step(write, tmp_path: Path, before, die, *, for_good: bool):
    """Yield the folder, and what was raised, after a failure at each step."""
    start = tmp_path / "start"
    for earlier in before:
        earlier(start)
    total, at = None, 0
    while total is None or at < total:
        place = tmp_path / f"at-{at if total is not None else 'none'}"
        if start.exists():
            shutil.copytree(start, place)
        raised = None
        EMBEDDED.clear()
        with pytest.MonkeyPatch.context() as patch:
            deadly = Deadly(patch, at if total is not None else None, die, for_good=for_good)
            try:
                write(place)
            except (Killed, SnellenError) as error:
                raised = error
        if total is None:
            assert raised is None
            total = deadly.count
        else:
            yield place, raised
            shutil.rmtree(place)
            at += 1


@pytest.mark.parametrize(("write", "before"), [(first, []), (second, [first])])
def test_dying_at_any_step_changes_no_row(tmp_path, write, before) -> None:
    whole, deaths = Whole(tmp_path / "whole", [*before, write]), 0
    listed = len(FEW) if not before else 5
    for place, raised in at_every_step(write, tmp_path, before, Killed, for_good=True):
        deaths += isinstance(raised, Killed)
        whole.resumed(write, place)
        assert len(EMBEDDED) <= listed + 3  # of what was done, no more is done again than one batch
    assert deaths > 50


def test_a_run_that_is_named_before_it_is_listed_would_be_seen(tmp_path, monkeypatch) -> None:
    """The control: of files that are written in their place, not aside, some death leaves a part."""

    def naive(path: Path, data: bytes, _: Path) -> None:
        half = len(data) // 2
        for piece in (data[:half], data):
            path.write_bytes(piece)

    for module in (finishing, sys.modules["snellen.store.part_writer"], writer_module):
        monkeypatch.setattr(module, "put", naive)
    lost = 0
    for place, _ in at_every_step(first, tmp_path, [], Killed, for_good=True):
        try:
            first(place)
        except SnellenError:
            lost += 1
    assert lost > 2


def unsynced(monkeypatch, write, place: Path) -> list[str]:
    """Return the names that were given to files, and the parts of manifests, which were not on the disk by then."""
    synced, found = set(), []

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)

    def naming(step):
        def named(source, target, **more):
            inner = [path for path in Path(source).rglob("*") if path.is_file()]
            parts = list(place.glob("part-*")) if Path(target).name == "manifest.json" else []
            here = [] if Path(source).is_dir() else [Path(source)]
            found.extend(path.name for path in (*here, *inner, *parts) if path.stat().st_ino not in synced)
            return step(source, target, **more)

        return named

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        for name in ("rename", "replace"):
            patch.setattr(os, name, naming(getattr(os, name)))
        write(place)
    return found


def test_what_has_its_name_is_on_the_disk(tmp_path, monkeypatch) -> None:
    assert unsynced(monkeypatch, lambda place: (first(place), second(place)), tmp_path / "out") == []
    monkeypatch.setattr(finishing, "put", lambda path, data, aside: (aside.write_bytes(data), aside.replace(path)))
    assert unsynced(monkeypatch, first, tmp_path / "control") == ["manifest.json.aside"]


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("write", "before"), [(first, []), (second, [first])])
def test_a_full_disk_ends_cleanly_at_any_step(tmp_path, write, before) -> None:
    whole, refused = Whole(tmp_path / "whole", [*before, write]), 0
    for place, raised in at_every_step(write, tmp_path, before, full, for_good=False):
        if raised is not None:
            refused += 1
            assert isinstance(raised, Unavailable)
            assert "No space left on device" in raised.seen
            assert "free some space" in raised.todo
            assert raised.expected
            assert not list(place.rglob("*.aside"))
        whole.resumed(write, place)
    assert refused > 40


def test_a_file_that_may_not_grow_ends_cleanly(tmp_path) -> None:
    """What the system itself does, and not what it is said to do: a file may have so many bytes."""
    whole, place = Whole(tmp_path / "whole", [first]), tmp_path / "place"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    refused = []
    for most in range(0, 10_000, 400):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            first(place)
            break
        except Unavailable as error:
            refused.append(error.seen)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(refused) > 10
    assert all("File too large" in seen for seen in refused)
    assert table(place) == whole.rows


@pytest.mark.parametrize("step", ["pwrite", "fsync"])
def test_committed_rows_survive_a_disk_that_is_full(tmp_path, monkeypatch, step) -> None:
    monkeypatch.setattr(journal, "_SYNC_S", 0)
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(FEW), stat, part_rows=4)
        with writer.part(0) as part:
            rows = [embedded(id_, item, part, stat) for id_, item in part.inputs]
            part.add(rows[:2])
            part.commit()
            part.add(rows[2:3])
            with monkeypatch.context() as patch:
                patch.setattr(os, step, refusing)
                with pytest.raises(Unavailable, match="No space left"):
                    part.commit()
        with writer.part(0) as part:
            assert part.rows_done == 2
            rows = [embedded(id_, item, part, stat) for id_, item in part.inputs]
            part.add(rows[:1])
            with monkeypatch.context() as patch:
                patch.setattr(os, step, refusing)
                with pytest.raises(Unavailable, match="No space left"):
                    part.commit()
            part.add(rows[1:])  # somebody made room, and the same process goes on
            part.commit()
            part.finish(RECORD)
        for number in writer.todo(run):
            with writer.part(number) as part:
                work(part)
        writer.finish()
    first(tmp_path / "whole")
    assert table(tmp_path / "out") == table(tmp_path / "whole")


def refusing(*_: object) -> None:
    raise full()


def test_a_disk_that_lost_what_it_took_is_not_believed(tmp_path) -> None:
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        writer.begin(["photos"], inputs(FEW), stat, part_rows=4)
        with writer.part(0) as part:
            part.add([embedded(id_, item, part, stat) for id_, item in part.inputs])
            part.commit()
            place = Places(tmp_path / "out").journal(0)
            with place.open("r+b") as file:
                file.seek(-64, os.SEEK_END)
                file.write(bytes(64))
            with pytest.raises(UsageError, match="has lost what was written to it"):
                part.finish(RECORD)
        with writer.part(0) as part:
            assert part.rows_done == 0


@pytest.mark.parametrize("keep", [0, 5, 16, 40, -1, -200])
def test_a_torn_journal_is_read_to_its_last_whole_frame(tmp_path, keep) -> None:
    place = tmp_path / "out"
    path, sizes = _begun(place)
    data = path.read_bytes()
    last = data[sizes[-2] :]
    path.write_bytes(data[: sizes[-2]] + last[:keep])
    with part_writer(place, 0) as part:
        assert part.rows_done == 3
        assert bool(part.notes) == (keep != 0)
    fill(tmp_path / "whole")
    fill(place)
    assert table(place) == table(tmp_path / "whole")


def test_a_journal_with_a_flipped_bit_is_read_up_to_there(tmp_path) -> None:
    place = tmp_path / "out"
    path, sizes = _begun(place)
    data = bytearray(path.read_bytes())
    data[sizes[0] + 100] ^= 1
    path.write_bytes(data)
    with part_writer(place, 0) as part:
        assert part.rows_done == 0
        assert "were not whole" in part.notes[0]


@pytest.mark.parametrize("zeros", [16, 4096])
def test_zeros_behind_a_journal_are_no_rows(tmp_path, zeros) -> None:
    """A power cut may leave a file longer than what reached the disk."""
    place = tmp_path / "out"
    path, _ = _begun(place)
    with path.open("ab") as file:
        file.write(bytes(zeros))
    with part_writer(place, 0) as part:
        assert part.rows_done == 6
        assert f"the last {zeros} bytes" in part.notes[0]


@pytest.mark.parametrize(("name", "value"), [("listing", "0" * 64), ("part_rows", 7), ("first_id", 100)])
def test_a_journal_of_another_run_is_not_taken_up(tmp_path, name, value) -> None:
    place = tmp_path / "out"
    path, _ = _begun(place)
    asked = Places(place).asked(0)
    asked.write_text(json.dumps({**json.loads(asked.read_text()), name: value}))
    with part_writer(place, 0) as part:
        assert part.rows_done == 0
        assert part.notes == (f"the journal {path.name} was of another run, and is dropped",)
    with part_writer(place, 0) as part:
        assert part.notes == ()


def _begun(place: Path) -> tuple[Path, list[int]]:
    """Commit two frames of the first part, and return its journal, and its sizes before, between and after them."""
    with Writer.open(place, IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(NAMES), stat, part_rows=8)
        path = Places(place).journal(run.first_part)
        with writer.part(run.first_part) as part:
            sizes = [path.stat().st_size]
            rows = [embedded(id_, item, part, stat) for id_, item in part.inputs]
            for start in (0, 3):
                part.add(rows[start : start + 3])
                part.commit()
                sizes.append(path.stat().st_size)
    return path, sizes


PROGRAM = """
import sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from stores import fill, stat, NAMES

def slow(item):
    time.sleep(0.002)
    return stat(item)

fill(Path(sys.argv[1]), [f"{number}-{name}" for number in range(5) for name in NAMES], stamp=slow)
"""


def test_a_process_that_is_killed_loses_no_row(tmp_path) -> None:
    place, drawn, done = tmp_path / "out", random.Random(7), 0
    roots = [str(Path(__file__).parent), str(Path(snellen.__file__).parents[1])]
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(place), *roots])
        try:
            before = _progress(place)
            while process.poll() is None and _progress(place) == before:
                time.sleep(0.002)
            if attempt < 3:
                time.sleep(drawn.uniform(0, 0.15))
                process.send_signal(signal.SIGKILL)
            process.wait()
        finally:
            process.kill()
            process.wait()
        done += process.returncode == 0
    assert done == 1
    fill(tmp_path / "whole", [f"{number}-{name}" for number in range(5) for name in NAMES])
    assert table(place) == table(tmp_path / "whole")


def _progress(place: Path) -> int:
    inside = place / ".snellen"
    files = [*inside.glob("journal/*.journal"), *inside.glob("run-*/part-*.json")]
    total = 0
    for path in files:
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total


def test_finishing_again_after_a_death_just_before_the_manifest(tmp_path, monkeypatch) -> None:
    place, whole = tmp_path / "out", Whole(tmp_path / "whole", [first])
    with monkeypatch.context() as patch:
        patch.setattr(finishing, "put", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            first(place)
    assert not (place / "manifest.json").exists()
    whole.resumed(first, place)
