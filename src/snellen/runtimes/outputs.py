"""What a candidate of somebody's own returns, brought to features by name and shape; what is not understood is refused.

B batch, T tokens, N patches, R registers, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.encoders.features import Features
from snellen.errors import InputError, UsageError

OWN = ("cls", "registers", "patches", "pooled", "logits")
"""The outputs that are compared."""

TOKENS = ("tokens", "last_hidden_state")
"""Names under which all normed tokens come together: class token, registers, patches."""

ASIDE = ("hidden_states", "attentions", "loss")
"""What transformers' outputs hold beside; none of it is compared."""

UNDERSTOOD = f"Features, a tensor, or a mapping with any of {', '.join((*OWN, *TOKENS, 'pooler_output'))}"

Shape = tuple[int, ...]


def understood(output: Any, config: EncoderConfig, grid: tuple[int, int], batch: int) -> Features:
    """Return ``output`` as features; what the candidate did not give is None, and ``named()`` leaves it out.

    Raises UsageError for a kind of value or a name that is not understood, InputError for a shape that is not the
    encoder's.
    """
    shapes = shapes_of(config, grid, batch)
    if isinstance(output, Features):
        return _features({name: x for name, x in output.named().items() if name in OWN}, shapes, grid)
    if isinstance(output, Mapping):
        return _features(_of_mapping(output, config), shapes, grid)
    if isinstance(output, (Tensor, np.ndarray)):
        return _features(_of_tensor(_tensor("output", output), shapes), shapes, grid)
    raise UsageError(
        f"the candidate returned {a(type(output).__name__)}", expected=UNDERSTOOD, todo="return one of these"
    )


def shapes_of(config: EncoderConfig, grid: tuple[int, int], batch: int) -> dict[str, Shape]:
    """Return the shape of every output that the encoder gives, and of its tokens together."""
    first, prefix, classes = 1, 1, 0
    if isinstance(config, ViTConfig):
        first, prefix, classes = int(config.class_token), config.prefix, config.classes
    patches = grid[0] * grid[1]
    shapes: dict[str, Shape] = {
        "cls": (batch, config.width),
        "registers": (batch, prefix - first, config.width),
        "patches": (batch, patches, config.width),
        "pooled": (batch, config.width),
        "tokens": (batch, prefix + patches, config.width),
        "logits": (batch, classes),
    }
    absent = {"cls": not first, "logits": not classes}
    return {name: shape for name, shape in shapes.items() if not absent.get(name)}


def a(noun: str) -> str:
    """Return a noun with its article: a list, an int."""
    return f"{'an' if noun[:1].lower() in set('aeiou') else 'a'} {noun}"


def _of_mapping(output: Mapping[str, Any], config: EncoderConfig) -> dict[str, Tensor]:
    given = {name: value for name, value in output.items() if value is not None and name not in ASIDE}
    known = (*OWN, *TOKENS, "pooler_output")
    if strange := [name for name in given if name not in known]:
        raise UsageError(
            f"the candidate returned {', '.join(map(repr, strange))}", expected=UNDERSTOOD, todo="rename, or leave out"
        )
    found = {name: _tensor(name, value) for name, value in given.items()}
    pooler = found.pop("pooler_output", None)
    if pooler is not None and "pooled" not in found and _is_pooled(config):
        found["pooled"] = pooler
    if "tokens" in found and "last_hidden_state" in found:
        raise UsageError(
            "the candidate returned tokens and last_hidden_state, which are the same", todo="leave one of them out"
        )
    hidden = found.pop("last_hidden_state", None)
    if hidden is not None:
        found["tokens"] = hidden
    return found


def _is_pooled(config: EncoderConfig) -> bool:
    """Tell whether ``pooler_output`` is what the recipe pools: the class token, through the tanh layer if there is one.

    Where patches are averaged it is another vector, and is left aside.
    """
    tanh = isinstance(config, ViTConfig) and config.pooler
    return config.pool == ("tanh_cls" if tanh else "cls")


def _of_tensor(x: Tensor, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """Tell by its shape what one tensor is: the pooled vectors, all tokens, or a classifier's outputs."""
    for name in ("pooled", "tokens", "logits"):
        if tuple(x.shape) == shapes.get(name):
            return {name: x}
    raise InputError(
        f"the candidate returned one tensor of shape {list(x.shape)}",
        expected=f"{list(shapes['pooled'])} (pooled) or {list(shapes['tokens'])} (all tokens)",
        todo="return a dict that names its tensors",
    )


def _features(found: dict[str, Tensor], shapes: Mapping[str, Shape], grid: tuple[int, int]) -> Features:
    """Hold every tensor against the shape it must have, and take tokens apart."""
    if not found:
        raise UsageError("the candidate returned nothing that can be compared", expected=UNDERSTOOD)
    for name, x in found.items():
        if name not in shapes:
            raise UsageError(
                f"the candidate returned {name}, which the encoder does not have", todo=f"leave {name} out"
            )
        if tuple(x.shape) != shapes[name]:
            raise InputError(
                f"the candidate's {name} has shape {list(x.shape)}",
                expected=f"{list(shapes[name])}, as the encoder gives it",
                todo="bring it to this shape, or leave it out",
            )
    tokens = found.pop("tokens", None)
    if tokens is not None:
        parts = _parts(tokens, shapes)
        if twice := [name for name in parts if name in found and not torch.equal(parts[name], found[name])]:
            raise UsageError(
                f"the candidate returned {', '.join(twice)} beside tokens that hold another {twice[0]}",
                expected="each output once, or the same twice",
                todo="return tokens alone, or their parts",
            )
        found = {**parts, **found}
    absent = cast("Tensor", None)  # features of an encoder are whole; a candidate may give some of them only
    return Features(
        cls=found.get("cls"),
        registers=found.get("registers", absent),
        patches=found.get("patches", absent),
        grid=grid,
        pooled=found.get("pooled", absent),
        logits=found.get("logits"),
    )


def _parts(tokens: Tensor, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """Take tokens [B, T, D] apart into class token, registers and patches."""
    first, registers = int("cls" in shapes), shapes["registers"][1]
    parts = {"registers": tokens[:, first : first + registers], "patches": tokens[:, first + registers :]}
    return {"cls": tokens[:, 0], **parts} if first else parts


def _tensor(name: str, value: Any) -> Tensor:
    """Return a tensor, or an array as one; raise UsageError for anything but floating-point numbers."""
    x = torch.from_numpy(value) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
    if isinstance(x, Tensor) and x.is_floating_point():
        return x
    kind = f"{x.dtype} tensor" if isinstance(x, (Tensor, np.ndarray)) else type(x).__name__
    raise UsageError(f"the candidate's {name} is {a(kind)}", expected="a tensor of floating-point numbers")
