"""Ray does the parts of a run: on this machine, or on all machines of a cluster.

In: a job, and the address of a cluster. Out: an engine, as ``embed.engines`` has them: what the vectors are, and then
the progress of the run. The store is that of a local run, row for row: a part is the unit of work here, too, and the
machine that does it writes it straight into the store, which all machines must see.

A worker may die at any time. Its part goes on from its journal with another worker; only a part whose workers die
three times at the same place ends the run.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.embed import ray_cluster, ray_driver
from snellen.embed.engines import Failed, Ready
from snellen.embed.progress import Progress
from snellen.embed.ray_driver import Answer, Note, Order, Over, Own, Plan
from snellen.embed.ray_worker import LOCKED_S, Begun, Moved, Place, answered
from snellen.errors import MissingPackage, SnellenError, UsageError
from snellen.records import ModelRecord
from snellen.records.store import Identity, PartRecord
from snellen.store import part_writer
from snellen.store.files import keeping
from snellen.store.layout import Places

if TYPE_CHECKING:
    from snellen.embed.worker import Job

LIVES = 3
"""Workers that a part may cost at one place: two may be bad luck."""

LOOK_S = 0.5
"""How often it is looked whether a silent process is still alive."""

END_S = 20.0
"""How long Ray may take to stop."""

LONGEST = 40
"""Characters of a temporary folder in which Ray's sockets still find room: the name of a socket has at most 107."""

Event = Progress | PartRecord


