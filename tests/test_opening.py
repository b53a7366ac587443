"""From a request to vectors: every way in gives the encoder's numbers, and says how it came there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import snellen
from fakes import picture
from small_folder import RECIPE, ask, calibration, embedded, quantised, saved, written
from snellen.devices import simulated
from snellen.devices.simulated import Settings
from snellen.embed import run
from snellen.errors import DeviceUnavailable, Unavailable, UnknownName, UsageError
from snellen.records.plan import Layout, Setup
from snellen.runtimes.opening import EightBit, embedder
from snellen.runtimes.openvino import quantise


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
    with pytest.raises(UnknownName, match="dtype"):
        embedder(ask(gone, dtype="float23"))
    with pytest.raises(DeviceUnavailable, match="float16"):
        embedder(ask(gone, dtype="float16", runtime="eager"))


# ---- plans


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
