"""Ray as the engine: a real cluster of two machines in miniature, and what is decided without one."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mortal_encoder import MortalJob
from small_store import identity, pictures
from snellen.embed import ray_cluster
from snellen.embed.engines import Local
from snellen.embed.filling import Filled, Order, Watching, fill
from snellen.embed.progress import Progress
from snellen.embed.ray_driver import Plan
from snellen.embed.ray_engine import Driver, Lives, Ray
from snellen.embed.ray_worker import Begun, Hands, Moved, Orders, Place, answered, check, packages
from snellen.embed.sources import Reader, expand
from snellen.errors import SnellenError, Unavailable, UsageError
from snellen.records.store import PartRecord
from snellen.store import Writer
from stores import ledger, table
from stub_encoder import StubJob

SETTINGS = {
    **ray_cluster.settings(None, "0" * 64),
    "PYTHONPATH": os.pathsep.join(sys.path),  # where the workers find the stub
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Start a cluster of two machines with a processor each, on loopback; give its address."""
    folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)  # its sockets' names must be short
    with folder, pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, "RAY_TMPDIR": folder.name}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        there = Cluster()
        try:
            for _ in range(2):
                there.add_node(num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False)
            yield there.address
        finally:
            there.shutdown()


def filled(folder: Path, photos: Path, engine: Ray | Local) -> tuple[Filled, Counter[str]]:
    """Fill a store; return what came of it, and what was counted on the way."""
    counts: Counter[str] = Counter()

    def add(progress: Progress) -> None:
        counts.update(progress.counts)
        counts.update(progress.found)

    with engine:
        watching = Watching(say=lambda _: None, begin=lambda *_: None, add=add)
        order = Order(folder=folder, sources=(str(photos),), command="again", part_rows=16)
        return fill(order, engine, io.BytesIO(), watching), counts


def test_the_store_is_that_of_a_local_run_though_a_worker_is_killed(cluster, tmp_path) -> None:
    photos = tmp_path / "photos"
    paths = pictures(photos, 100)
    paths[40].write_bytes(b"no image")
    paths[41].write_bytes(paths[39].read_bytes())
    grave, told = tmp_path / "grave", []
    engine = Ray(MortalJob(grave=str(grave)), address=cluster, tell=told.append)
    engine.note("a word more")
    there, counts = filled(tmp_path / "ray", photos, engine)
    local = Local(StubJob())
    local.note("a word more")
    here, _ = filled(tmp_path / "local", photos, local)
    assert [f"process {grave.read_text()})" in text for text in told] == [True]
    assert there.counts == here.counts == counts == {"done": 98, "broken": 1, "already_present": 1}
    assert table(tmp_path / "ray") == table(tmp_path / "local")
    assert ledger(tmp_path / "ray") == ledger(tmp_path / "local")
    assert not [*(tmp_path / "ray" / ".snellen").rglob("ray-*")]


def begun(rows: int, **changes) -> Begun:
    return replace(Begun(part=7, rows_done=rows, next_id=1007, next_path="a.jpg", where="host, process 1"), **changes)


def test_a_part_may_cost_three_workers_at_one_place() -> None:
    lives = Lives()
    assert lives.begun(begun(0)) == ""
    assert lives.begun(begun(0)) == "the worker of part 7 died (host, process 1); it goes on behind its 0 rows"
    assert lives.begun(begun(0))
    assert lives.begun(begun(4))  # it got on
    assert lives.begun(begun(4))
    assert lives.begun(begun(0, part=8)) == ""
    assert lives.begun(begun(4))
    with pytest.raises(SnellenError, match=r"part 7 ended 3 workers .* behind image 1007, 'a.jpg'"):
        lives.begun(begun(4))


def test_what_was_told_before_a_death_is_not_counted_again() -> None:
    lives = Lives()
    assert lives.news(Moved(7, Progress({"done": 8, "broken": 1}))).counts == {"done": 8, "broken": 1}
    later = lives.news(Moved(7, Progress({"done": 4}, found={"done": 12, "broken": 1})))  # 4 were never told
    assert (later.counts, later.found) == ({"done": 4}, {"done": 4})
    assert lives.news(Moved(8, Progress({}, found={"done": 12}))).found == {"done": 12}  # of an earlier command


@pytest.mark.parametrize("address", ["//head:10001", "ray://head:10001", "http://head:8265"])
def test_clients_of_ray_are_refused(address, monkeypatch) -> None:
    with pytest.raises(UsageError, match="from within a cluster"):
        Ray(StubJob(), address=address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match="from within a cluster"):
        Ray(StubJob())


def test_ray_chooses_the_device() -> None:
    assert [ray_cluster.kind_of(name) for name in ("cpu", "npu:all", "cuda", "xpu")] == ["cpu", "npu", "cuda", "xpu"]
    with pytest.raises(UsageError, match="has an index"):
        ray_cluster.kind_of("npu:0,npu:1")
    with pytest.raises(UsageError, match="cannot give a worker the device 'mps'"):
        ray_cluster.kind_of("mps")


def nodes(*resources: dict[str, float]) -> SimpleNamespace:
    """Return a Ray whose machines have these resources; the last of them is gone."""
    there = [{"NodeID": str(at), "Alive": True, "Resources": each} for at, each in enumerate(resources)]
    there[-1]["Alive"] = False
    return SimpleNamespace(nodes=lambda: there, cluster_resources=lambda: {"CPU": 4.0, "memory": 9e9})


