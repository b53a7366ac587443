"""Trusted runs on the CPU: the model's own encoder in float64, in a dtype, or with the operands of a precision class.

Nothing is copied: while a run is under way the parameters of one block at a time are in the run's dtype, so that the
float64 golden of a large encoder costs its float32 weights and one block more.

B batch, H heads, T tokens, E head width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from snellen.devices import resolve
from snellen.devices.rounding import How, Precision, lower
from snellen.encoders.build import Encoder
from snellen.encoders.features import Features, Tap
from snellen.errors import UsageError
from snellen.model.model import Model


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a trusted run computes: its dtype, what matrix units do to operands, and whether results are rounded too."""

    dtype: torch.dtype = torch.float32
    operands: Precision = "float32"
    how: How = "nearest"
    results: bool = False  # products are rounded to the operands' class as well, as under autocast
    only: Literal["all", "convolution", "matmul"] = "all"  # the products this holds for; the others are float32
    autocast: torch.dtype | None = None  # as torch.autocast: products in this dtype, norms in float32


GOLDEN = Arithmetic(torch.float64)
SINGLE = Arithmetic()
LADDER: dict[str, Arithmetic] = {
    "float32": SINGLE,
    "hf32": Arithmetic(operands="hf32"),
    "float16": Arithmetic(operands="float16"),
    "bfloat16": Arithmetic(operands="bfloat16"),
}
"""The reference of each precision class for a candidate that was asked for in float32."""

REFERENCE: dict[str, Arithmetic] = {
    "float32": SINGLE,
    "float16": Arithmetic(torch.float16),
    "bfloat16": Arithmetic(torch.bfloat16),
}
"""The reference of each dtype a candidate can be asked for in: activations in it, products summed in float32."""


def check_model(model: Model) -> None:
    """Raise UsageError for a model that no golden can be computed from."""
    record = model.record
    if record.device != "cpu" or record.dtype != "float32":
        raise UsageError(
            f"the model was loaded in {record.dtype} on {record.device}",
            expected="float32 on the CPU, from which the golden is computed",
            todo="load it without device and dtype, and name both to verify",
        )


@torch.inference_mode()
def run(encoder: Encoder, pixels: Tensor, arithmetic: Arithmetic, tap: Tap | None = None) -> Features:
    """Encode pixels [B, 3, h, w] on the CPU in an arithmetic; the tensors have its dtype.

    Whatever this process has told torch about precision does not count: every switch of the CPU is strict meanwhile.
    """
    with ExitStack() as stack:
        for switch in resolve("cpu").switches():
            if switch.lowers != "attention" and switch.read() != switch.strict:
                stack.enter_context(switch.at(switch.strict))
        if arithmetic.dtype != torch.float32:
            stack.enter_context(_in_dtype(encoder, arithmetic.dtype))
        if arithmetic.dtype == torch.float16 or arithmetic.operands != "float32" or arithmetic.autocast:
            stack.enter_context(_Products(arithmetic))
        features: Features = encoder(pixels.to(arithmetic.dtype), tap=tap)
        return features


@contextmanager
def _in_dtype(encoder: Encoder, dtype: torch.dtype) -> Iterator[None]:
    """Hold the encoder's parameters in another dtype: those of a block while it runs, the few others throughout."""
    blocks = encoder.block_modules
    inside = {id(parameter) for block in blocks for parameter in block.parameters()}
    rest = [parameter for parameter in encoder.parameters() if id(parameter) not in inside]
    with ExitStack() as stack:
        stack.enter_context(_cast(rest, dtype))
        for block in blocks:
            opened: list[ExitStack] = []

            def before(module: nn.Module, _: Any, opened: list[ExitStack] = opened) -> None:
                held = ExitStack()
                held.enter_context(_cast(list(module.parameters()), dtype))
                opened.append(held)

            def after(*_: Any, opened: list[ExitStack] = opened) -> None:
                opened.pop().close()

            stack.callback(block.register_forward_pre_hook(before).remove)
            stack.callback(block.register_forward_hook(after, always_call=True).remove)
        yield


@contextmanager
def _cast(parameters: list[nn.Parameter], dtype: torch.dtype) -> Iterator[None]:
    """Put casts in the place of parameters, then the very same tensors back."""
    before = [parameter.data for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.data = parameter.data.to(dtype)
        yield
    finally:
        for parameter, data in zip(parameters, before, strict=True):
            parameter.data = data


class _Products(TorchFunctionMode):
    """Computes every matrix product and convolution as an arithmetic says, in float32, whatever dtype comes in.

    The three functions an encoder multiplies through are caught by name; anything else passes as it is.
    """

    def __init__(self, arithmetic: Arithmetic) -> None:
        super().__init__()
        self._arithmetic = arithmetic

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kind, product = _CAUGHT.get(getattr(function, "__name__", ""), ("", None))
        if product is None or self._arithmetic.only not in ("all", kind):
            return function(*args, **(kwargs or {}))
        return product(self._arithmetic, function, args, kwargs or {})


def _plain(
    arithmetic: Arithmetic, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor:
    """Multiply ``args[0]`` by the weight ``args[1]``; a bias is added in float32 after the product."""
    x, weight, bias, *more = (*_cast_down(args, arithmetic), None)[: max(3, len(args))]
    x_low, w_low = _operand(x, arithmetic), _operand(weight, arithmetic)
    product = function(x_low, w_low, None if bias is None else bias.float(), *more, **kwargs)
    return _result(product, x.dtype, arithmetic)


def _norm(arithmetic: Arithmetic, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: Any) -> Tensor:
    """Norm in float32 what autocast left in half precision."""
    x, *more = args
    return function(x.float() if arithmetic.autocast else x, *more, **kwargs)


def _cast_down(args: tuple[Any, ...], arithmetic: Arithmetic) -> tuple[Any, ...]:
    dtype = arithmetic.autocast
    return args if dtype is None else tuple(a.to(dtype) if isinstance(a, Tensor) else a for a in args)


def _attention(arithmetic: Arithmetic, _: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """Write attention out, so that both of its products have rounded operands; one batch item at a time."""
    assert not kwargs, f"attention was given {sorted(kwargs)}, which no encoder here does"
    parts = _cast_down(args, arithmetic)
    rows = [_attend(arithmetic, *(part[i] for part in parts)) for i in range(len(parts[0]))]
    return _result(torch.stack(rows), parts[0].dtype, arithmetic)


def _attend(arithmetic: Arithmetic, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # each [H, T, E]
    logits = _operand(q, arithmetic) @ _operand(k, arithmetic).transpose(-2, -1)  # [H, T, T]
    weights = torch.softmax(_rounded(logits * q.shape[-1] ** -0.5, arithmetic), -1)
    return _operand(weights, arithmetic) @ _operand(v, arithmetic)  # [H, T, E]


def _operand(x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Round an operand; one that comes in half precision already has no more bits than that."""
    return lower(x, arithmetic.operands, arithmetic.how) if x.dtype == torch.float32 else x.float()


def _rounded(x: Tensor, arithmetic: Arithmetic) -> Tensor:
    return lower(x, arithmetic.operands, arithmetic.how) if arithmetic.results else x


def _result(x: Tensor, dtype: torch.dtype, arithmetic: Arithmetic) -> Tensor:
    return _rounded(x, arithmetic) if dtype == torch.float32 else x.to(dtype)


_CAUGHT = {
    "layer_norm": ("norm", _norm),
    "linear": ("matmul", _plain),
    "conv2d": ("convolution", _plain),
    "scaled_dot_product_attention": ("matmul", _attention),
}
