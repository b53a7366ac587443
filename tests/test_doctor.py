"""What doctor finds: on machines that are put together in a folder, one thing broken at a time, and on this one.

Every broken set-up has the same machine, healthy, beside it: there the finding must not be.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from snellen.cli.main import main
from snellen.devices import ascend, cann, cards, looks, npu_smi, nvidia, probe, resolve, simulated, variables
from snellen.devices.system import Output, System, run
from snellen.doctor import folders, hub, packages
from snellen.doctor.look import look
from snellen.errors import DeviceUnavailable, UnknownName, UsageError
from snellen.records.doctor import DoctorRecord, Finding
from snellen.records.reading import read
from snellen.report.doctor import SIMULATED, page

SPEC = importlib.util.spec_from_file_location("fake_hub", Path(__file__).with_name("fake_hub.py"))
fake = importlib.util.module_from_spec(SPEC)
sys.modules["fake_hub"] = fake
SPEC.loader.exec_module(fake)

OUTPUTS = Path(__file__).parent / "tool_outputs"
HOME = "/usr/local/Ascend/ascend-toolkit/latest"
CPUINFO = "processor\t: 0\nmodel name\t: Abacus 9000\nflags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16 amx_tile\n"
MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:   12582912 kB\n"
MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n"


def recorded(name: str) -> str:
    return (OUTPUTS / name).read_text(encoding="utf-8")


def printed(name: str) -> Output:
    return Output(text=recorded(name))


def answer(**fields: object) -> Output:
    """Return what a device's own process prints."""
    return Output(text=f"a driver's chatter\nsnellen.devices.probe {json.dumps(fields)}\n")


COMPUTES = answer(error="", simulated=False, described={"product": "910B4", "cuda": "13.0"})
SILENT = answer(error="torch_npu is installed but does not load: libhccl.so", todo="source CANN's set_env.sh")
NOTHING = Output(code=None, errors="not found", missing=True)


class Commands:
    """Stands in for every command: the longest beginning that fits decides what is printed."""

    def __init__(self, printed: Mapping[str, Output]) -> None:
        self.printed, self.asked = dict(printed), []

    def __call__(self, command, seconds):
        assert 0 < seconds <= probe.SECONDS
        line = " ".join(command).replace(sys.executable, "python")
        self.asked.append(line)
        fits = [words for words in self.printed if line.startswith(words)]
        return self.printed[max(fits, key=len)] if fits else NOTHING


def host(root: Path) -> System:
    """Put together a machine of 8 processors without accelerators, on which nothing is wrong."""
    files = {"cpuinfo": CPUINFO, "meminfo": MEMINFO, "self/cgroup": "0::/\n", "self/mountinfo": MOUNTS}
    for name, text in files.items():
        write(root / "proc" / name, text)
    write(root / "home" / "notes", "")
    versions = {"torch": "2.9.0", "numpy": "2.2.1"}
    return System(
        root=root,
        home=root / "home",
        environ={},
        run=Commands({}),
        version=versions.get,
        requirements=lambda _: ("torch>=2.9", "numpy>=1.26", "timm>=9; extra == 'timm'"),
        free=lambda _: 2**40,
        processors=8,
        machine="aarch64",
        name="Linux",
    )


def with_npu(root: Path) -> System:
    """Add an NPU with everything that belongs to it."""
    system = host(root)
    home = root / HOME.lstrip("/")
    write(home / "aarch64-linux" / "ascend_toolkit_install.info", recorded("ascend_toolkit_install-8.5.0.info"))
    write(home.parent / "set_env.sh", "")
    commands = {
        "npu-smi info -t board": printed("npu-smi-board-23.0.5.txt"),
        "npu-smi info": printed("npu-smi-26.0.rc1-910b4.txt"),
        "python -m snellen.devices.probe npu": COMPUTES,
    }
    versions = {"torch": "2.9.0+cpu", "torch_npu": "2.9.0", "numpy": "1.26.4"}
    environ = {"ASCEND_HOME_PATH": HOME, "ASCEND_OPP_PATH": f"{HOME}/opp"}
    return replace(system, run=Commands(commands), version=versions.get, environ=environ)


def with_gpu(root: Path) -> System:
    """Add a GPU that nobody uses."""
    idle = recorded("nvidia-smi-query-gpu-h200.csv").replace("32362", "0")
    commands = {
        "nvidia-smi --query-gpu": Output(text=idle),
        "nvidia-smi --query-compute-apps": Output(text="gpu_uuid, pid, process_name, used_gpu_memory [MiB]\n"),
        "nvidia-smi": printed("nvidia-smi-590.48.01-h200.txt"),
        "python -m snellen.devices.probe cuda": COMPUTES,
    }
    versions = {"torch": "2.9.0+cu130", "numpy": "2.2.1"}
    return replace(host(root), run=Commands(commands), version=versions.get)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


Change = Callable[[System], System]


def environ(**changes: str | None) -> Change:
    def change(system: System) -> System:
        kept = {**system.environ, **changes}
        return replace(system, environ={name: value for name, value in kept.items() if value is not None})

    return change


def versions(**changes: str | None) -> Change:
    def change(system: System) -> System:
        names = ("torch", "torch_npu", "numpy")
        kept = {name: system.version(name) for name in names} | changes
        return replace(system, version=kept.get)

    return change


def commands(changes: Mapping[str, Output]) -> Change:
    def change(system: System) -> System:
        kept = {words: output for words, output in system.run.printed.items() if words not in changes}
        return replace(system, run=Commands({**changes, **kept}))

    return change


def both(*changes: Change) -> Change:
    def change(system: System) -> System:
        for each in changes:
            system = each(system)
        return system

    return change


