"""Faults around an encoder: what a runtime does with pixels, outputs and buffers.

Each function takes a runner and returns one that does the same wrongly; ``Plain`` is the runner that the corpus uses
where no runtime is on trial, in float64 for instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace

import torch
from torch import Tensor

from snellen.devices import Device, resolve
from snellen.encoders.build import Encoder, build
from snellen.encoders.features import Features, Tap
from snellen.runtimes.base import Runner

Wrap = Callable[[Runner], Runner]
PARTS = ("cls", "registers", "patches", "pooled", "logits")


class Plain(Runner):
    """An encoder on a device, as somebody's own module is run; the encoder is taken over and moved."""

    runtime = "module"
    ours = True

    def __init__(self, encoder: Encoder, dtype: str = "float32", device: Device | None = None) -> None:
        self.device = device or resolve("cpu")
        self.dtype = dtype
        self.encoder = encoder.to(self.device.torch_name, getattr(torch, dtype))
        self.stages = encoder.stages

    @torch.inference_mode()
    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        wide = torch.float64 if self.dtype == "float64" else torch.float32
        return self.encoder(pixels.to(wide).to(self.device.torch_name), tap=tap)

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        return [*self.encoder.named_parameters(), *self.encoder.named_buffers()]


class Faulty(Runner):
    """Runs another runner, and does something to what goes in or comes out."""

    def __init__(
        self,
        inner: Runner,
        before: Callable[[Tensor], Tensor] | None = None,
        after: Callable[[Features, Tensor, int], Features] | None = None,
    ) -> None:
        self.inner, self.before, self.after = inner, before, after
        self.calls = 0
        for name in ("runtime", "version", "device", "dtype", "stages", "note", "ours"):
            setattr(self, name, getattr(inner, name))

    @torch.inference_mode()
    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        seen = pixels if self.before is None else self.before(pixels)
        features = self.inner.run(seen, tap)
        self.calls += 1
        return features if self.after is None else self.after(features, pixels, self.calls)

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        return self.inner.tensors()

    def close(self) -> None:
        self.inner.close()


def each(features: Features, change: Callable[[Tensor], Tensor]) -> Features:
    """Change every output."""
    parts = {name: getattr(features, name) for name in PARTS}
    return replace(features, **{name: change(part) for name, part in parts.items() if part is not None})


def _outputs(change: Callable[[Tensor], Tensor]) -> Wrap:
    return lambda inner: Faulty(inner, after=lambda features, pixels, calls: each(features, change))


def scaled(factor: float) -> Wrap:
    """Multiply every output."""
    return _outputs(lambda x: x * factor)


def offset(amount: float) -> Wrap:
    """Add a constant to every output."""
    return _outputs(lambda x: x + amount)


def clipped(inner: Runner) -> Runner:
    """Cut outputs off at twice their root mean square, as a range that was calibrated too tightly does."""

    def clip(x: Tensor) -> Tensor:
        limit = 2 * x.double().square().mean().sqrt().item() if x.numel() else 1.0
        return x.clamp(-limit, limit)

    return _outputs(clip)(inner)


def rounded(bits: int) -> Wrap:
    """Keep ``bits`` bits of the outputs' mantissa."""

    def cut(x: Tensor) -> Tensor:
        mantissa, exponent = torch.frexp(x)
        return torch.ldexp((mantissa * 2.0**bits).round() / 2.0**bits, exponent)

    return _outputs(cut)


def _patches(change: Callable[[Tensor], Tensor]) -> Wrap:
    def after(features: Features, pixels: Tensor, calls: int) -> Features:
        return replace(features, patches=change(features.patches.clone()))

    return lambda inner: Faulty(inner, after=after)


def one_patch_wrong(inner: Runner) -> Runner:
    """Return the next patch's token for one patch of the first image."""

    def change(patches: Tensor) -> Tensor:
        patches[0, 3] = patches[0, 4]
        return patches

    return _patches(change)(inner)


def two_patches_swapped(inner: Runner) -> Runner:
    """Swap two patch tokens of every image."""

    def change(patches: Tensor) -> Tensor:
        patches[:, [1, 2]] = patches[:, [2, 1]]
        return patches

    return _patches(change)(inner)


def patches_transposed(inner: Runner) -> Runner:
    """Return the patch tokens column by column."""

    def after(features: Features, pixels: Tensor, calls: int) -> Features:
        turned = features.patches.unflatten(1, features.grid).transpose(1, 2).flatten(1, 2)
        return replace(features, patches=turned.contiguous())

    return Faulty(inner, after=after)


