"""Damaged and odd files among good ones: each has its documented outcome, and every good row is that of a clean run."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFile

from odd_files import GOOD, ODD, Odd, fill, outcomes
from snellen.embed.prepare import Preparing, Task
from snellen.embed.run import chunks
from snellen.embed.sources import Reader, expand, named
from snellen.recipes import Recipe
from snellen.records import Outcome
from snellen.records.inputs import Input

LEAST = 45
RECIPE = "stored | shortest_edge 64 bicubic | center_crop 32 | scale | mean 0.5 0.5 0.5 | std 0.25 0.25 0.25 | pool cls"


class Copies:
    """An encoder whose vectors are some of the pixels themselves: equal only where every one of them is."""

    recipe = Recipe.parse(RECIPE)

    def vectors(self, batches):
        for pixels in batches:
            yield pixels.reshape(len(pixels), -1)[:, ::7].copy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("odd")
    fill(path)
    return path


@pytest.fixture(scope="module")
def listed(folder) -> dict[str, Input]:
    """What a walk through the folder finds, and the list in it, by the name in the ledger."""
    items = expand([str(folder), f"{folder}/list.csv"], None)
    return {item.path.removeprefix(f"{folder}/"): item for item in items}


def input_of(odd: Odd, folder: Path, listed: dict[str, Input]) -> Input:
    return listed[odd.ledger] if odd.ledger else named(f"{folder}/{odd.file}")


def outcome_of(item: Input) -> Outcome:
    with Reader() as reader:
        return Preparing(Copies.recipe, reader.read)(Task(0, item)).outcome


def embedded(items: list[Input], batch_size: int, workers: int) -> list[tuple[Outcome, np.ndarray | None]]:
    model = Copies()
    with Reader() as reader:
        preparing = Preparing(model.recipe, reader.read)
        tasks = (Task(number, item) for number, item in enumerate(items))
        found = chunks(model, tasks, preparing, batch_size=batch_size, workers=workers)
        return [row for chunk in found for row in chunk.rows]


def wrong(odd: Odd, outcome: Outcome) -> str:
    """Return how an outcome differs from the documented one; empty where it does not."""
    said = outcome.error_message if outcome.status != "done" else " ".join(outcome.notes)
    if outcome.status != odd.status or odd.says not in (said or ""):
        return f"{odd.name}: {outcome.status} ({said}), and not {odd.status} ({odd.says})"
    return ""


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_the_outcome_is_the_documented_one(odd, folder, listed):
    assert not wrong(odd, outcome_of(input_of(odd, folder, listed)))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (5, 4), (64, 2)])
def test_every_good_row_is_that_of_the_clean_run(folder, listed, batch_size, workers):
    good = [named(f"{folder}/{name}") for name in GOOD]
    clean = dict(zip(GOOD, embedded(good, 4, 1), strict=True))
    assert len(np.unique([vector for _, vector in clean.values()], axis=0)) == len(GOOD) == 12
    odd = [input_of(odd, folder, listed) for odd in ODD]
    mixed = [item for number, each in enumerate(odd) for item in (good[number % len(good)], each)]
    rows = embedded(mixed, batch_size, workers)
    assert [outcome.id for outcome, _ in rows] == list(range(2 * len(ODD)))
    assert [outcome.image_path for outcome, _ in rows] == [item.path for item in mixed]
    for number, (outcome, vector) in enumerate(rows[::2]):
        known, expected = clean[GOOD[number % len(GOOD)]]
        assert np.array_equal(vector, expected)
        assert {**outcome.to_dict(), "id": 0} == {**known.to_dict(), "id": 0}
    assert not list(filter(None, map(wrong, ODD, (outcome for outcome, _ in rows[1::2]))))
    assert [vector is None for _, vector in rows[1::2]] == [each.status != "done" for each in ODD]


def test_a_walk_through_the_folder_finds_each_once(folder, listed):
    items = [item.path for item in expand([str(folder)], None)]
    assert len(items) == len(set(items))
    expected = {(odd.ledger or odd.file) for odd in ODD if odd.found} | set(GOOD)
    shown = {name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in expected}
    assert {path.removeprefix(f"{folder}/") for path in items} == shown


def test_nothing_is_written_and_no_program_is_run(folder):
    assert not Path("/tmp/written").exists()
    before = sorted(path.name for path in folder.rglob("*"))
    embedded(list(expand([str(folder)], None)), 8, 2)
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_a_decoder_that_fills_up_what_is_missing_is_noticed(folder, listed, monkeypatch):
    """As some loaders do, which embed half an image and the grey below it."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    truncated = [odd for odd in ODD if odd.says == "truncated" and odd.file != "claims.bmp"]  # which is large
    noticed = [odd.name for odd in truncated if wrong(odd, outcome_of(input_of(odd, folder, listed)))]
    assert len(noticed) > 5


def test_a_file_that_this_user_may_not_read(tmp_path, monkeypatch):
    """Root may read everything: one thread gives that up for itself, and asks the system."""
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # whose parents are closed to others
    found: list[Outcome] = []

    def read() -> None:
        if os.geteuid() == 0:
            ctypes.CDLL(None).setfsuid(65534)  # of this thread alone, which ends with it
        found.append(outcome_of(named("secret.jpg")))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert found[0].status == "broken"
    assert "'secret.jpg' may not be read by this user" in found[0].error_message


def test_the_table_is_as_long_as_was_promised():
    assert len({odd.name for odd in ODD}) == len(ODD) >= LEAST
    assert {odd.status for odd in ODD} == {"done", "broken", "missing", "too_large"}
    assert outcomes().count("\n| ") == len(ODD) + 5 + 1 + len({odd.group for odd in ODD})
