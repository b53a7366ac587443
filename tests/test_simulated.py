"""The simulated NPU: it computes right where it should, wrong where it is told to, and never as if it were the CPU.

torch keeps the name "npu" once a test has started it; the stand-in for torch_npu is taken away after each.
"""

from __future__ import annotations

import copy
import gc
import itertools
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, layer_norm, linear, scaled_dot_product_attention

from snellen.devices import resolve, simulated
from snellen.devices.simulated import Fault, Settings, configured, statistics
from snellen.devices.simulated.machine import MACHINE
from snellen.devices.simulated.settings import parse
from snellen.encoders.build import build
from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig
from snellen.errors import DeviceUnavailable, UnknownName, UsageError

SMALL = {"width": 48, "depth": 2, "heads": 4}
CONFIGS: dict[str, EncoderConfig] = {
    "dinov2": ViTConfig(**SMALL, patch=14, hidden=192, grid=3, resize="bicubic_antialias", layer_scale=True),
    "dinov3": ViTConfig(**SMALL, patch=16, hidden=96, mlp="swiglu", position="rope", registers=4, qkv_bias="no_key"),
    "vit": ViTConfig(**SMALL, patch=16, hidden=192, grid=4, classes=10, pooler=True, pool="tanh_cls"),
    "aimv2": ViTConfig(
        **SMALL,
        patch=14,
        hidden=128,
        mlp="swiglu",
        norm="rms",
        grid=4,
        class_token=False,
        patch_norm=True,
        qkv_bias="none",
        bias=False,
        pool="patch_mean",
    ),
    "convnext": ConvNeXtConfig(depths=(1, 1, 2, 1), widths=(16, 32, 48, 64)),
}
STRICT = Settings(arithmetic="float32")


@pytest.fixture(autouse=True)
def npu():
    simulated.start(STRICT)
    yield torch.npu
    simulated.stop()
    assert "torch_npu" not in sys.modules


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def encoder(name: str) -> torch.nn.Module:
    made = build(CONFIGS[name]).to_empty(device="cpu")
    for seed, parameter in enumerate(made.parameters()):
        spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        parameter.copy_(random(*parameter.shape, seed=seed) * spread + (parameter.ndim == 1))
    return made


def pixels(name: str) -> Tensor:
    return random(2, 3, *(56, 56) if name in ("dinov2", "aimv2") else (64, 64), seed=99)


def error(a: Tensor, golden: Tensor) -> float:
    return float((a.cpu().double() - golden).norm() / golden.norm())


# The classes of arithmetic, as bounds of the relative error of one product of 384 terms: half a unit in the last place
# of the operands, give or take; float32's is that of its sums.
BOUNDS = {"float32": (1e-8, 1e-6), "hf32": (5e-5, 5e-4), "float16": (5e-5, 5e-4), "bfloat16": (5e-4, 5e-3)}
MATMULS = {
    "linear": (linear, (8, 20, 384), (64, 384)),
    "addmm": (lambda x, w: torch.addmm(x[:, :64], x, w.T, beta=2, alpha=0.5), (40, 384), (64, 384)),
    "bmm": (torch.bmm, (3, 40, 384), (3, 384, 64)),
    "matmul": (torch.matmul, (3, 2, 40, 384), (384, 64)),
    "baddbmm": (lambda x, w: torch.baddbmm(x[..., :64], x, w), (3, 40, 384), (3, 384, 64)),
    "out": (lambda x, w: torch.mm(x, w, out=x.new_empty(40, 64)), (40, 384), (384, 64)),
    "in place": (lambda x, w: x[:, :64].clone().addmm_(x, w), (40, 384), (384, 64)),
    "vector": (torch.mv, (40, 384), (384,)),
    "einsum": (lambda x, w: torch.einsum("bik,bkj->bij", x, w), (3, 40, 384), (3, 384, 64)),
    "attention": (lambda q, v: scaled_dot_product_attention(q, q, v), (2, 4, 50, 32), (2, 4, 50, 32)),
}
CONVOLUTIONS = {
    "patches": (lambda x, w: conv2d(x, w, stride=16), (2, 3, 64, 64), (32, 3, 16, 16)),
    "depthwise": (lambda x, w: conv2d(x, w, padding=3, groups=32), (2, 32, 14, 14), (32, 1, 7, 7)),
    "narrow": (conv2d, (2, 64, 9, 9), (32, 64, 1, 1)),
    "dilated": (lambda x, w: conv2d(x, w, stride=2, padding=2, dilation=2), (2, 8, 19, 17), (16, 8, 4, 3)),
}


