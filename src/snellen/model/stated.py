"""What a folder says of its own weights: the ``config.json`` that timm or transformers writes beside them.

In: the document and the opened file's names and shapes. Out: the network it describes, the rows of the zoo that are
this network, and the names of the classes; or an error for what cannot be run as it is described.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from snellen import zoo
from snellen.checkpoints.hub_config import image_side, read_config
from snellen.checkpoints.recognise import Spelling, with_parts
from snellen.encoders.config import EncoderConfig, Pool, ViTConfig
from snellen.errors import CheckpointError
from snellen.zoo.conventions import config_for
from snellen.zoo.variant import Library, Variant

Json = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]

POOLS: dict[str, Pool] = {"token": "cls", "avg": "patch_mean"}
"""timm's words for the poolings that we have."""

HARMLESS = {"dynamic_img_size", "strict_img_size", "num_classes", "global_pool"}
"""Arguments of timm that change no number, or are read from the tensors or on their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a ``config.json`` states.

    ``name`` is the name it gives itself, if it does; ``config`` the network as ``library`` runs it, with the parts
    the file holds; ``rows`` are those of the zoo with this network, the likeliest first. ``labels``: the names of the
    classes; empty where they are placeholders, None where the document has no place for them. ``sure``: the document
    names one row, and does not merely describe its network.
    """

    library: Library
    name: str | None
    config: EncoderConfig
    rows: tuple[Variant, ...]
    image: int
    labels: tuple[str, ...] | None
    sure: bool


def stated(document: Json | None, spelling: Spelling, shapes: Shapes, where: str) -> Stated | None:
    """Read a ``config.json``; return None where there is none, or it is not timm's nor transformers'."""
    if document and "architecture" in document:
        return _by_timm(document, spelling, shapes, f"the config.json beside {where}")
    if document and "model_type" in document:
        return _by_transformers(document, spelling, shapes, f"the config.json beside {where}")
    return None


def same_network(a: EncoderConfig, b: EncoderConfig) -> bool:
    """Tell whether two configurations are one network, whatever is done with its tokens."""
    if isinstance(a, ViTConfig) and isinstance(b, ViTConfig):
        a = replace(a, pool=b.pool, pooler=b.pooler, classes=b.classes)
    return a == b


def _by_timm(document: Json, spelling: Spelling, shapes: Shapes, where: str) -> Stated:
    pretrained, arguments = document.get("pretrained_cfg", {}), document.get("model_args", {})
    if not isinstance(pretrained, dict) or not isinstance(arguments, dict):
        raise CheckpointError(
            f"pretrained_cfg or model_args in {where} is no table", todo="take the config.json of the same revision"
        )
    base, tag = str(document["architecture"]), pretrained.get("tag")
    known = f"{base}.{tag}" in zoo.names()
    named = zoo.find(f"{base}.{tag}" if known else base)
    variant = named.variant
    if variant.family != spelling.dialect.family:
        raise CheckpointError(
            f"the tensors are of {spelling.dialect.family}, but {where} names {base}",
            todo="take both files from one revision",
        )
    config = _with_arguments(config_for(variant, "timm"), arguments, where)
    config = with_parts(config, spelling, shapes, head=True)
    pool = arguments.get("global_pool", document.get("global_pool"))
    if isinstance(config, ViTConfig) and pool is not None:
        if pool not in POOLS:
            raise CheckpointError(
                f"{where} sets global_pool to {pool!r}",
                expected=" or ".join(POOLS),
                todo="name the variant, and give the file rather than the folder as weights",
            )
        config = replace(config, pool=POOLS[pool])
    names = document.get("label_names", pretrained.get("label_names"))
    ours = known or tag is None  # a tag that timm does not have: somebody's own weights of this network
    labels = tuple(map(str, names)) if isinstance(names, list) else None if ours else ()
    return Stated(
        library="timm",
        name=named.name if ours else None,
        config=config,
        rows=(variant,) if ours else (),
        image=variant.image,
        labels=labels,
        sure=known,
    )


def _with_arguments(config: EncoderConfig, arguments: Json, where: str) -> EncoderConfig:
    """Apply timm's ``model_args``: the input size may differ; whatever else changes the network is refused."""
    changed = {key: value for key, value in arguments.items() if key not in HARMLESS and value is not None}
    if changed.pop("in_chans", 3) != 3:
        raise CheckpointError(f"{where} sets in_chans to {arguments['in_chans']!r}", expected="3: colour images")
    size = changed.pop("img_size", None)
    side = size[0] if isinstance(size, (list, tuple)) and len(set(size)) == 1 else size
    if side is not None and isinstance(config, ViTConfig) and config.position == "learned":
        if not isinstance(side, int) or side % config.patch:
            raise CheckpointError(
                f"{where} sets img_size to {size!r}",
                expected=f"one multiple of {config.patch}",
                todo="name the variant",
            )
        config = replace(config, grid=side // config.patch)
    if changed:
        raise CheckpointError(
            f"{where} changes the network by model_args: {', '.join(sorted(changed))}",
            expected="a variant as timm defines it",
            todo="name the variant it stands for, and give the file rather than the folder as weights",
        )
    return config


def _by_transformers(document: Json, spelling: Spelling, shapes: Shapes, where: str) -> Stated:
    family, config = read_config(document, where)
    if family != spelling.dialect.family:
        raise CheckpointError(
            f"the tensors are of {spelling.dialect.family}, but {where} describes {family}",
            todo="take both files from one revision",
        )
    config = with_parts(config, spelling, shapes, head=True)
    if isinstance(config, ViTConfig) and config.pooler:
        config = replace(config, pool="tanh_cls")  # what transformers calls its pooler_output
    rows = (row for row in zoo.ROWS if row.transformers and same_network(config_for(row, "transformers"), config))
    return Stated(
        library="transformers",
        name=None,
        config=config,
        rows=tuple(rows),
        image=image_side(document, where),
        labels=_labels(document.get("id2label"), where),
        sure=False,
    )


def _labels(table: object, where: str) -> tuple[str, ...]:
    """Return the class names of an ``id2label``; placeholders are none."""
    if table is None:
        return ()
    if not isinstance(table, dict) or not all(str(key).isdecimal() for key in table):
        raise CheckpointError(
            f"id2label in {where} is not a table of numbers and names", todo="take the config.json of the same revision"
        )
    labels = tuple(str(table[key]) for key in sorted(table, key=int))
    return () if all(label.startswith("LABEL_") for label in labels) else labels
