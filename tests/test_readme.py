"""The READMEs tell the truth: their commands run and print what is printed there, in both languages the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from readme_blocks import ROOT, Block, Step, blocks, demo, difference, folder, run, steps, to_run
from snellen import __version__, zoo
from snellen.checkpoints.dialects import DIALECTS
from snellen.cli.main import commands

NAMES = ("README.md", "README.zh-CN.md")
ENGLISH, CHINESE = TEXTS = [(ROOT / name).read_text(encoding="utf-8") for name in NAMES]
REASONS = ("not run: make", "not run: needs a hub")
BOTH = pytest.mark.parametrize("text", TEXTS, ids=NAMES)


def wrong(text: str, where: Path) -> list[str]:
    """Run everything a README shows; say of each step that prints something else what it is."""
    ran = [(step, difference(step.output, run(kind, step.command, where))) for kind, step in to_run(text)]
    assert ran, "nothing was run"
    return [f"{step.command}: {what}" for step, what in ran if what is not None]


def test_commands_and_programs_print_what_the_readme_says(tmp_path: Path) -> None:
    assert wrong(ENGLISH, folder(tmp_path)) == []  # the Chinese one has the same blocks


def test_make_demo_prints_what_the_readme_says(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(ENGLISH) if block.marker == "make demo"]
    assert difference(block.body, demo(folder(tmp_path))) is None


TRUE = f"snellen, version {__version__}"
SMALL = f"```console\n$ snellen --version\n{TRUE}\n```\n"


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        (SMALL, []),
        (SMALL.replace(TRUE, "snellen 9"), [f"expected 'snellen 9', printed {TRUE!r}"]),
        (SMALL.replace("--version", "--versoin"), ["printed 'Usage: snellen [OPTIONS] COMMAND [ARGS]...'"]),
        (SMALL.replace(f"{TRUE}\n", f"{TRUE}\nand more\n"), ["expected 'and more', printed 'nothing more'"]),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", ["expected '2', printed '1'"]),
    ],
)
def test_a_changed_command_or_output_is_seen(text: str, caught: list[str], tmp_path: Path) -> None:
    found = wrong(text, folder(tmp_path))
    assert len(found) == len(caught)
    assert all(part in message for part, message in zip(caught, found, strict=True))


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a  1.234\n", "a 1.235\n", True),
        ("a 1.234\n", "a 1.237\n", False),
        ("a 1.234\n", "a 1.23\n", False),
        ("a 1\n", "a 2\n", False),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("a\n...\nc\n", "a\nb\nd\n", False),
        ("a\n...\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
    ],
)
def test_what_counts_as_the_same(expected: str, printed: str, same: bool) -> None:
    assert (difference(expected, printed) is None) == same


def test_the_demos_output_would_be_missed() -> None:
    (block,) = [block for block in blocks(ENGLISH) if block.marker == "make demo"]
    assert difference(block.body, block.body.replace("cat.jpg ", "dog.jpg ")) is not None


@BOTH
def test_a_block_that_is_not_run_has_a_known_reason_and_real_commands(text: str) -> None:
    quiet = [block for block in blocks(text) if block.marker is not None and block.marker != "make demo"]
    assert {block.marker for block in quiet} == set(REASONS)
    for block in quiet:
        assert block.kind == "sh"
        for line in block.body.splitlines():
            check_command(line)
    run_or_marked = [block for block in blocks(text) if block.kind in ("console", "sh", "python")]
    assert all(block.kind != "sh" or block in quiet for block in run_or_marked)


def check_command(line: str) -> None:
    """Raise unless a command line names a target of the Makefile, or a command of snellen with options it takes."""
    words = [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=.*", word)]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), line
        return
    program, command, *arguments = words
    assert program == "snellen", line
    commands()[command].make_context(command, arguments)


@pytest.mark.parametrize("line", ["make dmeo", "snellen embed x", "snellen embd x -m y", "rm -r x"])
def test_a_command_that_does_not_exist_is_seen(line: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 (whatever stops the check)
        check_command(line)


@BOTH
def test_make_targets_in_the_text_exist(text: str) -> None:
    targets = re.findall(r"`(make \w+)`", text)
    assert len(targets) >= 4
    for line in targets:
        check_command(line)


def test_both_languages_show_the_same() -> None:
    assert blocks(ENGLISH) == blocks(CHINESE)
    assert shape(ENGLISH) == shape(CHINESE)
    assert shape(ENGLISH)["headings"] == ["#", *["##"] * 11]
    assert len(shape(ENGLISH)["tables"]) == 3


def shape(text: str) -> dict[str, list[object]]:
    """Return what does not depend on the language: levels of headings, sizes of tables and lists, code, links."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    tables = re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE)
    return {
        "headings": re.findall(r"^#+", prose, re.MULTILINE),
        "tables": [[line.count("|") for line in table.splitlines()] for table in tables],
        "items": re.findall(r"^- ", prose, re.MULTILINE),
        "code": sorted(re.findall(r"`[^`\n]+`", prose)),
        "links": sorted(link for link in re.findall(r"\]\((.*?)\)", prose) if not link.startswith("README")),
    }


def test_a_difference_between_the_languages_is_seen() -> None:
    for change in (("| `seed:N` |", "|"), ("## ", "### "), ("`HF_TOKEN`", "`HF_TOKE`"), ("- DINOv3", "DINOv3")):
        assert shape(CHINESE.replace(*change)) != shape(ENGLISH)
    assert blocks(CHINESE.replace("--layers 3,7,11", "--layers 3,7")) != blocks(ENGLISH)


@BOTH
def test_the_table_of_what_is_covered_is_the_zoos(text: str) -> None:
    rows = re.findall(r"^\|.*[(（]`(\w+)`[)）] \| (\d+) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert {family: int(count) for family, count, _, _ in rows} == {
        family: sum(row.family == family for row in zoo.ROWS) for family in {row.family for row in zoo.ROWS}
    }
    for family, _, spelled, held in rows:
        assert spelled.split(", ") == sorted({d.library for d in DIALECTS if d.family == family})
        assert held == "timm, transformers"


@BOTH
def test_links_lead_somewhere(text: str) -> None:
    links = re.findall(r"\]\((.*?)\)", text)
    assert len(links) >= 9
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_steps_and_blocks_are_found() -> None:
    block = Block("console", None, "$ one\n1\n$ two\n$ three\n3\n3\n")
    assert steps(block) == [Step("one", "1\n"), Step("two", ""), Step("three", "3\n3\n")]
    with pytest.raises(AssertionError, match="a fence that is no block"):
        blocks("```console\n$ one\n``` \n")