def removed(*names: str) -> Change:
    def change(system: System) -> System:
        for name in names:
            for path in sorted(system.root.glob(name)):
                path.unlink()
        return system

    return change


def written(name: str, text: str) -> Change:
    def change(system: System) -> System:
        write(system.root / name, text)
        return system

    return change


def npu_smi_says(name: str) -> Change:
    return commands({"npu-smi info -t": Output(code=1), "npu-smi info": printed(name)})


def silent(kind: str) -> Change:
    return commands({f"python -m snellen.devices.probe {kind}": SILENT})


HIDDEN = both(environ(ASCEND_RT_VISIBLE_DEVICES="9"), silent("npu"))
NOT_SOURCED = environ(ASCEND_HOME_PATH=None, ASCEND_OPP_PATH=None)
QUOTA = written("sys/fs/cgroup/cpu.max", "200000 100000\n")

# What is wrong; the machine; the finding; how bad; what must be said of it; what must mend it.
BROKEN: dict[str, tuple[Change, Callable[[Path], System], str, str, str, str]] = {
    "no bfloat16": (
        written("proc/cpuinfo", CPUINFO.replace(" avx512_bf16", "")),
        host,
        *("cpu.bfloat16", "note", "no instructions for bfloat16", "--dtype float32"),
    ),
    "no products of 8 bits": (
        written("proc/cpuinfo", CPUINFO.replace(" avx512_vnni", "")),
        host,
        *("cpu.int8", "note", "no instructions for products of 8 bits", "--int8"),
    ),
    "instructions are not told": (removed("proc/cpuinfo"), host, "cpu.instructions", "note", "does not tell", "tune"),
    "a quota, and threads beyond it": (
        both(QUOTA, environ(OMP_NUM_THREADS="64")),
        host,
        *("cpu.threads", "warning", "OMP_NUM_THREADS=64, and this process has the time of 2", "OMP_NUM_THREADS=2"),
    ),
    "a quota, and nothing said": (
        QUOTA,
        host,
        *("cpu.threads", "warning", "8 processors, the time of 2 processors", "export OMP_NUM_THREADS=2"),
    ),
    "far fewer threads": (
        environ(MKL_NUM_THREADS="1"),
        host,
        *("cpu.threads", "warning", "MKL_NUM_THREADS=1, and this process has 8 processors", "MKL_NUM_THREADS=8"),
    ),
    "no number of threads": (
        environ(OMP_NUM_THREADS="many"),
        host,
        *("cpu.threads", "warning", "'many' is no number", "export OMP_NUM_THREADS=8"),
    ),
    "fewer instructions allowed": (
        environ(ONEDNN_MAX_CPU_ISA="AVX2"),
        host,
        *("cpu.variables", "warning", "ONEDNN_MAX_CPU_ISA=AVX2", "unset ONEDNN_MAX_CPU_ISA"),
    ),
    "less exact": (
        environ(ONEDNN_DEFAULT_FPMATH_MODE="BF16"),
        host,
        *("cpu.variables", "warning", "ONEDNN_DEFAULT_FPMATH_MODE=BF16", "unset ONEDNN_DEFAULT_FPMATH_MODE"),
    ),
    "bound threads": (
        environ(GOMP_CPU_AFFINITY="0-3"),
        host,
        *("cpu.variables", "note", "GOMP_CPU_AFFINITY=0-3", "unset GOMP_CPU_AFFINITY"),
    ),
    "little memory": (
        written("proc/meminfo", MEMINFO.replace("12582912", "1048576")),
        host,
        *("cpu.memory", "warning", "1.0 of 16.0 GiB free", "ps aux"),
    ),
    "not sourced": (
        both(NOT_SOURCED, silent("npu")),
        with_npu,
        *("npu.environment", "stop", "ASCEND_HOME_PATH and ASCEND_OPP_PATH not set", "source "),
    ),
    "not sourced, and it computes all the same": (
        NOT_SOURCED,
        with_npu,
        *("npu.environment", "warning", "CANN 8.5.0 lies in", "set_env.sh"),
    ),
    "sourced from somewhere else": (
        both(environ(ASCEND_HOME_PATH="/opt/gone"), silent("npu")),
        with_npu,
        *("npu.environment", "stop", "ASCEND_HOME_PATH=/opt/gone is no CANN", "set_env.sh"),
    ),
    "no CANN at all": (
        both(removed(f"{HOME[1:]}/*/*", "usr/local/Ascend/*/set_env.sh"), NOT_SOURCED, silent("npu")),
        with_npu,
        *("npu.cann", "stop", "no CANN below", "install the CANN toolkit"),
    ),
    "CANN without a version": (
        removed(f"{HOME[1:]}/*/*"),
        with_npu,
        *("npu.cann", "note", "tells the version of CANN", "version.cfg"),
    ),
    "CANN too old": (
        written(
            f"{HOME[1:]}/aarch64-linux/ascend_toolkit_install.info", recorded("ascend_toolkit_install-8.1.RC1.info")
        ),
        with_npu,
        *("npu.pair", "warning", "CANN 8.1.RC1 is older than the 8.5.0", "install CANN 8.5.0"),
    ),
    "CANN newer": (
        versions(torch="2.8.0", torch_npu="2.8.0"),
        with_npu,
        *("npu.pair", "note", "CANN 8.5.0 is newer than the 8.3.RC1", "install CANN 8.3.RC1"),
    ),
    "CANN of no release": (
        written(f"{HOME[1:]}/aarch64-linux/ascend_toolkit_install.info", "version=8.1.T18\n"),
        with_npu,
        *("npu.pair", "note", "CANN 8.1.T18 is no released version", "install CANN 8.5.0"),
    ),
    "torch_npu not in the table": (
        versions(torch="2.14.0", torch_npu="2.14.0"),
        with_npu,
        *("npu.pair", "note", "2.14.0 is not in the table", "COMPATIBILITY.md"),
    ),
    "torch_npu 2.9 beside torch 2.13": (
        both(versions(torch="2.13.0"), silent("npu")),
        with_npu,
        *("npu.torch", "stop", "torch_npu 2.9.0 beside torch 2.13.0", "pip install torch==2.9.0 torch_npu==2.9.0"),
    ),
    "torch_npu missing": (
        versions(torch_npu=None),
        with_npu,
        *("npu.run", "stop", "torch_npu is not installed", "pip install 'snellen[npu]'"),
    ),
    "torch_npu does not load": (silent("npu"), with_npu, "npu.run", "stop", "libhccl.so", "set_env.sh"),
    "the device's process dies": (
        commands({"python -m snellen.devices.probe npu": Output(code=-11, errors="Segmentation fault")}),
        with_npu,
        *("npu.run", "stop", "ended with signal 11: Segmentation fault", "python -m snellen.devices.probe npu:0"),
    ),
    "all devices hidden": (
        HIDDEN,
        with_npu,
        *("npu.visible", "stop", "leaves none of the 1 NPUs", "unset ASCEND_RT_VISIBLE_DEVICES"),
    ),
    "the rest of a list is not read": (
        both(environ(ASCEND_RT_VISIBLE_DEVICES="1, 2,3"), npu_smi_says("npu-smi-25.2.0-910b3.txt")),
        with_npu,
        *("npu.visible", "warning", "only 1 is read: ' 2,3'", "export ASCEND_RT_VISIBLE_DEVICES=1"),
    ),
    "out of order": (
        both(environ(ASCEND_RT_VISIBLE_DEVICES="3,1"), npu_smi_says("npu-smi-25.2.0-910b3.txt")),
        with_npu,
        *("npu.visible", "warning", "not in ascending order", "export ASCEND_RT_VISIBLE_DEVICES=1,3"),
    ),
    "set to nothing": (
        environ(ASCEND_RT_VISIBLE_DEVICES=""),
        with_npu,
        *("npu.visible", "warning", "is set, and to nothing", "unset ASCEND_RT_VISIBLE_DEVICES"),
    ),
    "memory used by others": (
        npu_smi_says("npu-smi-25.2.0-910b3.txt"),
        with_npu,
        *("npu.memory", "warning", "NPU 2: 41052 of 65536 MiB in use, process 1333928 holds 37709 MiB", "=0"),
    ),
    "memory full": (
        both(
            environ(ASCEND_RT_VISIBLE_DEVICES="0"),
            commands({"npu-smi info": Output(text=recorded("npu-smi-26.0.rc1-910b4.txt").replace(" 2871", "32700"))}),
        ),
        with_npu,
        *("npu.memory", "stop", "NPU 0: 32700 of 32768 MiB in use", "wait until they are done"),
    ),
    "not well": (
        npu_smi_says("npu-smi-25.0.rc1.b033-310p3.txt"),
        with_npu,
        *("npu.health", "warning", "NPU 4 chip 0 (npu:4) says of itself: Critical", "npu-smi info -t health -i 4"),
    ),
    "the driver lets nobody in": (
        both(
            commands({"npu-smi info": Output(code=255, text=recorded("npu-smi-dcmi-8005.txt"))}),
            silent("npu"),
        ),
        with_npu,
        *("npu.driver", "stop", "dcmi module initialize failed. ret is -8005", "--device /dev/davinci0"),
    ),
    "another container has the devices": (
        commands({"npu-smi info": Output(code=0, text=recorded("npu-smi-dcmi-8020.txt"))}),
        with_npu,
        *("npu.driver", "warning", "because the device is used. ret is -8020", "stop the other container"),
    ),
    "npu-smi prints something new": (
        commands(
            {"npu-smi info": Output(text=recorded("npu-smi-26.0.rc1-910b4.txt").replace("HBM-Usage", "HBM used"))}
        ),
        with_npu,
        *("npu.driver", "note", "could not be read", "npu-smi info"),
    ),
    "firmware of another release": (
        commands({"npu-smi info -t board": Output(text=recorded("npu-smi-board-23.0.5.txt").replace(": OK", ": NOK"))}),
        with_npu,
        *("npu.driver", "warning", "the two do not go together", "install the firmware"),
    ),
    "no queue": (
        environ(TASK_QUEUE_ENABLE="0"),
        with_npu,
        *("npu.variables", "warning", "TASK_QUEUE_ENABLE=0", "export TASK_QUEUE_ENABLE=2"),
    ),
    "a log between the data": (
        environ(ASCEND_SLOG_PRINT_TO_STDOUT="1"),
        with_npu,
        *("npu.variables", "warning", "ASCEND_SLOG_PRINT_TO_STDOUT=1", "ASCEND_SLOG_PRINT_TO_STDOUT=0"),
    ),
    "an allocator told how": (
        environ(PYTORCH_NPU_ALLOC_CONF="max_split_size_mb:512"),
        with_npu,
        *("npu.variables", "note", "max_split_size_mb:512", "unset PYTORCH_NPU_ALLOC_CONF"),
    ),
    "the variable of the container": (
        environ(ASCEND_VISIBLE_DEVICES="0"),
        with_npu,
        *("npu.variables", "note", "ASCEND_VISIBLE_DEVICES=0", "export ASCEND_RT_VISIBLE_DEVICES=0"),
    ),
    "no place for the log": (
        written("home/ascend", "a file where the folder should be"),
        with_npu,
        *("npu.log", "note", "cannot create its log folder", "export ASCEND_PROCESS_LOG_PATH="),
    ),
    "torch without CUDA": (
        both(versions(torch="2.9.0+cpu"), silent("cuda")),
        with_gpu,
        *("cuda.torch", "stop", "torch 2.9.0+cpu was built without CUDA", "CUDA 13.1 or before"),
    ),
    "a driver older than torch's CUDA": (
        commands(
            {
                "nvidia-smi": Output(text=recorded("nvidia-smi-590.48.01-h200.txt").replace("13.1", "12.4")),
            }
        ),
        with_gpu,
        *("cuda.torch", "warning", "built for CUDA 13.0; the driver runs up to 12.4", "update the driver"),
    ),
    "every GPU hidden": (
        both(environ(CUDA_VISIBLE_DEVICES=""), silent("cuda")),
        with_gpu,
        *("cuda.visible", "stop", "CUDA_VISIBLE_DEVICES= leaves none of the 1 GPUs", "unset CUDA_VISIBLE_DEVICES"),
    ),
    "parts of a GPU": (
        environ(CUDA_VISIBLE_DEVICES="MIG-12345"),
        with_gpu,
        *("cuda.visible", "note", "CUDA_VISIBLE_DEVICES=MIG-12345", "nvidia-smi -L"),
    ),
    "a GPU used by others": (
        commands(
            {
                "nvidia-smi --query-gpu": printed("nvidia-smi-query-gpu-h200.csv"),
                "nvidia-smi --query-compute-apps": printed("nvidia-smi-query-compute-apps-h200.csv"),
            }
        ),
        with_gpu,
        *("cuda.memory", "warning", "32362 of 143771 MiB in use, process 10309 (./gpu_burn) holds 28234 MiB", "wait"),
    ),
    "a driver that was changed": (
        both(
            commands({"nvidia-smi --query-gpu": Output(code=18, text=recorded("nvidia-smi-mismatch.txt"))}),
            written("proc/driver/nvidia/version", ""),
            silent("cuda"),
        ),
        with_gpu,
        *("cuda.driver", "stop", "Driver/library version mismatch", "sudo reboot"),
    ),
    "no driver": (
        both(
            commands({"nvidia-smi --query-gpu": Output(code=9, text=recorded("nvidia-smi-no-driver.txt"))}),
            written("dev/nvidia0", ""),
            silent("cuda"),
        ),
        with_gpu,
        *("cuda.driver", "stop", "couldn't communicate with the NVIDIA driver", "install the driver"),
    ),
    "nvidia-smi prints something new": (
        commands({"nvidia-smi --query-gpu": Output(text="index, uuid\n0, GPU-0\n")}),
        with_gpu,
        *("cuda.driver", "note", "could not be read", "nvidia-smi"),
    ),
    "every kernel waited for": (
        environ(CUDA_LAUNCH_BLOCKING="1"),
        with_gpu,
        *("cuda.variables", "warning", "CUDA_LAUNCH_BLOCKING=1", "unset CUDA_LAUNCH_BLOCKING"),
    ),
    "TF32 by decree": (
        environ(NVIDIA_TF32_OVERRIDE="1"),
        with_gpu,
        *("cuda.variables", "note", "NVIDIA_TF32_OVERRIDE=1", "unset NVIDIA_TF32_OVERRIDE"),
    ),
}


