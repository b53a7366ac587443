"""Precision switches and the watch for fallbacks, by one contract for every kind of device.

The CPU is real. What torch keeps for cuda can be read and set without one. torch_npu is played by objects that keep
options as the real ones do; a switch is only its option, so nothing about arithmetic is claimed here for npu or cuda.
"""

from __future__ import annotations

import enum
import itertools
import os
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import torch

from snellen.devices import Device, cpu, cuda, npu, other
from snellen.devices import watch as watches
from snellen.errors import UsageError

LOWERED = ("convolution", "matmul", "all", "attention")
NPU_WARNING = (
    "CAUTION: The operator '{}' is not currently supported on the NPU backend and will fall back to run on the CPU. "
    "This may have performance implications."
)


class Options(dict):
    """What torch_npu keeps: texts, handed out as bytes; None for what was never set."""

    def get_option(self, name):
        return self[name].encode() if name in self else None


class CubeMathType(enum.IntEnum):
    KEEP_DTYPE = 0
    USE_HF32 = 3


class FakeHF32:
    """Follows npu_config.py of torch_npu: __getattr__ and __setattr__ over an option, with a default."""

    def __init__(self, options, name, default):
        self.__dict__.update(options=options, name=name, default=default)

    def __getattr__(self, attribute):
        if attribute == "allow_hf32":
            return self.options.get(self.name, self.default) == "enable"
        if attribute == "cube_math_type" and "CUBE" in self.options:
            return CubeMathType(int(self.options["CUBE"]))
        return None

    def __setattr__(self, attribute, value):
        if attribute == "allow_hf32":
            assert isinstance(value, bool)  # 2.13 refuses everything else
            self.options[self.name] = "enable" if value else "disable"
        elif attribute == "cube_math_type":
            assert isinstance(value, CubeMathType)
            self.options["CUBE"] = str(value.value)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Options:
    options = Options()
    package = types.ModuleType("torch_npu")
    package.npu = types.SimpleNamespace(  # type: ignore[attr-defined]
        conv=FakeHF32(options, "CONV", "enable"),
        matmul=FakeHF32(options, "MATMUL", "disable"),
        set_option=options.update,
        CubeMathType=CubeMathType,
    )
    package._C = types.SimpleNamespace(_npu_getOption=options.get_option)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_npu", package)
    return options


def device_of(kind: str, options: Options) -> Device:
    options.update(ACL_PRECISION_MODE="allow_fp32_to_fp16", CUBE="3", CONV="enable", MATMUL="disable")
    return {
        "cpu": cpu.CPU(name="cpu", kind="cpu"),
        "cuda": cuda.CUDA(name="cuda:0", kind="cuda"),
        "npu": npu.NPU(name="npu:0", kind="npu"),
        "xpu": other.Accelerator(name="xpu:0", kind="xpu"),
        "mps": other.Accelerator(name="mps:0", kind="mps"),
    }[kind]


@pytest.fixture(params=["cpu", "cuda", "npu", "xpu", "mps"])
def device(request: pytest.FixtureRequest, options: Options) -> Device:
    return device_of(request.param, options)


def mkldnn():
    return torch.backends.mkldnn


def torch_state(options: Options) -> dict[str, object]:
    """Everything torch tells of its precision, without the words that raise where they disagree with the settings."""
    backends = torch.backends
    products = backends.cuda.matmul
    state: dict[str, object] = {f"option {name}": value for name, value in options.items()}
    places = (backends, backends.mkldnn, backends.mkldnn.matmul, backends.mkldnn.conv, backends.cudnn)
    places += (backends.cudnn.conv, backends.cudnn.rnn, products)
    state |= {f"fp32 {i}": place.fp32_precision for i, place in enumerate(places)}
    names = [n for b, k in itertools.product(("fp16", "bf16"), ("", "_split_k")) for n in (f"allow_{b}_reduced{k}",)]
    names = [name.replace("_reduced", "_reduced_precision_reduction") for name in names]
    state |= {name: getattr(products, name, None) for name in (*names, "allow_fp16_accumulation")}
    state["math_sdp reduction"] = backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    sdpa = ("flash", "mem_efficient", "math", "cudnn")
    state |= {kernel: getattr(backends.cuda, f"{kernel}_sdp_enabled")() for kernel in sdpa}
    for kind in ("cpu", "cuda", "xpu", "mps"):
        state[f"autocast {kind}"] = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
    state["warn always"] = torch.is_warn_always_enabled()
    for name, word in (("float32", torch.get_float32_matmul_precision), ("cudnn", lambda: backends.cudnn.allow_tf32)):
        try:
            state[name] = word()
        except RuntimeError as error:
            state[name] = str(error)[:40]
    return state


