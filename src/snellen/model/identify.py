"""What a checkpoint is: which variant, in whose spelling, with which parts.

A name decides, where one was given, unless the folder says otherwise: then nothing is loaded. Without a name the
``config.json`` beside the weights decides, and without that the names and shapes in the file. Where several rows fit
and would give different numbers, nothing is guessed: the error names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from snellen import zoo
from snellen.checkpoints.recognise import Fit, Spelling, compare, recognise, with_parts
from snellen.checkpoints.state import mismatch, shapes_of
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.encoders.position import periods
from snellen.errors import CheckpointError, KeyMismatch
from snellen.model.source import Opened
from snellen.model.stated import Stated, same_network, stated
from snellen.recipes import STATS, Recipe
from snellen.recipes.foreign import from_processor
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

PERIODS = "rope_embed.periods"

CLASSES = {"none": 0, "imagenet1k": 1000, "imagenet21k": 21843}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A checkpoint, identified: the row and library, the network as that library runs it, and the file's spelling.

    ``labels`` as in ``Stated``.
    """

    named: Named
    config: EncoderConfig
    spelling: Spelling
    labels: tuple[str, ...] | None = None
    choices: tuple[Choice, ...] = ()


def identify(source: Opened, name: str | None) -> Identity:
    """Find out what opened weights are; ``name`` is the variant they were asked for as, if one was.

    Raises UnknownDialect, KeyMismatch (they are of another variant than ``name``, or the folder says so), or
    CheckpointError where they could be several.
    """
    shapes = shapes_of(source.tensors)
    spelling = recognise(shapes, source.where)
    said = stated(source.document, spelling, shapes, source.where)
    if name is not None:
        identity = _by_name(zoo.find(name), spelling, shapes, said, source.where)
    elif said is not None:
        identity = _by_statement(said, spelling, source)
    else:
        identity = _by_shapes(spelling, shapes, source.where)
    fit = _fit(spelling, identity.config, shapes)
    if not fit.fits:
        if name is None:
            raise mismatch(fit, source.where, "the network that the config.json beside it describes")
        others = list(fitting(spelling, shapes, LIBRARY[spelling.dialect.library]))
        hint = f"; they are those of {' or '.join(others[:3])}" if others else ""
        raise mismatch(fit, source.where, f"{identity.named.name} as {spelling.dialect.name} spells it{hint}")
    return _with_stored_periods(identity, source)


def fitting(spelling: Spelling, shapes: Shapes, library: Library) -> dict[str, EncoderConfig]:
    """Return the rows of the zoo that a file's names and shapes fit, by their name in ``library``."""
    found: dict[str, EncoderConfig] = {}
    for variant in _rows(spelling):
        name = variant.name_in(library)
        config = with_parts(config_for(variant, library), spelling, shapes, head=variant.head != "none")
        if name is not None and _parts_agree(variant, config, spelling, shapes) and _fit(spelling, config, shapes).fits:
            found[name] = config
    return found


def _with_stored_periods(identity: Identity, source: Opened) -> Identity:
    """Take from an original file how its rotary periods are rounded: its own code runs with those that are stored.

    The released files hold them in bfloat16, a freshly built module in float32. Under another library's name the
    periods are that library's.
    """
    key = identity.spelling.wrap + PERIODS
    if identity.named.library != "original" or key not in source.tensors:
        return identity
    config = identity.config
    assert isinstance(config, ViTConfig)  # only rotary transformers have periods
    stored = source.tensors.read(key).double()
    for rounded in (config.rope_rounding, not config.rope_rounding):
        if torch.allclose(stored, periods(config.head_width, rounded), rtol=1e-6, atol=0.0):
            break
    else:
        raise CheckpointError(
            f"{source.where} holds rotary periods of its own in {key}",
            expected="100 ** (4 k / E), in float32 or rounded to bfloat16",
            todo="take weights with the periods of the release: no others are run here",
        )
    if rounded == config.rope_rounding:
        return identity
    choice = Choice("rotary periods in float32", "the file stores them so, unlike the released ones")
    return replace(identity, config=replace(config, rope_rounding=rounded), choices=(*identity.choices, choice))


