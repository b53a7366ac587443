"""The golden, and how far trusted runs of known precision lie from it: everything a candidate is held against.

Made on any CPU from the model alone; ``bundle`` carries it to other machines.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

import torch
from torch import Tensor

from snellen._version import __version__
from snellen.encoders.build import Encoder, build
from snellen.encoders.features import Features, Tap
from snellen.model.model import Model
from snellen.records.verify import Error, InputsRecord
from snellen.verification import trusted
from snellen.verification.drift import BATCH, Drift, Keeping, encode, rows
from snellen.verification.inputs import Inputs
from snellen.verification.metrics import error
from snellen.verification.trusted import Arithmetic

Progress = Callable[[str], None]

STAGES_MOST = 2**30
"""Bytes of stages that a golden keeps: of the first inputs only, where the encoder is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The errors of one trusted run against the golden: of outputs, and of stages run freely and fed the golden's."""

    outputs: dict[str, Error]
    cumulative: dict[str, Error]
    isolated: dict[str, Error]
    digests: dict[str, str]  # sha256 of each output: whoever has the same bits is that run


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a golden belongs to: it judges no other encoder, recipe or input."""

    variant: str
    weights: str  # digest of the native tensors as stored; "" of a model that has none
    encoder: str  # the configuration, as text
    recipe: str
    inputs: InputsRecord
    method: str  # digest of the arithmetics of golden and trusted runs, and of how many inputs run together
    version: str
    torch: str
    machine: str
    made_at: str  # UTC, ISO 8601


@dataclass(frozen=True, kw_only=True)
class Golden:
    """The float64 results for some pixels, and the noise of trusted runs on them.

    ``outputs`` are float64. ``stages`` are rounded to float32, of the first batch only: they are what a stage is fed.
    ``single`` is the outcome of the CPU's float32 run, which the reports compare with.
    """

    about: About
    pixels: Tensor
    outputs: Mapping[str, Tensor]
    single: Mapping[str, Tensor]
    stages: Mapping[str, Tensor]
    noise: dict[str, Noise] = field(default_factory=dict)
    source: str = "computed here"

    @property
    def staged(self) -> Tensor:
        """The pixels of which there are stages, [b, 3, h, w]."""
        return self.pixels[: len(next(iter(self.stages.values())))]


def noises(dtype: str) -> dict[str, Arithmetic]:
    """Return the trusted runs that judge a candidate of a dtype: the ladder for float32, else that dtype's own."""
    return trusted.LADDER if dtype == "float32" else {"float32": trusted.SINGLE, key(dtype): trusted.REFERENCE[dtype]}


def every_noise() -> dict[str, Arithmetic]:
    """Return the trusted runs for any dtype, which a bundle holds."""
    return {name: run for dtype in trusted.REFERENCE for name, run in noises(dtype).items()}


def key(dtype: str) -> str:
    """Name the trusted run in a dtype, apart from the ladder's run with operands of that class."""
    return "float32" if dtype == "float32" else f"all {dtype}"


def compute(model: Model, inputs: Inputs, wanted: Mapping[str, Arithmetic], progress: Progress) -> Golden:
    """Compute the golden of a model on the CPU, and the noise of the trusted runs that are wanted."""
    encoder = model.encoder
    pixels = inputs.pixels(model.recipe)
    keeping = Keeping(dtype=torch.float32, most=_staged(encoder, pixels))
    progress(f"golden: {len(pixels)} {'input' if len(pixels) == 1 else 'inputs'} in float64 on the CPU")
    outputs = encode(lambda batch, tap: trusted.run(encoder, batch, trusted.GOLDEN, tap), pixels, keeping)
    golden = Golden(
        about=about(model, inputs.record(pixels)), pixels=pixels, outputs=outputs, single={}, stages=keeping.stages
    )
    return with_noise(golden, model, wanted, progress)


def _staged(encoder: Encoder, pixels: Tensor) -> int:
    """Return of how many inputs the stages can be kept: those of a batch, or fewer where they are large."""
    sizes: list[int] = []

    def tap(_: str, x: Tensor) -> Tensor:
        sizes.append(x.numel() * torch.float32.itemsize)
        return x

    build(encoder.config)(torch.empty(1, *pixels.shape[1:], device="meta"), tap=tap)
    return max(1, min(BATCH, STAGES_MOST // sum(sizes)))


def with_noise(golden: Golden, model: Model, wanted: Mapping[str, Arithmetic], progress: Progress) -> Golden:
    """Add the noise of trusted runs that are wanted and not there yet."""
    noise, single = dict(golden.noise), golden.single
    for name, arithmetic in wanted.items():
        if name in noise:
            continue
        progress(f"reference: {name} on the CPU")
        noise[name], outputs = _noise(golden, model, arithmetic)
        if name == "float32":
            single = outputs
    return Golden(
        about=golden.about,
        pixels=golden.pixels,
        outputs=golden.outputs,
        single=single,
        stages=golden.stages,
        noise=noise,
        source=golden.source,
    )


def _noise(golden: Golden, model: Model, arithmetic: Arithmetic) -> tuple[Noise, dict[str, Tensor]]:
    def run(batch: Tensor, tap: Tap | None) -> Features:
        return trusted.run(model.encoder, batch, arithmetic, tap)

    free, fed = Drift(golden.stages, isolated=False), Drift(golden.stages, isolated=True)
    outputs = encode(run, golden.pixels, free)
    run(golden.staged, fed)
    errors = {name: error(rows(tensor), rows(golden.outputs[name])) for name, tensor in outputs.items()}
    digests = {name: digest({name: tensor}) for name, tensor in outputs.items()}
    return Noise(outputs=errors, cumulative=free.errors, isolated=fed.errors, digests=digests), outputs


def about(model: Model, inputs: InputsRecord) -> About:
    """Say what a golden of this model and these inputs belongs to."""
    record = model.record
    return About(
        variant=record.variant,
        weights=record.digest or "",
        encoder=repr(model.encoder.config),
        recipe=record.recipe,
        inputs=inputs,
        method=method(),
        version=__version__,
        torch=torch.__version__,
        machine=platform.machine(),
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def method() -> str:
    """Return a sha256 over how goldens and noise are computed here: noise of another method judges nothing."""
    text = f"{trusted.GOLDEN} {trusted.LADDER} {trusted.REFERENCE} {BATCH}"
    return hashlib.sha256(text.encode()).hexdigest()


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a sha256 over tensors: names, dtypes, shapes and bytes, in the order of the names."""
    whole = hashlib.sha256()
    for name, tensor in _sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        flat = tensor.detach().contiguous().reshape(-1)  # of a scalar too, which has no bytes to view otherwise
        whole.update(flat.view(torch.uint8).numpy().data)
    return whole.hexdigest()


def _sorted(items: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    return sorted(items, key=lambda item: item[0])
