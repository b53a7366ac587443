"""OpenVINO: what is kept between runs, what is read back, and what a second process does without."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import snellen
from bad_cases.making import SMALL
from fakes import picture
from small_folder import RECIPE, ask, calibration, embedded, pixels, quantised, saved, written
from snellen import cache, devices
from snellen.errors import DeviceUnavailable, InputError, MissingPackage, SnellenError, Unavailable, UsageError
from snellen.images import decode
from snellen.records.plan import Layout, Setup
from snellen.runtimes import graph, make
from snellen.runtimes.opening import embedder
from snellen.runtimes.openvino import convert, files, quantise, runner, session, store
from snellen.runtimes.openvino.executed import Executed
from snellen.runtimes.openvino.runner import OpenVINO

CPU = devices.resolve("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SNELLEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "model")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    return picture(tmp_path / "photo.png", 200, size=(40, 30))


def entries(root: Path, kind: str) -> list[Path]:
    place = root / "entries" / kind
    return sorted(place.iterdir()) if place.exists() else []


def opened(folder: Path, dtype: str = "float32", **more) -> OpenVINO:
    """Open a runner of the folder's encoder."""
    return OpenVINO(snellen.load(folder, recipe=RECIPE), CPU, dtype, **more)


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file become larger than ``room`` bytes: what is written beyond fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def network(folder: Path) -> Path:
    """Write the network of a shrunken model, past the cache."""
    model = snellen.load(folder, recipe=RECIPE)
    at = folder.parent / "network"
    at.mkdir()
    convert.write(graph.exported(model.encoder, (28, 28)), at)
    return at / files.NETWORK


PROCESS = """
import sys
from snellen.cli.main import main
code = main(sys.argv[1:])
print(sorted({"torch", "openvino", "openvino_telemetry"} & set(sys.modules)), code, file=sys.stderr)
"""