@pytest.fixture(autouse=True)
def as_it_was(options: Options) -> Iterator[None]:
    """Put back what these tests set, and fail the test that is to blame if that does not do."""
    before = torch_state(Options())
    yield
    torch.set_float32_matmul_precision("highest")
    for place in (torch.backends.cuda.matmul, mkldnn().matmul, mkldnn().conv, torch.backends):
        place.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32 = True
    assert torch_state(Options()) == before


def test_every_switch_is_whole(device: Device) -> None:
    switches = device.switches()
    assert switches
    assert len({switch.name for switch in switches}) == len(switches)
    for switch in switches:
        assert switch.name.startswith("torch.")
        assert switch.lowers in LOWERED
        assert switch.strict in switch.values
        assert switch.read() in switch.values
        assert len(set(switch.values)) > 1
        if switch.lowers == "attention":
            assert switch.read() == switch.strict


def test_reading_changes_and_starts_nothing(device: Device, options: Options) -> None:
    before = torch_state(options)
    read = [(switch.name, switch.read()) for switch in device.switches()]
    assert [(switch.name, switch.read()) for switch in device.switches()] == read
    assert torch_state(options) == before
    assert not torch.cuda.is_initialized() or torch.cuda.is_available()


def test_each_value_is_set_and_everything_is_restored(device: Device, options: Options) -> None:
    for switch in device.switches():
        before, read = torch_state(options), switch.read()
        for value in switch.values:
            with switch.at(value):
                assert switch.read() == value
            assert switch.read() == read
            assert torch_state(options) == before, (switch.name, value)


def test_a_body_that_raises_leaves_everything_as_it_was(device: Device, options: Options) -> None:
    before = torch_state(options)
    for switch in device.switches():
        value = next(value for value in switch.values if value != switch.read())
        with pytest.raises(ZeroDivisionError), switch.at(value):
            raise ZeroDivisionError
        assert torch_state(options) == before, switch.name


def test_switches_are_set_inside_each_other(device: Device, options: Options) -> None:
    before = torch_state(options)
    first, second = device.switches()[:2] if len(device.switches()) > 1 else device.switches() * 2
    with first.at(first.values[-1]), second.at(second.values[-1]):
        assert (first.read(), second.read()) == (first.values[-1], second.values[-1])
    assert torch_state(options) == before


def test_a_value_that_does_not_exist_is_refused_and_sets_nothing(device: Device, options: Options) -> None:
    before = torch_state(options)
    for switch in device.switches():
        with pytest.raises(UsageError, match=r"cannot be 'fast'\n  expected: "), switch.at("fast"):
            pytest.fail("the body must not run")
    assert torch_state(options) == before


def named(device: Device, name: str):
    return next(switch for switch in device.switches() if switch.name == name)


@pytest.mark.parametrize("word", ["highest", "high", "medium"])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_the_old_word_and_the_new_settings_agree_inside(kind: str, word: str, options: Options) -> None:
    backend = {"cpu": "mkldnn", "cuda": "cuda"}[kind]
    switch = named(device_of(kind, options), f"torch.backends.{backend}.matmul.fp32_precision")
    torch.set_float32_matmul_precision(word)
    before = torch_state(options)
    for value in switch.values:
        with switch.at(value):
            assert torch.get_float32_matmul_precision() in ("highest", "high", "medium")  # raises if they disagree
            assert torch.backends.cuda.matmul.allow_tf32 in (True, False)
            assert torch.backends.cudnn.allow_tf32 in (True, False)
        assert torch_state(options) == before


