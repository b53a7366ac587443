"""``snellen bench``: how fast an encoder is on a device, and whether that has become worse.

In: a model and a place, or two records of earlier measurements. Out: tables, a plot, a record with every sample.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from snellen.cli import asking, options, show, verdict
from snellen.errors import Unavailable, UsageError
from snellen.records.bench import MODES

if TYPE_CHECKING:
    from snellen.records.bench import BenchRecord, CompareRecord

BATCHES = "1,2,4,8"
MAX: Literal["max"] = "max"
SECONDS = 2.0
SEED = 0  # of the pixels and of the orders: both are the same in every run
THRESHOLD = 0.05
LONGEST = 6  # digits of a batch size
INCONCLUSIVE = 3

WEIGHTS, RECIPE, DEVICE, _ = options.ENCODER[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, one field for each parameter of the command."""

    model: str | None
    weights: str | None
    recipe: str | None
    device: str
    runtime: str | None
    dtype: str
    batch_size: str
    mode: str
    seconds: float
    baseline: str | None
    images: tuple[str, ...]
    simulate: bool
    compare: tuple[str, str] | None
    again: bool
    threshold: float
    output: str | None
    as_json: bool
    quiet: bool

    def say(self, text: str) -> None:
        """Tell on stderr how far it is, unless that is not wanted."""
        show.say(text, quiet=self.quiet)


RUN = (
    *("model", "weights", "recipe", "device", "runtime", "dtype", "batch_size", "mode", "baseline", "images"),
    "simulate",
)
"""What belongs to a measurement, and so not to a comparison of two."""


@click.command(short_help="Measure how fast an encoder is, or compare.")
@click.argument("model", required=False, metavar="[MODEL]")
@WEIGHTS
@RECIPE
@DEVICE
@click.option("--runtime", metavar="NAME", help="What executes the encoder.  [default: that of the device]")
@click.option("--dtype", metavar="NAME", default="float32", show_default=True, help="float32, bfloat16, float16.")
@options.output
@options.as_json
@options.quiet
@click.option(
    "-b", "--batch-size", metavar="LIST", default=BATCHES, show_default=True, help="Images at once: 1,8 or max."
)
@click.option("--mode", type=click.Choice(MODES), default=MODES[0], show_default=True, help="What is measured.")
@click.option(
    "--seconds", metavar="S", type=float, default=SECONDS, show_default=True, help="For each batch size, at least."
)
@click.option("--baseline", type=click.Choice(["cpu"]), help="Measure eager float32 on the CPU beside it, in turns.")
@click.option("--images", metavar="DIR|FILE", multiple=True, help="For --mode files; repeatable.  [default: our own]")
@click.option("--simulate", is_flag=True, help="A dry run: the device is a simulated NPU.")
@click.option("--compare", nargs=2, metavar="A B", type=click.Path(), help="Compare two saved records: B against A.")
@click.option("--again", is_flag=True, help="With --compare: measure both again, in turns.")
@click.option(
    "--threshold", metavar="SHARE", type=float, default=THRESHOLD, show_default=True, help="Slower by this is worse."
)
@click.pass_context
def bench(context: click.Context, /, **given: Any) -> int:
    """Measure latency and throughput of MODEL on a device, by batch size.

    The device is waited for before and after every sample; warm-up goes on until times no longer fall, and every
    sample is kept. Modes: latency of one batch after another, throughput of a continuous stream, files from image
    files to vectors. -b max doubles the batch until memory ends, and then looks for the largest that fits. With -o a
    .json record is written, and the tables go to stderr.

    --compare says for every batch size whether B is slower than A, with a 95 % interval judged by how the rounds of a
    measurement differ. --again measures what both records name once more, in turns, where both can be run here.

    The exit code is 0 when done, 1 where B is slower beyond the threshold or a batch size raised an error, 3 where
    nothing was measured or decided.

    \b
    Example:
      snellen bench vit_small_patch14_dinov2.lvd142m --weights seed:0 -b 1,8 --baseline cpu -o new.json
      snellen bench --compare old.json new.json --threshold 0.03
    """
    asked = Asked(**given)
    named = {name for name in given if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    _check(asked, named)
    if asked.compare is not None:
        record = _compared(asked, asked.compare)
        _show_compared(record, asked)
        return record.exit_code
    measured = _measured(asked)
    _show_measured(measured, asked)
    return exit_code(measured)


def exit_code(record: BenchRecord) -> int:
    """Return 3 where nothing was measured, 1 where a batch size raised an error, else 0."""
    outcomes = {point.outcome for point in record.points}
    if "measured" not in outcomes and record.files is None:
        return INCONCLUSIVE
    return int("raised" in outcomes)


# ---- what is refused before anything is loaded


def _check(asked: Asked, given: Collection[str]) -> None:
    """Refuse what does not go together, and what cannot be."""
    if asked.compare is not None:
        run = [name for name in RUN if name in given]
        if run:
            asking.apart(run[0], "compare", "two records to compare, or a model to measure")
        if "seconds" in given and not asked.again:
            asking.apart("seconds", "compare", "--again beside it, where anything shall be measured")
    else:
        for name in ("again", "threshold"):
            if name in given:
                raise UsageError(
                    f"--{name} was given without --compare", expected="--compare A.json B.json", todo="name two records"
                )
        if asked.model is None:
            raise UsageError(
                "no model was named", expected="MODEL, or --compare A B", todo="snellen models lists the names"
            )
        sizes = batches(asked.batch_size)
        if asked.mode == "files" and "batch_size" in given and len(sizes) != 1:
            raise UsageError(
                f"--batch-size is {asked.batch_size}",
                expected="one size, in the mode files",
                todo="-b 8, or leave it out",
            )
    if asked.output is not None:
        verdict.check(Path(asked.output), (".json",))


def batches(text: str) -> tuple[int, ...] | Literal["max"]:
    """Return the batch sizes that were asked for, from the smallest on. Raise UsageError for anything else."""
    if text == MAX:
        return MAX
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and len(word) <= LONGEST and int(word) for word in words):
        raise UsageError(
            f"the batch sizes are {text[:60]!r}",
            expected="whole numbers from 1, separated by commas, or max",
            todo=f"-b {BATCHES}",
        )
    return tuple(sorted({int(word) for word in words}))


