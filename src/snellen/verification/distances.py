"""The sums, means and ranks that the figures of ``metrics`` are made of; docs/metrics.md defines each.

In: finite float64 tensors of one shape on the CPU, ``g`` the one that is held against; ``distance`` is |a - g|. Out:
plain numbers, None where a figure does not exist. At most four tensors of that size live at a time, and ranks are
exact: nothing is sampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from snellen.errors import UnknownName

SMALL = 1e-8
"""Added to the denominator of a relative error, so that zeros in the golden leave it finite."""
CANN_SMALL = 1e-7
"""The same in CANN's own definition of MERE and MARE."""
DROPPED = 20
"""One element in so many is dropped from the trimmed mean: the largest 5 %, rounded down."""
POLYGRAPHY = 1e-5


@dataclass(frozen=True, slots=True)
class Unit:
    """What a dtype resolves, and how near torch.testing.assert_close wants two tensors of it by default."""

    torch: torch.dtype
    bits: int  # explicit bits of the mantissa
    smallest: int  # exponent of the smallest normal number
    rtol: float
    atol: float


UNITS = {
    "float64": Unit(torch.float64, 52, -1022, 1e-7, 1e-7),
    "float32": Unit(torch.float32, 23, -126, 1.3e-6, 1e-5),
    "float16": Unit(torch.float16, 10, -14, 1e-3, 1e-5),
    "bfloat16": Unit(torch.bfloat16, 7, -126, 1.6e-2, 1e-5),
}


def unit_of(dtype: str | torch.dtype) -> Unit:
    """Return what a dtype resolves, named as here or as torch does; UnknownName where it is none of ``UNITS``."""
    name = str(dtype).removeprefix("torch.")
    if name not in UNITS:
        raise UnknownName("dtype with units of the last place", name, UNITS, todo=f"one of {', '.join(UNITS)}")
    return UNITS[name]


def rows(x: Tensor) -> Tensor:
    """Lay a tensor out as [tokens, channels]; a vector is one token."""
    return x.reshape(-1, x.shape[-1]) if x.ndim else x.reshape(1, 1)


def finite(value: float) -> float | None:
    """Return the number, or None for one that JSON does not know."""
    return value if math.isfinite(value) else None


def ratio(part: float, whole: float) -> float | None:
    """Divide; 0 where both are 0, None where only the denominator is, or where a sum overflowed."""
    if whole == 0:
        return 0.0 if part == 0 else None
    return finite(part / whole)


def quotient(part: Tensor, whole: Tensor) -> Tensor:
    """Divide; 0 where both are 0, infinite where only the denominator is."""
    return torch.where((part == 0) & (whole == 0), 0.0, part / whole)


def place(flat: int, shape: torch.Size) -> tuple[int, ...]:
    """Return the index of an element of a tensor, from its place in row order."""
    index: list[int] = []
    for side in reversed(shape):
        flat, at = divmod(flat, side)
        index.append(at)
    return tuple(reversed(index))


def _cosines(ag: Tensor, aa: Tensor, gg: Tensor) -> Tensor:
    """Return cosines from sums of products: 1 where both are zero, 0 where one is, otherwise held to [-1, 1].

    Only rounding is cut off by the clamp: NaN was ruled out before.
    """
    zeros = (aa == 0) | (gg == 0)
    cosines = (ag / gg * (gg / aa).sqrt()).clamp(-1.0, 1.0)  # in this order exactly 1 for a tensor and itself
    return torch.where(zeros, ((aa == 0) & (gg == 0)).double(), cosines)


@dataclass(frozen=True, slots=True)
class Rows:
    """Sums of products over each token, from which everything that has a direction follows; d is a - g."""

    aa: Tensor
    ag: Tensor
    gg: Tensor
    dd: Tensor
    dg: Tensor
    cosines: Tensor
    worst: float
    worst_at: int

    @classmethod
    def of(cls, a: Tensor, g: Tensor) -> Rows:
        """Sum over the channels of each token."""
        a, g = rows(a), rows(g)
        aa, ag, gg = a.square().sum(-1), (a * g).sum(-1), g.square().sum(-1)
        d = a - g
        dg = (d * g).sum(-1)
        dd = d.square_().sum(-1)
        worst, at = quotient(dd.sqrt(), gg.sqrt()).max(0)
        return cls(aa, ag, gg, dd, dg, _cosines(ag, aa, gg), float(worst), int(at))

    @property
    def p01(self) -> float | None:
        """Return the cosine that one token in a hundred (at least one token) does not exceed."""
        return finite(float(self.cosines.kthvalue(math.ceil(self.cosines.numel() / 100)).values))


