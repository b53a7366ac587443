"""``snellen doctor``: what is here, what would stop a run, and the command that mends it.

In: a device or nothing. Out: a page or one JSON document; exit code 1 where something would stop a run.
"""

from __future__ import annotations

import shutil
import sys

import click

from snellen.cli import options, show

NARROWEST = 60
DEVICE = "Look for a run on cpu, cuda, cuda:1, npu, xpu, mps.  [default: the CPU and every accelerator here]"


@click.command(short_help="Find what would stop a run here.")
@click.option("--device", metavar="NAME", help=DEVICE)
@click.option("--offline", is_flag=True, help="Ask no model hub.")
@options.as_json
def doctor(device: str | None, offline: bool, as_json: bool) -> int:
    """Look at this machine: packages, processor, threads, accelerators and their software, the hub, the caches.

    Each finding says what was seen, why it matters, and the command that mends it. Nothing is changed; nothing is
    computed but a small product on each accelerator, in a process of its own.

    The exit code is 1 where something would stop a run on the device that was asked for; without --device, on the CPU
    or on an accelerator that is here.

    \b
    Example:
      snellen doctor
      snellen doctor --device npu --json
    """
    from snellen.doctor.look import look
    from snellen.report.doctor import WIDTH, page

    record = look(device, offline=offline)
    if as_json:
        show.document(record.to_dict())
    else:
        columns = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
        click.echo(page(record, max(columns, NARROWEST)), nl=False)
    return record.exit_code
