"""``snellen inspect``: what a checkpoint is, before anything is loaded from it."""

from __future__ import annotations

import click

from snellen.cli import options, show


@click.command(short_help="Say what a checkpoint holds.")
@click.argument("checkpoint", metavar="FILE", type=click.Path())
@click.option("--as", "name", metavar="NAME", help="The variant to hold it against.  [default: what it says it is]")
@options.as_json
def inspect(checkpoint: str, name: str | None, as_json: bool) -> int:
    """Say what a checkpoint holds: dialect, variant, dtype, size, digest, and the keys that do not fit.

    FILE is a file of weights, or a folder with one and its config.json. The exit code is 1 where it fits no variant.

    \b
    Example:
      snellen inspect model.safetensors
    """
    from snellen.model.inspection import inspect as look

    record = look(checkpoint, name=name).to_dict()
    if as_json:
        show.document(record)
    else:
        show.fields({key: value for key, value in record.items() if key != "schema"})
    return int(record["variant"] is None)
