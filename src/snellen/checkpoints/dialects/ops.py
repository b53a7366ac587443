"""How one library's tensors become ours, and back: small operations that carry their own inverse.

``read`` takes the foreign tensors of a rule and returns the native ones; ``write`` is its inverse. Both work on meta
tensors too, which is how the shapes a foreign file must have are known before a byte of it is read.

D width, H heads, E head width (D = H * E), P patch side, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from snellen.encoders.config import EncoderConfig, ViTConfig

Tensors = tuple[Tensor, ...]


class Op(Protocol):
    """One reversible change of layout."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        """Turn foreign tensors into native ones."""
        ...

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        """Turn native tensors into foreign ones."""
        ...


@dataclass(frozen=True)
class Same:
    """The same tensor under another name."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        return foreign

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        return native


@dataclass(frozen=True)
class Join:
    """Several foreign matrices stand one below another in ours (q, k, v; gate, value)."""

    parts: int

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        return (torch.cat(foreign),)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        return native[0].chunk(self.parts)


@dataclass(frozen=True)
class JoinWithoutKey:
    """The library has biases for q and v only; ours is joined, with zeros for k."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        query, value = foreign
        return (torch.cat([query, torch.zeros_like(query), value]),)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        query, _, value = native[0].chunk(3)
        return query, value


@dataclass(frozen=True)
class MaskKey:
    """The library keeps a joined bias and a mask that switches the key's part off: (bias, mask)."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        bias, mask = foreign
        return (bias * mask.to(bias.dtype),)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        mask = torch.ones_like(native[0])
        mask.chunk(3)[1].zero_()
        return native[0], mask


@dataclass(frozen=True)
class FoldClassPosition:
    """The library's class token already contains its position, and the table has no row for it.

    Ours keeps the row: zero when read. Native and foreign are (class token, positions). Writing adds the two, which is
    the first thing the encoder would do with them; the sum cannot be taken apart again, so reading back gives
    the same encoder but not the same two tensors.
    """

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        cls, table = foreign
        return cls, torch.cat([torch.zeros_like(cls), table], dim=1)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        cls, table = native
        return cls + table[:, :1], table[:, 1:]


@dataclass(frozen=True)
class Unbatch:
    """The library's table has no leading dimension of 1."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        return (foreign[0][None],)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        return (native[0][0],)


@dataclass(frozen=True)
class Transpose:
    """A dense kernel stored (in, out); ours is (out, in)."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        return (foreign[0].T,)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        return (native[0].T,)


@dataclass(frozen=True)
class ConvKernel:
    """A convolution kernel stored (P, P, in, out); ours is (out, in, P, P)."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        return (foreign[0].permute(3, 2, 0, 1),)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        return (native[0].permute(2, 3, 1, 0),)


@dataclass(frozen=True)
class HeadsKernel:
    """q, k and v kernels stored (D, H, E) each; ours is joined (3 D, D)."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        return (torch.cat([kernel.flatten(1).T for kernel in foreign]),)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        return tuple(part.T.unflatten(1, (_heads(config), -1)) for part in native[0].chunk(3))


@dataclass(frozen=True)
class HeadsBias:
    """q, k and v biases stored (H, E) each; ours is joined (3 D)."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        return (torch.cat([bias.flatten() for bias in foreign]),)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        return tuple(part.unflatten(0, (_heads(config), -1)) for part in native[0].chunk(3))


@dataclass(frozen=True)
class HeadsOutKernel:
    """The attention's output kernel stored (H, E, D); ours is (D, D)."""

    def read(self, foreign: Tensors, config: EncoderConfig) -> Tensors:
        return (foreign[0].flatten(0, 1).T,)

    def write(self, native: Tensors, config: EncoderConfig) -> Tensors:
        return (native[0].T.unflatten(0, (_heads(config), -1)),)


def _heads(config: EncoderConfig) -> int:
    assert isinstance(config, ViTConfig)  # only transformers have rules with heads
    return config.heads