def found(system: System, name: str, device: str | None = None) -> list[Finding]:
    """Return what is not fine, of that name."""
    every = [finding for one in looks.look(device, system).values() for finding in one.findings]
    return [finding for finding in every if finding.name == name and finding.severity != "fine"]


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_found_and_only_there(what: str, tmp_path: Path) -> None:
    change, machine, name, severity, seen, mend = BROKEN[what]
    assert found(machine(tmp_path / "healthy"), name) == []
    (finding,) = found(change(machine(tmp_path / "broken")), name)
    assert finding.severity == severity
    assert seen in finding.seen
    assert mend in finding.mend
    assert finding.matters


@pytest.mark.parametrize("machine", [host, with_npu, with_gpu])
def test_on_a_healthy_machine_all_is_fine(machine: Callable[[Path], System], tmp_path: Path) -> None:
    seen = looks.look(None, machine(tmp_path))
    findings = [finding for one in seen.values() for finding in one.findings]
    assert {finding.severity for finding in findings} == {"fine"}
    assert all(finding.seen and not finding.mend for finding in findings)
    assert [name for name, one in seen.items() if one.there] == [
        "cpu",
        *({with_npu: ["npu"], with_gpu: ["cuda"]}.get(machine, [])),
    ]


def test_the_software_of_an_npu_is_told(tmp_path: Path) -> None:
    seen = looks.look("npu", with_npu(tmp_path))["npu"]
    assert seen.stack == {"torch_npu": "2.9.0", "cann": "8.5.0", "driver": "26.0.rc1", "firmware": "7.1.0.7.220"}
    assert seen.facts["cards"][0]["name"] == "910B4"
    assert seen.facts["cann"] == [{"home": str(tmp_path / HOME[1:]), "version": "8.5.0"}]
    said = [finding.seen for finding in seen.findings if finding.name == "npu.driver"]
    assert said == ["1 x 910B4, driver 26.0.rc1, firmware 7.1.0.7.220"]