@dataclass(frozen=True, slots=True)
class Whole:
    """The same over the whole tensor."""

    dd: float
    dg: float
    gg: float
    cosine: float | None

    @classmethod
    def of(cls, tokens: Rows) -> Whole:
        """Sum over the tokens."""
        dd, dg, gg = (float(part.sum()) for part in (tokens.dd, tokens.dg, tokens.gg))
        return cls(dd, dg, gg, finite(float(_cosines(tokens.ag.sum(), tokens.aa.sum(), tokens.gg.sum()))))

    @property
    def frobenius(self) -> float | None:
        """Return |a - g| / |g|."""
        return ratio(math.sqrt(self.dd), math.sqrt(self.gg))

    @property
    def gain(self) -> float | None:
        """Return <a, g> / <g, g> - 1 from the difference itself, so that a small gain keeps its digits."""
        return 0.0 if self.dd == 0 else finite(self.dg / self.gg) if self.gg else None

    @property
    def snr_db(self) -> float | None:
        """Return signal over noise: infinite, so None, where nothing differs; None where there is no signal."""
        noise = self.frobenius
        return None if not noise else -20 * math.log10(noise)


@dataclass(frozen=True, slots=True)
class Absolute:
    """Differences as they are, and their mean over the mean of what they are held against."""

    largest: float | None
    at: tuple[int, ...]
    mean: float | None
    ratio: float | None

    @classmethod
    def of(cls, a: Tensor, g: Tensor) -> Absolute:
        """Measure |a - g|."""
        distance = (a - g).abs_()
        at = int(distance.argmax())
        mean = float(distance.mean())
        return cls(
            finite(float(distance.flatten()[at])),
            place(at, g.shape),
            finite(mean),
            ratio(mean, float(g.abs().mean())),
        )


@dataclass(frozen=True, slots=True)
class Relative:
    """Differences over the size of the element they belong to."""

    largest: float | None
    mean: float | None
    median: float | None
    trimmed: float | None
    below: tuple[float, float, float]
    mere: float | None
    mare: float | None

    @classmethod
    def of(cls, distance: Tensor, g: Tensor) -> Relative:
        """Measure |a - g| / (|g| + a little)."""
        cann = distance / g.abs().add_(CANN_SMALL)
        mere, mare = float(cann.mean()), float(cann.max())
        relative = torch.div(distance, g.abs().add_(SMALL), out=cann)
        mean, largest = float(relative.mean()), float(relative.max())
        below = (_share(relative < 1e-2), _share(relative < 1e-3), _share(relative < 1e-4))
        ordered, count = relative.flatten().numpy(), relative.numel()
        kept = count - count // DROPPED
        ordered.partition(sorted({(count - 1) // 2, count // 2, kept - 1}))  # in place: exact, and no further copy
        median = float(ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        trimmed = float(ordered[:kept].mean())
        return cls(finite(largest), finite(mean), finite(median), finite(trimmed), below, finite(mere), finite(mare))


@dataclass(frozen=True, slots=True)
class Units:
    """Differences in units of what a dtype resolves, and against tolerances that mix absolute and relative."""

    mean: float | None
    p99: float | None
    above_1: float
    mismatched: int
    exceeded: int

    @classmethod
    def of(cls, distance: Tensor, g: Tensor, unit: Unit) -> Units:
        """Measure |a - g| in units of ``unit``, and count what its tolerances refuse."""
        size = g.abs()
        exceeded = int(((distance > POLYGRAPHY) & (distance > POLYGRAPHY * size)).sum())
        mismatched = int((distance > size.mul_(unit.rtol).add_(unit.atol)).sum())
        units = torch.div(distance, _spacing(g, unit), out=size)
        mean, above_1 = float(units.mean()), _share(units > 1)
        at = math.ceil(units.numel() * 0.99) - 1
        ordered = units.flatten().numpy()
        ordered.partition(at)
        return cls(finite(mean), finite(float(ordered[at])), above_1, mismatched, exceeded)


def _spacing(g: Tensor, unit: Unit) -> Tensor:
    """Return how far apart the numbers of a dtype are at each element; subnormal spacing near zero.

    The exponent field of a float64, taken alone, is the power of two at or below the number. Beyond the dtype's range
    the spacing goes on as if it had none.
    """
    exponent = 0x7FF << 52
    power = (g.view(torch.int64) & exponent).view(torch.float64)
    return power.clamp_(min=2.0**unit.smallest).mul_(2.0**-unit.bits)


def _share(where: Tensor) -> float:
    return int(where.sum()) / where.numel()
