"""The folder of a card: whole or not at all, whenever its writer dies; and nobody else's files are touched."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import snellen
from snellen.cards import folder
from snellen.cards.folder import publish
from snellen.errors import Unavailable, UsageError


def content(mark: str) -> dict[str, bytes]:
    document = {"schema": "snellen.report/1", "files": [{"name": "stack/deep/a.json"}], "mark": mark}
    names = ("README.md", "index.html", "log.txt", "stack/deep/a.json")
    return {"report.json": json.dumps(document).encode(), **{name: mark.encode() for name in names}}


OLD, NEW = content("old"), content("new")


def state(place: Path) -> str:
    """Say what stands in a folder: nothing, old, new, or torn, which must never be."""
    if not place.exists():
        return "nothing"
    there = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    return "old" if there == OLD else "new" if there == NEW else "torn"


class Killed(BaseException):
    """What a process does not survive."""


class Deadly:
    """Kills at one of the steps by which files come, change their names, or go; nothing works afterwards."""

    STEPS = (
        *((os, name) for name in ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir")),
        (io, "open"),
        (folder, "_exchanged"),
    )

    def __init__(self, patch: pytest.MonkeyPatch, at: int | None, *, exchange: bool) -> None:
        self.count, self._at = 0, at
        for owner, name in self.STEPS:
            patch.setattr(owner, name, self._stepping(getattr(owner, name)))
        if not exchange:
            patch.setattr(folder, "_exchanged", lambda *_: False)

    def _stepping(self, step):
        def stepping(*given, **named):
            if self._at is not None and self.count >= self._at:
                raise Killed
            self.count += 1
            return step(*given, **named)

        return stepping


def killed_at_every_step(write, tmp_path: Path, *, before: bool, exchange: bool):
    """Yield what stands in the folder after a death at each step, and the folder."""
    total = None
    at = 0
    while total is None or at < total:
        place = tmp_path / f"{at}" / "card"
        place.parent.mkdir()
        if before:
            publish(place, OLD)
        with pytest.MonkeyPatch.context() as patch:
            deadly = Deadly(patch, at if total is not None else None, exchange=exchange)
            try:
                write(place, NEW)
            except Killed:
                pass
            else:
                assert total is None
        if total is None:
            total = deadly.count
            assert state(place) == "new"
            place.parent.rename(tmp_path / "whole")
            continue
        yield state(place), place
        at += 1


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("exchange", [False, True])
def test_dying_at_any_step_leaves_no_part_of_a_card(tmp_path, before, exchange) -> None:
    seen = Counter()
    for found, place in killed_at_every_step(publish, tmp_path, before=before, exchange=exchange):
        seen[found] += 1
        publish(place, NEW)  # the next run clears away what is left, and is not hindered by it
        assert state(place) == "new"
        assert [path.name for path in place.parent.iterdir()] == ["card"]
    assert seen["torn"] == 0
    assert seen["old" if before else "nothing"] > 5
    assert seen["new"] > 0
    if before and exchange:
        assert seen["nothing"] == 0


def naive(place: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)


@pytest.mark.parametrize("before", [False, True])
def test_writing_one_file_after_the_other_would_be_seen(tmp_path, before) -> None:
    found = Counter(found for found, _ in killed_at_every_step(naive, tmp_path, before=before, exchange=True))
    assert found["torn"] > 2


def test_a_card_that_was_set_aside_is_given_back(tmp_path) -> None:
    """The one moment without an exchange in which there is no card: the next look gives the former one back."""
    lost = 0
    for found, place in killed_at_every_step(publish, tmp_path, before=True, exchange=False):
        if found == "nothing":
            lost += 1
            folder.ready(place)
            assert state(place) == "old"
    assert lost == 1


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import json
from snellen.cards.folder import publish
n = 0
while True:
    mark = str(n)
    document = json.dumps({"schema": "snellen.report/1", "files": []})
    publish(Path(sys.argv[1]), {"report.json": document.encode(), "README.md": mark.encode(), "log.txt": mark.encode()})
    n += 1
"""


def test_a_process_that_is_killed_leaves_a_whole_card(tmp_path) -> None:
    place, drawn = tmp_path / "card", random.Random(5)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(place), str(Path(snellen.__file__).parents[1])])
        try:
            first = (place / "log.txt").read_bytes() if place.exists() else None
            while process.poll() is None and (not place.exists() or _log(place) == first):
                time.sleep(0.002)
            time.sleep(drawn.uniform(0, 0.02))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        names = {path.name for path in place.iterdir()} if place.exists() else set()
        assert names in (set(), {"report.json", "README.md", "log.txt"})
        if names:
            assert (place / "README.md").read_bytes() == (place / "log.txt").read_bytes()
    publish(place, NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["card"]


def _log(place: Path) -> bytes | None:
    try:
        return (place / "log.txt").read_bytes()
    except OSError:  # between two cards, where they cannot be exchanged
        return None


def test_a_draft_whose_owner_lives_is_left_alone(tmp_path) -> None:
    place = tmp_path / "card"
    with folder._draft(place) as draft:
        (draft / "begun").write_text("")
        publish(place, NEW)
        assert (draft / "begun").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["card"]


def test_an_error_while_writing_leaves_the_former_card(tmp_path, monkeypatch) -> None:
    place = tmp_path / "card"
    publish(place, OLD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        publish(place, NEW)
    assert state(place) == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["card"]


def test_only_a_card_is_replaced(tmp_path) -> None:
    place = tmp_path / "card"
    publish(place, OLD)
    publish(place, NEW)
    assert state(place) == "new"
    (place / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no part of a card: notes\.txt"):
        publish(place, OLD)
    assert (place / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "text"), [("report.json", "{}"), ("report.json", "no json"), ("README.md", "mine"), ("a/b", "mine")]
)
def test_what_is_no_card_is_refused(tmp_path, name, text) -> None:
    place = tmp_path / "work"
    (place / name).parent.mkdir(parents=True)
    (place / name).write_text(text)
    for refuse in (folder.ready, lambda place: publish(place, NEW)):
        with pytest.raises(UsageError, match="no part of a card"):
            refuse(place)
    assert (place / name).read_text() == text


def test_a_file_and_the_working_folder_are_no_place_for_a_card(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        folder.ready(tmp_path / "file")
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    for name in (".", ".."):
        with pytest.raises(UsageError, match="the folder you are in"):
            folder.ready(Path(name))


def test_an_empty_folder_and_a_new_one_are_places_for_a_card(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    publish(tmp_path / "link", NEW)
    publish(tmp_path / "deep" / "er" / "card", NEW)
    assert state(tmp_path / "empty") == state(tmp_path / "deep" / "er" / "card") == "new"
    assert (tmp_path / "link").is_symlink()


def test_what_comes_while_a_card_is_written_is_not_replaced(tmp_path, monkeypatch) -> None:
    place, put = tmp_path / "card", folder._put
    publish(place, OLD)

    def slow(path: Path, data: bytes) -> None:
        put(path, data)
        (place / "notes.txt").write_text("mine")

    monkeypatch.setattr(folder, "_put", slow)
    with pytest.raises(UsageError, match=r"no part of a card: notes\.txt"):
        publish(place, NEW)
    assert (place / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["card"]
