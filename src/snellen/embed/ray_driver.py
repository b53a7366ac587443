"""The process that drives Ray: it joins or starts a cluster, opens the encoder there, and hands out the parts.

In: a plan, and then the parts of a run, through a pipe. Out: messages through the same pipe. It is a process of its own
because Ray reads its settings when it is imported, writes to stdout and stderr what it likes, and keeps a program's
workers for as long as the program lives: with this process everything of a run is gone.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from snellen.embed import ray_cluster, ray_worker
from snellen.embed.engines import Failed, Ready
from snellen.embed.ray_cluster import Room, counted
from snellen.embed.ray_worker import Desk, Hands, Orders, Place, packages
from snellen.errors import SnellenError, Unavailable

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from snellen.embed.worker import Job

LOG = "driver.log"
"""The file, in the folder of a plan, that gets what Ray writes."""

TICK_S = 0.3
"""How often the desk is asked, and whether the command is still there."""

PATIENCE_S = 60.0
"""How long no worker may have said anything before it is told what they may be waiting for."""

INIT_DEATHS = 8
"""Workers in a row that may die before they are ready, as they do when a machine is lost just then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is driven, and where; ``address`` None: a Ray that is started here, and ends with this process."""

    job: Job  # its device is a kind, without an index
    address: str | None
    workers: int | None  # None: as many as there is room for
    threads: int | None  # that decode, in each worker; None: as many as it gets processors


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What this process has for itself."""

    folder: str  # for what Ray keeps while it runs, and what it writes
    token: str  # opens the ports of a Ray that is started here


@dataclass(frozen=True, slots=True)
class Order:
    """Parts to be done; ``notes`` are for the records of their encoders."""

    place: Place
    parts: Sequence[int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person may want to know."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says of a part, as ``ray_worker.answered`` reads it."""

    text: str


@dataclass(frozen=True, slots=True)
class Over:
    """All parts have their answers."""


def drive(pipe: Connection, plan: Plan, own: Own) -> None:
    """Serve the other end of ``pipe``: open the encoder, and carry out one order."""
    _quiet(plan, own)
    try:
        with ray_cluster.connected(plan.address, own.folder) as ray:
            room = ray_cluster.room(ray, plan.job.asked.device, plan.workers)
            job = replace(plan.job, workers=plan.threads or max(1, int(room.cpus)))
            ray_cluster.check(ray, room.nodes, None)
            ready = _opened(ray, job, room)
            pipe.send(ready)
            order = pipe.recv()
            ray_cluster.check(ray, room.nodes, order.place)
            room = replace(room, workers=min(room.workers, len(order.parts)))
            orders = Orders(job=job, identity=ready.identity, place=order.place, notes=order.notes)
            _parts(ray, Said(ray, pipe, room), room, orders, order.parts)
    except SnellenError as error:
        pipe.send(Failed(error.seen, error.expected, error.todo))
    except (EOFError, BrokenPipeError, ConnectionResetError, SystemExit):  # the command is gone, or has enough
        if _orphan():
            shutil.rmtree(own.folder, ignore_errors=True)
    except Exception as error:  # noqa: BLE001  # it is raised again by the command
        todo = f"report this with what follows\n{traceback.format_exc()}"
        pipe.send(Failed(f"Ray failed: {type(error).__name__}: {error}", todo=todo))


def _quiet(plan: Plan, own: Own) -> None:
    """Set what Ray reads at its import, send what it writes to a file, and leave Ctrl-C to the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(ray_cluster.settings(plan.address, own.token))
    log = os.open(os.path.join(own.folder, LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _opened(ray: Any, job: Job, room: Room) -> Ready:
    """Open the encoder once in the cluster, in a process that ends with it."""
    opening = ray.remote(max_calls=1, max_retries=0, **room.takes())(ray_worker.opened)
    try:
        found = ray.get(opening.remote(job))
    except ray.exceptions.WorkerCrashedError as error:
        raise Unavailable("the process that opened the encoder died", todo="see the system's log: memory?") from error
    if isinstance(found[0], str):
        raise SnellenError(found[0], expected=found[1], todo=found[2])
    return Ready(*found)


def _parts(ray: Any, said: Said, room: Room, orders: Orders, parts: Sequence[int]) -> None:
    """Do the parts with Ray Data, and send what the workers say of them, in any order.

    Ray starts a worker that dies anew, there or on another machine, and gives it its part again, as often as need be.
    """
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a part may take hours
    context.max_consecutive_actor_init_deaths = INIT_DEATHS
    pool = ray.data.ActorPoolStrategy(size=room.workers, max_tasks_in_flight_per_actor=1)
    given = (orders, packages(), said.desk)
    with ray.data.DataContext.current(context):
        data = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
        told = data.map_batches(Hands, batch_size=1, compute=pool, fn_constructor_args=given, **room.takes())
        for batch in told.iter_batches(batch_size=None, prefetch_batches=0):
            said.forward()  # what a worker said before it gave its answer
            for text in batch["answer"]:
                said.send(Answer(str(text)))
    said.end()
    said.send(Over())


class Said:
    """What workers leave at the desk goes on to the command, from a thread; the pipe is written by one at a time."""

    def __init__(self, ray: Any, pipe: Connection, room: Room) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self.desk = ray.remote(num_cpus=0, scheduling_strategy=here)(Desk).remote()
        self._ray, self._pipe, self._room = ray, pipe, room
        self._sending, self._ended = threading.RLock(), threading.Event()
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="desk", daemon=True)
        self._thread.start()

    def send(self, message: object) -> None:
        """Send a message to the command."""
        with self._sending:
            self._pipe.send(message)

    def forward(self) -> None:
        """Send what lies at the desk."""
        with self._sending:
            for message in self._ray.get(self.desk.take.remote()):
                self._heard = time.monotonic()
                self._pipe.send(message)

    def end(self) -> None:
        """Stop watching, and send the last messages."""
        self._ended.set()
        self._thread.join()
        self.forward()

    def _watch(self) -> None:
        """Forward messages until the end; end the process, which waits for answers, where none will come."""
        try:
            patience = PATIENCE_S
            while not self._ended.wait(TICK_S) and not _orphan():
                self.forward()
                silent = time.monotonic() - self._heard
                if silent > patience:
                    patience *= 2
                    free = counted(self._ray.available_resources())
                    self.send(Note(f"no worker has said anything for a while: each needs {self._room}; free: {free}"))
        except self._ray.exceptions.RayError as error:
            again = "give the command again on a machine that stays: it goes on where the store is"
            self.send(Failed(f"the connection to Ray was lost: {error}", todo=again))
        finally:
            if not self._ended.is_set():
                os.kill(os.getpid(), signal.SIGTERM)


def _orphan() -> bool:
    """Tell whether the command is gone."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()