@pytest.mark.parametrize("arithmetic", BOUNDS)
@pytest.mark.parametrize("name", [*MATMULS, *CONVOLUTIONS])
def test_products_have_the_error_of_their_class(name: str, arithmetic: str) -> None:
    compute, *sizes = {**MATMULS, **CONVOLUTIONS}[name]
    a, b = (random(*size, seed=seed) for seed, size in enumerate(sizes))
    golden, plain = compute(a.double(), b.double()), compute(a, b)
    with configured(Settings(arithmetic=arithmetic)):
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                got = compute(a.to("npu:0"), b.to("npu:0"))
            least, most = BOUNDS[arithmetic]
            assert least < error(got, golden) < most
            assert not torch.equal(got.cpu(), plain)


def test_float16_has_the_range_of_float16_and_hf32_that_of_float32() -> None:
    for scale in (1e-8, 1e5):
        x, w = random(8, 32) * scale, random(32, 8, seed=1)
        golden = x.double() @ w.double()
        with configured(Settings(arithmetic="hf32")):
            assert error(x.to("npu:0") @ w.to("npu:0"), golden) < 1e-3
        with configured(Settings(arithmetic="float16")):
            assert not error(x.to("npu:0") @ w.to("npu:0"), golden) < 0.1


@pytest.mark.parametrize("name", CONFIGS)
def test_every_family_computes_what_the_cpu_does_but_for_rounding(name: str) -> None:
    ours, x = encoder(name), pixels(name)
    with torch.inference_mode():
        stages = ours.block_stages
        golden = copy.deepcopy(ours).double()(x.double(), stages=stages).named()
        plain = ours(x, stages=stages).named()
        device = copy.deepcopy(ours).to("npu:0")
        assert {str(tensor.device) for tensor in device.state_dict().values()} == {"npu:0"}
        got = device(x.to("npu:0"), stages=stages).named()
        again = device(x.to("npu:0"), stages=stages).named()
    assert got.keys() == plain.keys()
    for key, reference in golden.items():
        if reference.numel():
            assert str(got[key].device) == "npu:0"
            assert error(got[key], reference) < 3 * error(plain[key], reference) < 1e-5
            assert not torch.equal(got[key].cpu(), plain[key])
            assert torch.equal(got[key].cpu(), again[key].cpu())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_classes_lie_apart_in_every_family(name: str) -> None:
    ours, x = encoder(name), pixels(name)
    results = {}
    with torch.inference_mode():
        golden = copy.deepcopy(ours).double()(x.double()).pooled
        device = copy.deepcopy(ours).to("npu:0")
        for arithmetic in BOUNDS:
            with configured(Settings(arithmetic=arithmetic)):
                results[arithmetic] = device(x.to("npu:0")).pooled.cpu()
        with configured(Settings()):
            results["convolutions in hf32"] = device(x.to("npu:0")).pooled.cpu()
    errors = {arithmetic: error(result, golden) for arithmetic, result in results.items()}
    assert 30 * errors["float32"] < errors["hf32"] < errors["bfloat16"] / 3
    assert 30 * errors["float32"] < errors["convolutions in hf32"]
    assert errors["hf32"] / 3 < errors["float16"] < 3 * errors["hf32"]
    for pair in itertools.combinations(results, 2):
        if pair != ("hf32", "float16"):  # as many bits; they differ in range, which these numbers keep to
            assert not torch.equal(*(results[name] for name in pair))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_in_a_narrow_dtype_computes_in_it(name: str, dtype: torch.dtype) -> None:
    ours, x = encoder(name), pixels(name)
    with torch.inference_mode():
        golden = copy.deepcopy(ours).double()(x.double()).pooled
        got = ours.to("npu:0", dtype)(x.to("npu:0", dtype)).pooled
    assert got.dtype == dtype
    assert 1e-4 < error(got, golden) < 0.1


