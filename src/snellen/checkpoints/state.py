"""From an opened file to an encoder's parameters, one tensor at a time, with every tensor accounted for.

Nothing is loaded in part: names and shapes are held against the plan before a byte is read, and values are checked as
they come. At no time is more in memory than the finished parameters and the tensors of one rule.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from snellen.checkpoints.dialects.rules import Plan
from snellen.checkpoints.recognise import Fit, compare
from snellen.checkpoints.seeded import draw
from snellen.checkpoints.tensors import Tensors, raw_bytes
from snellen.errors import KeyMismatch

SHOWN = 8
WIDER = ("float32", "bfloat16")  # offered, in this order, for numbers that are too large for another dtype


@dataclass
class Digest:
    """A sha256 over native tensors as they are stored: the same in whatever dialect, order or format they come."""

    _tensors: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, tensor: Tensor) -> None:
        """Take in one tensor: its name, dtype, shape and bytes."""
        header = f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode()
        whole = hashlib.sha256(header)
        whole.update(raw_bytes(tensor.contiguous()))
        self._tensors[name] = whole.hexdigest()

    def hex(self) -> str:
        """Return the digest of the tensors' digests in the order of their names."""
        lines = "\n".join(f"{name} {digest}" for name, digest in sorted(self._tensors.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def shapes_of(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of an opened file."""
    return {name: tensors.shape(name) for name in tensors}


def check(plan: Plan, tensors: Tensors, where: str) -> Fit:
    """Raise KeyMismatch, listing every name, unless the file holds what ``plan`` wants and nothing else."""
    fit = compare(plan, shapes_of(tensors))
    if not fit.fits:
        raise mismatch(fit, where, f"{plan.dialect.family} as {plan.dialect.name} writes it")
    return fit


def mismatch(fit: Fit, where: str, what: str) -> KeyMismatch:
    """Build the error that lists what does not fit."""
    lists = (("missing", fit.missing), ("unexpected", fit.unexpected), ("of another shape", fit.misshapen))
    lines = [f"{len(names)} {kind}: {_some(names)}" for kind, names in lists if names]
    error = KeyMismatch(
        f"the tensors of {where} are not those of this encoder\n    " + "\n    ".join(lines),
        expected=what,
        todo="'snellen inspect' says which variant the file holds; nothing was loaded",
    )
    error.missing, error.unexpected, error.misshapen = fit.missing, fit.unexpected, fit.misshapen
    return error


def read_native(plan: Plan, tensors: Tensors, where: str) -> Iterator[tuple[str, Tensor]]:
    """Yield every native tensor as the file stores it, those that a dialect lacks as zeros.

    Raises KeyMismatch naming all tensors that hold NaN or infinity.
    """
    broken: list[str] = []
    for foreign, names, values in plan.read(tensors.read):
        for name, value in zip(names, values, strict=True):
            if not _finite(value):
                broken += foreign
            elif not broken:
                yield name, value
        for key in foreign:
            tensors.release(key)
    if broken:
        names = tuple(dict.fromkeys(broken))
        error = KeyMismatch(
            f"{len(names)} tensors of {where} hold NaN or infinity: {_some(names)}",
            expected="finite numbers",
            todo="download or convert the file again; nothing was loaded",
        )
        error.nonfinite = names
        raise error
    dtype = _dtype(plan, tensors)
    for name in plan.filled:
        yield name, torch.zeros(plan.native[name], dtype=dtype, device="cpu")


def seeded_native(plan: Plan, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield every native tensor drawn from ``seed``."""
    for name in plan.native:
        yield name, seeded(plan, seed, name)


def seeded(plan: Plan, seed: int, name: str) -> Tensor:
    """Draw one native tensor from ``seed``; what the dialect lacks is zero."""
    shape = plan.native[name]
    return torch.zeros(shape, device="cpu") if name in plan.filled else draw(seed, name, shape, plan.config)


def digest_of(native: Iterator[tuple[str, Tensor]]) -> str:
    """Return the digest of native tensors without keeping them."""
    digest = Digest()
    for name, tensor in native:
        digest.add(name, tensor)
    return digest.hex()


def fill(encoder: torch.nn.Module, native: Iterator[tuple[str, Tensor]]) -> str:
    """Copy native tensors into an encoder's parameters, in the dtype and on the device these have; return the digest.

    The parameters' memory is there before the first tensor is read: allocated one by one between the temporaries of
    reading, they would leave holes that add up to a third of their size.

    Raises KeyMismatch naming all tensors with numbers that the parameters' dtype cannot hold.
    """
    digest, parameters = Digest(), dict(encoder.named_parameters())
    dtype = next(iter(parameters.values())).dtype
    large: dict[str, Tensor] = {}
    for name, tensor in native:
        digest.add(name, tensor)
        if tensor.dtype != dtype and not _finite(tensor, dtype):
            large[name] = torch.stack(torch.aminmax(tensor))
        parameters.pop(name).copy_(tensor)
    if large:
        raise _too_large(large, dtype)
    assert not parameters, f"left empty: {sorted(parameters)}"  # the plan covers every native tensor
    return digest.hex()


def _too_large(extremes: dict[str, Tensor], dtype: torch.dtype) -> KeyMismatch:
    """Build the error for tensors, given by their extremes, that ``dtype`` cannot hold; offer the dtypes that can."""
    names, short = tuple(extremes), str(dtype).removeprefix("torch.")
    holds = [wide for wide in WIDER if all(_finite(pair, getattr(torch, wide)) for pair in extremes.values())]
    error = KeyMismatch(
        f"{len(names)} tensors hold numbers that do not fit into {short}: {_some(names)}",
        expected=f"numbers within {torch.finfo(dtype).max:.5g} of 0",
        todo=f"run it as {' or '.join(holds)}"
        if holds
        else "no dtype here holds them: check where the weights come from",
    )
    error.nonfinite = names
    return error


def _finite(tensor: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Tell whether there is no NaN and no infinity, once cast to ``dtype``.

    They surface in the extremes, which need no memory; a cast keeps the order, so that casting these is enough.
    """
    low, high = torch.aminmax(tensor if tensor.itemsize > 1 else tensor.float())
    return math.isfinite(low.to(dtype or low.dtype)) and math.isfinite(high.to(dtype or high.dtype))


def _dtype(plan: Plan, tensors: Tensors) -> torch.dtype:
    first = plan.entries[0].foreign[0]
    dtype = getattr(torch, tensors.dtype(first))
    assert isinstance(dtype, torch.dtype)
    return dtype


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