# ---- a measurement


def _measured(asked: Asked) -> BenchRecord:
    """Load the model in float32 on the CPU, where every runtime takes it from, and measure."""
    from snellen.benchmark.asked import checked
    from snellen.embed.sources import paths

    if asked.simulate:
        asking.simulate(asked.device, asked.say)
    assert asked.model is not None  # _check has seen to it
    wanted: dict[str, Any] = {
        "batch_sizes": batches(asked.batch_size),
        "device": asked.device,
        "runtime": asked.runtime,
        "dtype": asked.dtype,
        "mode": asked.mode,
        "seconds": asked.seconds,
        "baseline": asked.baseline,
        "images": list(paths(asked.images, sys.stdin.buffer)) if asked.images else None,
    }
    checked(**wanted, seed=SEED)
    from snellen.benchmark.bench import bench as measure
    from snellen.model.loading import load

    asked.say("loading")
    begin = time.perf_counter()
    model = load(asked.model, weights=asked.weights, recipe=asked.recipe)
    loaded = time.perf_counter() - begin
    return measure(model, **wanted, seed=SEED, load_s=loaded, progress=asked.say)


# ---- a comparison


def _compared(asked: Asked, paths: tuple[str, str]) -> CompareRecord:
    """Compare two saved records, or what they name, measured again."""
    from snellen.benchmark import compare

    records = read(paths[0]), read(paths[1])
    if not asked.again:
        return compare.compare(*records, names=paths, threshold=asked.threshold)
    return compare.again(*records, names=paths, threshold=asked.threshold, seconds=asked.seconds, progress=asked.say)


def read(path: str) -> BenchRecord:
    """Read a saved record. Raise UsageError for what is none."""
    from snellen.records.reports import read_bench

    expected, todo = "a record that snellen bench wrote: -o bench.json", "check the path"
    try:
        return read_bench(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path!r} cannot be read: {error.strerror}", expected=expected, todo=todo) from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise UsageError(f"{path!r} is no JSON: {error}", expected=expected, todo=todo) from error


# ---- what is printed and written


def _show_measured(record: BenchRecord, asked: Asked) -> None:
    from snellen.report import bench as report

    _show(
        asked, record.to_dict(), report.lines(record, _width()), bad=bool(exit_code(record)), said=report.line(record)
    )


def _show_compared(record: CompareRecord, asked: Asked) -> None:
    from snellen.report import bench as report

    told = report.verdict(record)
    _show(asked, record.to_dict(), report.compared(record, _width()), bad=bool(record.exit_code), said=told)


def _show(asked: Asked, document: dict[str, Any], lines: Sequence[str], *, bad: bool, said: str) -> None:
    """Print the tables, or the one JSON document, and then write the file that was asked for.

    What is bad is still said, in one line, to somebody who wants no tables; so it is where the file cannot be written.
    """
    if asked.as_json:
        show.document(document)
    elif asked.output:
        asked.say("\n".join(lines))
    else:
        click.echo("\n".join(lines))
    brief = asked.quiet or asked.as_json
    told = bad and brief and bool(asked.as_json or asked.output)
    if told:
        show.say(said)
    if not asked.output:
        return
    try:
        _save(Path(asked.output), document)
    except Unavailable:
        if brief and not told:
            show.say(said)  # it was long, and would be lost
        raise
    asked.say(f"written to {asked.output}")


def _save(path: Path, document: dict[str, Any]) -> None:
    from snellen import draft

    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with draft.writing(path), draft.drafted(path) as file:
        file.write_text(text, encoding="utf-8")


def _width() -> int:
    """Return how wide the tables are: as the terminal, within bounds; elsewhere always the same."""
    columns = shutil.get_terminal_size((verdict.ELSEWHERE, 24)).columns if sys.stdout.isatty() else verdict.ELSEWHERE
    return min(max(columns, verdict.NARROWEST), verdict.WIDEST)
