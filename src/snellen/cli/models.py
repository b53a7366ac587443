"""``snellen models``: the zoo as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from snellen.cli import options, show

if TYPE_CHECKING:
    from snellen.zoo.variant import Variant

COLUMNS = ("name", "family", "parameters", "GFLOP", "input", "tokens", "width", "gated", "licence")


@click.command(short_help="List the encoders: size, cost, licence.")
@options.as_json
def models(as_json: bool) -> None:
    """List every encoder: size, cost, licence, and whether its weights need an application.

    Parameters are counted as the library of the name counts them. GFLOP are for one image of the input size, attention
    counted, a multiply-add as two. --json adds the other libraries' names and counts; any name finds the encoder.

    \b
    Example:
      snellen models
      snellen models --json | jq '.models[].names'
    """
    from snellen.zoo import ROWS

    rows = [describe(variant) for variant in ROWS]
    if as_json:
        show.document({"schema": "snellen.models/1", "models": rows})
        return
    show.table(COLUMNS, ([_cell(row, column) for column in COLUMNS] for row in rows))


def describe(variant: Variant) -> dict[str, Any]:
    """Return what the table says of one variant, as JSON-serialisable values."""
    from snellen.encoders.cost import operations

    side = variant.image
    return {
        "name": variant.name,
        "family": variant.family,
        "parameters": variant.parameters[0][1],
        "counts": dict(variant.parameters),
        "operations": operations(variant.config, side, side),
        "input": side,
        "tokens": variant.config.tokens(side, side),
        "width": variant.config.width,
        "licence": variant.licence,
        "gated": variant.gated,
        "head": variant.head,
        "names": [{"library": library, "name": name} for library, name in variant.names],
    }


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "GFLOP":
        return f"{row['operations'] / 1e9:.1f}"
    if column == "parameters":
        return f"{row[column]:,}"
    if column == "gated":
        return "yes" if row[column] else "no"
    return str(row[column])
