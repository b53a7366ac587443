"""Run something over inputs, batch by batch, and watch its stages drift from the golden's, one stage at a time.

In: a way to run one batch. Out: outputs by name, and an ``Error`` for every stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
        golden = self._golden[name]
        if x.shape != golden.shape:
            raise InputError(
                f"the candidate's stage {name} has shape {list(x.shape)}",
                expected=f"{list(golden.shape)}, the golden's",
            )
        self.errors[name] = error(rows(x.cpu()), rows(golden))
        return golden.to(device=x.device, dtype=x.dtype) if self._isolated else x


class Keeping:
    """A tap that keeps every stage, on the CPU, and feeds the next one the golden's where that is given."""

    def __init__(self, feed: Mapping[str, Tensor] | None = None, dtype: torch.dtype | None = None) -> None:
        self._feed, self._dtype = feed, dtype
        self.stages: dict[str, Tensor] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        """Keep a stage, and pass on what the next one is fed."""
        self.stages[name] = x.to(device="cpu", dtype=self._dtype or x.dtype, copy=True)
        return x if self._feed is None else self._feed[name].to(device=x.device, dtype=x.dtype)


def rows(x: Tensor) -> Tensor:
    """Bring the channels of a map [B, C, h, w] to the end, where tokens have them already."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def encode(run: Run, pixels: Tensor, tap: Tap | None = None) -> dict[str, Tensor]:
    """Run all pixels in batches and join the outputs on the CPU by name; the tap sees the first batch only."""
    parts = []
    for first, batch in enumerate(pixels.split(BATCH)):
        features = run(batch, None if first else tap)
        parts.append({name: tensor.cpu() for name, tensor in outputs_of(features).items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def outputs_of(features: Features) -> dict[str, Tensor]:
    """Return the outputs of a batch by name, without stages and without what is empty."""
    named = features.named()
    return {name: named[name] for name in named if name not in features.stages and named[name].numel()}
