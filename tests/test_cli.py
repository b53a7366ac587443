"""The face of the command line: options, help, exit codes, and what goes to stdout and to stderr."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace

import click
import numpy as np
import pytest
from safetensors import safe_open

from fakes import FakeModel, picture
from snellen.cli.main import commands, main
from snellen.errors import BadFile, UnknownName

MODEL = ("--model", "--weights", "--recipe")
PLACE = ("--device", "--dtype")
STORE = (
    *("--normalize", "--pool", "--decode", "--layout", "--dense", "--yes"),
    *("--max-errors", "--dedup-report", "--shard", "--engine"),
)
OPTIONS = {
    "models": ("--json",),
    "inspect": ("--as", "--json"),
    "embed": (
        *(*MODEL, *PLACE, "--output", "--json", "--quiet"),
        *("--runtime", "--plan", "--batch-size", "--workers", *STORE),
    ),
    "features": (*MODEL, *PLACE, "--output", "--json", "--quiet", "--layers"),
    "classify": (*MODEL, *PLACE, "--json", "--quiet", "--top"),
    "tune": (
        *("--weights", "--recipe", "--device", "--images", "--goal", "--budget", "--int8"),
        *("--output", "--json", "--quiet"),
    ),
    "bench": (
        *("--weights", "--recipe", "--device", "--runtime", "--dtype", "--output", "--json", "--quiet"),
        *("--batch-size", "--mode", "--seconds", "--baseline", "--images", "--simulate"),
        *("--compare", "--again", "--threshold"),
    ),
    "card": (
        *("--weights", "--recipe", "--device", "--runtime", "--dtype", "--output", "--quiet"),
        *("--images", "--lang", "--tune", "--compare", "--simulate"),
    ),
    "merge": ("--json", "--quiet"),
    "search": ("--model", "--weights", "--device", "--output", "--json", "--quiet", "--top", "--index"),
    "verify-store": (
        *("--model", "--weights", "--device", "--runtime", "--dtype", "--output", "--json", "--quiet", "--sample"),
    ),
    "doctor": ("--device", "--offline", "--json"),
    "report": ("--check", "--format", "--lang", "--compare", "--output", "--json", "--quiet"),
    "export": ("--format", "--weights", "--recipe", "--json", "--quiet"),
    "convert": ("--to", "--as", "--json", "--quiet"),
    "verify": (
        *("--weights", "--recipe", "--device", "--runtime", "--dtype", "--output", "--json", "--quiet"),
        *(
            "--images",
            "--seeds",
            "--rule",
            "--expect",
            "--save-golden",
            "--golden",
            "--from",
            "--stages",
            "--simulate",
            "--strict",
        ),
    ),
}
SHARED = {*MODEL, *PLACE, "--runtime", "--output", "--json", "--quiet"}


def options(command: click.Command) -> tuple[str, ...]:
    return tuple(max(p.opts, key=len) for p in command.params if isinstance(p, click.Option))


def test_the_options_of_every_command_are_these() -> None:
    assert {name: options(command) for name, command in commands().items()} == OPTIONS


@pytest.mark.parametrize("name", OPTIONS)
def test_a_command_has_few_options_of_its_own(name: str) -> None:
    assert len(set(OPTIONS[name]) - SHARED) <= {"embed": 13, "bench": 10, "verify": 10}.get(name, 8)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_help_has_an_example_that_the_command_takes(name: str, capsys) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    examples = [line.strip() for line in text.splitlines() if line.startswith("    snellen ")]
    assert "Example:" in text
    assert examples
    for line in examples:
        program, command, *arguments = shlex.split(line.partition("|")[0])
        assert (program, command) == ("snellen", name)
        commands()[name].make_context(name, arguments)  # raises where the example is out of date


# ---- with a model in place of the real one


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put fakes in the place of what loads, opens, inspects and converts; what was asked of them is in ``calls``."""
    calls: list[tuple] = []

    def load(name, **settings):
        calls.append((name, settings))
        if name == "unknown":
            raise UnknownName("model", "vit_smal", ["vit_small", "vit_base"])
        if name == "fault":
            raise ZeroDivisionError("something")
        if name == "interrupt":
            raise KeyboardInterrupt
        return FakeModel()

    def inspect(path, *, name):
        if not Path(path).exists():
            raise BadFile(f"{path!r} does not exist")
        return SimpleNamespace(
            to_dict=lambda: {"schema": "x", "variant": name, "missing": ["a", "b"], "dtypes": {"bf16": 3}}
        )

    def convert(src, dst, *, dialect, name):
        calls.append((src, dst, dialect, name))
        return SimpleNamespace(to_dict=lambda: {"schema": "x", "dialect": dialect, "notes": []})

    def embedder(asked):
        return load(asked.name, **{name: value for name, value in asdict(asked).items() if name != "name"})

    for room, work in (("loading", load), ("inspection", inspect), ("conversion", convert)):
        fake = ModuleType(f"snellen.model.{room}")
        setattr(fake, work.__name__, work)
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr("snellen.runtimes.opening.embedder", embedder)
    return SimpleNamespace(calls=calls)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images in ``photos``, of which the second is bad."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, red in (("a.png", 3), ("b.png", 0), ("c.png", 30)):
        picture(tmp_path / "photos" / name, red)
    (tmp_path / "photos/b.png").write_bytes(b"<html>")
    return tmp_path


