"""Every figure against its definition worked out again in plain Python; docs/metrics.md against the code."""

from __future__ import annotations

import json
import math
import random
import re
import statistics
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from snellen.errors import InputError, UnknownName
from snellen.records.verify import Error, ImageMetrics, Metrics
from snellen.verification.metrics import compare, error, image, rounding
from snellen.verification.rules import cards, standards

DOCUMENT = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
DTYPES = ("float32", "float16", "bfloat16", "float64")
NAN, INF = float("nan"), float("inf")


# What the document says, in plain Python: sums without rounding error, sorted lists, one row at a time.


def share(values: list[float], below: float) -> float:
    return sum(value < below for value in values) / len(values)


def spacing(x: float, dtype: str) -> float:
    bits, smallest = {"float64": (52, -1022), "float32": (23, -126), "float16": (10, -14), "bfloat16": (7, -126)}[dtype]
    exponent = math.floor(math.log2(abs(x))) if x else smallest
    return 2.0 ** (max(exponent, smallest) - bits)


def dot(x: list[float], y: list[float]) -> float:
    return math.fsum(i * j for i, j in zip(x, y, strict=True))


def norm(x: list[float]) -> float:
    return math.sqrt(dot(x, x))


def expected(a: Tensor, g: Tensor, dtype: str) -> dict[str, object]:
    rows_a, rows_g = a.double().flatten(0, -2).tolist(), g.double().flatten(0, -2).tolist()
    flat_a, flat_g = [x for row in rows_a for x in row], [x for row in rows_g for x in row]
    d = [i - j for i, j in zip(flat_a, flat_g, strict=True)]
    size, count = [abs(x) for x in d], len(d)
    relative = sorted(e / (abs(x) + 1e-8) for e, x in zip(size, flat_g, strict=True))
    cann = [e / (abs(x) + 1e-7) for e, x in zip(size, flat_g, strict=True)]
    ulps = sorted(e / spacing(x, dtype) for e, x in zip(size, flat_g, strict=True))
    rtol, atol = {"float32": (1.3e-6, 1e-5), "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5)}.get(
        dtype, (1e-7, 1e-7)
    )
    tokens = [norm([i - j for i, j in zip(x, y, strict=True)]) / norm(y) for x, y in zip(rows_a, rows_g, strict=True)]
    cosines = sorted(dot(x, y) / norm(x) / norm(y) for x, y in zip(rows_a, rows_g, strict=True))
    worst, largest = max(range(len(tokens)), key=tokens.__getitem__), max(range(count), key=size.__getitem__)
    firsts = [x.index(max(x)) == y.index(max(y)) for x, y in zip(rows_a, rows_g, strict=True)]
    return {
        "elements": count,
        "nonfinite": 0,
        "max_abs": max(size),
        "max_abs_at": tuple(int(i) for i in np.unravel_index(largest, g.shape)),
        "mean_abs": math.fsum(size) / count,
        "rmse": norm(d) / math.sqrt(count),
        "max_relative": relative[-1],
        "mean_relative": statistics.fmean(relative),
        "median_relative": statistics.median(relative),
        "trimmed_relative": statistics.fmean(relative[: count - int(count * 0.05)]),
        "mean_ratio": math.fsum(size) / math.fsum(abs(x) for x in flat_g),
        "relative_frobenius": norm(d) / norm(flat_g),
        "gain": dot(flat_a, flat_g) / dot(flat_g, flat_g) - 1,
        "cosine": dot(flat_a, flat_g) / norm(flat_a) / norm(flat_g),
        "worst_token": tokens[worst],
        "worst_token_at": tuple(int(i) for i in np.unravel_index(worst, g.shape[:-1])),
        "mean_token_cosine": statistics.fmean(cosines),
        "p01_token_cosine": cosines[math.ceil(len(cosines) / 100) - 1],
        "snr_db": 10 * math.log10(dot(flat_g, flat_g) / dot(d, d)),
        "mere": statistics.fmean(cann),
        "mare": max(cann),
        "share_1e2": share(relative, 1e-2),
        "share_1e3": share(relative, 1e-3),
        "share_1e4": share(relative, 1e-4),
        "ulp_mean": statistics.fmean(ulps),
        "ulp_p99": ulps[math.ceil(count * 0.99) - 1],
        "ulp_above_1": sum(u > 1 for u in ulps) / count,
        "close_mismatched": sum(e > atol + rtol * abs(x) for e, x in zip(size, flat_g, strict=True)),
        "polygraphy_exceeded": sum(e > 1e-5 and e > 1e-5 * abs(x) for e, x in zip(size, flat_g, strict=True)),
        "top1_match": sum(firsts) / len(firsts) if g.ndim == 2 else None,
    }