def test_products_of_narrow_numbers_are_added_up_in_float32() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        a, b = random(8, 2000).to(dtype), random(2000, 8, seed=1).to(dtype)
        exact = a.float() @ b.float()
        assert torch.allclose((a.to("npu:0") @ b.to("npu:0")).cpu().float(), exact.to(dtype).float(), rtol=0.01)
        with configured(Settings(faults=(Fault(kind="accumulate_float16", operator="aten::mm"),))):
            assert error(a.to("npu:0") @ b.to("npu:0"), exact.double()) > 1e-4


@pytest.fixture
def ascend():
    with configured(Settings()):
        yield resolve("npu")


def convolution_error() -> float:
    compute, *sizes = CONVOLUTIONS["patches"]
    a, b = (random(*size, seed=seed) for seed, size in enumerate(sizes))
    return error(compute(a.to("npu:0"), b.to("npu:0")), compute(a.double(), b.double()))


def matmul_error() -> float:
    a, b = random(40, 384), random(384, 64, seed=1)
    return error(a.to("npu:0") @ b.to("npu:0"), a.double() @ b.double())


def test_the_switches_are_those_of_an_ascend_npu(ascend, npu) -> None:
    assert (npu.conv.allow_hf32, npu.matmul.allow_hf32) == (True, False)
    assert convolution_error() > 5e-5
    assert matmul_error() < 1e-6
    npu.conv.allow_hf32, npu.matmul.allow_hf32 = False, True
    assert convolution_error() < 1e-6
    assert matmul_error() > 5e-5


def test_snellen_reads_and_writes_the_switches(ascend, npu) -> None:
    switches = {switch.name: switch for switch in ascend.switches()}
    assert switches["torch.npu.conv.allow_hf32"].read() == "True"
    with switches["torch.npu.conv.allow_hf32"].at("False"):
        assert convolution_error() < 1e-6
    assert convolution_error() > 5e-5
    mode = switches["torch.npu.set_option: ACL_PRECISION_MODE"]
    with mode.at("allow_fp32_to_fp16"):
        assert convolution_error() > 5e-5
        assert matmul_error() > 5e-5
        product = (random(8, 64).to("npu:0") @ random(64, 8, seed=1).to("npu:0")).cpu()
        assert torch.equal(product, product.half().float())
    assert matmul_error() < 1e-6
    with pytest.raises(ValueError, match="ACL_PRECISION_MODE should be in"):
        npu.set_option({"ACL_PRECISION_MODE": "fast"})


@pytest.mark.parametrize("arithmetic", ["hf32", "float32"])
def test_a_fixed_arithmetic_takes_no_orders(arithmetic: str, npu) -> None:
    with configured(Settings(arithmetic=arithmetic)):
        before = convolution_error()
        npu.conv.allow_hf32 = not npu.conv.allow_hf32
        assert convolution_error() == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype: torch.dtype) -> None:
    x, w = random(40, 384), random(64, 384, seed=1)
    golden = x.double() @ w.double().T
    with torch.autocast("npu", dtype=dtype):
        assert torch.is_autocast_enabled("npu")
        assert torch.get_autocast_dtype("npu") == dtype
        product = linear(x.to("npu:0"), w.to("npu:0"))
        normed = layer_norm(product, (64,))
        joined = torch.cat([product, normed])
    assert (product.dtype, normed.dtype, joined.dtype) == (dtype, torch.float32, torch.float32)
    least, most = BOUNDS["float16" if dtype == torch.float16 else "bfloat16"]
    assert least < error(product, golden) < most
    assert linear(x.to("npu:0"), w.to("npu:0")).dtype == torch.float32


