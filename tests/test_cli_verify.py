"""``snellen verify``: what it hands over, what it refuses, what goes to stdout, stderr and files, and how it exits."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import click
import pytest
import torch

import trial_records
from fakes import picture
from snellen.cli import verdict
from snellen.cli.main import commands, main
from snellen.cli.verify import RUN, Asked
from snellen.errors import ImageError, Unavailable
from snellen.records.trials import read_trial


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with every record in ``<name>.json``."""
    monkeypatch.chdir(tmp_path)
    for name, make in trial_records.ALL.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(make().to_dict(), allow_nan=False))
    return tmp_path


@pytest.fixture
def trials(place, monkeypatch) -> SimpleNamespace:
    """Put fakes in the place of the model, the trial and the golden; what was asked of them is kept."""
    import snellen.model.loading
    import snellen.verification.bundle
    import snellen.verification.golden
    import snellen.verification.trial

    seen = SimpleNamespace(record=trial_records.passing(), loaded=[], run=[], computed=[], saved=[])

    def verify(model, **settings):
        seen.run.append((model, settings))
        settings["progress"]("golden: 4 inputs")
        return seen.record

    monkeypatch.setattr(
        snellen.model.loading, "load", lambda name, **settings: seen.loaded.append((name, settings)) or "model"
    )
    monkeypatch.setattr(snellen.verification.trial, "verify", verify)
    monkeypatch.setattr(
        snellen.verification.golden, "compute", lambda *settings: seen.computed.append(settings) or "made"
    )
    monkeypatch.setattr(snellen.verification.bundle, "save", lambda *settings: seen.saved.append(settings) or "seal")
    monkeypatch.setattr(snellen.verification.bundle, "load", lambda path: f"golden of {path}")
    monkeypatch.setattr(snellen.verification.bundle, "check_belongs", lambda golden, model: None)
    return seen


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# ---- the command


def test_what_is_asked_has_a_field_for_each_parameter() -> None:
    assert {parameter.name for parameter in commands()["verify"].params} == {
        field.name for field in dataclasses.fields(Asked)
    }
    assert set(RUN) < {field.name for field in dataclasses.fields(Asked)}


def test_the_options_are_these() -> None:
    flags = [max(p.opts, key=len) for p in commands()["verify"].params if isinstance(p, click.Option)]
    assert flags == [
        *("--weights", "--recipe", "--device", "--runtime", "--dtype", "--output", "--json", "--quiet"),
        *("--images", "--seeds", "--rule", "--expect", "--save-golden", "--golden", "--from", "--stages"),
        *("--simulate", "--strict"),
    ]


# ---- a trial


def test_a_plain_trial_takes_the_defaults(trials, capsys) -> None:
    assert main(["verify", "vit"]) == 0
    assert trials.loaded == [("vit", {"weights": None, "recipe": None})]
    ((model, settings),) = trials.run
    assert model == "model"
    settings.pop("progress")
    assert settings == {
        "device": "cpu",
        "runtime": "eager",
        "dtype": "float32",
        "inputs": None,
        "golden": None,
        "rule": "calibrated",
        "expect": None,
        "stages": False,
    }
    out, err = capsys.readouterr()
    assert "verdict PASS (rule calibrated)" in lines(out)
    assert err == "golden: 4 inputs\n"
    assert "\x1b" not in out


def test_everything_asked_for_is_handed_over(trials) -> None:
    named = [
        "--weights",
        "seed:1",
        "--recipe",
        "other",
        "--device",
        "npu:1",
        "--runtime",
        "timm",
        "--dtype",
        "bfloat16",
    ]
    assert main(["verify", "vit", *named, "--rule", "abs-1e-2", "--expect", "bfloat16", "--seeds", "42, 7"]) == 0
    assert trials.loaded == [("vit", {"weights": "seed:1", "recipe": "other"})]
    settings = trials.run[0][1]
    assert (settings["device"], settings["runtime"], settings["dtype"]) == ("npu:1", "timm", "bfloat16")
    assert (settings["rule"], settings["expect"]) == ("abs-1e-2", "bfloat16")
    assert (settings["inputs"].kind, settings["inputs"].seeds) == ("random", (42, 7))


