"""How a converted checkpoint lies on the disk: one file, or a folder with what the library needs beside the weights.

In: the content of a checkpoint and the encoder it belongs to. Out: files that the library's own loader takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snellen.checkpoints.dialects.rules import Plan
from snellen.checkpoints.hub_config import write_config
from snellen.checkpoints.write import SHARD_BYTES, Content, write_json, write_npz, write_safetensors, write_torch
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.errors import RecipeError, Unavailable, UsageError
from snellen.model.identify import CLASSES
from snellen.recipes import Recipe
from snellen.recipes.foreign import to_processor, to_timm
from snellen.zoo import ROWS, Named
from snellen.zoo.conventions import recipe_for
from snellen.zoo.labels import imagenet1k
from snellen.zoo.variant import Library, Variant

ENDINGS = {"meta": ".pth", "apple": ".safetensors", "jax": ".npz"}
"""The libraries that read one file, and how it ends; the others read a folder."""


def write(content: Content, target: Path, library: str, beside: dict[str, object]) -> list[Path]:
    """Write a checkpoint as ``library`` reads it, with the documents ``beside`` it; return the files.

    Raises Unavailable where the disk refuses; nothing is left behind then.
    """
    with _whole(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        return _write_file(content, target, library) if library in ENDINGS else _write_folder(content, target, beside)


def documents(
    named: Named, config: EncoderConfig, spelled: Plan, labels: tuple[str, ...] | None, recipe: str
) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return what the library needs beside the weights, by file name, and notes on what could not be said there.

    ``recipe`` is the preprocessing that belongs to the weights. Where it is the source library's own for this row, the
    target's own is written; else it is said in the target's terms, if that can be done.
    """
    variant, library = named.variant, spelled.dialect.library
    if library in ENDINGS:
        return {}, ()
    if labels is None:
        labels = imagenet1k() if variant.head == "imagenet1k" else ()
    text, notes = _recipe(named, "timm" if library == "timm" else "transformers", recipe)
    if library == "timm":
        return {"config.json": _timm_config(variant, config, spelled.dialect.name, labels, text)}, notes
    image = config.grid * config.patch if isinstance(config, ViTConfig) and config.grid else variant.image
    beside: dict[str, object] = {
        "config.json": write_config(variant.family, config, image, labels),
        "preprocessor_config.json": to_processor(Recipe.parse(text), variant.family),
    }
    return beside, notes


def _recipe(named: Named, library: Library, recipe: str) -> tuple[str, tuple[str, ...]]:
    """Return the preprocessing to write for ``library``, and a note where it is not that of the source."""
    standard = recipe_for(named.variant, library)
    geometry = Recipe.parse(recipe)
    if geometry.with_pool("cls") == Recipe.parse(recipe_for(named.variant, named.library)).with_pool("cls"):
        return standard, ()
    try:
        if library == "timm":
            to_timm(geometry)
        else:
            to_processor(geometry, named.variant.family)
    except RecipeError as error:
        return standard, (f"the preprocessing beside the source ({recipe}) is not written: {error.seen}",)
    return recipe, ()


def _timm_config(
    variant: Variant, config: EncoderConfig, dialect: str, labels: tuple[str, ...], recipe: str
) -> dict[str, Any]:
    """Return the ``config.json`` of timm's hub layout."""
    alike = [row for row in ROWS if row.timm and row.family == variant.family and row.config == variant.config]
    if not alike:
        raise UsageError(
            f"timm has no name for the network of {variant.name}",
            expected="a variant of the zoo",
            todo="--to transformers",
        )
    row = variant if variant in alike else alike[0]
    name = row.timm[row.timm_dialects.index(dialect)]
    architecture, _, tag = name.partition(".")
    transformer = isinstance(config, ViTConfig)
    classes = config.classes if isinstance(config, ViTConfig) else 0
    pretrained = {
        **to_timm(Recipe.parse(recipe)),
        "fixed_input_size": transformer,  # or timm builds a position table for 224 pixels
        "num_classes": classes,
        "first_conv": "patch_embed.proj" if transformer else "stem.0",
        "classifier": "head" if transformer else "head.fc",
        "license": variant.licence,
    }
    if row is variant and classes in (0, CLASSES[row.head]):  # the tag belongs to weights, not to the network
        pretrained["tag"] = tag
    pool = {"cls": "token", "patch_mean": "avg"}[config.pool] if isinstance(config, ViTConfig) else "avg"
    document: dict[str, Any] = {
        "architecture": architecture,
        "num_classes": classes,
        "num_features": config.width,
        "global_pool": pool,
        "pretrained_cfg": pretrained,
    }
    if labels and len(labels) == classes:
        document["label_names"] = list(labels)
    return document


@contextmanager
def _whole(target: Path) -> Iterator[None]:
    """Take away what was written to ``target`` unless all of it was; raise Unavailable where the disk refuses."""
    there = target.exists()
    try:
        yield
    except BaseException as error:
        if target.is_dir():
            for path in target.iterdir():  # it was empty, or not there
                path.unlink()
            if not there:
                target.rmdir()
        if isinstance(error, OSError):
            raise Unavailable(
                f"'{target}' cannot be written: {error.strerror or error}",
                expected="a place that may be written to, with room for the weights",
                todo="free some space, or write somewhere else; nothing was left behind",
            ) from error
        raise


def _write_file(content: Content, target: Path, library: str) -> list[Path]:
    """Write one file, in the format that its library reads."""
    if library == "meta":
        return write_torch(content, target)
    if library == "jax":
        return write_npz(content, target)
    return write_safetensors(content, target.parent, target.name)


def _write_folder(content: Content, target: Path, documents: dict[str, object]) -> list[Path]:
    """Write weights, in shards where they are large and transformers reads them, and the documents beside them."""
    target.mkdir(exist_ok=True)
    limit = SHARD_BYTES if "preprocessor_config.json" in documents else None
    files = write_safetensors(content, target, "model.safetensors", limit)
    for name, document in documents.items():
        write_json(target / name, document)
    return files + [target / name for name in documents]
