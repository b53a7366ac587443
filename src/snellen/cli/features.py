"""``snellen features``: everything an encoder returns for a few images, tokens and maps among them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snellen.cli import options, show

if TYPE_CHECKING:
    from torch import Tensor

    from snellen.model.model import Model

COLUMNS = ("name", "shape", "mean", "std")


@click.command(short_help="Save tokens and maps of a few images.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.encoder
@options.output
@options.as_json
@options.quiet
@click.option("--layers", metavar="LIST", help="The maps of these layers instead: 3,7,11 (-1 is the last), or names.")
def features(
    wanted: options.Wanted, images: tuple[str, ...], output: str | None, as_json: bool, quiet: bool, layers: str | None
) -> None:
    """Save the features of a few images: class token, registers, patch tokens and their grid, pooled vector, logits.

    With -o they go to an .npz or .safetensors file; without it, a table says what there is. With --layers the file
    holds maps instead, [images, channels, h, w], as timm's features_only gives them: without the last norm.

    \b
    Example:
      snellen features cat.jpg -m vit_small_patch16_dinov3.lvd1689m --layers 3,7,11 -o cat.npz
    """
    from snellen import draft
    from snellen.embed import dense, sources

    if output:
        draft.check(Path(output), dense.ENDINGS)
    paths = list(sources.paths(images, sys.stdin.buffer))
    model = wanted.load()
    tensors = _tokens(model, paths) if layers is None else model.feature_maps(paths, _layers(layers))
    if output:
        dense.write(Path(output), tensors, model.record, paths)
    if as_json:
        show.document(_document(model, paths, output, tensors))
    elif not output:
        click.echo(show.headline(model.record))
        show.table(COLUMNS, [_line(name, tensor) for name, tensor in tensors.items()])
    if output:
        size = Path(output).stat().st_size / 1e6
        show.say(f"{len(paths)} done, {size:.1f} MB written to {output}\n{show.headline(model.record)}", quiet=quiet)


def _tokens(model: Model, paths: list[str]) -> dict[str, Tensor]:
    import torch

    found = model.features(paths)
    return {**found.named(), "grid": torch.tensor(found.grid)}


def _layers(text: str) -> list[int | str]:
    """Read the list of layers: whole numbers are numbers, anything else is a name."""
    words = [word.strip() for word in text.split(",")]
    return [int(word) if word.removeprefix("-").isdecimal() else word for word in words]


def _document(model: Model, paths: list[str], output: str | None, tensors: dict[str, Tensor]) -> dict[str, object]:
    return {
        "schema": "snellen.features/1",
        "model": model.record.to_dict(),
        "images": paths,
        "output": output,
        "shapes": {name: list(tensor.shape) for name, tensor in tensors.items()},
    }


def _line(name: str, tensor: Tensor) -> tuple[str, str, str, str]:
    if not tensor.is_floating_point():  # the patch grid: its values say more than its shape
        return name, " x ".join(map(str, tensor.tolist())), "-", "-"
    shape = " x ".join(map(str, tensor.shape))
    wide = tensor.double()
    spread = (f"{wide.mean():.4f}", f"{wide.std(correction=0):.4f}") if tensor.numel() else ("-", "-")
    return name, shape, *spread
