"""From a request to vectors: every way in gives the encoder's numbers, and says how it came there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

import snellen
from fakes import picture
from small_folder import RECIPE, ask, calibration, embedded, quantised, saved, written
from snellen import cache
from snellen.checkpoints import sources
from snellen.devices import simulated
from snellen.devices.simulated import Settings
from snellen.embed import run
from snellen.errors import BadFile, DeviceUnavailable, MissingPackage, Unavailable, UnknownName, UsageError
from snellen.recipes.tensors import normalise
from snellen.records.plan import Layout, Setup
from snellen.runtimes import plans, requests, versions
from snellen.runtimes.opening import Asked, EightBit, embedder
from snellen.runtimes.openvino import quantise, store


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNELLEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "model")


@pytest.fixture
def npu():
    simulated.start(Settings(arithmetic="float32"))
    yield
    simulated.stop()


@pytest.mark.parametrize("runtime", ["eager", "openvino", "onnxruntime"])
def test_every_runtime_gives_the_encoders_vectors(folder: Path, runtime: str) -> None:
    with embedder(ask(folder, runtime=runtime)) as model:
        assert (model.record.runtime, model.record.dtype, model.record.device) == (runtime, "float32", "cpu")
    expected = embedded(ask(folder, runtime="eager"))
    found = embedded(ask(folder, runtime=runtime))
    assert np.linalg.norm(found - expected) < 2e-6 * np.linalg.norm(expected)


def test_an_accelerator_is_sent_8_bits_and_gives_the_cpus_vectors(folder: Path, tmp_path: Path, npu) -> None:
    photos = [picture(tmp_path / f"{red}.png", red, size=(40, 30)) for red in (10, 90, 250)]
    vectors = {}
    for device in ("cpu", "npu"):
        with embedder(ask(folder, runtime="eager", device=device)) as model:
            assert isinstance(model.recipe, EightBit) == (device == "npu")
            rows = list(run.embed(model, photos, batch_size=2))
            assert model.record.device == ("npu:0" if device == "npu" else "cpu")
            vectors[device] = np.stack([vector for _, vector in rows])
    exact = snellen.load(folder, recipe=RECIPE).embed(photos)
    for found in vectors.values():
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5 * abs(exact).max())
    assert abs(exact[0] - exact[2]).max() > 1e-2


def test_an_accelerators_default_is_eager_and_the_reason_is_said(folder: Path, npu) -> None:
    with embedder(ask(folder, device="npu")) as model:
        assert model.setup == Setup(runtime="eager")
        assert "snellen tune" in model.record.choices[-1].reason


def test_what_does_not_exist_is_refused_before_weights_are_read(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(UnknownName, match="runtime"):
        embedder(ask(gone, runtime="eagr"))
    with pytest.raises(UnknownName, match=r"dtype named 'int7'(.|\n)*int8"):
        embedder(ask(gone, dtype="int7"))
    with pytest.raises(UnknownName, match=r"runtime eager named 'int8'(.|\n)*--runtime openvino"):
        embedder(ask(gone, dtype="int8", runtime="eager"))
    with pytest.raises(DeviceUnavailable, match="float16"):
        embedder(ask(gone, dtype="float16", runtime="eager"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"runtime": "openvino", "dtype": "float64"}, "which OpenVINO does not compute in"),
        ({"runtime": "openvino", "device": "npu"}, "expected: the CPU"),
        ({"runtime": "onnxruntime", "dtype": "bfloat16"}, "ONNX Runtime is not used in"),
        ({"runtime": "onnxruntime", "device": "npu"}, "does not run on npu:0"),
        ({"runtime": "compiled", "device": "npu"}, "makes no code for npu:0"),
    ],
)
def test_a_refusal_is_the_same_with_and_without_weights(folder: Path, npu, asked: dict[str, str], message: str) -> None:
    embedded(ask(folder))  # what is known of the folder does not change it
    said = []
    for place in (folder, folder.parent / "gone"):
        with pytest.raises(Unavailable, match=message) as caught:
            embedder(ask(place, **asked))
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_missing_nncf_is_said_before_weights_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    monkeypatch.setattr("snellen.model.loading.load", None)
    with pytest.raises(MissingPackage, match="nncf"):
        embedder(Asked(name="dinov2_vits14", weights="seed:0", dtype="int8"))


# ---- what is known of a request, and when it no longer holds


def loads(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Tell whether the model has to be loaded for a request."""
    with monkeypatch.context() as patch:
        patch.setattr("snellen.model.loading.load", refuse)
        try:
            embedder(asked).close()
        except Loaded:
            return True
    return False