def process(*arguments: str) -> tuple[str, str]:
    """Run a command in a process of its own; return stdout, and the last line of stderr."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:snellen"},
    )
    return done.stdout, done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("tokens", "width", "batch"),
    [(261, 384, 2), (1374, 384, 1), (201, 768, 1), (257, 1024, 1), (65, 768, 4), (5, 32, 64)],
)
def test_a_batch_fills_the_matrix_units_and_no_more(tokens: int, width: int, batch: int) -> None:
    assert store.suits(tokens * width) == batch


def test_a_second_process_imports_no_torch_and_gives_the_same_bits(folder: Path, photo: str) -> None:
    command = ("embed", photo, "-m", str(folder), "--recipe", RECIPE, "--json", "--quiet")
    first, modules = process(*command)
    assert modules == "['openvino', 'torch'] 0"  # it had to convert: the control of what follows
    second, modules = process(*command)
    assert modules == "['openvino'] 0"
    assert json.loads(second) == json.loads(first)
    eager = json.loads(process(*command, "--runtime", "eager")[0])
    mine, theirs = (np.array(document["inputs"][0]["embedding"]) for document in (json.loads(second), eager))
    assert np.linalg.norm(mine - theirs) < 2e-6 * np.linalg.norm(theirs)
    assert (json.loads(second)["model"]["runtime"], eager["model"]["runtime"]) == ("openvino", "eager")


def test_the_record_says_which_runtime_and_why(folder: Path) -> None:
    with embedder(ask(folder)) as model:
        assert (model.record.runtime, model.record.choices[-1].value) == ("openvino", "openvino")
        assert "CPU" in model.record.choices[-1].reason
    with embedder(ask(folder, runtime="openvino")) as model:
        assert "openvino" not in [choice.value for choice in model.record.choices]  # it was asked for


def test_other_weights_in_the_same_file_are_other_numbers(folder: Path) -> None:
    """The file keeps its name, its size and its time: only its number on the disk differs."""
    before = embedded(ask(folder))
    file = folder / "model.safetensors"
    stat = file.stat()
    tensors = load_file(file)
    tensors["encoder.layer.0.mlp.fc1.weight"][0] *= -1
    save_file(tensors, folder / "other.tmp")
    os.replace(folder / "other.tmp", file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    assert abs(embedded(ask(folder)) - before).max() > 1e-3


def test_weights_changed_in_memory_are_not_taken_for_those_that_were_loaded(folder: Path) -> None:
    model = snellen.load(folder, recipe=RECIPE)
    with make("openvino", model, CPU, "float32") as runner:
        before = next(iter(runner.vectors([pixels()])))
    model.encoder.blocks[0].mlp.up.weight[0] *= -1
    with make("openvino", model, CPU, "float32") as runner:
        assert abs(next(iter(runner.vectors([pixels()]))) - before).max() > 1e-3


def test_one_network_serves_both_dtypes_and_each_is_compiled_once(folder: Path, own_cache: Path) -> None:
    single, half = embedded(ask(folder)), embedded(ask(folder, dtype="bfloat16"))
    assert 1e-4 < np.linalg.norm(half - single) / np.linalg.norm(single) < 2e-2
    assert len(entries(own_cache, "networks")) == 1
    assert len(entries(own_cache, "compiled")) == 2
    made = {path: path.stat().st_mtime_ns for path in own_cache.rglob("*.blob")}
    assert (embedded(ask(folder)) == single).all()
    assert {path: path.stat().st_mtime_ns for path in own_cache.rglob("*.blob")} == made != {}


@pytest.mark.parametrize("kind", ["networks", "compiled"])
def test_a_truncated_entry_is_made_again(folder: Path, own_cache: Path, kind: str) -> None:
    before = embedded(ask(folder))
    for file in (own_cache / "entries" / kind).rglob("*"):
        if file.suffix in (".bin", ".blob"):
            file.chmod(0o600)
            os.truncate(file, file.stat().st_size // 2)
    assert (embedded(ask(folder)) == before).all()


def damage(entry: Path) -> None:
    """Fill the constants of a kept network with zeros; its size stays."""
    file = next(entry.glob("*.bin"))
    file.chmod(0o600)
    file.write_bytes(bytes(file.stat().st_size))


def test_a_network_that_cannot_be_read_is_dropped_and_converted_again(folder: Path, own_cache: Path) -> None:
    with opened(folder) as first:
        before = next(first.vectors([pixels()]))
    (entry,) = entries(own_cache, "networks")
    damage(entry)
    held = cache.find("networks", entry.name)
    assert held is not None  # its size is what it was
    with pytest.raises(files.Unreadable, match=r"OpenVINO cannot read .*network\.xml"):
        store.Stored(held, "float32", Layout(streams=1))
    assert cache.find("networks", entry.name) is None
    with opened(folder) as again:
        assert (next(again.vectors([pixels()])) == before).all()
        damage(entry)
    with opened(folder) as again:  # which drops it itself
        assert (next(again.vectors([pixels()])) == before).all()


def test_an_eight_bit_network_is_made_again_of_one_that_cannot_be_read_either(folder: Path, own_cache: Path) -> None:
    before = quantised(folder, calibration())
    exact, lossy = sorted(entries(own_cache, "networks"), key=lambda entry: (entry / quantise.METHOD).exists())
    damage(exact)
    (lossy / files.OUTPUTS).write_bytes(bytes((lossy / files.OUTPUTS).stat().st_size))
    assert np.allclose(quantised(folder, calibration()), before, rtol=1e-5)
    assert len(entries(own_cache, "networks")) == 2


def test_a_disk_without_room_for_what_is_compiled_is_met_once_and_said(folder: Path, own_cache: Path) -> None:
    runner = opened(folder)
    name = runner.network((28, 28))

    def stored() -> store.Stored:
        held = cache.find("networks", name)
        assert held is not None
        return store.Stored(held, "float32", Layout(streams=1))

    with full_disk(20_000):
        first = stored()
    assert "OpenVINO left no file" in first.note
    expected = next(first.vectors([pixels()]))
    assert entries(own_cache, "compiled") == []  # nothing is kept that says so for ever
    assert list((own_cache / "drafts").iterdir()) == []
    second, third = stored(), stored()  # which makes it, and which finds it
    assert (second.note, third.note, third.session.reused) == ("", "", True)
    assert (next(third.vectors([pixels()])) == expected).all()
    assert [path.suffix for path in entries(own_cache, "compiled")[0].iterdir() if path.suffix == ".blob"] == [".blob"]


def test_what_is_not_read_again_is_not_kept_either(folder: Path, own_cache: Path, monkeypatch) -> None:
    monkeypatch.setattr(session.Session, "reused", property(lambda self: False))
    with opened(folder) as runner:
        assert len(next(runner.vectors([pixels()]))) == 2
        assert "does not read" in runner._at((28, 28)).note
    assert entries(own_cache, "compiled") == []


def test_a_disk_without_room_for_a_network_is_refused_in_words(folder: Path, own_cache: Path) -> None:
    refused = r"OpenVINO cannot write (.|\n)*expected: (.|\n)*with room(.|\n)*SNELLEN_CACHE"
    with opened(folder) as runner, full_disk(1000), pytest.raises(Unavailable, match=refused):
        runner.run(torch.from_numpy(pixels()))
    assert entries(own_cache, "networks") == []
    with opened(folder) as runner:
        runner.network((28, 28))
    runner = opened(folder, "int8", calibration=calibration())
    with full_disk(1000), pytest.raises(Unavailable, match=refused):
        runner.network((28, 28))
    assert len(entries(own_cache, "networks")) == 1


def test_a_kept_network_that_was_evicted_is_made_again(folder: Path, own_cache: Path) -> None:
    before = embedded(ask(folder))
    shutil.rmtree(own_cache / "entries")
    assert (embedded(ask(folder)) == before).all()


def test_every_slice_to_the_end_has_a_number(folder: Path) -> None:
    """OpenVINO 2026.4 loses the last token otherwise, when it reads what it compiled; see the control below."""
    network(folder)
    from openvino import Core

    model = Core().read_model(folder.parent / "network" / files.NETWORK)
    ends = [
        node.input_value(2).get_node().data.ravel()
        for node in model.get_ops()
        if node.get_type_name() in ("Slice", "StridedSlice")
    ]
    assert ends
    assert max(int(end.max()) for end in ends) < 2**31 - 1


def test_what_is_read_again_otherwise_than_compiled_is_not_kept(folder, own_cache, monkeypatch) -> None:
    """The fault itself: slices to the end as torch writes them."""
    expected = embedded(ask(folder, runtime="eager"))
    monkeypatch.setattr(convert, "_bounded", lambda module: None)
    found = embedded(ask(folder))
    assert np.linalg.norm(found - expected) < 2e-6 * np.linalg.norm(expected)
    held = [path.name for path in entries(own_cache, "compiled")[0].iterdir()]
    blobs = [name for name in held if name.endswith(".blob")]
    assert (store.UNFIT in held) != bool(blobs)  # kept and right, or not kept: never kept and wrong


def test_a_compiled_form_with_other_numbers_is_refused(folder, own_cache, monkeypatch) -> None:
    path = network(folder)
    honest = session.Session.run

    def lying(self: session.Session, pixels: np.ndarray) -> dict[str, np.ndarray]:
        found = honest(self, pixels)
        return {**found, "pooled": found["pooled"] + 1e-7} if self.reused else found

    monkeypatch.setattr(session.Session, "run", lying)
    into = own_cache.parent / "compiled"
    into.mkdir()
    store._compile(path, "float32", into)
    assert [file.name for file in into.iterdir()] == [store.UNFIT]
    with opened(folder) as runner:
        assert "other numbers" in runner._at((28, 28)).note  # it is said
        assert len(next(runner.vectors([pixels()]))) == 2
    monkeypatch.setattr(session.Session, "run", honest)
    other = own_cache.parent / "again"
    other.mkdir()
    store._compile(path, "float32", other)
    assert [file.suffix for file in other.iterdir()] == [".blob"]


# ---- what was executed


def test_the_dtype_is_read_back(folder: Path) -> None:
    path = network(folder)
    for dtype in ("float32", "bfloat16"):
        run = session.Session(path, dtype, Layout(streams=1))
        assert set(run.executed.products) == {dtype}
        assert sum(run.executed.products.values()) >= 4 * SMALL.depth


def test_float16_is_refused_where_bfloat16_would_be_run_in_its_place(folder: Path) -> None:
    able = session.openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert "FP16" not in able, "this CPU computes in float16: the test below needs another"
    with pytest.raises(DeviceUnavailable, match="no instructions for it"):
        embedded(ask(folder, dtype="float16", runtime="openvino"))
    with pytest.raises(DeviceUnavailable, match="in bfloat16"):  # read back, where nobody looked before
        session.Session(network(folder), "float16", Layout(streams=1))


@pytest.mark.parametrize(
    ("products", "dtype", "accepted"),
    [
        ({"float32": 3}, "float32", True),
        ({"float32": 3, "bfloat16": 1}, "float32", False),
        ({"bfloat16": 3, "float32": 1}, "bfloat16", False),
        ({"int8": 3, "float32": 1}, "int8", True),
        ({"float32": 4}, "int8", False),
        ({}, "float32", False),
    ],
)
def test_what_counts_as_executed(products: dict[str, int], dtype: str, accepted: bool) -> None:
    if accepted:
        Executed(products).check(dtype, "a CPU")
    else:
        with pytest.raises(DeviceUnavailable, match=r"a CPU: (\d in|none)"):
            Executed(products).check(dtype, "a CPU")


def test_other_devices_and_dtypes_are_refused(folder: Path) -> None:
    model = snellen.load(folder, recipe=RECIPE)
    with pytest.raises(DeviceUnavailable, match="expected: the CPU"):
        OpenVINO(model, replace(CPU, kind="cuda", name="cuda:0"), "float32")
    with pytest.raises(DeviceUnavailable, match="float64 was asked for"):
        OpenVINO(model, CPU, "float64")
    with pytest.raises(UsageError, match="--plan auto"):
        embedder(ask(folder, dtype="float32", plan=True))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingPackage, match="pip install openvino"):
        embedder(ask(folder))
    monkeypatch.setitem(sys.modules, "nncf", None)
    monkeypatch.delitem(sys.modules, "openvino")
    with pytest.raises(MissingPackage, match=r"pip install 'snellen\[int8\]'"):
        embedder(ask(folder, dtype="int8"))


def test_what_openvino_does_not_compile_is_refused_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, package = network(folder), session.openvino()

    class Core:
        """OpenVINO where a variable forbids what it needs."""

        def __init__(self) -> None:
            self.read_model, self.get_property = package.Core().read_model, package.Core().get_property

        def compile_model(self, *_: object) -> None:
            raise RuntimeError("Exception from src/core.cpp:132:\nException from src/plugin.cpp:59:\nno descriptors\n")

    monkeypatch.setattr(session, "openvino", lambda: SimpleNamespace(Core=Core))
    with pytest.raises(DeviceUnavailable, match=r"does not compile .* in float32 on .*: no descriptors\n") as caught:
        session.Session(path, "float32", Layout(streams=1))
    assert "src/" not in str(caught.value)
    damage(path.parent)
    with pytest.raises(files.Unreadable, match="expected: a network as it was written"):
        session.Session(path, "float32", Layout(streams=1))


# ---- several callers


def batches(count: int, start: int = 0) -> list[np.ndarray]:
    return [pixels(1 + index % 3) + 0.1 * index for index in range(start, start + count)]


def alone(runner: OpenVINO, given: list[np.ndarray]) -> list[np.ndarray]:
    """Return the vectors of batches one after another, each with nothing else under way."""
    return [next(runner.vectors([batch])) for batch in given]


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


@pytest.fixture
def two(folder: Path) -> Iterator[OpenVINO]:
    """A runner of two streams."""
    with opened(folder, layout=Layout(streams=2)) as runner:
        yield runner


def test_generators_that_take_turns_do_not_take_each_others_vectors(two: OpenVINO) -> None:
    mine, theirs = batches(12), batches(12, 50)
    expected = alone(two, mine), alone(two, theirs)
    assert not same(*expected)
    pairs = list(zip(two.vectors(mine), two.vectors(theirs), strict=True))
    assert same([first for first, _ in pairs], expected[0])
    assert same([second for _, second in pairs], expected[1])


def test_a_generator_that_waits_keeps_its_vectors_while_others_run(two: OpenVINO) -> None:
    mine, theirs = batches(12), batches(12, 50)
    expected = alone(two, mine), alone(two, theirs)
    waiting = two.vectors(mine)
    found = [next(waiting)]
    ran = [two.run(torch.from_numpy(batch)).pooled.numpy() for batch in theirs]
    assert same(list(two.vectors(theirs)), expected[1])
    assert same([*found, *waiting], expected[0])
    assert same(ran, expected[1])


def test_a_source_may_use_the_runner_itself(two: OpenVINO) -> None:
    inner = []

    def source() -> Iterator[np.ndarray]:
        for batch in batches(9):
            inner.append(two.run(torch.from_numpy(batch)).pooled.numpy())
            yield batch

    assert same(list(two.vectors(source())), alone(two, batches(9)))
    assert same(inner, alone(two, batches(9)))


def test_threads_do_not_take_each_others_vectors(two: OpenVINO) -> None:
    given = [batches(15, start) for start in (0, 100, 200, 300)]
    expected = [alone(two, each) for each in given]

    def whole(each: list[np.ndarray]) -> list[np.ndarray]:
        return list(two.vectors(each))

    def one_by_one(each: list[np.ndarray]) -> list[np.ndarray]:
        return [two.run(torch.from_numpy(batch)).pooled.numpy() for batch in each]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda do, each: do(each), [whole, one_by_one, whole, one_by_one], given))
    assert all(map(same, found, expected))


def test_requests_are_used_again(two: OpenVINO) -> None:
    for _ in range(3):
        list(two.vectors(batches(12)))
        next(two.vectors(batches(12)))  # and left
    assert len(two._at((28, 28)).session._free) <= 2 * session.WAITING
    with pytest.raises(InputError):
        two.run(torch.zeros(1, 1, 28, 28))
    assert len(two._at((28, 28)).session._free) <= 2 * session.WAITING


def test_a_size_that_makes_room_is_still_there_for_who_uses_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "OPEN", 1)
    with opened(folder) as one:
        expected = alone(one, batches(9))
        waiting = one.vectors(batches(9))
        found = [next(waiting)]
        one.run(torch.zeros(1, 3, 42, 42))
        assert list(one._open) == [(42, 42)]
        assert same([*found, *waiting], expected)


def forked(work: Callable[[], object]) -> str:
    """Return how a call ends in a forked process; "it hangs" where it does not."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            said = "it returns"
        except BaseException as error:  # noqa: BLE001
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    for _ in range(200):
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "it hangs"
    with os.fdopen(reading) as stream:
        return stream.read()


