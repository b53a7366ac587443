"""``snellen report``: what it renders, what it lists, what it refuses, and that it needs no torch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

import report_records
from snellen.cli.main import commands, main
from snellen.cli.report import Asked
from snellen.report.card_html import html
from snellen.report.card_markdown import markdown
from snellen.report.card_terminal import terminal

BAD = Path(__file__).parent / "bad_cards"


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the folder of a card of an example."""
    monkeypatch.chdir(tmp_path)
    whole = report_records.example(files=())
    (tmp_path / "report.json").write_text(json.dumps(whole.to_dict()))
    (tmp_path / "other.json").write_text(json.dumps(report_records.cpu_example(files=()).to_dict()))
    return tmp_path


def test_what_is_asked_has_a_field_for_each_parameter() -> None:
    assert {parameter.name for parameter in commands()["report"].params} == {
        field.name for field in dataclasses.fields(Asked)
    }


def test_the_options_are_these() -> None:
    flags = [max(p.opts, key=len) for p in commands()["report"].params if isinstance(p, click.Option)]
    assert flags == ["--check", "--format", "--lang", "--compare", "--output", "--json", "--quiet"]


# ---- rendering


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("kind", ["md", "html", "terminal"])
def test_a_rendering_is_that_of_the_card(card, capsys, kind, lang) -> None:
    assert main(["report", "report.json", "--format", kind, "--lang", lang]) == 0
    record = report_records.example(files=())
    expected = {
        "md": lambda: markdown(record, lang),
        "html": lambda: html(record, lang),
        "terminal": lambda: "\n".join(terminal(record, lang, 100)) + "\n",
    }[kind]()
    out, err = capsys.readouterr()
    assert out == expected
    assert err == ""


def test_the_terminal_is_what_is_rendered_for_by_default(card, capsys) -> None:
    assert main(["report", "report.json"]) == 0
    assert capsys.readouterr().out == "\n".join(terminal(report_records.example(files=()), "en", 100)) + "\n"


@pytest.mark.parametrize(("name", "render"), [("a.md", markdown), ("a.html", html)])
def test_the_ending_is_the_format(card, capsys, name, render) -> None:
    assert main(["report", "report.json", "-o", name, "--lang", "zh"]) == 0
    assert Path(name).read_text(encoding="utf-8") == render(report_records.example(files=()), "zh")
    out, err = capsys.readouterr()
    assert out == ""
    assert f"written to {name}" in err


def test_another_card_is_set_beside_it(card, capsys) -> None:
    assert main(["report", "report.json", "--format", "md", "--compare", "other.json"]) == 0
    other = report_records.cpu_example(files=())
    assert capsys.readouterr().out == markdown(report_records.example(files=()), "en", other)


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["report.json", "other.json"], "2 files were named"),
        (["absent.json"], "cannot be read"),
        (["report.json", "-o", "a.pdf"], "ends in .pdf"),
        (["report.json", "--json"], "--json was given without --check"),
        (["report.json", "--check", "--format", "md"], "--check and --format were both given"),
        (["report.json", "--check", "-o", "a.md"], "--check and --output were both given"),
        (["report.json", "--check", "--compare", "other.json"], "--check and --compare were both given"),
        (["report.json", "--lang", "de"], "'de'"),
        ([], "Missing argument"),
    ],
)
def test_what_means_nothing_is_refused(card, capsys, arguments, seen) -> None:
    assert main(["report", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert seen in err
    assert sorted(path.name for path in card.iterdir()) == ["other.json", "report.json"]


def test_a_report_that_is_none_is_refused(card, capsys) -> None:
    whole = json.loads((card / "report.json").read_text())
    del whole["facts"]["grid"]
    (card / "report.json").write_text(json.dumps(whole))
    assert main(["report", "report.json", "--format", "md"]) == 2
    assert "facts.grid is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["report.json", "--format", "md", "--lang", "zh"],
        ["report.json", "--format", "html"],
        ["report.json", "--format", "terminal"],
        ["report.json", "--check"],
    ],
)
def test_neither_torch_nor_numpy_is_needed(card, arguments) -> None:
    program = (
        "import sys\n"
        "from snellen.cli.main import main\n"
        f"code = main(['report', *{arguments!r}])\n"
        "heavy = {'torch', 'numpy', 'PIL', 'openvino', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} imported' if heavy else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=card)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


# ---- check


def test_a_card_without_a_contradiction_passes(card, capsys) -> None:
    (card / "README.md").write_text(markdown(report_records.example(files=()), "en"), encoding="utf-8")
    assert main(["report", "--check", "report.json", "README.md"]) == 0
    out, err = capsys.readouterr()
    assert "report.json: no contradiction; looked at " in out
    assert "README.md: no contradiction; looked at " in out
    assert err == ""


def test_a_folder_is_all_of_its_texts(card, capsys) -> None:
    (card / "README.zh-CN.md").write_text(markdown(report_records.example(files=()), "zh"), encoding="utf-8")
    assert main(["report", "--check", ".", "--quiet"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "report.json",
        "README.zh-CN.md",
    ]


def test_a_contradiction_is_listed_and_is_exit_code_1(card, capsys) -> None:
    assert main(["report", "--check", str(BAD / "clean.md"), str(BAD / "cosine.md")]) == 1
    out, err = capsys.readouterr()
    assert "cosine.md: line 8: cosine: 1.000015; expected: from -1 to 1" in out.splitlines()
    assert "clean.md: no contradiction" in out
    assert err == ""


def test_what_holds_nothing_is_exit_code_3(card, capsys) -> None:
    note = card / "elsewhere" / "note.md"
    note.parent.mkdir()
    note.write_text("# Nothing\n")
    assert main(["report", "--check", str(note)]) == 3
    assert "note.md: nothing in it could be checked" in capsys.readouterr().out
    assert main(["report", "--check", str(note), str(BAD / "cosine.md")]) == 1


def test_quiet_leaves_out_what_was_not_checked(capsys) -> None:
    assert main(["report", "--check", str(BAD / "cosine.md")]) == 1
    assert "not checked" in capsys.readouterr().out
    assert main(["report", "--check", str(BAD / "cosine.md"), "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "not checked" not in out
    assert "line 8" in out


def test_one_document_of_json(capsys) -> None:
    assert main(["report", "--check", str(BAD / "cosine.md"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "snellen.check/1"
    assert document["contradictions"] == [
        {"name": "cosine", "place": "line 8", "seen": "1.000015", "expected": "from -1 to 1"}
    ]
    assert document["looked"]["cosine"] == 3
    assert main(["report", "--check", str(BAD / "cosine.md"), str(BAD / "clean.md"), "--json"]) == 1
    assert [one["file"] for one in json.loads(capsys.readouterr().out)] == ["cosine.md", "clean.md"]
