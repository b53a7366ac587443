"""Patch features of a store: what is asked for, how it is made smaller, written, taken up after a death, and read."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet

import dense_fill
import snellen
from dense_fill import BAD, GIVEN, INPUTS, PART_ROWS, RECORD, TWINS, cells_of, fill, row_of
from fakes import picture
from small_folder import ask, pixels, written
from snellen import devices
from snellen.devices import simulated
from snellen.devices.simulated import Settings
from snellen.embed.filling import joined
from snellen.embed.patches import begin, pca, reduce, room
from snellen.embed.patches import layout as layouts
from snellen.embed.patches import part as part_module
from snellen.embed.patches.engine import DenseEngine, given
from snellen.embed.patches.first import settle, start
from snellen.embed.patches.layout import Given, Layout, grid_of, layout_of
from snellen.embed.patches.part import DensePart, Lost
from snellen.embed.patches.reader import Dense
from snellen.embed.patches.spec import Spec
from snellen.embed.patches.whole import bring, check, missing
from snellen.errors import SnellenError, Unavailable, UnknownName, UsageError
from snellen.records import Outcome
from snellen.records.inputs import Input
from snellen.records.plan import Setup
from snellen.runtimes import make
from snellen.runtimes.opening import EightBit, Embedder, Overlapped, embedder
from snellen.store import Store, Writer
from test_runtimes import CASES, model_of

CPU = devices.resolve("cpu")


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def wanted(text: str, given: Given = GIVEN) -> Layout:
    return layout_of(Spec.parse(text), given, RECORD)


# ---- what is asked for


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("float32", Spec()),
        ("pool2,pca64,float16", Spec(pool=2, pca=64, dtype="float16")),
        (" int8 , PCA7,pool4,", Spec(pool=4, pca=7, dtype="int8")),
        ("pca3", Spec(pca=3)),
    ],
)
def test_words_in_any_order_are_one_specification(text, spec):
    assert Spec.parse(text) == spec
    assert Spec.parse(str(spec)) == spec


@pytest.mark.parametrize("text", ["", " , ", "int8,float16", "pool2,pool4", "float16,float16", "pca3,pca4"])
def test_nothing_and_two_of_a_kind_are_refused(text):
    with pytest.raises(UsageError, match="--dense"):
        Spec.parse(text)


@pytest.mark.parametrize("text", ["pool3", "pca", "pca0", "pca-1", "pca²", "float64", "flaot16", "pool2 pca64"])
def test_other_words_are_refused(text):
    with pytest.raises(UnknownName, match="no reduction"):
        Spec.parse(text)


def test_the_nearest_word_is_offered():
    with pytest.raises(UnknownName, match="did you mean float16"):
        Spec.parse("flaot16")


# ---- made smaller


def reference_average(cells: np.ndarray, pool: int) -> np.ndarray:
    b, h, w, c = cells.shape
    out = np.zeros((b, -(-h // pool), -(-w // pool), c))
    for i, j in itertools.product(range(out.shape[1]), range(out.shape[2])):
        window = cells[:, i * pool : (i + 1) * pool, j * pool : (j + 1) * pool].astype(np.float64)
        out[:, i, j] = window.reshape(b, -1, c).mean(axis=1)
    return out


@pytest.mark.parametrize("pool", [1, 2, 4])
@pytest.mark.parametrize("grid", [(4, 4), (5, 7), (9, 2), (1, 3)])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_cells_are_averages_of_what_is_there(pool, grid, library):
    cells = draw(2, *grid, 3)
    if library == "numpy":
        found = reduce.averaged(cells, pool, np.stack)
    else:
        found = reduce.averaged(torch.from_numpy(cells), pool, torch.stack).numpy()
    np.testing.assert_allclose(found, reference_average(cells, pool), atol=1e-6)
    assert found.shape[1:3] == Spec(pool=pool).grid(grid)


def test_an_edge_padded_with_zeros_would_be_seen():
    cells = 1 + np.abs(draw(1, 5, 5, 3))
    padded = np.pad(cells, ((0, 0), (0, 1), (0, 1), (0, 0)))
    found = reduce.averaged(cells, 2, np.stack)
    assert np.abs(found - reference_average(padded, 2)).max() > 0.4
    np.testing.assert_allclose(found[:, :2, :2], reference_average(padded, 2)[:, :2, :2], atol=1e-6)


def test_a_projection_is_the_same_in_both_libraries():
    cells, mean, directions = draw(2, 3, 4, 6), draw(6, seed=1), draw(6, 2, seed=2)
    expected = np.einsum("bhwc,ck->bhwk", (cells - mean).astype(np.float64), directions)
    np.testing.assert_allclose(reduce.projected(cells, mean, directions), expected, atol=1e-5)
    tensors = (torch.from_numpy(array) for array in (cells, mean, directions))
    np.testing.assert_allclose(reduce.projected(*tensors).numpy(), expected, atol=1e-5)


def test_int8_is_off_by_half_a_step_of_its_channel_at_most():
    cells = draw(5, 7, 6) * np.array([1, 1e-3, 1e3, 0, 1, 1e-30], np.float32)
    levels, scales = reduce.stored(cells, "int8")
    assert (levels.dtype, scales.dtype, scales.shape) == (np.int8, np.float32, (6,))
    for c in range(6):
        step = np.abs(cells[..., c].astype(np.float64)).max() / 127
        assert scales[c] == np.float32(step)
        for i, j in itertools.product(range(5), range(7)):
            exact = float(cells[i, j, c]) / step if step else 0.0
            assert abs(levels[i, j, c] - exact) <= 0.5 + 1e-4
    restored = reduce.restored(levels, scales)
    assert np.all(np.abs(restored - cells) <= scales / 2 * 1.001)
    assert np.all(restored[..., 3] == 0)
    one_scale = np.rint(cells / scales.max()).astype(np.int8) * scales.max()
    assert np.all(one_scale[..., [0, 1, 4]] == 0)  # what a scale for the whole image would leave of small channels


def test_float16_rounds_and_says_what_it_cannot_hold():
    cells = draw(2, 2, 3)
    (half,) = reduce.stored(cells, "float16")
    assert half.dtype == np.float16
    np.testing.assert_allclose(reduce.restored(half, None), cells, rtol=2**-11)
    assert reduce.stored(cells * 1e6, "float16") is None
    assert reduce.stored(cells * 1e6, "float32")[0] is not None


def skewed(images: int, width: int = 6) -> list[np.ndarray]:
    """Images whose channels are mixtures of directions of clearly different variance, far from 0."""
    mixing = np.linalg.qr(draw(width, width, seed=9))[0] * (2.0 ** -np.arange(width))[:, None]
    return [(draw(3, 4, width, seed=i) @ mixing + 50).astype(np.float32) for i in range(images)]


def test_components_are_those_of_the_singular_values():
    images = skewed(20)
    found = pca.fit(images, 3)
    flat = np.concatenate([image.reshape(-1, 6) for image in images]).astype(np.float64)
    _, values, rows = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.mean, flat.mean(axis=0), rtol=1e-6)
    assert found.directions.dtype == np.float32
    for k in range(3):
        expected = rows[k] * np.sign(rows[k][np.abs(rows[k]).argmax()])
        np.testing.assert_allclose(found.directions[:, k], expected, atol=1e-5)
    assert found.explained == pytest.approx((values[:3] ** 2).sum() / (values**2).sum())
    assert (found.images, found.cells) == (20, 240)
    assert pca.fit(iter(images), 3).sha256 == found.sha256
    assert pca.fit(images[1:], 3).sha256 != found.sha256


def test_a_projection_keeps_what_it_says(tmp_path):
    images = skewed(20)
    cells = np.stack(images)
    losses = []
    for channels in (1, 3, 5):
        found = pca.fit(images, channels)
        back = found.back(reduce.projected(cells, found.mean, found.directions))
        spread = ((cells - found.mean) ** 2).sum()
        losses.append(((back - cells) ** 2).sum() / spread)
        assert losses[-1] == pytest.approx(1 - found.explained, abs=1e-5)
    assert losses == sorted(losses, reverse=True)


def test_a_projection_takes_the_first_images_only(monkeypatch):
    monkeypatch.setattr(pca, "IMAGES", 4)
    images = iter(skewed(6))
    assert pca.fit(images, 3).images == 4
    assert len(list(images)) == 2


def test_a_projection_needs_more_cells_than_channels():
    with pytest.raises(UsageError, match="first 1 images that can be embedded have 12 cells"):
        pca.fit([draw(3, 4, 20)], 12)
    pca.fit([draw(3, 4, 20)], 11)
    with pytest.raises(UsageError, match="fewer than 6"):
        wanted("pca6")


# ---- how it is laid out, and how much it is


def test_cells_say_which_pixels_they_cover():
    layout = layout_of(Spec.parse("pool2"), Given(size=(518, 518), patches=(37, 37), width=384, pooled=384), RECORD)
    assert layout.shape == (19, 19, 384)
    assert layout.down[0] == (0, 28)
    assert layout.down[-1] == (504, 518)  # what is left at the edge
    assert layout.down == layout.across
    uneven = wanted("float16")
    assert (uneven.down[-1], uneven.across[-1]) == ((16, 20), (24, 28))


def test_the_grid_follows_from_the_number_of_patches():
    assert grid_of((518, 518), 1369) == (37, 37)
    assert grid_of((224, 448), 14 * 28) == (14, 28)
    assert grid_of((64, 64), 4) == (2, 2)
    with pytest.raises(SnellenError, match="a grid of squares"):
        grid_of((518, 518), 1370)


def test_a_layout_is_read_as_it_was_written_and_nothing_else(tmp_path):
    assert layouts.find(tmp_path) is None
    (tmp_path / "dense").mkdir()
    for text in ("float32", "pool2,int8"):
        layouts.write(tmp_path, wanted(text))
        assert layouts.find(tmp_path) == wanted(text)
    file = tmp_path / "dense/dense.json"
    document = json.loads(file.read_text())
    assert document["order"] == ["row", "down", "across", "channel"]
    file.write_text(json.dumps({**document, "schema": "snellen.dense/9"}))
    with pytest.raises(SnellenError, match=r"snellen\.dense/9"):
        layouts.find(tmp_path)
    file.write_text(json.dumps({**document, "grid": "5 x 7"}))
    with pytest.raises(UsageError, match="grid is a string"):
        layouts.find(tmp_path)


LARGE = Given(size=(768, 768), patches=(48, 48), width=1024, pooled=1024)


@pytest.mark.parametrize(
    ("text", "images", "needed"),
    [
        ("float16", 1_000_000, "4.7 TB"),
        ("float32", 1_000_000, "9.4 TB"),
        ("pool2,float16", 1_000_000, "1.2 TB"),
        ("pool4,pca64,int8", 1_000_000, "9.5 GB"),
        ("float16", 1, "4.7 MB"),
        ("pca1,pool4,int8", 1, "148 bytes"),
    ],
)
def test_the_estimate(text, images, needed, tmp_path):
    found = room.room(wanted(text, LARGE), images, tmp_path / "not/there/yet")
    assert f"take {needed} for {images:,} images" in found.sentence
    assert f"{room.shown(found.free)} are free" in found.sentence
    assert found.free == pytest.approx(os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize, rel=0.5)


@pytest.mark.parametrize("text", ["float32", "pool2,float16", "pool2,pca5,int8"])
def test_the_estimate_is_what_the_files_hold(text, tmp_path):
    layout, rows = wanted(text), 7
    with DensePart(tmp_path, 0, layout, ids=range(rows), done=0) as part:
        cells = layout.shape[0] * layout.shape[1] * layout.channels
        part.take((Outcome(id=i, image_path="", status="done"), draw(3 + cells, seed=i)) for i in range(rows))
        part.flush()
        part.finish()
    arrays = [np.load(path) for path in (tmp_path / "dense").glob("*.npy")]
    assert sum(array.nbytes for array in arrays) == room.room(layout, rows, tmp_path).needed == rows * layout.row_bytes


def test_bytes_are_shown_with_two_digits_or_three():
    shown = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 9_949: "9.9 kB", 9_960: "10 kB", 999_400: "999 kB"}
    shown |= {999_600: "1.0 MB", 4_718_592: "4.7 MB", 4.7e12: "4.7 TB", 3e18: "3000 PB"}
    assert {count: room.shown(count) for count in shown} == shown


def test_nothing_is_written_without_a_yes(tmp_path):
    fits = replace(room.room(wanted("float32"), 1000, tmp_path), free=10**9)
    asked = []
    room.agree(fits, yes=True, ask=None)
    room.agree(fits, yes=False, ask=lambda text: asked.append(text) or True)
    assert asked == [f"{fits.sentence}. Go on?"]
    with pytest.raises(UsageError, match="no terminal") as none:
        room.agree(fits, yes=False, ask=None)
    assert none.value.exit_code == 2
    assert "--yes" in none.value.todo
    with pytest.raises(UsageError, match="nothing was written"):
        room.agree(fits, yes=False, ask=lambda _: False)


def test_what_does_not_fit_is_refused_whatever_was_said_and_the_best_that_fits_is_offered(tmp_path):
    large = replace(room.room(wanted("float32", LARGE), 1_000_000, tmp_path), free=2 * 10**12)
    for yes in (True, False):
        with pytest.raises(Unavailable, match=r"take 9.4 TB .* 2.0 TB are free") as refused:
            room.agree(large, yes=yes, ask=lambda _: True)
        assert refused.value.todo == "--dense pool2,float16 takes 1.2 TB"
    with pytest.raises(Unavailable, match="fewer images"):
        room.agree(replace(large, free=10**6), yes=True, ask=None)


# ---- what gives it


def opened(case: str, device: str = "cpu", runtime: str = "eager") -> Embedder:
    """Open a shrunken encoder, as ``embedder`` would."""
    model, place = model_of(CASES[case]), devices.resolve(device)
    runner = make(runtime, model, place, "float32")
    record = replace(model.record, recipe=model.recipe.text)
    on_device = place.kind != "cpu"
    return Embedder(
        recipe=EightBit(model.recipe) if on_device else model.recipe,
        record=record,
        setup=Setup(runtime=runtime),
        batch=2,
        engine=Overlapped(runner, model.recipe) if on_device else runner,
    )


def batches_for(model: Embedder, sizes: tuple[int, ...] = (2, 1, 3)) -> list[np.ndarray]:
    size = given(model).size
    if isinstance(model.recipe, EightBit):
        generator = np.random.default_rng(0)
        return [generator.integers(0, 256, (count, 3, *size), np.uint8) for count in sizes]
    return [draw(count, 3, *size, seed=i) for i, count in enumerate(sizes)]


def expected_patches(case: str, model: Embedder, batches: list[np.ndarray]) -> np.ndarray:
    """Return what the encoder's own code gives, [n, h, w, C]."""
    own = model_of(CASES[case])
    grid = given(model).patches
    ready = [torch.from_numpy(batch) for batch in batches]
    if isinstance(model.recipe, EightBit):
        ready = [own.recipe.normalise(batch) for batch in ready]
    with torch.inference_mode():
        return np.concatenate([own.encoder(batch).patches.unflatten(1, grid).numpy() for batch in ready])