def test_doubles_are_single_without_a_word() -> None:
    x = random(16, 16).double() / 3
    there = x.to("npu:0")
    assert there.dtype == torch.float64
    assert torch.equal(there.cpu(), x.float().double())
    assert not torch.equal(there.cpu(), x)
    third = (torch.ones(1, dtype=torch.float64, device="npu:0") / 3).cpu()
    assert third.item() == float(torch.tensor(1 / 3, dtype=torch.float32))
    assert 1e-8 < error(there @ there, x @ x) < 1e-6


def test_a_copy_that_does_not_wait_is_garbage_until_somebody_does(npu) -> None:
    x = random(8, 8)
    there = x.to("npu:0") * 2
    early = there.to("cpu", non_blocking=True)
    flags = (there > 0).to("cpu", non_blocking=True)
    assert early.isnan().all()
    assert statistics().queued > 0
    npu.synchronize()
    assert torch.equal(early, x * 2)
    assert torch.equal(flags, x > 0)
    assert statistics().queued == 0


@pytest.mark.parametrize(
    "look",
    [lambda x: x.cpu(), lambda x: x.sum().item(), lambda x: x.tolist(), lambda x: torch.empty(4).copy_(x), bool],
)
def test_every_way_to_see_a_number_waits(look) -> None:
    x = torch.ones(4, device="npu:0")[:1] if look is bool else torch.ones(4, device="npu:0")
    doubled = x * 2
    assert statistics().queued > 0
    look(doubled)
    assert statistics().queued == 0


def test_what_the_host_changes_after_a_launch_is_not_seen() -> None:
    x, there = torch.ones(4), torch.zeros(4, device="npu:0")
    there.add_(1)
    there.copy_(x)
    x.fill_(7)
    assert there.tolist() == [1, 1, 1, 1]


def test_events_are_reached_when_the_queue_gets_there(npu) -> None:
    begin, end = npu.Event(enable_timing=True), npu.Event(enable_timing=True)
    begin.record()
    torch.ones(4, device="npu:0").mul(2)
    end.record()
    assert not end.query()
    with pytest.raises(RuntimeError, match="completed"):
        begin.elapsed_time(end)
    end.synchronize()
    assert end.query()
    assert begin.elapsed_time(end) > 0


def test_work_costs_time_only_where_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    with configured(Settings(launch_seconds=0.25)):
        x = torch.ones(4, device="npu:0").mul(2).add(1)
        assert slept == []
        x.cpu()
        assert slept == [0.25, 0.25]


def test_views_share_their_numbers() -> None:
    x = torch.zeros(2, 3, device="npu:0")
    x[:, 1].add_(5)
    x.t()[2] = 7
    assert x.tolist() == [[0, 5, 7], [0, 5, 7]]
    first, second = x.chunk(2)
    first.copy_(second * 2)
    assert x.view(-1).tolist() == [0, 10, 14, 0, 5, 7]


def test_factories_and_copies(npu) -> None:
    assert torch.arange(2, 8, 2, device="npu:0").tolist() == [2, 4, 6]
    assert torch.full((2,), 3.0, device="npu").tolist() == [3, 3]
    assert torch.tensor([1, 2], device="npu:1").device == torch.device("npu:1")
    assert torch.zeros_like(torch.ones(2, device="npu:0"), device="cpu").tolist() == [0, 0]
    assert torch.eye(2, device="npu:0").tolist() == [[1, 0], [0, 1]]
    assert torch.equal(torch.ones(3, device="npu:0"), torch.ones(3, device="npu:0"))
    assert torch.ones(3, device="npu:0").nonzero().tolist() == [[0], [1], [2]]
    assert random(3).to("npu:0")[torch.tensor([2, 0])].cpu().tolist() == random(3)[[2, 0]].tolist()
    with npu.device(1):
        assert torch.empty(1, device="npu").device == torch.device("npu:1")
    assert npu.current_device() == 0
    model = torch.nn.Linear(3, 2).to("npu:1")
    assert torch.equal(copy.deepcopy(model).weight.cpu(), model.weight.cpu())
    assert "device='npu:1'" in repr(model.weight.data)
    with pytest.raises(RuntimeError, match="numpy"):
        model.weight.detach().numpy()


