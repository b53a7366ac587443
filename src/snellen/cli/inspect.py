"""``snellen inspect``: what a checkpoint is, before anything is loaded from it."""

from __future__ import annotations

import click

from snellen.cli import options, show


@click.command(short_help="Say what a checkpoint holds.")
@click.argument("checkpoint", metavar="FILE", type=click.Path())
@options.as_json
def inspect(checkpoint: str, as_json: bool) -> None:
    """Say what a checkpoint holds: dialect, variant, dtype, size, digest, and the keys that do not fit.

    FILE is a file of weights, or a folder with one and its config.json.

    \b
    Example:
      snellen inspect model.safetensors
    """
    from snellen.model import inspect as look

    record = look(checkpoint).to_dict()
    if as_json:
        show.document(record)
    else:
        show.fields({name: value for name, value in record.items() if name != "schema"})
