"""The model's own encoder in torch's eager mode, on any device and in any dtype: the runtime all others are held to.

In: a loaded model, which stays where and what it is. Out: a runner with an encoder of its own on the device.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from snellen.devices import Device
from snellen.encoders.build import Encoder, build
from snellen.encoders.features import Features, Tap
from snellen.model.model import Model
from snellen.runtimes.parameters import check_range, tensors_of
from snellen.runtimes.streaming import Streamed

SHARED = "the model's own parameters: they are on this device in this dtype already"


class Eager(Streamed):
    """The encoder as it is written, run operator by operator."""

    runtime = "eager"
    ours = True

    def __init__(self, model: Model, device: Device, dtype: str) -> None:
        self.device, self.dtype = device, dtype
        self.version = torch.__version__
        self.encoder: Encoder | None = placed(model.encoder, device, dtype)
        self.stages = self.encoder.stages
        self.note = SHARED if self.encoder is model.encoder else ""

    @torch.inference_mode()
    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels; every stage is shown to ``tap``."""
        assert self.encoder is not None  # not closed
        features: Features = self.encoder(pixels.to(self.device.torch_name), tap=tap)
        return features

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Return the encoder's parameters."""
        return tensors_of(self.encoder)

    def close(self) -> None:
        """Let go of the encoder."""
        self.encoder = None


def placed(encoder: Encoder, device: Device, dtype: str) -> Encoder:
    """Return the encoder on ``device`` in ``dtype``: itself where it is so already, else a copy, tensor by tensor.

    Beside the finished copy at most one tensor is in memory. Raises KeyMismatch where float16 cannot hold a number.
    """
    wanted: torch.dtype = getattr(torch, dtype)
    place = torch.device(device.torch_name)
    if all(tensor.device == place and tensor.dtype == wanted for _, tensor in tensors_of(encoder)):
        return encoder
    copy = build(encoder.config).to(wanted).to_empty(device=place)
    into = copy.state_dict()
    for name, tensor in encoder.state_dict().items():
        check_range(name, tensor, wanted)
        into[name].copy_(tensor)
    return copy