def test_a_forked_process_is_refused_instead_of_hanging(folder: Path, two: OpenVINO) -> None:
    path = network(folder)
    given = torch.from_numpy(pixels())
    expected = two.run(given).pooled
    paused = two.vectors(batches(12))
    next(paused)

    def at_once() -> None:
        two._at((28, 28)).session.run(pixels())

    for work in (
        lambda: two.run(given),
        lambda: two.look(given),
        lambda: list(two.vectors(batches(3))),
        lambda: next(paused),
        lambda: session.Session(path, "float32", Layout(streams=1)),
        at_once,
    ):
        assert forked(work).startswith("UsageError: OpenVINO was used before this process was forked")
    for work in (paused.close, two.close):
        assert forked(work) == "it returns"
    assert (two.run(given).pooled == expected).all()
    assert same(list(paused), alone(two, batches(12))[1:])


# ---- what is handed over


WRONG = {
    r"float64 of shape \[2, 3, 28, 28\]": pixels().astype(np.float64),
    ">f4": pixels().astype(">f4"),
    "uint8": np.zeros((2, 3, 28, 28), np.uint8),
    r"shape \[2, 3, 28, 42\]": np.zeros((2, 3, 28, 42), np.float32),
    r"shape \[2, 1, 28, 28\]": np.zeros((2, 1, 28, 28), np.float32),
    r"shape \[3, 28, 28\]": np.zeros((3, 28, 28), np.float32),
    r"shape \[\]": np.zeros((), np.float32),
    "torch.float32": torch.zeros(2, 3, 28, 28),
}


