"""Two processes and one store: the second is refused, and told who the first is."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import snellen
from snellen.errors import Unavailable, UsageError
from snellen.store import Locked, Store, Writer, finishing, part_writer
from snellen.store.layout import Places
from stores import IDENTITY, NAMES, fill, inputs, ledger, stat, table, work


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch) -> None:
    """Not wait for the disk: here the system itself stays alive."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


HOLD = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from stores import IDENTITY, NAMES, inputs, stat
from snellen.store import Writer
with Writer.open(Path(sys.argv[1]), IDENTITY) as writer:
    writer.begin(["photos"], inputs(NAMES), stat, part_rows=8)
    with writer.part(0):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_another_process_is_named_and_its_death_frees_the_store(tmp_path) -> None:
    place = tmp_path / "out"
    roots = [str(Path(__file__).parent), str(Path(snellen.__file__).parents[1])]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place), *roots], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        whom = f"process {holder.pid} on {socket.gethostname()}"
        for shard in (None, (0, 2)):
            with pytest.raises(Locked, match=f"is in use: {whom}, embed, since 20") as raised:
                Writer.open(place, IDENTITY, shard=shard)
            assert raised.value.expected
            assert raised.value.todo
        with pytest.raises(Locked, match=f"part-00000 is in work: {whom}, writes this part, since 20"):
            part_writer(place, 0)
        with part_writer(place, 1) as part:
            assert part.number == 1
        threading.Timer(0.2, holder.kill).start()
        with part_writer(place, 0, wait=60) as part:  # as after the death of a worker that another one replaces
            assert part.rows_done == 0
    finally:
        holder.kill()
        holder.communicate()
    fill(place)
    assert len(table(place)) == len(NAMES)


def test_workers_of_shards_share_a_store_and_exclude_a_whole_run(tmp_path) -> None:
    place = tmp_path / "out"
    with Writer.open(place, IDENTITY, shard=(0, 2)) as one, Writer.open(place, IDENTITY, shard=(1, 2)) as two:
        with pytest.raises(Locked, match=r"embed --shard 0/2, since .*; process .* embed --shard 1/2"):
            Writer.open(place, IDENTITY)
        runs = [writer.begin(["photos"], inputs(NAMES), stat, part_rows=8) for writer in (one, two)]
        assert runs[0] == runs[1]
        assert [list(writer.todo(runs[0])) for writer in (one, two)] == [[0, 2], [1]]
        with one.part(0), pytest.raises(Locked, match="part-00000 is in work"):
            two.part(0)
    with Writer.open(place, IDENTITY), pytest.raises(Locked, match=r"embed, since"):
        Writer.open(place, IDENTITY, shard=(0, 2))


def test_only_one_worker_lists(tmp_path) -> None:
    place, listed, met = tmp_path / "out", [], threading.Barrier(3)

    def begin(number: int) -> None:
        def noting():
            listed.append(number)
            yield from inputs(NAMES)

        with Writer.open(place, IDENTITY, shard=(number, 3)) as writer:
            met.wait()
            run = writer.begin(["photos"], noting(), stat, part_rows=8)
            for part in writer.todo(run):
                with writer.part(part) as begun:
                    work(begun)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(listed) == 1
    with Writer.open(place, IDENTITY) as writer:
        writer.finish()
    fill(tmp_path / "whole")
    assert table(place) == table(tmp_path / "whole")
    assert ledger(place) == ledger(tmp_path / "whole")


def test_the_last_worker_may_finish_the_run(tmp_path) -> None:
    place = tmp_path / "out"
    for number in range(2):
        fill(place, shard=(number, 2))
        with Writer.open(place, IDENTITY, shard=(number, 2)) as writer:
            if number == 0:
                with pytest.raises(UsageError, match=r"1 of the 3 parts .* part-00001"):
                    writer.finish()
            else:
                writer.finish()
    fill(tmp_path / "whole")
    assert ledger(place) == ledger(tmp_path / "whole")


def test_a_store_is_read_while_it_is_written(tmp_path) -> None:
    fill(tmp_path / "out")
    before = table(tmp_path / "out")
    with Writer.open(tmp_path / "out", IDENTITY) as writer:
        run = writer.begin(["photos"], inputs(["new.jpg"]), stat)
        with writer.part(run.first_part) as part:
            work(part)
        assert table(tmp_path / "out") == before
        writer.finish()
    assert len(table(tmp_path / "out")) == len(before) + 1


def test_the_dead_are_not_named(tmp_path) -> None:
    place = tmp_path / "out"
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    with Writer.open(place, IDENTITY, shard=(0, 2)):
        entry = {"host": socket.gethostname(), "pid": int(dead.stdout), "since": "2020", "what": "embed --shard 1/2"}
        with Places(place).lock.open("a") as file:
            file.write(json.dumps(entry) + "\nno json\n[]\n" + json.dumps({**entry, "host": "elsewhere"}) + "\n")
        with pytest.raises(Locked) as raised:
            Writer.open(place, IDENTITY)
    assert f"process {os.getpid()} on" in raised.value.seen
    assert "on elsewhere, embed --shard 1/2, since 2020" in raised.value.seen
    assert f"process {entry['pid']} on {socket.gethostname()}" not in raised.value.seen


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(Unavailable, match="cannot be locked: No locks available") as raised:
        Writer.open(tmp_path / "out", IDENTITY)
    assert "snellen merge" in raised.value.todo


def test_a_lock_is_let_go_when_the_folder_is_refused(tmp_path) -> None:
    from dataclasses import replace

    fill(tmp_path / "out")
    with pytest.raises(UsageError, match="pool is mean"):
        Writer.open(tmp_path / "out", replace(IDENTITY, pool="mean"))
    Writer.open(tmp_path / "out", IDENTITY).close()


def test_an_index_that_a_death_left_behind_is_cleared_away(tmp_path) -> None:
    fill(tmp_path / "out")
    places = Places(tmp_path / "out")
    for name in ("known-00000", "known-00002.aside"):
        (places.inside / name).mkdir()
    with Writer.open(tmp_path / "out", IDENTITY, shard=(0, 2)):
        assert (places.inside / "known-00000").exists()  # whoever shares the store may need it
    Writer.open(tmp_path / "out", IDENTITY).close()
    assert sorted(path.name for path in places.inside.glob("known-*")) == ["known-00001"]
    assert finishing.index_of(places, Store.open(tmp_path / "out").manifest)
