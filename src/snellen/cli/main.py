"""``snellen``: the commands put together, and the one place where errors become messages and exit codes.

0 done or passed; 1 some inputs failed, or a verdict is fail; 2 wrong usage, or something that was asked for is not to
be had; 3 a verdict is inconclusive, or there is none; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from snellen._version import __version__
from snellen.cli.classify import classify
from snellen.cli.convert import convert
from snellen.cli.embed import embed
from snellen.cli.export import export
from snellen.cli.features import features
from snellen.cli.inspect import inspect
from snellen.cli.models import models
from snellen.cli.tune import tune
from snellen.cli.verify import verify
from snellen.errors import SnellenError

INTERRUPTED = 130


class Commands(click.Group):
    """The commands; one whose reader has gone (``| head``) stops quietly, for nobody wants the rest."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="snellen")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, too; may stand after the command.")
def cli(debug: bool) -> None:
    """Run vision encoders from any checkpoint, with the numbers their own library gives.

    \b
    Example:
      snellen embed photos -m vit_small_patch14_dinov2.lvd142m -o photos.parquet
    """


for command in (models, inspect, embed, features, classify, convert, export, verify, tune):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error is a message on stderr, never a traceback unless --debug."""
    asked, debug = _debug(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(cli.main(asked, prog_name="snellen", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; no output was left half-written", err=True)
        return INTERRUPTED
    except SnellenError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001  (the last line of defence: a fault of snellen's own)
        if debug:
            traceback.print_exc()
        click.echo(f"error: {type(error).__name__}: {error}\n  this is a fault in snellen\n  next: --debug", err=True)
        return 2


def _debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out of the arguments, wherever it stands before a ``--``."""
    asked = list(arguments)
    end = asked.index("--") if "--" in asked else len(asked)
    options = [word for word in asked[:end] if word != "--debug"]
    return options + asked[end:], len(options) < end
