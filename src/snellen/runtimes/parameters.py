"""What a runner does with a module's parameters: hand them out, and see that a narrower dtype can hold them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from snellen.errors import KeyMismatch


def tensors_of(module: nn.Module | None) -> Iterator[tuple[str, Tensor]]:
    """Yield a module's parameters and buffers by name; nothing of None."""
    if module is not None:
        yield from module.named_parameters()
        yield from module.named_buffers()


def check_range(name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    """Raise KeyMismatch where ``dtype`` is so narrow that a finite number of a parameter becomes infinite."""
    if not tensor.is_floating_point() or torch.finfo(dtype).max >= torch.finfo(tensor.dtype).max:
        return
    largest = max(abs(float(extreme)) for extreme in torch.aminmax(tensor.detach())) if tensor.numel() else 0.0
    if largest > torch.finfo(dtype).max:
        error = KeyMismatch(
            f"{name} holds {largest:.5g}, which does not fit into {str(dtype).removeprefix('torch.')}",
            expected=f"numbers within {torch.finfo(dtype).max:.5g} of 0",
            todo="--dtype bfloat16 or float32",
        )
        error.nonfinite = (name,)
        raise error
