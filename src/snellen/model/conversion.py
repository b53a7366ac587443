"""Write a checkpoint as another library spells it, so that this library's own loader takes it strictly."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Plan, plan
from snellen.checkpoints.state import check, digest_of, read_native, seeded, seeded_native
from snellen.checkpoints.tensors import DRAWN, Tensors
from snellen.checkpoints.write import Content, check_free, entries_of
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.errors import UnknownName, UsageError
from snellen.model import layout
from snellen.model.identify import LIBRARY, identify
from snellen.model.layout import ENDINGS
from snellen.model.loading import drawn_note, native_plan, own_recipe, seeded_config
from snellen.model.source import PathName, opened, wanted
from snellen.zoo import ROWS, Named, find
from snellen.zoo.conventions import config_for, recipe_for
from snellen.zoo.variant import Library

Get = Callable[[str], Tensor]

LIBRARIES = ("timm", "transformers", *ENDINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertRecord:
    """What was converted into what, and whatever the new spelling could not hold or had to add."""

    source: str
    variant: str
    from_dialect: str
    to_dialect: str
    files: tuple[str, ...]
    tensors: int
    digest: str  # of the native tensors that were read
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": "snellen.convert/1", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Native:
    """An encoder's tensors as its configuration names them, read one at a time, whatever they come from."""

    named: Named
    config: EncoderConfig
    dialect: str
    labels: tuple[str, ...] | None
    recipe: str  # the preprocessing that belongs to the weights
    get: Get
    meta: Get  # the same tensors without their values
    digest: str
    notes: tuple[str, ...]
    drawn: str | None = None  # "seed:N", where the weights were drawn and mean nothing


def convert(src: PathName, dst: PathName, *, dialect: str, name: str | None = None) -> ConvertRecord:
    """Write the checkpoint ``src`` to ``dst`` as ``dialect`` (timm, transformers, meta, apple, jax) spells it.

    timm and transformers get a folder with weights and configuration; meta a ``.pth``, jax an ``.npz``, apple a
    ``.safetensors`` file. ``src`` is what ``load`` takes as weights, ``seed:N`` among it; ``name`` says which variant
    it holds, where the file alone does not. Raises UsageError where ``dst`` exists or the family has no such dialect,
    CheckpointError for a file that is not whole.
    """
    if dialect not in LIBRARIES:
        raise UnknownName("dialect", dialect, LIBRARIES, todo=f"one of {', '.join(LIBRARIES)}")
    src, target = os.fspath(src), Path(dst)
    check_free(target)
    if target.suffix != ENDINGS.get(dialect, target.suffix):
        raise UsageError(
            f"'{target}' does not end in {ENDINGS[dialect]}",
            expected=f"the format that {dialect}'s own loader reads",
            todo=f"write to '{target.with_suffix(ENDINGS[dialect])}'",
        )
    asked = wanted(src, None) if name is None else wanted(name, src)
    if asked.seed is not None:
        return _write(_drawn(str(asked.name), asked.seed), src, target, dialect)
    with opened(asked.weights, None) as source:
        identity = identify(source, asked.name)
        spelled = identity.spelling.plan(identity.config)
        ignored = check(spelled, source.tensors, source.where).ignored
        native = Native(
            named=identity.named,
            config=identity.config,
            dialect=identity.spelling.dialect.name,
            labels=identity.labels,
            recipe=own_recipe(identity, source).value,
            get=_reader(spelled, source.tensors.read, source.tensors),
            meta=_reader(spelled, partial(_valueless, source.tensors), source.tensors),
            digest=digest_of(read_native(spelled, source.tensors, source.where)),
            notes=tuple(f"left out {key}: {because}" for key, because in ignored),
            drawn=source.tensors.metadata.get(DRAWN),
        )
        return _write(native, src, target, dialect)


