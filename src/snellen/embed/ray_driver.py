"""The process that drives Ray: it starts or joins a cluster, opens the encoder there, and hands out the parts.

In: a plan, and then the parts of a run, through a pipe. Out: messages through the same pipe. It is a process of its own
because Ray reads its settings when it is imported, writes to stdout and stderr what it likes, and keeps a program's
workers for as long as the program lives: with this process everything of a run is gone.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from snellen.devices import processor
from snellen.embed import ray_worker
from snellen.embed.ray_worker import Desk, Hands, Orders, Place, packages
from snellen.errors import SnellenError, Unavailable, UsageError
from snellen.records import ModelRecord
from snellen.records.store import Identity

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from snellen.embed.worker import Job

RESOURCES = {"cpu": "CPU", "cuda": "GPU", "xpu": "GPU", "npu": "NPU"}
"""What Ray calls a device of each kind; it lets a worker see its own alone, which is then the first."""

STORE_BYTES = 100 * 2**20
"""Of Ray's object store where it is started here: nothing but numbers of parts and answers passes through it."""

ANSWER_S = 10.0
"""How long a cluster may take to answer at all."""

TICK_S = 0.3
"""How often the desk is asked, and whether the command is still there."""

PATIENCE_S = 60.0
"""How long no worker may have said anything before it is told what they may be waiting for."""

LOST_S = 60.0
"""How long no worker may have said anything, where a machine is lost, before its parts are given to other machines."""

INIT_DEATHS = 8
"""Workers in a row that may die before they are ready, as they do when a machine is lost just then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is driven, and where; ``address`` None: a Ray that is started here, and ends with this process."""

    job: Job
    address: str | None
    workers: int | None  # None: as many as there is room for
    folder: str  # for what Ray keeps while it runs, and what it says
    token: str  # opens the ports of a Ray that is started here


@dataclass(frozen=True, slots=True)
class Ready:
    """The encoder can be opened in the cluster, and this is what it is."""

    identity: Identity
    record: ModelRecord


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
    """No part is under way any more; where a machine was lost, some may be left."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot go on: the three parts of an error."""

    seen: str
    expected: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """Where workers fit: how many there can be, and what each takes."""

    workers: int
    cpus: float
    device: str  # the resource; "CPU" for none
    nodes: tuple[str, ...]  # their ids in Ray


def drive(pipe: Connection, plan: Plan, identity: Identity | None) -> None:
    """Serve the other end of ``pipe``: open the encoder unless its ``identity`` is known, and do one set of parts."""
    _quiet(plan)
    try:
        with _connected(plan) as ray:
            room = _room(ray, plan)
            _check(ray, room, None)
            if identity is None:
                ready = _opened(ray, plan, room)
                identity = ready.identity
                pipe.send(ready)
            order = pipe.recv()
            if order is not None:
                place, parts = order
                _check(ray, room, place)
                _parts(ray, pipe, room, plan, Go(identity, place, parts))
    except SnellenError as error:
        pipe.send(Failed(error.seen, error.expected, error.todo))
    except (EOFError, OSError, SystemExit):  # the command is gone, or has enough
        if _orphan():
            shutil.rmtree(plan.folder, ignore_errors=True)
    except Exception as error:  # noqa: BLE001  # it is raised again by the command
        todo = f"report this with what follows\n{traceback.format_exc()}"
        pipe.send(Failed(f"Ray failed: {type(error).__name__}: {error}", todo=todo))


@dataclass(frozen=True, slots=True)
class Go:
    """One set of parts to do."""

    identity: Identity
    place: Place
    parts: Sequence[int]


def settings(plan: Plan) -> dict[str, str]:
    """Return the variables that Ray reads: nothing is reported; what is started here listens on loopback alone."""
    if plan.address is not None:
        return {"RAY_USAGE_STATS_ENABLED": "0", "RAY_NUM_REDIS_GET_RETRIES": "2"}
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's name for: this machine alone, on loopback
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": plan.token,  # or other users of this machine could run code as this one
    }


