"""Cards: what is counted, looked at and drawn, what is noted when it falls out, and the folder that is whole or not."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

import report_records
import snellen
from emulated import Emulated
from small_folder import RECIPE, written
from snellen import zoo
from snellen.cards import evidence, pictures, samples, seeds, speed, tried
from snellen.cards.card import card
from snellen.cards.environment import environment
from snellen.cards.facts import facts
from snellen.cards.folder import FILES, publish
from snellen.cards.leavings import MOST_BYTES, Leavings
from snellen.cards.log import Log
from snellen.cards.pages import CHOICES, pages
from snellen.cards.tried import Shown
from snellen.checkpoints.state import digest_of
from snellen.devices import resolve, simulated
from snellen.devices.base import Device
from snellen.encoders.build import build
from snellen.encoders.config import ConvNeXtConfig, ViTConfig
from snellen.errors import CandidateError, Unavailable, UnknownName, UsageError
from snellen.model.loading import choose_recipe, seeded_config, standard_recipe
from snellen.model.model import Model
from snellen.recipes import Recipe
from snellen.records import ModelRecord, Origin
from snellen.records.doctor import DoctorRecord, Finding
from snellen.records.reports import read_report
from snellen.verification import inputs as kinds
from snellen.verification import trusted
from snellen.verification.golden import compute, noises

PHOTOS = kinds.images([kinds.PHOTOS / name for name in ("cat.jpg", "coffee.jpg")])
FEW = speed.Settings(batch_sizes=(1, 2), seconds=0.01, budget_s=1e6)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("cards") / "small")


@pytest.fixture(scope="module")
def model(small) -> Model:
    return snellen.load(small, recipe=RECIPE)


@pytest.fixture(scope="module")
def golden(model):
    return compute(model, PHOTOS, noises("float32"), lambda _: None)


def hollow(name: str) -> Model:
    """Return an encoder of the zoo whose parameters have no memory."""
    named = zoo.find(name)
    recipe, config = choose_recipe(standard_recipe(named).value, seeded_config(named))
    record = ModelRecord(
        name=name,
        variant=named.variant.name,
        library=named.library,
        family=named.variant.family,
        dialect=None,
        origin=Origin(kind="seed", seed=0),
        digest="0" * 64,
        recipe=recipe.text,
        recipe_hash=recipe.hash,
        pool=recipe.pool,
        dtype="float32",
        device="cpu",
        version="0",
    )
    return Model(build(config), recipe, record)


# ---- facts

COUNTS = {
    "vit_small_patch14_reg4_dinov2.lvd142m": (22_057_344, (37, 37), 1374),
    "vit_small_patch16_dinov3.lvd1689m": (21_586_944, (16, 16), 261),
    "facebook/dinov3-vitb16-pretrain-lvd1689m": (85_659_648, (14, 14), 201),
    "google/vit-base-patch16-224-in21k": (86_389_248, (14, 14), 197),
    "apple/aimv2-large-patch14-224-distilled": (309_197_824, (16, 16), 256),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_counted_from_the_weights(name) -> None:
    found = facts(hollow(name))
    assert (found.parameters, found.grid, found.tokens) == COUNTS[name]
    assert sum(found.parameter_groups.values()) == found.parameters
    assert found.weights_bytes == sum(found.stored.values()) == 4 * found.parameters
    assert name in found.names
    assert found.licence == zoo.find(name).variant.licence
    assert len(found.mean) == len(found.std) == 3
    assert " | ".join(found.steps) == hollow(name).recipe.text
    assert found.pool == hollow(name).recipe.pool


def test_a_count_typed_from_a_file_size_would_be_seen() -> None:
    found = facts(hollow("apple/aimv2-large-patch14-224-distilled"))
    assert round(found.parameters / 1e6, 1) == 309.2
    assert round(found.weights_bytes / 2**30, 2) == 1.15  # what that card took for 1.15 billion parameters
    assert found.fixed_size


def test_a_convnext_has_maps_and_no_tokens() -> None:
    found = facts(hollow("convnext_tiny.dinov3_lvd1689m"))
    assert found.tokens is None
    assert not found.fixed_size
    assert {"stem", "downsampling", "convolutions", "mlp", "norms", "scales"} == set(found.parameter_groups)


def test_every_tensor_of_every_family_belongs_to_a_group() -> None:
    rows = {row.family: row for row in zoo.ROWS}
    for row in rows.values():
        found = facts(hollow(row.name))
        assert sum(found.parameter_groups.values()) == found.parameters


def test_a_checkpoints_files_are_told_with_their_sizes(small, model) -> None:
    found = facts(model)
    assert [file.name for file in found.files] == ["model.safetensors", "config.json"]
    assert [file.bytes for file in found.files] == [(small / file.name).stat().st_size for file in found.files]
    assert all(len(file.sha256 or "") == 64 for file in found.files)
    assert found.stored == {"float32": 4 * found.parameters}
    assert found.weights_bytes < found.files[0].bytes
    assert found.digest == digest_of(iter(model.encoder.state_dict().items()))
    assert found.interpolation == "bicubic"
    assert found.licence in (None, "unknown")


def test_bytes_are_those_of_the_dtypes_in_the_file(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    at = written(tmp_path / "mixed")
    tensors = load_file(at / "model.safetensors")
    first = next(iter(tensors))
    tensors = {name: tensor if name == first else tensor.bfloat16() for name, tensor in tensors.items()}
    save_file(tensors, at / "model.safetensors")
    found = facts(snellen.load(at, recipe=RECIPE))
    size = tensors[first].numel()
    assert found.stored == {"bfloat16": 2 * (found.parameters - size), "float32": 4 * size}


def test_a_file_that_has_gone_is_not_made_up(tmp_path) -> None:
    at = written(tmp_path / "gone")
    loaded = snellen.load(at, recipe=RECIPE)
    (at / "model.safetensors").unlink()
    found = facts(loaded)
    assert found.files == ()
    assert found.stored == {"float32": 4 * found.parameters}


# ---- evidence


def test_a_tensor_is_told_by_its_range() -> None:
    found = evidence.figures("x", torch.tensor([[1.0, -2.0, 4.0]], dtype=torch.bfloat16))
    assert (found.shape, found.dtype, found.device) == ((1, 3), "bfloat16", "cpu")
    assert (found.least, found.most, found.mean) == (-2.0, 4.0, 1.0)
    assert found.std == pytest.approx(6**0.5)
    assert found.first == (1.0, -2.0, 4.0)


def test_numbers_that_are_not_finite_have_no_range() -> None:
    found = evidence.figures("x", torch.tensor([1.0, float("nan"), float("inf")]))
    assert found.nonfinite == 2
    assert (found.least, found.most, found.mean, found.std, found.first) == (None, None, None, None, ())


@pytest.mark.parametrize(
    ("depth", "blocks"), [(12, (3, 7, 11)), (24, (7, 15, 23)), (1, (0,)), (2, (0, 1)), (40, (13, 26, 39))]
)
def test_three_stages_are_evenly_spread(depth, blocks) -> None:
    config = ViTConfig(patch=14, width=16, depth=depth, heads=2, hidden=32)
    assert evidence.mapped(build(config)) == tuple(f"block.{number:02d}" for number in blocks)


def test_a_convnext_shows_its_own_maps() -> None:
    encoder = build(ConvNeXtConfig(depths=(1, 1, 2, 1), widths=(16, 32, 48, 64)))
    assert evidence.mapped(encoder) == encoder.map_stages


def test_one_image_gives_outputs_and_maps(model) -> None:
    pixels = kinds.seeded([1]).pixels(model.recipe)
    found = evidence.shown(Emulated(model.encoder), model.encoder, pixels, "seed 1", builds=True)
    assert {one.name for one in found.evidence.outputs} >= {"cls", "patches", "pooled"}
    assert [one.shape for one in found.evidence.maps] == [(1, 16, 2, 2)]
    assert found.evidence.output_device == "cpu"
    assert not found.notes
    assert not found.built


class Whole(Emulated):
    """A runtime that shows its stages in a second build only, which may fail."""

    fails = False

    def __init__(self, encoder) -> None:
        super().__init__(encoder)
        self.stages, self.watched, self.note = (), encoder.stages, "its graph is fused"

    def run(self, pixels, tap=None):
        return super().run(pixels)

    def look(self, pixels):
        if self.fails:
            raise UsageError("no room for a second build")
        tap = evidence._Kept(self.watched)
        super().run(pixels, tap)
        return tap.stages


def test_where_stages_are_not_shown_the_reason_is_noted(model) -> None:
    pixels = kinds.seeded([1]).pixels(model.recipe)
    runner = Whole(model.encoder)
    found = evidence.shown(runner, model.encoder, pixels, "", builds=True)
    assert found.built
    assert len(found.evidence.maps) == 1
    left = evidence.shown(runner, model.encoder, pixels, "", builds=False)
    assert not left.built
    assert left.evidence.maps == ()
    assert "its graph is fused" in left.notes[0]
    runner.fails = True
    failed = evidence.shown(runner, model.encoder, pixels, "", builds=True)
    assert not failed.built
    assert failed.notes == ("no maps of single stages: no room for a second build",)


# ---- seeds


def test_every_seed_and_output_has_a_row(model) -> None:
    found = seeds.compared(Emulated(model.encoder), model)
    rows = found.rows
    outputs = {row.output for row in rows}
    assert [row.seed for row in rows] == [seed for seed in (42, 123, 256, 789, 1024) for _ in outputs]
    assert found.cpu_s > 0 < found.image_s
    assert all(row.relative is not None and row.relative < 1e-5 for row in rows)


def test_what_is_lowered_shows_in_every_seed(model) -> None:
    rows = seeds.compared(Emulated(model.encoder, trusted.LADDER["bfloat16"]), model).rows
    assert all(row.relative and row.relative > 1e-4 for row in rows)
    assert all(abs(row.cosine or 2) <= 1 for row in rows)


# ---- pictures


def pixels_of(text: str) -> torch.Tensor:
    import numpy

    return torch.from_numpy(numpy.array(Image.open(io.BytesIO(base64.b64decode(text)))))


def patches(rows: int = 5, columns: int = 7, width: int = 12) -> torch.Tensor:
    return torch.randn(rows * columns, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_the_same_patches_have_the_same_colours() -> None:
    exact = patches()
    found = pictures.pca("cat.jpg", (5, 7), exact, exact.float(), "")
    assert found.golden_png == found.candidate_png
    assert pixels_of(found.golden_png).shape == (5, 7, 3)
    assert max(found.differences) < 1e-6
    assert len(found.differences) == 35
    assert 0 < sum(found.explained) <= 1
    assert list(found.explained) == sorted(found.explained, reverse=True)


def test_a_patch_that_differs_is_seen_where_it_is() -> None:
    exact = patches()
    other = exact.clone()
    other[9] = -other[9]
    found = pictures.pca("cat.jpg", (5, 7), exact, other, "")
    assert found.differences[9] == pytest.approx(2)
    assert sum(found.differences) == pytest.approx(2)
    changed = (pixels_of(found.golden_png) != pixels_of(found.candidate_png)).any(-1)
    assert changed.flatten().nonzero().flatten().tolist() == [9]


def test_colours_of_the_candidate_are_not_stretched_to_its_own_range() -> None:
    exact = patches()
    found = pictures.pca("cat.jpg", (5, 7), exact, exact / 2, "")
    assert found.golden_png != found.candidate_png


def test_axes_do_not_depend_on_the_sign_that_a_library_chooses(monkeypatch) -> None:
    exact = patches()
    before = pictures.pca("cat.jpg", (5, 7), exact, exact, "")
    svd = torch.linalg.svd

    def flipped(x, **settings):
        u, s, v = svd(x, **settings)
        return -u, s, -v

    monkeypatch.setattr(torch.linalg, "svd", flipped)
    assert pictures.pca("cat.jpg", (5, 7), exact, exact, "") == before


def test_patches_that_are_all_alike_are_grey() -> None:
    exact = torch.ones(4, 2, dtype=torch.float64)
    found = pictures.pca("grey", (2, 2), exact, exact, "")
    assert found.explained == (0.0, 0.0, 0.0)
    assert set(pixels_of(found.golden_png).flatten().tolist()) == {128}


def test_the_photograph_is_what_the_recipe_saw() -> None:
    recipe = Recipe.parse(RECIPE.replace("squash 28 bicubic", "shortest_edge 600 bicubic | center_crop 448 560"))
    pixels = kinds.images([kinds.PHOTOS / "cat.jpg"]).pixels(recipe)[0]
    data = base64.b64decode(pictures.photo(pixels, recipe))
    seen = Image.open(io.BytesIO(data))
    assert seen.format == "JPEG"
    assert seen.size == (320, 256)
    assert len(data) <= 20_000
    back = (pixels * 0.25 + 0.5).clamp(0, 1).mean((1, 2)) * 255
    assert pixels_of(base64.b64encode(data).decode()).double().mean((0, 1)).tolist() == pytest.approx(
        back.tolist(), abs=2
    )


def test_every_error_is_counted_once() -> None:
    exact = torch.zeros(2, 4, dtype=torch.float64)
    mine = torch.tensor([[0.0, 1e-3, 2e-3, 5e-7], [1.0, 0.0, 1e-3, -1e-3]])
    found = pictures.histogram("x", exact, mine, exact + 1e-6)
    assert len(found.edges) == len(found.candidate) + 1 == len(found.reference) + 1
    assert sum(found.candidate) + found.zeros == 8
    assert sum(found.reference) == 8
    assert found.zeros == 2
    assert found.edges[0] <= 5e-7
    assert found.edges[-1] > 1.0
    place = next(i for i, edge in enumerate(found.edges) if edge > 1e-3) - 1
    assert found.candidate[place] + found.candidate[place - 1] == 3  # float32's 1e-3 lies beside the edge
    steps = [after / before for before, after in zip(found.edges, found.edges[1:], strict=False)]
    assert steps == pytest.approx([10**0.1] * len(steps))


def test_errors_that_spread_far_share_the_first_bin() -> None:
    exact = torch.zeros(3, dtype=torch.float64)
    found = pictures.histogram("x", exact, torch.tensor([1e-300, 1e-12, 1.0], dtype=torch.float64), exact)
    assert sum(found.candidate) == 3
    assert len(found.candidate) <= pictures.MOST_BINS
    assert found.edges[0] <= 1e-300


def test_no_error_at_all_is_a_histogram_too() -> None:
    exact = torch.ones(3, dtype=torch.float64)
    found = pictures.histogram("x", exact, exact, exact)
    assert (sum(found.candidate), sum(found.reference), found.zeros) == (0, 0, 3)


# ---- what is left behind, said, and sampled


def test_only_what_is_new_or_changed_is_copied(tmp_path) -> None:
    (tmp_path / "kernel_meta").mkdir()
    for name in ("fusion_result.json", "kernel_meta/old.o", "unrelated.txt"):
        (tmp_path / name).write_text("before")
    leavings = Leavings(("fusion_result.json", "kernel_meta*"), tmp_path)
    (tmp_path / "fusion_result.json").write_text("changed since")
    (tmp_path / "kernel_meta" / "deep").mkdir()
    (tmp_path / "kernel_meta" / "deep" / "new.o").write_bytes(b"new")
    (tmp_path / "kernel_meta_77").mkdir()
    (tmp_path / "kernel_meta_77" / "new.json").write_text("{}")
    (tmp_path / "unrelated.txt").write_text("changed since")
    (tmp_path / "kernel_meta" / "link").symlink_to(tmp_path / "unrelated.txt")
    log = Log()
    assert leavings.found(log) == {
        "stack/fusion_result.json": b"changed since",
        "stack/kernel_meta/deep/new.o": b"new",
        "stack/kernel_meta_77/new.json": b"{}",
    }
    assert log.notes == []
    assert (tmp_path / "fusion_result.json").exists()  # copied, not moved


def test_what_is_too_large_stays_and_is_named(tmp_path) -> None:
    leavings = Leavings(("kernel_meta",), tmp_path)
    (tmp_path / "kernel_meta").mkdir()
    with (tmp_path / "kernel_meta" / "large.o").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    (tmp_path / "kernel_meta" / "small.o").write_bytes(b"1")
    log = Log()
    assert leavings.found(log) == {"stack/kernel_meta/small.o": b"1"}
    assert "kernel_meta/large.o" in log.notes[0]


def test_which_files_a_device_leaves_stands_with_the_device() -> None:
    simulated.start()
    try:
        assert "fusion_result.json" in resolve("npu").leavings()
    finally:
        simulated.stop()
    assert resolve("cpu").leavings() == ()


def test_the_log_tells_when_something_was_said() -> None:
    now, heard = iter([0.0, 1.5, 2.0, 3.25, 4.0, 4.5]), []
    log = Log(heard.append, lambda: next(now))
    log("one\ntwo")
    with log.part("a"):
        pass
    log.note("three")
    log.note("three")
    assert log.text("head").splitlines() == [
        "head",
        "     1.50 s  one",
        "     1.50 s  two",
        "     4.00 s  note: three",
    ]
    assert log.seconds == {"a": 1.25}
    assert log.notes == ["three"]
    assert heard == ["one\ntwo", "note: three"]


def test_an_attempt_that_raises_is_noted() -> None:
    log = Log()
    assert log.attempt("a", "a thing", lambda: 1) == 1
    assert log.attempt("a", "a thing", lambda: 1 // 0) is None
    assert log.notes == ["a thing fell out: ZeroDivisionError: integer division or modulo by zero"]


def test_samples_stand_in_a_table() -> None:
    bench = report_records.example().bench
    lines = samples.table(bench).splitlines()
    assert lines[0] == ",".join(samples.HEADER)
    measured = sum(len(point.samples_ms) for point in (*bench.points, *bench.baseline.points))
    assert len(lines) == 1 + measured
    assert all(line.split(",")[1] == "npu:0 SIMULATED" for line in lines[1:] if line.startswith("candidate"))
    rounds = Counter(line.split(",")[5] for line in lines[1:] if line.startswith("candidate,") and ",1," in line)
    assert set(rounds) >= {"1", "2"}


# ---- how fast

PLACE = speed.Place(
    device=None,  # type: ignore[arg-type]  # nothing is run
    runtime="eager",
    version=None,
    dtype="float32",
    prepare_s=1.0,
    first_s=2.0,
    image_s=0.1,
    cpu_s=0.1,
)


def at(image_s: float, device: str = "cpu", **changes) -> speed.Place:
    return dataclasses.replace(PLACE, device=resolve(device), image_s=image_s, cpu_s=image_s, **changes)


def test_as_many_batch_sizes_as_there_is_time_for() -> None:
    settings = speed.Settings(seconds=1.0, budget_s=60)
    assert tuple(speed.affordable(at(0.001), settings)) == (1, 2, 4, 8)
    assert tuple(speed.affordable(at(1.0), settings)) == (1, 2)
    assert tuple(speed.affordable(at(1.0, runtime="openvino"), settings)) == (1,)  # the baseline costs as much
    assert tuple(speed.affordable(at(1000.0), settings)) == (1,)


def test_eager_float32_on_the_cpu_is_its_own_baseline() -> None:
    assert at(1.0).baseline is None
    assert at(1.0, runtime="openvino").baseline == "cpu"
    assert at(1.0, dtype="bfloat16").baseline == "cpu"


def test_a_measurement_that_raises_is_noted_and_recorded(model, monkeypatch) -> None:
    def raising(*_, **settings):
        assert settings["baseline"] == "cpu"
        raise RuntimeError("the driver is gone\nand more")

    monkeypatch.setattr(speed, "bench", raising)
    log = Log()
    record = model.record.run_as("float32", "openvino")
    settings = speed.Settings(seconds=1.0, budget_s=60, load_s=0.5)
    found = speed.measured(model, record, at(1.0, runtime="openvino"), settings, log)
    assert [point.outcome for point in found.points] == ["raised"]
    assert found.points[0].because == "RuntimeError: the driver is gone"
    assert (found.start.load_s, found.start.prepare_s, found.start.first_run_ms) == (0.5, 1.0, 2000.0)
    assert log.notes[0].startswith("batch size 2, 4, 8 was not measured")
    assert log.notes[1] == "nothing was measured: RuntimeError: the driver is gone"


def test_the_start_is_that_of_the_first_runner_and_not_of_one_that_is_warm(model, monkeypatch) -> None:
    warm = report_records.cpu_example().bench
    monkeypatch.setattr(speed, "bench", lambda *_, **__: warm)
    place, settings = at(0.001, runtime="openvino", cached=False), speed.Settings(load_s=0.5)
    found = speed.measured(model, model.record, place, settings, Log())
    start = found.start
    assert (start.load_s, start.prepare_s, start.first_run_ms, start.cached) == (0.5, 1.0, 2000.0, False)
    assert dataclasses.replace(found, start=warm.start) == warm


# ---- where it ran


def looked(name: str, *, offline: bool) -> DoctorRecord:
    assert offline  # a card asks no network
    findings = (
        Finding(name="cpu.threads", severity="note", seen="2 threads of 4 cores"),
        Finding(name="torch.version", severity="fine", seen="2.13"),
    )
    return DoctorRecord(findings=findings, facts={}, started_at="", version="0")


@pytest.fixture
def doctor(monkeypatch) -> None:
    monkeypatch.setattr("snellen.cards.environment.look", looked)


@pytest.mark.usefixtures("doctor")
def test_the_environment_is_read_from_the_machine() -> None:
    log = Log()
    found = environment(resolve("cpu"), log)
    assert found.packages["torch"]
    assert found.device["name"] == "cpu"
    assert found.devices[0].startswith("cpu ")
    assert len(found.devices) == 1
    assert [finding["name"] for finding in found.findings] == ["cpu.threads"]
    assert log.notes == []


def test_a_doctor_that_fails_is_noted(monkeypatch) -> None:
    def fails(*_, **__):
        raise Unavailable("npu-smi hangs")

    monkeypatch.setattr("snellen.cards.environment.look", fails)
    log = Log()
    assert environment(resolve("cpu"), log).findings == ()
    assert log.notes == ["what the doctor finds fell out: npu-smi hangs"]


# ---- a card as a whole

ITEMS = {
    "shape, dtype and device of every output": lambda r: [(o.shape, o.dtype, o.device) for o in r.evidence.outputs],
    "range of values": lambda r: [o.least for o in r.evidence.outputs if o.least is not None],
    "feature maps of single stages": lambda r: r.evidence.maps,
    "device: product, count, memory": lambda r: r.environment.devices and r.environment.device["product"],
    "versions": lambda r: r.environment.packages,
    "preprocessing": lambda r: r.facts.steps and r.facts.mean and r.facts.interpolation,
    "input size": lambda r: r.facts.input_size,
    "parameters": lambda r: r.facts.parameters,
    "size of the weights": lambda r: r.facts.weights_bytes,
    "max abs, mean abs, relative, cosine, RMSE": lambda r: [
        o for o in r.trial.outputs if None not in (o.single.max_abs, o.single.mean_abs, o.single.cosine, o.single.rmse)
    ],
    "mean, median, trimmed relative": lambda r: [
        o for o in r.trial.outputs if None not in (o.single.mean_relative, o.single.trimmed_relative)
    ],
    "mean abs difference over mean abs reference": lambda r: [
        o for o in r.trial.outputs if o.single.mean_ratio is not None
    ],
    "five seeds": lambda r: {row.seed for row in r.seeds} == {42, 123, 256, 789, 1024},
    "a rule and its outcome": lambda r: r.trial.verdict,
    "the rules of the five reports": lambda r: len(r.trial.verdicts) >= 5,
    "latency by batch": lambda r: [p for p in r.bench.points if p.latency],
    "mean, min, max, p50": lambda r: [p.latency.p50_ms for p in r.bench.points if p.latency],
    "images a second": lambda r: [p.images_per_s for p in r.bench.points if p.images_per_s],
    "single image": lambda r: r.bench.points[0].batch == 1,
    "CPU and speed-up": lambda r: r.bench.baseline and r.bench.baseline.speedup,
    "first run apart": lambda r: r.bench.start.first_run_ms,
    "memory": lambda r: [p.memory for p in r.bench.points],
    "the command": lambda r: r.command.startswith("snellen card"),
    "a log and raw samples": lambda r: {"log.txt", "samples.csv"} <= {file.name for file in r.files},
}
"""What the five hand-written reports show, and where a record has it."""


@pytest.fixture(scope="module")
def on_npu(model, golden, tmp_path_factory):
    """Make one card on a simulated NPU that lowers products to bfloat16."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("work"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snellen.cards.environment.look", looked)
        simulated.start(simulated.Settings(arithmetic="bfloat16"))
        try:
            return card(
                model,
                device="npu",
                shown=Shown(golden=golden),
                settings=FEW,
                progress=lambda text: text.startswith("verdict") or Path("fusion_result.json").write_text(text),
            )
        finally:
            simulated.stop()
            os.chdir(before)


