"""Run one case in one direction and say how far the two encoders lie apart, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from parity.cases import Case, Size
from parity.oracles import Stages, draw_everything
from snellen.checkpoints.dialects.rules import Plan, plan
from snellen.checkpoints.recognise import compare as fit
from snellen.checkpoints.seeded import draw
from snellen.encoders.build import Encoder, build
from snellen.encoders.config import ViTConfig

SINGLE = 5e-6
"""How far float32 results may lie apart: a few times what the order of additions alone does (see docs/log.md)."""


@dataclass(frozen=True)
class Distance:
    """The relative Frobenius distance of one stage at one size in one dtype, and how large it may be."""

    stage: str
    size: Size
    dtype: torch.dtype
    value: float
    limit: float


def spelled(case: Case) -> Plan:
    """Spell the case's dialect out for its encoder."""
    classes = isinstance(case.config, ViTConfig) and case.config.classes
    return plan(case.dialect, case.config, prefix=case.dialect.head_prefix if classes else "")


def native_state(case: Case, seed: int) -> dict[str, Tensor]:
    """Draw our encoder's tensors; those the dialect has no place for are zero."""
    p = spelled(case)
    return {
        name: torch.zeros(shape) if name in p.filled else draw(seed, name, shape, case.config)
        for name, shape in p.native.items()
    }


def outward(case: Case) -> tuple[Encoder, torch.nn.Module, Mapping[str, Tensor]]:
    """Draw our weights, write them in the library's dialect, load them there strictly."""
    ours, oracle = build(case.config, "cpu"), case.oracle()
    state = native_state(case, seed=1)
    ours.load_state_dict(state)
    oracle.load(dict(spelled(case).write(state.__getitem__)))
    return ours, oracle, state


def inward(case: Case):
    """Draw the library's weights, read its state dict in its dialect; every tensor must be used or ignored."""
    ours, oracle = build(case.config, "cpu"), case.oracle()
    draw_everything(oracle.model, seed=2)
    foreign = oracle.model.state_dict()
    p = spelled(case)
    found = fit(p, {name: tuple(tensor.shape) for name, tensor in foreign.items()})
    assert found.fits, found
    state = {name: torch.zeros(p.native[name]) for name in p.filled}
    for _, names, values in p.read(foreign.__getitem__):
        state |= dict(zip(names, values, strict=True))
    ours.load_state_dict(state)
    return ours, oracle, state


def distances(case: Case, ours: Encoder, oracle) -> list[Distance]:
    """Compare every stage both sides expose, at every size, in float64 and float32."""
    found = []
    for dtype in (torch.float64, torch.float32):
        ours.to(dtype)
        oracle.model.to(dtype)
        for size in case.sizes:
            pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3)).to(dtype)
            theirs = oracle.run(pixels)
            mine = run(ours, pixels)
            limit = case.double[size] if dtype == torch.float64 else SINGLE
            for stage in theirs:
                value = relative(mine[stage], theirs[stage])
                found.append(Distance(stage, size, dtype, value, limit))
    return found


@torch.inference_mode()
def run(encoder: Encoder, pixels: Tensor) -> Stages:
    """Run ours and return every stage and output."""
    features = encoder(pixels, encoder.stages)
    return {**features.named()}


def relative(a: Tensor, b: Tensor) -> float:
    """Return the relative Frobenius distance of ``a`` from ``b``, in float64; shapes must agree."""
    assert a.shape == b.shape, (a.shape, b.shape)
    return float((a.double() - b.double()).norm() / b.double().norm())