class Ray:
    """The engine; ``address`` is host:port of a cluster, by default RAY_ADDRESS, and without it Ray is started here.

    ``workers``: at most so many, by default as many as there is room for. ``threads`` decode in each, in the place of
    what the job says; by default as many as a worker gets processors. ``tell`` is given what a person may want to know.

    Raises MissingPackage without Ray, UsageError for a device that it cannot give, Unavailable where the cluster cannot
    be reached or has no room, and what opening the encoder raises.
    """

    def __init__(
        self,
        job: Job,
        *,
        address: str | None = None,
        workers: int | None = None,
        threads: int | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        _installed()
        kind = ray_cluster.kind_of(job.asked.device)
        self._plan = Plan(
            job=replace(job, asked=replace(job.asked, device=kind)),
            address=_address(address or os.environ.get("RAY_ADDRESS")),
            workers=workers,
            threads=threads,
        )
        self._tell = tell
        self._notes: tuple[str, ...] = ()
        self._driver = Driver(self._plan)
        try:
            ready = self._driver.message()
            if not isinstance(ready, Ready):
                raise SnellenError(f"Ray answered with {ready!r}", todo="this is a fault in snellen")
        except BaseException:
            self._driver.stop()
            raise
        self.identity: Identity = ready.identity
        self.records: tuple[ModelRecord, ...] = (ready.record,)

    def note(self, text: str) -> None:
        """Have the records of the parts that come say something more."""
        self._notes += (text,)

    def run(self, folder: str, parts: Iterable[int]) -> Iterator[Event]:
        """Do the parts, in any order; the first error of a worker ends the run, and what was committed stays."""
        left, lives = sorted(parts), Lives()
        if not left:
            return
        places = Places(Path(folder).absolute())
        sign = places.journals / f"ray-{secrets.token_hex(8)}"  # where it goes with the rest, if this process is killed
        try:
            with keeping(places.folder):
                places.journals.mkdir(exist_ok=True)
                sign.write_text(sign.name, encoding="ascii")
            self._driver.send(Order(_place(places.folder, sign, left[0]), left, self._notes))
            yield from self._events(lives)
        finally:
            sign.unlink(missing_ok=True)

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.stop()

    def _events(self, lives: Lives) -> Iterator[Event]:
        while not isinstance(message := self._driver.message(), Over):
            if isinstance(message, Note):
                self._tell(message.text)
            elif isinstance(message, Begun):
                if cost := lives.begun(message):
                    self._tell(cost)
            elif isinstance(message, Answer):
                yield answered(message.text)
            elif isinstance(message, Moved):
                yield lives.news(message)


class Lives:
    """What is known of the parts under way: the workers that each has cost at one place, and what was told of it."""

    def __init__(self) -> None:
        self._last: dict[int, Begun] = {}
        self._times: Counter[int] = Counter()
        self._told: dict[int, Counter[str]] = {}

    def begun(self, event: Begun) -> str:
        """Note that a worker takes up a part; say so where it is not the first one.

        Raises SnellenError where the part has cost too many.
        """
        last = self._last.get(event.part)
        if last is None or event.rows_done > last.rows_done:
            self._times[event.part] = 0
        self._last[event.part] = event
        self._times[event.part] += 1
        if self._times[event.part] > LIVES:
            raise _deadly(event)
        if last is None:
            return ""
        return f"the worker of part {event.part} died ({last.where}); it goes on behind its {event.rows_done} rows"

    def news(self, message: Moved) -> Progress:
        """Return what is new of a part's progress: what a later worker found done is mostly told already."""
        progress, told = message.progress, self._told.setdefault(message.part, Counter())
        found = Counter(progress.found) - told
        told += found + Counter(progress.counts)
        return replace(progress, found=dict(found))


class Driver:
    """The process that drives Ray, and the way to talk to it."""

    def __init__(self, plan: Plan) -> None:
        short = len(tempfile.gettempdir()) <= LONGEST
        self._folder = tempfile.mkdtemp(prefix="ray-", dir=None if short else "/tmp")
        own = Own(folder=self._folder, token=secrets.token_hex(32))
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=ray_driver.drive, args=(theirs, plan, own), daemon=True)
        try:
            self._process.start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        theirs.close()

    def send(self, order: Order) -> None:
        """Send what is to be done next."""
        self._pipe.send(order)

    def message(self) -> Any:
        """Return the next message; raise the error it is, or one that says that the process died."""
        while not self._pipe.poll(LOOK_S):
            if not self._process.is_alive() and not self._pipe.poll():
                raise self._died()
        try:
            message = self._pipe.recv()
        except EOFError:
            raise self._died() from None
        if isinstance(message, Failed):
            raise SnellenError(message.seen, expected=message.expected, todo=message.todo)
        return message

    def stop(self) -> None:
        """End the process, and Ray if it was started for it; what workers have committed is in the store."""
        if self._process.pid is not None:
            self._process.terminate()
            self._process.join(END_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _died(self) -> SnellenError:
        self._process.join(END_S)
        lines = _lines(Path(self._folder, ray_driver.LOG))
        said = f"; it wrote last: {lines[-1]}" if lines else ""
        return SnellenError(
            f"the process that drives Ray died (exit code {self._process.exitcode}){said}",
            todo="run the command again: it goes on where the store is; the system's log may say why",
        )


def _address(given: str | None) -> str | None:
    """Return the address of a cluster; raise UsageError for that of a Ray client or a web page."""
    if given and "//" in given:
        raise UsageError(
            f"{given!r} is the address of a Ray client or a web page, and Ray Data is driven from within a cluster",
            expected="host:port, as 'ray start' prints it",
            todo="give the command on a machine of the cluster ('ray job submit' does that), with --engine ray",
        )
    return given or None


def _installed() -> None:
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise MissingPackage("the engine ray needs the package ray", todo="pip install 'snellen[ray]'")


def _place(folder: Path, sign: Path, part: int) -> Place:
    """Return how a machine tells that it sees this store, and an image of a part that is still to be embedded."""
    with part_writer(folder, part, wait=LOCKED_S) as writer:
        item = next((item for _, item in writer.inputs), None)
    image = None if item is None or item.kind == "url" or not os.path.exists(item.place) else item.place
    return Place(folder=str(folder), sign=str(sign), content=sign.name, image=image, directory=os.getcwd())


def _deadly(last: Begun) -> SnellenError:
    if last.next_id is None:
        where = "after its last image, when its file was written"
    else:
        where = f"at or shortly behind image {last.next_id}, {last.next_path!r}"
    return SnellenError(
        f"part {last.part} ended {LIVES} workers one after the other, each {where}",
        expected="images that do not bring down the process that decodes them, and enough memory",
        todo="look into the system's log (out of memory?) and try that image alone; the other parts are kept",
    )


def _lines(log: Path) -> list[str]:
    try:
        return [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return []
