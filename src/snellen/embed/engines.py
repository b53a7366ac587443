"""Who does the parts of a run: a worker in this process, or one process for each of several devices.

In: jobs. Out: what a store must know of the encoder before anything is written, and then the progress of the run. An
engine is a context; it is left when the run is done, has failed or was interrupted.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from snellen.embed.progress import Progress
from snellen.embed.worker import Job, Worker
from snellen.errors import SnellenError, UsageError
from snellen.records import ModelRecord
from snellen.records.store import Identity, PartRecord

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from multiprocessing.queues import Queue

LOOK_S = 0.5
"""How often it is looked whether a silent process is still alive."""

Event = Progress | PartRecord


class Engine(Protocol):
    """What does the parts of a run."""

    @property
    def identity(self) -> Identity:
        """What the vectors are."""

    @property
    def records(self) -> tuple[ModelRecord, ...]:
        """What makes them, one for each worker that differs."""

    def note(self, text: str) -> None:
        """Have the records of the parts that come say something more."""

    def run(self, folder: str, parts: Iterable[int]) -> Iterator[Event]:
        """Do the parts, in any order."""

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Local:
    """One worker in this process."""

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)
        self.model = self._worker.model
        self.identity = self._worker.identity
        self.records = (self._worker.record,)

    def note(self, text: str) -> None:
        """Tell the worker."""
        self._worker.note(text)

    def run(self, folder: str, parts: Iterable[int]) -> Iterator[Event]:
        """Do the parts one after the other."""
        return self._worker.work(folder, parts)

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()


@dataclass(frozen=True, slots=True)
class Ready:
    """The encoder can be opened where it is to run, and this is what it is."""

    identity: Identity
    record: ModelRecord


@dataclass(frozen=True, slots=True)
class Failed:
    """Another process cannot go on: the three parts of an error, for not every exception can be sent."""

    seen: str
    expected: str = ""
    todo: str = ""


class _Done:
    """A worker has nothing left to do."""


class Processes:
    """One process for each job; they take parts from one queue, so that a faster device does more of them.

    Raises what opening an encoder raises, and UsageError where the devices do not give the same encoder.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        context = multiprocessing.get_context("spawn")  # a device's runtime does not survive a fork
        self._events: Queue[Any] = context.Queue(maxsize=64 * len(jobs))
        self._parts: Queue[tuple[str, int, tuple[str, ...]] | None] = context.Queue()
        self._notes: tuple[str, ...] = ()
        self._workers: list[BaseProcess] = [
            context.Process(target=_serve, args=(job, self._parts, self._events), daemon=True) for job in jobs
        ]
        try:
            for worker in self._workers:
                worker.start()
            opened = [self._event() for _ in jobs]
        except BaseException:
            self._stop()
            raise
        ready = [event for event in opened if isinstance(event, Ready)]
        self.identity = ready[0].identity
        self.records = tuple({event.record.device: event.record for event in ready}.values())
        for other in ready[1:]:
            if differences := self.identity.differences(other.identity):
                self._stop()
                raise UsageError(f"the devices do not run the same encoder: {'; '.join(differences)}")

    def note(self, text: str) -> None:
        """Tell the workers, with the parts."""
        self._notes += (text,)

    def run(self, folder: str, parts: Iterable[int]) -> Iterator[Event]:
        """Do the parts; the first error of a worker ends the run, and what the others committed stays."""
        for number in parts:
            self._parts.put((folder, number, self._notes))
        for _ in self._workers:
            self._parts.put(None)
        at_work = len(self._workers)
        while at_work:
            event = self._event()
            if isinstance(event, _Done):
                at_work -= 1
            else:
                yield event

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _event(self) -> Any:
        """Return the next event; raise the error of a worker, or say that one has died."""
        while True:
            try:
                event = self._events.get(timeout=LOOK_S)
            except queue.Empty:
                self._check_alive()
                continue
            if isinstance(event, Failed):
                raise SnellenError(event.seen, expected=event.expected, todo=event.todo)
            return event

    def _check_alive(self) -> None:
        for worker in self._workers:
            if worker.exitcode not in (None, 0) and self._events.empty():
                how = f"signal {-worker.exitcode}" if worker.exitcode < 0 else f"exit code {worker.exitcode}"
                raise SnellenError(
                    f"a worker process died ({how})",
                    todo="run the command again: it goes on where the store is; the system's log may say why",
                )

    def _stop(self) -> None:
        """End the processes; what they have committed is in the store."""
        for worker in self._workers:
            if worker.pid is not None:
                worker.terminate()
        for worker in self._workers:
            if worker.pid is not None:
                worker.join()
        for held in (self._events, self._parts):
            held.cancel_join_thread()
            held.close()


def _serve(job: Job, parts: Queue[Any], events: Queue[Any]) -> None:
    """Open an encoder, and do parts until there are none; what runs in a process of its own."""
    threading.Thread(target=_outlive_nobody, name="parent", daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(job.workers))  # with all cores each, they would be in each other's way
    try:
        with Worker(job) as worker:
            events.put(Ready(worker.identity, worker.record))
            first = parts.get()
            if first is not None:
                folder, number, notes = first
                for note in notes:
                    worker.note(note)
                for event in worker.work(folder, _numbers(number, parts)):
                    events.put(event)
            events.put(_Done())
    except SnellenError as error:
        events.put(Failed(error.seen, error.expected, error.todo))
    except KeyboardInterrupt:
        pass  # the process that waits was interrupted, too
    except Exception as error:  # noqa: BLE001  # it is raised again in the process that waits for it
        seen = f"a worker process failed: {type(error).__name__}: {error}"
        events.put(Failed(seen, todo=f"report this with what follows\n{traceback.format_exc()}"))


def _outlive_nobody() -> None:
    """End this process as soon as the one that began it is gone: it would hold the locks of its parts for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once, as a death: what is committed stays


def _numbers(first: int, parts: Queue[Any]) -> Iterator[int]:
    number: int | None = first
    while number is not None:
        yield number
        following = parts.get()
        number = None if following is None else following[1]
