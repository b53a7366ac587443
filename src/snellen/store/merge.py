"""Parts that were made apart, brought together: by several workers in one folder, or by each in a folder of its own.

In: the folder of the whole, and those of the workers. Out: its manifest. Everything is checked before anything is
moved: that all worked on the same listing with the same encoder, that every part is there once, that its bytes are
those that were written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from snellen.errors import UsageError
from snellen.records.store import Manifest
from snellen.store import finishing, state
from snellen.store.files import damaged, digest, keeping, placed, put, to_json
from snellen.store.layout import Places
from snellen.store.lock import Lock
from snellen.store.opening import locked
from snellen.store.state import FinishedPart, RunState


@dataclass(frozen=True, slots=True)
class _Worker:
    """A folder to merge, and the run in it."""

    places: Places
    run: RunState


def merge(out: Path, folders: Sequence[Path] = (), *, first: Callable[[RunState], None] | None = None) -> Manifest:
    """Bring the finished parts in ``folders`` to ``out``, and write its manifest; without folders, only that.

    ``out`` may be new, one of the workers' folders, or hold a merge that was stopped. Parts become hard links where
    that is possible, and copies elsewhere. ``first`` is called with the run before any part of it is moved and before
    its manifest is written: it brings, or checks, what belongs to the parts.

    Raises UsageError where the folders are not of one run, or parts are missing or there twice and not equal;
    Unavailable where the disk refuses.
    """
    places = Places(out)
    with ExitStack() as stack:
        if not folders and not places.inside.is_dir():
            raise UsageError(f"{str(out)!r} is no store", expected="a folder that snellen embed wrote")
        stack.callback(locked(places, "merge", shared=False).release)
        workers = [_worker(folder, stack) for folder in folders if not _same(folder, out)]
        if workers and not _merged(places, workers):
            run = _run(places, workers)
            sources = _sources(places, run, workers)
            if first is not None:
                first(run)
            with keeping(out):
                _adopt(places, workers[0])
                for number, worker in sources.items():
                    _bring(places, run, worker, number)
        elif first is not None and (own := state.unfinished(places, state.manifest(places))) is not None:
            first(own)
        return finishing.finish(places)


def _worker(folder: Path, stack: ExitStack) -> _Worker:
    places = Places(folder)
    if not places.inside.is_dir():
        raise UsageError(f"{str(folder)!r} is no store", expected="a folder that snellen embed --shard wrote")
    with keeping(folder):
        stack.callback(Lock(places.lock, "merge", shared=True).release)
    return _Worker(places, state.in_work(places))


def _same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _merged(places: Places, workers: Sequence[_Worker]) -> bool:
    """Return whether what all worked on is a finished run of the whole: then there is nothing left to bring."""
    former = state.manifest(places)
    runs = [worker.run for worker in workers]
    return former is not None and all(
        run.number < len(former.runs)
        and (done := state.run_state(places, run.number)) is not None
        and done.listing == run.listing
        and done.identity == run.identity
        for run in runs
    )


def _run(places: Places, workers: Sequence[_Worker]) -> RunState:
    """Return the run that all worked on; raise UsageError where they did not."""
    former = state.manifest(places)
    run = state.unfinished(places, former) or workers[0].run
    for worker in workers:
        folder = worker.places.folder
        state.check_identity(places.folder, run.identity, worker.run.identity)
        if state.manifest(worker.places) != former:
            raise UsageError(
                f"the stores {str(places.folder)!r} and {str(folder)!r} do not hold the same finished runs",
                expected="folders that were equal before the workers began",
                todo="copy the finished store, manifest.json and .snellen too, to where it is to grow",
            )
        for name in ("listing", "rows", "part_rows", "first_id", "first_part", "number"):
            if getattr(run, name) != getattr(worker.run, name):
                raise UsageError(
                    f"{str(folder)!r} is of another run: its {name} is {getattr(worker.run, name)}, "
                    f"and {getattr(run, name)} in the others",
                    expected="workers that were given the same sources, which held the same files",
                    todo="let all workers list the same files, or share one folder: --shard i/n with the same -o",
                )
    return run


def _sources(places: Places, run: RunState, workers: Sequence[_Worker]) -> dict[int, _Worker]:
    """Return from which worker each part comes that is not in its place; raise UsageError where one is missing."""
    found: dict[int, _Worker] = {}
    missing = []
    for number in run.numbers:
        there = [_Worker(places, run), *workers]
        made = [(each, record) for each in there if (record := _record(each, number)) is not None]
        if not made:
            missing.append(number)
            continue
        first, record = made[0]
        for other, same in made[1:]:
            if same.part.sha256 != record.part.sha256:
                raise _twice(first.places.part(number), other.places.part(number))
        if first.places is not places:
            found[number] = first
    if missing:
        raise finishing.incomplete(places, run, missing)
    return found


def _record(worker: _Worker, number: int) -> FinishedPart | None:
    return state.finished_part(worker.places, worker.run.number, number)


def _adopt(places: Places, worker: _Worker) -> None:
    """Take over the listing of a worker, where there is none."""
    run = worker.run.number
    places.journals.mkdir(exist_ok=True)
    if places.asked(run).exists():
        return
    shutil.rmtree(places.run(run), ignore_errors=True)
    places.run(run).mkdir()
    for path in sorted(worker.places.run(run).glob("listing-*.parquet")):
        aside = places.aside(path.name)
        with placed(places.run(run) / path.name, aside):
            shutil.copyfile(path, aside)
    put(places.asked(run), worker.places.asked(run).read_bytes(), places.aside("run.json"))


def _bring(places: Places, run: RunState, worker: _Worker, number: int) -> None:
    record = _record(worker, number)
    path = worker.places.part(number)
    if record is None or digest(path) != record.part.sha256:
        raise damaged(path, "is not what was written")
    aside = places.aside(path.name)
    with placed(places.part(number), aside):
        with suppress(OSError):
            aside.unlink()
        try:
            os.link(path, aside)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, aside)
            if digest(aside) != record.part.sha256:
                raise damaged(aside, "was not copied as it is") from None
    done = places.record(run.number, number)
    put(done, to_json(record.to_dict()), places.aside(done.name))


def _twice(one: Path, other: Path) -> UsageError:
    return UsageError(
        f"a part was made twice, and not the same: {str(one)!r} and {str(other)!r}",
        expected="every part once",
        todo="leave out the folder of the worker that was not meant, or remove one of the two files",
    )
