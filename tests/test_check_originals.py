"""The comparison with the original code needs clones; what can be tested without them is that it says so.

A run that compares nothing must not look like one that passed, and a limit that is exceeded must not either.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent / "tools"
OPTIONS = ("--dinov2", "--dinov3", "--aim", "--vit")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / "check_originals.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_every_repository() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in OPTIONS)


def test_without_clones_it_says_what_is_missing_and_compares_nothing() -> None:
    done = run()
    assert done.returncode == 3
    assert all(f"not given: {option} (a clone of github.com/" in done.stderr for option in OPTIONS)
    assert "nothing was compared" in done.stderr
    assert not done.stdout


def test_a_folder_that_is_no_clone_is_refused(tmp_path: Path) -> None:
    done = run("--dinov2", str(tmp_path))
    assert done.returncode == 1
    assert "there is no dinov2/hub/backbones.py in it" in done.stderr


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch):
    """A comparison that passed."""
    monkeypatch.syspath_prepend(TOOLS)
    from originals.result import Row

    found = {"single": {"patches": 1e-7}, "double": {"patches": 1e-15}, "double_limit": 1e-12}
    return Row(family="dinov2", kind="mlp", direction="ours -> theirs", size=(56, 56), loads=True, **found)


def test_what_is_within_its_limits_passes(row) -> None:
    assert row.passed


@pytest.mark.parametrize(
    "change",
    [
        {"loads": False},
        {"single": {}},
        {"double": {}},
        {"single": {"patches": 1e-7, "cls/pooled": 1e-5}},
        {"double": {"patches": 1e-11}},
        {"double": {"patches": float("nan")}},
    ],
)
def test_what_is_not_does_not(row, change) -> None:
    assert not replace(row, **change).passed