def test_tensors_of_two_devices_do_not_meet() -> None:
    here, there = torch.ones(2, device="npu:0"), torch.ones(2, device="npu:1")
    for other in (there, torch.ones(2)):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            here + other
    assert (here + there.to("npu:0")).tolist() == [2, 2]
    assert (here * torch.tensor(2.0)).tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="Invalid device"):
        torch.ones(2, device="npu:2")


def test_memory_is_counted_and_given_back(npu) -> None:
    gc.collect()
    device, before = resolve("npu:1"), npu.memory_allocated(1)
    npu.reset_peak_memory_stats(1)
    x = torch.ones(256, 1024, device="npu:1")
    assert npu.memory_allocated(1) - before == 2**20
    views = [x[:10], x.t(), x.view(-1)]
    assert npu.memory_allocated(1) - before == 2**20
    y = x * 2
    del y
    assert npu.memory_allocated(1) - before == 2**20
    assert npu.max_memory_allocated(1) - before == 2**21
    memory = device.memory()
    assert memory["total"] - memory["free"] == before + 2**20
    assert memory["peak"] == before + 2**21
    del x
    assert npu.memory_allocated(1) - before == 2**20
    views.clear()
    gc.collect()
    assert npu.memory_allocated(1) == before


def test_an_encoder_gives_all_its_memory_back(npu) -> None:
    gc.collect()
    before = npu.memory_allocated()
    ours = encoder("vit").to("npu:0")
    held = npu.memory_allocated() - before
    assert held >= sum(p.numel() * 4 for p in ours.parameters())
    with torch.inference_mode():
        ours(pixels("vit").to("npu:0")).pooled.cpu()
    gc.collect()
    assert npu.memory_allocated() == before + held
    assert npu.max_memory_allocated() > before + held
    del ours
    gc.collect()
    assert npu.memory_allocated() == before


def test_out_of_memory_is_refused_before_anything_is_made(npu) -> None:
    with configured(Settings(memory_bytes=npu.memory_allocated() + 2**20)):
        half = torch.zeros(2**17, device="npu:0")
        with pytest.raises(torch.OutOfMemoryError, match=r"NPU out of memory\. Tried to allocate 4194304\.00 MiB"):
            torch.empty(2**40, device="npu:0")
        full = half * 2
        with pytest.raises(torch.OutOfMemoryError, match=r"0\.00 MiB free"):
            full * 2
        del full
        assert (half * 2).cpu().sum() == 0


def test_a_missing_operator_runs_on_the_cpu_and_says_so() -> None:
    x = random(8, 8)
    with configured(Settings(missing=("aten::gelu",))):
        with pytest.warns(UserWarning, match=r"CAUTION: The operator 'aten::gelu' .* will fall back to run on the CPU"):
            got = gelu(x.to("npu:0"))
        assert str(got.device) == "npu:0"
        assert torch.equal(got.cpu(), gelu(x))
        assert statistics().fallbacks == {"aten::gelu": 1}
        torch.tanh(x.to("npu:0"))
        with resolve("npu").watched() as watch:
            gelu(x.to("npu:0"))
        assert watch.fallbacks == ["aten::gelu"]
    gelu(x.to("npu:0"))
    assert statistics().fallbacks == {}


def test_missing_products_are_the_cpus_own_to_the_last_bit() -> None:
    q = random(1, 2, 16, 32)
    with configured(Settings(arithmetic="hf32", missing=("aten::scaled_dot_product_attention",))):
        for mode in (torch.no_grad, torch.inference_mode):
            with mode(), pytest.warns(UserWarning, match="attention"):
                got = scaled_dot_product_attention(*[q.to("npu:0")] * 3)
            assert torch.equal(got.cpu(), scaled_dot_product_attention(q, q, q))


def test_the_fused_encoder_layer_is_missing_as_on_an_ascend_npu() -> None:
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval().to("npu:0")
    with torch.inference_mode(), pytest.warns(UserWarning, match="aten::_transformer_encoder_layer_fwd"):
        layer(random(2, 5, 16).to("npu:0"))
    assert statistics().fallbacks == {"aten::_transformer_encoder_layer_fwd": 1}


