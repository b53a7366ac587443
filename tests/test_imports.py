"""Importing does nothing and costs little: proven by what is imported, not by the clock."""

from __future__ import annotations

import subprocess
import sys

import pytest

import snellen
from snellen.cli.main import commands

HEAVY = (
    "torch",
    "numpy",
    "PIL",
    "pyarrow",
    "rich",
    "transformers",
    "timm",
    "torchvision",
    "huggingface_hub",
    "safetensors",
    "openvino",
    "nncf",
    "onnx",
    "onnxruntime",
)
HELP = "from snellen.cli.main import main; main({arguments!r})"


def heavy_after(program: str) -> list[str]:
    """Run ``program`` in a fresh interpreter and return the heavy packages it has imported."""
    check = f"{program}\nimport sys\nprint([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return [name.strip("' ") for name in done.stderr.strip().strip("[]").split(",") if name]


@pytest.mark.parametrize(
    "program",
    [
        "import snellen",
        "import snellen; dir(snellen); snellen.__version__",
        "import snellen.errors, snellen.records, snellen.cache",
        "import snellen.runtimes.opening, snellen.runtimes.openvino.session",
        "import snellen.cli.main",
        HELP.format(arguments=["--help"]),
        HELP.format(arguments=["--version"]),
        *(HELP.format(arguments=[name, "--help"]) for name in sorted(commands())),
    ],
)
def test_nothing_heavy_is_imported(program: str) -> None:
    assert heavy_after(program) == []


def test_the_check_can_fail() -> None:
    assert heavy_after("import numpy") == ["numpy"]
    assert "torch" in heavy_after("import snellen.encoders.build")


def test_the_public_names_are_these() -> None:
    assert snellen.__all__ == ["__version__", "bench", "convert", "dense", "find", "inspect", "load", "tune", "verify"]
    assert dir(snellen) == sorted(snellen.__all__)
    assert snellen.find.__module__ == "snellen.zoo"
    with pytest.raises(AttributeError, match="no attribute 'laod'; it has"):
        snellen.laod  # noqa: B018
