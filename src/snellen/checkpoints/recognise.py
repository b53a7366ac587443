"""Which dialect a file is written in, and what parts of an encoder it holds.

In: the names and shapes of an opened file. Out: the one dialect whose marks it bears, or an error that shows what was
found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import permutations

import torch

from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Dialect, Ignored, Plan, Rule, Shapes, plan, spelled_name
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.errors import UnknownDialect

NESTED = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before every name, alone or one within another."""

WRAPS = (
    "",
    *NESTED,
    *(outer + inner for outer, inner in permutations(NESTED, 2)),
    *("backbone.", "teacher.backbone.", "timm_model.", "visual.trunk."),  # DINO's trainer, open_clip
)

BESIDE = {"n_averaged": "how many steps torch's AveragedModel, whose mean the others are, has averaged"}
"""Tensors that a wrapper puts beside the encoder's, and what they are."""

# Marks of checkpoints that are close relatives, but not encoders of this zoo: what they are, and what to take instead.
RELATIVES = {
    "text_encoder": (
        "AIMv2-LiT, an encoder with a text tower",
        "take an AIMv2 without one, such as apple/aimv2-large-patch14-224",
    ),
    "text_model": (
        "a model of pictures and text, such as CLIP",
        "take one of the encoders that 'snellen models' lists",
    ),
    "Transformer/encoderblock_0/MultiHeadDotProductAttention_0": (
        "a ViT in big_vision's naming",
        "take the same weights from timm, or convert them",
    ),
    "dino_head": (
        "a DINO training checkpoint, heads and all",
        "take the released backbone, or save the teacher's backbone alone",
    ),
}


@dataclass(frozen=True, slots=True)
class Spelling:
    """A dialect, and what stands before the trunk's names in this file."""

    dialect: Dialect
    prefix: str
    wrap: str

    def plan(self, config: EncoderConfig, extras: tuple[str, ...] = ()) -> Plan:
        """Spell the dialect out for one encoder, as this file does."""
        spelled = plan(self.dialect, config, prefix=self.prefix, wrap=self.wrap, extras=extras)
        if not self.wrap:
            return spelled
        beside = {name: Ignored(name, because, beside="", restore=None) for name, because in BESIDE.items()}
        return replace(spelled, ignored={**spelled.ignored, **beside})


def recognise(names: Collection[str], where: str) -> Spelling:
    """Find the dialect of a file by its names; raise UnknownDialect, naming ``where``, for none or several."""
    found = [
        Spelling(dialect, prefix, wrap)
        for dialect in DIALECTS
        for prefix in dialect.prefixes
        for wrap in WRAPS
        if all(wrap + prefix + mark in names for mark in dialect.marks)
        and not any(wrap + prefix + mark in names for mark in dialect.unmarks)
    ]
    if len(found) == 1:
        return found[0]
    sample = ", ".join(sorted(names)[:6])
    if found:
        spelled = " and ".join(f"{spelling.dialect.family} of {spelling.dialect.name}" for spelling in found)
        raise UnknownDialect(f"{where} can be read in several ways: {spelled}", todo="save one encoder alone")
    for mark, (what, todo) in RELATIVES.items():
        if any(mark in name for name in names):
            raise UnknownDialect(f"{where} looks like {what}", expected="an encoder of pictures, alone", todo=todo)
    raise UnknownDialect(
        f"{where} holds {len(names)} tensors, but of no encoder known here (for example: {sample})",
        expected="DINOv2, DINOv3, ViT or AIMv2 as timm, transformers or the original authors name them",
        todo="'snellen inspect' shows what is inside; 'snellen models' what is known",
    )


def with_parts(
    config: EncoderConfig, spelling: Spelling, shapes: Mapping[str, tuple[int, ...]], head: bool
) -> EncoderConfig:
    """Return ``config`` with the optional parts that the file holds: the tanh layer, and the classifier if ``head``."""
    if not isinstance(config, ViTConfig):
        return config
    config = replace(config, pooler=_held(spelling, "pooler.", shapes) is not None, classes=0)
    matrix = _held(spelling, "head.", shapes) if head else None
    return config if matrix is None else replace(config, classes=matrix.read(config))


@dataclass(frozen=True, slots=True)
class _Matrix:
    """The weight of an optional linear layer, as a file holds it."""

    rule: Rule
    shape: tuple[int, ...]

    def read(self, config: ViTConfig) -> int:
        """Return its outputs."""
        return self.rule.op.read((torch.empty(self.shape, device="meta"),), config)[0].shape[0]


def _held(spelling: Spelling, layer: str, shapes: Mapping[str, tuple[int, ...]]) -> _Matrix | None:
    """Return the weight of ``layer`` ("head.", "pooler."), if the dialect has a place for it and the file fills it."""
    for rule in spelling.dialect.rules:
        if isinstance(rule, Rule) and rule.native in (layer + "weight", layer + "{p}"):
            name = spelled_name(str(rule.foreign).format(p="weight"), spelling.prefix, spelling.wrap)
            return _Matrix(rule, shapes[name]) if name in shapes else None
    return None


@dataclass(frozen=True, slots=True)
class Fit:
    """How the tensors of a file compare with those a plan wants; all empty means that they fit."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]  # "name [2, 3] instead of [3, 2]"
    ignored: tuple[tuple[str, str], ...]  # name and reason

    @property
    def fits(self) -> bool:
        """Tell whether every tensor is used or ignored, and every one that is needed is there, in its shape."""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def faults(self) -> int:
        """Count what does not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)


def compare(plan: Plan, shapes: Mapping[str, tuple[int, ...]]) -> Fit:
    """Hold the names and shapes of a file against what ``plan`` wants; nothing is read."""
    wanted: Shapes = plan.foreign()
    return Fit(
        missing=tuple(sorted(wanted.keys() - shapes.keys())),
        unexpected=tuple(sorted(shapes.keys() - wanted.keys() - plan.ignored.keys())),
        misshapen=tuple(
            f"{name} {list(shapes[name])} instead of {list(wanted[name])}"
            for name in sorted(wanted.keys() & shapes.keys())
            if shapes[name] != wanted[name]
        ),
        ignored=tuple((name, plan.ignored[name].because) for name in sorted(plan.ignored.keys() & shapes.keys())),
    )
