"""What contradicts in a report.json.

In: its document, and the folder it lies in. Out: findings of every check.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snellen.report.check import facts, folder, form, identity, numbers, rates, samples, verdicts
from snellen.report.check.found import Findings
from snellen.report.check.walk import Part


def check(document: Any, beside: Path | None = None) -> Findings:
    """Look at a document that should be a report; ``beside``: where the files that it names lie."""
    out, whole = Findings(), Part(document)
    record, changed = form.check(document, out)
    identity.check(whole, out)
    numbers.check(whole, out)
    samples.check(whole, out)
    rates.check(whole, out)
    facts.check(whole, out)
    verdicts.check(whole, record, out, changed=changed)
    folder.check(whole, beside, out)
    return out
