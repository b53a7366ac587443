"""What kind of operator is this, and what shape will its result have? Answered from torch's own schemas, once each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from snellen.devices.simulated.arithmetic import UNITS
from snellen.devices.simulated.tensor import SimulatedTensor

Class = Literal["composite", "view", "write", "reshape", "new", "eager"]
"""``composite`` made of others; ``view`` shares storage; ``write`` changes an argument; ``reshape`` changes what an
argument looks like; ``new`` makes tensors; ``eager`` makes something whose shape depends on numbers, or no tensor."""

_EAGER_TAGS = frozenset({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape})
_INDEX = "aten::index"  # torch tells its shape unless it is given a mask


@dataclass(frozen=True, slots=True)
class Operator:
    """What there is to know of an operator of torch's."""

    name: str  # without the overload
    kind: Class
    written: tuple[int | str, ...] = ()  # the arguments that it writes: positions, or names


@cache
def operator(func: Any) -> Operator:
    """Look an operator up."""
    schema = func._schema
    written = tuple(
        argument.name if argument.kwarg_only else place
        for place, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    return Operator(schema.name, _kind(func, written), written)


def _kind(func: Any, written: tuple[int | str, ...]) -> Class:
    schema = func._schema
    if schema.name not in UNITS and func._can_decompose():
        return "composite"
    if torch.Tag.inplace_view in func.tags:
        return "reshape"
    if torch.Tag.nondeterministic_seeded in func.tags and schema.name not in UNITS:
        return "eager"  # random numbers are drawn when they are asked for, in the host's order
    if written:
        own = all(value.alias_info is not None for value in schema.returns)
        return "write" if own else "eager"
    if any(value.alias_info is not None for value in schema.returns):
        return "view"
    tensors = all(str(value.type) in ("Tensor", "List[Tensor]") for value in schema.returns)
    told = schema.name == _INDEX or not _EAGER_TAGS.intersection(func.tags)
    return "new" if tensors and schema.returns and told else "eager"


Shape = tuple[torch.Size, tuple[int, ...], torch.dtype]

_SHAPES: dict[object, tuple[bool, tuple[Shape, ...]] | None] = {}


def shapes(func: Any, args: Any, kwargs: Any) -> tuple[bool, tuple[Shape, ...]] | None:
    """Return what the results will look like, and whether there is one alone; None where torch cannot tell."""
    key = (func, _key(args), _key(tuple(kwargs.items())))
    if key not in _SHAPES:
        _SHAPES[key] = _ask(func, args, kwargs)
    return _SHAPES[key]


def _ask(func: Any, args: Any, kwargs: Any) -> tuple[bool, tuple[Shape, ...]] | None:
    """Run the operator on tensors that have no numbers."""
    on_meta = {key: torch.device("meta") if key == "device" else value for key, value in kwargs.items()}
    try:
        made = func(*convert(args, _meta), **convert(on_meta, _meta))
        alone = isinstance(made, Tensor)
        tensors = (made,) if alone else tuple(made)
        return alone, tuple((t.shape, t.stride(), t.dtype) for t in tensors)
    except Exception:  # noqa: BLE001 # whatever is wrong, the CPU's own operator says it better
        return None


def convert(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return arguments with every tensor among them changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)([convert(item, change) for item in value])
    if isinstance(value, dict):
        return {key: convert(item, change) for key, item in value.items()}
    return value


def _meta(tensor: Tensor) -> Tensor:
    if not isinstance(tensor, SimulatedTensor) and tensor.ndim == 0:
        return tensor  # a number: its dtype counts for less than that of a device's tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _key(value: Any) -> Any:
    if isinstance(value, Tensor):
        return (tuple(value.shape), value.stride(), value.dtype, isinstance(value, SimulatedTensor))
    if isinstance(value, (list, tuple)):
        return tuple([_key(item) for item in value])
    return (type(value), value)
