"""The published values and their checker: what the files say, what is said where things are missing, pass and fail.

No real weights are here, so the checker is tested on an entry made up from drawn weights and a generated picture: it
must pass with the right values and fail with one of them changed.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import snellen
from snellen import zoo
from snellen.recipes import Recipe

ROOT = Path(__file__).parent.parent
CHECKER = ROOT / "tools" / "golden.py"
FILES = sorted((ROOT / "golden").glob("*.json"))
MODEL = "dinov3_vits16"
PICTURE = "made.png"
RECIPE = "stored | scale | squash 32 48 bilinear | mean 0.5 0.5 0.5 | std 0.25 0.25 0.25 | pool cls"


@pytest.fixture(scope="module")
def checker():
    spec = importlib.util.spec_from_file_location("golden_checker", CHECKER)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder of pictures, and the document that states what seed 0 makes of the one in it."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / PICTURE)
    features = snellen.load(MODEL, weights="seed:0", recipe=RECIPE).features(folder / PICTURE)
    tokens, cls = features.tokens.numpy(), features.cls.numpy()
    expected = [
        {"output": "tokens", "shape": [1, 11, 384], "start": [0, 5, 2], "values": tokens[:, 5:8, 2:6].tolist()},
        {"output": "cls", "shape": [1, 384], "start": [0, 0], "values": cls[:, :5].tolist()},
    ]
    entry = {
        "model": MODEL,
        "weights": ["seed:0"],
        "picture": PICTURE,
        "recipe": RECIPE,
        "expected": expected,
        "tolerance": {"absolute": 1e-4, "relative": 1e-4},
        "source": "drawn here",
        "note": "made up",
    }
    return folder, {"schema": "snellen.golden/1", "family": "dinov3_vit", "entries": [entry]}


@pytest.fixture
def run(checker, tmp_path, monkeypatch):
    """Return a function that writes documents and runs the checker on them, off the hub and with nothing cached."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SNELLEN_GOLDEN_PICTURES", raising=False)

    def call(*documents, arguments=()):
        golden = tmp_path / "golden"
        golden.mkdir(exist_ok=True)
        for number, document in enumerate(documents):
            (golden / f"{number}.json").write_text(json.dumps(document))
        return CliRunner().invoke(checker.main, ["--golden", str(golden), *map(str, arguments)])

    return call


# The files


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_follow_the_schema(checker, file):
    document = json.loads(file.read_text())
    assert set(document) == {"schema", "family", "entries"}
    assert document["family"] == file.stem
    entries = checker.read(file.parent)
    assert len([entry for entry in entries if zoo.find(entry.model).variant.family == file.stem]) == len(
        document["entries"]
    )


def entries(checker):
    return checker.read(ROOT / "golden")


def test_every_family_has_values(checker):
    assert {file.stem for file in FILES} == {variant.family for variant in zoo.ROWS}
    assert len(entries(checker)) == 18
    assert sum(len(entry.expected) for entry in entries(checker)) == 32


def test_models_recipes_and_weights_are_known(checker):
    for entry in entries(checker):
        variant = zoo.find(entry.model).variant
        assert entry.picture in checker.SOURCES
        assert entry.source.startswith("https://github.com/")
        recipe = Recipe.parse(entry.recipe)
        assert recipe.text == entry.recipe
        assert recipe.size == (224, 224)
        for weights in entry.weights:
            assert weights in {variant.transformers, *(f"timm/{name}" for name in variant.timm)}


def test_shapes_are_those_that_the_models_give(checker):
    for entry in entries(checker):
        config = zoo.find(entry.model).variant.config
        tokens = config.tokens(224, 224)
        patches = tokens - (config.prefix if hasattr(config, "prefix") else 1)
        wide = {"tokens": [1, tokens, config.width], "patches": [1, patches, config.width], "logits": [1, 1000]}
        for part in entry.expected:
            assert part.shape == wide.get(part.output, [1, config.width]), (entry.model, part.output)


def test_original_dinov3_names_round_the_periods_and_the_hubs_do_not(checker):
    from snellen.zoo.conventions import config_for

    kinds = {}
    for entry in entries(checker):
        named = zoo.find(entry.model)
        if named.variant.family == "dinov3_vit":
            kinds.setdefault(Path(entry.source).name, set()).add(config_for(named.variant, named.library).rope_rounding)
    assert kinds == {"convert_dinov3_vit_to_hf.py": {True}, "test_modeling_dinov3_vit.py": {False}}


# What is missing


def test_an_empty_machine_is_told_what_is_missing_and_nothing_passes(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "SNELLEN_GOLDEN_PICTURES"}
    environment |= {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, CHECKER], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 3, done.stderr
    for words in (
        "weights google/vit-base-patch16-224 (not on this machine)",
        "facebook/dinov3-vits16-pretrain-lvd1689m or timm/vit_small_patch16_dinov3.lvd1689m",
        "picture 000000039769.png",
        "http://images.cocodataset.org/val2017/000000039769.jpg",
        "--picture or SNELLEN_GOLDEN_PICTURES",
        "SNELLEN_MODELS",
        "0 slices compared, 0 failed; 18 of 18 entries not compared",
        "nothing was compared: this is not a pass",
    ):
        assert words in done.stdout
    assert "pass  " not in done.stdout


