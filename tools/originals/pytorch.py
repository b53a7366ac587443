"""Compare snellen with the original PyTorch code: shrunken and full-size, in both directions."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

import snellen
from originals import ours, theirs
from originals.result import Claim, Differences, Row
from originals.shrunken import Case, Size
from originals.theirs import Their
from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Plan, plan
from snellen.encoders.build import Encoder, build
from snellen.encoders.config import EncoderConfig
from snellen.errors import SnellenError
from snellen.zoo import ROWS, Named, find
from snellen.zoo.conventions import ORIGINAL, config_for

# The full-size encoders of each repository: name, input sizes, whether the way back is tried too.
FULL: dict[str, tuple[tuple[str, tuple[Size, ...], bool], ...]] = {
    "dinov2": (
        ("dinov2_vits14", ((518, 518), (224, 224), (154, 280)), True),
        ("dinov2_vits14_reg", ((518, 518), (224, 224), (154, 280)), False),
    ),
    "dinov3": (
        ("dinov3_vits16", ((256, 256), (160, 288)), True),
        ("dinov3_convnext_tiny", ((224, 224), (160, 288)), True),
    ),
    "aim": (("aimv2-large-patch14-224", ((224, 224),), True),),
}
OUT, BACK = "ours -> theirs", "theirs -> ours"
FLOAT32_PERIODS = 5e-7  # how far float64 results may lie apart where their periods are exact to float32, and ours exact


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same encoder on both sides, and what a row says of it."""

    repo: str
    family: str
    kind: str
    direction: str
    ours: Encoder
    theirs: nn.Module
    batch: int = 2
    double_limit: float = Row.double_limit

    def rows(self, sizes: tuple[Size, ...]) -> Iterator[Row]:
        """Compare at every size; both end in float64, so the order of dtypes matters."""
        single = {size: self._difference(size, torch.float32) for size in sizes}
        for size in sizes:
            yield Row(
                family=self.family,
                kind=self.kind,
                direction=self.direction,
                size=size,
                loads=True,
                single=single[size],
                double=self._difference(size, torch.float64),
                double_limit=self.double_limit,
            )

    def _difference(self, size: Size, dtype: torch.dtype) -> Differences:
        mine = ours.run(self.ours, size, dtype, self.batch)
        return ours.differences(mine, theirs.run(self.repo, self.theirs, size, dtype, self.batch))


def shrunken(case: Case, folder: Path) -> Iterator[Row]:
    """Write a shrunken encoder, load it with their loader, compare."""
    encoder = ours.drawn(case)
    path = ours.write(case, encoder, folder)
    try:
        model = Their(case.repo, case.like, case.config).load(path, folder / "hub")
    except RuntimeError as error:  # what load_state_dict raises
        yield _refused(case.family, case.kind, OUT, error)
        return
    finally:
        path.unlink()
    pair = Pair(repo=case.repo, family=case.family, kind=case.kind, direction=OUT, ours=encoder, theirs=model)
    yield from pair.rows(case.sizes)


def full(repo: str, folder: Path) -> Iterator[Row]:
    """Convert and load the full-size encoders of a repository; build theirs anew and load what they save."""
    for name, sizes, back in FULL[repo]:
        yield from _outward(repo, name, sizes, folder)
        if back:
            yield from _inward(repo, name, sizes[-2:], folder, released=True)
        gc.collect()
    if repo == "dinov3":
        yield from _inward(repo, "dinov3_vits16", ((256, 256),), folder, released=False)


def _outward(repo: str, name: str, sizes: tuple[Size, ...], folder: Path) -> Iterator[Row]:
    family = find(name).variant.family
    dialect = ORIGINAL[family]
    path = folder / {"meta": "model.pth", "apple": "model.safetensors"}[dialect]
    snellen.convert("seed:1", path, dialect=dialect, name=name)
    try:
        model = Their(repo, name).load(path, folder / "hub")
        encoder = snellen.load(name, weights=str(path)).encoder
    except (RuntimeError, SnellenError) as error:
        yield _refused(family, name, OUT, error)
        return
    finally:
        path.unlink()
    pair = Pair(repo=repo, family=family, kind=name, direction=OUT, ours=encoder, theirs=model, batch=1)
    yield from pair.rows(sizes)


