"""A module or a function of the user's own as a runner.

In: whatever maps pixels to features. Out: the contract. The user's module is never changed: where it lies elsewhere or
computes in another dtype, a copy is moved.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from snellen.devices import Device
from snellen.encoders.build import build
from snellen.encoders.convnext import ConvNeXt
from snellen.encoders.features import Features, Tap
from snellen.encoders.vit import ViT
from snellen.errors import UsageError
from snellen.model.model import Model
from snellen.runtimes.base import Runner, check_tap
from snellen.runtimes.outputs import a, understood
from snellen.runtimes.parameters import check_range, tensors_of

NO_STAGES = "a candidate of one's own shows stages where it has an attribute stages and takes tap="


class Own(Runner):
    """A function from pixels to features."""

    def __init__(self, fn: Callable[..., Any], model: Model, device: Device, dtype: str) -> None:
        self.runtime, self.device, self.dtype, self.note = "callable", device, dtype, NO_STAGES
        self.like = build(model.encoder.config)  # our own encoder without memory: it knows sizes and shapes
        self.fn: Callable[..., Any] | None = fn
        self.given = torch.float32  # the dtype in which pixels are handed over

    @torch.inference_mode()
    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Call the function with pixels on the device; what it returns is brought to features."""
        assert self.fn is not None  # not closed
        check_tap(self, tap)
        grid = self.like.grid(pixels)
        there = pixels.to(self.device.torch_name).to(self.given)
        output = self.fn(there) if tap is None else self.fn(there, tap=tap)
        return understood(output, self.like.config, grid, len(pixels))

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Return a module's parameters and buffers; a function's cannot be looked at."""
        return tensors_of(self.fn if isinstance(self.fn, nn.Module) else None)

    def close(self) -> None:
        """Let go of the function, or the module."""
        self.fn = None


def of_callable(fn: Callable[..., Any], model: Model, device: Device, dtype: str) -> Own:
    """Return a function as a runner: it is given float32 pixels on ``device``, and casts them as it likes.

    ``dtype`` is what it is said to compute in. It shows no stages. Raises UsageError for what cannot be called.
    """
    device.check_dtype(dtype)
    if not callable(fn):
        raise UsageError(f"the candidate is {a(type(fn).__name__)}", expected="a module, or a function of pixels")
    return Own(fn, model, device, dtype)


def of_module(module: nn.Module, model: Model, device: Device, dtype: str) -> Own:
    """Return a module as a runner: itself where it is on ``device`` in ``dtype``, else a copy that is moved there.

    It shows stages where it has an attribute ``stages`` and its forward takes ``tap``. Raises UsageError for a module
    in training mode, and for one that cannot be copied.
    """
    device.check_dtype(dtype)
    if any(part.training for part in module.modules()):
        raise UsageError(
            "the candidate is in training mode, in which dropout and batch statistics change the numbers",
            expected="a module in evaluation mode",
            todo="call its eval() first",
        )
    placed, note = _placed(module, device, getattr(torch, dtype))
    runner = Own(placed, model, device, dtype)
    runner.runtime = "module"
    runner.ours = any(isinstance(part, (ViT, ConvNeXt)) for part in placed.modules())
    runner.given = _first_dtype(placed) or runner.given
    own = _stages(placed)
    strange = [name for name in own if name not in runner.like.stages]
    runner.stages = () if strange else own
    unseen = f"its stages {', '.join(strange[:3])} are not the encoder's" if strange else NO_STAGES
    runner.note = "; ".join(filter(None, (note, "" if runner.stages else unseen)))
    return runner


def _placed(module: nn.Module, device: Device, dtype: torch.dtype) -> tuple[nn.Module, str]:
    """Return the module as it is to run, and what was done for it."""
    tensors = dict(tensors_of(module))
    place = torch.device(device.torch_name)
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    moved = any(tensor.device != place for tensor in tensors.values())
    cast_ = bool(dtypes) and dtype not in dtypes
    mixed = "" if len(dtypes) < 2 or cast_ else f"its tensors are {', '.join(sorted(map(_short, dtypes)))}, as given"
    if not moved and not cast_:
        return module, mixed
    if cast_:
        for name, tensor in tensors.items():
            check_range(name, tensor, dtype)
    try:
        own = copy.deepcopy(module)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise UsageError(
            f"the candidate cannot be copied: {error}",
            expected=f"a module on {device.name} in {_short(dtype)}",
            todo=f"move it there yourself: module.to({device.torch_name!r}, torch.{_short(dtype)})",
        ) from error
    own = own.to(device=place, dtype=dtype) if cast_ else own.to(device=place)
    return own, "; ".join(filter(None, (f"a copy, moved to {device.name} in {_short(dtype)}", mixed)))


def _stages(module: nn.Module) -> tuple[str, ...]:
    """Return the stages a module says it has, where its forward takes a tap."""
    stages = getattr(module, "stages", None)
    if not isinstance(stages, (tuple, list)) or not all(isinstance(name, str) for name in stages):
        return ()
    takes = inspect.signature(module.forward).parameters
    return tuple(cast("tuple[str, ...]", stages)) if "tap" in takes else ()


def _first_dtype(module: nn.Module) -> torch.dtype | None:
    """Return the dtype of the first floating-point tensor: that of the layer which takes the pixels."""
    return next((tensor.dtype for _, tensor in tensors_of(module) if tensor.is_floating_point()), None)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
