"""How far one tensor lies from another: every figure that a rule judges, defined in docs/metrics.md.

In: two tensors of one shape, the one in question and the one it is held against, of any dtype. Out: frozen figures
that go into a record. All arithmetic is float64 on the CPU, since devices without float64 are among those on trial. A
figure that does not exist is None, never 0 and never infinite: JSON knows neither NaN nor infinity.

A token is one row along the last axis: [B, N, D] holds B x N of them, [B, D] and [B, K] hold B, a vector is one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snellen.errors import InputError
from snellen.records.verify import Error, ImageMetrics, Metrics
from snellen.verification.distances import (
    Absolute,
    Relative,
    Rows,
    Units,
    Whole,
    finite,
    place,
    quotient,
    ratio,
    rows,
    unit_of,
)


def compare(a: Tensor, g: Tensor, dtype: str | torch.dtype) -> Metrics:
    """Measure how far ``a`` lies from ``g``, both [..., channels], in every figure.

    ``dtype``: the one asked for; units of the last place and assert_close's tolerances are of it. Everything but the
    counts is None where a tensor holds numbers that are not finite, or is empty. Raises InputError where the shapes
    differ, UnknownName for a dtype without units.
    """
    unit = unit_of(dtype)
    a, g = _pair(a, g)
    elements, nonfinite = g.numel(), _nonfinite(a, g)
    if not _comparable(a, g):
        return Metrics(elements=elements, nonfinite=nonfinite)
    tokens = Rows.of(a, g)
    whole, absolute = Whole.of(tokens), Absolute.of(a, g)
    top1_match = float((a.argmax(-1) == g.argmax(-1)).double().mean()) if g.ndim == 2 else None
    distance = (a - g).abs_()
    del a  # at the largest inputs every copy counts
    relative, units = Relative.of(distance, g), Units.of(distance, g, unit)
    return Metrics(
        elements=elements,
        nonfinite=nonfinite,
        max_abs=absolute.largest,
        max_abs_at=absolute.at,
        mean_abs=absolute.mean,
        rmse=finite(math.sqrt(whole.dd / elements)),
        max_relative=relative.largest,
        mean_relative=relative.mean,
        median_relative=relative.median,
        trimmed_relative=relative.trimmed,
        mean_ratio=absolute.ratio,
        relative_frobenius=whole.frobenius,
        gain=whole.gain,
        cosine=whole.cosine,
        worst_token=finite(tokens.worst),
        worst_token_at=place(tokens.worst_at, g.shape[:-1]),
        mean_token_cosine=finite(float(tokens.cosines.mean())),
        p01_token_cosine=tokens.p01,
        snr_db=whole.snr_db,
        mere=relative.mere,
        mare=relative.mare,
        share_1e2=relative.below[0],
        share_1e3=relative.below[1],
        share_1e4=relative.below[2],
        ulp_mean=units.mean,
        ulp_p99=units.p99,
        ulp_above_1=units.above_1,
        close_mismatched=units.mismatched,
        polygraphy_exceeded=units.exceeded,
        top1_match=top1_match,
    )


def image(a: Tensor, g: Tensor) -> ImageMetrics:
    """Measure how far one input's tensor lies from another, in the figures that reports give for each input.

    None and errors as in ``compare``.
    """
    a, g = _pair(a, g)
    nonfinite = _nonfinite(a, g)
    if not _comparable(a, g):
        return ImageMetrics(
            nonfinite=nonfinite, max_abs=None, mean_abs=None, mean_ratio=None, relative_frobenius=None, cosine=None
        )
    absolute, whole = Absolute.of(a, g), Whole.of(Rows.of(a, g))
    return ImageMetrics(
        nonfinite=nonfinite,
        max_abs=absolute.largest,
        mean_abs=absolute.mean,
        mean_ratio=absolute.ratio,
        relative_frobenius=whole.frobenius,
        cosine=whole.cosine,
    )


def error(a: Tensor, g: Tensor) -> Error:
    """Measure relative Frobenius error and that of the worst token, and nothing else: cheap enough for every stage.

    Both are None where a tensor is empty or holds numbers that are not finite. Raises InputError where shapes differ.
    """
    a, g = _pair(a, g)
    if not g.numel():
        return Error(frobenius=None, token=None)
    distance = torch.linalg.vector_norm(rows(a - g), dim=-1)
    scale = torch.linalg.vector_norm(rows(g), dim=-1)
    whole = ratio(float(torch.linalg.vector_norm(distance)), float(torch.linalg.vector_norm(scale)))
    return Error(frobenius=whole, token=None if whole is None else finite(float(quotient(distance, scale).max())))


def rounding(g: Tensor, dtype: str | torch.dtype) -> Error:
    """Measure what is lost when ``g`` is rounded to a dtype: no result in it can be expected to be nearer.

    None where the dtype cannot hold a number of ``g`` (float16 ends at 65504). Raises UnknownName as ``compare`` does.
    """
    return error(g.detach().to(unit_of(dtype).torch), g)


def _pair(a: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Bring both to float64 on the CPU; the device's numbers are moved first, for it may have no float64."""
    if a.shape != g.shape:
        raise InputError(
            f"tensors of shapes {list(a.shape)} and {list(g.shape)} cannot be compared",
            expected="one shape",
            todo="compare an output with the same output of the same inputs",
        )
    return a.detach().cpu().double().contiguous(), g.detach().cpu().double().contiguous()


def _nonfinite(a: Tensor, g: Tensor) -> int:
    """Count the places where one is not finite and the other is not the very same: NaN with NaN, inf with inf."""
    odd = ~(a.isfinite() & g.isfinite())
    if not odd.any():
        return 0
    left, right = a[odd], g[odd]
    return int(((left != right) & ~(left.isnan() & right.isnan())).sum())


def _comparable(a: Tensor, g: Tensor) -> bool:
    return g.numel() > 0 and bool(a.isfinite().all()) and bool(g.isfinite().all())
