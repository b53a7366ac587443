"""The stand-in for torch_npu: what snellen, torch, timm and transformers ask of it, answered by the simulation.

``torch_npu.npu`` is ``torch.npu``, as with the real one.
"""

from __future__ import annotations

import importlib.machinery
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from snellen.devices.simulated.copies import card_of
from snellen.devices.simulated.machine import BLOCK, MACHINE, Card

VERSION = "0+simulated"
PRODUCT = "simulated NPU"

_NAMES = ("torch_npu", "torch_npu.npu")
_FUSED = ("npu_fusion_attention", "npu_rotary_mul")  # transformers imports them wherever it sees torch_npu
_CHOICES = {
    "ACL_PRECISION_MODE": ("allow_fp32_to_fp16", "must_keep_origin_dtype"),
    "ALLOW_CONV_HF32": ("enable", "disable"),
    "ALLOW_MATMUL_HF32": ("enable", "disable"),
}


class Hook(torch._C._acc.PrivateUse1Hooks):
    """What torch asks before it uses a device."""

    def is_available(self) -> bool:
        """Tell that there is a device."""
        return True

    def has_primary_context(self, device_index: int) -> bool:
        """Tell that every device is in use."""
        return True

    def is_built(self) -> bool:
        """Tell that the backend is part of this process."""
        return True


class Guard(torch._C._acc.DeviceGuard):
    """Tells torch whose guard this is; which device is current, torch cannot ask a backend made in Python."""

    def type_(self) -> Any:
        """Return torch's own name of the place for such a backend."""
        return torch._C._autograd.DeviceType.PrivateUse1


class AllowHF32:
    """A switch ``allow_hf32``, for one unit."""

    _option: str

    def __init__(self, option: str) -> None:
        object.__setattr__(self, "_option", option)

    def __getattr__(self, name: str) -> bool | None:
        return MACHINE.options[self._option] == "enable" if name == "allow_hf32" else None

    def __setattr__(self, name: str, value: bool) -> None:
        if name == "allow_hf32":
            MACHINE.options[self._option] = "enable" if value else "disable"