def test_words_and_settings_that_disagree_are_read_and_restored(options: Options) -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    with pytest.raises(RuntimeError):  # so that there is something to get right
        torch.get_float32_matmul_precision()
    device = device_of("cuda", options)
    before = torch_state(options)
    for backend, value in (("cuda.matmul", "tf32"), ("cudnn.conv", "ieee")):
        switch = named(device, f"torch.backends.{backend}.fp32_precision")
        assert switch.read() == value
        for other_value in switch.values:
            with switch.at(other_value):
                pass
            assert torch_state(options) == before


def test_strict_is_strict_under_a_lowered_default_for_everything(device: Device, options: Options) -> None:
    torch.backends.fp32_precision = "tf32"
    before = torch_state(options)
    with ExitStack() as stack:
        for switch in device.switches():
            stack.enter_context(switch.at(switch.strict))
        assert all(switch.read() == switch.strict for switch in device.switches())
        if device.kind == "cuda":
            assert torch.backends.cudnn.allow_tf32 is False  # raises if convolutions alone are strict
    assert torch_state(options) == before


def test_leave_to_split_k_is_kept(options: Options) -> None:
    products = torch.backends.cuda.matmul
    name = "allow_bf16_reduced_precision_reduction"
    products.allow_bf16_reduced_precision_reduction = (False, False)
    switch = named(device_of("cuda", options), f"torch.backends.cuda.matmul.{name}")
    before = torch_state(options)
    with switch.at("True"):
        assert products.allow_bf16_reduced_precision_reduction is True
    after = torch_state(options)
    products.allow_bf16_reduced_precision_reduction = True
    assert after == before


def test_lowering_cuda_leaves_the_cpu_exact_for_golden_runs(options: Options) -> None:
    mine, theirs = (device_of(kind, options).switches()[0] for kind in ("cpu", "cuda"))
    with theirs.at("tf32"):
        assert (theirs.read(), mine.read()) == ("tf32", "ieee")
    with mine.at("bf16"):
        assert mine.read() == "bf16"


def test_what_is_inherited_is_read_and_stays_inherited(options: Options) -> None:
    switch = named(device_of("cpu", options), "torch.backends.mkldnn.conv.fp32_precision")
    torch.backends.fp32_precision = "tf32"
    assert switch.read() == "tf32"
    with switch.at("ieee"):
        assert switch.read() == "ieee"
    torch.backends.fp32_precision = "bf16"
    assert switch.read() == "bf16"


def error_of(product: torch.Tensor, exact: torch.Tensor) -> float:
    return ((product - exact).norm() / exact.norm()).item()


def test_on_a_cpu_the_switches_do_what_they_say() -> None:
    x = torch.randn(256, 256, generator=torch.Generator().manual_seed(1))
    exact = x.double() @ x.double()
    products, autocast = (named(cpu.CPU(name="cpu", kind="cpu"), n) for n in (
        "torch.backends.mkldnn.matmul.fp32_precision", "torch.autocast('cpu')"))  # fmt: skip
    strict = x @ x
    with products.at(products.strict):
        assert torch.equal(x @ x, strict)
        assert error_of(x @ x, exact) < 1e-6
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        with products.at("bf16"):  # lowers on CPUs with matrix units; on others it takes another kernel of float32
            assert not torch.equal(x @ x, strict)
            assert error_of(x @ x, exact) < 1e-2
    with autocast.at("bfloat16"):
        assert (x @ x).dtype == torch.bfloat16
        assert error_of((x @ x), exact) > 1e-4
    with autocast.at("False"):
        assert torch.equal(x @ x, strict)


def test_on_a_cpu_the_choice_of_attention_kernels_is_one() -> None:
    query = torch.randn(1, 2, 200, 16, generator=torch.Generator().manual_seed(1))
    attend = torch.nn.functional.scaled_dot_product_attention
    with named(cpu.CPU(name="cpu", kind="cpu"), "torch.backends.cuda.enable_flash_sdp").at("False"):
        plain = attend(query, query, query)
    assert not torch.equal(plain, attend(query, query, query))