def test_room_is_one_worker_for_each_device_or_machine() -> None:
    ray = nodes({"CPU": 64, "GPU": 8}, {"CPU": 0}, {"CPU": 32, "GPU": 2}, {"CPU": 8, "GPU": 8, "NPU": 1})
    room = ray_cluster.room(ray, "cpu", None)
    assert (room.workers, room.takes(), room.nodes) == (2, {"num_cpus": 32}, ("0", "2"))
    room = ray_cluster.room(ray, "cuda", 7)
    assert (room.workers, room.takes()) == (7, {"num_cpus": 8, "num_gpus": 1})
    assert ray_cluster.room(ray, "cuda", None).workers == 10
    room = ray_cluster.room(nodes({"CPU": 192, "NPU": 8}, {}), "npu", None)
    assert (room.workers, room.takes()) == (8, {"num_cpus": 24, "resources": {"NPU": 1}})
    with pytest.raises(Unavailable, match=r"no machine of the cluster has the resource 'NPU'.*\n.*there are: 4 CPU"):
        ray_cluster.room(ray, "npu", None)


@pytest.fixture
def fake_ray(monkeypatch) -> list:
    """Put something in the place of Ray; what it is started with is in the list."""
    calls: list = []

    def init(**given) -> None:
        calls.append(given)
        if given["address"] == "auto":
            raise ConnectionError("nobody there")

    ray = SimpleNamespace(init=init, shutdown=lambda: calls.append("shutdown"), get=lambda found: found, data=None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray)
    return calls


def test_ray_is_started_for_this_machine_alone(fake_ray, tmp_path) -> None:
    with ray_cluster.connected(None, str(tmp_path)):
        (given,) = fake_ray
    assert (given["address"], given["include_dashboard"], given["log_to_driver"]) == ("local", False, False)
    assert given["_temp_dir"] == str(tmp_path)
    assert fake_ray[1:] == ["shutdown"]
    assert ray_cluster.settings(None, "secret") == {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_AUTO_CONNECT": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "secret",
    }
    assert "RAY_AUTH_TOKEN" not in ray_cluster.settings("head:6379", "secret")


def test_a_cluster_that_does_not_answer(fake_ray) -> None:
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{bound.getsockname()[1]}"
        for address, why in ((closed, "refused"), ("auto", "nobody there")):
            expected = pytest.raises(Unavailable, match=f"Ray cannot be reached at '{address}': .*{why}")
            with expected, ray_cluster.connected(address, ""):
                pass
    assert [given["address"] for given in fake_ray] == ["auto"]


def test_a_process_that_dies_is_told() -> None:
    driver = Driver(Plan(job=StubJob(), address=None, workers=None, threads=None))
    driver._process.kill()
    try:
        with pytest.raises(SnellenError, match=r"the process that drives Ray died \(exit code -9\)"):
            driver.message()
    finally:
        driver.stop()
    assert not Path(driver._folder).exists()


@pytest.fixture
def place(tmp_path) -> Place:
    (tmp_path / "photos").mkdir()
    pictures(tmp_path / "photos", 5)
    sign = tmp_path / "sign"
    sign.write_text("secret")
    image = str(tmp_path / "photos" / "000.png")
    return Place(folder=str(tmp_path), sign=str(sign), content="secret", image=image, directory=os.getcwd())


def test_a_machine_must_have_the_packages_and_see_the_files(place, monkeypatch) -> None:
    monkeypatch.setattr("snellen.embed.ray_worker.SEEN_S", 0.0)
    check(packages(), place)
    with pytest.raises(Unavailable, match=r"other packages .*: torch is 2.* and 1\.0 there"):
        check({**packages(), "torch": "1.0"}, place)
    with pytest.raises(Unavailable, match="does not see the store"):
        check(packages(), replace(place, content="another"))
    with pytest.raises(Unavailable, match="does not see the store"):
        check(packages(), replace(place, sign=place.sign + "x"))
    with pytest.raises(Unavailable, match=r"does not see the images: '.*/gone.png' is not there"):
        check(packages(), replace(place, image="gone.png"))


def test_what_a_worker_answers(fake_ray, place, tmp_path) -> None:
    with Writer.open(tmp_path / "out", identity()) as writer, Reader() as reader:
        sources = [str(tmp_path / "photos")]
        writer.begin(sources, expand(sources, io.BytesIO(), print), reader.stat, part_rows=3)
        said: list = []
        desk = SimpleNamespace(say=SimpleNamespace(remote=said.append))
        orders = Orders(job=StubJob(), identity=identity(), place=replace(place, folder=str(tmp_path / "out")))
        hands = Hands(orders, packages(), desk)
        (text,) = hands({"part": [1]})["answer"]
        record = answered(text)
        assert (record.number, record.counts) == (1, {"done": 2})
        assert said == [begun(0, part=1, next_id=3, next_path=said[0].next_path, where=said[0].where), said[1]]
        assert said[1].progress.counts == {"done": 2}
        assert hands({"part": [1]})["answer"] == [text]  # its worker may have died before it could say so
        assert len(said) == 2
        other = Hands(replace(orders, identity=identity(weights="1" * 64)), packages(), desk)
        with pytest.raises(
            SnellenError, match=r"part 0, on .*: the machines do not run the same encoder: weights is 1"
        ):
            answered(other({"part": [0]})["answer"][0])
        with pytest.raises(SnellenError, match="part 9, on"):
            answered(hands({"part": [9]})["answer"][0])


def test_an_answer_is_a_record_or_an_error() -> None:
    record = {"number": 1, "rows": 2, "counts": {"done": 2}, "size": 3, "sha256": "x"}
    assert answered(json.dumps({"record": record})) == PartRecord(**record)
    with pytest.raises(SnellenError, match="full") as caught:
        answered(json.dumps({"failed": ["full", "room", "free some"]}))
    assert (caught.value.expected, caught.value.todo) == ("room", "free some")