def _drawn(name: str, seed: int) -> Native:
    named = find(name)
    config = seeded_config(named)
    spelled = native_plan(named, config)
    return Native(
        named=named,
        config=config,
        dialect=spelled.dialect.name,
        labels=None,
        recipe=recipe_for(named.variant, named.library),
        get=partial(seeded, spelled, seed),
        meta=lambda name: torch.empty(spelled.native[name], device="meta"),
        digest=digest_of(seeded_native(spelled, seed)),
        notes=(drawn_note(f"seed:{seed}"),),
        drawn=f"seed:{seed}",
    )


def _write(native: Native, src: str, target: Path, library: str) -> ConvertRecord:
    variant = native.named.variant
    target_config = _target_config(native, LIBRARY[library])
    spelled = _target_plan(native, target_config, library)
    entries = entries_of(spelled.write(native.meta))
    metadata = {DRAWN: native.drawn} if native.drawn else {}
    content = Content(entries, lambda: spelled.write(native.get), metadata)
    documents, lost = layout.documents(native.named, target_config, spelled, native.labels, native.recipe)
    files = layout.write(content, target, library, documents)
    return ConvertRecord(
        source=src,
        variant=variant.name,
        from_dialect=native.dialect,
        to_dialect=spelled.dialect.name,
        files=tuple(str(path) for path in files),
        tensors=len(entries),
        digest=native.digest,
        notes=(*native.notes, *_notes(spelled), *lost),
    )


def _target_config(native: Native, library: Library) -> EncoderConfig:
    """Return the network as the target library runs it, with the parts the weights hold."""
    variant = native.named.variant
    if variant not in ROWS:
        return native.config  # a network of its own has no conventions but those it came with
    config = config_for(variant, library)
    if isinstance(config, ViTConfig) and isinstance(native.config, ViTConfig):
        pool = native.config.pool if native.named.library == library else config.pool
        config = replace(config, pool=pool, pooler=native.config.pooler, classes=native.config.classes)
    return config


def _target_plan(native: Native, config: EncoderConfig, library: str) -> Plan:
    """Spell out the dialect to write: the first of the library's that can hold these weights."""
    variant = native.named.variant
    family = [d for d in DIALECTS if d.family == variant.family and d.on_disk]
    dialects = [d for d in family if d.library == library]
    if not dialects:
        has = ", ".join(dict.fromkeys(d.library for d in family))
        raise UsageError(f"there is no {library} spelling of {variant.family}", expected=has, todo="--to one of these")
    classes = config.classes if isinstance(config, ViTConfig) else 0
    for dialect in dialects:
        spelled = plan(dialect, config, prefix=dialect.head_prefix if classes else "", extras=variant.extras)
        if not any(native.get(key).count_nonzero() for key in spelled.filled):
            return spelled
    raise UsageError(f"{dialects[-1].name} cannot hold these weights: {', '.join(spelled.filled)} are not zero")


def _valueless(tensors: Tensors, key: str) -> Tensor:
    return torch.empty(tensors.shape(key), dtype=getattr(torch, tensors.dtype(key)), device="meta")


def _reader(spelled: Plan, read: Get, tensors: Tensors) -> Get:
    """Return a function that makes one native tensor by name, whenever it is asked for, of what ``read`` gives."""
    entry_of = {name: entry for entry in spelled.entries for name in entry.native}
    first = spelled.entries[0].foreign[0]
    dtype = getattr(torch, tensors.dtype(first))

    def get(name: str) -> Tensor:
        entry = entry_of.get(name)
        if entry is None:
            return torch.zeros(spelled.native[name], dtype=dtype, device=read(first).device)
        values = entry.op.read(tuple(read(key) for key in entry.foreign), spelled.config)
        for key in entry.foreign:
            tensors.release(key)
        return values[entry.native.index(name)]

    return get


def _notes(spelled: Plan) -> tuple[str, ...]:
    """Say what the dialect could not hold, what it had to add, and what cannot be taken back."""
    dropped = (f"not written {key}: {because}" for key, because in spelled.dropped.items())
    added = (f"added {key}: {i.because}" for key, i in spelled.ignored.items() if i.restore)
    folded = (
        f"joined into {' and '.join(entry.foreign)}: the class token's position is added to it for good"
        for entry in spelled.entries
        if len(entry.native) > 1
    )
    return (*dropped, *added, *folded)
