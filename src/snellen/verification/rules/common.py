"""How a rule of fixed limits comes to its verdict; what the rules share, so that each states its limits and no more.

In: figures of a trial record, each with its limit. Out: a verdict. Nothing here needs torch: a saved record is judged
on any machine. The order is fixed: numbers that are not finite fail first, a missed limit fails, a figure that could
not be had leaves the verdict open, and nothing compared is never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from snellen.records.verify import ImageMetrics, Metrics, OutputRecord, TrialRecord, Verdict

Rule = Callable[[TrialRecord], Verdict]

Bound = Literal["below", "at most", "above", "at least"]

TOKENS = ("cls", "registers", "patches")
"""What a report calls the tokens, or the last hidden state, in three groups."""

NOTHING = "nothing was compared: the record holds none of the outputs that this rule looks at, or no numbers in them"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure beside its limit; infinite where what it is divided by is zero, None where it could not be had."""

    what: str
    value: float | None
    bound: Bound
    limit: float
    absent: str = "the reference itself is not finite there"  # why there is no value, where there is none

    @property
    def passes(self) -> bool:
        """Whether the limit is kept."""
        if self.value is None or not math.isfinite(self.value):
            return False
        if self.bound in ("below", "above"):
            return self.value < self.limit if self.bound == "below" else self.value > self.limit
        return self.value <= self.limit if self.bound == "at most" else self.value >= self.limit

    @property
    def missed(self) -> bool:
        """Whether there is a value, and the limit is not kept."""
        return self.value is not None and not self.passes

    @property
    def ratio(self) -> float | None:
        """The figure over its limit; for a cosine both are distances from 1. None where the limit allows nothing."""
        if self.value is None or not math.isfinite(self.value):
            return None
        rising = self.bound in ("above", "at least")
        value, limit = (1 - self.value, 1 - self.limit) if rising else (self.value, self.limit)
        return value / limit if limit else None

    @property
    def sentence(self) -> str:
        """The figure and its limit, in as many digits as it takes to tell them apart."""
        if self.value is None:
            return f"{self.what} could not be had: {self.absent}"
        value, limit = apart(self.value, self.limit)
        return f"{self.what} is {value}, {'within' if self.passes else 'outside'} the limit ({self.bound} {limit})"

    @property
    def weight(self) -> tuple[bool, bool, float]:
        """What figures are ranked by: those that miss their limit, then those without a value, then the nearest."""
        ratio = self.ratio
        return self.missed, self.value is None, ratio if ratio is not None else math.inf if self.missed else 0.0


def apart(value: float, limit: float) -> tuple[str, str]:
    """Print two numbers in the fewest digits, four at least, that tell them apart."""
    for digits in range(4, 18):
        shown = _print(value, digits), _print(limit, digits)
        if shown[0] != shown[1] or value == limit:
            return shown
    return repr(value), repr(limit)


def _print(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "infinite"
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else f"{value:.{digits}g}"


def known(metrics: Metrics | ImageMetrics, value: float | None) -> float | None:
    """Read a figure: None where the tensors hold numbers that are not finite, infinite where only a divisor is zero."""
    return value if value is not None else None if metrics.max_abs is None else math.inf


def chosen(record: TrialRecord, names: Sequence[str]) -> Iterator[OutputRecord]:
    """Go through the outputs of these names that hold any numbers."""
    return (output for output in record.outputs if output.name in names and output.single.elements)


def conclude(
    rule: str, record: TrialRecord, figures: Iterable[Figure], notes: tuple[str, ...] = (), nothing: str = NOTHING
) -> Verdict:
    """Judge figures against their limits.

    ``notes`` say what a reader must know to take the verdict for what it is; they follow the findings. ``nothing`` is
    the reason where there are no figures.
    """
    ranked = sorted(figures, key=lambda figure: figure.weight, reverse=True)
    broken = tuple(_nonfinite(record))
    if broken:
        return Verdict(rule=rule, outcome="fail", because=broken[0], findings=(*broken, *notes))
    if not ranked:
        return Verdict(rule=rule, outcome="inconclusive", because=nothing, findings=notes)
    missed = [figure for figure in ranked if figure.missed]
    unknown = [figure for figure in ranked if figure.value is None]
    speaking = missed or unknown or ranked
    outcome: Literal["pass", "fail", "inconclusive"] = "fail" if missed else "inconclusive" if unknown else "pass"
    return Verdict(
        rule=rule,
        outcome=outcome,
        because=speaking[0].sentence,
        ratio=None if outcome == "inconclusive" else speaking[0].ratio,
        findings=(*(figure.sentence for figure in speaking), *notes),
    )


def _nonfinite(record: TrialRecord) -> Iterator[str]:
    """Name the outputs that are not finite where what they are held against is, the worst first."""
    counts = {output.name: _count(output) for output in record.outputs}
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        if count:
            noun = "number is" if count == 1 else "numbers are"
            yield f"{name}: {count} {noun} NaN or infinite where the reference is not, or the other way round"


def _count(output: OutputRecord) -> int:
    images = sum(each.nonfinite for each in output.images)
    return max(output.single.nonfinite, output.golden.nonfinite, images)
