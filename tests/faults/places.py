"""Where in an encoder a fault sits, and how to put another computation there.

``middle`` is the block most faults are put into: not the first, not the last, so that a wrong name shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MethodType
from typing import Literal

import torch
from torch import nn

from snellen.encoders.build import Encoder
from snellen.encoders.config import ViTConfig

Where = Literal["first stage", "patches", "tokens", "first block", "middle", "next", "last block", "norm", "pooled"]
"""A place by its role; ``stage`` says what it is called in an encoder."""


def blocks(encoder: Encoder) -> list[nn.Module]:
    """Return every block in order."""
    if isinstance(encoder.config, ViTConfig):
        return list(encoder.blocks)
    return [block for stage in encoder.body for block in stage.blocks]


def middle_index(encoder: Encoder) -> int:
    """Return which block is the middle one."""
    return len(encoder.block_stages) // 2


def middle(encoder: Encoder) -> nn.Module:
    """Return the middle block."""
    return blocks(encoder)[middle_index(encoder)]


def stage(encoder: Encoder, where: Where) -> str:
    """Return the name of the stage at a place."""
    names = encoder.block_stages
    index = middle_index(encoder)
    by_role = {
        "first stage": encoder.stages[0],
        "first block": names[0],
        "middle": names[index],
        "next": names[min(index + 1, len(names) - 1)],
        "last block": names[-1],
    }
    return by_role.get(where, where)


def set_forward(module: nn.Module, forward: Callable[..., object]) -> None:
    """Let ``forward(module, ...)`` stand in for a module's own; copies of the module keep it."""
    module.forward = MethodType(forward, module)


def set_method(module: nn.Module, name: str, method: Callable[..., object]) -> None:
    """Let ``method(module, ...)`` stand in for one of a module's methods."""
    setattr(module, name, MethodType(method, module))


def norms(module: nn.Module) -> Iterator[nn.Module]:
    """Yield every norm inside a module."""
    return (m for m in module.modules() if hasattr(m, "eps"))


def linears(module: nn.Module) -> Iterator[nn.Linear]:
    """Yield every linear map inside a module."""
    return (m for m in module.modules() if isinstance(m, nn.Linear))


@torch.no_grad()
def put(parameter: torch.Tensor, values: torch.Tensor) -> None:
    """Overwrite a parameter."""
    parameter.copy_(values)
