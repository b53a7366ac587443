"""Load an encoder: the only place where zoo, checkpoints, encoders, recipes and devices meet."""

from __future__ import annotations

import os
from dataclasses import replace

import torch

from snellen import __version__, devices, zoo
from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Plan, plan
from snellen.checkpoints.state import check, fill, read_native, seeded_native
from snellen.checkpoints.tensors import Tensors
from snellen.devices import Device
from snellen.encoders.build import Encoder, build
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.errors import KeyMismatch, RecipeError, UsageError
from snellen.model.identify import CLASSES, Identity, identify
from snellen.model.model import Model
from snellen.model.source import Opened, PathName, opened, wanted
from snellen.recipes import Recipe
from snellen.recipes.foreign import from_processor, from_timm
from snellen.recipes.parse import changed
from snellen.records import Choice, ModelRecord, Origin
from snellen.records.model import cast_notes
from snellen.zoo import Named
from snellen.zoo.conventions import UNPOOLED, config_for, recipe_for
from snellen.zoo.labels import imagenet1k

OWN = "own"
"""Stands for the model's own recipe, before steps that are to be changed in it."""

CHANGES = (["pool"], ["dct"])
"""The steps that may follow the name of a recipe."""


def load(
    name: PathName,
    *,
    weights: PathName | None = None,
    recipe: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
) -> Model:
    """Load an encoder by name, or from a path that says what it is.

    ``name`` is a timm name, a Hugging Face id, an original name, or the path of a checkpoint. ``weights`` is a file, a
    folder, a hub id, ``modelscope:org/name``, or ``seed:N`` for drawn weights that mean nothing; without it they are
    looked for under the name. ``recipe`` is a recipe's text or another name whose recipe to use; "own | pool cls" is
    the model's own with another step. At most the weights in ``dtype`` and the tensors of one rule are in memory.

    Raises UnknownName, Unavailable (device, dtype, weights), CheckpointError or RecipeError; see ``snellen.errors``.
    """
    device, dtype = str(device), str(dtype).removeprefix("torch.")  # torch's own objects are understood
    place = devices.resolve(device)
    place.check_dtype(dtype)
    asked = wanted(name, weights)
    if asked.seed is not None:
        if revision is not None:
            raise UsageError(f"a revision ({revision!r}) of drawn weights was asked for", todo="leave the revision out")
        return _drawn(zoo.find(str(asked.name)), asked.seed, recipe, place, dtype)
    with opened(asked.weights, revision) as source:
        identity = identify(source, asked.name)
        own = own_recipe(identity, source)
        text, based = based_on(recipe, own)
        chosen, config = choose_recipe(text, identity.config)
        choices = (*asked.choices, *source.choices, *identity.choices, *based)
        spelled = identity.spelling.plan(config)
        ignored = check(spelled, source.tensors, source.where).ignored
        encoder = _empty(config, place, dtype)
        digest = fill(encoder, read_native(spelled, source.tensors, source.where))
        _check_absent(identity.named, config, encoder)
        record = _record(identity.named, chosen, place.name, dtype, source.origin)
        stored = _stored(source.tensors)
        notes = (*cast_notes(stored, dtype), *(f"ignored {key}: {because}" for key, because in ignored))
        if source.origin.seed is not None:
            notes += (drawn_note(f"seed:{source.origin.seed}"),)
        dialect = identity.spelling.dialect.name
        record = replace(record, dialect=dialect, digest=digest, stored=stored)
        record = replace(record, choices=choices, notes=notes, name=os.fspath(name))
    return Model(encoder, chosen, record, _labels(identity, config))


def based_on(recipe: str | None, own: Choice) -> tuple[str, tuple[Choice, ...]]:
    """Return the recipe that is meant, the model's own for ``own`` or nothing, and how that one was chosen."""
    base, *changes = (recipe or OWN).split("|")
    if base.strip() != OWN:
        return recipe or "", ()
    if not changes:
        return own.value, (own,)
    text = changed(own.value, changes)
    asked = ", ".join(repr(change.strip()) for change in changes)
    return text, (replace(own, value=text, reason=f"{own.reason}, with {asked} as asked for"),)


def choose_recipe(recipe: str, config: EncoderConfig) -> tuple[Recipe, EncoderConfig]:
    """Read a recipe, given as text or as the name whose recipe it is (perhaps with changes), and set its pooling.

    Raises RecipeError where the encoder cannot pool so, or cannot take pixels of that size.
    """
    name, *changes = recipe.split("|")
    if all(change.split()[:1] in CHANGES for change in changes):
        named = zoo.find(name.strip())
        recipe = changed(recipe_for(named.variant, named.library), changes)
    chosen = Recipe.parse(recipe)
    config = replace(config, pool=chosen.pool)
    if isinstance(config, ViTConfig):
        if chosen.pool == "tanh_cls" and not config.pooler:
            raise RecipeError(
                "the recipe pools through the tanh layer (pool tanh_cls), which these weights do not hold",
                expected="the in21k weights of the first release, as transformers or the original files keep them",
                todo="add 'pool cls' to the recipe's text instead",
            )
        if chosen.pool == "cls" and not config.class_token:
            raise RecipeError(
                "the recipe pools the class token (pool cls), which this encoder does not have", todo="pool patch_mean"
            )
    elif chosen.pool == "tanh_cls":
        raise RecipeError("a ConvNeXt has no tanh layer (pool tanh_cls)", todo="pool cls")
    build(config).grid(torch.empty(1, 3, *chosen.size, device="meta"))
    return chosen, config