def test_defaults_that_lower_are_seen(options: Options) -> None:
    cudnn = named(device_of("cuda", options), "torch.backends.cudnn.conv.fp32_precision")
    assert (cudnn.read(), cudnn.strict) == ("tf32", "ieee")
    options.clear()
    device = npu.NPU(name="npu:0", kind="npu")
    own = [switch for switch in device.switches() if "autocast" not in switch.name]  # torch knows "npu" once simulated
    assert [(switch.name, switch.read(), switch.strict) for switch in own] == [
        ("torch.npu.conv.allow_hf32", "True", "False"),
        ("torch.npu.matmul.allow_hf32", "False", "False"),
    ]  # what was never set cannot be read, so it is left out


def test_precision_modes_of_an_npu(options: Options) -> None:
    mode = named(device_of("npu", options), "torch.npu.set_option: ACL_PRECISION_MODE")
    assert (mode.read(), mode.strict, mode.lowers) == ("allow_fp32_to_fp16", "must_keep_origin_dtype", "all")
    cube = named(device_of("npu", options), "torch.npu.matmul.cube_math_type")
    assert (cube.read(), cube.strict, cube.lowers) == ("USE_HF32", "KEEP_DTYPE", "matmul")
    del sys.modules["torch_npu"]._C  # private to torch_npu: where it has gone, the mode cannot be read
    assert "ACL" not in "".join(switch.name for switch in npu.NPU(name="npu:0", kind="npu").switches())


def test_tf32_of_an_intel_gpu(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    device = device_of("xpu", options)
    assert "torch.backends.mkldnn.allow_tf32" not in [switch.name for switch in device.switches()]
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends, "mkldnn", types.SimpleNamespace(allow_tf32=True))
        switch = named(device, "torch.backends.mkldnn.allow_tf32")
        with switch.at("False"):
            assert torch.backends.mkldnn.allow_tf32 is False
        assert switch.read() == "True"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (NPU_WARNING.format("aten::isin.Tensor_Tensor_out"), "aten::isin.Tensor_Tensor_out"),
        (NPU_WARNING.format("torchvision::nms") + " (function npu_cpu_fallback)", "torchvision::nms"),
        (NPU_WARNING.format("aten::gelu")[9:].replace("NPU", "MPS"), "aten::gelu"),
        (
            "CAUTION: The operator aten::_transform_bias_rescale_qkv is currently not supported on the NPU backend. "
            "Now this operator will fallback to run on the CPU and may have performance implications.",
            "aten::_transform_bias_rescale_qkv",
        ),
        ("The operator 'aten::dot on the XPU backend is falling back to run on the CPU.", "aten::dot"),
        (
            "Aten Op fallback from XPU to CPU happends. This may have performance implications. If need debug the "
            "fallback ops please set environment variable `PYTORCH_DEBUG_XPU_FALLBACK=1` ",
            watches.UNNAMED,
        ),
    ],
)
def test_a_fallback_is_heard_in_each_wording(text: str, name: str, device: Device) -> None:
    with device.watched() as watch:
        warnings.warn(text, UserWarning, stacklevel=1)
        warnings.warn("\n" + text + "\n", UserWarning, stacklevel=1)
    assert watch.fallbacks == [name]


@pytest.mark.parametrize(
    "text",
    [
        "The operator 'aten::gelu' is not currently supported on the NPU backend.",
        "this model falls back to run on the CPU",
        "The operator 'aten::gelu' is deprecated.\nAnother thing will fall back to run on the CPU",
    ],
)
def test_other_warnings_go_their_way(text: str, device: Device) -> None:
    with pytest.warns(UserWarning, match="CPU|NPU") as heard, device.watched() as watch:
        warnings.warn(text, UserWarning, stacklevel=1)
    assert [str(one.message) for one in heard] == [text]
    with pytest.raises(UserWarning), device.watched():  # an error around is one inside
        warnings.warn(text, UserWarning, stacklevel=1)
    with warnings.catch_warnings(), device.watched():
        warnings.simplefilter("ignore")
        warnings.warn(text, UserWarning, stacklevel=1)
    assert watch.fallbacks == []


def test_a_clean_run_hears_nothing_and_leaves_the_filters_alone(device: Device) -> None:
    filters, show, always = list(warnings.filters), warnings.showwarning, torch.is_warn_always_enabled()
    with device.watched() as watch:
        torch.ones(2, 2) @ torch.ones(2, 2)
        assert torch.is_warn_always_enabled()
    assert (watch.fallbacks, watch.deaf) == ([], None)
    assert (warnings.filters, warnings.showwarning) == (filters, show)
    assert torch.is_warn_always_enabled() == always