def third_item_wrong(inner: Runner) -> Runner:
    """Return the first item's outputs for the third of a batch."""

    def change(x: Tensor) -> Tensor:
        return torch.cat([x[:2], x[:1], x[3:]]) if len(x) > 2 else x

    return _outputs(change)(inner)


def batch_reversed(inner: Runner) -> Runner:
    """Return a batch in the opposite order."""
    return _outputs(lambda x: x.flip(0))(inner)


def batch_leaks(inner: Runner) -> Runner:
    """Let each item see a ten-thousandth of the mean of its batch."""
    return _outputs(lambda x: x + 1e-4 * x.mean(0, keepdim=True))(inner)


def single_wrong(inner: Runner) -> Runner:
    """Compute one item alone otherwise than in a batch."""
    return _outputs(lambda x: x * 1.001 if len(x) == 1 else x)(inner)


def stale(inner: Runner) -> Runner:
    """Return the outputs of the call before, wherever their shape fits."""
    kept: list[Features] = []

    def after(features: Features, pixels: Tensor, calls: int) -> Features:
        kept.append(features)
        before = kept[-2] if len(kept) > 1 else features
        return before if before.pooled.shape == features.pooled.shape else features

    return Faulty(inner, after=after)


def first_kept(inner: Runner) -> Runner:
    """Return the first outputs of each shape for ever, as a cache that is never emptied does."""
    kept: dict[tuple[int, ...], Features] = {}
    return Faulty(inner, after=lambda features, pixels, calls: kept.setdefault(tuple(pixels.shape), features))


def buffer_reused(inner: Runner) -> Runner:
    """Write every call's outputs into the memory of the last, so that an earlier result changes afterwards."""
    kept: dict[tuple[int, ...], Features] = {}

    def after(features: Features, pixels: Tensor, calls: int) -> Features:
        held = kept.setdefault(tuple(pixels.shape), each(features, torch.clone))
        for field in fields(Features):
            part = getattr(held, field.name)
            if isinstance(part, Tensor):
                part.copy_(getattr(features, field.name))
        return held

    return Faulty(inner, after=after)


def _one_element(value: float, when: int | None) -> Wrap:
    def after(features: Features, pixels: Tensor, calls: int) -> Features:
        if when is not None and calls != when:
            return features
        pooled = features.pooled.clone()
        pooled[-1, 5] = value
        return replace(features, pooled=pooled)

    return lambda inner: Faulty(inner, after=after)


nan_always = _one_element(float("nan"), None)
nan_once = _one_element(float("nan"), 2)  # in the second call only
nan_while_watched = _one_element(float("nan"), 7)  # with four inputs, the call in which stages are watched
infinite = _one_element(float("inf"), None)


def noisy(size: float) -> Wrap:
    """Add other noise at every run, of a relative size."""

    def wrap(inner: Runner) -> Runner:
        generator = torch.Generator().manual_seed(1)

        def change(x: Tensor) -> Tensor:
            drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64)
            return x * (1 + size * drawn).to(x.dtype).to(x.device)

        return _outputs(change)(inner)

    return wrap


def once_noisy(inner: Runner) -> Runner:
    """Be exact but for every third call, which is off by a thousandth."""

    def after(features: Features, pixels: Tensor, calls: int) -> Features:
        return each(features, lambda x: x * 1.001) if calls % 3 == 0 else features

    return Faulty(inner, after=after)


class LeftBehind(Faulty):
    """Says that one parameter lies on the CPU, while the others lie where the encoder runs."""

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        for i, (name, tensor) in enumerate(self.inner.tensors()):
            yield name, tensor.cpu() if i == 3 else tensor


def to_cpu(inner: Runner) -> Runner:
    """Hand the outputs back on the CPU: where they were computed cannot be told any more."""
    return _outputs(lambda x: x.cpu())(inner)


def computed_on_cpu(inner: Runner) -> Runner:
    """Compute on the CPU and bring the outputs to the device, parameters and all looking as if they were there."""
    assert isinstance(inner, Plain)
    shown, here = inner.encoder, build(inner.encoder.config, "cpu")
    here.load_state_dict({name: tensor.cpu() for name, tensor in shown.state_dict().items()})
    pretended = Plain(here)
    place = inner.device.torch_name
    pretended.device = inner.device
    brought = Faulty(_at_home(pretended), after=lambda features, pixels, calls: each(features, lambda x: x.to(place)))
    brought.tensors = lambda: list(shown.named_parameters())
    return brought


def _at_home(runner: Plain) -> Plain:
    """Let a runner take its pixels where its parameters are."""
    runner.run = torch.inference_mode()(lambda pixels, tap=None: runner.encoder(pixels, tap=tap))
    return runner