@pytest.mark.parametrize("item", ITEMS)
def test_a_card_has_what_the_five_reports_have(on_npu, item) -> None:
    assert ITEMS[item](on_npu.record)


def test_a_verdict_that_fails_gives_a_card(on_npu) -> None:
    verdict = on_npu.record.trial.verdict
    assert verdict.outcome == "fail"
    assert verdict.exit_code == 1
    assert on_npu.record.bench.points[0].outcome == "measured"


def test_what_is_read_back_is_what_was_written(on_npu) -> None:
    document = json.loads(pages(on_npu.record)["report.json"])
    assert next(iter(document)) == "SIMULATED"
    assert read_report(document) == on_npu.record


def test_files_are_named_with_size_and_digest(on_npu) -> None:
    import hashlib

    listed = {file.name: file for file in on_npu.record.files}
    assert set(listed) == set(on_npu.files) == {"log.txt", "samples.csv", "stack/fusion_result.json"}
    for name, data in on_npu.files.items():
        assert (listed[name].bytes, listed[name].sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert on_npu.files["log.txt"].decode().startswith("SIMULATED")
    assert "candidate: eager, float32 on npu:0" in on_npu.files["log.txt"].decode()


def test_a_card_does_not_contradict_itself(on_npu, tmp_path) -> None:
    from snellen.report.check import check_file, contradictions

    publish(tmp_path / "card", {**pages(on_npu.record), **on_npu.files})
    for name in ("report.json", "README.md", "README.zh-CN.md"):
        found = check_file(tmp_path / "card" / name)
        assert found.contradictions == (), name
        assert found.looked
    document = json.loads((tmp_path / "card" / "report.json").read_text())
    document["facts"]["parameters"] *= 4
    assert contradictions(document, tmp_path / "card")


def test_a_card_says_on_what_it_was_judged(model, monkeypatch) -> None:
    """On the CPU's default runtime; nothing is measured, and the search for a faster setup raises."""
    monkeypatch.setattr("snellen.cards.environment.look", looked)

    def raising(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(speed, "bench", raising)
    monkeypatch.setattr("snellen.cards.card.search", raising)
    few = dataclasses.replace(kinds.photographs(), paths=kinds.photographs().paths[:1], left_out=7)
    made = card(model, shown=Shown(inputs=few, stages=False), tune=True, settings=FEW)
    record = made.record
    assert record.trial.verdict.outcome in ("pass", "limited")
    assert record.model["runtime"] == record.bench.setup.runtime == "openvino"
    assert record.tune is None
    assert record.bench.start.cached is not None
    assert shlex.join(("--recipe", RECIPE)) in record.command
    assert [note.partition(":")[0] for note in record.notes] == [
        "no maps of single stages",
        "judged on 1 of 8 photographs; the others were left out",
        "nothing was measured",
        "a faster setup fell out",
    ]
    assert len(record.pca) == 1
    assert read_report(json.loads(json.dumps(record.to_dict()))) == record


def test_random_inputs_have_no_pictures(model, golden) -> None:
    log = Log()
    random_ = compute(model, kinds.seeded([1, 2]), noises("float32"), log)
    one = tried.Tried(model, resolve("cpu"), "eager", "float32", log)
    assert one._pca(random_, dict(random_.single)) == ()
    assert "random" in log.notes[0]
    spoilt = {"patches": golden.single["patches"].clone()}
    spoilt["patches"][0, 0, 0] = float("nan")
    assert one._pca(golden, spoilt) == ()
    assert "not finite" in log.notes[1]
    assert len(one._pca(golden, dict(golden.single))) == 2


def test_what_does_not_run_at_all_has_no_card(model, monkeypatch) -> None:
    monkeypatch.setattr("snellen.cards.environment.look", looked)
    monkeypatch.setattr("snellen.runtimes.eager.Eager.run", lambda *_: 1 // 0)
    with pytest.raises(CandidateError, match="in its first run"):
        card(model, runtime="eager", settings=FEW)


def test_what_no_verdict_can_be_given_on_is_refused(model) -> None:
    with pytest.raises(UsageError, match="a card in int8"):
        card(model, dtype="int8")
    with pytest.raises(UnknownName, match="runtime"):
        card(model, runtime="steam")
    with pytest.raises(UsageError, match="loaded in bfloat16"):
        card(snellen.load(model.record.origin.path, recipe=RECIPE, dtype="bfloat16"))


# ---- pages


def test_pages_are_renderings_in_the_languages_asked_for() -> None:
    record = report_records.example()
    assert list(pages(record)) == ["report.json", "README.md", "README.zh-CN.md", "index.html"]
    assert list(pages(record, "zh")) == ["report.json", "README.zh-CN.md", "index.html"]
    assert list(pages(record, "en")) == ["report.json", "README.md", "index.html"]
    assert CHOICES == ("en", "zh", "both")
    with pytest.raises(UnknownName):
        pages(record, "la")
    assert read_report(json.loads(pages(record)["report.json"])) == record


def test_the_files_of_a_card_are_these() -> None:
    assert {*pages(report_records.example()), "log.txt", "samples.csv"} == set(FILES)


def test_a_device_says_nothing_of_its_leavings_unless_it_is_told() -> None:
    assert Device.leavings(resolve("cpu")) == ()
