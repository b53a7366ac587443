"""Loading is lean: at no time is much more in memory than the weights in the dtype asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import snellen

# Peak resident memory (VmHWM) of a process of its own, before and after it loads a checkpoint.
PROGRAM = """
import json, sys
import snellen
from snellen.model import loading, model  # what any load imports

def resident():
    with open("/proc/self/status") as status:
        return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in status if line.startswith("Vm")}

keep = loading.fill if sys.argv[3] == "lean" else None
if keep is None:  # the control: gather the whole state dict first, as most loaders do
    loading.fill = lambda encoder, native: _fill(encoder, iter(list(native)))
    from snellen.checkpoints.state import fill as _fill
import tempfile, torch
from snellen.checkpoints.files import open_tensors
with tempfile.NamedTemporaryFile(suffix=".pth") as file:  # reading brings in modules that are no weights
    torch.save({"a": torch.ones(300, 300)}, file.name)
    with open_tensors(file.name) as tensors:
        tensors.read("a")
snellen.load("convnext_tiny.dinov3_lvd1689m", weights="seed:0", dtype=sys.argv[2])
before = resident()
loaded = snellen.load(sys.argv[1], dtype=sys.argv[2])
size = sum(p.numel() * p.element_size() for p in loaded.encoder.parameters())
after = resident()
print(json.dumps({"size": size, "growth": after["VmHWM"] - before["VmRSS"]}))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write ViT-B, 346 MB of float32: with q, k, v apart, and joined as ours are."""
    folder = tmp_path_factory.mktemp("lean")
    name = "facebook/dinov2-base"
    snellen.convert("seed:0", folder / "hub", dialect="transformers", name=name)
    snellen.convert("seed:0", folder / "meta.pth", dialect="meta", name=name)
    return {"safetensors": folder / "hub", "pth": folder / "meta.pth"}


def ratio(path: Path, dtype: str, how: str = "lean") -> float:
    """Return peak growth over the size of the weights."""
    run = [sys.executable, "-c", PROGRAM, str(path), dtype, how]
    measured = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    return measured["growth"] / measured["size"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_at_most_a_fifth_more_than_the_weights(files: dict[str, Path], kind: str, dtype: str) -> None:
    assert ratio(files[kind], dtype) <= 1.2


def test_gathering_everything_first_would_be_seen(files: dict[str, Path]) -> None:
    assert ratio(files["safetensors"], "bfloat16", "gathered") > 1.5