class Event:
    """A place in the queue, with the time at which it was reached."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self._card: Card | None = None
        self._reached: list[float] = []

    def record(self, stream: object = None) -> None:
        """Queue the event."""
        self._card = card_of(torch.device("npu"))
        reached: list[float] = []
        self._reached = reached
        self._card.put(lambda: reached.append(time.perf_counter()))

    def query(self) -> bool:
        """Tell whether everything before the event is done."""
        return self._card is None or bool(self._reached)

    def synchronize(self) -> None:
        """Wait for the event."""
        if self._card is not None:
            MACHINE.wait(self._card.index)

    def elapsed_time(self, end: Event) -> float:
        """Return the milliseconds between two events that have been reached."""
        if not self._reached or not end._reached:
            raise RuntimeError("Both events must be recorded and completed before calculating elapsed time.")
        return (end._reached[0] - self._reached[0]) * 1000


class Stream:
    """The one stream of a device."""

    def __init__(self, device: object = None, priority: int = 0) -> None:
        self.device = torch.device("npu", _index(device))

    def synchronize(self) -> None:
        """Wait for the device."""
        MACHINE.wait(self.device.index)

    def wait_stream(self, stream: object) -> None:
        """Return at once: there is one stream."""


class Device:
    """Make a device the current one, while it is entered."""

    def __init__(self, device: object) -> None:
        self._index, self._former = _index(device), 0

    def __enter__(self) -> None:
        self._former = MACHINE.current
        MACHINE.current = self._index

    def __exit__(self, *_: object) -> None:
        MACHINE.current = self._former


def npu_module() -> ModuleType:
    """Return the module that becomes ``torch.npu``."""
    module = _module("torch_npu.npu")
    for part in (_DEVICES, _MEMORY, _RANDOM):
        vars(module).update(part)
    vars(module).update(
        conv=AllowHF32("ALLOW_CONV_HF32"),
        matmul=AllowHF32("ALLOW_MATMUL_HF32"),
        set_option=_set_option,
        Event=Event,
        Stream=Stream,
        device=Device,
    )
    return module


def install() -> None:
    """Make the stand-in importable as torch_npu."""
    package = _module("torch_npu")
    npu = sys.modules["torch.npu"]
    package.npu = npu  # type: ignore[attr-defined]
    package.__version__ = VERSION  # type: ignore[attr-defined]
    package.__path__ = []
    package._C = SimpleNamespace(_npu_getOption=_get_option, _npu_setOption=_set_option)  # type: ignore[attr-defined]
    for name in _FUSED:
        setattr(package, name, _refusal(name))
    sys.modules.update(zip(_NAMES, (package, npu), strict=True))


def remove() -> None:
    """Take the stand-in out again."""
    for name in _NAMES:
        if getattr(sys.modules.get(name), "simulated", False):
            del sys.modules[name]


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"torch_npu.{name} is not simulated")

    return refuse


def _module(name: str) -> ModuleType:
    module = ModuleType(name, "Stand-in of the simulated npu; nothing here runs on an accelerator.")
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=name == "torch_npu")
    module.simulated = True  # type: ignore[attr-defined]
    return module


def _index(device: Any = None) -> int:
    if isinstance(device, int):
        return card_of(torch.device("npu", device)).index
    return card_of(torch.device(device if device is not None else "npu")).index


def _ledger(device: Any) -> Any:
    return MACHINE.cards[_index(device)].ledger


def _set_device(device: Any) -> None:
    MACHINE.current = _index(device)


def _set_option(option: dict[str, str]) -> None:
    for name, value in option.items():
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"value of {name} should be in {list(_CHOICES[name])} but got {value}")
        MACHINE.options[name] = str(value)


def _get_option(name: str) -> bytes | None:
    value = MACHINE.options.get(name)
    return None if value is None else value.encode()


def _properties(device: Any = None) -> SimpleNamespace:
    _index(device)
    return SimpleNamespace(name=PRODUCT, total_memory=MACHINE.settings.memory_bytes)


def _mem_get_info(device: Any = None) -> tuple[int, int]:
    total = MACHINE.settings.memory_bytes
    return total - _ledger(device).used, total


def _reset_peak(device: Any = None) -> None:
    ledger = _ledger(device)
    ledger.peak = ledger.used


def _memory_stats(device: Any = None) -> dict[str, int]:
    ledger = _ledger(device)
    return {"allocated_bytes.all.current": ledger.used, "allocated_bytes.all.peak": ledger.peak, "block_bytes": BLOCK}


def _synchronize(device: Any = None) -> None:
    MACHINE.wait(_index(device))


def _seed(_: int) -> None:
    """Do nothing: random numbers come from the host's generator, which torch.manual_seed seeds itself."""


def _stream(stream: Any) -> AbstractContextManager[Any]:
    return nullcontext(stream)


_DEVICES: dict[str, Callable[..., Any]] = {
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "init": lambda: None,
    "_lazy_init": lambda: None,
    "_is_in_bad_fork": lambda: False,
    "device_count": lambda: MACHINE.settings.devices,
    "current_device": lambda: MACHINE.current,
    "set_device": _set_device,
    "synchronize": _synchronize,
    "get_device_name": lambda device=None: _properties(device).name,
    "get_device_properties": _properties,
    "current_stream": lambda device=None: Stream(device),
    "default_stream": lambda device=None: Stream(device),
    "stream": _stream,
    "get_amp_supported_dtype": lambda: [torch.float16, torch.bfloat16],
    "is_bf16_supported": lambda: True,
}
_MEMORY: dict[str, Callable[..., Any]] = {
    "mem_get_info": _mem_get_info,
    "memory_allocated": lambda device=None: _ledger(device).used,
    "max_memory_allocated": lambda device=None: _ledger(device).peak,
    "memory_reserved": lambda device=None: _ledger(device).used,
    "max_memory_reserved": lambda device=None: _ledger(device).peak,
    "reset_peak_memory_stats": _reset_peak,
    "reset_max_memory_allocated": _reset_peak,
    "memory_stats": _memory_stats,
    "empty_cache": lambda: None,
}
_RANDOM: dict[str, Callable[..., Any]] = {
    "manual_seed": _seed,
    "manual_seed_all": _seed,
}