def _quiet(plan: Plan) -> None:
    """Set what Ray reads at its import, send what it writes to a file, and leave Ctrl-C to the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(settings(plan))
    log = os.open(os.path.join(plan.folder, "driver.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


@contextmanager
def _connected(plan: Plan) -> Iterator[Any]:
    """Join the cluster, or start one; it is left, or stopped, at the end, and its workers with it."""
    import ray
    import ray.data  # takes a while, and another thread needs it later

    if plan.address is not None:
        _answers_there(plan.address)
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if plan.address is None:
            ray.init(
                address="local",
                num_cpus=processor.cores(),
                object_store_memory=STORE_BYTES,
                include_dashboard=False,
                _temp_dir=plan.folder,
                **common,
            )
        else:
            ray.init(address=plan.address, **common)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if plan.address is None:
            raise Unavailable(f"Ray cannot be started here: {error}", todo="leave --engine out") from error
        raise _unreachable(plan.address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _answers_there(address: str) -> None:
    """Raise Unavailable where nothing listens at ``address``; Ray itself would try for ten minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto", or something that Ray refuses itself
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"Ray cannot be reached at {address!r}: {error}",
        expected="host:port of a cluster that this machine is part of, as 'ray start' prints it",
        todo="give the command on a machine of the cluster, or without an address, for this machine alone",
    )