def test_a_session_takes_float32_of_its_size_alone(folder: Path) -> None:
    one = session.Session(network(folder), "float32", Layout(streams=1))
    for seen, given in WRONG.items():
        for attempt in (lambda given=given: one.run(given), lambda given=given: list(one.pooled([given]))):
            with pytest.raises(InputError, match=rf"{seen}(.|\n)*expected: an array of float32 .*\[batch, 3, 28, 28\]"):
                attempt()
    laid_out = np.asfortranarray(pixels())
    laid_out.flags.writeable = False
    assert (one.run(laid_out)["pooled"] == one.run(pixels())["pooled"]).all()
    assert one.run(pixels(2)[:0])["pooled"].shape == (0, 16)


def test_a_runner_takes_every_floating_dtype_and_what_has_a_gradient(two: OpenVINO) -> None:
    given = torch.from_numpy(pixels())
    expected = two.run(given).pooled
    assert (two.run(given.double()).pooled == expected).all()
    assert (two.run(given.clone().requires_grad_()).pooled == expected).all()
    half = given.bfloat16()
    assert (two.run(half).pooled == two.run(half.float()).pooled).all()
    assert (two.look(half)["pooled"] == two.look(half.float())["pooled"]).all()
    for other in (torch.zeros(1, 3, 28, 28, dtype=torch.uint8), torch.zeros(1, 3, 28, 28, dtype=torch.complex64)):
        for show in (two.run, two.look):
            with pytest.raises(InputError, match=r"pixels are (uint8|complex64)(.|\n)*expected: floating-point"):
                show(other)
    with pytest.raises(InputError, match="is uint8 of shape"):
        list(two.vectors([np.zeros((1, 3, 28, 28), np.uint8)]))


