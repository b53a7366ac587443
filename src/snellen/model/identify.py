"""What a checkpoint is: which variant, in whose spelling, with which parts.

A name decides, where one was given; else the ``config.json`` beside the weights; else the names and shapes in the file.
Where several rows fit and would give different numbers, nothing is guessed: the error names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from snellen import zoo
from snellen.checkpoints.hub_config import read_config
from snellen.checkpoints.recognise import Fit, Spelling, compare, recognise, with_parts
from snellen.checkpoints.state import mismatch
from snellen.checkpoints.tensors import Tensors
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.errors import CheckpointError, KeyMismatch
from snellen.records import Choice
from snellen.zoo import Named
from snellen.zoo.conventions import config_for
from snellen.zoo.variant import Library, Variant

Json = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]

LIBRARY: dict[str, Library] = {
    "timm": "timm",
    "transformers": "transformers",
    "meta": "original",
    "apple": "original",
    "jax": "original",
}
"""Whose name a dialect's file has when none was given."""

CLASSES = {"none": 0, "imagenet1k": 1000, "imagenet21k": 21843}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A checkpoint, identified: the row and library, the network as that library runs it, and the file's spelling."""

    named: Named
    config: EncoderConfig
    spelling: Spelling
    labels: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()


def identify(tensors: Tensors, document: Json | None, name: str | None, where: str) -> Identity:
    """Find out what the opened file is.

    ``document`` is the folder's ``config.json``, if it has one; ``where`` names the file in errors. Raises
    UnknownDialect, KeyMismatch (the file is of another variant than ``name``), or CheckpointError where it could be
    several.
    """
    shapes = {key: tensors.shape(key) for key in tensors}
    spelling = recognise(shapes, where)
    if name is not None:
        return _by_name(zoo.find(name), spelling, shapes, document, where)
    if document and "architecture" in document:
        return _by_timm(document, spelling, shapes, where)
    if document and "model_type" in document:
        return _by_transformers(document, spelling, shapes, where)
    return _by_shapes(spelling, shapes, where)


def fitting(spelling: Spelling, shapes: Shapes, library: Library) -> dict[str, EncoderConfig]:
    """Return the rows of the zoo that a file's names and shapes fit, by their name in ``library``."""
    found: dict[str, EncoderConfig] = {}
    for variant in zoo.ROWS:
        name = dict(reversed(variant.names)).get(library)
        if variant.family != spelling.dialect.family or name is None:
            continue
        config = with_parts(config_for(variant, library), spelling, shapes, head=variant.head != "none")
        if _parts_agree(variant, config, spelling, shapes) and _fit(spelling, config, shapes).fits:
            found[name] = config
    return found


def _by_name(named: Named, spelling: Spelling, shapes: Shapes, document: Json | None, where: str) -> Identity:
    variant = named.variant
    if variant.family != spelling.dialect.family:
        raise KeyMismatch(
            f"{where} holds an encoder of the family {spelling.dialect.family}",
            expected=f"{variant.family}, as {named.name} is",
            todo="'snellen inspect' says which variant it is",
        )
    config = with_parts(config_for(variant, named.library), spelling, shapes, head=variant.head != "none")
    fit = _fit(spelling, config, shapes)
    if not fit.fits:
        others = list(fitting(spelling, shapes, LIBRARY[spelling.dialect.library]))
        hint = f"; they are those of {' or '.join(others[:3])}" if others else ""
        raise mismatch(fit, where, f"{named.name} as {spelling.dialect.name} spells it{hint}")
    return Identity(named=named, config=config, spelling=spelling, labels=_labels(document))


def _by_timm(document: Json, spelling: Spelling, shapes: Shapes, where: str) -> Identity:
    pretrained, arguments = document.get("pretrained_cfg", {}), document.get("model_args", {})
    if not isinstance(pretrained, dict) or not isinstance(arguments, dict):
        raise CheckpointError(
            f"pretrained_cfg or model_args in the config.json beside {where} is no table",
            todo="take the config.json of the same revision",
        )
    tag, base = pretrained.get("tag"), str(document["architecture"])
    identity = _by_name(zoo.find(f"{base}.{tag}" if tag else base), spelling, shapes, None, where)
    if changed := sorted(set(arguments) - {"num_classes", "global_pool"}):
        raise CheckpointError(
            f"the config.json beside {where} changes {base} by model_args: {', '.join(changed)}",
            expected="a variant as timm defines it",
            todo="name the variant it stands for, if the weights are those of one",
        )
    choice = Choice(identity.named.name, "its config.json names this architecture and tag")
    return replace(identity, choices=(choice,))


