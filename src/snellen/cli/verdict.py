"""What becomes of a trial at the command line: a report on stdout or stderr, a file, an exit code.

In: a trial's record and where it shall go. Out: text. A file takes the place of stdout, and the report becomes talk.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snellen.cli import show as terminal
from snellen.errors import Unavailable

if TYPE_CHECKING:
    from snellen.records.verify import TrialRecord, Verdict

ENDINGS = (".json", ".xml")
INCONCLUSIVE = 3
NARROWEST, WIDEST = 80, 120  # columns of a report
ELSEWHERE = 100  # columns where it goes to no terminal: a file reads the same whoever wrote it
COLOURS = {"pass": "green", "limited": "yellow", "fail": "red", "inconclusive": "magenta"}


def exit_code(verdict: Verdict | None, *, strict: bool) -> int:
    """Return 0 for pass and limited, 1 for fail, 3 for inconclusive or no verdict; ``strict`` makes limited 1."""
    if verdict is None:
        return INCONCLUSIVE
    return int(verdict.exit_code or (strict and verdict.outcome == "limited"))


def check(path: Path, endings: Collection[str]) -> None:
    """Refuse, before anything is run, a file of another ending or in a folder that cannot be written to.

    Raises UsageError for the ending, Unavailable where the disk refuses.
    """
    from snellen import draft

    draft.check(path, endings)
    draft.Draft(path).discard(lambda: None)


def show(record: TrialRecord, output: str | None, *, as_json: bool, quiet: bool, strict: bool = False) -> None:
    """Print the report, or the one JSON document, and then write the file that was asked for.

    With a file the report is talk, and ``quiet`` leaves it out; a verdict that is bad, or one on a simulated device, is
    still said, in one line. So it is where the file cannot be written after all: Unavailable is raised then.
    """
    if as_json:
        terminal.document(record.to_dict())
    elif output:
        terminal.say(_report(record).rstrip("\n"), quiet=quiet)
    else:
        click.echo(_report(record), nl=False)
    brief = quiet or as_json
    told = bool(as_json or output) and brief and _worth_a_line(record, output)
    if told:
        terminal.say(_line(record))
    if not output:
        return
    try:
        _save(record, Path(output), strict=strict)
    except Unavailable:
        if brief and not told:
            terminal.say(_line(record))
        raise
    terminal.say(f"written to {output}", quiet=quiet)


def _worth_a_line(record: TrialRecord, output: str | None) -> bool:
    """Tell whether the outcome is said to somebody who wants no report."""
    return bool(exit_code(record.verdict, strict=True) or (record.candidate.simulated and output))


def _line(record: TrialRecord) -> str:
    """Return the verdict in one line; one on a simulated device says so first."""
    verdict = record.verdict
    said = f"{verdict.outcome}: {verdict.because}" if verdict else "no verdict: see the self-test"
    return f"SIMULATED: {said}" if record.candidate.simulated else said


def _report(record: TrialRecord) -> str:
    """Return the report as wide as the terminal, the outcome in colour; click takes it out where there is none."""
    from snellen.report.terminal import outcome, trial

    columns = shutil.get_terminal_size((ELSEWHERE, 24)).columns if sys.stdout.isatty() else ELSEWHERE
    text = trial(record, min(max(columns, NARROWEST), WIDEST))
    if record.verdict is None:
        return text
    line = next(line for line in text.splitlines() if line.startswith("verdict "))
    colour = COLOURS[record.verdict.outcome]
    word = outcome(record.verdict)
    return text.replace(line, line.replace(word, click.style(word, fg=colour, bold=True), 1), 1)


def _save(record: TrialRecord, path: Path, *, strict: bool) -> None:
    """Write the record as JSON, or as JUnit XML, by the ending."""
    from snellen import draft
    from snellen.report import junit

    if path.suffix.lower() == ".xml":
        text = junit.trial(record, strict=strict)
    else:
        text = json.dumps(record.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with draft.writing(path), draft.drafted(path) as file:
        file.write_text(text, encoding="utf-8")