def test_what_is_closed_says_so(folder: Path) -> None:
    one = session.Session(network(folder), "float32", Layout(streams=1))
    paused = one.pooled(batches(9))
    next(paused)
    one.close()
    for attempt in (lambda: one.run(pixels()), lambda: list(one.pooled([pixels()])), lambda: list(paused)):
        with pytest.raises(UsageError, match="this session is closed"):
            attempt()
    with opened(folder) as two:
        given = torch.from_numpy(pixels())
        two.run(given)
    two.close()  # a second time
    for attempt in (
        lambda: two.run(given),
        lambda: two.look(given),
        lambda: two.network((28, 28)),
        lambda: next(two.vectors([pixels()])),
    ):
        with pytest.raises(UsageError, match="this runner is closed"):
            attempt()


def test_a_runner_shows_one_network_whatever_becomes_of_the_parameters(folder: Path, own_cache: Path) -> None:
    model = snellen.load(folder, recipe=RECIPE)
    given = torch.from_numpy(pixels())
    with make("openvino", model, CPU, "float32") as before:
        ran, shown = before.run(given).pooled, before.look(given)["pooled"]
    kept = entries(own_cache, "networks")
    with make("openvino", model, CPU, "float32") as during:
        assert (during.run(given).pooled == ran).all()
        model.encoder.blocks[0].mlp.up.weight[0] *= -1
        assert (during.look(given)["pooled"] == shown).all()
        assert (during.run(given).pooled == ran).all()
        with pytest.raises(SnellenError, match=r"parameters were changed(.|\n)*make a new runner"):
            during.run(torch.zeros(1, 3, 42, 42))  # there is no network of this size
    assert entries(own_cache, "networks") == kept  # none under another's name
    with make("openvino", model, CPU, "float32") as after:
        assert abs(after.run(given).pooled - ran).max() > 1e-3
        assert abs(after.look(given)["pooled"] - after.run(given).pooled).max() < 1e-5