def native_plan(named: Named, config: EncoderConfig) -> Plan:
    """Spell out the dialect in which the library of this name keeps its weights."""
    dialect = next(d for d in DIALECTS if d.family == named.variant.family and d.name == named.dialect)
    return plan(dialect, config, extras=named.variant.extras)


def seeded_config(named: Named) -> EncoderConfig:
    """Return the network of a name with all parts its release holds, for weights that are drawn."""
    config = config_for(named.variant, named.library)
    if isinstance(config, ViTConfig):
        config = replace(config, classes=CLASSES[named.variant.head], pooler=config.pool == "tanh_cls")
    return config


def drawn_note(spec: str) -> str:
    """Return what is said wherever weights were drawn."""
    return f"the weights are drawn ({spec}): the numbers are repeatable, but mean nothing"


def _drawn(named: Named, seed: int, recipe: str | None, place: Device, dtype: str) -> Model:
    """Build an encoder with drawn weights."""
    own = standard_recipe(named)
    text, based = based_on(recipe, own)
    chosen, config = choose_recipe(text, seeded_config(named))
    encoder = _empty(config, place, dtype)
    digest = fill(encoder, seeded_native(native_plan(named, config), seed))
    record = _record(named, chosen, place.name, dtype, Origin(kind="seed", seed=seed))
    return Model(encoder, chosen, replace(record, digest=digest, choices=based, notes=(drawn_note(f"seed:{seed}"),)))


def _empty(config: EncoderConfig, place: Device, dtype: str) -> Encoder:
    """Build an encoder whose parameters have their memory, but no values yet."""
    encoder = build(config).to(getattr(torch, dtype))
    return encoder.to_empty(device=place.torch_name)


def _check_absent(named: Named, config: EncoderConfig, encoder: Encoder) -> None:
    """Refuse weights that hold what the encoder of this name does not have (timm's plain DINOv3 names: q, v biases)."""
    state = encoder.state_dict()
    for key, because in native_plan(named, config).filled.items():
        if state[key].count_nonzero():
            raise KeyMismatch(
                f"the weights hold a {key} that is not zero, which {named.name} does not have ({because})",
                todo=f"ask for {' or '.join(named.variant.timm[1:])} instead",
            )


def _stored(tensors: Tensors) -> tuple[str, ...]:
    return tuple(sorted({tensors.dtype(key) for key in tensors if "float" in tensors.dtype(key)}))


def own_recipe(identity: Identity, source: Opened) -> Choice:
    """Choose the recipe of the weights' own folder where it states one, else the library's."""
    named, pool = identity.named, identity.config.pool
    document = source.document or {}
    if named.library == "transformers" and source.processor:
        return Choice(
            from_processor(source.processor, pool, named.variant.family),
            "the settings of the image processor beside the weights",
        )
    if named.library == "timm" and "pretrained_cfg" in document:
        return Choice(
            from_timm(document["pretrained_cfg"], pool), "pretrained_cfg in the config.json beside the weights"
        )
    standard = standard_recipe(named)
    return replace(standard, value=Recipe.parse(standard.value).with_pool(pool).text)


def standard_recipe(named: Named) -> Choice:
    """Return what the library of a name does, and what had to be added where it does not pool at all."""
    added = UNPOOLED.get((named.variant.family, named.library), "")
    reason = f"what {named.library} does for {named.name}{added}"
    return Choice(recipe_for(named.variant, named.library), reason)


def _record(named: Named, recipe: Recipe, device: str, dtype: str, origin: Origin) -> ModelRecord:
    return ModelRecord(
        name=named.asked,
        variant=named.variant.name,
        library=named.library,
        family=named.variant.family,
        dialect=None,
        origin=origin,
        recipe=recipe.text,
        recipe_hash=recipe.hash,
        pool=recipe.pool,
        dtype=dtype,
        device=device,
        version=__version__,
    )


def _labels(identity: Identity, config: EncoderConfig) -> tuple[str, ...]:
    """Return the names of the classifier's classes, or nothing where they are not known."""
    classes = config.classes if isinstance(config, ViTConfig) else 0
    if identity.labels is not None:  # the folder has a place for them: what it does not name there is not known
        return identity.labels if len(identity.labels) == classes else ()
    return imagenet1k() if classes == CLASSES["imagenet1k"] and identity.named.variant.head == "imagenet1k" else ()
