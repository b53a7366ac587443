"""A saved record of a trial, judged again: by the rule asked for, or by the one that it was judged by.

In: the path of a record, the name of a rule, a precision class. Out: the record with the verdict of today. Needs no
torch, no model and no device.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.cli import show
from snellen.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from snellen.records.verify import TrialRecord, Verdict

CALIBRATED = "calibrated"


def judged_again(path: str, rule: str | None, expect: str | None) -> TrialRecord:
    """Read a saved record and judge it.

    Raises UsageError for what is no record and for another class than it was made for, UnknownName for a rule or class.
    """
    from snellen.verification import rules

    record = _read(path)
    if expect is not None:
        known = list(dict.fromkeys(name for output in record.outputs for name in output.ladder))
        if expect not in known:
            todo = f"one of {', '.join(known)}" if known else "leave --expect out"
            raise UnknownName("precision class in this record", expect, known, todo=todo)
        if expect != record.expect:  # self-test, audit and switches of the record are of the class it was made for
            raise UsageError(
                f"the record was made for the class {record.expect}, and {expect} is expected now",
                expected=f"--expect {record.expect}, or none",
                todo=f"verify again with --expect {expect}; a golden in a file spares most of the time",
            )
    before = record.verdict
    chosen = rule or (before.rule if before else CALIBRATED)
    rules.check(chosen)
    if before is None:  # the trial did not trust itself; no rule can mend that
        show.say("the record holds no verdict, for its self-test failed; it gets none here")
        return record
    judged = rules.concluded(record, chosen)
    _compare(before, judged.verdict)
    return judged


def _compare(before: Verdict, after: Verdict | None) -> None:
    """Say so where the same rule concludes otherwise than it did: a figure, the class required or the rule changed."""
    if after and before.rule == after.rule and before.outcome != after.outcome:
        show.say(f"note: {after.rule} concluded {before.outcome} when the record was made, and {after.outcome} now")


def _read(path: str) -> TrialRecord:
    from snellen.records.trials import read_trial

    expected, todo = "a record that snellen verify wrote: -o trial.json", "check the path"
    if not path:
        raise UsageError("--from was given an empty path", expected=expected, todo="name the record")
    try:
        return read_trial(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path!r} cannot be read: {error.strerror}", expected=expected, todo=todo) from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise UsageError(f"{path!r} is no JSON: {error}", expected=expected, todo=todo) from error