def _by_transformers(document: Json, spelling: Spelling, shapes: Shapes, where: str) -> Identity:
    family, config = read_config(document, f"the config.json beside {where}")
    if family != spelling.dialect.family:
        raise CheckpointError(
            f"{where} holds tensors of {spelling.dialect.family}, but its config.json describes {family}",
            todo="take both files from one revision",
        )
    config = with_parts(config, spelling, shapes, head=True)
    rows = [variant for variant in zoo.ROWS if variant.transformers and _same_network(variant, config)]
    rows = _by_classes(rows, config)
    image = int(document.get("image_size", 224))
    if not rows:
        named = Named(where, where, _stranger(family, config, image, where), "transformers")
        if isinstance(config, ViTConfig) and config.pooler:
            config = replace(config, pool="tanh_cls")  # what transformers calls its pooler_output
        choice = Choice(family, "its config.json describes this network, which is no row of the zoo")
    else:
        # The rows that are left differ in their training only; what differs in use comes from the folder's own files.
        named = Named(where, str(rows[0].transformers), rows[0], "transformers")
        others = f" (and {len(rows) - 1} more)" if rows[1:] else ""
        choice = Choice(named.name, f"its config.json describes the network of this row{others}")
        config = replace(config, pool=config_for(rows[0], "transformers").pool)
    fit = _fit(spelling, config, shapes)
    if not fit.fits:
        raise mismatch(fit, where, "the network that the config.json beside it describes")
    return Identity(named=named, config=config, spelling=spelling, labels=_labels(document), choices=(choice,))


def _by_shapes(spelling: Spelling, shapes: Shapes, where: str) -> Identity:
    library = LIBRARY[spelling.dialect.library]
    found = fitting(spelling, shapes, library)
    rows = {name: zoo.find(name) for name in found}
    if spelling.dialect.library == "meta":  # tensors that only some of the original files hold
        extras = {extra for named in rows.values() for extra in named.variant.extras}
        held = {extra for extra in extras if any(key.startswith(spelling.wrap + extra) for key in shapes)}
        rows = {name: named for name, named in rows.items() if set(named.variant.extras) == held} or rows
    uses = {(named.variant.stats, named.variant.head, found[name]) for name, named in rows.items()}
    if not rows:
        raise _nothing_fits(spelling, shapes, library, where)
    if len(uses) > 1:
        raise CheckpointError(
            f"{where} could be {' or '.join(rows)}: same tensors, different preprocessing",
            todo="say which it is: the name as MODEL, the file as --weights",
        )
    name, named = next(iter(rows.items()))
    others = [other for other in rows if other != name]
    also = f"; so do {', '.join(others)}, which are used in the same way" if others else ""
    choice = Choice(name, f"its tensors' names and shapes fit this row{also}")
    return Identity(named=named, config=found[name], spelling=spelling, choices=(choice,))


def _fit(spelling: Spelling, config: EncoderConfig, shapes: Shapes) -> Fit:
    return compare(spelling.plan(config), shapes)


def _parts_agree(variant: Variant, config: EncoderConfig, spelling: Spelling, shapes: Shapes) -> bool:
    """Tell whether classifier and tanh layer are those of the row."""
    if not isinstance(config, ViTConfig):
        return True
    with_head = with_parts(config, spelling, shapes, head=True)
    assert isinstance(with_head, ViTConfig)
    if variant.head == "none" and with_head.classes and not config.pooler:
        return False
    pooled = config.pool != "tanh_cls" or config.pooler
    return pooled and config.classes == CLASSES[variant.head]


def _same_network(variant: Variant, config: EncoderConfig) -> bool:
    row = config_for(variant, "transformers")
    if isinstance(row, ViTConfig) and isinstance(config, ViTConfig):
        row = replace(row, pool=config.pool, pooler=config.pooler, classes=config.classes)
    return row == config


def _by_classes(rows: list[Variant], config: EncoderConfig) -> list[Variant]:
    """Keep the rows whose classifier the file has; where none does (a fine-tuned one), all of them."""
    classes = config.classes if isinstance(config, ViTConfig) else 0
    return [row for row in rows if CLASSES[row.head] == classes] or rows


def _stranger(family: str, config: EncoderConfig, image: int, where: str) -> Variant:
    """Make a row for a network that the zoo does not have."""
    like = next(row for row in zoo.ROWS if row.family == family)
    return Variant(
        family=like.family,
        config=config,
        image=image,
        stats=like.stats,
        timm=(),
        transformers=where,
        original=(),
        licence="unknown",
    )


def _nothing_fits(spelling: Spelling, shapes: Shapes, library: Library, where: str) -> KeyMismatch:
    """Build the error for a file that fits no row: it shows what is wrong with the nearest."""
    nearest: tuple[str, Fit] | None = None
    for variant in zoo.ROWS:
        if variant.family == spelling.dialect.family:
            config = with_parts(config_for(variant, library), spelling, shapes, head=variant.head != "none")
            fit = _fit(spelling, config, shapes)
            if nearest is None or fit.faults < nearest[1].faults:
                nearest = variant.name, fit
    assert nearest is not None  # every dialect's family has rows
    return mismatch(nearest[1], where, f"{nearest[0]}, the nearest variant, as {spelling.dialect.name} spells it")


def _labels(document: Json | None) -> tuple[str, ...]:
    """Return the class names a ``config.json`` gives, unless they are placeholders."""
    table = (document or {}).get("id2label") or {}
    labels = tuple(str(table[key]) for key in sorted(table, key=int))
    return () if all(label.startswith("LABEL_") for label in labels) else labels
