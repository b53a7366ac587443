"""Every kind of device through one contract; those that are not on this machine are simulated.

``SNELLEN_TEST_DEVICES=cpu,cuda`` names the real devices to test; one that is named and missing fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import types
from pathlib import Path

import pytest
import torch

from snellen.devices import DTYPES, Device, processor, quota, resolve
from snellen.errors import DeviceUnavailable, MissingPackage, UnknownName, UsageError

REAL = tuple(os.environ.get("SNELLEN_TEST_DEVICES", "cpu").split(","))
FAKE = ("fake cuda:1", "fake npu:1", "fake xpu:0", "fake mps:0")


class FakeBackend(types.SimpleNamespace):
    """What torch.cuda and torch.npu offer, for two devices that compute nothing."""

    def __init__(self) -> None:
        super().__init__(waited=[], capability=(8, 0))

    def is_available(self):
        return True

    def device_count(self):
        return 2

    def synchronize(self, index):
        self.waited.append(index)

    def mem_get_info(self, index):
        return 3, 4

    def max_memory_allocated(self, index):
        return 1

    def get_device_name(self, index):
        return f"Fake {index}"

    def get_device_capability(self, index):
        return self.capability

    def get_device_properties(self, index):
        return types.SimpleNamespace(name=f"Fake {index}", total_memory=4, major=8, minor=0)


def simulate(kind: str, monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    backend = FakeBackend()
    if kind == "npu":
        package = types.ModuleType("torch_npu")
        package.npu, package.__version__ = backend, "2.9.0"  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torch_npu", package)
    else:
        monkeypatch.setattr(torch, kind, backend)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device(kind))
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
        monkeypatch.setattr(torch.accelerator, "synchronize", backend.synchronize)
    return backend


@pytest.fixture(params=[*REAL, *FAKE])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Device:
    fake, _, name = request.param.rpartition(" ")
    if fake:
        simulate(name.partition(":")[0], monkeypatch)
    return resolve(name)


def test_the_contract(device: Device) -> None:
    assert resolve(device.name) == device
    assert device.torch_name.partition(":")[0] == device.kind
    described = device.describe()
    assert json.loads(json.dumps(described)) == described
    assert device.simulated is False
    assert "simulated" not in described
    assert described["name"] == device.name
    assert described["kind"] == device.kind
    assert described["product"]
    device.synchronize()
    memory = device.memory()
    assert memory is None or (0 < memory["free"] <= memory["total"] and memory["peak"] >= 0)


def test_each_dtype_is_taken_or_refused_with_a_reason_and_an_offer_that_is_taken(device: Device) -> None:
    device.check_dtype("float32")
    assert set(device.refused()) <= set(DTYPES)
    for dtype, reason in device.refused().items():
        with pytest.raises(DeviceUnavailable) as caught:
            device.check_dtype(dtype)
        assert reason in str(caught.value)
        assert caught.value.todo.startswith("--dtype ")
        device.check_dtype(caught.value.todo.removeprefix("--dtype "))
    with pytest.raises(UnknownName, match="did you mean bfloat16"):
        device.check_dtype("bfloat61")


@pytest.mark.parametrize("name", REAL)
def test_a_real_device_computes_in_every_dtype_it_takes(name: str) -> None:
    device = resolve(name)
    for dtype in set(DTYPES) - set(device.refused()):
        x = torch.full((4, 4), 0.5, dtype=getattr(torch, dtype), device=device.torch_name)
        assert (x @ x).dtype == getattr(torch, dtype)
        device.synchronize()


def test_the_dtypes_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(resolve("cpu").refused()) == {"float16"}
    backend = simulate("cuda", monkeypatch)
    assert not resolve("cuda").refused()
    backend.capability = (7, 5)
    assert set(resolve("cuda").refused()) == {"bfloat16"}
    simulate("npu", monkeypatch)
    assert set(resolve("npu").refused()) == {"float64"}
    simulate("mps", monkeypatch)
    assert set(resolve("mps").refused()) == {"float64"}


def test_the_refusal_of_float16_on_a_cpu_in_full() -> None:
    with pytest.raises(DeviceUnavailable) as caught:
        resolve("cpu").check_dtype("float16")
    assert str(caught.value) == (
        "float16 is refused on cpu: "
        "torch multiplies float16 matrices on a CPU about 200 times slower than float32 ones\n"
        "  expected: float32 or bfloat16 or float64 on cpu\n"
        "  next: --dtype bfloat16"
    )


@pytest.mark.parametrize("kind", ["cuda", "npu"])
def test_synchronize_waits_for_the_device_it_names(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = simulate(kind, monkeypatch)
    resolve(f"{kind}:1").synchronize()
    assert backend.waited == [1]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("cudaa", UnknownName, "did you mean cuda"),
        ("gpu", UnknownName, "one of cpu, cuda, npu, xpu, mps"),
        ("", UnknownName, "no device named ''"),
        ("cuda:one", UsageError, "the index 'one'"),
        ("cuda:", UsageError, "the index ''"),
        ("cuda:-1", UsageError, "the index '-1'"),
        ("cuda:7", DeviceUnavailable, "no cuda:7 on this machine \\(2 found\\)\n  expected: cuda:0 to cuda:1"),
        ("npu:2", DeviceUnavailable, "no npu:2 on this machine \\(2 found\\)"),
        ("cpu:1", DeviceUnavailable, "there is no cpu:1"),
    ],
)
def test_names_that_find_nothing(name: str, error: type[Exception], message: str, monkeypatch) -> None:
    simulate("cuda", monkeypatch)
    simulate("npu", monkeypatch)
    with pytest.raises(error, match=message):
        resolve(name)


def test_none_present(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = simulate("cuda", monkeypatch)
    monkeypatch.setattr(backend, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    for kind in ("cuda", "xpu", "mps"):
        with pytest.raises(DeviceUnavailable, match=f"there is no {kind} device on this machine \\(0 found\\)"):
            resolve(kind)


def test_npu_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    with pytest.raises(MissingPackage, match=r"pip install 'snellen\[npu\]'"):
        resolve("npu")


def test_npu_whose_package_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "torch_npu.py").write_text("raise ImportError('libascendcl.so: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_npu", raising=False)
    with pytest.raises(DeviceUnavailable, match="does not load: libascendcl"):
        resolve("npu")


def test_an_npu_whose_package_is_the_stand_in_says_that_it_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate("npu", monkeypatch)
    sys.modules["torch_npu"].simulated = True  # type: ignore[attr-defined]
    assert resolve("npu").simulated is True
    assert resolve("npu").describe()["simulated"] is True
    sys.modules["torch_npu"].simulated = False  # type: ignore[attr-defined]
    assert resolve("npu").simulated is False
    assert "simulated" not in resolve("npu").describe()


@pytest.mark.parametrize(
    ("kind", "variable"),
    [("cpu", "ONEDNN_DEFAULT_FPMATH_MODE"), ("cuda", "NVIDIA_TF32_OVERRIDE"), ("mps", "PYTORCH_ENABLE_MPS_FALLBACK")],
)
def test_variables_that_change_the_numbers_are_described(kind: str, variable: str, monkeypatch) -> None:
    if kind != "cpu":
        simulate(kind, monkeypatch)
    monkeypatch.delenv(variable, raising=False)
    assert variable not in resolve(kind).describe().get("environment", {})
    monkeypatch.setenv(variable, "1")
    assert resolve(kind).describe()["environment"][variable] == "1"


CPUINFO = """processor\t: 0
cpu family\t: 6
model\t\t: 143
model name\t: Abacus;  9000
stepping\t: 8
flags\t\t: fpu avx2 avx512_bf16

