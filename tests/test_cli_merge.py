"""``snellen merge``: one store, or what is missing and how it is made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from snellen.cli.main import main
from snellen.store import Writer
from stores import IDENTITY, NAMES, fill, inputs, ledger, stat, table, work

PARTS = 3  # of NAMES, eight rows each


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Work in a folder of its own, and not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def share(place: str, index: int, count: int, *, parts: int = PARTS) -> None:
    """Do a share of the run, or its first parts only; its command is written down."""
    command = f"snellen embed 'my photos' -m stub -o {place} --shard {index}/{count}"
    with Writer.open(Path(place), IDENTITY, shard=(index, count)) as writer:
        run = writer.begin(["photos"], inputs(NAMES), stat, command=command, part_rows=8)
        for number in list(writer.todo(run))[:parts]:
            with writer.part(number) as part:
                work(part)


def test_shares_of_one_folder(capsys) -> None:
    fill(Path("whole"))
    share("out", 0, 2)
    share("out", 1, 2)
    assert main(["merge", "out"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "out: 17 rows in 3 parts: 2 already present, 3 broken, 9 done, 2 missing, 1 too large\n")
    assert table(Path("out")) == table(Path("whole"))
    assert ledger(Path("out")) == ledger(Path("whole"))
    assert main(["merge", "out", "--quiet", "--json"]) == 0  # once more changes nothing
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["schema"], document["missing"], document["commands"], err) == ("snellen.merge/1", [], [], "")
    assert document["manifest"] == json.loads(Path("out/manifest.json").read_text())


def test_shares_in_folders_of_their_own(capsys) -> None:
    fill(Path("whole"))
    for index in range(3):
        share(f"s{index}", index, 3)
    assert main(["merge", "out", "s0", "s1", "s2"]) == 0
    assert table(Path("out")) == table(Path("whole"))


def test_what_is_missing_is_named_with_its_commands(capsys) -> None:
    share("out", 1, 3)
    assert main(["merge", "out", "--json"]) == 2
    out, err = capsys.readouterr()
    commands = [f"snellen embed 'my photos' -m stub -o out --shard {index}/3" for index in (0, 2)]
    document = json.loads(out)
    assert (document["missing"], document["commands"], document["manifest"]) == ([0, 2], commands, None)
    assert document["error"].startswith("2 of the 3 parts of the run are not finished")
    assert err.splitlines()[:3] == ["missing: parts 0, 2", f"  {commands[0]}", f"  {commands[1]}"]
    assert "error: 2 of the 3 parts" in err


def test_a_worker_with_its_own_folder_gets_its_own_command(capsys) -> None:
    share("s0", 0, 3)
    share("s1", 1, 3, parts=0)
    assert main(["merge", "out", "s0", "s1", "--quiet"]) == 2
    _, err = capsys.readouterr()
    assert err.splitlines()[:3] == [
        "missing: parts 1, 2",
        "  snellen embed 'my photos' -m stub -o s1 --shard 1/3",
        "  snellen embed 'my photos' -m stub -o FOLDER/ --shard 2/3",
    ]


def test_a_run_without_shares(capsys) -> None:
    with Writer.open(Path("out"), IDENTITY) as writer:
        writer.begin(["photos"], inputs(NAMES), stat, command="snellen embed photos -m stub -o out", part_rows=8)
    assert main(["merge", "out"]) == 2
    _, err = capsys.readouterr()
    assert err.splitlines()[:2] == ["missing: parts 0, 1, 2", "  snellen embed photos -m stub -o out"]


def test_many_parts_are_not_all_named(capsys) -> None:
    with Writer.open(Path("out"), IDENTITY) as writer:
        writer.begin(["photos"], inputs(NAMES), stat, part_rows=1)
    assert main(["merge", "out"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "missing: parts 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 7 more"


def test_no_store(capsys) -> None:
    assert main(["merge", "nothing", "--json"]) == 2
    out, err = capsys.readouterr()
    assert "'nothing' is no store" in err
    assert "missing:" not in err
    assert json.loads(out)["error"] == "'nothing' is no store"
    assert not Path("nothing").exists()
