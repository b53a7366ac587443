"""Encoders: stages by name, sizes, dtypes, maps, and that every parameter matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from parity.cases import AIM, CONV, D2, D3, D3_GLU, VIT
from snellen.checkpoints.dialects.rules import native_shapes
from snellen.checkpoints.seeded import draw
from snellen.encoders.build import Encoder, build
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.encoders.position import periods, resize_table
from snellen.errors import InputError, UnknownName

CONFIGS = {
    "dinov2": D2,
    "dinov2 registers": replace(D2, registers=4),
    "dinov3": D3,
    "dinov3 swiglu": D3_GLU,
    "vit": replace(VIT, classes=5, pooler=True, pool="tanh_cls"),
    "aimv2": AIM,
    "convnext": CONV,
}
EACH = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def drawn(config: EncoderConfig, seed: int = 0) -> Encoder:
    encoder = build(config, "cpu")
    encoder.load_state_dict({name: draw(seed, name, shape, config) for name, shape in native_shapes(config).items()})
    return encoder


def pixels_for(config: EncoderConfig, batch: int = 2) -> torch.Tensor:
    side = config.grid * config.patch if isinstance(config, ViTConfig) and config.grid else 2 * config.stride
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


@EACH
def test_every_stage_can_be_asked_for_by_name(config: EncoderConfig) -> None:
    encoder, pixels = drawn(config), pixels_for(config)
    features = encoder(pixels, encoder.stages)
    assert tuple(features.stages) == encoder.stages  # and they come in the order in which they are made
    assert not encoder(pixels).stages
    assert torch.equal(features.stages["pooled"], features.pooled)
    assert torch.equal(features.stages["norm"], features.tokens)
    one = encoder(pixels, [encoder.block_stages[-1]])
    assert list(one.stages) == [encoder.block_stages[-1]]
    assert torch.equal(one.pooled, features.pooled)


@EACH
def test_shapes_are_what_the_configuration_says(config: EncoderConfig) -> None:
    encoder, pixels = drawn(config), pixels_for(config)
    features = encoder(pixels)
    height, width = features.grid
    assert features.patches.shape == (2, height * width, config.width)
    assert features.pooled.shape == (2, config.width)
    assert features.map.shape == (2, config.width, height, width)
    assert torch.equal(features.map[:, :, 0, 1], features.patches[:, 1])
    assert features.tokens.shape[1] == config.tokens(*pixels.shape[2:])
    assert (features.cls is None) == (isinstance(config, ViTConfig) and not config.class_token)


@EACH
def test_an_unknown_stage_is_refused_with_the_nearest(config: EncoderConfig) -> None:
    encoder = drawn(config)
    with pytest.raises(UnknownName) as caught:
        encoder(pixels_for(config), ["bloc.01"])
    assert caught.value.nearest


@EACH
def test_every_parameter_matters(config: EncoderConfig) -> None:
    """Zeroing any tensor of a drawn encoder changes its outputs visibly: no parity test passes without it."""
    encoder, pixels = drawn(config), pixels_for(config)
    before = encoder(pixels).named()
    for name, parameter in encoder.named_parameters():
        kept = parameter.clone()
        parameter.zero_()
        after = encoder(pixels).named()
        parameter.copy_(kept)
        outputs = before.keys() & {"pooled", "logits"}
        change = max(float((after[key] - before[key]).norm() / before[key].norm()) for key in outputs)
        assert change > 1e-3, (name, change)


@EACH
@pytest.mark.parametrize("size", [(1, 1), (30, 64), (64, 33), (0, 64)])
def test_an_indivisible_size_names_the_valid_ones(config: EncoderConfig, size: tuple[int, int]) -> None:
    with pytest.raises(InputError) as caught:
        build(config)(torch.empty(1, 3, *size, device="meta"))
    stride = config.stride
    if isinstance(config, ViTConfig) and config.resize == "none" and config.grid:
        assert f"{config.grid * stride} x {config.grid * stride}" in str(caught.value)
    else:
        assert f"multiples of {stride}" in str(caught.value)
        for side in size:
            if side % stride and side > stride:
                assert f"{side} -> {side // stride * stride} or {side // stride * stride + stride}" in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 64, 64, 3)])
def test_pixels_of_another_layout_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected: \[batch, 3, height, width\]"):
        build(D3)(torch.empty(*shape, device="meta"))


@EACH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_and_of_its_dtype(config: EncoderConfig, dtype: torch.dtype) -> None:
    pixels = pixels_for(config, batch=1)
    exact = drawn(config).double()(pixels).pooled
    rough = drawn(config).to(dtype)(pixels).pooled
    assert rough.dtype == dtype
    error = float((rough.double() - exact).norm() / exact.norm())
    assert 1e-5 < error < 0.05  # rounding is there, and no more than rounding


@EACH
def test_float64_is_float64_throughout(config: EncoderConfig) -> None:
    """An encoder in float64 that rounds somewhere to float32 cannot be golden."""
    encoder, pixels = drawn(config).double(), pixels_for(config).double()
    exact = encoder(pixels).pooled
    nudged = encoder(pixels * (1 + 1e-12)).pooled
    change = float((nudged - exact).norm() / exact.norm())
    assert exact.dtype == torch.float64
    assert 1e-15 < change < 1e-10


@EACH
def test_a_batch_is_its_images(config: EncoderConfig) -> None:
    encoder, pixels = drawn(config).double(), pixels_for(config, batch=3).double()
    together = encoder(pixels).pooled
    alone = torch.cat([encoder(image[None]).pooled for image in pixels])
    assert torch.allclose(together, alone, rtol=1e-12, atol=1e-12)


FIXED = [
    [1058611882, 1057176888, -1086776112],
    [1056814040, -1087637324, -1089169846],
    [1061961328, -1088041640, -1090078062],
    [-1082265616, -1094461564, -1103582200],
]


def test_drawn_weights_never_change() -> None:
    """seed:N is a promise to every machine and version: these bits are fixed."""
    tensor = draw(7, "blocks.0.mlp.up.weight", (4, 3), D2)
    assert tensor.view(torch.int32).tolist() == FIXED
    assert not torch.equal(tensor, draw(8, "blocks.0.mlp.up.weight", (4, 3), D2))
    assert not torch.equal(tensor, draw(7, "blocks.1.mlp.up.weight", (4, 3), D2))


def test_the_key_of_a_drawn_bias_is_zero_where_there_is_none() -> None:
    bias = draw(0, "blocks.0.attention.qkv.bias", (3 * D3.width,), D3)
    query, key, value = bias.chunk(3)
    assert not key.any()
    assert query.all()
    assert value.all()
    assert draw(0, "blocks.0.attention.qkv.bias", (3 * D2.width,), D2).all()


def test_periods() -> None:
    exact = periods(64, rounded=False)
    assert exact.shape == (16,)
    assert exact[0] == 1
    assert float(exact[-1]) == pytest.approx(74.99, abs=0.005)  # published for a head of 64
    assert float(periods(128, rounded=False)[-1]) == pytest.approx(86.60, abs=0.005)
    rounding = ((periods(64, rounded=True) - exact) / exact).abs().max()
    assert float(rounding) == pytest.approx(1.9e-3, abs=0.05e-3)  # published largest relative error


@pytest.mark.parametrize("how", ["bicubic", "bicubic_antialias", "bicubic_offset", "linear_corners"])
def test_a_table_keeps_its_own_grid_and_takes_others(how) -> None:
    table = torch.randn(1, 25, 8, generator=torch.Generator().manual_seed(0))
    assert resize_table(table, (5, 5), how) is table
    assert resize_table(table, (3, 7), how).shape == (1, 21, 8)
    assert resize_table(table.bfloat16(), (3, 7), how).dtype == torch.bfloat16
    constant = resize_table(torch.ones(1, 25, 8), (3, 7), how)
    assert torch.allclose(constant, torch.ones_like(constant))
