"""The command blocks of the READMEs: found, run in a folder of their own, compared with the output shown there.

In: a README's text. Out: its blocks; what a command really prints; where the two differ. A block is run unless a
comment right above it says why not:

    ```console              lines that begin with "$ " are run by a shell; what follows each is its output, both streams
    ```python               is run; the ```text block right after it is its output
    <!-- not run: REASON -->   the block below is checked (its commands parse, its targets exist) and not run
    <!-- make demo -->         the block below is what this target prints

``tools/readme.py`` writes the outputs with the same functions.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?:<!-- (?P<marker>[^\n]*) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```\n", re.DOTALL)
NUMBER = re.compile(r"-?\d+\.\d+")
MORE = "..."  # a line that stands for any number of lines


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the comment right above it, its text."""

    kind: str
    marker: str | None
    body: str


@dataclass(frozen=True)
class Step:
    """One command or program and what it prints."""

    command: str
    output: str


def blocks(text: str) -> list[Block]:
    """Return every fenced block of a README."""
    found = [Block(m["kind"], m["marker"], m["body"]) for m in BLOCK.finditer(text)]
    assert len(found) * 2 == len(re.findall("^```", text, re.MULTILINE)), "a fence that is no block"
    return found


def steps(block: Block) -> list[Step]:
    """Split a console block into its commands, each with its output."""
    parts = re.split(r"^\$ (.*)\n", block.body, flags=re.MULTILINE)
    assert not parts[0], f"output before the first command: {parts[0]!r}"
    return [Step(command, output) for command, output in zip(parts[1::2], parts[2::2], strict=True)]


def to_run(text: str) -> Iterator[tuple[str, Step]]:
    """Yield (language, step) for everything that is run, in order; a program's output is the text block after it."""
    found = blocks(text)
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.marker is None and block.kind == "console":
            yield from (("console", step) for step in steps(block))
        elif block.marker is None and block.kind == "python":
            assert after is not None
            assert after.kind == "text", "a program without its output"
            yield "python", Step(block.body, after.body)


def folder(tmp: Path) -> Path:
    """Make a folder to run in: the examples, and the program under its name."""
    shutil.copytree(ROOT / "examples", tmp / "examples")
    (tmp / "bin").mkdir()
    for name, module in (("snellen", " -m snellen"), ("python", "")):
        shim = tmp / "bin" / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
    return tmp


def run(kind: str, command: str, where: Path) -> str:
    """Run a command line, or a Python program, and return what it prints on both streams."""
    arguments = ["bash", "-c", command] if kind == "console" else [sys.executable, "-c", command]
    settings = {**os.environ, "PATH": f"{where / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": "error"}
    if os.environ.get("PYTEST_XDIST_WORKER"):
        settings["OMP_NUM_THREADS"] = "1"
    settings["PYTHONPATH"] = str(ROOT / "src")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(arguments, check=False, cwd=where, env=settings, **streams).stdout.decode()


def difference(expected: str, printed: str) -> str | None:
    """Say where what was printed is not what the README says; None if it is the same.

    Spaces count as one, and a number with decimals may be off by two in its last digit, as another CPU may round it.
    """
    rest = printed.splitlines()
    lines = expected.splitlines()
    for number, line in enumerate(lines):
        if line == MORE:
            after = lines[number + 1 :]
            return difference("\n".join(after), "\n".join(rest[len(rest) - len(after) :] if after else []))
        if not rest or not _same(line, rest[0]):
            return f"expected {line!r}, printed {rest[0] if rest else 'nothing more'!r}"
        rest = rest[1:]
    return f"printed more: {rest[0]!r}" if rest else None


def _same(expected: str, printed: str) -> bool:
    one, two = (" ".join(line.split()) for line in (expected, printed))
    if NUMBER.sub("#", one) != NUMBER.sub("#", two):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(two), strict=True)
    return all(_near(a, b) for a, b in pairs)


def _near(one: str, two: str) -> bool:
    decimals = len(one.partition(".")[2])
    return len(two.partition(".")[2]) == decimals and abs(float(one) - float(two)) <= 2.5 * 10.0**-decimals


def demo(where: Path) -> str:
    """Run what ``make demo`` runs, and return what it prints: each command, then its output."""
    asked = ["make", "--no-print-directory", "-n", "-o", ".venv/.installed-runtime", "demo"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    printed = ""
    for line in (line for line in listed if "demo" in line):
        command = line.replace(".venv/bin/", "")
        output = run("console", command, where)
        printed += output if line.startswith("mkdir") else f"{line}\n{output}"
    return printed
