"""The examples of CONTRIBUTING.md are true: each is run as it stands there, in the module it would be written into."""

from __future__ import annotations

import inspect
import re

import pytest
import torch

from readme_blocks import ROOT, Block, blocks
from snellen.checkpoints.dialects import DIALECTS, ops, rules
from snellen.checkpoints.dialects.rules import Dialect, plan
from snellen.checkpoints.seeded import draw
from snellen.devices import DTYPES, Device, npu
from snellen.encoders.config import ViTConfig
from snellen.errors import DeviceUnavailable
from snellen.zoo import ROWS, dinov3
from snellen.zoo.variant import Variant

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SMALL = ViTConfig(
    patch=14,
    width=16,
    depth=2,
    heads=2,
    hidden=24,
    mlp="swiglu",
    norm="rms",
    grid=2,
    class_token=False,
    patch_norm=True,
    qkv_bias="none",
    bias=False,
)


def example(name: str) -> Block:
    (found,) = [block for block in blocks(TEXT) if block.marker == f"example: {name}"]
    return found


NAMES = {**vars(rules), **vars(ops)}  # what a file of dialects imports


def run(name: str, names: dict[str, object], change: tuple[str, str] = ("", "")) -> dict[str, object]:
    """Run an example with names at hand; the row that it ends with is under ``_``."""
    source = example(name).body.replace(*change)
    last = source.rpartition("\n\n")[2]
    if last.startswith("row("):
        source = source.removesuffix(last) + f"_ = {last}"
    space = dict(names)
    exec(compile(source, f"CONTRIBUTING.md, {name}", "exec"), space)
    return space


def check_row(row: Variant) -> None:
    assert row not in ROWS
    assert row.name == row.original[0]
    (dialect,) = [d for d in DIALECTS if (d.family, d.name) == (row.family, row.parameters[0][0])]
    assert plan(dialect, row.config, extras=row.extras).parameters() == row.parameters[0][1]


def test_the_row_is_an_encoder_with_the_published_count() -> None:
    check_row(run("variant", vars(dinov3))["_"])


def test_a_wrong_row_is_seen() -> None:
    with pytest.raises(AssertionError):
        check_row(run("variant", vars(dinov3), ("hidden=4096", "hidden=4095"))["_"])


def check_dialect(dialect: Dialect) -> None:
    """Spell the dialect out for every row, and take a small encoder there and back."""
    for row in ROWS:
        if row.family == dialect.family:
            written = plan(dialect, row.config).written()
            assert set(dialect.marks) <= set(written)
            assert all(not set(other.marks) <= set(written) for other in DIALECTS)
    spelled = plan(dialect, SMALL)
    native = {name: draw(0, name, shape, SMALL) for name, shape in spelled.native.items()}
    foreign = dict(spelled.write(native.__getitem__))
    assert {key: tuple(tensor.shape) for key, tensor in foreign.items()} == spelled.written()
    back: dict[str, torch.Tensor] = {}
    for _, names, read in spelled.read(foreign.__getitem__):
        back |= zip(names, read, strict=True)
    assert back.keys() == native.keys()
    assert all(torch.equal(back[name], native[name]) for name in native)


def test_the_dialect_reads_what_it_writes() -> None:
    check_dialect(run("dialect", NAMES)["EXAMPLE"])


@pytest.mark.parametrize(
    "change",
    [
        ('        Rule("norm.weight", "norm.weight"),\n', ""),
        ('"layers.{i}.attention.k.weight"', '"layers.{i}.attention.q.weight"'),
        ("Join(2)", "Same()"),
        ('"stem.weight", "layers', '"stem.wait", "layers'),
    ],
)
def test_a_dialect_with_a_fault_is_seen(change: tuple[str, str]) -> None:
    dialect = run("dialect", NAMES, change)["EXAMPLE"]
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        check_dialect(dialect)


def test_the_device_keeps_the_contract() -> None:
    names = run("device", vars(npu))
    device = names["find"](0)
    assert isinstance(device, Device)
    assert device.describe().keys() >= {"name", "kind", "product"}
    assert not inspect.isabstract(names["Abacus"])
    assert set(device.refused()) <= set(DTYPES)
    with pytest.raises(DeviceUnavailable, match="--dtype float32"):
        device.check_dtype("float64")
    with pytest.raises(DeviceUnavailable, match="no abacus:1 on this machine"):
        names["find"](1)


def test_a_device_that_breaks_the_contract_is_seen() -> None:
    with pytest.raises(TypeError, match="abstract"):
        run("device", vars(npu), ("def synchronize", "def synchronise"))["find"](0)


def paths(text: str) -> list[str]:
    """Return the files of the repository that a text names, with the folders and endings that are left out."""
    code = set(re.findall(r"`([\w./]+\.(?:py|md|toml))`", text))
    return sorted(code | set(re.findall(r"`((?:src|tests|tools|docs)/[\w./]*)`", text)))


def test_the_files_it_names_are_there() -> None:
    named = paths(TEXT)
    assert len(named) > 20
    places = ("", "src/snellen/", "src/snellen/zoo/", "src/snellen/checkpoints/", "src/snellen/devices/")
    places = (*places, "src/snellen/checkpoints/dialects/")
    assert [name for name in named if not any((ROOT / place / name).exists() for place in places)] == []
    assert paths("see `src/snellen/gone.py` and `tests/none/`") == ["src/snellen/gone.py", "tests/none/"]