def test_the_versions_of_the_driver_without_its_tool(tmp_path: Path) -> None:
    system = replace(host(tmp_path), version={}.get)
    write(tmp_path / "etc" / "ascend_install.info", recorded("ascend_install.info").replace("/usr/local", "/opt"))
    write(tmp_path / "opt" / "Ascend" / "driver" / "version.info", recorded("driver-24.1.rc1-version.info"))
    assert ascend.stack(system) == {"driver": "24.1.rc1"}
    write(tmp_path / "opt" / "Ascend" / "driver" / "version.info", recorded("driver-25.3.rc1-version.info"))
    assert ascend.stack(system) == {"driver": "25.3.rc1"}


def test_the_software_of_a_gpu_is_told(tmp_path: Path) -> None:
    seen = looks.look("cuda", with_gpu(tmp_path))["cuda"]
    assert seen.stack == {"driver": "590.48.01", "driver_cuda": "13.1", "torch_cuda": "13.0"}
    assert nvidia._CUDA.search(recorded("nvidia-smi-610.62-windows.txt"))[1] == "13.3"


def test_a_device_that_was_asked_for_and_is_not_there_stops_a_run(tmp_path: Path) -> None:
    for device in ("npu", "cuda"):
        (run_finding,) = found(commands({"python": SILENT})(host(tmp_path)), f"{device}.run", device)
        assert run_finding.severity == "stop"
        assert found(host(tmp_path), f"{device}.run") == []  # nobody asked, and there is none
        assert found(host(tmp_path), f"{device}.run", "cpu") == []
    silent_too = commands({"python -m snellen.devices.probe mps": SILENT})(host(tmp_path))
    assert [finding.severity for finding in found(silent_too, "mps.run", "mps")] == ["stop"]


