"""``snellen export``: an encoder as a file that other programs run."""

from __future__ import annotations

from pathlib import Path

import click

from snellen.cli import options, show

FORMATS = ("onnx", "openvino")


@click.command(short_help="Write an encoder as an ONNX or OpenVINO file, and prove it.")
@click.argument("model", metavar="MODEL")
@click.argument("dst", metavar="DST", type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(FORMATS), help="What DST shall be.  [default: by its ending]")
@options.ENCODER[1]
@options.ENCODER[2]
@options.as_json
@options.quiet
def export(
    model: str, dst: Path, kind: str | None, weights: str | None, recipe: str | None, as_json: bool, quiet: bool
) -> int:
    """Write MODEL to DST (.onnx, or .xml and .bin) for other programs: any batch, the recipe's size, float32.

    What was written is run on photographs and held against float64 before it gets its name: a file that does not
    compute the same is not left behind, and the exit code is 1. Recipe, digest and outputs are in the file's metadata.

    \b
    Example:
      snellen export vit_small_patch14_dinov2.lvd142m dinov2-small.onnx
    """
    from snellen.model.loading import load
    from snellen.runtimes.export import format_of
    from snellen.verification.exported import export as write

    kind = format_of(dst, kind)  # before anything is loaded
    loaded = load(model, weights=weights, recipe=recipe)
    record = write(loaded, dst, kind, progress=lambda text: show.say(text, quiet=quiet))
    document = record.to_dict()
    if as_json:
        show.document(document)
    else:
        show.fields({name: value for name, value in document.items() if name not in ("schema", "figures")})
    if record.outcome == "pass":
        show.say(f"written to {dst}", quiet=quiet)
    else:
        click.echo(f"nothing was written: the file does not compute what the encoder does: {record.because}", err=True)
    return int(record.outcome != "pass")