class Loaded(Exception):
    """Raised in the place of loading."""


def refuse(*_: object, **__: object) -> None:
    raise Loaded


def flip(file: Path) -> None:
    """Change a weight in place, and put the time back: name, size, time and number stay."""
    before = file.stat()
    with file.open("r+b") as stream:
        stream.seek(-1000, os.SEEK_END)
        bits = stream.read(4)
        stream.seek(-4, os.SEEK_CUR)
        stream.write(bits[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (before.st_size, before.st_mtime_ns, before.st_ino) == (after.st_size, after.st_mtime_ns, after.st_ino)


def test_a_file_changed_in_place_is_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded(ask(folder))
    assert not loads(ask(folder), monkeypatch)
    flip(folder / "model.safetensors")
    assert loads(ask(folder), monkeypatch)


def sharded(folder: Path) -> Path:
    """Split the folder's weights in two, and return the index of both."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    table = {name: file for file, part in halves.items() for name in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))
    return index


def test_weights_named_by_an_index_are_told_by_every_shard(folder: Path) -> None:
    index = sharded(folder)
    keys = []

    def key() -> None:
        known = requests.request(Asked(name=str(index)))
        assert known is not None
        keys.append(known.key)

    key()
    key()
    assert len(set(keys)) == 1
    flip(folder / "b.safetensors")
    key()
    (folder / "a.safetensors").unlink()
    key()
    index.write_text(index.read_text() + " ")
    key()
    assert len(set(keys)) == 4
    index.write_text("{")
    assert requests.request(Asked(name=str(index))) is None  # loading says what is wrong with it


@pytest.mark.parametrize("module", [requests, store], ids=["request", "network"])
def test_other_code_of_ours_is_another_request(folder: Path, monkeypatch: pytest.MonkeyPatch, module) -> None:
    embedded(ask(folder))
    assert not loads(ask(folder), monkeypatch)
    before = store.key({})
    if module is requests:
        monkeypatch.setattr(requests, "code", lambda: "other")
        assert loads(ask(folder), monkeypatch)
    else:
        monkeypatch.setattr(store, "numbers", lambda: "other")
        assert store.key({}) != before


@pytest.mark.parametrize(
    ("file", "changed"),
    [("encoders/vit.py", (True, True)), ("runtimes/openvino/session.py", (True, True)), ("cli/show.py", (True, False))],
)
def test_code_is_told_by_its_files(tmp_path: Path, monkeypatch, file: str, changed: tuple[bool, bool]) -> None:
    copy = tmp_path / "snellen"
    shutil.copytree(versions.PACKAGE, copy, ignore=shutil.ignore_patterns("photos", "__pycache__"))
    monkeypatch.setattr(versions, "PACKAGE", copy)
    told: Callable[[], tuple[str, str]] = lambda: (versions.code.__wrapped__(), versions.numbers.__wrapped__())  # noqa: E731
    before = told()
    assert told() == before
    (copy / file).write_text((copy / file).read_text() + "\n")
    assert tuple(one != other for one, other in zip(before, told(), strict=True)) == changed


def test_a_folder_that_may_not_be_read_is_worded_by_loading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir

    def iterdir(path: Path):
        if path == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(BadFile, match="may not be read by this user"):
        embedder(ask(folder))


@pytest.mark.parametrize("package", ["openvino", "torch"])
def test_a_package_that_does_not_say_its_version(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    assert versions.version(package) == "absent"
    assert embedded(ask(folder)).shape[0] == 2
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingPackage, match="pip install openvino"):
        embedder(ask(folder))


def test_what_is_kept_may_name_bytes_that_are_no_text(folder: Path) -> None:
    path = os.fsdecode(b"/models/\xff")
    cache.remember("requests", "0", {"path": path})
    assert cache.recall("requests", "0") == {"path": path}


def test_a_cache_that_cannot_be_written_loses_a_shortcut_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = embedded(ask(folder))
    shutil.rmtree(folder.parent / "cache" / "documents")  # the network is still there

    def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "remember", full)
        with embedder(ask(folder)) as model:
            assert any("not kept" in note and "the disk is full" in note for note in model.record.notes)
        assert (embedded(ask(folder)) == expected).all()
    with embedder(ask(folder)) as model:
        assert not any("not kept" in note for note in model.record.notes)


# ---- what the record says


def test_where_weights_were_found_is_said_as_of_today(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedder(ask(folder)) as model:
        first = model.record.choices
    assert first[0].value == "folder"
    locate = sources.locate
    today = lambda spec, **more: replace(locate(spec, **more), origin="search path", reason="found today")  # noqa: E731
    monkeypatch.setattr(sources, "locate", today)
    monkeypatch.setattr("snellen.model.loading.load", None)
    with embedder(ask(folder)) as model:
        assert (model.record.choices[0].value, model.record.choices[0].reason) == ("search path", "found today")
        assert model.record.choices[1:] == first[1:]


def stored(folder: Path, dtype: torch.dtype) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, folder / "model.safetensors")


@pytest.mark.parametrize("runtime", ["eager", "openvino", "compiled"])
def test_the_note_of_dtypes_follows_what_is_run(folder: Path, runtime: str) -> None:
    for _ in range(2):  # loaded, and recalled
        assert cast(folder, runtime, "bfloat16") == ["stored as float32, run as bfloat16"]
        assert cast(folder, runtime, "float32") == []
    stored(folder, torch.bfloat16)
    for _ in range(2):
        assert cast(folder, runtime, "float32") == ["stored as bfloat16, run as float32"]
        assert cast(folder, runtime, "bfloat16") == []


def cast(folder: Path, runtime: str, dtype: str) -> list[str]:
    with embedder(ask(folder, runtime=runtime, dtype=dtype)) as model:
        assert model.record.dtype == dtype
        return [note for note in model.record.notes if "stored as" in note]


def test_the_record_of_8_bits_says_how_they_were_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = calibration(3, scale=0.01)
    monkeypatch.setattr(quantise, "photographs", lambda _: images)
    records = []
    for _ in range(2):  # made, and recalled
        with embedder(ask(folder, dtype="int8")) as model:
            records.append(model.record)
    assert records[0] == records[1]
    (method,) = [choice for choice in records[0].choices if choice.value in (quantise.SMOOTHED, quantise.PLAIN)]
    assert "images held out" in method.reason
    assert "stored as float32, run as int8" in records[0].notes
    (note,) = [note for note in records[0].notes if images.digest in note]
    assert note.endswith(("the rest runs in float32", "the rest runs in bfloat16"))
    assert not loads(ask(folder, dtype="int8"), monkeypatch)
    monkeypatch.setattr("snellen.runtimes.opening.version", lambda _: "another")  # of NNCF
    assert loads(ask(folder, dtype="int8"), monkeypatch)
    embedded(ask(folder))
    assert not loads(ask(folder), monkeypatch)


# ---- 8-bit pixels


class Divisors(TorchDispatchMode):
    """What tensors were divided by."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.div, torch.ops.aten.div_):
            self.seen.append(args[1])
        return func(*args, **(kwargs or {}))


def test_pixels_are_divided_by_tensors_which_no_device_replaces_by_a_product() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3).transpose(2, 0, 1)
    with Divisors() as divisors:
        made = normalise(torch.from_numpy(pixels.copy()), mean, std)
    assert len(divisors.seen) == 2
    assert all(isinstance(divisor, torch.Tensor) and divisor.dim() for divisor in divisors.seen)
    three = [np.array(values, np.float32)[:, None, None] for values in (mean, std)]
    exact = (pixels.astype(np.float32) / np.float32(255) - three[0]) / three[1]
    assert made.numpy().tobytes() == exact.tobytes()
    by_product = pixels.astype(np.float32) * np.float32(1 / 255)
    assert (by_product != pixels.astype(np.float32) / np.float32(255)).any()  # or nothing was shown


# ---- plans


def test_a_plan_holds_for_the_versions_of_everything_that_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "version", lambda name: f"{name}-9")
    told = plans.fingerprint("cpu").split("; ")
    for package in ("onnx", "onnxscript", "onnxruntime-gpu", "onnxruntime-cann", "triton", "nncf", "torch"):
        assert f"{package}={package}-9" in told
    monkeypatch.setattr(plans, "version", lambda _: versions.ABSENT)
    assert not any("absent" in part for part in plans.fingerprint("cpu").split("; "))