def test_order_is_kept_and_nothing_is_repeated(device: Device) -> None:
    with device.watched() as watch, warnings.catch_warnings():
        for name in ("aten::b", "aten::a", "aten::b", "aten::c"):
            warnings.warn(NPU_WARNING.format(name), UserWarning, stacklevel=1)
        assert watch.fallbacks == ["aten::b", "aten::a", "aten::c"]


def test_a_watch_that_is_left_by_an_error_keeps_what_it_heard(device: Device) -> None:
    show = warnings.showwarning

    def fail() -> None:
        warnings.warn(NPU_WARNING.format("aten::a"), UserWarning, stacklevel=1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), device.watched() as watch:
        fail()
    assert watch.fallbacks == ["aten::a"]
    assert warnings.showwarning is show


@pytest.fixture
def real_npu(options: Options, monkeypatch: pytest.MonkeyPatch) -> npu.NPU:
    monkeypatch.setattr(watches, "_SAID", [])
    for name in ("TORCH_NPU_DISABLED_WARNING", "RANK"):
        monkeypatch.delenv(name, raising=False)
    return npu.NPU(name="npu:0", kind="npu")


def log(text: str) -> None:
    """Write below Python, as torch_npu does."""
    os.write(2, f"[W compiler_depend.ts:51] Warning: {text} (function npu_cpu_fallback)\n".encode())


def test_what_torch_npu_prints_is_heard_and_still_printed(real_npu: npu.NPU, capfd: pytest.CaptureFixture) -> None:
    with real_npu.watched() as watch:
        log(NPU_WARNING.format("aten::isin"))
        os.write(2, b"something else\n")
        log(NPU_WARNING.format("aten::gelu"))
        assert not capfd.readouterr().err
    assert watch.fallbacks == ["aten::isin", "aten::gelu"]
    printed = capfd.readouterr().err.splitlines()
    assert [line[:24] for line in printed] == ["[W compiler_depend.ts:51", "something else", "[W compiler_depend.ts:51"]
    log("afterwards")
    assert "afterwards" in capfd.readouterr().err


def test_what_torch_npu_names_once_in_a_process_is_remembered(real_npu: npu.NPU) -> None:
    with real_npu.watched() as first:
        log(NPU_WARNING.format("aten::isin"))
    with real_npu.watched() as second:
        pass
    assert (first.earlier, second.earlier, second.fallbacks) == ((), ("aten::isin",), [])


def test_a_body_that_raises_gives_stderr_back(real_npu: npu.NPU, capfd: pytest.CaptureFixture) -> None:
    def fail() -> None:
        log(NPU_WARNING.format("aten::isin"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), real_npu.watched() as watch:
        fail()
    assert watch.fallbacks == ["aten::isin"]
    assert "aten::isin" in capfd.readouterr().err


@pytest.mark.parametrize(("name", "value"), [("TORCH_NPU_DISABLED_WARNING", "1"), ("RANK", "3")])
def test_a_torch_npu_that_was_told_to_be_silent_makes_the_watch_deaf(
    name: str, value: str, real_npu: npu.NPU, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with real_npu.watched() as watch:
        pass
    assert value in (watch.deaf or "")


def test_a_stderr_that_is_closed_makes_the_watch_deaf(real_npu: npu.NPU, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(fd: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    with real_npu.watched() as watch:
        warnings.warn(NPU_WARNING.format("aten::a"), UserWarning, stacklevel=1)
    assert watch.fallbacks == ["aten::a"]
    assert "stderr cannot be read" in (watch.deaf or "")


def test_the_simulated_npu_warns_through_python_so_stderr_is_left_alone(real_npu: npu.NPU, capfd) -> None:
    sys.modules["torch_npu"].simulated = True  # type: ignore[attr-defined]
    with real_npu.watched() as watch:
        log("at once")
        assert "at once" in capfd.readouterr().err
        warnings.warn(NPU_WARNING.format("aten::gelu"), UserWarning, stacklevel=1)
    assert watch.fallbacks == ["aten::gelu"]
