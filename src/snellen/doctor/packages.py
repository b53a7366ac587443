"""The packages that are installed: is anything missing, too old, or of a generation that does not go with another.

In: ``System``. Out: findings and versions. Read from the metadata of packages; none of them is imported.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator

from snellen.devices.system import System
from snellen.records.doctor import Finding

NAMED = ("torch", "numpy", "openvino", "onnxruntime", "safetensors", "huggingface_hub", "pillow", "pyarrow")
EXTRAS = ("torch_npu", "timm", "transformers", "modelscope", "onnx", "nncf")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*>=\s*([0-9][0-9.]*)\s*$")

NUMPY_2 = (2, 3)
"""The first torch that was built for numpy 2: github.com/pytorch/pytorch/issues/107302."""


def look(system: System) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """Return what is to be said of the packages, and their versions."""
    versions = {name: found for name in (*NAMED, *EXTRAS) if (found := system.version(name)) is not None}
    listed = ", ".join(f"{name} {versions[name]}" for name in ("torch", "openvino", "numpy") if name in versions)
    findings = [*_needed(system), *_generations(versions)]
    if not findings:
        python = f"Python {platform.python_version()}"
        findings = [Finding(name="packages.versions", severity="fine", seen=f"{python}, {listed}")]
    return tuple(findings), versions


def _needed(system: System) -> Iterator[Finding]:
    """Compare what snellen asks for with what is installed; what only an extra asks for is left out."""
    for line in system.requirements("snellen"):
        found = _REQUIREMENT.match(line)
        if found is None or ";" in line:
            continue
        name, least = found.groups()
        there = system.version(name)
        if there is None:
            yield Finding(
                name="packages.missing",
                severity="stop",
                seen=f"{name} is not installed",
                matters=f"snellen needs {name} {least} or later",
                mend=f"pip install '{name}>={least}'",
            )
        elif numbers(there) < numbers(least):
            yield Finding(
                name="packages.old",
                severity="stop",
                seen=f"{name} {there} is older than {least}",
                matters="snellen uses what that version brought",
                mend=f"pip install '{name}>={least}'",
            )


def _generations(versions: dict[str, str]) -> Iterator[Finding]:
    torch, numpy = versions.get("torch"), versions.get("numpy")
    if torch and numpy and numbers(numpy) >= (2,) and numbers(torch) < NUMPY_2:
        yield Finding(
            name="packages.numpy",
            severity="stop",
            seen=f"numpy {numpy} beside torch {torch}",
            matters="torch was built for numpy 1 before its version 2.3, and gives and takes no arrays of numpy 2",
            mend="pip install 'numpy<2'",
        )


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