def test_one_device_too_many(tmp_path: Path) -> None:
    system = both(silent("npu"), environ(ASCEND_RT_VISIBLE_DEVICES="0"))(with_npu(tmp_path))
    (finding,) = found(system, "npu.visible", "npu:1")
    assert (finding.severity, finding.mend) == ("stop", "--device npu:0, or unset ASCEND_RT_VISIBLE_DEVICES")
    assert found(system, "npu.visible", "npu:0") == []


def test_what_was_installed_for_an_npu_that_is_not_there(tmp_path: Path) -> None:
    system = replace(with_npu(tmp_path), run=Commands({}))
    (finding,) = found(system, "npu.absent")
    assert finding.severity == "note"
    assert finding.seen.startswith("torch_npu 2.9.0 and CANN 8.5.0 installed, and no NPU")
    assert found(replace(host(tmp_path / "bare")), "npu.absent") == []
    assert found(with_npu(tmp_path / "there"), "npu.absent") == []


def test_falling_back_to_the_cpu_is_said_where_it_is_allowed(tmp_path: Path) -> None:
    system = commands({"python": COMPUTES})(host(tmp_path))
    allowed = environ(PYTORCH_ENABLE_MPS_FALLBACK="1")(system)
    assert [finding.severity for finding in found(allowed, "mps.variables", "mps")] == ["warning"]
    assert found(system, "mps.variables", "mps") == []
    assert "mps" in looks.look(None, replace(system, name="Darwin"))
    assert "mps" not in looks.look(None, system)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("npuu", UnknownName),
        ("", UnknownName),
        ("npu:x", UsageError),
        ("cuda:", UsageError),
        ("cpu:1", DeviceUnavailable),
    ],
)
def test_what_is_no_device(name: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        looks.look(name, host(tmp_path))


# ---- what the tools print


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("npu-smi-25.2.0-910b3.txt", "25.2.0", (8, "NPU 0", "910B3", 3408, 65536)),
        ("npu-smi-25.2.3-ascend910.txt", "25.2.3", (6, "NPU 0 chip 0", "Ascend910", 53444, 65536)),
        ("npu-smi-25.0.rc1.b033-310p3.txt", "25.0.rc1.b033", (8, "NPU 1 chip 0", "310P3", 1607, 47304)),
        ("npu-smi-26.0.rc1-910b4.txt", "26.0.rc1", (1, "NPU 0", "910B4", 2871, 32768)),
        ("npu-smi-26-ascend910-process.txt", None, (1, "NPU 7", "Ascend910", 31877, 65536)),
        ("npu-smi-25.6-ascend950.txt", "25.6.rc1.b169", (2, "NPU 0", "Ascend950DT", 6632, 86016)),
    ],
)
def test_the_tables_of_npu_smi(name: str, version: str | None, expected: tuple) -> None:
    table = npu_smi.table(recorded(name))
    first = table.cards[0]
    assert table.version == version
    assert (len(table.cards), first.label, first.name, first.used_mib, first.total_mib) == expected
    assert [card.index for card in table.cards] == list(range(len(table.cards)))


def test_the_processes_of_npu_smi() -> None:
    table = npu_smi.table(recorded("npu-smi-25.2.3-ascend910.txt"))
    users = [[(user.pid, user.name, user.mib) for user in card.processes] for card in table.cards]
    assert users[0] == [(3325989, "", 50128), (3330598, "", 132), (3328327, "", 133), (3333165, "", 132)]
    assert users[1:4] == [[(3328327, "", 50119)], [(3330598, "", 50117)], [(3333165, "", 50119)]]
    assert users[4:] == [[], []]
    assert [card.busy for card in table.cards] == [True] * 4 + [False] * 2
    other = npu_smi.table(recorded("npu-smi-26-ascend910-process.txt"))
    assert other.cards[0].processes == ()  # the process listed is on another NPU
    listed = recorded("npu-smi-26-ascend910-process.txt").replace("| 0       0  ", "| 7       1  ")
    assert [user.name for user in npu_smi.table(listed).cards[0].processes] == ["python3.1"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Health", "State", "no table with a column 'Health'"),
        ("NPU   Name", "Card  Name", "headed 'Card  Name'"),
        ("Memory-Usage(MB)  HBM-Usage(MB)", "Memory", "names no memory"),
        ("3408 / 65536", "3408 of 65536", "does not have the memory"),
        ("| 0     910B3", "| a     910B3", "is not that of an NPU"),
        ("| 1333928       |", "| unknown       |", "is not that of a process"),
        (
            "| 0                         | 0000:C1:00.0  | 0           0    / 0          3408 / 65536         |\n",
            "",
            "two",
        ),
    ],
)
def test_a_table_of_npu_smi_that_changed_is_refused(before: str, after: str, said: str) -> None:
    text = recorded("npu-smi-25.2.0-910b3.txt")
    assert before in text
    with pytest.raises(ValueError, match=said):
        npu_smi.table(text.replace(before, after, 1))


