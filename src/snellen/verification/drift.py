"""Run something over inputs, batch by batch, and watch its stages drift from the golden's, one stage at a time.

In: a way to run one batch. Out: outputs by name, and an ``Error`` for every stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from snellen.encoders.features import Features, Tap
from snellen.errors import InputError
from snellen.records.verify import Error
from snellen.verification.metrics import error

BATCH = 8
"""Inputs run together, by everyone: golden, references and candidate."""

Run = Callable[[Tensor, "Tap | None"], Features]


class Drift:
    """A tap that compares every stage with the golden's, and keeps the figures only.

    ``isolated``: the next stage is fed the golden's tensor, so that every stage answers for itself alone; otherwise the
    run goes on freely, and errors pile up.
    """

    def __init__(self, golden: Mapping[str, Tensor], *, isolated: bool) -> None:
        self._golden, self._isolated = golden, isolated
        self.errors: dict[str, Error] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        """Compare a stage, and pass on what the next one is fed."""
        golden = stage_of(self._golden, name, x)
        self.errors[name] = error(rows(x[: len(golden)].cpu()), rows(golden))
        return golden.to(device=x.device, dtype=x.dtype, copy=True) if self._isolated else x


class Keeping:
    """A tap that keeps every stage, on the CPU, and feeds the next one the golden's where that is given.

    ``most``: how many inputs are kept of a batch.
    """

    def __init__(
        self, feed: Mapping[str, Tensor] | None = None, dtype: torch.dtype | None = None, most: int | None = None
    ) -> None:
        self._feed, self._dtype, self._most = feed, dtype, most
        self.stages: dict[str, Tensor] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        """Keep a stage, and pass on what the next one is fed."""
        self.stages[name] = x[: self._most].to(device="cpu", dtype=self._dtype or x.dtype, copy=True)
        if self._feed is None:
            return x
        return stage_of(self._feed, name, x).to(device=x.device, dtype=x.dtype, copy=True)


def stage_of(golden: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Return the golden's stage for a candidate's ``x``; raise InputError for a name or a shape that is not its own.

    The golden may hold fewer inputs than the batch has.
    """
    known = golden.get(name)
    if known is None:
        raise InputError(f"the candidate shows a stage {name!r}", expected=f"one of {', '.join(golden)}")
    if x.shape[1:] != known.shape[1:] or len(x) < len(known):
        raise InputError(
            f"the candidate's stage {name} has shape {list(x.shape)}", expected=f"{list(known.shape)}, the golden's"
        )
    return known


def rows(x: Tensor) -> Tensor:
    """Bring the channels of a map [B, C, h, w] to the end, where tokens have them already."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def encode(run: Run, pixels: Tensor, tap: Tap | None = None) -> dict[str, Tensor]:
    """Run all pixels in batches and join the outputs on the CPU by name; the tap sees the first batch only."""
    parts = []
    for first, batch in enumerate(pixels.split(BATCH)):
        features = run(batch, None if first else tap)
        parts.append({name: tensor.detach().to("cpu", copy=True) for name, tensor in outputs_of(features).items()})
    return joined(parts)


def joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Join the outputs of batches, by name; raise InputError where a batch gave others than the first."""
    for part in parts[1:]:
        if part.keys() != parts[0].keys():
            raise InputError(
                f"a batch gave {', '.join(part)}, the one before it {', '.join(parts[0])}",
                expected="the same outputs of every batch",
            )
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def outputs_of(features: Features) -> dict[str, Tensor]:
    """Return the outputs of a batch by name, without stages and without what is empty."""
    named = features.named()
    return {name: named[name] for name in named if name not in features.stages and named[name].numel()}
