"""What a measurement was asked for, checked before anything is loaded or prepared.

In: what a person says. Out: what is done, with every default filled in. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snellen import devices, runtimes
from snellen.devices import Device
from snellen.errors import UnknownName, UsageError
from snellen.records.bench import MODES, Mode
from snellen.records.plan import FREE, Layout, Setup

BATCHES = (1, 2, 4, 8)
MAX: Literal["max"] = "max"
"""In the place of batch sizes: as large as memory allows."""
BASELINES = ("cpu",)

ALONE = {"openvino": Layout(streams=1)}
"""How runtimes that share the cores out among several batches are laid out where one follows another."""

Batches = Sequence[int] | Literal["max"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One measurement."""

    device: Device
    setup: Setup
    mode: Mode
    batches: tuple[int, ...]  # from the smallest on; none: up to the largest that fits
    seconds: float  # for each batch size
    baseline: bool
    images: tuple[str, ...] = ()  # for files; none: our own photographs
    seed: int = 0


def checked(  # noqa: PLR0913  (they are what a person asks for, and go into one record)
    batch_sizes: Batches,
    device: str,
    runtime: str | None,
    dtype: str,
    *,
    mode: str,
    seconds: float,
    baseline: str | None,
    images: Sequence[str | Path] | None,
    seed: int,
) -> Asked:
    """Refuse what means nothing, and what is not to be had here.

    Raises UnknownName, UsageError, and Unavailable for a device, a dtype or a runtime that is not here.
    """
    chosen: Mode | None = next((known for known in MODES if known == mode), None)
    if chosen is None:
        raise UnknownName("mode", mode, MODES, todo=f"one of {', '.join(MODES)}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"{seconds} s for each batch size", expected="more than 0 s", todo="leave it at 2")
    sizes = () if batch_sizes == MAX else _sizes(batch_sizes)
    _check_together(chosen, sizes, baseline, images)
    place = devices.resolve(device)
    taken = runtime or runtimes.default(place, dtype).value
    runtimes.check(taken, place, dtype)
    layout = ALONE.get(taken, FREE) if chosen == "latency" else FREE
    return Asked(
        device=place,
        setup=Setup(runtime=taken, dtype=dtype, layout=layout),
        mode=chosen,
        batches=sizes,
        seconds=seconds,
        baseline=baseline is not None,
        images=tuple(map(str, images or ())),
        seed=seed,
    )


def _sizes(batch_sizes: Sequence[int | str]) -> tuple[int, ...]:
    """Return batch sizes from the smallest on, each once; raise UsageError for what is none."""
    wrong = [size for size in batch_sizes if isinstance(size, (bool, str)) or size != int(size) or size < 1]
    if wrong or not batch_sizes:
        raise UsageError(
            f"the batch sizes are {list(batch_sizes)}",
            expected=f"whole numbers from 1, or {MAX!r}",
            todo="leave them at 1, 2, 4, 8",
        )
    return tuple(sorted({int(size) for size in batch_sizes}))


def _check_together(
    mode: Mode, sizes: tuple[int, ...], baseline: str | None, images: Sequence[str | Path] | None
) -> None:
    """Raise for a baseline that does not exist, and for what does not go with a mode."""
    if baseline is not None and baseline not in BASELINES:
        raise UnknownName("baseline", baseline, BASELINES, todo="cpu: eager float32 on the CPU")
    if mode == "files" and (baseline is not None or not sizes):
        what = "a baseline" if baseline is not None else f"the batch size {MAX!r}"
        raise UsageError(f"{what} was asked for beside the mode files", todo="take the mode latency or throughput")
    if images is not None and mode != "files":
        raise UsageError(f"images were named beside the mode {mode}", expected="the mode files, which decodes them")
    if images is not None and not images:
        raise UsageError("there is no image to embed", expected="one or more", todo="name images or a folder with some")
