"""The check of torch_npu's interfaces, against wheels made up here: one has everything, each other lacks one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "check_torch_npu.py"
COMPILED = "torch_npu/_C.cpython-311-x86_64-linux-gnu.so"
CONFIG = """
from enum import IntEnum
__all__ = ["set_option"]
_option_map = {"ACL_PRECISION_MODE": ["allow_fp32_to_fp16", "must_keep_origin_dtype"]}
def set_option(option): ...
class _CubeMathType(IntEnum):
    KEEP_DTYPE = 0
class _Matmul:
    def __setattr__(cls, name, value):
        if name == "allow_hf32": ...
        elif name == "cube_math_type": ...
    def __getattr__(cls, name):
        if name == "allow_hf32": ...
        elif name == "cube_math_type": ...
class _Conv:
    def __setattr__(cls, name, value):
        if name == "allow_hf32": ...
    def __getattr__(cls, name):
        if name == "allow_hf32": ...
"""
NPU = """
import torch_npu
from .utils import synchronize
from .npu_config import *
matmul = npu_config._Matmul()
conv = npu_config._Conv()
CubeMathType = npu_config._CubeMathType
def is_available(): ...
def device_count(): ...
def get_device_name(index): ...
def get_device_properties(index): ...
def mem_get_info(index): ...
if True:
    from .memory import max_memory_allocated
"""
FILES = {
    "torch_npu/__init__.py": "import torch_npu.npu\nfrom torch_npu.version import __version__ as __version__\n",
    "torch_npu/version.py": "__version__ = '2.9.0'\n",
    "torch_npu/npu/__init__.py": NPU,
    "torch_npu/npu/npu_config.py": CONFIG,
    "torch_npu/npu/utils.py": "def synchronize(device=None): ...\n",
    "torch_npu/npu/memory.py": "def max_memory_allocated(device=None): ...\n",
    COMPILED: "\0_npu_getOption\0total_memory\0",
}


def wheel(folder: Path, changed: dict[str, tuple[str, str]] | None = None) -> Path:
    path = folder / "torch_npu-2.9.0-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            old, new = (changed or {}).get(name, ("", ""))
            assert old in content
            archive.writestr(name, content.replace(old, new) if old else content)
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_wheel_with_everything_passes(tmp_path: Path) -> None:
    done = run(wheel(tmp_path))
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("all there\n")
    for used in ("npu.conv.allow_hf32", "npu.conv.allow_hf32 = ...", "npu.synchronize", "npu.max_memory_allocated"):
        assert f"  torch_npu.{used} " in done.stdout
    assert "  option ACL_PRECISION_MODE=must_keep_origin_dtype " in done.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "missing"),
    [
        ("torch_npu/npu/__init__.py", "def mem_get_info", "def mem_info", "torch_npu.npu.mem_get_info "),
        ("torch_npu/npu/__init__.py", "conv = ", "convolution = ", "torch_npu.npu.conv.allow_hf32 "),
        ("torch_npu/npu/utils.py", "def synchronize", "def wait", "torch_npu.npu.synchronize "),
        ("torch_npu/npu/npu_config.py", '["set_option"]', "[]", "torch_npu.npu.set_option "),
        ("torch_npu/npu/npu_config.py", "must_keep_origin_dtype", "keep", "option ACL_PRECISION_MODE=must_keep"),
        ("torch_npu/npu/npu_config.py", "KEEP_DTYPE", "KEEP", "torch_npu.npu.CubeMathType.KEEP_DTYPE "),
        ("torch_npu/version.py", "__version__", "version", "torch_npu.__version__ "),
        (COMPILED, "\0_npu_getOption\0", "\0_npu_setOption\0", "torch_npu._C._npu_getOption "),
        (COMPILED, "total_memory", "total", "torch_npu.npu.get_device_properties().total_memory "),
    ],
)
def test_what_lacks_is_named(tmp_path: Path, file: str, old: str, new: str, missing: str) -> None:
    done = run(wheel(tmp_path, {file: (old, new)}))
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.endswith("MISSING")]
    assert any(line.startswith(f"  {missing}") for line in failed), done.stdout
    assert done.stdout.endswith(" missing\n")


def test_a_switch_that_takes_no_assignment_is_named(tmp_path: Path) -> None:
    setter = 'class _Conv:\n    def __setattr__(cls, name, value):\n        if name == "allow_hf32": ...'
    done = run(wheel(tmp_path, {"torch_npu/npu/npu_config.py": (setter, setter.replace("allow_hf32", "hf32"))}))
    assert done.returncode == 1
    assert any(
        line.split()[-3:] == ["CANNOT", "BE", "SET"] and "conv.allow_hf32" in line for line in done.stdout.split("\n")
    )


def test_the_mark_of_the_stand_in_must_not_exist(tmp_path: Path) -> None:
    imported = ("import torch_npu.npu", "import torch_npu.npu\nsimulated = True")
    done = run(wheel(tmp_path, {"torch_npu/__init__.py": imported}))
    assert done.returncode == 1
    assert "EXISTS" in done.stdout


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("import torch_npu\ntorch_npu.npu.no_such()\n", "torch_npu.npu.no_such"),
        ("import torch\nnpu = torch.npu\nf = lambda: npu.conv.no_such\n", "torch_npu.npu.conv.no_such"),
        ("import torch_npu\ndef f():\n    return getattr(torch_npu.npu, 'no_such', None)\n", "torch_npu.npu.no_such"),
        ("import torch_npu\nprint(torch_npu.npu)\n", "torch_npu.npu"),
        ("import torch_npu\ntorch_npu.npu.set_option({'ACL_OTHER': 'x'})\n", "torch_npu.npu.set_option()"),
        ("NAME = 'torch.npu.no_such'\nimport torch_npu\n", "torch_npu.npu.no_such"),
    ],
)
def test_uses_are_read_from_the_source(tmp_path: Path, source: str, seen: str) -> None:
    (tmp_path / "used.py").write_text(source)
    done = run(wheel(tmp_path), "--source", tmp_path / "used.py")
    assert done.returncode == 1
    assert any(seen in line for line in done.stdout.splitlines() if not line.startswith("torch_npu-"))


def test_what_cannot_be_checked_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("x = 1\n")
    assert run(wheel(tmp_path), "--source", tmp_path / "none.py").returncode == 2
    assert run(tmp_path / "none.py").returncode == 2
    assert run(tmp_path / "no.whl").returncode == 2
    assert run().returncode == 2
