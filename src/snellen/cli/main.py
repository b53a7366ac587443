"""``snellen``: the commands put together, and the one place where errors become messages and exit codes.

0 done or passed; 1 some inputs failed, or a verdict is fail; 2 wrong usage, or something that was asked for is not to
be had; 3 a verdict is inconclusive, or there is none; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import click

from snellen._version import __version__
from snellen.errors import SnellenError

INTERRUPTED = 130

COMMANDS = (
    "bench",
    "card",
    "classify",
    "convert",
    "doctor",
    "embed",
    "export",
    "features",
    "inspect",
    "merge",
    "models",
    "report",
    "search",
    "tune",
    "verify",
    "verify-store",
)
"""Each is a file of this room, with _ for -; only that of the command that is asked for is read."""


class Commands(click.Group):
    """The commands; one whose reader has gone (``| head``) stops quietly, for nobody wants the rest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        room = cmd_name.replace("-", "_")
        found: click.Command = getattr(import_module(f"snellen.cli.{room}"), room)
        return found

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


def commands() -> dict[str, click.Command]:
    """Return every command by its name."""
    context = click.Context(cli)
    return {name: command for name in COMMANDS if (command := cli.get_command(context, name)) is not None}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error is a message on stderr, never a traceback unless --debug."""
    if arguments is None:
        _lean()
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


def _lean() -> None:
    """Keep OpenVINO from importing its converter of other libraries' models: 0.04 s for what no command uses.

    It is prepared for not having one. Only in a process of our own: elsewhere somebody may want it.
    """
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]  # an import of it fails


def _debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out of the arguments, wherever it stands before a ``--``."""
    asked = list(arguments)
    end = asked.index("--") if "--" in asked else len(asked)
    options = [word for word in asked[:end] if word != "--debug"]
    return options + asked[end:], len(options) < end
