"""That it ran: one image through the candidate, and every tensor that came out looked at before any is compared.

In: a runner, the trusted encoder, pixels [1, 3, h, w]. Out: ``Evidence``, how long the same image took once more, and
what could not be shown, and why.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snellen.encoders.build import Encoder
from snellen.encoders.config import ViTConfig
from snellen.errors import SnellenError
from snellen.records.report import Evidence, Tensor
from snellen.runtimes.base import Runner
from snellen.verification.calling import call, look
from snellen.verification.drift import outputs_of

if TYPE_CHECKING:
    import torch

MAPS = 3
"""Stages of a transformer that are shown as maps, evenly spread."""

FIRST = 8
"""Values of a tensor that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one image gave."""

    evidence: Evidence
    again_s: float  # the same image once more, when everything is warm
    built: bool  # whether a second build showed the stages
    notes: tuple[str, ...] = ()


def shown(runner: Runner, encoder: Encoder, pixels: torch.Tensor, image: str, *, builds: bool) -> Looked:
    """Run one image twice, and once more for its maps. ``builds``: a second build may be made to show stages.

    Raises CandidateError where the candidate raises; a second build that fails is noted.
    """
    begun = time.perf_counter()
    features = call(runner, pixels, "in its first run")
    first = time.perf_counter()
    call(runner, pixels, "in its second run")
    again_s = time.perf_counter() - first
    outputs = tuple(figures(name, tensor) for name, tensor in outputs_of(features).items())
    maps, built, notes = _maps(runner, encoder, pixels, builds=builds)
    evidence = Evidence(
        image=image,
        outputs=outputs,
        maps=maps,
        seconds=first - begun,
        output_device=outputs[0].device,
    )
    return Looked(evidence=evidence, again_s=again_s, built=built, notes=notes)


def figures(name: str, x: torch.Tensor) -> Tensor:
    """Say what a tensor is, and between what its values lie; they are added up in float64 on the CPU."""
    values = x.detach().to("cpu").double().reshape(-1)
    nonfinite = int((~values.isfinite()).sum())
    known = nonfinite == 0 and len(values) > 0
    return Tensor(
        name=name,
        shape=tuple(x.shape),
        dtype=str(x.dtype).removeprefix("torch."),
        device=str(x.device),
        least=float(values.min()) if known else None,
        most=float(values.max()) if known else None,
        mean=float(values.mean()) if known else None,
        std=float(values.std(correction=0)) if known else None,
        nonfinite=nonfinite,
        first=tuple(values[:FIRST].tolist()) if known else (),
    )


def mapped(encoder: Encoder) -> tuple[str, ...]:
    """Return the stages that are shown as maps: of a transformer three, evenly spread, else those it has."""
    if not isinstance(encoder.config, ViTConfig):
        return encoder.map_stages
    blocks = encoder.block_stages
    chosen = (blocks[math.ceil(number * len(blocks) / MAPS) - 1] for number in range(1, MAPS + 1))
    return tuple(dict.fromkeys(chosen))


class _Kept:
    """A tap that keeps the stages it was told, where they lie, and changes none."""

    def __init__(self, wanted: Collection[str]) -> None:
        self.stages: dict[str, torch.Tensor] = {}
        self._wanted = wanted

    def __call__(self, name: str, x: torch.Tensor) -> torch.Tensor:
        if name in self._wanted:
            self.stages[name] = x
        return x


def _maps(
    runner: Runner, encoder: Encoder, pixels: torch.Tensor, *, builds: bool
) -> tuple[tuple[Tensor, ...], bool, tuple[str, ...]]:
    """Return the maps, whether a second build showed them, and what has to be said of them."""
    wanted, grid, built = mapped(encoder), encoder.grid(pixels), False
    if runner.stages:
        tap = _Kept(wanted)
        call(runner, pixels, "while its stages were watched", tap)
        stages = tap.stages
    elif runner.watched and builds:
        try:
            stages, built = look(runner, pixels, "in the build that shows its stages"), True
        except SnellenError as error:
            return (), False, (f"no maps of single stages: {error.seen}",)
    else:
        because = runner.note or f"{runner.runtime} shows no stages"
        left = "; the second build that would show them was left out" if runner.watched else ""
        return (), False, (f"no maps of single stages: {because}{left}",)
    found = tuple(figures(name, encoder.as_map(stages[name], grid)) for name in wanted if name in stages)
    missing = [name for name in wanted if name not in stages]
    return found, built, (f"no map of {', '.join(missing)}: {runner.runtime} does not show it",) if missing else ()
