"""``snellen card``: what it hands over, what it refuses before anything runs, what it says, and how it exits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

import report_records
from fakes import picture
from small_folder import RECIPE, written
from snellen.cards import speed
from snellen.cards.card import Made
from snellen.cards.pages import CHOICES
from snellen.cli.card import DEFAULTS, LANGS, Asked, read
from snellen.cli.main import commands, main
from snellen.devices import simulated
from snellen.errors import ImageError, Unavailable, UsageError
from snellen.records.doctor import DoctorRecord
from snellen.records.reports import read_report


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cards(place, monkeypatch) -> SimpleNamespace:
    """Put fakes in the place of the model and of what gathers a card; what was asked of them is kept."""
    import snellen.cards.card
    import snellen.model.loading

    seen = SimpleNamespace(record=report_records.cpu_example(), loaded=[], asked=[], error=None)

    def gather(model, **settings):
        seen.asked.append((model, settings))
        settings["progress"]("golden: 8 inputs")
        if seen.error:
            raise seen.error
        return Made(record=seen.record, files={"log.txt": b"said\n"})

    monkeypatch.setattr(snellen.cards.card, "card", gather)
    monkeypatch.setattr(
        snellen.model.loading, "load", lambda name, **settings: seen.loaded.append((name, settings)) or "model"
    )
    return seen


def outcome(record, name: str):
    """Return a report whose verdict was another."""
    verdict = dataclasses.replace(record.trial.verdict, outcome=name, because="so it was")
    return dataclasses.replace(record, trial=dataclasses.replace(record.trial, verdict=verdict))


def test_what_is_asked_has_a_field_for_each_parameter() -> None:
    assert {parameter.name for parameter in commands()["card"].params} == {
        field.name for field in dataclasses.fields(Asked)
    }


def test_the_options_are_these() -> None:
    flags = [max(p.opts, key=len) for p in commands()["card"].params if isinstance(p, click.Option)]
    assert flags == [
        *("--weights", "--recipe", "--device", "--runtime", "--dtype", "--output", "--quiet"),
        *("--images", "--lang", "--tune", "--compare", "--simulate"),
    ]
    assert LANGS == CHOICES
    assert all(
        parameter.default == DEFAULTS.get(parameter.name, parameter.default) for parameter in commands()["card"].params
    )


def test_a_plain_card_takes_the_defaults(cards, capsys, place) -> None:
    assert main(["card", "vit", "-o", "out"]) == 0
    assert cards.loaded == [("vit", {"weights": None, "recipe": None})]
    ((model, settings),) = cards.asked
    assert model == "model"
    assert settings.pop("load_s") >= 0
    settings.pop("progress")
    assert settings.pop("shown").inputs is None
    assert settings == {
        "device": "cpu",
        "runtime": None,
        "dtype": "float32",
        "tune": False,
        "command": "snellen card vit -o out",
    }
    out, err = capsys.readouterr()
    assert out == ""
    assert "golden: 8 inputs" in err
    assert "verdict pass" in err
    assert "index.html" in err
    names = ["README.md", "README.zh-CN.md", "index.html", "log.txt", "report.json"]
    assert sorted(path.name for path in (place / "out").iterdir()) == names
    assert read_report(json.loads((place / "out" / "report.json").read_text())) == cards.record


def test_everything_asked_for_is_handed_over(cards, place) -> None:
    picture(place / "a b.png", 9)
    given = ["--weights", "seed:1", "--recipe", "r", "--runtime", "eager", "--dtype", "bfloat16", "--tune"]
    assert main(["card", "vit", *given, "--images", "a b.png", "--lang", "zh", "-o", "out", "--quiet"]) == 0
    assert cards.loaded == [("vit", {"weights": "seed:1", "recipe": "r"})]
    ((_, settings),) = cards.asked
    assert (settings["runtime"], settings["dtype"], settings["tune"]) == ("eager", "bfloat16", True)
    assert [path.name for path in settings["shown"].inputs.paths] == ["a b.png"]
    assert settings["command"] == (
        "snellen card vit --weights seed:1 --recipe r --runtime eager --dtype bfloat16 --lang zh "
        "--images 'a b.png' --tune -o out"
    )
    assert not (place / "out" / "README.md").exists()


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("limited", 0), ("fail", 1), ("inconclusive", 3)])
def test_the_exit_code_is_that_of_the_verdict(cards, place, capsys, verdict, code) -> None:
    cards.record = outcome(cards.record, verdict)
    assert main(["card", "vit", "-o", "out", "--quiet"]) == code
    assert (place / "out" / "report.json").exists()
    assert ("so it was" in capsys.readouterr().err) == (verdict != "pass")


def test_a_simulated_device_is_said_first_to_everybody(cards, capsys) -> None:
    cards.record = outcome(report_records.example(), "pass")
    assert main(["card", "vit", "-o", "out", "--quiet"]) == 0
    assert capsys.readouterr().err.startswith("SIMULATED: verdict pass")


def test_another_card_is_set_beside(cards, place) -> None:
    other = report_records.example()
    (place / "other").mkdir()
    (place / "other" / "report.json").write_text(json.dumps(other.to_dict()))
    assert read("other") == read("other/report.json") == other
    assert main(["card", "vit", "-o", "out", "--quiet"]) == 0
    alone = (place / "out" / "README.md").read_text()
    assert main(["card", "vit", "-o", "out", "--quiet", "--compare", "other"]) == 0
    beside = (place / "out" / "README.md").read_text()
    assert "npu:0" in beside.replace(alone, "")
    assert len(beside) > len(alone)


def test_what_cannot_be_is_refused_before_anything_is_loaded(cards, place, capsys) -> None:
    (place / "file").write_text("")
    (place / "mine").mkdir()
    (place / "mine" / "thesis.txt").write_text("")
    (place / "broken.json").write_text("{")
    for given, said in (
        (["-o", "file"], "is a file"),
        (["-o", "mine"], "thesis.txt"),
        (["-o", "."], "the folder you are in"),
        (["-o", "out", "--compare", "nothing.json"], "cannot be read"),
        (["-o", "out", "--compare", "broken.json"], "is no JSON"),
        (["-o", "out", "--device", "abacus"], "no device named"),
        (["-o", "out", "--runtime", "steam"], "no runtime named"),
        (["-o", "out", "--simulate"], "cpu is not simulated"),
        (["-o", "out", "--lang", "la"], "'la' is not one of"),
        ([], "Missing option '-o'"),
    ):
        assert main(["card", "vit", *given]) == 2
        assert said in capsys.readouterr().err, given
    assert cards.loaded == []
    assert not (place / "out").exists()
    simulated.stop()


def test_an_image_that_is_none_is_wrong_usage(cards, capsys) -> None:
    cards.error = ImageError("no image")
    assert main(["card", "vit", "-o", "out"]) == 2
    assert "no image" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_after_all_leaves_the_verdict_said(cards, monkeypatch, capsys) -> None:
    from snellen.cards import folder

    def full(*_) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(folder, "publish", full)
    assert main(["card", "vit", "-o", "out", "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "verdict pass" in err
    assert "the disk is full" in err


def test_a_card_from_the_command_line(place, monkeypatch, capsys) -> None:
    """The whole way, for a shrunken encoder on a simulated NPU."""
    empty = DoctorRecord(findings=(), facts={}, started_at="", version="0")
    monkeypatch.setattr("snellen.cards.environment.look", lambda *_, **__: empty)
    few = speed.Settings(batch_sizes=(1,), seconds=0.01)
    monkeypatch.setattr(speed, "Settings", lambda: few)
    written(place / "small")
    given = ["--recipe", RECIPE, "--device", "npu", "--simulate", "-o", "card"]
    try:
        code = main(["card", "./small", *given])
    finally:
        simulated.stop()
    record = read("card")
    assert code == record.trial.verdict.exit_code
    assert record.simulated
    assert record.command.startswith("snellen card ./small --recipe")
    for name in ("README.md", "README.zh-CN.md", "index.html", "log.txt"):
        text = (place / "card" / name).read_text(encoding="utf-8")
        assert "SIMULATED" in text or "simulated" in text or "模拟" in text
    assert "index.html" in capsys.readouterr().err


def test_reading_what_is_no_report_is_wrong_usage(place) -> None:
    (place / "trial.json").write_text(json.dumps({"schema": "snellen.verify/1"}))
    with pytest.raises(UsageError, match="schema"):
        read("trial.json")