def test_images_are_folders_and_files(trials, place) -> None:
    (place / "photos").mkdir()
    for name in ("photos/a.png", "photos/b.png", "c.png"):
        picture(place / name, 3)
    assert main(["verify", "vit", "--images", "photos", "--images", "c.png"]) == 0
    inputs = trials.run[0][1]["inputs"]
    assert inputs.kind == "images"
    assert [str(path) for path in inputs.paths] == ["photos/a.png", "photos/b.png", "c.png"]


def test_a_golden_is_read_or_kept(trials, capsys) -> None:
    assert main(["verify", "vit", "--golden", "a.golden"]) == 0
    assert (trials.run[-1][1]["golden"], trials.run[-1][1]["inputs"]) == ("golden of a.golden", None)
    assert not trials.computed
    assert main(["verify", "vit", "--save-golden", "b.golden", "--seeds", "3"]) == 0
    assert (trials.run[-1][1]["golden"], trials.run[-1][1]["inputs"]) == ("made", None)
    assert trials.computed[0][1].seeds == (3,)
    assert trials.saved == [("b.golden", "made")]
    out, err = capsys.readouterr()
    assert "golden written to b.golden, sha256 seal" in err
    assert "golden computed here, kept in b.golden, sha256 seal" in lines(out)


def test_what_the_golden_took_outside_of_the_trial_is_counted(trials, monkeypatch) -> None:
    from snellen.cli import verify

    clock = iter((100.0, 107.5))
    monkeypatch.setattr(verify.time, "perf_counter", lambda: next(clock))
    trials.record = dataclasses.replace(trial_records.passing(), seconds={"golden": 0.25, "candidate": 1.0})
    assert main(["verify", "vit", "--save-golden", "b.golden", "-o", "x.json", "--quiet"]) == 0
    assert json.loads(Path("x.json").read_text())["seconds"] == {"golden": 7.75, "candidate": 1.0}


def test_a_dry_run_is_one_on_a_simulated_device(trials, monkeypatch, capsys) -> None:
    from snellen import devices
    from snellen.devices import simulated

    started = []
    monkeypatch.setattr(simulated, "start", lambda settings=None: started.append(settings))
    monkeypatch.setattr(simulated, "started", lambda: False)
    monkeypatch.setattr(devices, "resolve", lambda name: SimpleNamespace(simulated=name == "npu"))
    monkeypatch.delenv(simulated.VARIABLE, raising=False)
    trials.record = trial_records.simulated()
    assert main(["verify", "vit", "--simulate", "--device", "npu"]) == 1
    assert started == [None]
    out, err = capsys.readouterr()
    assert out.startswith("SIMULATED: ")
    assert err.startswith("SIMULATED: ")
    assert main(["verify", "vit", "--simulate"]) == 2
    assert "cpu is not simulated" in capsys.readouterr().err
    assert len(trials.run) == 1
    monkeypatch.setenv(simulated.VARIABLE, "npu:arithmetic=hf32,devices=1")
    assert main(["verify", "vit", "--simulate", "--device", "npu"]) == 1
    assert started[2:] == [simulated.Settings(arithmetic="hf32", devices=1)]  # once, and as the variable says
    monkeypatch.setenv(simulated.VARIABLE, "npu:arithmetic=hf23")
    assert main(["verify", "vit", "--simulate", "--device", "npu"]) == 2


EXITS = {
    "passing": (0, 0),
    "limited": (0, 1),
    "failing": (1, 1),
    "nonfinite": (1, 1),
    "inconclusive": (3, 3),
    "unverdicted": (3, 3),
}


@pytest.mark.parametrize("name", EXITS)
def test_exit_codes(name, trials, capsys) -> None:
    trials.record = trial_records.ALL[name]()
    assert main(["verify", "vit"]) == EXITS[name][0]
    assert main(["verify", "vit", "--strict"]) == EXITS[name][1]
    assert ("PASS" in capsys.readouterr().out) == (name == "passing")


# ---- where it goes


