"""A Ray cluster: joined, or started on this machine; where workers fit in it, and whether its machines will do.

In: an address or none, and a device. Out: Ray connected, and the room there is.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from snellen.devices import processor
from snellen.embed.ray_worker import Place, packages
from snellen.errors import Unavailable, UsageError

RESOURCES = {"cpu": "CPU", "cuda": "GPU", "xpu": "GPU", "npu": "NPU"}
"""What Ray calls a device of each kind; it lets a worker see its own alone, which is then the first."""

STORE_BYTES = 100 * 2**20
"""Of Ray's object store where it is started here: nothing but numbers of parts and answers passes through it."""

ANSWER_S = 10.0
"""How long a cluster may take to answer at all."""


@dataclass(frozen=True, slots=True)
class Room:
    """Where workers fit: how many there can be, and what each takes."""

    workers: int
    cpus: float
    device: str  # the resource; "CPU" for none beside the processors
    nodes: tuple[str, ...]  # their ids in Ray

    def takes(self) -> dict[str, Any]:
        """Return what Ray shall keep free for a worker, as it is asked for."""
        taken: dict[str, Any] = {"num_cpus": self.cpus}
        if self.device == "GPU":
            taken["num_gpus"] = 1
        elif self.device != "CPU":
            taken["resources"] = {self.device: 1}
        return taken

    def __str__(self) -> str:
        """Name what a worker takes."""
        return f"{self.cpus:g} CPU" if self.device == "CPU" else f"1 {self.device} and {self.cpus:g} CPU"


def kind_of(device: str) -> str:
    """Return the kind of a device; raise UsageError for one that Ray cannot give, or that has an index."""
    kind, _, which = device.partition(":")
    if kind not in RESOURCES:
        known = ", ".join(RESOURCES)
        raise UsageError(f"Ray cannot give a worker the device {device!r}", expected=known, todo="leave --engine out")
    if which not in ("", "all"):
        raise UsageError(
            f"the device {device!r} has an index, and Ray chooses each worker's device itself", todo=f"--device {kind}"
        )
    return kind


def settings(address: str | None, token: str) -> dict[str, str]:
    """Return the variables that Ray reads: nothing is reported; what is started here listens on loopback alone.

    ``token`` opens the ports of what is started here.
    """
    always = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_AUTO_CONNECT": "0",
    }  # or a thread at the end starts another Ray
    if address is not None:
        return {**always, "RAY_NUM_REDIS_GET_RETRIES": "2"}
    return {
        **always,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's name for: this machine alone, on loopback
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,  # or other users of this machine could run code as this one
    }


@contextmanager
def connected(address: str | None, folder: str) -> Iterator[Any]:
    """Join the cluster, or start one that keeps its files in ``folder``; it is left, or stopped, at the end.

    Raises Unavailable where that cannot be.
    """
    import ray
    import ray.data  # takes a while, and is needed later

    if address is not None:
        _look(address)
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is not None:
            ray.init(address=address, **common)
        else:
            ray.init(
                address="local",
                num_cpus=processor.cores(),
                object_store_memory=STORE_BYTES,
                include_dashboard=False,
                _temp_dir=folder,
                **common,
            )
    except (OSError, RuntimeError, ValueError) as error:
        if address is not None:
            raise _unreachable(address, error) from error
        raise Unavailable(f"Ray cannot be started here: {error}", todo="leave --engine out") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def room(ray: Any, device: str, workers: int | None) -> Room:
    """Return where workers fit: one for each device, or one for each machine whose processor computes.

    ``workers`` is the most there may be. Raises Unavailable where no machine has such a device.
    """
    name = RESOURCES[device]
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(name, 0) >= 1]
    if not nodes:
        raise Unavailable(
            f"no machine of the cluster has the resource {name!r}, which a worker on {device!r} needs",
            expected=f"at least one; there are: {counted(ray.cluster_resources())}",
            todo="start Ray with it ('ray start --help'), or take another --device",
        )
    slots = [1 if name == "CPU" else int(node["Resources"][name]) for node in nodes]
    cpus = min(node["Resources"].get("CPU", 0) // count for node, count in zip(nodes, slots, strict=True))
    there = sum(slots)
    return Room(min(workers or there, there), cpus, name, tuple(node["NodeID"] for node in nodes))


def check(ray: Any, nodes: tuple[str, ...], place: Place | None) -> None:
    """Raise Unavailable with the first objection of a machine: to its packages, or to what it sees of a run."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = packages()

    def objection() -> tuple[str, str, str] | None:  # travels as code: snellen may not be there
        try:
            from snellen.embed.ray_worker import check
            from snellen.errors import SnellenError
        except ImportError as error:
            from socket import gethostname

            todo = "install the same environment on every machine of the cluster"
            return f"the machine {gethostname()} has no snellen, or another one: {error}", "", todo
        try:
            check(there, place)
        except SnellenError as error:
            return error.seen, error.expected, error.todo
        return None

    task = ray.remote(num_cpus=0)(objection)
    asked = [task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)) for node in nodes]
    for found in ray.get([each.remote() for each in asked]):
        if found is not None:
            raise Unavailable(found[0], expected=found[1], todo=found[2])


def counted(resources: Mapping[str, float]) -> str:
    """Name the resources that workers need, as many as there are."""
    named = [f"{resources[name]:g} {name}" for name in ("CPU", "GPU", "NPU") if resources.get(name)]
    return ", ".join(named) or "none"


def _look(address: str) -> None:
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