processor\t: 1
model name\t: Abacus 1
"""


def test_a_processor_is_named_so_that_no_other_has_its_name(tmp_path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    flags = hashlib.sha256(b"fpu avx2 avx512_bf16").hexdigest()[:8]
    same = processor.text(tmp_path)
    assert same == f"Abacus, 9000 6 143 8 {platform.machine()} flags {flags}"
    for before, after in (("9000", "9001"), ("stepping\t: 8", "stepping\t: 9"), ("avx2 ", ""), ("143", "144")):
        (tmp_path / "cpuinfo").write_text(CPUINFO.replace(before, after))
        assert processor.text(tmp_path) != same
    (tmp_path / "cpuinfo").write_text(CPUINFO.replace("Abacus 1", "Abacus 2"))
    assert processor.text(tmp_path) == same  # the first is described
    assert processor.flags(processor.told(tmp_path)) == {"fpu", "avx2", "avx512_bf16"}
    assert processor.flags(processor.told(tmp_path / "nowhere")) is None
    assert processor.text(tmp_path / "nowhere") == processor.product({})


def test_the_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "processors", lambda: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6}, raising=False)
    assert processor.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert processor.cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processor.cores() == 1


def test_the_cores_are_no_more_than_a_container_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    for allowed, cores in ((None, 16), (32.0, 16), (2.0, 2), (2.5, 3), (0.25, 1)):
        monkeypatch.setattr(quota, "processors", lambda allowed=allowed: allowed)
        assert processor.cores() == cores


V2 = "30 23 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw"
V1 = "32 31 0:29 {} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"


def system(root: Path, group: str, mounts: str, files: dict[str, str]) -> Path:
    """Write what a system says of control groups into a folder."""
    for name, text in {"proc/self/cgroup": group, "proc/self/mountinfo": mounts, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("group", "mounts", "files", "allowed"),
    [
        ("0::/", V2, {"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ("0::/", V2, {"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ("0::/", V2, {"sys/fs/cgroup/cpu.max": "nonsense"}, None),
        ("0::/", V2, {}, None),
        ("0::/a/b", V2, {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "400000 100000"}, 4.0),
        ("0::/a/b", V2, {"sys/fs/cgroup/a/b/cpu.max": "1 1", "sys/fs/cgroup/a/cpu.max": "4 1"}, 1.0),
        ("0::/a", V2, {"sys/fs/cgroup/b/cpu.max": "100000 100000"}, None),  # another's
        (
            "8:memory:/x\n3:cpu,cpuacct:/docker/1",
            V1.format("/docker/1"),
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            2.0,
        ),
        (
            "3:cpu,cpuacct:/docker/1\n0::/",
            f"{V1.format('/')}\n{V2}",
            {
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            0.5,
        ),
        ("3:cpuset:/", V1.format("/"), {}, None),
        ("", "", {}, None),
    ],
)
def test_the_time_that_control_groups_allow(tmp_path: Path, group, mounts, files, allowed) -> None:
    assert quota.processors(system(tmp_path, group, mounts, files)) == allowed
    assert quota.processors(tmp_path / "nowhere") is None


def test_the_system_keeps_no_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.read_text", lambda *a, **k: (_ for _ in ()).throw(OSError()))
    cpu = resolve("cpu")
    assert cpu.memory() is None
    assert cpu.describe()["bfloat16_instructions"] is None
