"""``snellen convert``: a checkpoint in the spelling of another library."""

from __future__ import annotations

import click

from snellen.cli import options, show

DIALECTS = ("timm", "transformers", "meta", "apple", "jax")


@click.command(short_help="Write a checkpoint as another library spells it.")
@click.argument("src", metavar="SRC", type=click.Path())
@click.argument("dst", metavar="DST", type=click.Path())
@click.option("--to", "dialect", type=click.Choice(DIALECTS), required=True, help="The library that shall read it.")
@click.option("--as", "name", metavar="NAME", help="The variant SRC holds, where its keys fit several.")
@options.as_json
@options.quiet
def convert(src: str, dst: str, dialect: str, name: str | None, as_json: bool, quiet: bool) -> None:
    """Write the checkpoint SRC to DST as another library spells it, so that its own loader takes it strictly.

    \b
    Example:
      snellen convert dinov2_vits14_pretrain.pth dinov2-small --to transformers
    """
    from snellen.model.conversion import convert as write

    record = write(src, dst, dialect=dialect, name=name).to_dict()
    if as_json:
        show.document(record)
    else:
        show.fields({name: value for name, value in record.items() if name != "schema"})
    show.say(f"written to {dst}", quiet=quiet)
