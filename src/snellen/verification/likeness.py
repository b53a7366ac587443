"""How alike the outputs of an 8-bit encoder are to the golden, in what their users ask of them: angles and neighbours.

Eight bits for a whole tensor round as no precision class does: how far they are off depends on which images the ranges
were taken from, so that no trusted run sets a limit. What is left to hold them to is what the vectors are for. Limits
are declared here and nowhere else.

Neighbours are those of patches. Neighbours of whole images are not counted: the few images of a trial have none to
confuse, and each more costs a float64 run; what is said of images is said by the angles of their vectors.

n images, N patches, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snellen.errors import CandidateError
from snellen.verification.metrics import compare

COSINE_MEDIAN = 0.995
"""At least, of the cosines of an output's vectors to the golden's, the median: an angle of 5.7 degrees.

That is an error of 10 % of scale, at which a trusted run, too, is no longer good enough to judge by (``limits.NOISY``).
Measured on encoders with drawn weights, ranges taken from six other photographs (docs/log.md): 0.9965 to 0.9999 where
the ranges fit, down to 0.974 where they do not, 0.949 to 0.987 where a weight matrix of one in 12 blocks has twice its
scale.
"""

COSINE_WORST_IMAGE = 0.99
"""At least, of one vector for each image (cls, pooled, logits), the worst: 14 % of scale. Measured: 0.9949 and more."""

COSINE_WORST_TOKEN = 0.95
"""At least, of one vector for each patch or register, the worst: 31 % of scale. Measured: 0.980 and more."""

GAIN = 0.02
"""How far the scale of an output may be off, to which cosines are blind. Measured: 0.007 and less."""

NEIGHBOURS = 0.8
"""The share of patches whose nearest neighbour stays the same, at least, as a part of what bfloat16 keeps.

A part of it, for patches of a clear sky are all alike, and no arithmetic keeps their order. Who accepts 8 bits where a
task's score is given up by at most 1 % (MLPerf Inference: 99 % of float32's; NNCF's accuracy control: 0.01 by default)
gives up no more than that here if one changed neighbour in twenty is a wrong one. Measured: 0.87 to 1.0 of bfloat16's
where the ranges fit, 0.42 to 0.69 where one block of 12 has a doubled projection to queries, keys and values.
"""

QUERIES = 512
"""Patches whose neighbours are looked for, evenly spaced over all images."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bound:
    """One figure and its limit."""

    name: str
    value: float
    limit: float
    best: float  # the figure of the golden itself

    @property
    def ratio(self) -> float:
        """How much of what is allowed is used up, at most 1 where it passes."""
        return (self.best - self.value) / (self.best - self.limit)


def figures(outputs: Mapping[str, Tensor], golden: Mapping[str, Tensor]) -> Figures:
    """Return cosines, gain and kept neighbours of outputs of the golden's shapes, all of them finite.

    Raises CandidateError for an output whose scale cannot be told.
    """
    found: Figures = {}
    for name, exact in golden.items():
        cosines = (_unit(outputs[name]) * _unit(exact)).sum(-1)
        found[f"{name}_cosine_median"] = float(cosines.median())
        found[f"{name}_cosine_worst"] = float(cosines.min())
        gain = compare(outputs[name], exact, "float32").gain
        if gain is None:
            raise CandidateError(f"the scale of {name} cannot be told: the golden's are zeros, or a sum overflows")
        found[f"{name}_gain"] = gain
    return found | _neighbours(outputs["patches"], golden["patches"])


def bounds(found: Figures, bfloat16: Figures, golden: Mapping[str, Tensor]) -> Iterator[Bound]:
    """Yield every figure that is judged, with its limit; ``bfloat16``: the figures of that trusted run."""
    for name, exact in golden.items():
        worst = COSINE_WORST_IMAGE if exact.ndim == 2 else COSINE_WORST_TOKEN
        yield Bound(f"{name}_cosine_median", found[f"{name}_cosine_median"], COSINE_MEDIAN, 1.0)
        yield Bound(f"{name}_cosine_worst", found[f"{name}_cosine_worst"], worst, 1.0)
        yield Bound(f"{name}_gain", abs(found[f"{name}_gain"]), GAIN, 0.0)
    for name in ("neighbours", "neighbours_across"):
        yield Bound(name, found[name], NEIGHBOURS * bfloat16[name], 1.0)


def _neighbours(mine: Tensor, exact: Tensor) -> Figures:
    """Return the share of patches [n, N, D] that keep their nearest neighbour: of all, and in the other images."""
    images = torch.arange(len(exact)).repeat_interleave(exact.shape[1])  # [n * N]
    queries = torch.linspace(0, len(images) - 1, min(QUERIES, len(images))).long()
    alike = [_unit(x).flatten(0, 1) for x in (mine, exact)]
    near = [x[queries] @ x.T for x in alike]  # [queries, n * N]
    for x in near:
        x[torch.arange(len(queries)), queries] = -2.0  # a patch is no neighbour of its own
    anywhere = near[0].argmax(-1) == near[1].argmax(-1)
    own = images[queries][:, None] == images[None]
    across = near[0].masked_fill_(own, -2.0).argmax(-1) == near[1].masked_fill_(own, -2.0).argmax(-1)
    return {"neighbours": float(anywhere.double().mean()), "neighbours_across": float(across.double().mean())}


def _unit(x: Tensor) -> Tensor:
    """Bring vectors along the last axis to length 1, in float64; one of nothing but zeros stays so."""
    x = x.detach().cpu().double()
    return torch.nn.functional.normalize(x, dim=-1, eps=1e-300)