# ---- batches under way


def test_batches_come_in_order_whatever_their_size(folder: Path) -> None:
    batches = [pixels(1 + index % 3) + index for index in range(20)]
    model = snellen.load(folder, recipe=RECIPE)
    for streams in (1, 2, 3):
        with make("openvino", model, CPU, "float32", Layout(streams=streams)) as runner:
            found = list(runner.vectors(iter(batches)))
        with torch.inference_mode():
            expected = [model.encoder(torch.from_numpy(batch)).pooled.numpy() for batch in batches]
        assert [len(vectors) for vectors in found] == [len(batch) for batch in batches]
        assert max(abs(mine - theirs).max() for mine, theirs in zip(found, expected, strict=True)) < 1e-4
        assert abs(expected[0][0] - expected[3][0]).max() > 1e-2  # a shift would show


def test_no_more_batches_are_taken_than_there_are_requests(folder: Path) -> None:
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield pixels(1)

    with make("openvino", snellen.load(folder, recipe=RECIPE), CPU, "float32", Layout(streams=2)) as runner:
        vectors = runner.vectors(endless())
        next(vectors)
        assert taken <= session.WAITING * 2 + 1
        vectors.close()  # with batches under way
        assert len(next(runner.vectors([pixels(3)]))) == 3


def test_an_error_comes_after_the_vectors_of_every_batch_before_it(two: OpenVINO) -> None:
    def failing(good: int) -> Iterator[np.ndarray]:
        yield from batches(good)
        raise RuntimeError("the disk is gone")

    wrong = np.zeros((1, 3, 30, 30), np.float32)
    for good, source, error in (
        *((good, failing(good), "the disk is gone") for good in (0, 1, 3, 9)),
        *((good, chain(batches(good), [wrong]), "30 x 30") for good in (0, 3)),
        *((good, chain(batches(good), [pixels().astype(np.float64)], batches(2)), "float64") for good in (0, 3)),
    ):
        expected = alone(two, batches(good))
        found: list[np.ndarray] = []
        with pytest.raises((RuntimeError, InputError), match=error):
            collect(two.vectors(source), found)
        assert same(found, expected)


