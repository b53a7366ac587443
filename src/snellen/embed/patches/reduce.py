"""Making patch features smaller, and back: averages over cells, a projection, fewer bytes for a number.

The first two work on arrays of numpy and on tensors of torch alike, so that they are done where the features are; the
last is done on the host.

B batch, h x w cells, C channels, K channels that are left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.embed.patches.spec import Dtype

    Array = NDArray[Any]
    Single = NDArray[float32]

LEVELS = 127
"""An int8 is from -127 to 127: symmetric, so that 0 stays 0."""


def averaged(cells: Any, pool: int, stack: Callable[[list[Any], int], Any]) -> Any:
    """Average squares of ``pool`` x ``pool`` cells [B, h, w, C]; at the edges, the cells that are there.

    ``stack`` is numpy's or torch's. Nothing is padded: a cell at the edge is the mean of fewer.
    """
    if pool == 1:
        return cells
    rows = stack([cells[:, i : i + pool].mean(1) for i in range(0, cells.shape[1], pool)], 1)
    return stack([rows[:, :, i : i + pool].mean(2) for i in range(0, rows.shape[2], pool)], 2)


def projected(cells: Any, mean: Any, components: Any) -> Any:
    """Project cells [B, h, w, C] on components [C, K], after subtracting the mean [C]."""
    flat = cells.reshape(-1, cells.shape[-1]) - mean
    return (flat @ components).reshape(*cells.shape[:-1], -1)


def stored(cells: Single, dtype: Dtype) -> tuple[Array, ...] | None:
    """Return cells [h, w, C] as they are stored, and the scales [C] of int8; None where float16 cannot hold them.

    A channel of an image has a scale of its own: its largest number is 127 of them. One scale for an image would be
    that of its largest channel, and leave the small ones a few levels.
    """
    import numpy

    if dtype == "float32":
        return (cells,)
    if dtype == "float16":
        with numpy.errstate(over="ignore"):
            half = cells.astype(numpy.float16)
        return (half,) if numpy.isfinite(half).all() else None
    scales = (numpy.abs(cells).max(axis=(0, 1)) / numpy.float32(LEVELS)).astype(numpy.float32)
    divisors = numpy.where(scales > 0, scales, numpy.float32(1))  # a channel of zeros, or of next to nothing
    levels = numpy.rint(cells / divisors).clip(-LEVELS, LEVELS)
    return levels.astype(numpy.int8), scales


def restored(cells: Array, scales: Single | None = None) -> Single:
    """Return stored cells [..., h, w, C] as float32; ``scales`` [..., C] where they are int8."""
    import numpy

    single = numpy.asarray(cells, dtype=numpy.float32)
    return single if scales is None else single * numpy.asarray(scales)[..., None, None, :]
