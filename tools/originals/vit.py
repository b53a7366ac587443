"""Compare snellen with the original JAX code of ViT, by way of files: shrunken and full-size, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import snellen
from originals import jax_client, ours
from originals.jax_client import Answer
from originals.pytorch import BACK, OUT, original_plan, otherwise
from originals.result import Claim, Row
from originals.shrunken import Case, Size
from snellen.encoders.build import Encoder
from snellen.encoders.config import ViTConfig
from snellen.errors import SnellenError
from snellen.model.loading import seeded_config
from snellen.zoo import ROWS, find

FIRST, TUNED = "imagenet21k/ViT-B_16", "imagenet21k+imagenet2012/ViT-B_16-224"
SIZES: tuple[Size, ...] = ((224, 224), (384, 384), (160, 288))


@dataclass(frozen=True)
class Found:
    """Everything the comparison with the JAX code found."""

    rows: list[Row]
    claims: list[Claim]
    versions: dict[str, str]


@dataclass(frozen=True)
class Asked:
    """One job, with our side of it where it exists beforehand."""

    kind: str
    direction: str
    job: dict[str, Any]
    encoder: Encoder | None = None
    case: Case | None = None


def compare(python: str, clone: Path, cases: list[Case], folder: Path, full: bool) -> Found:
    """Do everything there is to do with the JAX code, in one process of it."""
    asked = [*_shrunken(cases, folder), *(_full(folder) if full else ())]
    shapes = {v.original[0]: _shape_job(v.original[0]) for v in ROWS if v.family == "vit" and v.original}
    answers, facts = jax_client.ask(python, clone, [*(a.job for a in asked), *shapes.values()], folder)
    rows = [row for one, answer in zip(asked, answers, strict=False) for row in _rows(one, answer)]
    wrong = [name for name, answer in zip(shapes, answers[len(asked) :], strict=True) if answer.fault]
    claims = [_shape_claim(shapes, wrong), *_facts(facts)]
    for one, answer in zip(asked, answers, strict=False):
        if one.case is not None and answer.outputs:
            doubles = {size: answer.outputs[size, "float64"] for size in one.case.sizes}
            claims += otherwise(one.case, doubles)
    return Found(rows, claims, facts["versions"])


def _shrunken(cases: list[Case], folder: Path) -> Iterator[Asked]:
    for case in cases:
        place = folder / case.kind
        place.mkdir()
        encoder = ours.drawn(case)
        assert isinstance(case.config, ViTConfig)
        job = jax_client.job("run", case.config, path=str(ours.write(case, encoder, place)), sizes=case.sizes)
        yield Asked(case.kind, OUT, job, encoder, case)


def _full(folder: Path) -> Iterator[Asked]:
    for name in (FIRST, TUNED):
        config = _config(name)
        path = folder / f"{name.rpartition('/')[2]}.npz"
        snellen.convert("seed:1", path, dialect="jax", name=name)
        encoder = snellen.load(name, weights=str(path)).encoder
        yield Asked(name, OUT, jax_client.job("run", config, path=str(path), sizes=SIZES, batch=1), encoder)
    job = jax_client.job("fresh", _config(TUNED), path=str(folder / "theirs.npz"), sizes=SIZES, batch=1)
    yield Asked(TUNED, BACK, job)


def _config(name: str) -> ViTConfig:
    config = seeded_config(find(name))
    assert isinstance(config, ViTConfig)
    return config


def _shape_job(name: str) -> dict[str, Any]:
    config = _config(name)
    shapes = original_plan(find(name), config).written()
    return jax_client.job("shapes", config, shapes=shapes)


def _rows(asked: Asked, answer: Answer) -> Iterator[Row]:
    base = {"family": "vit", "kind": asked.kind, "direction": asked.direction}
    encoder, fault = asked.encoder, answer.fault
    if encoder is None and not fault:
        try:
            encoder = snellen.load(asked.job["path"]).encoder
        except SnellenError as error:
            fault = " ".join(str(error).split())[:200]
    if encoder is None or fault:
        yield Row(**base, size=None, loads=False, fault=fault)
        return
    note = "; ".join(f"load_pretrained: {said}" for said in answer.load_pretrained)
    single, double = (_differences(encoder, asked, answer, dtype) for dtype in (torch.float32, torch.float64))
    for size in single:
        yield Row(**base, size=size, loads=not note, fault=note, single=single[size], double=double[size])


def _differences(encoder: Encoder, asked: Asked, answer: Answer, dtype: torch.dtype) -> dict[Size, dict[str, float]]:
    name = str(dtype).removeprefix("torch.")
    batch = asked.job["batch"]
    return {
        size: ours.differences(ours.run(encoder, size, dtype, batch), outputs)
        for (size, kind), outputs in answer.outputs.items()
        if kind == name
    }


def _shape_claim(shapes: dict[str, Any], wrong: list[str]) -> Claim:
    return Claim(
        family="vit",
        text="names and shapes of every variant's tensors are those of their own module",
        seen=f"{len(shapes) - len(wrong)} of {len(shapes)}" + (f"; not {', '.join(wrong)}" if wrong else ""),
        holds=not wrong,
    )


def _facts(facts: dict[str, Any]) -> Iterator[Claim]:
    approximate, eps, lost = facts["gelu_approximate"], facts["layer_norm_eps"], facts["lost_edges"]
    yield Claim(
        family="vit",
        text="flax's gelu, which they call without arguments, is the tanh approximation",
        seen=f"approximate={approximate}",
        holds=approximate is True,
    )
    yield Claim(family="vit", text="flax's LayerNorm, likewise, has eps 1e-6", seen=f"epsilon={eps}", holds=eps == 1e-6)
    yield Claim(
        family="vit",
        text="scipy's zoom gives 0 for the last row and column at a few sizes, by a rounding fault; snellen does not",
        seen="grids " + ", ".join(f"{old} -> {new}" for old, new in lost) if lost else "none up to 64",
        holds=True,
    )
