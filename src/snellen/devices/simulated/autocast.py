"""Autocast on the simulated NPU: torch casts arguments by lists of operators, and each backend brings its own.

The lists are those of torch's documentation of autocast for operators on other devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from snellen.devices.simulated.operators import convert
from snellen.devices.simulated.tensor import SimulatedTensor

LOWER = (
    *("mm", "bmm", "addmm", "baddbmm", "addbmm", "addmv", "addr", "mv", "matmul", "linear", "chain_matmul"),
    *("conv1d", "conv2d", "conv3d", "conv2d.padding", "conv1d.padding", "conv_transpose2d.input", "convolution"),
    *("linalg_multi_dot", "prelu", "scaled_dot_product_attention"),
)
FLOAT32 = (
    *("acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt"),
    *("sinh", "tan", "softplus", "softmax.int", "log_softmax.int", "layer_norm", "group_norm", "cosine_similarity"),
    *("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "cumsum", "cumprod", "prod", "sum", "sum.dim_IntList"),
    *("norm.Scalar", "cdist", "dist", "renorm", "mse_loss", "l1_loss", "smooth_l1_loss"),
)
WIDEST = ("addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "cat", "stack", "grid_sampler", "index_put")

_HALVES = (torch.float16, torch.bfloat16)


def register(library: torch.library.Library) -> None:
    """Register the casts of every operator in the lists."""
    for names, cast in ((LOWER, _lower), (FLOAT32, _widen), (WIDEST, _widest)):
        for name in names:
            library.impl(name, _casting(name, cast), "AutocastPrivateUse1")


def _casting(name: str, cast: Callable[[Any], Any]) -> Callable[..., Any]:
    packet, _, overload = name.partition(".")
    func = getattr(getattr(torch.ops.aten, packet), overload or "default")
    key: Any = torch._C._parse_dispatch_key("AutocastPrivateUse1")
    keys = torch._C.DispatchKeySet(key)

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            args, kwargs = cast((args, kwargs))
            return func(*args, **kwargs)

    return run


def _lower(arguments: Any) -> Any:
    return _to(arguments, torch.get_autocast_dtype("npu"))


def _widen(arguments: Any) -> Any:
    return _to(arguments, torch.float32, only=_HALVES)


def _widest(arguments: Any) -> Any:
    dtypes: list[torch.dtype] = []
    convert(arguments, lambda tensor: dtypes.append(tensor.dtype) if _casts(tensor) else None)
    return _to(arguments, torch.float32) if torch.float32 in dtypes else arguments


def _to(arguments: Any, dtype: torch.dtype, only: Sequence[torch.dtype] = ()) -> Any:
    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if _casts(tensor) and (not only or tensor.dtype in only) else tensor

    return convert(arguments, cast)


def _casts(tensor: Tensor) -> bool:
    """Tell whether autocast touches a tensor: floating, on the device, and not a double."""
    return isinstance(tensor, SimulatedTensor) and tensor.is_floating_point() and tensor.dtype != torch.float64
