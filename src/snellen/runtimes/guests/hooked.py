"""Another library's model as a runner: its modules are watched by hooks, and what they give is brought to our shapes.

In: the library's model with the weights in it, and a table of points: which module's output is which of our stages.
Out: features under our names, pooled as the recipe says. A tap is fed through the hooks, so that what it returns goes
on through the library's own network.

B batch, N patches, T tokens, D width, h x w the patch grid.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from snellen.devices import Device
from snellen.encoders.build import build
from snellen.encoders.config import EncoderConfig, Resize, ViTConfig
from snellen.encoders.features import Features, Tap
from snellen.errors import InputError, MissingPackage, Unavailable
from snellen.model.model import Model
from snellen.model.spelling import spelled_state, spellings
from snellen.runtimes.base import Runner
from snellen.runtimes.parameters import check_range, tensors_of
from snellen.zoo import ROWS
from snellen.zoo.conventions import RESIZE
from snellen.zoo.variant import Family

Hosts = Literal["timm", "transformers"]
"""The libraries whose own models are run."""

Layout = Literal["ours", "channels_last", "channels_first"]
"""How a module lays out what it gives: as we do, or patches [B, h, w, D], or patches [B, D, h, w]."""


@dataclass(frozen=True, slots=True)
class Point:
    """The module whose output is a stage of ours, by its path in the library's model."""

    path: str
    layout: Layout = "ours"


class Guest(Runner):
    """A library's own model with a model's weights in it.

    ``points``: stage -> where it comes out there. "pooled" needs none: it is made last, and nothing is fed by it.
    """

    runtime: Hosts

    def __init__(
        self, model: Model, module: nn.Module, points: Mapping[str, Point], device: Device, dtype: str
    ) -> None:
        self.device, self.dtype = device, dtype
        self.config = model.encoder.config
        self.like = build(self.config)  # our own encoder without memory: it knows stages and sizes
        self.only = only_side(model, self.runtime)
        self.points = dict(points)
        self.stages = tuple(name for name in self.like.stages if name in self.points or name == "pooled")
        load(model, module, self.runtime)
        check_points(module, points, f"{self.runtime} {self.version}")
        wanted: torch.dtype = getattr(torch, dtype)
        for name, tensor in tensors_of(module):
            check_range(name, tensor, wanted)
        module = module.eval().requires_grad_(False)
        self.module: nn.Module | None = module.to(device=torch.device(device.torch_name), dtype=wanted)

    @torch.inference_mode()
    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels; every stage the library makes is shown to ``tap``, in our shapes."""
        assert self.module is not None  # not closed
        grid = self._grid(pixels)
        seen = Seen(tap)
        with seen.watching(self.module, self.points):
            pixels = pixels.to(self.device.torch_name).to(getattr(torch, self.dtype))
            return self.encode(self.module, pixels, grid, seen)

    @abstractmethod
    def encode(self, module: nn.Module, pixels: Tensor, grid: tuple[int, int], seen: Seen) -> Features:
        """Run the library's model, name and pool what it gives; "pooled" is shown to ``seen`` here."""

    def features(self, tokens: Tensor, grid: tuple[int, int], pooled: Tensor, logits: Tensor | None = None) -> Features:
        """Name the parts of normed tokens [B, T, D]."""
        first, prefix = prefix_of(self.config)
        return Features(
            cls=tokens[:, 0] if first else None,
            registers=tokens[:, first:prefix],
            patches=tokens[:, prefix:],
            grid=grid,
            pooled=pooled,
            logits=logits,
        )

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Return the library's parameters and buffers, under its names."""
        return tensors_of(self.module)

    def close(self) -> None:
        """Let go of the library's model."""
        self.module = None

    def _grid(self, pixels: Tensor) -> tuple[int, int]:
        grid = self.like.grid(pixels)
        if self.only is not None and tuple(pixels.shape[2:]) != (self.only, self.only):
            raise InputError(
                f"the input is {pixels.shape[2]} x {pixels.shape[3]} pixels",
                expected=f"{self.only} x {self.only}: {self.runtime} resizes positions in another way than the encoder",
                todo="--runtime eager",
            )
        return grid


