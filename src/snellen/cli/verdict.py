"""What becomes of a trial at the command line: a report on stdout or stderr, a file, an exit code.

In: a trial's record and where it shall go. Out: text. A file takes the place of stdout, and the report becomes talk.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snellen.cli import show as terminal

if TYPE_CHECKING:
    from snellen.records.verify import TrialRecord, Verdict

ENDINGS = (".json", ".xml")
INCONCLUSIVE = 3
NARROWEST, WIDEST = 80, 120  # columns of a report
COLOURS = {"pass": "green", "limited": "yellow", "fail": "red", "inconclusive": "magenta"}


def exit_code(verdict: Verdict | None, *, strict: bool) -> int:
    """Return 0 for pass and limited, 1 for fail, 3 for inconclusive or no verdict; ``strict`` makes limited 1."""
    if verdict is None:
        return INCONCLUSIVE
    return int(verdict.exit_code or (strict and verdict.outcome == "limited"))


def show(record: TrialRecord, output: str | None, *, as_json: bool, quiet: bool) -> None:
    """Print the report, or the one JSON document, and write the file that was asked for.

    With a file the report is talk, and ``quiet`` leaves it out; a verdict that is bad is still said, in one line.
    Raises Unavailable where the file cannot be written.
    """
    if output:
        _save(record, Path(output))
    if as_json:
        terminal.document(record.to_dict())
    elif output:
        terminal.say(_report(record).rstrip("\n"), quiet=quiet)
    else:
        click.echo(_report(record), nl=False)
    if output:
        terminal.say(f"written to {output}", quiet=quiet)
    if (as_json or output) and (quiet or as_json) and exit_code(record.verdict, strict=True):
        verdict = record.verdict
        terminal.say(f"{verdict.outcome}: {verdict.because}" if verdict else "no verdict: see the self-test")


def _report(record: TrialRecord) -> str:
    """Return the report as wide as the terminal, the outcome in colour; click takes it out where there is none."""
    from snellen.report.terminal import outcome, trial

    text = trial(record, min(max(shutil.get_terminal_size((100, 24)).columns, NARROWEST), WIDEST))
    if record.verdict is None:
        return text
    line = next(line for line in text.splitlines() if line.startswith("verdict "))
    colour = COLOURS[record.verdict.outcome]
    word = outcome(record.verdict)
    return text.replace(line, line.replace(word, click.style(word, fg=colour, bold=True), 1), 1)


def _save(record: TrialRecord, path: Path) -> None:
    """Write the record as JSON, or as JUnit XML, by the ending."""
    from snellen import draft
    from snellen.report import junit

    if path.suffix.lower() == ".xml":
        text = junit.trial(record)
    else:
        text = json.dumps(record.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with draft.writing(path), draft.drafted(path) as file:
        file.write_text(text, encoding="utf-8")
