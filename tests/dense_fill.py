"""A store with patch features that can be foretold, filled by a process that may be killed at any step of a part.

    python dense_fill.py FOLDER STEP TURN     dies by SIGKILL when STEP is reached for the TURNth time

Imports no torch: a process that is killed a second later should start at once.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

import stub_record
from snellen.embed.patches import begin
from snellen.embed.patches.layout import Given, Layout, layout_of
from snellen.embed.patches.part import DensePart
from snellen.embed.patches.spec import Spec
from snellen.records import Outcome
from snellen.records.inputs import Input
from snellen.records.store import Identity, Manifest
from snellen.store import Writer

GIVEN = Given(size=(20, 28), patches=(5, 7), width=6, pooled=3)
RECORD = replace(stub_record.RECORD, recipe="squash 20 28 bicubic", recipe_hash="abc")
IDENTITY = Identity.of(RECORD, width=GIVEN.pooled, normalized=False)
INPUTS = 19
PART_ROWS = 8
BATCH = 3
BAD = (4, 7, 18)  # of each run
TWINS = {6: 5, 12: 9, 15: 3}  # same bytes; 3 is in another part than 15, which is therefore encoded itself

Step = Callable[[str], None]


def row_of(id_: int) -> np.ndarray:
    """Return a vector with cells behind it, the same for an id each time."""
    return np.random.default_rng(id_).standard_normal(GIVEN.pooled + 5 * 7 * 6, dtype=np.float32)


def cells_of(id_: int) -> np.ndarray:
    """Return the cells of an id before anything is done to them."""
    return row_of(id_)[GIVEN.pooled :].reshape(5, 7, 6)


def layout(text: str) -> Layout:
    """Return a layout of what ``row_of`` gives, which is taken for averaged and projected already."""
    return layout_of(Spec.parse(text), GIVEN, RECORD)


def inputs(run: int = 0, count: int = INPUTS) -> list[Input]:
    """Return what is listed."""
    return [Input(path=f"run{run}/{i}.png", place=f"run{run}/{i}.png") for i in range(count)]


def sha256(number: int) -> str:
    """Return what stands for the bytes of an image."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def outcome(id_: int, item: Input) -> tuple[Outcome, np.ndarray | None]:
    """Return a row as the loop gives it, before anybody asks whether it is known."""
    number = int(item.path.partition("/")[2].removesuffix(".png"))
    found = Outcome(id=id_, image_path=item.path, status="done", sha256=sha256(TWINS.get(number, number)), width=1)
    if number in BAD:
        return Outcome(id=id_, image_path=item.path, status="broken", error_message="no image", width=1), None
    return found, row_of(id_)


def fill(
    folder: Path, kind: str, *, run: int = 0, step: Step = lambda _: None, listed: list[Input] | None = None
) -> Manifest:
    """Fill a store, or go on with it, as a worker does."""
    with Writer.open(folder, IDENTITY) as writer:
        state = writer.begin([f"run{run}"], listed or inputs(run), lambda _: None, part_rows=PART_ROWS)
        begin.settle(folder, layout(kind), iter(()))
        for number in writer.todo(state):
            _part(writer, number, layout(kind), step)
        return writer.finish()


def _part(writer: Writer, number: int, kind: Layout, step: Step) -> None:
    with (
        writer.part(number) as part,
        DensePart(writer.folder, number, kind, ids=part.ids, done=part.rows_done) as dense,
    ):
        source: Iterator[tuple[int, Input]] = part.inputs
        while batch := list(islice(source, BATCH)):
            rows = []
            for id_, item in batch:
                found, row = outcome(id_, item)
                known = part.claim(found.sha256, id_) if found.sha256 else None
                if known is not None:
                    found = Outcome(
                        id=id_,
                        image_path=item.path,
                        status="already_present",
                        sha256=found.sha256,
                        same_as=known,
                    )
                rows.append((found, row if known is None else None))
            part.add(dense.take(rows))
            step("taken")
            dense.flush()
            step("flushed")
            part.commit()
            step("committed")
        for file in dense._files:
            file.publish = partial(_published, file.publish, step)
        dense.finish()
        step("finished")
        part.finish(RECORD)


def _published(publish: Callable[[], None], step: Step) -> None:
    publish()
    step("published")


def killer(name: str, turn: int) -> Step:
    """Return what ends this process at a step."""
    left = [turn]

    def step(reached: str) -> None:
        left[0] -= reached == name
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


if __name__ == "__main__":
    fill(Path(sys.argv[1]), sys.argv[2], step=killer(sys.argv[3], int(sys.argv[4])))
