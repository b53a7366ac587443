"""How a verdict is reached: each rule reads a record and nothing else, so that any can be applied later.

``calibrated`` is snellen's own; the others are those of published reports and of other tools, word for word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from snellen.errors import UnknownName, UsageError
from snellen.records.verify import TrialRecord, Verdict
from snellen.verification.rules import cards, standards
from snellen.verification.rules.calibrated import judge as calibrated

Rule = Callable[[TrialRecord], Verdict]

RULES: dict[str, Rule] = {"calibrated": calibrated, **cards.RULES, **standards.RULES}


def check(name: str) -> None:
    """Raise UnknownName unless there is a rule of this name."""
    if name not in RULES:
        raise UnknownName("rule", name, RULES, todo=f"one of {', '.join(RULES)}")


def apply(name: str, record: TrialRecord) -> Verdict:
    """Judge a record by a rule; none judges a record whose self-test failed, or in which the CPU met itself.

    Raises UnknownName for the rule, UsageError for a record that expects a class it has no reference for.
    """
    check(name)
    if any(record.expect not in output.ladder for output in record.outputs):
        raise UsageError(
            f"the record expects the class {record.expect}, but holds no reference of it",
            expected=f"one of {', '.join(record.outputs[0].ladder)}",
            todo="verify again with this --expect",
        )
    void = _void(record)
    if void is not None:
        return Verdict(rule=name, outcome="inconclusive", because=void, expected=record.expect)
    return RULES[name](record)


def _void(record: TrialRecord) -> str | None:
    """Return why no rule can judge a record, or None."""
    status = {check.name: check.status for check in record.checks}
    untested = [name for name in ("selftest.golden", "selftest.perturbed") if status.get(name) in (None, "unknown")]
    if untested:
        return f"there is no verdict, for the record holds no self-test ({', '.join(untested)})"
    failed = next((c for c in record.checks if c.status == "fail" and c.name.startswith("selftest.")), None)
    if failed is not None:
        return f"there is no verdict, for the verifier failed its own test: {failed.because}"
    itself = next((c for c in record.checks if c.status == "fail" and c.name == "placement.independent"), None)
    return None if itself is None else f"nothing was shown: {itself.because}"


def concluded(record: TrialRecord, name: str) -> TrialRecord:
    """Return the record with the verdict of the rule asked for, and those of all rules beside it."""
    verdicts = tuple(apply(rule, record) for rule in RULES)
    return replace(record, verdict=next(v for v in verdicts if v.rule == name), verdicts=verdicts)