def test_the_tables_of_nvidia_smi() -> None:
    found, driver = nvidia.gpus(recorded("nvidia-smi-query-gpu-h200.csv"))
    assert (found[0].name, found[0].used_mib, found[0].total_mib, driver) == ("NVIDIA H200", 32362, 143771, "590.48.01")
    (users,) = nvidia.processes(recorded("nvidia-smi-query-compute-apps-h200.csv")).values()
    assert [(user.pid, user.name, user.mib) for user in users][2] == (10309, "./gpu_burn", 28234)
    (untold,) = nvidia.processes(recorded("nvidia-smi-query-compute-apps-windows.csv")).values()
    assert untold[0].mib is None
    for text, said in (
        ("", "its header is ''"),
        (recorded("nvidia-smi-query-gpu-h200.csv").replace("memory.used", "used"), "its header is"),
        (recorded("nvidia-smi-query-gpu-h200.csv").replace("NVIDIA H200,", "NVIDIA, H200,"), "has 7 columns"),
        (recorded("nvidia-smi-query-gpu-h200.csv").replace("\n0,", "\nnone,"), "no number"),
    ):
        with pytest.raises(ValueError, match=said):
            nvidia.gpus(text)


def test_the_codes_of_a_driver_that_lets_nobody_in() -> None:
    assert npu_smi.refused(recorded("npu-smi-dcmi-8005.txt")) == "-8005"
    assert npu_smi.refused(recorded("npu-smi-dcmi-8020.txt")) == "-8020"
    assert npu_smi.refused(recorded("npu-smi-25.2.0-910b3.txt")) is None


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"aarch64-linux/ascend_toolkit_install.info": "ascend_toolkit_install-8.3.RC2.info"}, "8.3.RC2"),
        ({"x86_64-linux/ascend_toolkit_install.info": "ascend_toolkit_install-8.5.0.info"}, "8.5.0"),
        ({"version.cfg": "version-8.0.RC2.alpha001.cfg"}, "8.0.RC2.alpha001"),
        (
            {
                "version.cfg": "version-8.0.RC2.alpha001.cfg",
                "aarch64-linux/ascend_toolkit_install.info": "ascend_toolkit_install-8.5.0.info",
            },
            "8.5.0",
        ),
    ],
)
def test_the_version_of_cann_from_its_files(files: dict[str, str], version: str, tmp_path: Path) -> None:
    for name, source in files.items():
        write(tmp_path / "usr/local/Ascend/cann-8.5.0" / name, recorded(source))
    write(tmp_path / "usr/local/Ascend/cann-8.5.0" / "set_env.sh", "")
    (found,) = cann.installed(host(tmp_path))
    assert (found.version, found.script) == (version, tmp_path / "usr/local/Ascend/cann-8.5.0/set_env.sh")
    assert cann.in_use(host(tmp_path)) is None


def test_versions_of_cann_and_of_torch_npu_are_ordered() -> None:
    ordered = [
        "8.0.RC1",
        "8.0.RC3",
        "8.0.0",
        "8.1.RC1",
        "8.3.RC1",
        "8.3.RC2",
        "8.5.0",
        "8.5.1",
        "9.0.0-beta.1",
        "9.1.0",
    ]
    ranks = [cann.rank(version) for version in ordered]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)
    assert cann.rank("8.1.T18") is None
    assert cann.released_with("2.9.0") == ("8.5.0", "2.9.0")
    assert cann.released_with("2.9.0.post1") == ("8.5.0", "2.9.0")
    assert cann.released_with("2.9.0.post7+git1") == ("9.1.0", "2.9.0.post6")
    assert cann.released_with("2.6.1") is None
    assert all(cann.rank(version) for version in cann.RELEASED_WITH.values())


@pytest.mark.parametrize(
    ("text", "indices", "unread"),
    [
        (None, (0, 1, 2), ""),
        ("2,0", (2, 0), ""),
        ("0,0", (0,), "0"),
        ("-1", (), "-1"),
        ("", (), ""),
        ("0,7,1", (0,), "7,1"),
    ],
)
def test_which_devices_a_variable_leaves(text: str | None, indices: tuple[int, ...], unread: str) -> None:
    left = cards.chosen(text, 3, lambda entry: int(entry) if entry.isdigit() and int(entry) < 3 else None)
    assert (left.indices, left.unread) == (indices, unread)


# ---- commands, and devices in processes of their own


def test_a_command_never_raises(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], 60)
    assert (done.code, done.text, done.said) == (3, "out\n", "err / out")
    assert run(["snellen-has-no-such-command"], 1).missing
    assert run([str(tmp_path)], 1).code is None
    late = run([sys.executable, "-c", "import time; time.sleep(60)"], 0.2)
    assert (late.code, late.missing) == (None, False)
    assert "gave no answer within 0.2 s" in late.said
    assert Output(code=4).said == "exit code 4, and not a word"


def test_a_device_is_asked_the_way_a_run_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.answer("cpu") == {"error": "", "simulated": False, "described": resolve("cpu").describe()}
    assert probe.answer("cpu:3")["error"] == "there is no cpu:3"
    monkeypatch.setattr(probe, "_compute", lambda name: 1 / 0)
    assert probe.answer("cpu")["error"] == "ZeroDivisionError: division by zero"


def test_a_product_that_is_wrong_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SIDE", 4)
    assert probe._compute("cpu") == ""
    import torch

    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda one, other: one * 3)
    assert "multiplies ones by ones and gives" in probe._compute("cpu")