@pytest.fixture
def npu() -> Iterator[None]:
    simulated.start(Settings(arithmetic="float32"))
    yield
    simulated.stop()


@pytest.mark.parametrize(
    ("case", "device", "runtime"),
    [
        ("dinov2 swiglu registers", "cpu", "eager"),
        ("aimv2", "cpu", "eager"),
        ("convnext", "cpu", "eager"),
        ("dinov2 swiglu registers", "npu:0", "eager"),
        ("convnext", "npu:1", "eager"),
    ],
)
def test_every_encoder_gives_its_patches_and_the_vectors_of_plain_embed(npu, case, device, runtime):
    """Prefix tokens are not among them, and neither is the token that ConvNeXt pools."""
    with opened(case, device, runtime) as model:
        batches = batches_for(model)
        plain = np.concatenate(list(model.vectors(batches)))
        patches = expected_patches(case, model, batches)
        components = pca.fit(list(patches), 5)
        for text in ("float32", "pool2,pca5"):
            layout = layout_of(Spec.parse(text), given(model), model.record)
            projection = components if "pca" in text else None
            layout = replace(layout, projection=projection and projection.fitted)
            found = list(DenseEngine(model, layout, projection).outputs(batches))
            assert [len(vectors) for vectors, _ in found] == [2, 1, 3]
            np.testing.assert_allclose(np.concatenate([vectors for vectors, _ in found]), plain, rtol=1e-6, atol=1e-6)
            expected = patches if projection is None else reference_average(patches, 2)
            if projection is not None:
                expected = (expected - projection.mean) @ projection.directions
            np.testing.assert_allclose(np.concatenate([cells for _, cells in found]), expected, rtol=1e-4, atol=1e-4)
        shifted = np.roll(patches.reshape(len(patches), -1, patches.shape[-1]), 1, axis=1).reshape(patches.shape)
        assert np.abs(shifted - patches).max() > 0.01  # a prefix token taken for the first patch would be seen


