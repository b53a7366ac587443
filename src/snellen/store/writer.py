"""A store that grows: begin a run, or go on with one; hand out its parts; write the manifest when all are there.

In: the folder, what makes its vectors, the inputs. Out: finished runs. While a ``Writer`` is open nobody else writes,
but the workers of the same run, each its own parts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from snellen._version import __version__
from snellen.errors import UsageError
from snellen.records.inputs import Input
from snellen.records.store import Identity, Manifest, PartRecord
from snellen.store import clip, finishing, layout, listing, state
from snellen.store.files import keeping, put, sync_folder, to_json
from snellen.store.finishing import index_of
from snellen.store.layout import Places
from snellen.store.listing import Stat
from snellen.store.lock import Lock, Locked, now, open_alone
from snellen.store.opening import locked
from snellen.store.part_writer import PartWriter, part_writer
from snellen.store.state import RunState

_DAYS_S = 10 * 24 * 3600.0
"""Seconds that a worker of --shard waits for another one to list the inputs: as long as it takes."""


class Writer:
    """A store with its lock, a context; made by ``open``."""

    def __init__(self, places: Places, identity: Identity, lock: Lock, shard: tuple[int, int] | None) -> None:
        self.folder, self.identity, self.shard = places.folder, identity, shard
        self._places, self._lock = places, lock

    @classmethod
    def open(cls, folder: Path, identity: Identity, *, shard: tuple[int, int] | None = None) -> Writer:
        """Lock a store, and make it if there is none; ``shard`` (i, n): for one of n workers, who share the lock.

        Raises UsageError for another identity, naming what differs; for a folder that is no store; and where somebody
        writes to it, naming whom. Raises Unavailable where the disk refuses.
        """
        places = Places(folder)
        if shard is not None and not 0 <= shard[0] < shard[1]:
            raise UsageError(f"there is no shard {shard[0]} of {shard[1]}", expected="i/n, with i from 0 to n - 1")
        what = "embed" if shard is None else f"embed --shard {shard[0]}/{shard[1]}"
        lock = locked(places, what, shared=shard is not None)
        try:
            manifest = state.manifest(places)
            run = state.unfinished(places, manifest)
            for there in (manifest, run):
                if there is not None:
                    state.check_identity(folder, there.identity, identity)
            if shard is None:
                finishing.tidy(places, manifest, run)
        except BaseException:
            lock.release()
            raise
        return cls(places, identity, lock, shard)

    @property
    def unfinished(self) -> RunState | None:
        """The run that was begun and is not finished."""
        return state.unfinished(self._places, state.manifest(self._places))

    def begin(
        self,
        sources: Sequence[str],
        inputs: Iterable[Input],
        stat: Stat,
        *,
        command: str = "",
        part_rows: int | None = None,
    ) -> RunState:
        """List the inputs that are not present yet, and return the run; or return the unfinished run of these sources.

        ``stat`` gives size and time of an input now, or None. ``command`` is what a user types to go on with this run.
        Raises UsageError where a run of other sources is unfinished, and what ``inputs`` raises.
        """
        with self._alone():
            manifest = state.manifest(self._places)
            run = state.unfinished(self._places, manifest)
            if run is None:
                return self._list(manifest, tuple(sources), listing.Asked(inputs, stat), command, part_rows)
            if run.sources != tuple(sources):
                raise _other(self.folder, run)
            return run

    def withdraw(self, run: RunState) -> None:
        """Take back a run of which no part was begun, as if it had never been asked for."""
        begun = any(self._places.journal(number).exists() for number in run.numbers) or any(self.done(run))
        if not begun:
            with self._alone(), keeping(self.folder):
                shutil.rmtree(self._places.run(run.number), ignore_errors=True)

    def todo(self, run: RunState) -> Iterator[int]:
        """Yield the numbers of the parts that are not finished; of a shard, only those that are its own."""
        index, count = self.shard or (0, 1)
        for place, number in enumerate(run.numbers):
            if place % count == index and state.finished_part(self._places, run.number, number) is None:
                yield number

    def done(self, run: RunState) -> Iterator[PartRecord]:
        """Yield the records of the parts that are finished."""
        return (there.part for there in state.finished_parts(self._places, run))

    def part(self, number: int) -> PartWriter:
        """Return the writer of a part, as ``part_writer`` does."""
        return part_writer(self.folder, number)

    def finish(self) -> Manifest:
        """Write the manifest of the run in work; raise UsageError while parts are missing."""
        with self._alone():
            return finishing.finish(self._places)

    def clip_layout(self) -> int:
        """Bring the clip-retrieval layout of the finished store up to date; return how many pairs were written."""
        return clip.bring_up(self._places)

    def close(self) -> None:
        """Let others write."""
        self._lock.release()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only one, of the workers who share the store, to begin or finish a run."""
        with keeping(self.folder):
            descriptor = open_alone(self._places.listing_lock, wait=_DAYS_S)
        if descriptor is None:
            raise Locked("another worker has been listing the inputs for ten days", todo="look whether it is well")
        try:
            yield
        finally:
            os.close(descriptor)

    def _list(
        self,
        manifest: Manifest | None,
        sources: tuple[str, ...],
        asked: listing.Asked,
        command: str,
        part_rows: int | None,
    ) -> RunState:
        number = len(manifest.runs) if manifest else 0
        first_id = sum(run.rows for run in manifest.runs) if manifest else 0
        folder = self._places.run(number)
        for part in manifest.parts if manifest else ():
            state.check_part(self._places, part)
        with keeping(self.folder):
            shutil.rmtree(folder, ignore_errors=True)  # a listing that was never complete
            folder.mkdir()
            self._places.journals.mkdir(exist_ok=True)
            known = index_of(self._places, manifest)
        try:
            counted = listing.write(self._places, number, first_id, listing.fresh(asked, known))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        length = part_rows or layout.part_rows(counted.rows)
        run = RunState(
            number=number,
            sources=sources,
            command=command,
            identity=self.identity,
            version=__version__,
            first_part=sum(each.parts for each in manifest.runs) if manifest else 0,
            parts=-(-counted.rows // length),
            part_rows=length,
            rows=counted.rows,
            first_id=first_id,
            present=counted.present,
            replacing=counted.replacing,
            listing=counted.digest,
            started=now(),
        )
        with keeping(self.folder):
            put(self._places.asked(number), to_json(run.to_dict()), self._places.aside("run.json"))
            sync_folder(self._places.inside)
            sync_folder(self.folder)
        return run


def _other(folder: Path, run: RunState) -> UsageError:
    return UsageError(
        f"a run of other sources was begun in the store {str(folder)!r}, and is not finished: {' '.join(run.sources)}",
        expected="one run after the other",
        todo=f"finish that one first: {run.rest or 'give the command again that began it'}",
    )