def test_embed_prints_a_table(photos, capsys) -> None:
    assert main(["embed", "photos", "-m", "fake"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == (
        "fake | weights seed:0, drawn at random: these numbers mean nothing | recipe abc | pool cls | "
        "float32 on cpu (eager)"
    )
    assert lines[1].split() == ["image", "size", "embedding", "norm", "status"]
    assert lines[2].split() == ["photos/a.png", "4", "x", "3", "3.000", "6.000", "...", "(2)", "6.708", "done"]
    assert lines[3].split() == ["photos/b.png", "-", "-", "-", "broken"]
    assert lines[4].startswith("photos/c.png")
    assert len(lines) == 5
    assert err.startswith("photos/b.png: ")
    assert err.splitlines()[-1] == "2 embedded, 1 broken"


@pytest.mark.parametrize("ending", [".parquet", ".npz", ".jsonl"])
def test_embed_to_a_file_keeps_stdout_clean(photos, capsys, ending) -> None:
    assert main(["embed", "photos", "-m", "fake", "-o", f"x{ending}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"2 embedded, 1 broken; written to x{ending}" in err
    assert "these numbers mean nothing" in err
    assert Path(f"x{ending}").stat().st_size


def test_embed_json_is_one_document(photos, capsys) -> None:
    main(["embed", "photos", "-m", "fake", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["model"]["variant"] == "fake"
    assert document["counts"] == {"done": 2, "broken": 1}
    assert [row["embedding"] for row in document["inputs"]] == [[3, 6], None, [30, 60]]
    main(["embed", "photos", "-m", "fake", "--json", "-o", "x.npz"])
    document = json.loads(capsys.readouterr().out)
    assert document["output"] == "x.npz"
    assert "inputs" not in document


def test_quiet_still_says_what_fails(photos, capsys) -> None:
    assert main(["embed", "photos", "-m", "fake", "-o", "x.npz", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("photos/b.png: ")
    assert "embedded" not in err
    Path("photos/b.png").unlink()
    assert main(["embed", "photos", "-m", "fake", "-o", "x.npz", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_embed_hands_over_what_was_asked(photos, model) -> None:
    place = ["--weights", "seed:1", "--recipe", "other", "--device", "npu:1", "--dtype", "bfloat16"]
    ways = ["--runtime", "compiled", "--batch-size", "3", "--workers", "1"]
    main(["embed", "photos/a.png", "-m", "fake", *place, *ways])
    main(["embed", "photos/a.png", "-m", "fake", "--plan", "auto"])
    asked = {"weights": "seed:1", "recipe": "other", "revision": None, "device": "npu:1", "dtype": "bfloat16"}
    plain = {"weights": None, "recipe": None, "revision": None, "device": "cpu", "dtype": None}
    assert model.calls == [
        ("fake", {**asked, "runtime": "compiled", "plan": False, "images": 1}),
        ("fake", {**plain, "runtime": "auto", "plan": True, "images": 1}),
    ]


def test_a_list_on_stdin(photos, monkeypatch, capsys) -> None:
    (photos / "list").write_text("photos/c.png\nphotos/a.png\n")
    with (photos / "list").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["embed", "-", "-m", "fake", "--json"]) == 0
    assert [row["embedding"][0] for row in json.loads(capsys.readouterr().out)["inputs"]] == [30, 3]


def test_features(photos, capsys) -> None:
    assert main(["features", "photos/a.png", "photos/c.png", "-m", "fake"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["name", "cls", "registers", "patches", "grid"]
    assert main(["features", "photos/a.png", "-m", "fake", "-o", "x.npz"]) == 0
    assert main(["features", "photos/a.png", "-m", "fake", "-o", "x.safetensors", "--layers", "3,-1,norm"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "written to x.safetensors" in err
    with np.load("x.npz") as arrays:
        assert set(arrays) == {"cls", "registers", "patches", "grid", "image_path", "snellen"}
        assert arrays["patches"].shape == (1, 4, 2)
        assert arrays["image_path"].tolist() == ["photos/a.png"]
    with safe_open("x.safetensors", "pt") as tensors:
        assert set(tensors.keys()) == {"block.3", "block.-1", "block.norm"}
        assert json.loads(tensors.metadata()["snellen"])["variant"] == "fake"
        assert json.loads(tensors.metadata()["snellen.images"]) == ["photos/a.png"]
    assert main(["features", "photos/a.png", "-m", "fake", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shapes"]["cls"] == [1, 2]


def test_classify(photos, capsys) -> None:
    assert main(["classify", "photos/a.png", "gone.png", "photos/a.png", "-m", "fake"]) == 1
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["photos/a.png", "0.7500", "cat"],
        ["photos/a.png", "0.2500", "dog"],
        ["gone.png", "-", "-"],
        ["photos/a.png", "0.7500", "cat"],
        ["photos/a.png", "0.2500", "dog"],
    ]
    assert err == "gone.png: not there\n"
    assert main(["classify", "photos/a.png", "-m", "fake", "--top", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["inputs"] == [{"image_path": "photos/a.png", "labels": [{"label": "cat", "probability": 0.75}]}]


def test_inspect_and_convert(photos, model, capsys) -> None:
    assert main(["inspect", "photos/a.png", "--as", "vit"]) == 0
    assert capsys.readouterr().out == "variant  vit\nmissing  a\n         b\ndtypes   bf16: 3\n"
    assert main(["inspect", "photos/a.png"]) == 1
    assert capsys.readouterr().out.startswith("variant  -\n")
    assert main(["convert", "a.pth", "out", "--to", "jax", "--as", "vit", "--json"]) == 0
    assert model.calls == [("a.pth", "out", "jax", "vit")]
    assert json.loads(capsys.readouterr().out)["dialect"] == "jax"


def test_models(capsys) -> None:
    assert main(["models"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [line.split()[0] for line in table] == ["name", *(row["name"] for row in rows)]
    assert len({len(row) for row in rows}) == 1


# ---- errors

ERRORS = {
    "no command": ([], 2, "Usage: snellen"),
    "unknown command": (["embedd"], 2, "No such command 'embedd'"),
    "unknown option": (["embed", "photos", "--nmae", "x"], 2, "No such option"),
    "no model": (["embed", "photos"], 2, "Missing option '-m' / '--model'"),
    "no source": (["embed", "-m", "fake"], 2, "Missing argument 'SOURCE...'"),
    "misspelt model": (["embed", "photos", "-m", "unknown"], 2, "did you mean vit_small"),
    "unknown ending": (["embed", "photos", "-m", "fake", "-o", "x.csv"], 2, "expected: .parquet or .npz or .jsonl"),
    "unknown feature ending": (["features", "photos/a.png", "-m", "fake", "-o", "x.pt"], 2, ".npz or .safetensors"),
    "no folder": (["embed", "photos", "-m", "fake", "-o", "gone/x.npz"], 2, "next: mkdir -p gone"),
    "no images": (["embed", "*.gif", "-m", "fake"], 2, "matches no file"),
    "batch of none": (["embed", "photos", "-m", "fake", "--batch-size", "0"], 2, "x>=1"),
    "unknown dialect": (["convert", "a", "b", "--to", "keras"], 2, "'keras' is not one of"),
    "no such file": (["inspect", "gone.pth"], 2, "'gone.pth' does not exist"),
    "no classifier": (["classify", "photos/a.png", "-m", "fake", "--top", "101"], 2, "no classifier here"),
    "missing image": (["embed", "gone.png", "-m", "fake"], 1, "gone.png: 'gone.png' does not exist"),
    "a fault of its own": (["embed", "photos", "-m", "fault"], 2, "ZeroDivisionError: something"),
    "interrupted": (["embed", "photos", "-m", "interrupt"], 130, "interrupted"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_a_message_on_stderr_and_an_exit_code(case, photos, capsys) -> None:
    arguments, code, message = ERRORS[case]
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(place, photos, capsys) -> None:
    command = ["embed", "photos", "-m", "fault"]
    assert main(["--debug", *command] if place == "before" else [*command, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_file_called_debug_can_be_named(photos, capsys) -> None:
    picture(photos / "--debug.png", 1)
    (photos / "--debug.png").rename(photos / "--debug")
    assert main(["embed", "-m", "fake", "--", "--debug"]) == 0
    assert "--debug" in capsys.readouterr().out


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("snellen, version 0.")


def test_a_reader_that_leaves_is_no_error() -> None:
    program = "import sys; from snellen.cli.main import main; sys.exit(main(['models']))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