def test_a_grid_that_is_no_square_keeps_its_rows():
    text = "stored | squash 32 64 bicubic | scale | mean 0 0 0 | std 1 1 1 | pool patch_mean"
    with opened("dinov3") as square:
        model = replace(square, record=replace(square.record, recipe=text))
        high, wide = given(model).patches
        assert wide == 2 * high
        batches = batches_for(model)
        patches = expected_patches("dinov3", model, batches)
        turned = patches.reshape(len(patches), wide, high, -1).transpose(0, 2, 1, 3)
        for pool in (1, 2):
            engine = DenseEngine(model, layout_of(Spec(pool=pool), given(model), model.record))
            found = np.concatenate([cells for _, cells in engine.outputs(batches)])
            np.testing.assert_allclose(found, reference_average(patches, pool), atol=1e-5)
            assert np.abs(found - reference_average(turned, pool)).max() > 0.01


@pytest.fixture(scope="module")
def stored_folder(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("dense") / "model")


def test_the_kept_network_gives_patches_several_batches_at_a_time(stored_folder):
    with embedder(ask(stored_folder, images=1000)) as model:
        assert given(model) == Given(size=(28, 28), patches=(2, 2), width=16, pooled=16)
        batches = [pixels(count) for count in (2, 1, 2, 3, 1, 2)]
        own = snellen.load(stored_folder, recipe=model.record.recipe)
        with torch.inference_mode():
            features = [own.encoder(torch.from_numpy(batch)) for batch in batches]
        engine = DenseEngine(model, layout_of(Spec(), given(model), model.record))
        plain = list(model.vectors(batches))
        for found, vectors, expected in zip(engine.outputs(batches), plain, features, strict=True):
            np.testing.assert_array_equal(found[0], vectors)
            np.testing.assert_allclose(found[1].reshape(len(vectors), 4, 16), expected.patches.numpy(), atol=1e-4)
        session = model.engine.session
        asked, run, two = 0, session.run, threading.Barrier(2)

        def together(batch: np.ndarray) -> dict[str, np.ndarray]:
            if not met:
                two.wait(timeout=60)  # fails where nobody else comes
                met.append(True)
            return run(batch)

        def source() -> Iterator[np.ndarray]:
            nonlocal asked
            for asked, batch in enumerate(batches * 4, start=1):  # noqa: B007
                yield batch

        met: list[bool] = []
        session.run = together
        most = 2 * session.streams
        for number, _ in enumerate(engine.vectors(source()), start=1):
            assert asked <= number + most
        assert number == len(batches) * 4
        assert met

        def breaks() -> Iterator[np.ndarray]:
            yield from batches[:2]
            raise ZeroDivisionError

        rows = engine.vectors(breaks())
        assert [len(next(rows)) for _ in range(2)] == [2, 1]
        with pytest.raises(ZeroDivisionError):
            next(rows)


