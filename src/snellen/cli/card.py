"""``snellen card``: the evidence of one encoder on one device, gathered in one run, as a folder that can be published.

In: a model, a place, a folder. Out: the folder, whole or not at all; the verdict as the exit code.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snellen.cli import asking, options, show, verdict
from snellen.cli.verify import named
from snellen.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snellen.cards.card import Made
    from snellen.records.report import ReportRecord
    from snellen.verification.inputs import Inputs

WEIGHTS, RECIPE, DEVICE, _ = options.ENCODER[1:]
LANGS = ("en", "zh", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, one field for each parameter of the command."""

    model: str
    weights: str | None
    recipe: str | None
    device: str
    runtime: str | None
    dtype: str
    output: str
    images: tuple[str, ...]
    lang: str
    tune: bool
    compare: str | None
    simulate: bool
    quiet: bool

    def say(self, text: str) -> None:
        """Tell on stderr how far it is, unless that is not wanted."""
        show.say(text, quiet=self.quiet)

    @property
    def command(self) -> str:
        """The command as it would be typed."""
        return shlex.join(self._words())

    def _words(self) -> Iterator[str]:
        yield from ("snellen", "card", self.model)
        for name in ("weights", "recipe", "device", "runtime", "dtype", "lang", "compare"):
            value = getattr(self, name)
            if value is not None and value != DEFAULTS.get(name):
                yield from (f"--{name}", value)
        for image in self.images:
            yield from ("--images", image)
        yield from (f"--{name}" for name in ("tune", "simulate") if getattr(self, name))
        yield from ("-o", self.output)


DEFAULTS = {"device": "cpu", "dtype": "float32", "lang": "both"}
"""What need not be typed."""


@click.command(short_help="Write a model card: evidence, verdict, speed.")
@click.argument("model", metavar="MODEL")
@WEIGHTS
@RECIPE
@DEVICE
@click.option("--runtime", metavar="NAME", help="What executes the encoder.  [default: that of the device]")
@click.option(
    "--dtype", metavar="NAME", default=DEFAULTS["dtype"], show_default=True, help="float32, bfloat16, float16."
)
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(), help="The folder of the card.")
@options.quiet
@click.option("--images", metavar="DIR|FILE", multiple=True, help="Judge on these; repeatable.  [default: our own]")
@click.option("--lang", type=click.Choice(LANGS), default=DEFAULTS["lang"], show_default=True, help="Of the text.")
@click.option("--tune", is_flag=True, help="Look for a faster setup as well; takes minutes more.")
@click.option("--compare", metavar="REPORT", type=click.Path(), help="Set another card's report.json beside it.")
@click.option("--simulate", is_flag=True, help="A dry run: the device is a simulated NPU.")
def card(**given: Any) -> int:
    """Run MODEL on a device, judge it, measure it, and write everything down in the folder DIR.

    report.json holds every figure; README.md, README.zh-CN.md and index.html are renderings of it, and nothing in them
    is typed. Beside them lie the log, every sample, and what the device's own software left in the working directory.
    DIR appears when all of it is there. A card that lies there is replaced; a folder with anything else in it is not.

    The exit code is that of the verdict: 0 for pass and limited, 1 for fail, 3 for inconclusive. A card is written
    whichever it is; an encoder that raises an error instead of giving features gets none.

    \b
    Example:
      snellen card vit_small_patch14_dinov2.lvd142m --device npu -o card
      snellen card vit_small_patch14_dinov2.lvd142m --device npu -o card --compare cpu/report.json
    """
    asked = Asked(**given)
    other = _before(asked)
    with named(asked.device):
        made = _made(asked)
    _written(asked, made, other)
    return verdict.exit_code(made.record.trial.verdict, strict=False)


def _before(asked: Asked) -> ReportRecord | None:
    """Refuse what cannot be before anything is loaded; return the report to set beside the new one."""
    from snellen import devices, runtimes
    from snellen.cards import folder

    other = None if asked.compare is None else read(asked.compare)
    folder.ready(Path(asked.output))
    if asked.simulate:
        asking.simulate(asked.device, asked.say)
    place = devices.resolve(asked.device)
    runtimes.check(asked.runtime or runtimes.default(place, asked.dtype).value, place, asked.dtype)
    return other


def read(path: str) -> ReportRecord:
    """Read a card's report, by its own name or that of its folder. Raise UsageError for what is none."""
    from snellen.cards.folder import REPORT
    from snellen.records.reports import read_report

    place = Path(path)
    file = place / REPORT if place.is_dir() else place
    expected, todo = "the report.json that snellen card wrote", "check the path"
    try:
        return read_report(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path!r} cannot be read: {error.strerror}", expected=expected, todo=todo) from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise UsageError(f"{path!r} is no JSON: {error}", expected=expected, todo=todo) from error


def _made(asked: Asked) -> Made:
    """Load the model in float32 on the CPU, where the golden is computed, and gather everything."""
    from snellen.cards.card import card as gather
    from snellen.cards.tried import Shown
    from snellen.model.loading import load

    inputs = _inputs(asked)
    asked.say("loading")
    begun = time.perf_counter()
    model = load(asked.model, weights=asked.weights, recipe=asked.recipe)
    load_s = time.perf_counter() - begun
    return gather(
        model,
        device=asked.device,
        runtime=asked.runtime,
        dtype=asked.dtype,
        shown=Shown(inputs=inputs),
        tune=asked.tune,
        load_s=load_s,
        command=asked.command,
        progress=asked.say,
    )


def _inputs(asked: Asked) -> Inputs | None:
    if not asked.images:
        return None
    from snellen.embed.sources import paths
    from snellen.verification import inputs

    return inputs.images(list(paths(asked.images, sys.stdin.buffer)))


def _written(asked: Asked, made: Made, other: ReportRecord | None) -> None:
    """Write the folder, and say in a few lines what it holds; what is bad, or simulated, is said to everybody."""
    from snellen.cards import folder
    from snellen.cards.pages import PAGE, pages

    told = list(_told(made.record))
    files = {**pages(made.record, asked.lang, other), **made.files}
    loud = verdict.exit_code(made.record.trial.verdict, strict=True) or made.record.simulated
    try:
        folder.publish(Path(asked.output), files)
    except Unavailable:
        show.say("\n".join(told))  # the run was long, and would be lost
        raise
    show.say("\n".join(told if not asked.quiet else told[:1]), quiet=asked.quiet and not loud)
    asked.say(f"written to {asked.output}: open {Path(asked.output) / PAGE}")


def _told(record: ReportRecord) -> Iterator[str]:
    """Yield the verdict, and then what was measured."""
    judged = record.trial.verdict
    said = f"verdict {judged.outcome}: {judged.because}" if judged else "no verdict: see the self-test"
    yield f"SIMULATED: {said}" if record.simulated else said
    for point in record.bench.points:
        if point.latency is None:
            yield f"batch {point.batch}: {point.outcome} {point.because}".rstrip()
        else:
            rate = f", {point.images_per_s:.2f} images/s" if point.images_per_s else ""
            yield f"batch {point.batch}: {point.latency.p50_ms:.2f} ms{rate}"
    yield from (f"note: {note}" for note in record.notes)