class Seen:
    """Shows the tap every stage as its module gives it, and keeps what goes on from there."""

    def __init__(self, tap: Tap | None) -> None:
        self.kept: dict[str, Tensor] = {}
        self._tap = tap

    def __call__(self, name: str, x: Tensor) -> Tensor:
        """Show one stage; return what goes on from there."""
        x = x if self._tap is None else self._tap(name, x)
        if name == "norm":  # not every library hands its tokens out, and outputs are made of them
            self.kept[name] = x
        return x

    @contextmanager
    def watching(self, module: nn.Module, points: Mapping[str, Point]) -> Iterator[None]:
        """Watch the modules of ``points`` for as long as this is open."""
        handles = [
            module.get_submodule(point.path).register_forward_hook(self._hook(name, point.layout))
            for name, point in points.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str, layout: Layout) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            given: Tensor = output[0] if isinstance(output, tuple) else output
            shown = _to_ours(given, layout)
            taken = self(name, shown)
            if taken is shown:
                return None  # left as it is, memory layout and all
            back = _from_ours(taken, given, layout)
            return (back, *output[1:]) if isinstance(output, tuple) else back

        return hook


def load(model: Model, module: nn.Module, library: Hosts) -> None:
    """Load a model's weights into the library's module under the names it has itself, every one of them.

    Raises Unavailable where no spelling that is known here has just these names and shapes.
    """
    theirs = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    differing: list[list[str]] = []
    for spelled in spellings(model, library):
        written = spelled.written()
        if written == theirs:
            module.load_state_dict(spelled_state(model, spelled), strict=True)
            return
        differing.append(sorted({name for name, _ in written.items() ^ theirs.items()}))
    nearest = differing[0] if differing else []
    raise Unavailable(
        f"the model that {library} builds for {model.record.name} holds other tensors than its weights: "
        + ", ".join(nearest[:6]),
        expected="the names and shapes of a spelling that is known here",
        todo="--runtime eager, or the version of the library that snellen is tested with",
    )


def check_points(module: nn.Module, points: Mapping[str, Point], library: str) -> None:
    """Raise Unavailable where the library's model lacks a module that is watched: it was written otherwise then."""
    there = {name for name, _ in module.named_modules()}
    if absent := [point.path for point in points.values() if point.path not in there]:
        raise Unavailable(
            f"the model that {library} builds has no module {', '.join(absent[:6])}",
            expected="the version that snellen is tested with, or one built like it",
            todo="install that version, or take --runtime eager",
        )


def prefix_of(config: EncoderConfig) -> tuple[int, int]:
    """Return how many class tokens, and how many tokens in all, stand before the patches."""
    return (int(config.class_token), config.prefix) if isinstance(config, ViTConfig) else (1, 1)


def only_side(model: Model, library: Hosts) -> int | None:
    """Return the one side at which positions need no resizing, where the library would resize them in another way.

    Raises Unavailable where the recipe's size is another; None where any size will do.
    """
    config = model.encoder.config
    if not isinstance(config, ViTConfig) or not config.grid:
        return None
    theirs = resize_in(model, library)
    if theirs == config.resize:
        return None
    side = config.grid * config.patch
    if model.recipe.size != (side, side):
        raise differs(model, library, "resize", theirs, config.resize)
    return side


def resize_in(model: Model, library: Hosts) -> Resize:
    """Return how ``library`` brings this model's positions to another grid; the model's own way where it has no say."""
    config = model.encoder.config
    assert isinstance(config, ViTConfig)  # a ConvNeXt has no positions
    ways = RESIZE.get((cast("Family", model.record.family), config.registers > 0))
    return ways[library] if ways else config.resize


def differs(model: Model, library: Hosts, what: str, theirs: object, ours: object) -> Unavailable:
    """Build the error for a network that the library would run in another way."""
    name = next((name for row in ROWS if row.name == model.record.variant and (name := row.name_in(library))), None)
    instead = f"load these weights under {library}'s name, {name}; or " if name else ""
    return Unavailable(
        f"{library} runs this network with the {what} {theirs}, but {model.record.name} has {ours}: "
        "the numbers are not the same",
        todo=f"{instead}--runtime eager",
    )


@contextmanager
def importing(package: Hosts) -> Iterator[None]:
    """Turn what goes wrong while ``package`` is imported into MissingPackage, or Unavailable where it is there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise _unusable(package, error) from error
        raise MissingPackage(f"{package} is not installed", todo=f"pip install 'snellen[{package}]'") from error
    except (ImportError, RuntimeError, OSError) as error:
        raise _unusable(package, error) from error


def _unusable(package: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"{package} is installed, but cannot be imported: {error}",
        expected="versions of it, torch and torchvision that belong together",
        todo=f"pip install --upgrade 'snellen[{package}]'",
    )


def _to_ours(x: Tensor, layout: Layout) -> Tensor:
    if layout == "channels_last":
        return x.flatten(1, 2)
    return x.flatten(2).transpose(1, 2) if layout == "channels_first" else x


def _from_ours(x: Tensor, given: Tensor, layout: Layout) -> Tensor:
    if layout == "ours":
        return x
    return (x if layout == "channels_last" else x.transpose(1, 2)).reshape(given.shape)