def test_vectors_are_made_ready_and_cells_are_left_alone():
    with opened("dinov3") as model:
        layout = layout_of(Spec(), given(model), model.record)
        (batch,) = batches_for(model, (2,))
        ((vectors, cells),) = DenseEngine(model, layout).outputs([batch])
        ((halved, same),) = DenseEngine(model, layout, pooled=lambda rows: rows / 2).outputs([batch])
        np.testing.assert_allclose(halved, vectors / 2)
        np.testing.assert_array_equal(same, cells)


def test_another_encoder_than_the_stores_is_refused():
    with opened("dinov3") as model:
        layout = layout_of(Spec(), given(model), model.record)
        other = replace(layout, patches=(layout.patches[0] + 1, layout.patches[1]))
        with pytest.raises(SnellenError, match="run the encoder that the store was begun with"):
            next(DenseEngine(model, other).vectors(batches_for(model)))


def test_an_engine_without_patches_is_refused():
    class Bare:
        def vectors(self, batches):
            return iter(())

    with opened("dinov3") as model, pytest.raises(Unavailable, match="gives vectors alone"):
        given(replace(model, engine=Bare()))


def test_no_torch_is_needed_to_read_or_to_run_a_kept_network():
    program = "import sys; from snellen.embed.patches import engine, reader, whole; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "snellen.embed.patches.engine" in loaded
    assert not {"'torch'", "'numpy'", "'pyarrow'"}.intersection(loaded.strip("[]\n").split(", "))


# ---- written part by part

KINDS = ("float32", "float16", "int8")


def stored_as(kind: str, id_: int) -> np.ndarray:
    return reduce.restored(*reduce.stored(cells_of(id_), kind))


def source_of(id_: int) -> int | None:
    """Return whose cells a row has, in a store of one run; None: zeros."""
    twin = TWINS.get(id_, id_)
    if id_ in BAD:
        return None
    return twin if twin // PART_ROWS == id_ // PART_ROWS else id_


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "dense").glob("*")) if path.name[0] != "."}


def rows_in(folder: Path) -> list[dict]:
    paths = sorted(folder.glob("part-*.parquet"))
    return [row for path in paths for row in parquet.read_table(path).to_pylist()]