def test_json_is_one_document(trials, capsys) -> None:
    trials.record = trial_records.simulated()
    assert main(["verify", "vit", "--json", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert next(iter(json.loads(out))) == "SIMULATED"
    assert read_trial(json.loads(out)) == trials.record
    assert err.startswith("SIMULATED: fail: asked for float32; behaves like hf32")  # quiet, but what is bad is said
    trials.record = trial_records.passing()
    assert main(["verify", "vit", "--json", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_file_takes_the_place_of_stdout(trials, capsys) -> None:
    trials.record = trial_records.failing()
    assert main(["verify", "vit", "-o", "trial.json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "verdict FAIL (rule calibrated)" in lines(err)
    assert err.endswith("written to trial.json\n")
    assert read_trial(json.loads(Path("trial.json").read_text())) == trials.record
    assert main(["verify", "vit", "-o", "trial.xml", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fail: block.03")
    assert len(err.splitlines()) == 1
    assert ElementTree.parse("trial.xml").getroot().attrib["failures"] != "0"
    assert sorted(path.name for path in Path.cwd().glob(".*")) == []


def test_a_verdict_on_a_simulated_device_never_goes_without_its_mark(trials, capsys) -> None:
    trials.record = dataclasses.replace(trial_records.simulated(), verdict=trial_records.passing().verdict)
    assert main(["verify", "vit", "-o", "trial.json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert (out, err.startswith("SIMULATED: pass: every output"), len(err.splitlines())) == ("", True, 1)
    trials.record = trial_records.passing()
    assert main(["verify", "vit", "-o", "trial.json", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("more", [[], ["--quiet"], ["--json"], ["--json", "--quiet"]])
def test_a_disk_that_refuses_after_the_trial_does_not_take_the_verdict_along(more, trials, monkeypatch, capsys) -> None:
    def refuse(record: object, path: Path, *, strict: bool) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(verdict, "_save", refuse)
    for record, word in ((trial_records.failing(), "fail"), (trial_records.passing(), "pass")):
        trials.record = record
        assert main(["verify", "vit", "-o", "trial.json", *more]) == 2
        out, err = capsys.readouterr()
        said = err.partition("error: the disk is full")[0]
        assert f"verdict {word.upper()} (rule calibrated)" in lines(said) if not more else f"{word}: " in said
        assert bool(out) == ("--json" in more)
        assert "written to" not in err


def test_where_nothing_can_be_written_nothing_is_run(trials, capsys) -> None:
    for name, ending in (("-o", "json"), ("--save-golden", "golden")):
        assert main(["verify", "vit", name, f"/proc/x.{ending}"]) == 2  # no file can be made there, even by root
        assert f"'/proc/x.{ending}' cannot be written" in capsys.readouterr().err
        assert main(["verify", "vit", name, f"here.{ending}"]) == 0
        capsys.readouterr()
    assert len(trials.loaded) == 2
    assert sorted(path.name for path in Path.cwd().glob("*here*")) == ["here.json"]  # trying left nothing behind


def test_a_limited_verdict_is_a_failure_in_junit_where_it_is_in_the_exit_code(trials) -> None:
    trials.record = trial_records.limited()
    for strict, failures in (([], "0"), (["--strict"], "1")):
        assert main(["verify", "vit", "-o", "trial.xml", "--quiet", *strict]) == int(failures)
        assert ElementTree.parse("trial.xml").getroot().attrib["failures"] == failures


RAISED = {
    "an image that is none": (
        ImageError("'a.png' is no image", expected="one"),
        "error: 'a.png' is no image\n  expected",
    ),
    "CUDA": (torch.OutOfMemoryError("CUDA out of memory. Tried"), "ran out in a trial on cpu: CUDA out of memory"),
    "another device": (RuntimeError("MPS backend out of memory"), "ran out in a trial on cpu: MPS"),
    "the CPU": (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "ran out in a trial on cpu"),
    "Python": (MemoryError(), "ran out in a trial on cpu: no message"),
}


@pytest.mark.parametrize("name", RAISED)
def test_what_is_no_fault_of_snellen_is_not_called_one(name, trials, monkeypatch, capsys) -> None:
    import snellen.verification.trial

    def raising(*_: object, **__: object) -> None:
        raise RAISED[name][0]

    monkeypatch.setattr(snellen.verification.trial, "verify", raising)
    assert main(["verify", "vit"]) == 2
    err = capsys.readouterr().err
    assert RAISED[name][1] in err
    assert "  next: " in err
    assert "fault in snellen" not in err


def test_what_is_a_fault_of_snellen_is_called_one(trials, monkeypatch, capsys) -> None:
    import snellen.verification.trial

    def raising(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(snellen.verification.trial, "verify", raising)
    assert main(["verify", "vit"]) == 2
    assert "RuntimeError: shapes do not fit\n  this is a fault in snellen" in capsys.readouterr().err


def test_an_image_that_is_missing_is_wrong_usage_and_no_bad_verdict(place, capsys) -> None:
    named = ["vit_small_patch16_224.augreg_in1k", "--weights", "seed:1", "--images", "gone.png"]
    assert main(["verify", *named]) == 2
    assert "'gone.png' does not exist" in capsys.readouterr().err


def test_help_names_the_dtypes_that_are_judged_and_how_the_simulation_is_set(capsys) -> None:
    assert main(["verify", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "--dtype NAME float32, bfloat16, float16. [" in words
    assert "SNELLEN_SIMULATE=npu:" in words


def test_the_outcome_has_a_colour_where_there_is_a_terminal(monkeypatch) -> None:
    shown = []
    monkeypatch.setattr(click, "echo", lambda text, **_: shown.append(text))
    record = trial_records.lowered()
    verdict.show(record, None, as_json=False, quiet=False)
    assert "verdict    \x1b[31m\x1b[1mFAIL\x1b[0m (rule calibrated)" in shown[0]
    assert shown[0].count("\x1b[31m") == 1


# ---- a saved record


@pytest.mark.parametrize("name", ["passing", "limited", "failing", "lowered", "nonfinite", "inconclusive"])
def test_a_saved_record_is_judged_as_it_was(name, place, capsys) -> None:
    record = trial_records.ALL[name]()
    assert record.verdict is not None
    assert main(["verify", "--from", f"{name}.json"]) == record.verdict.exit_code
    out, err = capsys.readouterr()
    assert f"verdict {record.verdict.outcome.upper()} (rule calibrated)" in lines(out)
    assert err == ""


def test_another_rule_judges_the_same_figures(place, capsys) -> None:
    assert main(["verify", "--from", "failing.json", "--rule", "trimmed-1pct"]) == 0  # why the calibrated one exists
    assert "verdict PASS (rule trimmed-1pct)" in lines(capsys.readouterr().out)
    assert main(["verify", "--from", "failing.json", "--rule", "trimmed-1pct", "-o", "again.json"]) == 0
    again = json.loads(Path("again.json").read_text())
    assert (again["verdict"]["outcome"], again["verdict"]["rule"]) == ("pass", "trimmed-1pct")
    assert main(["verify", "--from", "again.json", "--quiet"]) == 0


def test_a_record_is_not_judged_for_another_class_than_it_was_made_for(place, capsys) -> None:
    """Its self-test and its audit are of that class."""
    assert main(["verify", "--from", "lowered.json", "--expect", "hf32"]) == 2
    assert "verify again with --expect hf32" in capsys.readouterr().err
    assert main(["verify", "--from", "lowered.json", "--expect", "float32"]) == 1


def test_a_record_that_concludes_otherwise_now_is_noted(place, capsys) -> None:
    document = json.loads(Path("failing.json").read_text())
    document["verdict"]["outcome"] = "pass"  # whoever writes another outcome into a file changes nothing
    Path("forged.json").write_text(json.dumps(document))
    assert main(["verify", "--from", "forged.json"]) == 1
    out, err = capsys.readouterr()
    assert "verdict FAIL (rule calibrated)" in lines(out)
    assert err == "note: calibrated concluded pass when the record was made, and fail now\n"


def test_a_record_without_a_verdict_gets_none(place, capsys) -> None:
    assert main(["verify", "--from", "unverdicted.json", "--rule", "trimmed-1pct"]) == 3
    out, err = capsys.readouterr()
    assert "verdict NO VERDICT" in lines(out)
    assert "it gets none here" in err


def test_a_saved_record_needs_no_torch(place) -> None:
    program = (
        "import sys; from snellen.cli.main import main\n"
        "code = main(['verify', '--from', 'lowered.json', '-o', 'x.xml', '--quiet'])\n"
        "print(code, [name for name in ('torch', 'numpy', 'PIL', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"


# ---- errors

ERRORS = {
    "nothing named": ([], "no model was named"),
    "a record and a model": (["vit", "--from", "passing.json"], "--from and MODEL were both given"),
    "a record and a device": (["--from", "passing.json", "--device", "cpu"], "--from and --device were both given"),
    "a record and a golden": (["--from", "passing.json", "--save-golden", "a"], "--from and --save-golden were both"),
    "a record and a dry run": (["--from", "passing.json", "--simulate"], "--from and --simulate were both given"),
    "images and seeds": (["vit", "--images", "a", "--seeds", "1"], "--images and --seeds were both given"),
    "a golden and images": (["vit", "--golden", "a", "--images", "b"], "--golden and --images were both given"),
    "a golden and seeds": (["vit", "--golden", "a", "--seeds", "1"], "--golden and --seeds were both given"),
    "two goldens": (["vit", "--golden", "a", "--save-golden", "b"], "--golden and --save-golden were both given"),
    "no such record": (["--from", "gone.json"], "'gone.json' cannot be read: No such file"),
    "a folder": (["--from", "."], "'.' cannot be read: Is a directory"),
    "no JSON": (["--from", "text.json"], "'text.json' is no JSON"),
    "no text": (["--from", "bytes.json"], "'bytes.json' is no JSON"),
    "another document": (["--from", "other.json"], "the schema is 'snellen.embed/1'"),
    "a figure missing": (["--from", "tampered.json"], "outputs[1].golden.cosine is missing"),
    "NaN": (["--from", "nan.json"], "verdict.ratio is nan"),
    "unknown rule": (["--from", "passing.json", "--rule", "calibratd"], "did you mean calibrated?"),
    "unknown class": (["--from", "passing.json", "--expect", "hf23"], "did you mean hf32?"),
    "a class like no other": (
        ["--from", "passing.json", "--expect", "foo"],
        "one of float32, hf32, float16, bfloat16\n",
    ),
    "an empty class": (["--from", "passing.json", "--expect", ""], "named ''"),
    "an empty record": (["--from", ""], "--from was given an empty path"),
    "a model and an empty record": (["vit", "--from", ""], "--from and MODEL were both given"),
    "an empty output": (["vit", "-o", ""], "expected: .json or .xml"),
    "an origin of 5": (["--from", "origin.json"], "model.origin is a number"),
    "an unknown ending": (["vit", "-o", "x.html"], "expected: .json or .xml"),
    "a golden's ending": (["vit", "--save-golden", "x.npz"], "expected: .golden"),
    "seeds of words": (["vit", "--seeds", "one,two"], "the seeds are 'one,two'"),
    "no seeds": (["vit", "--seeds", ""], "the seeds are ''"),
    "a seed below nothing": (["vit", "--seeds", "1,-1"], "the seeds are '1,-1'"),
    "a seed too large": (["vit", "--seeds", "9223372036854775808"], "from 0 to 2**63 - 1"),
    "a seed far too large": (["vit", "--seeds", "9" * 5000], "from 0 to 2**63 - 1"),
    "a seed twice": (["vit", "--seeds", "1,1"], "the seeds are [1, 1]"),
    "no image": (["vit", "--images", "*.gif"], "matches no file"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_does_not_go_together_is_refused(case, trials, capsys) -> None:
    document = trial_records.passing().to_dict()
    del document["outputs"][1]["golden"]["cosine"]
    Path("tampered.json").write_text(json.dumps(document))
    document = trial_records.passing().to_dict()
    document["model"] = {**document["model"], "origin": 5}
    Path("origin.json").write_text(json.dumps(document))
    Path("nan.json").write_text(Path("passing.json").read_text().replace('"ratio": 0.27', '"ratio": NaN'))
    Path("text.json").write_text("verdict: pass")
    Path("bytes.json").write_bytes(b"\xff\xfe{}")
    Path("other.json").write_text('{"schema": "snellen.embed/1"}')
    arguments, message = ERRORS[case]
    assert main(["verify", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
    assert "Traceback" not in err
    assert "  next: " in err
    assert not trials.loaded  # refused before anything is loaded
    assert not trials.run


def test_defaults_that_are_not_named_do_not_stand_in_the_way(place) -> None:
    assert main(["verify", "--from", "passing.json", "--strict", "--json", "--quiet", "--rule", "calibrated"]) == 0