X = random(4, 6, 8)
HEALTHY = gelu(X)


def faulty(**given: object) -> list[Tensor]:
    """Run gelu three times under one fault; what it counts must be what it does."""
    with configured(Settings(arithmetic="float32", faults=(Fault(operator="aten::gelu", **given),))):
        inputs = [X + 0 * shift for shift in range(3)] if given["kind"] != "stale" else [X + n for n in range(3)]
        results = [gelu(x.to("npu:0")).cpu() for x in inputs]
        other = torch.tanh(X.to("npu:0")).cpu()
        struck = statistics().faults
    assert torch.equal(other, torch.tanh(X))
    assert struck == {given["kind"]: 1 if given.get("call") is not None and not given.get("every") else 3} or given.get(
        "every"
    )
    return results


def test_without_faults_nothing_changes() -> None:
    for _ in range(3):
        assert torch.equal(gelu(X.to("npu:0")).cpu(), HEALTHY)
    assert statistics().faults == {}


def test_a_fault_strikes_in_the_call_it_names() -> None:
    for call in range(3):
        hit = [not torch.equal(result, HEALTHY) for result in faulty(kind="scale", call=call)]
        assert hit == [number == call for number in range(3)]
    hit = [not torch.equal(result, HEALTHY) for result in faulty(kind="scale", call=0, every=2)]
    assert hit == [True, False, True]
    assert not any(torch.equal(result, HEALTHY) for result in faulty(kind="scale"))


def test_nan() -> None:
    first, second, _ = faulty(kind="nan")
    assert first.isnan().sum() == 1
    assert torch.equal(first.isnan(), second.isnan())
    assert torch.equal(first[~first.isnan()], HEALTHY[~first.isnan()])
    assert not torch.equal(first.isnan(), faulty(kind="nan", seed=3)[0].isnan())


def test_stale() -> None:
    first, second, third = faulty(kind="stale", call=1)
    assert torch.equal(first, HEALTHY)
    assert torch.equal(second, first)
    assert torch.equal(third, gelu(X + 2))
    assert torch.equal(faulty(kind="stale")[2], gelu(X + 1))


def test_noise_is_of_its_size_and_never_the_same() -> None:
    first, second, _ = faulty(kind="noise", size=1e-3)
    assert not torch.equal(first, second)
    for result in (first, second):
        assert 3e-4 < error(result, HEALTHY.double()) < 3e-3


def test_scale() -> None:
    assert torch.allclose(faulty(kind="scale", size=0.01)[0], HEALTHY * 1.01, rtol=1e-6)


def test_row() -> None:
    first, second, _ = faulty(kind="row", row=2, size=0.1)
    assert torch.equal(first, second)
    assert [not torch.equal(a, b) for a, b in zip(first, HEALTHY, strict=True)] == [False, False, True, False]
    assert 0.03 < error(first[2], HEALTHY[2].double()) < 0.3


def test_swap_batch() -> None:
    assert torch.equal(faulty(kind="swap_batch")[0], HEALTHY[[1, 0, 2, 3]])


@pytest.mark.parametrize("operator", ["matmul", "any", "aten::mm"])
def test_accumulation_in_float16(operator: str) -> None:
    assert matmul_error() < 1e-6
    with configured(Settings(arithmetic="float32", faults=(Fault(kind="accumulate_float16", operator=operator),))):
        assert 1e-4 < matmul_error() < 1e-2
        assert (convolution_error() > 1e-4) == (operator == "any")


def test_a_silent_fallback_is_counted_and_says_nothing() -> None:
    a, b = random(40, 384), random(384, 64, seed=1)
    with configured(Settings(arithmetic="hf32", faults=(Fault(kind="silent_fallback", operator="aten::mm"),))):
        assert torch.equal((a.to("npu:0") @ b.to("npu:0")).cpu(), a @ b)
        assert statistics().silent == {"aten::mm": 1}
        assert convolution_error() > 5e-5