def collect(vectors: Iterator[np.ndarray], found: list[np.ndarray]) -> None:
    """Put vectors into a list that stays when an error comes."""
    for each in vectors:
        found.append(each)


class Request:
    """A request of OpenVINO's, that may fail."""

    def __init__(self, own, number: int, fails: tuple[int, ...]) -> None:
        self.own, self.fails, self.waited = own, number in fails, 0

    def start_async(self, *arguments, **options) -> None:
        self.own.start_async(*arguments, **options)

    def wait(self) -> None:
        self.own.wait()
        self.waited += 1
        if self.fails:
            raise RuntimeError("the request failed")

    def get_output_tensor(self, place: int):
        return self.own.get_output_tensor(place)


def test_all_requests_are_waited_for_though_one_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = session.Session(network(folder), "float32", Layout(streams=2))
    expected = list(one.pooled(batches(4)))
    take, made = session.Session._take, []

    def lend(self: session.Session) -> Request:
        own = take(self)
        made.append(Request(getattr(own, "own", own), len(made), fails=(1,)))
        return made[-1]

    monkeypatch.setattr(session.Session, "_take", lend)
    vectors, found = one.pooled(batches(9)), []
    with pytest.raises(RuntimeError, match="the request failed"):
        collect(vectors, found)
    assert same(found, expected[:1])
    assert len(made) > 3
    assert all(request.waited for request in made)
    assert len(one._free) == 4  # none is lost
    made.clear()
    vectors = one.pooled(batches(9))
    next(vectors)
    vectors.close()
    assert all(request.waited for request in made)


