"""A candidate that computes as a trusted run does, by sums in another order, so that no bits are the reference's."""

from __future__ import annotations

import dataclasses

import torch

from snellen.devices.cpu import CPU
from snellen.runtimes.base import Runner
from snellen.verification import trusted
from snellen.verification.trusted import Arithmetic


class Emulated(Runner):
    """A device that computes as a trusted run does, by other code than the reference's: sums in another order."""

    runtime = "emulated"

    def __init__(self, encoder, arithmetic=trusted.SINGLE, switches=()):
        self.encoder, self.arithmetic = encoder, arithmetic
        self.device = Device(name="cpu", kind="cpu", own=switches)
        self.dtype = str(arithmetic.dtype).removeprefix("torch.")
        self.stages = encoder.stages

    def run(self, pixels, tap=None):
        lowering = [s.lowers for s in self.device.own if s.read() == "True"]
        arithmetic = self.arithmetic
        if self.device.own:
            only = {("convolution",): "convolution", ("matmul",): "matmul"}.get(tuple(lowering), "all")
            arithmetic = Arithmetic(operands="hf32", only=only) if lowering else Arithmetic()
        with Halved():
            return trusted.run(self.encoder, pixels, arithmetic, tap)

    def tensors(self):
        return [(name, p.to(self.arithmetic.dtype)) for name, p in self.encoder.named_parameters()]


class Halved(torch.overrides.TorchFunctionMode):
    """Adds up every linear map in two halves, so that no bits are those of the reference."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") != "linear":
            return function(*args, **(kwargs or {}))
        x, weight, bias = (*args, None)[:3]
        half = weight.shape[1] // 2
        first = function(x[..., :half], weight[:, :half], bias)
        return first + function(x[..., half:], weight[:, half:])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device(CPU):
    own: tuple = ()

    def switches(self):
        return self.own
