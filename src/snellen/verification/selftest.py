"""The verifier on trial: the golden against itself must be exact, and one changed weight must be seen.

A run whose self-test fails has no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from snellen.encoders.build import Encoder
from snellen.records.verify import Check, Error
from snellen.verification import trusted
from snellen.verification.drift import BATCH, encode, rows
from snellen.verification.golden import Golden
from snellen.verification.limits import ratio
from snellen.verification.metrics import error
from snellen.verification.trusted import Arithmetic

LIMITS = 4.0
"""The changed weight moves the patches by this many limits: enough to be certain of, and no more."""

REPRODUCED = 1e-10
"""How far a golden that was made elsewhere may lie from this machine's: float64 sums in another order."""


def run(golden: Golden, encoder: Encoder, arithmetic: Arithmetic, limits: Mapping[str, Error]) -> tuple[Check, ...]:
    """Run the self-test in the arithmetic that judges the candidate, with the same limits."""
    checks = [_exact(golden), _perturbed(golden, encoder, arithmetic, limits)]
    if golden.source != "computed here":
        checks.append(_reproduced(golden, encoder))
    return tuple(checks)


def _exact(golden: Golden) -> Check:
    """Compare the golden with itself, by the way every candidate goes."""
    errors = [error(rows(tensor), rows(tensor)) for tensor in golden.outputs.values()]
    worst = max((value for e in errors for value in (e.frobenius, e.token) if value is not None), default=None)
    exact = worst == 0 and all(e.frobenius is not None for e in errors)
    return Check(
        name="selftest.golden",
        status="pass" if exact else "fail",
        because="the golden against itself is exactly 0" if exact else f"the golden against itself is {worst}, not 0",
        value=worst,
        limit=0.0,
    )


def _perturbed(golden: Golden, encoder: Encoder, arithmetic: Arithmetic, limits: Mapping[str, Error]) -> Check:
    """Change one weight of the last norm in a trusted run, and see whether the limits notice."""
    name, allowed = "selftest.perturbed", limits["patches"].frobenius
    if not allowed:
        return Check(name=name, status="fail", because="there is no limit for the patches, so nothing can be tested")
    channel, factor = _change(golden.outputs["patches"], encoder, LIMITS * allowed)
    with _changed(encoder, channel, factor):
        outputs = encode(lambda batch, tap: trusted.run(encoder, batch, arithmetic, tap), golden.pixels[:BATCH])
    expected = golden.outputs["patches"][:BATCH]
    found = ratio(error(rows(outputs["patches"]), rows(expected)), limits["patches"])
    caught = found is None or found > 1
    what = f"one weight of the last norm (channel {channel}) times {factor:.6g}"
    because = f"{what} gives {found:.3g} times the limit" if found is not None else f"{what} gives no finite number"
    return Check(name=name, status="pass" if caught else "fail", because=because, value=found, limit=1.0)


def _change(patches: Tensor, encoder: Encoder, relative: float) -> tuple[int, float]:
    """Find the channel whose part in the patches is the median, and the factor that moves them by ``relative``."""
    bias = getattr(encoder.norm, "bias", None)
    scaled = patches.double() - (0 if bias is None else bias.double())
    parts = scaled.flatten(0, -2).norm(dim=0)  # [D]
    channel = int(parts.argsort()[len(parts) // 2])
    return channel, 1.0 + relative * float(patches.double().norm() / parts[channel])


@contextmanager
def _changed(encoder: Encoder, channel: int, factor: float) -> Iterator[None]:
    """Change one weight of the last norm, and put the very same bits back."""
    weight = encoder.norm.weight
    assert isinstance(weight, Tensor)
    before = weight.data
    changed = before.clone()
    changed[channel] *= factor
    weight.data = changed
    try:
        yield
    finally:
        weight.data = before


def _reproduced(golden: Golden, encoder: Encoder) -> Check:
    """Compute the golden of one input here, and compare it with what was brought along."""
    features = trusted.run(encoder, golden.pixels[:1], trusted.GOLDEN)
    found = error(rows(features.patches), rows(golden.outputs["patches"][:1])).frobenius
    good = found is not None and found <= REPRODUCED
    because = f"the first input's golden, computed here, differs by {found:.3g}" if found is not None else "not finite"
    return Check(
        name="selftest.reproduced", status="pass" if good else "fail", because=because, value=found, limit=REPRODUCED
    )
