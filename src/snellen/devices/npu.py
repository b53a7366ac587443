"""Ascend NPUs, through torch_npu, which adds ``torch.npu`` when it is imported."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from snellen.devices.base import Device, check_present
from snellen.devices.switches import Switch, autocast, flag
from snellen.devices.watch import Watch, watching
from snellen.errors import DeviceUnavailable, MissingPackage

# Options of torch_npu and the values that are set here, the strict one first.
_PRECISION_MODE = "ACL_PRECISION_MODE"
_OPTIONS = {"ACL_PRECISION_MODE": ("must_keep_origin_dtype", "allow_fp32_to_fp16")}


@dataclass(frozen=True, kw_only=True)
class NPU(Device):
    """One Ascend NPU."""

    @property
    def simulated(self) -> bool:
        """Whether the stand-in of ``snellen.devices.simulated`` answers for torch_npu."""
        return bool(getattr(_package(), "simulated", False))

    def refused(self) -> dict[str, str]:
        """Refuse float64."""
        return {"float64": "an NPU computes double precision as single, without a word"}

    def describe(self) -> dict[str, Any]:
        """Return product, memory and the version of torch_npu."""
        npu = _package().npu
        properties = npu.get_device_properties(self.index)
        return {
            "name": self.name,
            "kind": self.kind,
            "product": npu.get_device_name(self.index),
            "total_bytes": properties.total_memory,
            "torch_npu": _package().__version__,
            **({"simulated": True} if self.simulated else {}),
        }

    def synchronize(self) -> None:
        """Wait for the NPU."""
        _package().npu.synchronize(self.index)

    def memory(self) -> dict[str, int] | None:
        """Return free and total bytes of the NPU and the peak that torch_npu has held."""
        npu = _package().npu
        free, total = npu.mem_get_info(self.index)
        return {"free": free, "total": total, "peak": npu.max_memory_allocated(self.index)}

    def switches(self) -> tuple[Switch, ...]:
        """Return the hf32 switches, what torch_npu was told of its precision mode and cube unit, and autocast.

        Source: npu_config.py in torch_npu 2.9 to 2.13. The kernel of attention cannot be chosen on an NPU: torch_npu
        says of those switches that they are not looked at.
        """
        conv, matmul = _package().npu.conv, _package().npu.matmul
        # torch_npu.npu.aclnn.allow_hf32 is the switch of convolutions under a second name.
        return (
            flag(
                "torch.npu.conv.allow_hf32",
                lambda: conv.allow_hf32,
                lambda on: setattr(conv, "allow_hf32", on),
                strict="False",
                lowers="convolution",
            ),
            flag(
                "torch.npu.matmul.allow_hf32",
                lambda: matmul.allow_hf32,
                lambda on: setattr(matmul, "allow_hf32", on),
                strict="False",
                lowers="matmul",
            ),
            *_precision_mode(),
            *_cube_math_type(),
            *autocast("npu"),
        )

    def watched(self) -> AbstractContextManager[Watch]:
        """Open a watch that reads stderr too: torch_npu's warnings go there, past Python's."""
        return watching(printed=not self.simulated, deaf=_deaf())

    def stack(self) -> dict[str, str]:
        """Return the versions of torch_npu, CANN, driver and firmware; a simulated NPU has the first only."""
        from snellen.devices import ascend
        from snellen.devices.system import System

        found = {} if self.simulated else ascend.stack(System())
        return found | {"torch_npu": str(_package().__version__)}

    def leavings(self) -> tuple[str, ...]:
        """Return what CANN's compiler writes: what it fused, and the operators it made."""
        return ("fusion_result.json", "kernel_meta", "kernel_meta_*")


def find(index: int) -> NPU:
    """Return an NPU that is there.

    Raises MissingPackage without torch_npu, DeviceUnavailable saying how many NPUs there are.
    """
    npu = _package().npu
    check_present("npu", index, npu.device_count() if npu.is_available() else 0)
    return NPU(name=f"npu:{index}", kind="npu", index=index)


def _precision_mode() -> tuple[Switch, ...]:
    """Return the switch of the precision mode where it was set.

    Where it was not, CANN takes a default that depends on the chip, and nothing tells which; nor could it be unset
    again.
    """
    option: Callable[[str], bytes | None] | None = getattr(getattr(_package(), "_C", None), "_npu_getOption", None)
    if option is None or not option(_PRECISION_MODE):
        return ()

    def write(text: str) -> None:
        _package().npu.set_option({_PRECISION_MODE: text})

    values = _OPTIONS[_PRECISION_MODE]
    name = f"torch.npu.set_option: {_PRECISION_MODE}"
    return (Switch(name, lambda: _text(option(_PRECISION_MODE)), write, values[0], "all", values),)


def _cube_math_type() -> tuple[Switch, ...]:
    """Return the switch of the cube unit's arithmetic where it was set; unset, the hf32 switches decide."""
    npu = _package().npu
    if getattr(npu, "CubeMathType", None) is None or getattr(npu.matmul, "cube_math_type", None) is None:
        return ()

    def read() -> str:
        return str(npu.CubeMathType(npu.matmul.cube_math_type).name)

    def write(text: str) -> None:
        npu.matmul.cube_math_type = npu.CubeMathType[text]

    values = tuple(str(kind.name) for kind in npu.CubeMathType)
    strict = str(npu.CubeMathType.KEEP_DTYPE.name)
    return (Switch("torch.npu.matmul.cube_math_type", read, write, strict, "matmul", values),)


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace") if value else ""


def _deaf() -> str | None:
    """Say why torch_npu would keep silent about fallbacks, if it would; source: OptionsManager::ShouldPrintWarning."""
    if os.environ.get("TORCH_NPU_DISABLED_WARNING") == "1":
        return "TORCH_NPU_DISABLED_WARNING=1 silences torch_npu"
    rank = os.environ.get("RANK", "0")
    return None if rank in ("0", "-1") else f"torch_npu warns in the process of rank 0 only, and this one is {rank}"


def _package() -> Any:
    """Import torch_npu, which carries no types, and say what is wrong where that fails."""
    try:
        return importlib.import_module("torch_npu")
    except ModuleNotFoundError as error:
        if error.name != "torch_npu":
            raise _broken(error) from error
        raise MissingPackage(
            "the npu needs the package torch_npu, which is not installed",
            expected="the torch_npu that was built for this version of torch and CANN",
            todo="pip install 'snellen[npu]', and source CANN's set_env.sh",
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> DeviceUnavailable:
    return DeviceUnavailable(
        f"torch_npu is installed but does not load: {error}",
        expected="CANN installed, its set_env.sh sourced, and a torch_npu built for this torch",
        todo="source CANN's set_env.sh, then try python -c 'import torch_npu'",
    )