@pytest.fixture(scope="module", params=KINDS)
def whole(request, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("whole") / "store"
    fill(folder, request.param)
    return request.param, folder


def test_row_j_is_row_j_of_the_part(whole):
    kind, folder = whole
    assert len(list(folder.glob("dense/part-*[0-9].npy"))) == 3
    assert not list(folder.glob("dense/*.unfinished"))
    for number in range(3):
        cells = np.load(folder / f"dense/part-{number:05d}.npy", mmap_mode="r")
        scales = np.load(folder / f"dense/part-{number:05d}.scales.npy") if kind == "int8" else None
        table = parquet.read_table(folder / f"part-{number:05d}.parquet").to_pylist()
        assert cells.shape == (len(table), 5, 7, 6)
        assert cells.dtype == kind
        for j, row in enumerate(table):
            source = source_of(row["id"])
            found = reduce.restored(cells[j], None if scales is None else scales[j])
            expected = np.zeros((5, 7, 6)) if source is None else stored_as(kind, source)
            np.testing.assert_array_equal(found, expected)
            assert (row["embedding"] is None) == (source is None)
            if source is not None:
                np.testing.assert_array_equal(np.float32(row["embedding"]), row_of(source)[:3])


STEPS = ("taken", "flushed", "committed", "published", "finished")


def killed(folder: Path, kind: str, step: str, turn: int) -> None:
    command = [sys.executable, dense_fill.__file__, str(folder), kind, step, str(turn)]
    environment = {**os.environ, "PYTHONPATH": str(Path(snellen.__file__).parents[1])}
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == -9


@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_changes_nothing(tmp_path, step):
    """Twice in a row, in two parts; ``published`` falls between scales and features."""
    fill(tmp_path / "whole", "int8")
    folder = tmp_path / "killed"
    killed(folder, "int8", step, 2)
    assert not (folder / "manifest.json").exists()
    fill(folder, "int8")
    assert held(folder) == held(tmp_path / "whole")
    assert rows_in(folder) == rows_in(tmp_path / "whole")


def begun(folder: Path, kind: str = "int8", rows: int = 6, done: int = 0) -> DensePart:
    folder.mkdir(exist_ok=True)
    return DensePart(folder, 0, dense_fill.layout(kind), ids=range(rows), done=done)


def good(ids: range) -> list[tuple[Outcome, np.ndarray | None]]:
    return [(Outcome(id=i, image_path=f"{i}.png", status="done"), row_of(i)) for i in ids]


def failed(ids: range) -> list[tuple[Outcome, np.ndarray | None]]:
    return [(Outcome(id=i, image_path=f"{i}.png", status="missing"), None) for i in ids]


def test_what_was_not_committed_is_cut_off(tmp_path):
    """An image that was there before a death and is gone after it has zeros, not what was written first."""
    with begun(tmp_path) as part:
        part.take(good(range(5)))
        part.flush()
    with begun(tmp_path, done=2) as part:
        part.take(failed(range(2, 4)))
        part.take(good(range(4, 6)))
        part.flush()
        part.finish()
    cells = np.load(tmp_path / "dense/part-00000.npy")
    assert [bool(row.any()) for row in cells] == [True, True, False, False, True, True]
    scales = np.load(tmp_path / "dense/part-00000.scales.npy")
    np.testing.assert_array_equal(reduce.restored(cells[5], scales[5]), stored_as("int8", 5))
    assert not scales[2:4].any()


def test_cells_are_on_the_disk_before_their_rows_may_be_committed(tmp_path, monkeypatch):
    """A death of the process loses nothing that was written; one of the machine does, but for what was waited for."""
    synced: list[tuple[str, int]] = []
    real = part_module.SYNC

    def noted(descriptor: int) -> None:
        real(descriptor)
        synced.append((os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")), os.fstat(descriptor).st_size))

    monkeypatch.setattr(part_module, "SYNC", noted)
    with begun(tmp_path) as part:
        part.take([*good(range(2)), *failed(range(2, 4))])
        assert synced == []
        part.flush()
    sizes = {"part-00000.npy.unfinished": 128 + 4 * 210, "part-00000.scales.npy.unfinished": 128 + 4 * 24}
    assert dict(synced) == sizes  # holes of rows that failed, too


def test_less_than_the_journal_says_is_refused(tmp_path):
    with begun(tmp_path) as part:
        part.take(good(range(3)))
        part.flush()
    with pytest.raises(Lost, match="other rows than the 4") as lost:
        begun(tmp_path, done=4)
    assert "remove the part's journal" in lost.value.todo
    with begun(tmp_path, done=3):
        pass  # nothing was damaged
    with pytest.raises(Lost):
        begun(tmp_path, kind="float32", done=3)  # written as something else
    (tmp_path / "dense/part-00000.npy.unfinished").unlink()
    with pytest.raises(Lost):
        begun(tmp_path, done=1)
    with begun(tmp_path) as part:  # anew
        part.take(good(range(6)))
        part.flush()
        part.finish()
    assert np.load(tmp_path / "dense/part-00000.npy").any(axis=(1, 2, 3)).all()


def test_rows_that_failed_take_no_room_on_the_disk(tmp_path):
    rows = 4000
    with begun(tmp_path, "float32", rows) as part:
        part.take(failed(range(rows - 1)))
        part.take(good(range(rows - 1, rows)))
        part.flush()
        part.finish()
    status = (tmp_path / "dense/part-00000.npy").stat()
    assert status.st_size > rows * 840
    assert status.st_blocks * 512 < 64 * 1024
    np.testing.assert_array_equal(np.load(tmp_path / "dense/part-00000.npy", mmap_mode="r")[-1], cells_of(rows - 1))


def test_rows_in_another_order_are_refused(tmp_path):
    with begun(tmp_path) as part, pytest.raises(ValueError, match="0 is the next"):
        part.take(good(range(1, 2)))
    with begun(tmp_path) as part:
        part.take(good(range(5)))
        with pytest.raises(ValueError, match="5 of 6 rows"):
            part.finish()


def test_vectors_do_not_keep_their_cells_in_memory(tmp_path):
    with begun(tmp_path) as part:
        ((_, vector),) = part.take(good(range(1)))
    assert vector.base is None
    np.testing.assert_array_equal(vector, row_of(0)[:3])


def test_what_float16_cannot_hold_is_a_broken_row_and_the_others_go_on(tmp_path):
    rows = good(range(3))
    rows[1] = rows[1][0], rows[1][1] * 1e6
    with begun(tmp_path, "float16", 3) as part:
        taken = part.take(rows)
        part.flush()
        part.finish()
    assert [outcome.status for outcome, _ in taken] == ["done", "broken", "done"]
    assert taken[1][1] is None
    assert "beyond what float16 holds" in taken[1][0].error_message
    assert [bool(row.any()) for row in np.load(tmp_path / "dense/part-00000.npy")] == [True, False, True]


def test_a_full_disk_ends_cleanly_and_the_part_goes_on(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with begun(tmp_path) as part:
        part.take(good(range(2)))
        part.flush()
        for call, act in (("pwrite", lambda: part.take(good(range(2, 3)))), ("ftruncate", part.flush)):
            with monkeypatch.context() as patch:
                patch.setattr(os, call, full)
                with pytest.raises(Unavailable, match="No space left on device"):
                    act()
    with begun(tmp_path, done=2) as part:
        part.take(good(range(2, 6)))
        part.flush()
        part.finish()
    fresh = tmp_path / "fresh"
    with begun(fresh) as part:
        part.take(good(range(6)))
        part.flush()
        part.finish()
    assert held(tmp_path) == held(fresh)


# ---- a second run, other folders


def test_images_that_an_earlier_run_has_get_its_cells(tmp_path):
    fill(tmp_path, "int8")
    manifest = fill(tmp_path, "int8", run=1, listed=dense_fill.inputs(1, 12))
    assert [run.rows for run in manifest.runs] == [INPUTS, 12]
    dense = Dense(tmp_path)
    for row in rows_in(tmp_path)[INPUTS:]:
        number = row["id"] - INPUTS
        if number in BAD:
            continue
        assert (row["status"], row["same_as"] < INPUTS) == ("already_present", True)
        np.testing.assert_array_equal(dense.values(row["id"]), stored_as("int8", row["same_as"]))
    with pytest.raises(UsageError, match="0 to 30"):
        dense[31]


def test_a_store_has_features_of_one_kind_or_none(tmp_path):
    folder = tmp_path / "store"
    begin.check(folder, None)
    begin.check(folder, Spec())
    fill(folder, "int8")
    begin.check(folder, Spec(dtype="int8"))
    with pytest.raises(UsageError, match="--dense was not asked for") as refused:
        begin.check(folder, None)
    assert refused.value.todo == "--dense int8"
    with pytest.raises(UsageError, match="has int8"):
        begin.check(folder, Spec(dtype="float16"))
    for change, named in ((RECORD.digest, None), ("1" * 64, "weights is"), (None, "weights is")):
        other = replace(dense_fill.layout("int8"), weights=change)
        if named is None:
            begin.settle(folder, other, iter(()))
            continue
        with pytest.raises(UsageError, match=named):
            begin.settle(folder, other, iter(()))
    bare = tmp_path / "bare"
    with Writer.open(bare, dense_fill.IDENTITY) as writer:
        state = writer.begin(["x"], dense_fill.inputs(), lambda _: None)
        begin.check(bare, Spec())  # nothing is written yet
        with writer.part(0) as part:
            for id_, item in part.inputs:
                found, row = dense_fill.outcome(id_, item)
                part.add([(found, None if row is None else row[:3])])
            part.finish(RECORD)
        assert list(writer.todo(state)) == []
    with pytest.raises(UsageError, match="parts without patch features"):
        begin.check(bare, Spec())


def test_shares_are_joined_with_their_features(tmp_path):
    whole = tmp_path / "whole"
    fill(whole, "int8")
    shares = [tmp_path / "one", tmp_path / "other"]
    for share, done in zip(shares, ({0}, {1, 2}), strict=True):
        shutil.copytree(whole, share)
        (share / "manifest.json").unlink()
        for path in (path for number in {0, 1, 2} - done for path in share.rglob(f"part-{number:05d}*")):
            path.unlink()
    with pytest.raises(UsageError, match="2 of the 3 parts of the run are not finished"):
        joined(tmp_path / "out", shares[:1])
    lost = shares[1] / "dense/part-00002.npy"
    lost.rename(tmp_path / "lost")
    with pytest.raises(UsageError, match=r"missing or cut off in .*part-00002\.npy"):
        joined(tmp_path / "out", shares)
    assert not list((tmp_path / "out").glob("part-*"))  # where a part is, its features are whole
    (tmp_path / "lost").rename(lost)
    for _ in range(2):
        assert joined(tmp_path / "out", shares).rows == INPUTS
    assert held(tmp_path / "out") == held(whole)
    assert rows_in(tmp_path / "out") == rows_in(whole)


def test_shards_of_several_folders_come_together(tmp_path):
    fill(tmp_path / "whole", "int8")
    names = sorted(held(tmp_path / "whole"))
    for shard, own in enumerate((names[:2], names[2:])):
        folder = tmp_path / f"shard{shard}/dense"
        folder.mkdir(parents=True)
        for name in own:
            (folder / name).write_bytes(held(tmp_path / "whole")[name])
        layouts.write(folder.parent, layouts.find(tmp_path / "whole"))
    parts = [(0, 8), (1, 8), (2, 3)]
    out = tmp_path / "out"
    bring(out, [tmp_path / "shard0"])
    assert len(missing(out, parts)) == 5
    with pytest.raises(UsageError, match="and 2 more"):
        check(out, parts)
    bring(out, [tmp_path / "shard0", tmp_path / "shard1"])
    assert held(out) == held(tmp_path / "whole")
    check(out, parts)
    assert missing(out, [(0, 9)]) == ["part-00000.npy", "part-00000.scales.npy"]
    os.truncate(out / "dense/part-00002.npy", 700)
    assert missing(out, parts) == ["part-00002.npy"]
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="it has none"):
        bring(out, [tmp_path / "none"])
    layouts.write(tmp_path / "shard1", replace(layouts.find(out), width=7))
    with pytest.raises(UsageError, match="width is 6, and 7 there"):
        bring(out, [tmp_path / "shard1"])
    bring(tmp_path / "empty", [tmp_path / "none"])
    assert not (tmp_path / "empty").exists()
    assert missing(tmp_path / "none", parts) == []


# ---- a projection, of the first images


@pytest.fixture
def images(tmp_path) -> list[Input]:
    paths = [picture(tmp_path / f"{i}.png", 20 * i, size=(40, 30)) for i in range(6)]
    rng = np.random.default_rng(0)
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    Path(paths[1]).write_bytes(b"not an image")
    return [Input(path=path, place=path) for path in paths]


def test_a_projection_is_fitted_on_the_first_images_once(images, tmp_path, monkeypatch):
    monkeypatch.setattr(pca, "IMAGES", 3)
    folder = tmp_path / "store"
    with opened("dinov3") as model:
        layout = layout_of(Spec.parse("pool2,pca2,float16"), given(model), model.record)
        read = []

        def listed():
            for item in images:
                read.append(item)
                yield item

        settled, components = settle(folder, layout, model, listed(), workers=1)
        assert (settled.projection.images, settled.projection.cells) == (3, 3)  # one cell of 2 x 2 patches each
        assert components.sha256 == settled.projection.sha256
        pixel_list = [model.recipe.array(snellen.images.decode(item.place)) for item in images if item is not images[1]]
        patches = expected_patches("dinov3", model, [np.stack(pixel_list[:3])])
        expected = pca.fit(list(reference_average(patches, 2)), 2)
        np.testing.assert_allclose(components.mean, expected.mean, atol=1e-4)
        before = held(folder)
        again, same = settle(folder, layout, model, iter(()), workers=1)
        assert (again, same.sha256) == (settled, components.sha256)
        assert held(folder) == before
    file = folder / "dense/pca.npz"
    with np.load(file) as kept:
        changed = dict(kept)
    np.savez(file, **{**changed, "mean": changed["mean"] + 1})
    with pytest.raises(SnellenError, match="another projection"):
        begin.opened(folder, settled)
    whole_file = file.read_bytes()
    for damaged in (b"", whole_file[:-30], b"not a file of numpy"):
        file.write_bytes(damaged)
        with pytest.raises(SnellenError, match="cannot be read"):
            begin.opened(folder, settled)


def test_a_run_begins_with_a_yes_and_only_once(images, tmp_path):
    folder, spec = tmp_path / "store", Spec.parse("pca2,float16")
    needs: list[room.Room] = []

    def no(needed: room.Room) -> None:
        room.agree(needed, yes=False, ask=None)

    with opened("dinov3") as model, Writer.open(folder, dense_fill.IDENTITY) as writer:
        state = writer.begin(["x"], images, lambda _: None)
        with pytest.raises(UsageError, match="for 6 images"):
            start(folder, state, spec, model, no, workers=1)
        assert not (folder / "dense").exists()
        with pytest.raises(UsageError, match="for 6 images"):  # asked again
            start(folder, state, spec, model, no, workers=1)
        start(folder, state, spec, model, needs.append, workers=1)
        assert [needed.images for needed in needs] == [6]
        found = layouts.find(folder)
        assert (found.projection.images, found.spec) == (5, "pca2,float16")
        with DensePart(folder, 0, found, ids=state.span(0), done=0):
            pass
        start(folder, state, spec, model, no, workers=1)  # goes on with a part that was begun
        with pytest.raises(UsageError, match="has pca2,float16"):
            start(folder, state, Spec(), model, needs.append, workers=1)


def test_nothing_is_encoded_where_nothing_is_projected(tmp_path):
    def never() -> Iterator[Input]:
        raise AssertionError
        yield

    with opened("dinov3") as model:
        layout = layout_of(Spec(), given(model), model.record)
        settle(tmp_path, layout, model, never(), workers=1)
    assert layouts.find(tmp_path) == layout


def test_another_folder_takes_a_projection_that_is_given_to_it(images, tmp_path):
    with opened("dinov3") as model:
        wanted_layout = layout_of(Spec.parse("pca2"), given(model), model.record)
        first, components = settle(tmp_path / "first", wanted_layout, model, images, workers=1)
        other = tmp_path / "other"
        for folder in (".snellen", "dense"):
            (other / folder).mkdir(parents=True)
        for name in ("dense.json", "pca.npz"):
            (other / "dense" / name).write_bytes((tmp_path / "first/dense" / name).read_bytes())
        with Writer.open(other, dense_fill.IDENTITY) as writer:
            state = writer.begin(["x"], images[3:], lambda _: None)
            start(other, state, wanted_layout.asked, model, lambda _: None, workers=1)
        assert layouts.find(other) == first
        own, _ = settle(tmp_path / "own", wanted_layout, model, images[3:], workers=1)
        assert own.projection.sha256 != components.sha256  # what it would have fitted itself
        assert "projection is" in first.differences(own)[0]


def test_a_layout_and_a_projection_go_together(tmp_path):
    with opened("dinov3") as model:
        layout = layout_of(Spec.parse("pca2"), given(model), model.record)
        with pytest.raises(SnellenError, match="without one"):
            DenseEngine(model, layout, pca.fit(skewed(2), 2))


# ---- read


def test_an_image_is_found_by_id_and_by_path_and_not_read_before_it_is_looked_at(whole):
    kind, folder = whole
    dense = Dense(folder)
    for id_ in (0, 3, 6, 12, 17):
        found = dense[id_]
        assert isinstance(found, np.memmap)
        assert found.shape == (5, 7, 6)
        assert not found.flags.writeable
        np.testing.assert_array_equal(dense[f"run0/{id_}.png"], found)
        np.testing.assert_array_equal(dense.values(id_), stored_as(kind, source_of(id_)))
        np.testing.assert_array_equal(dense.features(id_), dense.values(id_))
    with pytest.raises(UsageError, match=r"row 4, 'run0/4\.png', has no features: it is broken") as refused:
        dense[4]
    assert refused.value.todo == "no image"
    for name in ("run0/4.png", "run0/99.png", "0.png"):
        with pytest.raises(UsageError, match="no features of"):
            dense[name]
    for id_ in (-1, INPUTS):
        with pytest.raises(UsageError, match="0 to 18"):
            dense[id_]


def test_an_array_is_the_file_itself(tmp_path):
    fill(tmp_path, "float32")
    mapped = Dense(tmp_path)[0]
    copied = np.load(tmp_path / "dense/part-00000.npy")[0]
    with (tmp_path / "dense/part-00000.npy").open("r+b") as file:
        file.seek(-8 * 840, os.SEEK_END)
        file.write(np.float32(77).tobytes())
    assert mapped[0, 0, 0] == 77
    assert copied[0, 0, 0] != 77


def test_features_that_are_missing_or_cut_off_are_said_to_be(tmp_path):
    fill(tmp_path, "int8")
    file = tmp_path / "dense/part-00000.npy"
    os.truncate(file, 700)
    with pytest.raises(UsageError, match=r"store is damaged: .*cannot be read"):
        Dense(tmp_path)[0]
    os.truncate(file, 0)
    with pytest.raises(UsageError, match=r"store is damaged: .*cannot be read"):
        Dense(tmp_path)[0]
    file.unlink()
    with pytest.raises(UsageError, match=r"store is damaged: .*is missing"):
        Dense(tmp_path)[0]
    with pytest.raises(UsageError, match=r"store is damaged: .*is missing"):  # not that the disk is full
        fill(tmp_path, "int8", run=1, listed=dense_fill.inputs(1, 3))


def test_parts_are_gone_through_in_order(whole):
    kind, folder = whole
    parts = list(Dense(folder).parts())
    assert [part.ids for part in parts] == [range(8), range(8, 16), range(16, 19)]
    for part in parts:
        assert isinstance(part.cells, np.memmap)
        assert (part.scales is None) == (kind != "int8")
        assert len(part.cells) == len(part.ids) == len(part.good)
        for j, id_ in enumerate(part.ids):
            assert part.good[j] == (source_of(id_) is not None) == bool(part.cells[j].any())


def test_a_path_that_was_embedded_anew_is_the_newest(tmp_path):
    fill(tmp_path, "float32", listed=dense_fill.inputs(0, 3))
    fill(tmp_path, "float32", run=1, listed=[Input(path="run0/1.png", place="x"), Input(path="run1/9.png", place="y")])
    dense = Dense(tmp_path)
    assert dense.id_of("run0/1.png") == 3
    assert dense.id_of("run0/2.png") == 2
    twice = tmp_path / "twice"  # in two parts of one run
    fill(twice, "float32", listed=[*dense_fill.inputs(0, PART_ROWS), Input(path="run0/1.png", place="x")])
    assert Dense(twice).id_of("run0/1.png") == PART_ROWS


def test_projected_features_come_back_in_the_encoders_channels(tmp_path):
    with Writer.open(tmp_path, dense_fill.IDENTITY) as writer:
        state = writer.begin(["run0"], dense_fill.inputs(), lambda _: None)
        wanted_layout = dense_fill.layout("pca4,float32")
        settled, components = begin.settle(tmp_path, wanted_layout, map(cells_of, range(9)))
        (number,) = writer.todo(state)
        with writer.part(number) as part, DensePart(tmp_path, number, settled, ids=part.ids, done=0) as dense:
            for id_, item in part.inputs:
                found, row = dense_fill.outcome(id_, item)
                if row is not None:
                    cells = reduce.projected(cells_of(id_), components.mean, components.directions)
                    row = np.concatenate([row[:3], cells.ravel()])
                part.add(dense.take([(found, row)]))
            dense.flush()
            dense.finish()
            part.finish(RECORD)
        writer.finish()
    dense = Dense(tmp_path)
    assert dense[0].shape == (5, 7, 4)
    assert dense.features(0).shape == (5, 7, 6)
    centred = (cells_of(0) - components.mean).reshape(-1, 6).astype(np.float64)
    kept = centred @ components.directions @ components.directions.T + components.mean
    np.testing.assert_allclose(dense.features(0).reshape(-1, 6), kept, atol=1e-5)
    assert 0.5 < components.explained < 1


def test_a_store_without_features_and_no_store_are_refused(tmp_path):
    with pytest.raises(UsageError, match="is no store"):
        Dense(tmp_path)
    fill(tmp_path / "store", "float32")
    (tmp_path / "store/dense/dense.json").unlink()
    with pytest.raises(UsageError, match="has no patch features"):
        Dense(tmp_path / "store")
    assert Store.open(tmp_path / "store").rows == INPUTS