def test_a_simulated_device_answers_from_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SNELLEN_SIMULATE", "npu")
    record = look("npu", offline=True, system=replace(System(), root=tmp_path))
    (answered,) = [finding for finding in record.findings if finding.name == "npu.run"]
    assert (answered.severity, answered.seen) == ("fine", "npu:0 computes (simulated NPU)")
    assert record.facts["simulated"] is True
    assert "npu.simulated" in {finding.name for finding in record.findings if finding.severity == "warning"}
    assert page(record).startswith(SIMULATED)


def test_a_simulation_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks.simulated({}) == ()
    assert [finding.severity for finding in looks.simulated({"SNELLEN_SIMULATE": "npu:devices=1"})] == ["warning"]
    (wrong,) = looks.simulated({"SNELLEN_SIMULATE": "tpu"})
    assert (wrong.severity, wrong.mend) == ("stop", "SNELLEN_SIMULATE=npu")
    with simulated.configured(simulated.Settings()):
        assert [finding.severity for finding in looks.simulated({})] == ["note"]
        assert looks.look("npu", replace(System(), run=Commands({})))["npu"].findings[0].severity == "fine"
        assert resolve("npu").stack() == {"torch_npu": "0+simulated"}
    simulated.stop()


def test_the_variables_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert resolve("cpu").visible()["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "OMP_NUM_THREADS" not in resolve("cpu").visible()
    assert resolve("cpu").stack() == {}
    assert set(variables.DECIDING) == {"cpu", "cuda", "npu", "xpu", "mps"}
    assert not [name for names in variables.DECIDING.values() for name in names if "TOKEN" in name]


# ---- packages, folders, the hub


@pytest.mark.parametrize(
    ("installed", "name", "mend"),
    [
        ({"torch": "2.9.0"}, "packages.missing", "pip install 'numpy>=1.26'"),
        ({"torch": "2.8.0", "numpy": "1.26.4"}, "packages.old", "pip install 'torch>=2.9'"),
        ({"torch": "2.2.0", "numpy": "2.0.0"}, "packages.numpy", "pip install 'numpy<2'"),
    ],
)
def test_packages_that_do_not_go(installed: dict[str, str], name: str, mend: str, tmp_path: Path) -> None:
    broken, _ = packages.look(replace(host(tmp_path), version=installed.get))
    (finding,) = [finding for finding in broken if finding.name == name]
    assert (finding.severity, finding.mend) == ("stop", mend)
    fine, told = packages.look(host(tmp_path))
    assert [finding.severity for finding in fine] == ["fine"]
    assert told == {"torch": "2.9.0", "numpy": "2.2.1"}


def test_the_packages_that_are_here() -> None:
    findings, told = packages.look(System())
    assert [finding.name for finding in findings] == ["packages.versions"]
    assert {"torch", "numpy", "openvino"} <= set(told)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HUGGINGFACE_HUB_CACHE", "SNELLEN_CACHE_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in (("SNELLEN_CACHE", "own"), ("HF_HUB_CACHE", "hub"), ("MODELSCOPE_CACHE", "scope")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    write(tmp_path / "own" / "entries" / "a" / "file", "x" * 1000)
    (tmp_path / "own" / "link").symlink_to(tmp_path / "own" / "entries")
    return tmp_path


def severities(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.name: finding.severity for finding in findings}


def test_folders(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = host(places / "machine")
    findings, facts = folders.look(system)
    assert severities(findings) == {"cache.snellen": "fine", "cache.hub": "fine"}  # modelscope was never used
    assert facts["snellen"]["bytes"] == 1000
    assert facts["snellen"]["counted"] is True
    findings, _ = folders.look(replace(system, free=lambda _: 2**20))
    assert severities(findings) == {"cache.snellen": "warning", "cache.hub": "warning"}
    assert "0.00 GiB are free" in findings[0].seen
    assert "SNELLEN_CACHE=FOLDER" in findings[0].mend
    (places / "scope").mkdir()
    monkeypatch.setattr(folders, "ENTRIES", 1)
    findings, facts = folders.look(system)
    assert severities(findings)["cache.modelscope"] == "fine"
    assert facts["snellen"]["counted"] is False
    assert "at least" in findings[0].seen


def test_folders_that_cannot_be_written(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = host(places / "machine")
    monkeypatch.setenv("SNELLEN_CACHE", str(places / "own" / "entries" / "a" / "file" / "below"))
    findings, _ = folders.look(system)
    assert severities(findings) == {"cache.snellen": "warning", "cache.hub": "fine"}
    assert "cannot be written to" in findings[0].seen
    monkeypatch.setenv("SNELLEN_CACHE", str(places / "own"))
    monkeypatch.setattr(os, "access", lambda path, how: "own" not in str(path))
    assert severities(folders.look(system)[0])["cache.snellen"] == "warning"
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "lots")
    (finding, *_) = folders.look(system)[0]
    assert (finding.name, finding.severity) == ("cache.snellen", "warning")
    assert "which is no size" in finding.seen


@pytest.fixture
def server(places: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(places / "no token"))
    with fake.FakeHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_a_hub_that_answers(server, monkeypatch: pytest.MonkeyPatch) -> None:
    findings, facts = hub.look(offline=False)
    assert severities(findings) == {
        "hub.reachable": "fine",
        "hub.token": "note",
    }  # it has no such repository, and says so
    assert "a mirror (HF_ENDPOINT) answers" in findings[0].seen
    assert facts == {"endpoint": server.url, "offline": False, "token": False, "reachable": True}
    server.repos[hub.REPOSITORY] = fake.Repo({"model.safetensors": b""})
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    findings, facts = hub.look(offline=False)
    assert severities(findings) == {"hub.reachable": "fine", "hub.token": "fine"}
    assert "hf_secret" not in json.dumps([facts, *map(repr, findings)])
    assert server.count("GET", "/api/models/timm/") == 2


def test_a_hub_that_does_not_answer(server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "wrong")
    server.repos[hub.REPOSITORY] = fake.Repo({"model.safetensors": b""})
    (finding, *_), _ = hub.look(offline=False)
    assert (finding.name, finding.severity) == ("hub.reachable", "warning")
    monkeypatch.delenv("HF_TOKEN")
    server.repos[hub.REPOSITORY] = fake.Repo({"model.safetensors": b""}, status=503)
    assert "HTTP 503" in hub.look(offline=False)[0][0].seen
    monkeypatch.setenv("HF_ENDPOINT", "http://someone:secret@127.0.0.1:9")  # nobody listens there
    (finding, *_), facts = hub.look(offline=False)
    assert (finding.name, finding.severity) == ("hub.reachable", "warning")
    assert "unset HF_ENDPOINT" in finding.mend
    assert facts["endpoint"] == "http://127.0.0.1:9"
    assert "secret" not in finding.seen


def test_a_hub_that_is_not_asked(server, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding, *_), facts = hub.look(offline=True)
    assert finding.seen.endswith("not asked (--offline)")
    assert "reachable" not in facts
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (finding, *_), _ = hub.look(offline=False)
    assert (finding.name, finding.severity) == ("hub.offline", "note")
    assert server.requests == []


def test_a_hub_whose_library_is_broken_is_told_and_does_not_end_the_look(places, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    found = {each.name: each for each in look("cpu", offline=True, system=host(places / "machine")).findings}
    assert found["hub.package"].severity == "warning"
    assert "cache.hub" not in found
    assert "cache.snellen" in found


# ---- the whole


def test_the_record(places: Path) -> None:
    record = look("cpu", offline=True, system=host(places / "machine"))
    document = record.to_dict()
    assert json.loads(json.dumps(document)) == document | {"findings": [dict(each) for each in document["findings"]]}
    assert document["schema"] == "snellen.doctor/1"
    assert record.exit_code == 0
    again = read(DoctorRecord, {name: value for name, value in document.items() if name != "schema"})
    assert again == record
    assert set(record.facts["devices"]) == {"cpu"}
    whole = look(offline=True, system=host(places / "other"))
    assert [finding.seen for finding in whole.findings if finding.name == "devices.accelerators"] == [
        "none: nothing answers as cuda or npu"
    ]
    broken = look("npu", offline=True, system=both(NOT_SOURCED, silent("npu"))(with_npu(places / "third")))
    assert broken.exit_code == 1
    assert broken.facts["variables"] == {}
    assert look("npu", offline=True, system=with_npu(places / "fourth")).exit_code == 0


def test_the_page() -> None:
    long = "a sentence that goes on and on " * 8
    mend = "export A_VERY_LONG_COMMAND=" + "x" * 200
    record = DoctorRecord(
        findings=(
            Finding(name="cpu.one", severity="fine", seen=long),
            Finding(name="npu.two", severity="fine", seen="two"),
            Finding(name="cpu.three", severity="stop", seen=long, matters="it matters\x1b[31m", mend=mend),
            Finding(name="cpu.four", severity="note", seen="four"),
        ),
        facts={"system": "Linux 6 aarch64", "python": "3.12.1", "device": "npu", "simulated": False},
        started_at="2026-01-01T00:00:00+00:00",
        version="1.2.3",
    )
    lines = page(record, 70).splitlines()
    assert lines[0] == "snellen 1.2.3 on Linux 6 aarch64, Python 3.12.1: 1 STOP, 1 note, 2 ok"
    assert lines[1:3] == ["", "cpu"]
    assert lines[3].startswith("  STOP     three: a sentence")
    assert lines[-1] == "a run on npu would stop: cpu.three"
    assert f"           $ {mend}" in lines
    assert [line for line in lines if len(line) > 70] == [f"           $ {mend}"]
    assert "\x1b" not in "".join(lines)
    order = [line.strip() for line in lines if line in ("cpu", "npu") or ": " in line[:22]]
    assert [word.split(":")[0].split()[-1] for word in order[1:]] == ["three", "four", "one", "npu", "two"]
    fine = replace(record, findings=record.findings[:2], facts={**record.facts, "device": None, "simulated": True})
    assert page(fine, 70).splitlines()[0].startswith("SIMULATED: ")
    assert page(fine).splitlines()[-1] == "nothing that was seen would stop a run"


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch, places: Path) -> list[tuple]:
    """Let the command look at a machine that is put together: healthy, but for an NPU that was asked for."""
    asked: list[tuple] = []

    def instead(device, *, offline):
        asked.append((device, offline))
        system = with_npu(places / "machine")
        return look(device, offline=True, system=silent("npu")(system) if device == "npu" else system)

    monkeypatch.setattr("snellen.doctor.look.look", instead)
    return asked


def test_the_command(looked: list[tuple], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("nothing that was seen would stop a run\n")
    assert err == ""
    assert main(["doctor", "--device", "npu", "--offline", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "snellen.doctor/1"
    assert [each["name"] for each in document["findings"] if each["severity"] == "stop"] == ["npu.run"]
    assert main(["doctor", "--device", "npuu"]) == 2
    assert "did you mean npu" in capsys.readouterr().err
    assert looked == [(None, False), ("npu", True), ("npuu", False)]


def test_the_command_imports_no_torch() -> None:
    program = (
        "import sys; from snellen.cli.main import main; code = main(['doctor', '--device', 'cpu', '--offline']);"
        "heavy = [name for name in ('torch', 'numpy', 'openvino') if name in sys.modules];"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cpu" in done.stdout.splitlines()