def _room(ray: Any, plan: Plan) -> Room:
    """Return where workers fit: one for each device, or one for each machine where the processor computes."""
    kind = plan.job.asked.device
    device = RESOURCES[kind]
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(device, 0) >= 1]
    if not nodes:
        raise Unavailable(
            f"no machine of the cluster has the resource {device!r}, which a worker on {kind!r} needs",
            expected=f"at least one; there are {_counted(ray.cluster_resources())}",
            todo="start Ray with it ('ray start --help'), or take another --device",
        )
    slots = [1 if kind == "cpu" else int(node["Resources"][device]) for node in nodes]
    cpus = min(node["Resources"].get("CPU", 0) // n for node, n in zip(nodes, slots, strict=True))
    there = sum(slots)
    return Room(min(plan.workers or there, there), cpus, device, tuple(node["NodeID"] for node in nodes))


def _takes(room: Room) -> dict[str, Any]:
    """Return what Ray shall keep free for a worker."""
    taken: dict[str, Any] = {"num_cpus": room.cpus}
    if room.device == "GPU":
        taken["num_gpus"] = 1
    elif room.device != "CPU":
        taken["resources"] = {room.device: 1}
    return taken


def _check(ray: Any, room: Room, place: Place | None) -> None:
    """Raise the first objection of a machine where workers fit."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = packages()

    def objection() -> tuple[str, str, str] | None:  # travels as code: snellen may not be there
        try:
            from snellen.embed.ray_worker import check
            from snellen.errors import SnellenError
        except ImportError as error:
            from socket import gethostname

            host = gethostname()
            todo = "install the same environment on every machine of the cluster"
            return f"the machine {host} has no snellen, or another one: {error}", "", todo
        try:
            check(there, place)
        except SnellenError as error:
            return error.seen, error.expected, error.todo
        return None

    asked = [
        ray.remote(objection).options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        for node in room.nodes
    ]
    for found in ray.get([each.remote() for each in asked]):
        if found is not None:
            raise Unavailable(found[0], expected=found[1], todo=found[2])


def _opened(ray: Any, plan: Plan, room: Room) -> Ready:
    """Open the encoder once in the cluster, in a process that ends with it."""
    opening = ray.remote(max_calls=1, max_retries=0, **_takes(room))(ray_worker.opened)
    try:
        found = ray.get(opening.remote(plan.job))
    except ray.exceptions.WorkerCrashedError as error:
        raise Unavailable("the process that opened the encoder died", todo="see Ray's logs of it: memory?") from error
    if isinstance(found[0], str):
        raise SnellenError(found[0], expected=found[1], todo=found[2])
    return Ready(*found)


def _parts(ray: Any, pipe: Connection, room: Room, plan: Plan, go: Go) -> None:
    """Do the parts, and send what the workers say of them."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    desk = ray.remote(Desk).options(num_cpus=0, scheduling_strategy=here).remote()
    orders = Orders(job=plan.job, identity=go.identity, place=go.place, there=packages(), desk=desk)
    room = replace(room, workers=min(room.workers, len(go.parts)))
    said = Said(ray, pipe, desk, room)
    for text in _answers(ray, room, orders, go.parts):
        said.forward()  # what a worker said before it gave its answer
        said.send(Answer(text))
    said.end()
    pipe.send(Over())


def _answers(ray: Any, room: Room, orders: Orders, parts: Sequence[int]) -> Iterator[str]:
    """Yield the answers of Ray Data's workers, in any order.

    Ray starts a worker that dies anew, and gives it its part again, as often as need be: who counts is the command.
    """
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a part may take hours
    context.max_consecutive_actor_init_deaths = INIT_DEATHS
    pool = ray.data.ActorPoolStrategy(size=room.workers, max_tasks_in_flight_per_actor=1)
    with ray.data.DataContext.current(context):
        data = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
        told = data.map_batches(Hands, batch_size=1, compute=pool, fn_constructor_args=(orders,), **_takes(room))
        for batch in told.iter_batches(batch_size=None, prefetch_batches=0):
            yield from map(str, batch["answer"])


class Said:
    """What workers leave at the desk goes on to the command, from a thread; the pipe is written by one at a time."""

    def __init__(self, ray: Any, pipe: Connection, desk: Any, room: Room) -> None:
        self._ray, self._pipe, self._desk, self._room = ray, pipe, desk, room
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
            for message in self._ray.get(self._desk.take.remote()):
                self._heard = time.monotonic()
                self._pipe.send(message)

    def end(self) -> None:
        """Stop watching, and send the last messages."""
        self._ended.set()
        self._thread.join()
        self.forward()

    def _watch(self) -> None:
        """Forward messages until the end; the main thread, which waits for answers, is ended where none can come."""
        try:
            patience = PATIENCE_S
            while not self._ended.wait(TICK_S) and not _orphan():
                self.forward()
                silent = time.monotonic() - self._heard
                if silent > LOST_S and self._lost():
                    self.send(Over())
                    break
                if silent > patience:
                    patience *= 2
                    needed, free = _named(self._room), _counted(self._ray.available_resources())
                    self.send(Note(f"no worker has said anything for a while; each needs {needed}, and free are {free}"))
        except (OSError, self._ray.exceptions.RayError):
            pass
        if not self._ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def _lost(self) -> bool:
        """Tell whether a machine that had workers is gone; Ray waits for it for ever."""
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        return not alive.issuperset(self._room.nodes)


def _orphan() -> bool:
    """Tell whether the command is gone."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def _named(room: Room) -> str:
    return f"{room.cpus:g} CPU" if room.device == "CPU" else f"1 {room.device} and {room.cpus:g} CPU"


def _counted(resources: Mapping[str, float]) -> str:
    named = [f"{resources[name]:g} {name}" for name in ("CPU", "GPU", "NPU") if resources.get(name)]
    return ", ".join(named) or "none"


def kind_of(device: str) -> str:
    """Return the kind of a device as it is asked for in a cluster, where Ray chooses which; raise UsageError if it has an index."""
    kind, _, which = device.partition(":")
    if kind not in RESOURCES:
        raise UsageError(
            f"Ray cannot give a worker the device {device!r}",
            expected=" or ".join(RESOURCES),
            todo="leave --engine out",
        )
    if which not in ("", "all"):
        raise UsageError(
            f"the device {device!r} has an index, and Ray chooses the device of each worker", todo=f"--device {kind}"
        )
    return kind
