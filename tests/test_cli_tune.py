"""``snellen tune``: what it hands over, what goes to stdout, stderr and files, and how it exits."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fakes import RECORD, picture
from snellen.cli.tune import BUDGET, Asked, tune
from snellen.errors import ImageError, UnknownName, UsageError
from snellen.records import Choice
from snellen.records.plan import Layout, Plan, Setup
from snellen.records.timing import Ceiling, Machine
from snellen.records.tuning import Final, Trial, TuneRecord
from snellen.report import tuning as report

DEFAULT = Setup(runtime="openvino")
FAST = Setup(runtime="openvino", dtype="bfloat16", layout=Layout(batch=2, streams=2))
EIGHT = dataclasses.replace(FAST, dtype="int8", calibration="0123456789abcdef")
COMPILED = Setup(runtime="compiled", layout=Layout(batch=4))
HALF = Setup(runtime="openvino", dtype="float16")


def passed(setup: Setup, rate: float, **more) -> Trial:
    made = Trial(setup=setup, outcome="passed", because="patches errs 0.3 times the limit", images_per_s=rate)
    return dataclasses.replace(made, latency_s=1 / rate, memory_bytes=300 << 20, spread=0.04, worst=0.3, **more)


def record(**changes) -> TuneRecord:
    choice = Choice(str(FAST), "verified, and 2.31 times the default's rate (2.20 to 2.40), measured in turns")
    made = TuneRecord(
        model=RECORD.to_dict(),
        goal="throughput",
        device={"name": "cpu", "kind": "cpu", "product": "a processor"},
        machine=Machine(
            product="a processor",
            architecture="x86_64",
            cores=2,
            threads=2,
            flags=("avx2",),
            memory_bytes=None,
            system="Linux",
            versions={"torch": "2"},
        ),
        images=("a.jpg", "b.jpg"),
        operations_per_image=9_200_000_000,
        ceilings=(
            Ceiling(dtype="float32", device="cpu", operations_per_s=195e9, samples_s=(0.1,), side=2048, threads=2),
            Ceiling(dtype="int8", device="cpu", operations_per_s=None, note="no product of 8-bit matrices"),
        ),
        load_before=(0.5, 1.0, 2.0),
        load_after=(2.5, 1.0, 2.0),
        default=DEFAULT,
        trials=(
            passed(DEFAULT, 15.8, ceiling_share=0.97),
            passed(FAST, 36.4, ceiling_share=0.81, steady=False),
            passed(EIGHT, 50.1, may_be_picked=False),
            Trial(setup=COMPILED, outcome="skipped", because="it takes about 60 s, and 9 s are left for trials"),
            Trial(setup=HALF, outcome="not here", because="cpu: no float16"),
        ),
        choice=choice,
        final=Final(
            setup=FAST,
            default_images_per_s=(15.0, 16.0, 15.5),
            images_per_s=(36.0, 35.2, 37.2),
            ratio=2.31,
            least=2.2,
            most=2.4,
        ),
        plan=Plan(
            setup=FAST,
            goal="throughput",
            choice=choice,
            digest="d",
            recipe_hash="r",
            device="cpu",
            machine="processor=a",
            made_at="2026-01-01",
            version="0",
        ),
        notes=("a note",),
        budget_s=180.0,
        used_s=142.2,
        version="0",
    )
    return dataclasses.replace(made, **changes)


def without_plan() -> TuneRecord:
    return record(plan=None, final=None, choice=Choice("none", "no candidate that may be picked passed"))


@pytest.fixture
def searches(monkeypatch) -> SimpleNamespace:
    """Put fakes in the place of the model and the search; what was asked of them is kept."""
    import snellen.model.loading
    import snellen.tuning.tuner

    seen = SimpleNamespace(record=record(), loaded=[], asked=[], error=None)

    def search(model, **settings):
        seen.asked.append((model, settings))
        settings["progress"]("verifying")
        if seen.error:
            raise seen.error
        return seen.record

    monkeypatch.setattr(snellen.tuning.tuner, "tune", search)
    monkeypatch.setattr(
        snellen.model.loading, "load", lambda name, **settings: seen.loaded.append((name, settings)) or "model"
    )
    return seen


def run(*arguments: str) -> int:
    return tune.main(list(arguments), standalone_mode=False)


def test_what_is_asked_has_a_field_for_each_parameter() -> None:
    assert {parameter.name for parameter in tune.params} == {field.name for field in dataclasses.fields(Asked)}


def test_the_default_budget_is_that_of_the_tuner() -> None:
    from snellen.tuning.tuner import BUDGET_S

    assert BUDGET == BUDGET_S


def test_what_was_asked_is_handed_over(searches, tmp_path) -> None:
    images = [picture(tmp_path / f"{name}.png", 9) for name in "ab"]
    given = ("--weights", "seed:1", "--recipe", "r", "--goal", "latency", "--budget", "9", "--int8", "--quiet")
    assert run("name", *given, "--images", str(tmp_path)) == 0
    assert searches.loaded == [("name", {"weights": "seed:1", "recipe": "r"})]
    (model, settings) = searches.asked[0]
    assert model == "model"
    assert {key: settings[key] for key in ("device", "goal", "budget_s", "allow")} == {
        "device": "cpu",
        "goal": "latency",
        "budget_s": 9.0,
        "allow": ("int8",),
    }
    assert settings["images"] == images
    assert settings["began"] > 0
    run("name", "--quiet")
    assert searches.asked[1][1]["allow"] == ()
    assert searches.asked[1][1]["images"] is None


def test_the_table_goes_to_stdout_and_talk_to_stderr(searches, capsys) -> None:
    assert run("name") == 0
    said = capsys.readouterr()
    assert "verifying" in said.err
    rows = [line.split() for line in said.out.splitlines()]
    assert ["*", "openvino,", "bfloat16,", "batch", "2,", "streams", "2", "passed"] in [row[:8] for row in rows]
    assert any(row[:2] == ["d", "openvino,"] for row in rows)
    assert "2.31 times the default's rate" in said.out
    assert "it takes about 60 s" in said.out
    assert "81%" in said.out
    assert "142 s of 180 s" in said.out
    assert "float32 195 GFLOP/s, in products" in said.out
    assert "0.5 before, 2.5 after" in said.out
    assert "1 measured while the rate was still rising" in said.out


def test_nothing_that_passed_is_exit_code_3(searches, capsys) -> None:
    searches.record = without_plan()
    assert run("name") == 3
    assert "no candidate that may be picked passed" in capsys.readouterr().out
    assert run("name", "--json", "--quiet") == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["plan"] is None
    assert "no candidate that may be picked passed" in said.err


def test_json_is_one_document_with_everything(searches, capsys) -> None:
    assert run("name", "--json", "--quiet") == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert said.err == ""
    assert document["schema"] == "snellen.tune/1"
    assert [trial["outcome"] for trial in document["trials"]] == ["passed"] * 3 + ["skipped", "not here"]
    assert document["plan"]["setup"]["layout"] == {"batch": 2, "streams": 2, "threads": None}


def test_a_file_takes_the_place_of_stdout(searches, capsys, tmp_path) -> None:
    path = tmp_path / "tune.json"
    assert run("name", "-o", str(path)) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "2.31 times" in said.err
    assert json.loads(path.read_text()) == json.loads(json.dumps(searches.record.to_dict()))


def test_what_cannot_be_is_refused_before_anything_is_loaded(searches, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.txt"):
        run("name", "-o", str(tmp_path / "tune.txt"))
    with pytest.raises(UnknownName, match="device"):
        run("name", "--device", "abacus")
    with pytest.raises(UsageError, match="holds no images"):
        run("name", "--images", str(tmp_path))
    for budget in ("0", "nan", "-3"):
        with pytest.raises(UsageError, match="budget"):
            run("name", "--budget", budget)
    assert searches.loaded == []


def test_an_image_that_is_none_is_wrong_usage(searches) -> None:
    searches.error = ImageError("no image")
    with pytest.raises(UsageError, match="no image"):
        run("name", "--images", "x.jpg")


@pytest.mark.parametrize("width", [80, 110, 200])
def test_no_line_is_wider_than_asked_for(width) -> None:
    for made in (record(), without_plan()):
        text = report.search(made, width)
        assert max(map(len, text.splitlines())) <= width
        assert "15.8" in text


def test_drawn_weights_are_said() -> None:
    assert "drawn weights" in report.search(record())
    assert "drawn weights" not in report.search(record(model={**RECORD.to_dict(), "origin": {"kind": "hub"}}))


def test_the_report_needs_no_torch() -> None:
    check = (
        "import snellen.report.tuning, snellen.cli.tune, snellen.runtimes.plans, sys; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", f"import torch; {check}"], check=False).returncode == 1