def near(found: object, wanted: object) -> bool:
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)
    return found == wanted and type(found) is type(wanted)


def differing(found: Metrics, wanted: dict[str, object]) -> dict[str, tuple[object, object]]:
    own = asdict(found)
    assert list(own) == list(wanted)
    return {name: (own[name], wanted[name]) for name in own if not near(own[name], wanted[name])}


def pair(*shape: int, noise: float = 1e-3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw a golden in float64, its outlier channels with it, and a float32 tensor near it."""
    generator = torch.Generator().manual_seed(seed)
    g = torch.randn(shape, generator=generator, dtype=torch.float64)
    g[..., :2] *= 30
    return (g + noise * torch.randn(shape, generator=generator, dtype=torch.float64)).float(), g


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 7), (1, 8), (3, 11, 6), (2, 3, 4, 5), (130, 3)])
@pytest.mark.parametrize("noise", [1.0, 1e-3, 1e-6])
def test_every_figure_is_what_its_definition_gives(shape: tuple[int, ...], dtype: str, noise: float) -> None:
    a, g = pair(*shape, noise=noise, seed=random.Random(f"{shape}{dtype}{noise}").randrange(10**6))
    assert differing(compare(a, g, dtype), expected(a, g, dtype)) == {}


def test_a_wrong_definition_would_be_seen() -> None:
    a, g = pair(5, 7)
    assert set(differing(compare(a, g, "float32"), expected(g.float(), a.double(), "float32"))) >= {"gain", "mere"}
    assert set(differing(compare(a, g, "float16"), expected(a, g, "float32"))) >= {"ulp_mean", "ulp_p99"}


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_any_dtype_is_measured_in_float64(kind: torch.dtype) -> None:
    a, g = pair(4, 9, noise=1e-2)
    assert compare(a.to(kind), g.to(kind), "float32") == compare(a.to(kind).double(), g.to(kind).double(), "float32")
    assert differing(compare(a.to(kind), g, "float32"), expected(a.to(kind), g, "float32")) == {}


def test_the_dtype_is_named_here_or_by_torch() -> None:
    a, g = pair(4, 9)
    assert compare(a, g, torch.bfloat16) == compare(a, g, "bfloat16") != compare(a, g, "float16")
    assert rounding(g, torch.float16) == rounding(g, "float16")


@pytest.mark.parametrize("call", [compare, lambda a, g, dtype: rounding(g, dtype)])
def test_a_dtype_without_units_is_refused(call) -> None:
    with pytest.raises(UnknownName, match="int8"):
        call(*pair(2, 3), "int8")


@pytest.mark.parametrize("call", [lambda a, g: compare(a, g, "float32"), image, error])
def test_shapes_that_torch_would_broadcast_are_refused(call) -> None:
    with pytest.raises(InputError, match=r"\[1, 3\] and \[2, 3\]"):
        call(torch.ones(1, 3), torch.ones(2, 3))


def test_nothing_is_written_into_what_was_given() -> None:
    a, g = (x.double() for x in pair(4, 30))
    before = a.clone(), g.clone()
    compare(a, g, "float32"), image(a, g), error(a, g), rounding(g, "float16")
    assert torch.equal(a, before[0])
    assert torch.equal(g, before[1])


def test_gradients_views_and_orders_in_memory_change_nothing() -> None:
    a, g = pair(3, 4, 5)
    there = g.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not there.is_contiguous()
    assert compare(a.requires_grad_(), there, "float32") == compare(a.detach(), g, "float32")
    assert error(a, there) == error(a.detach(), g)


# A tensor and itself, zeros, constants, scale


def test_a_tensor_and_itself() -> None:
    g = pair(3, 40, 5)[1]
    found = compare(g, g, "float32")
    zero = {name for name, value in asdict(found).items() if value == 0 and name != "nonfinite"}
    assert {"max_abs", "rmse", "trimmed_relative", "mean_ratio", "relative_frobenius", "gain", "worst_token"} <= zero
    assert {"mere", "mare", "ulp_mean", "ulp_above_1", "close_mismatched", "polygraphy_exceeded"} <= zero
    assert (found.cosine, found.mean_token_cosine, found.p01_token_cosine, found.share_1e4) == (1.0, 1.0, 1.0, 1.0)
    assert found.snr_db is None  # infinite
    assert error(g, g) == Error(frobenius=0.0, token=0.0)


def test_a_double_has_cosine_1_and_gain_1() -> None:
    g = pair(4, 8)[1]
    found = compare(2 * g, g, "float32")
    assert (found.cosine, found.p01_token_cosine, found.gain) == (1.0, 1.0, 1.0)
    assert found.relative_frobenius == found.worst_token == 1.0
    assert compare(-g, g, "float32").cosine == -1.0
    assert compare(1.001 * g, g, "float32").gain == pytest.approx(1e-3, rel=1e-9)


def test_both_zero_is_equal_and_one_zero_is_not() -> None:
    zero, one = torch.zeros(2, 3), torch.ones(2, 3)
    both, missing, extra = (compare(a, g, "float32") for a, g in ((zero, zero), (zero, one), (one, zero)))
    assert (both.cosine, both.relative_frobenius, both.worst_token, both.gain, both.mean_ratio) == (1.0, 0, 0, 0, 0)
    assert (missing.cosine, missing.relative_frobenius, missing.gain) == (0.0, 1.0, -1.0)
    assert (extra.cosine, extra.max_abs, extra.nonfinite) == (0.0, 1.0, 0)
    assert extra.relative_frobenius is extra.worst_token is extra.gain is extra.mean_ratio is extra.snr_db is None
    assert extra.max_relative == pytest.approx(1e8)
    assert extra.mare == pytest.approx(1e7)
    assert error(one, zero) == Error(frobenius=None, token=None)
    assert error(zero, zero) == Error(frobenius=0.0, token=0.0)


def test_one_zero_token_does_not_hide_the_whole() -> None:
    a, g = pair(3, 4)
    g[1] = 0
    found, whole = compare(a, g, "float32"), error(a, g)
    assert (found.worst_token, found.worst_token_at) == (None, (1,))
    assert whole.token is None
    assert whole.frobenius == pytest.approx(found.relative_frobenius, rel=1e-12)


def test_zeros_among_the_elements_count_0_where_they_are_right() -> None:
    g = torch.tensor([[0.0, 1.0, 0.0, 2.0]])
    assert compare(g, g, "float32").max_relative == 0
    assert compare(g + torch.tensor([[1e-3, 0, 0, 0]]), g, "float32").max_relative == pytest.approx(1e5)


def test_constants_have_a_cosine() -> None:
    found = compare(torch.full((3, 4), 1.5), torch.full((3, 4), 1.0), "float32")
    assert found.cosine == pytest.approx(1.0)
    assert found.gain == 0.5


def test_a_cosine_that_float32_sums_put_above_1_is_1() -> None:
    g = torch.full((2**16,), 0.1)
    naive = float(np.add.accumulate((g * g).numpy())[-1]) / float((g * g).double().sum())
    assert naive > 1  # added one by one in float32, as a report of cosines above 1 did in one way or another
    assert compare(g, g, "float32").cosine == 1.0
    assert all(compare(g * scale, g, "float32").cosine <= 1.0 for scale in torch.linspace(0.1, 3, 50))


# One wrong token


@pytest.mark.parametrize("at", [(0, 0), (1, 7), (3, 39)])
def test_one_wrong_token_is_found(at: tuple[int, int]) -> None:
    a, g = pair(4, 40, 16, noise=1e-6)
    a[at] = a[at].roll(1)
    found = compare(a, g, "float32")
    assert found.worst_token_at == at
    assert found.max_abs_at[:2] == at
    assert found.worst_token > 0.5
    assert found.cosine > 0.98  # blind to it
    assert found.trimmed_relative < 1e-4  # blind to it
    assert found.p01_token_cosine > 0.9999  # the second worst of 160
    assert error(a, g).token == pytest.approx(found.worst_token, rel=1e-12)


def test_two_wrong_tokens_of_160_show_in_the_worst_hundredth() -> None:
    a, g = pair(4, 40, 16, noise=1e-6)
    a[:2, 5] *= -1
    assert compare(a, g, "float32").p01_token_cosine < -0.99


def test_a_vector_is_one_token() -> None:
    a, g = pair(6)
    found = compare(a, g, "float32")
    assert found.worst_token == pytest.approx(found.relative_frobenius)
    assert (found.worst_token_at, len(found.max_abs_at), found.top1_match) == ((), 1, None)
    assert compare(a[0], g[0], "float32").elements == 1


def test_the_first_of_equal_entries_is_the_largest() -> None:
    g = torch.tensor([[1.0, 3.0, 3.0], [5.0, 1.0, 0.0]])
    assert compare(g, g, "float32").top1_match == 1.0
    assert compare(g + torch.tensor([0, 0, 1e-6]), g, "float32").top1_match == 0.5


# Not finite


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_number_that_is_not_finite_leaves_counts_only(value: float) -> None:
    a, g = pair(3, 4)
    a[1, 2] = value
    assert compare(a, g, "float32") == Metrics(elements=12, nonfinite=1)
    assert compare(g, a.double(), "float32") == Metrics(elements=12, nonfinite=1)
    assert error(a, g) == error(g, a) == Error(frobenius=None, token=None)
    assert (image(a, g).nonfinite, image(a, g).cosine) == (1, None)


@pytest.mark.parametrize(("left", "right", "count"), [(NAN, NAN, 0), (INF, INF, 0), (INF, -INF, 1), (NAN, INF, 1)])
def test_the_same_in_the_same_place_is_no_mismatch_and_no_figure(left: float, right: float, count: int) -> None:
    a, g = pair(3, 4)
    a[1, 2], g[1, 2] = left, right
    assert compare(a, g, "float32") == Metrics(elements=12, nonfinite=count)
    assert error(a, g) == Error(frobenius=None, token=None)


def test_nan_is_not_clamped_into_a_cosine() -> None:
    assert compare(torch.full((2, 3), NAN), torch.ones(2, 3), "float32").cosine is None


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 3), (4, 0), (0,)])
def test_an_empty_tensor_has_no_figures(shape: tuple[int, ...]) -> None:
    empty = torch.zeros(shape)
    assert compare(empty, empty, "float32") == Metrics(elements=0, nonfinite=0)
    assert error(empty, empty) == rounding(empty, "float16") == Error(frobenius=None, token=None)
    assert set(asdict(image(empty, empty)).values()) == {0, None}


@pytest.mark.parametrize("scale", [1e-140, 1e-40, 1e30, 1e140])
def test_huge_and_small_numbers_have_the_same_ratios(scale: float) -> None:
    a, g = (x.double() for x in pair(4, 9))
    found, usual = compare(a * scale, g * scale, "float64"), compare(a, g, "float64")
    for name in ("relative_frobenius", "mean_ratio", "cosine", "gain", "worst_token", "snr_db", "p01_token_cosine"):
        assert getattr(found, name) == pytest.approx(getattr(usual, name), rel=1e-9), name
    assert error(a * scale, g * scale).token == pytest.approx(usual.worst_token, rel=1e-9)


@pytest.mark.parametrize("scale", [1e200, 1e308])
def test_what_float64_cannot_sum_is_none_and_never_infinite(scale: float) -> None:
    g = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64) * scale
    for found in (compare(-g, g, "float32"), image(-g, g), error(-g, g)):
        json.dumps(asdict(found), allow_nan=False)


# Units and tolerances


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("start", [1.0, 1.9375, 3.0, 0.0078125, -5.0, 1000.0])
def test_the_next_number_of_a_dtype_is_one_unit_away(kind: torch.dtype, start: float) -> None:
    whole = torch.int64 if kind == torch.float64 else torch.int32 if kind == torch.float32 else torch.int16
    g = torch.full((1, 4), start, dtype=kind)
    a = (g.view(whole) + 1).view(kind)
    found = compare(a, g, kind)
    assert (found.ulp_mean, found.ulp_p99, found.ulp_above_1) == (1.0, 1.0, 0.0)
    assert compare((g.view(whole) + 2).view(kind), g, kind).ulp_above_1 == 1.0


@pytest.mark.parametrize(("kind", "smallest"), [(torch.float16, 2.0**-24), (torch.float32, 2.0**-149)])
def test_near_zero_the_unit_is_the_smallest_subnormal(kind: torch.dtype, smallest: float) -> None:
    g = torch.zeros(1, 3, dtype=torch.float64)
    assert compare(g + 3 * smallest, g, kind).ulp_mean == 3.0


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_close_is_what_torch_calls_close(kind: torch.dtype) -> None:
    rtol, atol = torch.testing._comparison.default_tolerances(kind)
    g = torch.randn(40, 25, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    limit = atol + rtol * g.abs()
    a = g + limit * torch.linspace(-2, 2, 25, dtype=torch.float64)
    with pytest.raises(AssertionError) as told:
        torch.testing.assert_close(a, g, rtol=rtol, atol=atol)
    count = int(re.search(r"Mismatched elements: (\d+) / 1000", str(told.value)).group(1))
    assert 0 < count < 1000
    assert compare(a, g, kind).close_mismatched == count
    assert compare(g + 0.9 * limit, g, kind).close_mismatched == 0
    torch.testing.assert_close(g + 0.9 * limit, g, rtol=rtol, atol=atol)


def test_polygraphy_needs_both_limits_exceeded() -> None:
    g = torch.tensor([[1e3, 1e-3, 1.0, 0.0]], dtype=torch.float64)
    off = torch.tensor([[1e-3, 9e-6, 2e-5, 2e-5]], dtype=torch.float64)
    assert compare(g + off, g, "float32").polygraphy_exceeded == 2


# The smaller sets of figures


@pytest.mark.parametrize("shape", [(7,), (3, 4), (9, 5, 6)])
def test_image_and_error_give_the_same_figures(shape: tuple[int, ...]) -> None:
    a, g = pair(*shape)
    whole, one, cheap = compare(a, g, "float32"), image(a, g), error(a, g)
    assert {name: getattr(whole, name) for name in asdict(one)} == asdict(one)
    assert cheap.frobenius == pytest.approx(whole.relative_frobenius, rel=1e-12)
    assert cheap.token == pytest.approx(whole.worst_token, rel=1e-12)


@pytest.mark.parametrize(("dtype", "bits"), [("float32", 24), ("float16", 11), ("bfloat16", 8)])
def test_rounding_is_less_than_half_a_unit(dtype: str, bits: int) -> None:
    lost = rounding(pair(20, 50)[1], dtype)
    assert 0.1 * 2.0**-bits < lost.frobenius < 2.0**-bits
    assert lost.frobenius < lost.token < 2.0**-bits
    assert rounding(torch.ones(2, 3, dtype=torch.float64), dtype) == Error(frobenius=0.0, token=0.0)


def test_rounding_to_what_cannot_hold_the_number_is_none() -> None:
    g = torch.tensor([[1.0, 1e5]], dtype=torch.float64)
    assert rounding(g, "float16") == Error(frobenius=None, token=None)
    assert rounding(g, "bfloat16").frobenius is not None


# The document


def tables(section: str) -> list[list[list[str]]]:
    """Read the tables of a section of the document, each a list of rows of cells, without its head."""
    text = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)
    (body,) = (part for part in text if part.startswith(section + "\n"))
    blocks = re.findall(r"(?:^\|.*\n)+", body, flags=re.MULTILINE)
    cells = [[re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()] for block in blocks]
    return [[[cell.strip() for cell in row] for row in block[2:]] for block in cells]


@pytest.mark.parametrize("record", [Metrics, ImageMetrics, Error])
def test_the_document_defines_every_field(record: type) -> None:
    (table,) = tables(record.__name__)
    assert [row[0] for row in table] == [f"`{field.name}`" for field in fields(record)]
    assert all(row[1] for row in table)


def test_the_document_lists_every_rule() -> None:
    names = [row[0].strip("`") for row in tables("Rules")[0]]
    assert sorted(names) == sorted(["calibrated", *cards.RULES, *standards.RULES])


def test_the_documents_example_is_what_comes_out() -> None:
    block = re.search(r"## A worked example.*?```text\n(.*?)```", DOCUMENT, flags=re.DOTALL).group(1)
    g, a = (
        [[float(x) for x in line.split()] for line in part.splitlines()] for part in block.strip("\n").split("\n\n")
    )
    g, a = torch.tensor(g, dtype=torch.float64), torch.tensor(a, dtype=torch.float64)
    wanted = expected(a, g, "float32")
    assert differing(compare(a, g, "float32"), wanted) == {}
    (table,) = tables("A worked example")
    shown = {
        name: f"{x:.6g}" if isinstance(x, float) else str(list(x) if isinstance(x, tuple) else x)
        for name, x in wanted.items()
    }
    assert {row[0].strip("`"): row[1] for row in table} == shown