def _inward(repo: str, name: str, sizes: tuple[Size, ...], folder: Path, released: bool) -> Iterator[Row]:
    """Build their encoder, give every parameter another value, save it as they do, load it by its path alone.

    ``released``: with the RoPE periods in bfloat16, as in the released files; else as their own code makes them.
    """
    family = find(name).variant.family
    model = Their(repo, name).fresh()
    theirs.redraw(model, seed=2)
    kind = name
    if rope := getattr(model, "rope_embed", None):
        kind += ", periods in bfloat16" if released else ", periods in float32"
        if released:
            rope.periods.copy_(rope.periods.bfloat16())
    path = _save(model, folder)
    try:
        encoder = snellen.load(str(path)).encoder
    except SnellenError as error:
        yield _refused(family, kind, BACK, error)
        return
    finally:
        path.unlink()
    pair = Pair(repo=repo, family=family, kind=kind, direction=BACK, ours=encoder, theirs=model, batch=1)
    yield from (pair if released else replace(pair, double_limit=FLOAT32_PERIODS)).rows(sizes)


def _save(model: nn.Module, folder: Path) -> Path:
    state = model.state_dict()
    if any(key.startswith("preprocessor.") for key in state):
        from safetensors.torch import save_file

        save_file(state, folder / "theirs.safetensors")
        return folder / "theirs.safetensors"
    torch.save(state, folder / "theirs.pth")
    return folder / "theirs.pth"


def _refused(family: str, kind: str, direction: str, error: Exception) -> Row:
    fault = " ".join(str(error).split())[:200]
    return Row(family=family, kind=kind, direction=direction, size=None, loads=False, fault=fault)


def original_plan(named: Named, config: EncoderConfig) -> Plan:
    """Spell out the original dialect of a row."""
    variant = named.variant
    dialect = next(d for d in DIALECTS if (d.family, d.name) == (variant.family, ORIGINAL[variant.family]))
    return plan(dialect, config, extras=variant.extras)


def names_and_shapes(repo: str) -> Iterator[Claim]:
    """Hold the names and shapes that snellen writes against their own, for every row, without memory."""
    families = {"dinov2": ("dinov2",), "dinov3": ("dinov3_vit", "dinov3_convnext"), "aim": ("aimv2",)}[repo]
    for family in families:
        names = [variant.original[-1] for variant in ROWS if variant.family == family]
        wrong = [name for name in names if not _same_shapes(repo, name)]
        yield Claim(
            family=family,
            text="names and shapes of every variant's tensors are those of their own module",
            seen=f"{len(names) - len(wrong)} of {len(names)}" + (f"; not {', '.join(wrong)}" if wrong else ""),
            holds=not wrong,
        )


def _same_shapes(repo: str, name: str) -> bool:
    named = find(name)
    written = original_plan(named, config_for(named.variant, "original")).written()
    state = Their(repo, name).fresh("meta").state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()} == written


# What another library does with the same weights: each must be seen, or the comparison would prove nothing.
OTHERWISE: dict[str, tuple[dict[str, object], ...]] = {
    "dinov2": ({"resize": "bicubic"}, {"resize": "bicubic_antialias"}, {"resize": "bicubic_offset"}, {"eps": 1e-5}),
    "dinov3_vit": ({"rope_rounding": False}, {"eps": 1e-6}, {"mlp": "gelu_tanh"}),
    "dinov3_convnext": ({"eps": 1e-5},),
    "aimv2": ({"eps": 1e-6},),
    "vit": ({"mlp": "gelu"}, {"resize": "bicubic"}, {"resize": "bicubic_antialias"}, {"eps": 1e-5}, {"eps": 1e-12}),
}


def otherwise(case: Case, reference: dict[Size, ours.Outputs]) -> Iterator[Claim]:
    """Run ours with one setting changed against their float64 outputs."""
    state = ours.drawn(case).state_dict()
    for change in OTHERWISE[case.family]:
        changed = replace(case.config, **change)  # type: ignore[arg-type]
        if changed == case.config or ("mlp" in change and case.config.mlp == "swiglu"):  # type: ignore[union-attr]
            continue
        encoder = build(changed, "cpu")
        encoder.load_state_dict(state)
        found = {size: ours.differences(ours.run(encoder, size, torch.float64), reference[size]) for size in case.sizes}
        largest = max(value for parts in found.values() for value in parts.values())
        setting = ", ".join(f"{key} {value}" for key, value in change.items())
        yield Claim(
            family=case.family,
            text=f"{case.kind}: with {setting} the comparison fails",
            seen=f"difference {largest:.1e}",
            holds=largest > Row.double_limit,
        )


def reference(case: Case, folder: Path) -> dict[Size, ours.Outputs]:
    """Return their float64 outputs for a shrunken encoder at every size."""
    path = ours.write(case, ours.drawn(case), folder)
    model = Their(case.repo, case.like, case.config).load(path, folder / "hub")
    path.unlink()
    return {size: theirs.run(case.repo, model, size, torch.float64) for size in case.sizes}
