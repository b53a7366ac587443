"""What a fault is, and what a healthy run is: frozen rows of the two tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from faults.edits import Edit
from faults.places import Where
from faults.runners import Wrap
from faults.subjects import Subject
from snellen.encoders.config import ConvNeXtConfig, ViTConfig

Fits = Callable[[Subject], bool]
Kind = Literal["block", "elsewhere", "pixels", "outputs", "behaviour", "placement", "precision"]
"""Where a fault sits: in one block (its culprit is that block), elsewhere in the encoder, before it, behind it, in how
it behaves from call to call, in where it computes, or in the device's arithmetic."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    ``edit`` changes a copy of the encoder, ``wrap`` what runs it; ``arithmetic`` is how the simulated device computes
    (the key of ``simulated.SETUPS``), and makes the run one on that device. ``culprit`` is where the first trace of
    it shows, None where no stage is to blame.
    """

    name: str
    kind: Kind
    dtype: str = "float32"
    edit: Edit | None = None
    wrap: Callable[[Subject], Wrap] | Wrap | None = None
    recipe: Callable[..., Callable[..., object]] | None = None  # of the recipe's mean and std: a change of the pixels
    arithmetic: str | None = None
    culprit: Where | None = None
    fits: Fits = lambda subject: True
    precision: str = "float32"  # the class that a device's arithmetic must be named
    cause: str | None = None  # the switch that must be named


@dataclass(frozen=True, kw_only=True)
class Healthy:
    """One run in which nothing is wrong: what it is, and the precision class it is declared to be."""

    name: str
    subject: Subject
    seed: int = 0
    photographs: int = 4  # how many; 0: random pixels
    first: int = 0
    runtime: str = "module"
    dtype: str = "float32"
    expect: str | None = None
    threads: int | None = None  # as many as the process has
    edit: Edit | None = None
    arithmetic: str | None = None


def vit(subject: Subject) -> bool:
    """Every vision transformer."""
    return isinstance(subject.network, ViTConfig)


def convnext(subject: Subject) -> bool:
    """Every ConvNeXt."""
    return isinstance(subject.network, ConvNeXtConfig)


def has(**settings: object) -> Fits:
    """Vision transformers with the settings named, ``{}`` written as a tuple where one of several will do."""

    def fits(subject: Subject) -> bool:
        config = subject.network
        return vit(subject) and all(
            getattr(config, name) in (value if isinstance(value, tuple) else (value,))
            for name, value in settings.items()
        )

    return fits


def registers(subject: Subject) -> bool:
    """Vision transformers with registers."""
    return vit(subject) and subject.network.registers > 0


def resized(subject: Subject) -> bool:
    """Those whose position table is brought to another grid."""
    config = subject.network
    if not vit(subject) or config.position != "learned":
        return False
    return subject.size != (config.grid * config.patch,) * 2


def scaled(subject: Subject) -> bool:
    """Those with a LayerScale."""
    return convnext(subject) or subject.network.layer_scale
