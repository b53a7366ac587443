"""``snellen tune``: the fastest way to run an encoder here that is proven to be the same encoder.

In: a model, a device, a goal, a budget. Out: a plan that is kept, and the table that it rests on.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snellen.cli import options, show, verdict
from snellen.errors import ImageError, Unavailable, UsageError
from snellen.records.plan import GOALS

if TYPE_CHECKING:
    from snellen.records.tuning import TuneRecord

WEIGHTS, RECIPE, DEVICE, _ = options.ENCODER[1:]
BUDGET = 180.0
IMAGES = "Verify on the first, calibrate int8 on others; repeatable.  [default: our own]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, one field for each parameter of the command."""

    model: str
    weights: str | None
    recipe: str | None
    device: str
    images: tuple[str, ...]
    goal: str
    budget: float
    int8: bool
    output: str | None
    as_json: bool
    quiet: bool


@click.command(short_help="Find the fastest setup that is proven.")
@click.argument("model", metavar="MODEL")
@WEIGHTS
@RECIPE
@DEVICE
@click.option("--images", metavar="DIR|FILE", multiple=True, help=IMAGES)
@click.option("--goal", type=click.Choice(GOALS), default="throughput", show_default=True, help="What is best.")
@click.option(
    "--budget", metavar="SECONDS", type=float, default=BUDGET, show_default=True, help="The time it may take."
)
@click.option("--int8", is_flag=True, help="Let 8 bits be picked: lossy, held to limits of their own.")
@options.output
@options.as_json
@options.quiet
def tune(**given: Any) -> int:
    """Try runtimes, dtypes, batches, streams and threads for MODEL; verify each, measure what passes, keep the plan.

    A candidate that computes something else is discarded unmeasured. What is picked was faster than the default in
    every round of a final in turns; otherwise the default stays. Goals: throughput, latency of one image, memory (the
    lowest peak at half the default's rate or more). 'snellen embed --plan auto' runs the plan. With -o a .json record
    with the raw samples is written, and the table goes to stderr.

    The exit code is 0 where a plan was saved, 3 where nothing passed.

    \b
    Example:
      snellen tune vit_small_patch14_dinov2.lvd142m --budget 60
    """
    began = time.monotonic()
    asked = Asked(**given)
    if asked.output is not None:
        verdict.check(Path(asked.output), (".json",))
    record = _tuned(asked, began)
    _show(record, asked)
    return record.exit_code


def _tuned(asked: Asked, began: float) -> TuneRecord:
    """Load the model in float32 on the CPU, where the golden is computed, and search; loading counts to the budget."""
    from snellen.embed.sources import paths
    from snellen.model.loading import load
    from snellen.tuning.tuner import checked
    from snellen.tuning.tuner import tune as search

    allow = ("int8",) if asked.int8 else ()
    checked(asked.device, asked.goal, asked.budget, allow)
    images = list(paths(asked.images, sys.stdin.buffer)) if asked.images else None
    show.say("loading", quiet=asked.quiet)
    model = load(asked.model, weights=asked.weights, recipe=asked.recipe)
    try:
        return search(
            model,
            device=asked.device,
            goal=asked.goal,
            budget_s=asked.budget,
            images=images,
            allow=allow,
            progress=lambda text: show.say(text, quiet=asked.quiet),
            began=began,
        )
    except ImageError as error:  # one of many elsewhere; here it is what the plan was to rest on
        raise UsageError(error.seen, expected=error.expected, todo=error.todo or "leave it out") from error


def _show(record: TuneRecord, asked: Asked) -> None:
    """Print the table, or the one JSON document, and then write the file that was asked for."""
    from snellen.report import tuning

    columns = shutil.get_terminal_size((tuning.WIDTH, 24)).columns if sys.stdout.isatty() else tuning.WIDTH
    text = tuning.search(record, max(columns, verdict.NARROWEST))
    if asked.as_json:
        show.document(record.to_dict())
    elif asked.output:
        show.say(text.rstrip("\n"), quiet=asked.quiet)
    else:
        click.echo(text, nl=False)
    if record.plan is None and (asked.as_json or asked.output) and (asked.quiet or asked.as_json):
        show.say(tuning.line(record))  # what fails is still said
    if asked.output:
        _save(record, Path(asked.output), asked)


def _save(record: TuneRecord, path: Path, asked: Asked) -> None:
    from snellen import draft

    text = json.dumps(record.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with draft.writing(path), draft.drafted(path) as file:
            file.write_text(text, encoding="utf-8")
    except Unavailable:
        from snellen.report import tuning

        show.say(tuning.line(record))  # the search was long, and its plan is kept
        raise
    show.say(f"written to {path}", quiet=asked.quiet)
