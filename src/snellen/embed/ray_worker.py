"""What runs on the machines of a Ray cluster: workers that do parts, and the desk where they say how far they are.

In: orders, which every worker of a run gets, and the number of a part. Out: the part's record or its error as one line
of JSON, which is what Ray carries, and messages in between. The rows themselves never travel through Ray: a worker
writes them straight into the store, which lies on a file system that all machines share.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.embed.progress import Progress
from snellen.embed.spent import Spent
from snellen.errors import SnellenError, Unavailable, UsageError
from snellen.records.reading import read
from snellen.records.store import Identity, PartRecord
from snellen.runtimes.versions import numbers, version

if TYPE_CHECKING:
    from snellen.embed.worker import Job, Worker

PACKAGES = ("snellen", "torch", "openvino", "numpy", "Pillow", "pyarrow")
"""What decides numbers or how they are written; every machine must have the same."""

SEEN_S = 5.0
"""How long a file that was just written may take to be seen on another machine."""

LOCKED_S = 120.0
"""How long a part stays locked, at the most, whose worker is gone: NFS keeps the locks of a lost machine for 90 s."""

SAY_S = 1.0
"""How often a worker says how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store, and how a machine tells that it sees the same files: a file, what is in it, an image that is there."""

    folder: str
    sign: str
    content: str
    image: str | None
    directory: str  # relative paths begin here


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What every worker of a run is given; ``notes``: what its record says beside what it says of itself."""

    job: Job
    identity: Identity
    place: Place
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A worker takes up a part: how many rows it found done, and the input that comes next."""

    part: int
    rows_done: int
    next_id: int | None
    next_path: str
    where: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A worker has got on with a part."""

    part: int
    progress: Progress


@dataclass(slots=True)
class Gathered:
    """Progress of a part that is added up, so that the desk gets few messages."""

    counts: Counter[str] = field(default_factory=Counter)
    spent: Spent = field(default_factory=Spent)
    failures: list[tuple[str, str]] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Progress) -> None:
        """Add what was done since."""
        self.counts.update(other.counts)
        self.spent += other.spent
        self.failures += other.failures
        self.found.update(other.found)
        self.notes += other.notes

    def progress(self) -> Progress:
        """Return the sum."""
        failures, notes = tuple(self.failures), tuple(self.notes)
        return Progress(dict(self.counts), self.spent, failures, dict(self.found), notes)


class Desk:
    """Holds what workers say until the command asks for it; an actor of its own."""

    def __init__(self) -> None:
        self._said: list[Begun | Moved] = []

    def say(self, message: Begun | Moved) -> None:
        """Leave a message."""
        self._said.append(message)

    def take(self) -> list[Begun | Moved]:
        """Return the messages since the last time."""
        said, self._said = self._said, []
        return said