def _by_name(named: Named, spelling: Spelling, shapes: Shapes, said: Stated | None, where: str) -> Identity:
    variant = named.variant
    if variant.family != spelling.dialect.family:
        raise KeyMismatch(
            f"{where} holds an encoder of the family {spelling.dialect.family}",
            expected=f"{variant.family}, as {named.name} is",
            todo="'snellen inspect' says which variant it is",
        )
    config = config_for(variant, named.library)
    if said is None:
        return Identity(
            named=named, config=with_parts(config, spelling, shapes, head=variant.head != "none"), spelling=spelling
        )
    _agree(named, said, where)
    tuned = isinstance(said.config, ViTConfig) and said.config.classes not in (0, CLASSES["imagenet21k"])
    config = with_parts(config, spelling, shapes, head=variant.head != "none" or tuned)
    if said.library == named.library and isinstance(config, ViTConfig):
        config = replace(config, pool=said.config.pool)
    return Identity(named=named, config=config, spelling=spelling, labels=said.labels)


def _agree(named: Named, said: Stated, where: str) -> None:
    """Raise KeyMismatch where the folder describes another network than the name, or names another row."""
    expected = config_for(named.variant, said.library)
    if not same_network(expected, said.config):
        differing = [
            f"{field.name} {getattr(said.config, field.name)} instead of {getattr(expected, field.name)}"
            for field in fields(expected)
            if type(expected) is type(said.config)
            and field.name not in ("pool", "pooler", "classes")
            and getattr(expected, field.name) != getattr(said.config, field.name)
        ]
        raise KeyMismatch(
            f"the config.json beside {where} describes another network than {named.name}: {', '.join(differing)}",
            todo="leave the name out, and load the folder as what it says it is",
        )
    if said.sure and named.variant not in said.rows:
        raise KeyMismatch(
            f"the config.json beside {where} names {said.rows[0].name}",
            expected=named.name,
            todo="ask for the weights under their own name",
        )


def _by_statement(said: Stated, spelling: Spelling, source: Opened) -> Identity:
    """Take the row that the folder names, or describes; a network that is no row stands for itself."""
    classes = said.config.classes if isinstance(said.config, ViTConfig) else 0
    rows = [row for row in said.rows if classes in (0, CLASSES[row.head]) or said.library == "timm"]
    if not classes and isinstance(said.config, ViTConfig) and said.config.pooler:
        rows = [row for row in rows if row.head == "none"]
    if not rows:
        variant = _stranger(said, spelling, source.where)
        named = Named(source.where, source.where, variant, said.library)
        choice = Choice(variant.family, "its config.json describes this network, and the zoo has no such weights of it")
        return Identity(named=named, config=said.config, spelling=spelling, labels=said.labels, choices=(choice,))
    row, why = _decide(rows, said, source)
    named = zoo.find(said.name or row.name_in(said.library) or row.name)
    choice = Choice(named.name, why)
    return Identity(named=named, config=said.config, spelling=spelling, labels=said.labels, choices=(choice,))


def _decide(rows: Sequence[Variant], said: Stated, source: Opened) -> tuple[Variant, str]:
    """Choose among rows of one network: by the preprocessing beside the weights where this is what they differ in."""
    if said.sure:
        return rows[0], "its config.json names this architecture and tag"
    describes = "its config.json describes the network of this row"
    if len({row.stats for row in rows}) > 1:
        means = None
        if source.processor is not None:
            recipe = Recipe.parse(from_processor(source.processor, said.config.pool, rows[0].family))
            means = (recipe.mean, recipe.std)
        likely = [row for row in rows if STATS[row.stats] == means]
        if not likely:
            raise _several([row.name_in(said.library) or row.name for row in rows], source.where)
        rows = likely
        describes += ", and the colour means beside it are those of this one"
    others = ", ".join(row.name for row in rows[1:])
    return rows[0], describes + (f"; {others} differ in their training only" if others else "")