def test_a_plan_is_followed_and_named_in_the_record(folder: Path) -> None:
    setup = Setup(runtime="openvino", dtype="bfloat16", layout=Layout(batch=3, streams=1))
    saved(folder, setup)
    with embedder(ask(folder, plan=True)) as model:
        assert (model.setup, model.batch, model.record.dtype) == (setup, 3, "bfloat16")
        assert "it was the fastest that passed" in model.record.choices[-1].reason
    with embedder(ask(folder)) as model:  # nobody asked for it
        assert model.record.dtype == "float32"


def test_a_plan_for_another_runtime_is_followed(folder: Path) -> None:
    saved(folder, Setup(runtime="eager", dtype="float32", layout=Layout(batch=5)))
    with embedder(ask(folder, plan=True)) as model:
        assert (model.record.runtime, model.batch) == ("eager", 5)


@pytest.mark.parametrize("changes", [{"machine": "processor=another"}, {"digest": "0" * 64}])
def test_without_a_plan_that_holds_it_is_float32_and_the_reason_is_said(folder: Path, changes) -> None:
    setup = Setup(runtime="openvino", dtype="bfloat16")
    saved(folder, setup, **changes)
    with embedder(ask(folder, plan=True)) as model:
        assert model.setup == Setup(runtime="openvino")
        assert [choice.value for choice in model.record.choices[-2:]] == ["no plan", "openvino"]


