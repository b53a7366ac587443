"""Promise 1, shrunken: every family, MLP, register count and bias mode, both directions, two sizes, two dtypes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import snellen.encoders.vit as vit_module
from parity.cases import CONV, D2, D3, VIT, Case, cases
from parity.compare import Distance, distances, inward, outward
from snellen.encoders.build import build
from snellen.encoders.config import ConvNeXtConfig
from snellen.encoders.position import rotation

CASES = cases()
IDS = [f"{case.family}-{case.name}-{case.dialect.library}" for case in CASES]


def too_far(found: list[Distance]) -> list[Distance]:
    assert found
    return [distance for distance in found if not distance.value <= distance.limit]


@pytest.mark.parametrize("direction", [outward, inward])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_same_numbers(case: Case, direction) -> None:
    ours, oracle, _ = direction(case)
    found = distances(case, ours, oracle)
    assert not too_far(found)
    depth = sum(case.config.depths) if isinstance(case.config, ConvNeXtConfig) else case.config.depth
    assert len({d.stage for d in found}) >= depth + 1  # every block, and an output


def case_of(family: str, library: str, config=None) -> Case:
    """Return the first case of a family in a library, or the one with a given configuration."""
    return next(c for c in CASES if (c.family, c.dialect.library) == (family, library) and config in (None, c.config))


def suite_sees(case: Case, config=None, change=None) -> list[Distance]:
    """Run the suite's comparison with a faulty encoder; return what it finds too far."""
    ours, oracle, state = outward(case)
    if config is not None:
        ours = build(config, "cpu")
        ours.load_state_dict(state, strict=False)
    if change is not None:
        change(ours)
    return too_far(distances(case, ours, oracle))


def interleaved(x, turn):
    """Rotate neighbouring elements instead of halves."""
    cos, sin = (t[..., : x.shape[-1] // 2].repeat_interleave(2, -1) for t in turn)
    even, odd = x[..., ::2], x[..., 1::2]
    return (x * cos + torch.stack([-odd, even], -1).flatten(-2) * sin).to(x.dtype)


def with_turned_registers(grid, prefix, *rest):
    """Give the prefix tokens the angle of the first patch."""
    return tuple(
        torch.cat([t[prefix : prefix + 1].expand(prefix, -1), t[prefix:]]) for t in rotation(grid, prefix, *rest)
    )


def permute_qkv(encoder) -> None:
    for block in encoder.blocks:
        q, k, v = block.attention.qkv.weight.chunk(3)
        block.attention.qkv.weight.copy_(torch.cat([k, q, v]))


def drop_layer_scale(encoder) -> None:
    for block in encoder.blocks:
        block.scale1.factor.fill_(1)


@pytest.mark.parametrize("library", ["timm", "transformers"])
@pytest.mark.parametrize(
    ("family", "eps"),
    [("dinov2", 1e-5), ("dinov3_vit", 1e-6), ("dinov3_convnext", 1e-5), ("aimv2", 1e-6), ("vit", 1e-5)],
)
def test_the_eps_of_another_family_is_seen(family: str, eps: float, library: str) -> None:
    case = case_of(family, library)
    assert suite_sees(case, config=replace(case.config, eps=eps))


@pytest.mark.parametrize("family", ["dinov2", "dinov3_vit", "vit"])
def test_tanh_gelu_is_seen(family: str) -> None:
    case = case_of(family, "timm")
    assert suite_sees(case, config=replace(case.config, mlp="gelu_tanh"))


def test_interleaved_rotation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vit_module, "rotate", interleaved)
    assert suite_sees(case_of("dinov3_vit", "timm"))


def test_rotated_registers_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vit_module, "rotation", with_turned_registers)
    assert suite_sees(case_of("dinov3_vit", "timm"))


def test_rounded_periods_are_seen() -> None:
    assert suite_sees(case_of("dinov3_vit", "timm"), config=replace(D3, rope_rounding=True))


@pytest.mark.parametrize("family", ["dinov2", "dinov3_vit"])
def test_a_dropped_layer_scale_is_seen(family: str) -> None:
    assert suite_sees(case_of(family, "timm"), change=drop_layer_scale)


@pytest.mark.parametrize("family", ["dinov2", "dinov3_vit", "vit", "aimv2"])
def test_permuted_q_k_v_are_seen(family: str) -> None:
    assert suite_sees(case_of(family, "timm"), change=permute_qkv)


@pytest.mark.parametrize("resize", ["linear_corners", "bicubic", "bicubic_offset"])
@pytest.mark.parametrize(("family", "config"), [("dinov2", D2), ("vit", VIT)])
def test_another_interpolation_of_positions_is_seen(family: str, config, resize: str) -> None:
    found = suite_sees(case_of(family, "timm", config), config=replace(config, resize=resize))
    assert found
    native = (config.grid * config.patch,) * 2
    assert native not in {distance.size for distance in found}  # and only where a table is resized


def test_a_convnext_without_its_scale_is_seen() -> None:
    def drop(encoder) -> None:
        encoder.body[0].blocks[0].scale.fill_(1)

    assert suite_sees(case_of("dinov3_convnext", "timm", CONV), change=drop)


def test_the_faultless_encoder_passes_the_same_way() -> None:
    """The controls would prove nothing if the comparison failed for another reason."""
    assert not suite_sees(case_of("dinov2", "timm"), config=D2, change=lambda encoder: None)
