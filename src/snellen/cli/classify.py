"""``snellen classify``: the labels of a classifier that was trained with the encoder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from snellen.cli import options, show
from snellen.errors import ImageError

if TYPE_CHECKING:
    from snellen.model.model import Model

Answer = list[tuple[str, float]]


@click.command(short_help="Name what is in images.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.encoder
@options.as_json
@options.quiet
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Labels for each image.")
def classify(wanted: options.Wanted, images: tuple[str, ...], as_json: bool, quiet: bool, top: int) -> int:
    """Name what is in images, with a checkpoint that holds a trained classifier.

    A bad image is reported and makes the exit code 1.

    \b
    Example:
      snellen classify cat.jpg -m vit_base_patch16_224.augreg2_in21k_ft_in1k
    """
    from snellen.embed import sources

    paths = list(sources.paths(images, sys.stdin.buffer))
    model = wanted.load()
    answers: list[tuple[str, Answer | None]] = []
    for path in show.progress(paths, len(paths), "classifying", quiet=quiet):
        answers.append((sources.printable(path), _answer(model, path, top)))
    if as_json:
        rows = [{"image_path": path, "labels": _labels(answer)} for path, answer in answers]
        show.document({"schema": "snellen.classify/1", "model": model.record.to_dict(), "inputs": rows})
    else:
        click.echo(show.headline(model.record))
        show.table(("image", "probability", "label"), [(path, *row) for path, found in answers for row in _rows(found)])
    return int(any(answer is None for _, answer in answers))


def _answer(model: Model, path: str, top: int) -> Answer | None:
    """Classify one image; say what is wrong with it, and return None, where it cannot be used."""
    try:
        return model.classify([path], top=top)[0]
    except ImageError as error:
        show.say(f"{path}: {error}")
        return None


def _labels(answer: Answer | None) -> list[dict[str, object]] | None:
    return None if answer is None else [{"label": label, "probability": share} for label, share in answer]


def _rows(answer: Answer | None) -> list[tuple[str, str]]:
    return [("-", "-")] if answer is None else [(f"{share:.4f}", label) for label, share in answer]