# ---- 8 bits


def test_8_bits_are_8_bits_near_the_numbers_and_calibrated_on_what_is_given(folder: Path, own_cache: Path) -> None:
    exact = embedded(ask(folder))
    lossy = embedded(ask(folder, dtype="int8"))
    assert 1e-4 < np.linalg.norm(lossy - exact) / np.linalg.norm(exact) < 0.2
    assert len(entries(own_cache, "networks")) == 2
    model = snellen.load(folder, recipe=RECIPE)
    images = [pixels(1)[0] * 100] * 4
    with OpenVINO(model, CPU, "int8", calibration=quantise.given(images)) as runner:
        other = next(iter(runner.vectors([pixels()])))
    assert abs(other - lossy).max() > 1e-3  # other images, other ranges
    assert len(entries(own_cache, "networks")) == 3
    with pytest.raises(UsageError, match="3 images were given"):
        quantise.given(images[:3])


def test_the_digest_of_images_finds_what_was_made_with_them(folder: Path, own_cache: Path) -> None:
    images = calibration()
    with pytest.raises(Unavailable, match="its calibration images are not here"):  # before it was made
        quantised(folder, images.digest)
    mine = quantised(folder, images)
    made = entries(own_cache, "networks")
    assert (quantised(folder, images.digest) == mine).all()
    assert entries(own_cache, "networks") == made
    with pytest.raises(Unavailable, match="its calibration images are not here"):
        quantised(folder, calibration(2).digest)
    same = quantise.Calibration([*images.images, *images.held_out], [])
    assert same.digest != images.digest  # other images are held out


@pytest.mark.parametrize(
    ("runtime", "dtype"), [("openvino", "float32"), ("openvino", "bfloat16"), ("eager", "float32")]
)
def test_calibration_images_beside_another_dtype_are_refused(folder: Path, runtime: str, dtype: str) -> None:
    model = snellen.load(folder, recipe=RECIPE)
    for images in (calibration(), "0123"):
        with pytest.raises(UsageError, match=f"beside {dtype}"):
            make(runtime, model, CPU, dtype, calibration=images)
    with pytest.raises(UsageError, match="int8"):
        make("eager", model, CPU, "int8", calibration=calibration())


def test_a_second_process_follows_a_plan_with_images_of_its_own_without_torch(folder: Path, photo: str) -> None:
    images = calibration()
    quantised(folder, images)
    saved(folder, Setup(runtime="openvino", dtype="int8", calibration=images.digest))
    command = ("embed", photo, "-m", str(folder), "--recipe", RECIPE, "--json", "--quiet")
    first, modules = process(*command, "--plan", "auto")
    assert modules == "['openvino', 'torch'] 0"  # it had to find which network it is
    second, modules = process(*command, "--plan", "auto")
    assert modules == "['openvino'] 0"
    assert json.loads(second) == json.loads(first)
    assert f"images {images.digest[:8]}" in json.loads(second)["model"]["choices"][-1]["value"]
    with embedder(ask(folder, plan=True)) as model:
        expected = next(iter(model.vectors([model.recipe.array(decode(photo))[None]])))
    assert np.allclose(json.loads(second)["inputs"][0]["embedding"], expected[0], rtol=1e-6)


def test_nothing_is_reported_to_the_makers(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    photo = picture(tmp_path / "photo.png", 9, size=(40, 30))
    process("embed", photo, "-m", str(folder), "--recipe", RECIPE, "--dtype", "int8", "--json", "--quiet")
    assert not [path for path in (tmp_path / "home").rglob("*") if "intel" in str(path) or "telemetry" in str(path)]


def test_what_is_in_use_is_not_evicted(folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedder(ask(folder)) as model:
        monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "1kB")
        cache.make("networks", "0" * 64, lambda into: (into / "x").write_bytes(b"0" * 5000)).close()
        assert len(entries(own_cache, "compiled")) == 1
        assert len(next(iter(model.vectors([pixels(3)])))) == 3