def test_the_real_path_finds_it_and_says_that_it_is_simulated(npu) -> None:
    device = resolve("npu:1")
    described = device.describe()
    assert (described["product"], described["torch_npu"], described["simulated"]) == (
        "simulated NPU",
        "0+simulated",
        True,
    )
    assert device.simulated
    assert npu.get_device_properties(0).total_memory == npu.mem_get_info(0)[1] == described["total_bytes"]
    with configured(Settings(devices=1)), pytest.raises(DeviceUnavailable, match=r"no npu:1 on this machine \(1 found"):
        resolve("npu:1")


def test_it_does_not_stand_in_beside_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated.stop()
    monkeypatch.setitem(sys.modules, "torch_npu", types.ModuleType("torch_npu"))
    with pytest.raises(UsageError, match="torch_npu is installed here"):
        simulated.start()
    monkeypatch.delitem(sys.modules, "torch_npu")
    monkeypatch.setattr(MACHINE, "registered", False)
    with pytest.raises(UsageError, match="is taken by 'npu'"):
        simulated.start()


def test_the_environment() -> None:
    assert parse("npu") == Settings()
    text = "npu:arithmetic=hf32,missing=aten::gelu+aten::erf,devices=1,memory_bytes=1000,launch_seconds=0.5"
    assert parse(text) == Settings(
        arithmetic="hf32", missing=("aten::gelu", "aten::erf"), devices=1, memory_bytes=1000, launch_seconds=0.5
    )
    assert not simulated.from_environment({})
    assert simulated.from_environment({"SNELLEN_SIMULATE": "npu:arithmetic=hf32"})
    assert simulated.settings() == STRICT  # it was running already
    simulated.stop()
    assert not simulated.started()
    assert simulated.from_environment({"SNELLEN_SIMULATE": "npu:arithmetic=hf32"})
    assert simulated.settings().arithmetic == "hf32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu", "'gpu' cannot be simulated"),
        ("npu:arithmetic=tf32", "no arithmetic named 'tf32'"),
        ("npu:devises=1", "did you mean devices"),
        ("npu:devices=one", "not a number"),
        ("npu:devices=0", "0 devices"),
        ("npu:missing=gelu", "write it as aten::gelu"),
    ],
)
def test_an_environment_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text)


def test_faults_that_do_not_exist() -> None:
    with pytest.raises(UnknownName, match="no fault named 'naan'"):
        Fault(kind="naan", operator="any")
    with pytest.raises(UsageError, match="a fault's operator is 'gelu'"):
        Fault(kind="nan", operator="gelu")


LIBRARIES = """
    import copy, sys
    sys.path.insert(0, {tests!r})
    import conftest
    library = conftest.declare_operators()
    import torch
    from snellen.devices import simulated
    simulated.start(simulated.Settings(arithmetic="float32"))
    import timm, transformers

    def check(model, get):
        for parameter in model.eval().parameters():
            parameter.data.normal_(std=0.1)
        x = torch.randn(2, 3, 56, 56)
        with torch.inference_mode():
            expected = get(model(x))
            got = get(copy.deepcopy(model).to("npu:0")(x.to("npu:0")))
        assert str(got.device) == "npu:0"
        assert not torch.equal(got.cpu(), expected)
        assert (got.cpu() - expected).norm() < 1e-5 * expected.norm()

    for name in ("vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"):
        check(timm.create_model(name, depth=2, img_size=56), lambda out: out)
    check(timm.create_model("convnext_tiny", depths=(1, 1, 1, 1), dims=(16, 32, 48, 64)), lambda out: out)
    sizes = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
    for kind in ("Dinov2", "DINOv3ViT", "ViT"):
        config = getattr(transformers, kind + "Config")(**sizes, image_size=56, patch_size=14)
        check(getattr(transformers, kind + "Model")(config), lambda out: out.last_hidden_state)
    print("all alike", simulated.statistics().eager)
"""


def test_the_libraries_own_models_run_on_it() -> None:
    tests = Path(__file__).parent
    code = textwrap.dedent(LIBRARIES).format(tests=str(tests))
    environment = {**os.environ, "PYTHONPATH": str(tests.parent / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # in a process of its own: transformers remembers whether it has seen torch_npu
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all alike {}\n"
