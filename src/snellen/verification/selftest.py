"""The verifier on trial: the golden against itself must be exact, and one changed weight must be seen.

In: a golden, the encoder, and the trusted run that judges. Out: checks. A golden that was made elsewhere, which
somebody may have changed and sealed anew, is computed again for one input, and the noise that sets the limits for one
batch. A run whose self-test fails has no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from snellen.encoders.build import Encoder
from snellen.encoders.features import Features, Tap
from snellen.records.verify import Check, Error
from snellen.verification import trusted
from snellen.verification.drift import BATCH, Drift, Keeping, encode, rows
from snellen.verification.golden import Golden, Noise, key
from snellen.verification.limits import ratio
from snellen.verification.metrics import error
from snellen.verification.trusted import Arithmetic

LIMITS = 4.0
"""The changed weight moves the patches by this many limits: enough to be certain of, and no more."""

REPRODUCED = 1e-10
"""How far a golden that was made elsewhere may lie from this machine's: float64 sums in another order."""

ROUNDED = 2.0**-24
"""How far its stages may lie beside that: they are kept in float32."""

AGREES = 4.0
"""By how much the noise of outputs that was brought along may differ from this machine's, either way.

A golden travels from one processor to another, whose library adds in another order: as much as that may change the
error of a correct candidate (``limits.FACTOR``), it may change that of the reference.
"""

SCATTERS = 6.0
"""The same for single stages and worst tokens: sums in another order show more there than in a whole tensor."""

FLOOR = 3e-8
"""Noise is equal where it differs by no more than this: about what rounding one number to float32 costs."""

APART = {"hf32": 10.0, key("float16"): 4.0, key("bfloat16"): 4.0}
"""By how much the float32 reference must be nearer to the golden than a lowered one; honest ones are 100 times."""


def run(
    golden: Golden, encoder: Encoder, arithmetic: Arithmetic, noise: Noise, limits: Mapping[str, Error]
) -> tuple[Check, ...]:
    """Run the self-test in the arithmetic that judges the candidate, with its noise in the golden, and its limits."""
    checks = [_exact(golden), _perturbed(golden, encoder, arithmetic, limits), _ladder(golden)]
    if golden.source != "computed here":
        checks += [_reproduced(golden, encoder), _noise(golden, encoder, arithmetic, noise)]
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
    change = _change(golden.outputs["patches"], encoder, LIMITS * allowed)
    if change is None:
        because = "no channel of the patches depends on the last norm's weight, so that none can be changed"
        return Check(name=name, status="fail", because=because)
    channel, factor = change
    with _changed(encoder, channel, factor):
        outputs = encode(lambda batch, tap: trusted.run(encoder, batch, arithmetic, tap), golden.pixels[:BATCH])
    expected = golden.outputs["patches"][:BATCH]
    found = ratio(error(rows(outputs["patches"]), rows(expected)), limits["patches"])
    caught = found is not None and found > 1
    what = f"one weight of the last norm (channel {channel}) times {factor:.6g}"
    because = f"{what} gives {found:.3g} times the limit" if found is not None else f"{what} gives no finite number"
    return Check(name=name, status="pass" if caught else "fail", because=because, value=found, limit=1.0)


