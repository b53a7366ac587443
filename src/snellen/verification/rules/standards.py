"""Rules that tools and vendors publish, with the limits they publish, applied to every output of a trial.

In: a trial record. Out: a verdict. ``assert-close`` and ``polygraphy`` hold the candidate against the CPU's float32
run, as their users do; ``cann`` against the golden, as its standard asks.
"""

from __future__ import annotations

from collections.abc import Callable

from snellen.records.verify import Metrics, TrialRecord, Verdict
from snellen.verification.rules.common import Figure, Rule, chosen, conclude, known

CLOSE, POLYGRAPHY, CANN = "assert-close", "polygraphy", "cann"

CANN_LIMITS = {"float32": 2.0**-13, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""On the mean relative error, by the dtype asked for; the largest may be ten times as much."""


def assert_close(record: TrialRecord) -> Verdict:
    """Judge as torch.testing.assert_close with its tolerances for the dtype asked for: no element may miss them."""
    return _no_element(CLOSE, record, f"outside the {record.dtype} tolerances", lambda m: m.close_mismatched)


def polygraphy(record: TrialRecord) -> Verdict:
    """Judge as Polygraphy by default: no element may be off by more than 1e-5 both absolutely and relatively."""
    return _no_element(POLYGRAPHY, record, "off by more than 1e-5 both ways", lambda m: m.polygraphy_exceeded)


def cann(record: TrialRecord) -> Verdict:
    """Judge as CANN's operator standard: MERE below T, MARE below 10 T, against the golden.

    Inconclusive for a dtype that the standard has no T for here.
    """
    limit = CANN_LIMITS.get(record.dtype)
    if limit is None:
        return conclude(CANN, record, (), nothing=f"no limit is known here for {record.dtype} in CANN's standard")
    figures = []
    for output in chosen(record, _all(record)):
        m = output.golden
        figures += [
            Figure(f"{output.name}: MERE", known(m, m.mere), "below", limit),
            Figure(f"{output.name}: MARE", known(m, m.mare), "below", 10 * limit),
        ]
    return conclude(CANN, record, figures)


def _no_element(rule: str, record: TrialRecord, what: str, read: Callable[[Metrics], float | None]) -> Verdict:
    """Judge by a count of elements, which must be 0 in every output."""
    figures = [
        Figure(
            f"{output.name}: number of elements (of {output.single.elements}) {what}",
            known(output.single, read(output.single)),
            "at most",
            0.0,
        )
        for output in chosen(record, _all(record))
    ]
    return conclude(rule, record, figures)


def _all(record: TrialRecord) -> tuple[str, ...]:
    return tuple(output.name for output in record.outputs)


RULES: dict[str, Rule] = {CLOSE: assert_close, POLYGRAPHY: polygraphy, CANN: cann}
