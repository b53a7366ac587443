"""Ray as the engine: a real cluster of two machines in miniature, and what is decided without one."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mortal_encoder import MortalJob
from snellen.embed.engines import Local
from snellen.embed.filling import Filled, Order, Watching, fill
from snellen.embed.ray_engine import Ray
from small_store import pictures
from stores import ledger, table
from stub_encoder import StubJob


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a cluster of two machines with a processor each, on loopback; give its address."""
    folder = tmp_path_factory.mktemp("r")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        there = Cluster()
        try:
            for _ in range(2):
                there.add_node(num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False)
            yield there.address
        finally:
            there.shutdown()


SETTINGS = {
    "PYTHONPATH": os.pathsep.join(sys.path),  # where the workers find the stub
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
}


def filled(folder: Path, photos: Path, engine: Ray | Local) -> tuple[Filled, Counter[str], list[str]]:
    """Fill a store; return what came of it, what was counted on the way, and what was said."""
    counts: Counter[str] = Counter()
    said: list[str] = []

    def add(progress) -> None:
        counts.update(progress.counts)
        counts.update(progress.found)

    with engine:
        watching = Watching(say=said.append, begin=lambda *_: None, add=add)
        order = Order(folder=folder, sources=(str(photos),), command="again", part_rows=16)
        return fill(order, engine, io.BytesIO(), watching), counts, said


def test_the_store_is_that_of_a_local_run_though_a_worker_is_killed(cluster, tmp_path) -> None:
    photos = tmp_path / "photos"
    paths = pictures(photos, 100)
    paths[40].write_bytes(b"no image")
    paths[41].write_bytes(paths[39].read_bytes())
    grave = tmp_path / "grave"
    told: list[str] = []
    engine = Ray(MortalJob(grave=str(grave)), address=cluster, tell=told.append)
    there, counts, _ = filled(tmp_path / "ray", photos, engine)
    here, _, _ = filled(tmp_path / "local", photos, Local(StubJob()))
    assert grave.exists()
    assert len(told) == 1 and f"process {grave.read_text()}" in told[0]
    assert there.counts == here.counts == counts == {"done": 98, "broken": 1, "already_present": 1}
    assert table(tmp_path / "ray") == table(tmp_path / "local")
    assert ledger(tmp_path / "ray") == ledger(tmp_path / "local")