def _change(patches: Tensor, encoder: Encoder, relative: float) -> tuple[int, float] | None:
    """Find the channel whose part in the patches is the median, and the factor that moves them by ``relative``.

    Channels without a part are left out; None where no other is there.
    """
    bias = getattr(encoder.norm, "bias", None)
    scaled = patches.double() - (0 if bias is None else bias.double())
    parts = scaled.flatten(0, -2).norm(dim=0)  # [D]
    present = (parts > 0).nonzero().flatten()
    if not len(present):
        return None
    channel = int(present[parts[present].argsort()[len(present) // 2]])
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


def _ladder(golden: Golden) -> Check:
    """See whether the float32 reference is far nearer to the golden than those that compute with fewer bits."""
    name, exact = "selftest.ladder", golden.noise["float32"].outputs["patches"].frobenius
    lowered = {rung: golden.noise[rung].outputs["patches"].frobenius for rung in APART if rung in golden.noise}
    known = {rung: value / APART[rung] for rung, value in lowered.items() if value is not None}
    if exact is None:
        return Check(name=name, status="fail", because="the CPU's float32 run is not finite")
    if not known:
        return Check(
            name=name, status="unknown", because="no lowered reference is finite, to hold the float32 one against"
        )
    nearest = min(known, key=lambda rung: known[rung])
    far = exact < known[nearest]
    because = f"the CPU's float32 run is {exact:.2e} of scale from the golden, its {nearest} run {lowered[nearest]:.2e}"
    if not far:
        because += (
            ": the CPU itself computes with lowered precision (a precision switch or an environment variable of this "
            "process, or of the one that made the golden)"
        )
    return Check(name=name, status="pass" if far else "fail", because=because, value=exact, limit=known[nearest])


def _reproduced(golden: Golden, encoder: Encoder) -> Check:
    """Compute the golden of one input here, and compare all its outputs and stages with what was brought along."""
    name, keeping = "selftest.reproduced", Keeping()
    outputs = encode(lambda batch, tap: trusted.run(encoder, batch, trusted.GOLDEN, tap), golden.pixels[:1], keeping)
    if not (_shaped(outputs, golden.outputs) and _shaped(keeping.stages, golden.stages)):
        because = "the first input's golden, computed here, has other outputs or stages"
        return Check(name=name, status="fail", because=because)
    beyond = {f"output {what}": _apart(here, golden.outputs[what][:1]) for what, here in outputs.items()}
    for what, here in keeping.stages.items():
        beyond[f"stage {what}"] = max(0.0, _apart(here, golden.stages[what][:1]) - ROUNDED)
    worst = max(beyond, key=lambda what: beyond[what])
    finite, good = math.isfinite(beyond[worst]), beyond[worst] <= REPRODUCED
    how = f"differs by {beyond[worst]:.3g}, most in {worst}" if finite else f"is not finite in {worst}, or was not"
    because = f"the first input's golden, computed here, {how}"
    value = beyond[worst] if finite else None
    return Check(name=name, status="pass" if good else "fail", because=because, value=value, limit=REPRODUCED)


def _noise(golden: Golden, encoder: Encoder, arithmetic: Arithmetic, noise: Noise) -> Check:
    """Run the trusted run that judges once more, on one batch, and compare its noise with what was brought along."""

    def run(batch: Tensor, tap: Tap | None) -> Features:
        return trusted.run(encoder, batch, arithmetic, tap)

    name, free, fed = "selftest.noise", Drift(golden.stages, isolated=False), Drift(golden.stages, isolated=True)
    outputs = encode(run, golden.pixels[:BATCH], free)
    run(golden.staged, fed)
    if outputs.keys() != noise.outputs.keys():
        return Check(name=name, status="fail", because="the trusted run, repeated here, has other outputs")
    pairs = {
        f"output {what}": (error(rows(here), rows(golden.outputs[what][:BATCH])), noise.outputs[what], AGREES)
        for what, here in outputs.items()
    }
    for how, mine, theirs in (("", free.errors, noise.cumulative), (" alone", fed.errors, noise.isolated)):
        pairs |= {f"stage {stage}{how}": (mine[stage], theirs[stage], SCATTERS) for stage in mine}
    excess = {what: _excess(*pair) for what, pair in pairs.items()}
    worst = max(excess, key=lambda what: excess[what])
    here, there, _ = pairs[worst]
    good = excess[worst] <= 1
    because = (
        f"the noise of the run that judges, computed here for {min(len(golden.pixels), BATCH)} inputs, "
        f"{'agrees' if good else 'does not agree'} with the golden's: most apart in {worst}, "
        f"{_shown(here)} here, {_shown(there)} there"
    )
    value = excess[worst] if math.isfinite(excess[worst]) else None
    return Check(name=name, status="pass" if good else "fail", because=because, value=value, limit=1.0)


def _shaped(here: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> bool:
    """Tell whether both have the same names, and one input the same shapes."""
    return here.keys() == there.keys() and all(here[name].shape[1:] == there[name].shape[1:] for name in here)


def _apart(here: Tensor, there: Tensor) -> float:
    """Return the larger error of a tensor and its worst token; infinite where one of both is not finite."""
    found = error(rows(here), rows(there))
    return max(math.inf if value is None else value for value in (found.frobenius, found.token))


def _excess(here: Error, there: Error, factor: float) -> float:
    """Return by how many of its allowances the larger noise exceeds the smaller, at most 1 where they agree."""
    allowed = ((here.frobenius, there.frobenius, factor), (here.token, there.token, SCATTERS))
    return max(_times(one, other, most) for one, other, most in allowed)


def _times(one: float | None, other: float | None, factor: float) -> float:
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    return max(one, other) / (factor * min(one, other) + FLOOR)


def _shown(found: Error) -> str:
    parts = (("", found.frobenius), (" (worst token)", found.token))
    return ", ".join("not finite" if value is None else f"{value:.2e}{what}" for what, value in parts)
