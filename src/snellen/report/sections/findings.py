"""What rules say of figures, read back into texts: the sentences of ``Figure`` and of the calibrated rule's findings.

In: a sentence as ``snellen.verification.rules`` writes them. Out: its parts, or None for one of another kind, which is
then quoted as it is. The figures stay as the rule printed them: in as many digits as tell a value from its limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from snellen.report.sections.parts import Name, Say, Text, text, word

METRICS = {
    "mean relative error without the largest 5 %": "trimmed_relative",
    "mean absolute error over the mean absolute value": "mean_ratio",
    "share of inputs whose largest entry is in the same place": "top1_match",
    "mean relative error": "mean_relative",
    "mean absolute error": "mean_abs",
    "largest absolute error": "max_abs",
    "cosine": "cosine",
    "MERE": "mere",
    "MARE": "mare",
}
COUNTED = {
    r"number of elements \(of (?P<close>\d+)\) outside the \w+ tolerances": "close_mismatched",
    r"number of elements \(of (?P<poly>\d+)\) off by more than 1e-5 both ways": "polygraphy_exceeded",
}
_WHAT = "|".join([*map(re.escape, METRICS), *COUNTED])
_FIGURE = re.compile(
    rf"(?P<place>.+): (?P<what>{_WHAT}) is (?P<value>\S+), (?P<side>within|outside) the limit "
    r"\((?P<bound>below|at most|above|at least) (?P<limit>\S+)\)"
)
_INPUT = re.compile(r"(\S+) of (.+)")
_TIMES = re.compile(r"(?P<kind>output|stage) (?P<name>.+) errs (?P<ratio>\S+) times its limit")
_BROKEN = re.compile(r"(?P<kind>output|stage) (?P<name>.+) is not finite")
_TOGGLE = re.compile(r"(?P<switches>.+) set to strict (?P<effect>explains it|does not explain it)")


@dataclass(frozen=True, slots=True)
class Judged:
    """One figure beside its limit, as a rule told it."""

    place: str
    metric: str  # a field of Metrics
    value: str
    within: bool
    bound: str
    limit: str

    @property
    def where(self) -> Say:
        """The output, or the input it is of."""
        found = _INPUT.fullmatch(self.place)
        return self.place if found is None else text("value.of_input", {"output": found[1], "image": found[2]})

    @property
    def demand(self) -> Text:
        """The limit alone: what of which metric."""
        values: dict[str, Say] = {"metric": word("metric", self.metric), "limit": self.limit}
        return text(f"bound.{self.bound.replace(' ', '_')}", values)


def judged(sentence: str) -> Judged | None:
    """Read a figure and its limit; None for a sentence of another kind."""
    found = _FIGURE.fullmatch(sentence)
    if found is None:
        return None
    metric = METRICS.get(found["what"]) or ("close_mismatched" if found["close"] else "polygraphy_exceeded")
    return Judged(found["place"], metric, found["value"], found["side"] == "within", found["bound"], found["limit"])


def finding(sentence: str) -> Text | None:
    """Return what a rule found as a text; None for a sentence that can only be quoted."""
    figure = judged(sentence)
    if figure is not None:
        values: dict[str, Say] = {"place": figure.where, "value": figure.value, "demand": figure.demand}
        values["metric"] = word("metric", figure.metric)
        return text("finding.within" if figure.within else "finding.outside", values)
    times = _TIMES.fullmatch(sentence)
    if times is not None:
        return text(f"finding.{times['kind']}.times", {"name": Name(times["name"]), "ratio": times["ratio"]})
    broken = _BROKEN.fullmatch(sentence)
    if broken is not None:
        return text(f"finding.{broken['kind']}.broken", {"name": Name(broken["name"])})
    toggle = _TOGGLE.fullmatch(sentence)
    if toggle is not None:
        explains = toggle["effect"] == "explains it"
        return text("finding.explains" if explains else "finding.explains_not", {"name": Name(toggle["switches"])})
    return None
