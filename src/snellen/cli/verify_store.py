"""``snellen verify-store``: whether vectors made here and now may stand beside those of a store."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snellen.cli import options, show, verdict
from snellen.cli.search import DEVICE, MODEL, WEIGHTS, reading

if TYPE_CHECKING:
    from snellen.records.search import MixingRecord

ENDINGS = (".json",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, one field for each parameter of the command."""

    out: str
    model: str | None
    weights: str | None
    device: str
    runtime: str | None
    dtype: str | None
    sample: int
    output: str | None
    as_json: bool
    quiet: bool


@click.command("verify-store", short_help="Embed a sample of a store again: a verdict.")
@click.argument("out", metavar="OUT")
@MODEL
@WEIGHTS
@DEVICE
@click.option("--runtime", metavar="NAME", help="What executes it.  [default: openvino on a CPU, else eager]")
@click.option("--dtype", metavar="NAME", help="Compute in it.  [default: the store's]")
@options.output
@options.as_json
@options.quiet
@click.option("--sample", type=click.IntRange(2), default=64, show_default=True, help="Images that are embedded again.")
def verify_store(**given: Any) -> int:
    """Say whether vectors made on this machine, device, runtime and version may be mixed with those of the store OUT.

    A sample of its rows, from all its runs and parts, is read again, embedded again, and compared. Images that are
    gone, or are no longer the same bytes, are not compared. How far two runs may lie apart is set by the dtype of the
    store. Before it concludes anything, the run has to tell apart what must not pass: the vectors of other images, and
    those of the same images prepared otherwise.

    The exit code is 0 for pass, 1 for fail, 3 for inconclusive.

    \b
    Example:
      snellen verify-store photos.store --device npu -o mixing.json
    """
    from snellen.search.mixing import verify
    from snellen.search.query import Place
    from snellen.store import Store
    from snellen.timing.memory import peak_bytes

    asked = Asked(**given)
    if asked.output is not None:
        verdict.check(Path(asked.output), ENDINGS)
    place = Place(
        model=asked.model, weights=asked.weights, device=asked.device, runtime=asked.runtime, dtype=asked.dtype
    )
    with reading() as read:
        store = Store.open(Path(asked.out))
        record = verify(store, read, place, sample=asked.sample, say=lambda text: show.say(text, quiet=asked.quiet))
    record = replace(record, peak_bytes=peak_bytes())
    _show(record, asked)
    assert record.verdict is not None
    return record.verdict.exit_code


def _show(record: MixingRecord, asked: Asked) -> None:
    """Print the report, or the one JSON document; write the file that was asked for, and the report is talk then."""
    if asked.as_json:
        show.document(record.to_dict())
    elif asked.output:
        show.say(_report(record).rstrip("\n"), quiet=asked.quiet)
    else:
        click.echo(_report(record), nl=False)
    found = record.verdict
    if found is not None and (found.exit_code or record.simulated) and asked.quiet and (asked.output or asked.as_json):
        show.say(f"{'SIMULATED: ' if record.simulated else ''}{found.outcome}: {found.because}")
    if asked.output:
        _save(record, Path(asked.output))
        show.say(f"written to {asked.output}", quiet=asked.quiet)


def _report(record: MixingRecord) -> str:
    from snellen.report.mixing import mixing

    columns = shutil.get_terminal_size((verdict.ELSEWHERE, 24)).columns if sys.stdout.isatty() else verdict.ELSEWHERE
    text = mixing(record, min(max(columns, verdict.NARROWEST), verdict.WIDEST))
    if record.verdict is None:
        return text
    word = record.verdict.outcome.upper()
    return text.replace(word, click.style(word, fg=verdict.COLOURS[record.verdict.outcome], bold=True), 1)


def _save(record: MixingRecord, path: Path) -> None:
    from snellen import draft

    text = json.dumps(record.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with draft.writing(path), draft.drafted(path) as file:
        file.write_text(text, encoding="utf-8")
