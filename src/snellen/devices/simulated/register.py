"""Bring the simulated NPU into torch: its name, its factories, its autocast, and the stand-in for torch_npu."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import torch
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from snellen.devices.simulated import autocast, dispatch, package
from snellen.devices.simulated.copies import card_of, to_copy
from snellen.devices.simulated.machine import MACHINE
from snellen.devices.simulated.operators import convert
from snellen.devices.simulated.tensor import SimulatedTensor, adopt, allocate, on_dispatch, single
from snellen.errors import UsageError

FACTORIES = (
    *("arange", "arange.start", "arange.start_step", "linspace", "logspace", "eye", "eye.m", "full", "zeros", "ones"),
    *("scalar_tensor", "rand", "randn", "randint", "randint.low", "randperm", "tril_indices", "triu_indices"),
)
"""What makes tensors from nothing and would otherwise make an empty one and resize it, which is not simulated."""

_LIBRARIES: list[torch.library.Library] = []  # registrations end with the objects


def register() -> None:
    """Register everything, once; afterwards only the stand-in is put back where it has been taken out.

    Raises UsageError where the place is taken.
    """
    if MACHINE.registered:
        _check_package()
        package.install()
        return
    _check_package()
    taken = torch._C._get_privateuse1_backend_name()
    if taken != "privateuseone":
        raise UsageError(
            f"torch's place for a backend of somebody's own is taken by {taken!r}",
            expected="a process in which no such backend has been registered",
            todo="start the simulated npu in a process of its own",
        )
    _register()
    package.install()
    MACHINE.registered = True


def _register() -> None:
    on_dispatch(dispatch.run)
    _setup_privateuseone_for_python_backend(
        "npu", backend_module=package.npu_module(), hook=package.Hook(), device_guard=package.Guard()
    )
    everything = torch.library.Library("_", "IMPL")
    everything.fallback(_made, "PrivateUse1")
    everything.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    operators = torch.library.Library("aten", "IMPL")
    for name in FACTORIES:
        operators.impl(name, _factory(name), "PrivateUse1")
    operators.impl("_to_copy", to_copy, "PrivateUse1")  # torch.tensor(..., device="npu") finds no other way
    operators.impl("scaled_dot_product_attention", _attention, "AutogradPrivateUse1")
    autocast.register(operators)
    _LIBRARIES.extend([everything, operators])


def _check_package() -> None:
    """Refuse to stand in for a torch_npu that is there."""
    loaded = sys.modules.get("torch_npu")
    if loaded is not None:
        there = not getattr(loaded, "simulated", False)
    else:
        there = "torch_npu" not in sys.modules and importlib.util.find_spec("torch_npu") is not None
    if there:
        raise UsageError(
            "torch_npu is installed here: its npu is not simulated beside it",
            expected="an environment without torch_npu",
            todo="leave --simulate out to use the real npu",
        )


def _factory(name: str) -> Any:
    packet, _, overload = name.partition(".")
    func = getattr(getattr(torch.ops.aten, packet), overload or "default")
    return lambda *args, **kwargs: _made(func, *args, **kwargs)


def _made(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Make a tensor from nothing: torch asks for it by device, with no tensor among the arguments."""
    found: list[SimulatedTensor] = []
    convert((args, kwargs), lambda tensor: found.append(tensor) if isinstance(tensor, SimulatedTensor) else None)
    if found:
        return dispatch.run(func, args, kwargs)
    card = card_of(torch.device(kwargs.get("device") or "npu"))
    plain = {**kwargs, "pin_memory": False}
    shape = func(*args, **{**plain, "device": torch.device("meta")})
    if func._schema.name in ("aten::empty", "aten::empty_strided"):
        return allocate(card, shape.shape, shape.stride(), shape.dtype)
    with torch.inference_mode():
        raw = func(*args, **{**plain, "device": torch.device("cpu")})
        single(raw)
    return adopt(card, raw)


def _attention(*args: Any, **kwargs: Any) -> Any:
    """Keep attention one operator outside inference mode too, unless gradients are wanted."""
    func = torch.ops.aten.scaled_dot_product_attention.default
    if torch.is_grad_enabled() and any(isinstance(arg, torch.Tensor) and arg.requires_grad for arg in args):
        return torch.ops.aten._scaled_dot_product_attention_math.default(*args, **kwargs)[0]
    return dispatch.run(func, args, kwargs)
