"""What an encoder is: counted from its weights and its configuration, never typed.

In: a loaded model. Out: ``Facts``. Counted are the tensors that the encoder runs with, as the library of its name
spells them; what a checkpoint holds besides (the mask token of a training run) is neither a parameter nor a byte here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from snellen import zoo
from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Plan, plan
from snellen.checkpoints.files import file_sha256, find_in_folder, open_tensors, read_index
from snellen.checkpoints.recognise import recognise
from snellen.checkpoints.state import digest_of, shapes_of
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.encoders.cost import operations
from snellen.errors import SnellenError, UnknownName
from snellen.model.model import Model
from snellen.recipes import Recipe
from snellen.recipes.steps import ShortestEdge, Squash
from snellen.records.model import ModelRecord
from snellen.records.reading import plain
from snellen.records.report import Facts, File
from snellen.zoo import Named

DRAWN_IN = "float32"

GROUPS = (
    ("blocks.*.attention.", "attention"),
    ("blocks.*.mlp.", "mlp"),
    ("blocks.*.norm", "norms"),
    ("blocks.*.scale", "scales"),
    ("body.0.down.", "stem"),
    ("body.*.down.", "downsampling"),
    ("body.*.blocks.*.mix.", "convolutions"),
    ("body.*.blocks.*.norm.", "norms"),
    ("body.*.blocks.*.scale", "scales"),
    ("body.*.blocks.*.", "mlp"),  # what is left of a block: the matrices up and down
    ("patch.", "stem"),
    ("patch_norm.", "stem"),
    ("cls", "tokens"),
    ("registers", "tokens"),
    ("position", "positions"),
    ("norm.", "norms"),
    ("pooler.", "pooler"),
    ("head.", "head"),
)
"""How a native name begins, and the group it belongs to; ``*`` stands for a number. The first that fits counts."""

BESIDE = ("config.json", "preprocessor_config.json", "processor_config.json")
"""Files of a checkpoint's folder that decide what is run, beside the weights."""


def facts(model: Model) -> Facts:
    """Count what the encoder of ``model`` is."""
    record, recipe, config = model.record, model.recipe, model.encoder.config
    row = _row(record)
    spelled = _spelled(record, config)
    sizes = _sizes(spelled)
    height, width = recipe.size
    stored = _stored(record, config, sum(sizes.values()))
    return Facts(
        title=record.variant,
        family=record.family,
        names=tuple(name for _, name in row.variant.names) if row else (record.variant,),
        parameters=sum(sizes.values()),
        parameter_groups=_grouped(spelled, sizes),
        weights_bytes=sum(stored.values()),
        stored=stored,
        tensors=len(sizes),
        digest=record.digest or digest_of(iter(model.encoder.state_dict().items())),
        files=_files(record),
        config=plain(asdict(config)),
        input_size=(height, width),
        fixed_size=isinstance(config, ViTConfig) and config.grid is not None and config.resize == "none",
        grid=model.encoder.grid(torch.empty(1, 3, height, width, device="meta")),
        tokens=config.tokens(height, width) if isinstance(config, ViTConfig) else None,
        width=config.width,
        operations_per_image=operations(config, height, width),
        steps=tuple(recipe.text.split(" | ")),
        mean=recipe.mean or (),
        std=recipe.std or (),
        interpolation=_interpolation(recipe),
        pool=recipe.pool,
        licence=row.variant.licence if row else None,
    )


def _interpolation(recipe: Recipe) -> str:
    """Name the filters that a recipe resizes with; "" where it does not resize."""
    filters = (step.filter for step in recipe.steps if isinstance(step, (Squash, ShortestEdge)))
    return ", ".join(dict.fromkeys(filters))


def _row(record: ModelRecord) -> Named | None:
    """Return the zoo's row of a model; None for a network that is none of its rows."""
    try:
        return zoo.find(record.variant)
    except UnknownName:
        return None


def _spelled(record: ModelRecord, config: EncoderConfig) -> Plan:
    """Spell the encoder as its checkpoint does; drawn weights as the library of the name they were asked for by."""
    dialect = record.dialect or zoo.find(record.name).dialect
    return plan(next(d for d in DIALECTS if (d.family, d.name) == (record.family, dialect)), config)


def _sizes(spelled: Plan) -> dict[str, int]:
    """Return how many numbers each tensor holds, under its foreign name."""
    uncounted = spelled.dialect.uncounted
    return {
        name: math.prod(shape)
        for name, shape in spelled.foreign().items()
        if not (uncounted and name.endswith(uncounted))
    }


def _grouped(spelled: Plan, sizes: dict[str, int]) -> dict[str, int]:
    """Add the counts up by the part of the encoder that they belong to, the largest first."""
    counts: Counter[str] = Counter()
    for entry in spelled.entries:
        counts[_group(entry.native[0])] += sum(sizes.get(name, 0) for name in entry.foreign)
    return dict(counts.most_common())


def _group(native: str) -> str:
    shape = ".".join("*" if part.isdigit() else part for part in native.split("."))
    for start, group in GROUPS:
        if native.startswith(start) or shape.startswith(start):
            return group
    raise AssertionError(f"{native} belongs to no group")


def _stored(record: ModelRecord, config: EncoderConfig, parameters: int) -> dict[str, int]:
    """Return the bytes of the tensors that are run with, by the dtype they are stored in.

    Of a checkpoint they are looked up in the file; one that cannot be opened again has a single dtype, or none is told.
    """
    if record.origin.path is None:
        return {DRAWN_IN: parameters * torch.float32.itemsize}
    try:
        with open_tensors(Path(record.origin.path)) as tensors:
            wanted = recognise(shapes_of(tensors), "the checkpoint").plan(config).foreign()
            sizes: Counter[str] = Counter()
            for name in wanted:
                sizes[tensors.dtype(name)] += tensors.entry(name).nbytes
            return dict(sizes.most_common())
    except SnellenError:  # an entry of a torch file that was named with '#', or the file has gone meanwhile
        if len(record.stored) == 1:
            return {record.stored[0]: parameters * getattr(torch, record.stored[0]).itemsize}
        return {}


def _files(record: ModelRecord) -> tuple[File, ...]:
    """Return the files of the checkpoint with their sizes and digests; none for drawn weights."""
    if record.origin.path is None or not record.origin.trained:
        return ()
    place = Path(record.origin.path)
    try:
        return tuple(
            File(name=path.name, bytes=path.stat().st_size, sha256=file_sha256(path)) for path in _paths(place)
        )
    except (SnellenError, OSError):  # they were there when they were loaded, and are not now
        return ()


def _paths(place: Path) -> Iterator[Path]:
    """Yield the files of a checkpoint: the weights, the shards of an index, and what stands beside them."""
    weights = find_in_folder(place).weights if place.is_dir() else place
    yield weights
    if weights.name.endswith(".index.json"):
        yield from read_index(weights)
    if place.is_dir():
        yield from (place / name for name in BESIDE if (place / name).is_file())