def _by_shapes(spelling: Spelling, shapes: Shapes, where: str) -> Identity:
    library = LIBRARY[spelling.dialect.library]
    found = fitting(spelling, shapes, library)
    rows = {name: zoo.find(name) for name in found}
    if spelling.dialect.library == "meta":  # tensors that only some of the original files hold
        extras = {extra for named in rows.values() for extra in named.variant.extras}
        held = {extra for extra in extras if any(key.startswith(spelling.wrap + extra) for key in shapes)}
        rows = {name: named for name, named in rows.items() if set(named.variant.extras) == held} or rows
    if not rows:
        raise _nothing_fits(spelling, shapes, library, where)
    if len({(named.variant.stats, found[name]) for name, named in rows.items()}) > 1:
        raise _several(list(rows), where)
    name, named = next(iter(rows.items()))
    others = [other for other in rows if other != name]
    also = f"; so do {', '.join(others)}, which are used in the same way" if others else ""
    choice = Choice(name, f"its tensors' names and shapes fit this row{also}")
    return Identity(named=named, config=found[name], spelling=spelling, choices=(choice,))


def _rows(spelling: Spelling) -> list[Variant]:
    return [row for row in zoo.ROWS if row.family == spelling.dialect.family]


def _fit(spelling: Spelling, config: EncoderConfig, shapes: Shapes) -> Fit:
    return compare(spelling.plan(config), shapes)


def _parts_agree(variant: Variant, config: EncoderConfig, spelling: Spelling, shapes: Shapes) -> bool:
    """Tell whether classifier and tanh layer can be those of the row; a classifier may have been left out."""
    if not isinstance(config, ViTConfig):
        return True
    with_head = with_parts(config, spelling, shapes, head=True)
    assert isinstance(with_head, ViTConfig)
    if variant.head == "none" and with_head.classes and not config.pooler:
        return False
    if variant.head != "none" and config.pooler:
        return False
    pooled = config.pool != "tanh_cls" or config.pooler
    return pooled and config.classes in (0, CLASSES[variant.head])


def _stranger(said: Stated, spelling: Spelling, where: str) -> Variant:
    """Make a row for weights that the zoo does not have: another network, or another classifier."""
    like = said.rows[0] if said.rows else _rows(spelling)[0]
    return Variant(
        family=like.family,
        config=said.config,
        image=said.image,
        stats=like.stats,
        timm=(where,) if said.library == "timm" else (),
        timm_dialects=(spelling.dialect.name,),
        transformers=where if said.library == "transformers" else None,
        original=(),
        licence="unknown",
    )


def _several(names: Sequence[str], where: str) -> CheckpointError:
    return CheckpointError(
        f"{where} could be {' or '.join(names)}: same tensors, different preprocessing",
        todo="say which it is: the name as MODEL, the file as --weights",
    )


def _nothing_fits(spelling: Spelling, shapes: Shapes, library: Library, where: str) -> CheckpointError:
    """Build the error for a file that fits no row: it shows what is wrong with the nearest."""
    fits: list[tuple[int, str, Fit]] = []
    for variant in _rows(spelling):
        config = with_parts(config_for(variant, library), spelling, shapes, head=True)
        fit = _fit(spelling, config, shapes)
        if fit.fits and isinstance(config, ViTConfig):
            return CheckpointError(
                f"{where} holds the network of {variant.name} with a classifier of {config.classes} classes, "
                "which no row of the zoo has",
                todo="say which it is: the name as MODEL, the file as --weights",
            )
        fits.append((fit.faults, variant.name, fit))
    _, name, fit = min(fits, key=lambda one: one[0])
    return mismatch(fit, where, f"{name}, the nearest variant, as {spelling.dialect.name} spells it")