class Hands:
    """An actor of Ray Data's pool: one worker, which is opened when there is something to do.

    ``there``: the packages of the command's machine; ``desk``: Ray's handle of the ``Desk``.
    """

    def __init__(self, orders: Orders, there: Mapping[str, str], desk: Any) -> None:
        self._orders, self._there, self._desk = orders, there, desk
        self._worker: Worker | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Do the one part of a batch; whatever goes wrong is an answer, for Ray would do it again or drop it."""
        (part,) = map(int, batch["part"])
        try:
            answer: dict[str, Any] = {"record": asdict(self._do(part))}
        except SnellenError as error:
            answer = _failed(part, error.seen, error.expected, error.todo)
        except Exception as error:  # noqa: BLE001  # the command raises it again
            seen = f"{type(error).__name__}: {error}"
            answer = _failed(part, seen, "", f"report this with what follows\n{traceback.format_exc()}")
        return {"answer": [json.dumps(answer)]}

    def _do(self, part: int) -> PartRecord:
        from snellen.store import AlreadyFinished, part_writer

        place = self._orders.place
        if self._worker is None:
            check(self._there, place)
        try:
            with part_writer(Path(place.folder), part, wait=LOCKED_S) as writer:
                self._say(_begun(part, writer.rows_done, writer.inputs), wait=True)
        except AlreadyFinished as error:  # by a worker that died before it could say so
            return error.record
        gathered, said = Gathered(), time.monotonic()
        for event in self._opened().work(place.folder, [part]):
            if isinstance(event, PartRecord):
                self._say(Moved(part, gathered.progress()), wait=True)
                return event
            gathered.add(event)
            if time.monotonic() > said + SAY_S:
                self._say(Moved(part, gathered.progress()))
                gathered, said = Gathered(), time.monotonic()
        raise SnellenError("a worker gave no record of its part", todo="this is a fault in snellen")

    def _opened(self) -> Worker:
        from snellen.embed.worker import Worker

        if self._worker is not None:
            return self._worker
        worker = Worker(self._orders.job)
        if differences := self._orders.identity.differences(worker.identity):
            worker.close()
            raise UsageError(
                f"the machines do not run the same encoder: {'; '.join(differences)}",
                todo="give all of them the same weights and packages",
            )
        for note in self._orders.notes:
            worker.note(note)
        self._worker = worker
        return worker

    def _say(self, message: Begun | Moved, *, wait: bool = False) -> None:
        """Leave a message at the desk; ``wait`` until it is there, so that it is not overtaken by an answer."""
        import ray

        sent = self._desk.say.remote(message)
        if wait:
            ray.get(sent)


def opened(job: Job) -> tuple[Identity, Any] | tuple[str, str, str]:
    """Open the encoder of a job; return what it is and its record, or the three parts of the error."""
    from snellen.embed.worker import Worker

    try:
        with Worker(job) as worker:
            return worker.identity, worker.record
    except SnellenError as error:
        return error.seen, error.expected, error.todo


def packages() -> dict[str, str]:
    """Return the versions of what decides numbers on this machine, snellen's own code for them included."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name) for name in PACKAGES}, "snellen's numbers": numbers()[:12]}


def check(there: Mapping[str, str], place: Place | None) -> None:
    """Raise Unavailable unless this machine has the packages of the command's and sees the same store and images."""
    host, mine = socket.gethostname(), packages()
    if differing := [
        f"{name} is {mine[name]}, and {theirs} there" for name, theirs in there.items() if mine[name] != theirs
    ]:
        raise Unavailable(
            f"the machine {host} has other packages than the one the command was given on: {'; '.join(differing)}",
            expected="the same environment on every machine of the cluster",
            todo="install it there, best from one image or one shared folder",
        )
    if place is None:
        return
    if os.path.isdir(place.directory):
        os.chdir(place.directory)
    if not _sees(place):
        raise Unavailable(
            f"the machine {host} does not see the store {place.folder!r}",
            expected="an output folder on a file system that all machines of the cluster share, under the same path",
            todo="mount it there, or embed with --shard on each machine and merge",
        )
    if place.image is not None and not os.path.exists(place.image):
        raise Unavailable(
            f"the machine {host} does not see the images: {os.path.join(place.directory, place.image)!r} is not there",
            expected="the images under the same path on every machine of the cluster",
            todo="mount them there; as it is, every image would be reported missing",
        )


def answered(text: str) -> PartRecord:
    """Return the record in an answer; raise SnellenError with what went wrong instead."""
    answer = json.loads(text)
    if "failed" in answer:
        seen, expected, todo = answer["failed"]
        raise SnellenError(seen, expected=expected, todo=todo)
    return read(PartRecord, answer["record"])


def _sees(place: Place) -> bool:
    until = time.monotonic() + SEEN_S
    while True:
        try:
            return Path(place.sign).read_text(encoding="ascii") == place.content
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.2)


def _begun(part: int, rows_done: int, inputs: Iterator[tuple[int, Any]]) -> Begun:
    where = f"{socket.gethostname()}, process {os.getpid()}"
    id_, item = next(inputs, (None, None))
    path = "" if item is None else item.path
    return Begun(part=part, rows_done=rows_done, next_id=id_, next_path=path, where=where)


def _failed(part: int, seen: str, expected: str, todo: str) -> dict[str, Any]:
    return {"failed": [f"part {part}, on {socket.gethostname()}: {seen}", expected, todo]}