def test_an_unreachable_hub_is_asked_once_and_said(run, made, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    document = copy.deepcopy(made[1])
    document["entries"][0]["weights"] = ["facebook/dinov3-vits16-pretrain-lvd1689m"]
    result = run(document, document, arguments=["--picture", made[0]])
    assert result.exit_code == 3
    assert result.output.count("http://127.0.0.1:9 cannot be reached") == 1
    assert "picture" not in result.output.partition("Where to get it")[0]


def test_require_makes_missing_things_an_error(run, made):
    assert run(made[1], arguments=["--offline"]).exit_code == 3
    assert run(made[1], arguments=["--offline", "--require"]).exit_code == 1


def test_weights_that_need_more_memory_than_there_is_are_not_loaded(checker, run, made, monkeypatch):
    monkeypatch.setattr(checker, "SPARE", 1e9)
    result = run(made[1], arguments=["--offline", "--picture", made[0]])
    assert result.exit_code == 3
    assert "GiB of memory" in result.output


# Pass and fail


def test_right_values_pass(run, made):
    result = run(made[1], arguments=["--offline", "--picture", made[0], "--require"])
    assert result.exit_code == 0, result.output
    assert result.output.count(f"pass  {MODEL}") == 2
    assert "2 slices compared, 0 failed; 0 of 1 entries not compared" in result.output


def test_the_folder_of_pictures_may_come_from_the_environment(run, made, monkeypatch):
    monkeypatch.setenv("SNELLEN_GOLDEN_PICTURES", str(made[0]))
    assert run(made[1], arguments=["--offline"]).exit_code == 0


@pytest.mark.parametrize("away", [2e-3, -0.5, float("nan")])
def test_one_changed_value_fails(run, made, away):
    document = copy.deepcopy(made[1])
    document["entries"][0]["expected"][0]["values"][0][2][3] += away
    result = run(document, arguments=["--offline", "--picture", made[0]])
    assert result.exit_code == 1
    assert f"FAIL  {MODEL}  tokens[0:1, 5:8, 2:6]" in result.output
    assert "source: drawn here" in result.output
    assert "2 slices compared, 1 failed" in result.output


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "facebook/dinov3-vits16-pretrain-lvd1689m"),  # unrounded periods
        ("recipe", RECIPE.replace("scale | squash 32 48 bilinear", "squash 32 48 bilinear | scale")),
        ("weights", ["seed:1"]),
    ],
)
def test_another_convention_recipe_or_checkpoint_fails(run, made, key, value):
    document = copy.deepcopy(made[1])
    document["entries"][0] |= {key: value, "tolerance": {"absolute": 1e-5, "relative": 0}}
    assert run(document, arguments=["--offline", "--picture", made[0]]).exit_code == 1


def test_another_shape_fails(run, made):
    document = copy.deepcopy(made[1])
    document["entries"][0]["expected"][0]["shape"] = [1, 12, 384]
    result = run(document, arguments=["--offline", "--picture", made[0]])
    assert result.exit_code == 1
    assert "shape [1, 11, 384], expected [1, 12, 384]" in result.output


def test_weights_that_are_there_but_broken_fail(run, made, tmp_path, monkeypatch):
    folder = tmp_path / "models" / "facebook" / "dinov3-vits16-pretrain-lvd1689m"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    monkeypatch.setenv("SNELLEN_MODELS", str(tmp_path / "models"))
    document = copy.deepcopy(made[1])
    document["entries"][0]["weights"] = ["facebook/dinov3-vits16-pretrain-lvd1689m"]
    result = run(document, arguments=["--offline", "--picture", made[0]])
    assert result.exit_code == 1
    assert "FAIL" in result.output
    assert "git-lfs" in result.output


# Wrong usage


@pytest.mark.parametrize(
    "change",
    [
        {"output": "nothing"},
        {"start": [0, 5]},
        {"start": [0, 9, 2]},
        {"start": [0, -1, 2]},
        {"values": []},
        {"values": "none"},
        {"surplus": 1},
    ],
)
def test_a_file_that_is_not_of_the_schema_is_refused(run, made, change):
    document = copy.deepcopy(made[1])
    document["entries"][0]["expected"][0] |= change
    result = run(document, arguments=["--offline", "--picture", made[0]])
    assert result.exit_code == 2
    assert "0.json' is not as expected" in result.output


@pytest.mark.parametrize("arguments", [["--only", "nonesuch"], ["--picture", "nowhere"], ["--golden", "nowhere"]])
def test_wrong_usage(run, made, arguments):
    assert run(made[1], arguments=["--offline", *arguments]).exit_code == 2


def test_a_search_path_that_names_nothing_is_wrong_usage(run, made, monkeypatch):
    monkeypatch.setenv("SNELLEN_MODELS", "nowhere")
    document = copy.deepcopy(made[1])
    document["entries"][0]["weights"] = ["facebook/dinov3-vits16-pretrain-lvd1689m"]
    result = run(document, arguments=["--offline"])
    assert result.exit_code == 2
    assert "SNELLEN_MODELS names 'nowhere'" in result.output