def eight(digest: str | None) -> Setup:
    return Setup(runtime="openvino", dtype="int8", layout=Layout(batch=2), calibration=digest)


def test_a_plan_with_images_of_its_own_is_followed_by_their_digest(folder: Path, monkeypatch) -> None:
    """Neither by the package's photographs nor by other images, and without the model once it was opened."""
    monkeypatch.setattr(quantise, "photographs", lambda _: calibration(3, scale=0.01))
    images, others = calibration(1), calibration(2, scale=1.0)
    mine, theirs = quantised(folder, images), quantised(folder, others)
    photographs = embedded(ask(folder, dtype="int8"))
    assert min(abs(mine - theirs).max(), abs(mine - photographs).max(), abs(theirs - photographs).max()) > 1e-3
    for setup, expected in ((eight(images.digest), mine), (eight(others.digest), theirs), (eight(None), photographs)):
        saved(folder, setup)
        assert (embedded(ask(folder, plan=True)) == expected).all()
    monkeypatch.setattr("snellen.model.loading.load", None)
    for setup, expected in ((eight(images.digest), mine), (eight(others.digest), theirs), (eight(None), photographs)):
        saved(folder, setup)
        with embedder(ask(folder, plan=True)) as model:
            assert model.setup == setup
        assert (embedded(ask(folder, plan=True)) == expected).all()


def test_a_plan_whose_images_are_gone_with_its_network_is_refused(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(quantise, "photographs", lambda _: calibration(3, scale=0.01))
    images = calibration()
    quantised(folder, images)
    saved(folder, eight(images.digest))
    assert embedded(ask(folder, plan=True)).shape[0] == 2
    shutil.rmtree(tmp_path / "cache" / "entries")
    with pytest.raises(Unavailable, match=r"calibration images are not here(.|\n)*snellen tune --images DIR --int8"):
        embedded(ask(folder, plan=True))
    saved(folder, eight(None))  # the package's photographs are always there
    assert embedded(ask(folder, plan=True)).shape[0] == 2


def test_only_8_bits_have_calibration_images() -> None:
    assert str(eight("0123456789abcdef")) == "openvino, int8, batch 2, images 01234567"
    assert "images" not in str(eight(None))
    with pytest.raises(UsageError, match="beside float32"):
        Setup(runtime="openvino", calibration="0123")
