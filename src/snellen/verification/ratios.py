"""Every judged error over its calibrated limit, read from a record: what the rule decides by and reports show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snellen.records.verify import Error, OutputRecord, TrialRecord
from snellen.verification.limits import FACTOR, limit, ratio, shown


@dataclass(frozen=True, slots=True)
class Ratio:
    """One error over its limit; ``value`` is None where the error is not finite."""

    what: str
    value: float | None
    error: Error
    reference: Error
    allowed: Error

    @property
    def passes(self) -> bool:
        """Whether it is within its limit."""
        return self.value is not None and self.value <= 1

    @property
    def size(self) -> float:
        """Its value, for putting ratios in order."""
        return float("inf") if self.value is None else self.value


def of_outputs(record: TrialRecord, precision: str | None = None) -> list[Ratio]:
    """Return every output's error over its limit, for the class required or another; none without a reference."""
    chosen = precision or record.expect
    if chosen not in FACTOR:
        return []
    return [_of_output(output, chosen) for output in record.outputs if chosen in output.ladder]


def of_stages(record: TrialRecord) -> list[Ratio]:
    """Return every stage's isolated error over its limit, in order; none where there is no reference."""
    if record.expect not in FACTOR or any(record.expect not in stage.ladder for stage in record.stages):
        return []
    return list(_of_stages(record))


def by_size(record: TrialRecord) -> str | None:
    """Return the most exact class within whose limits all outputs lie; None where there is none."""
    classes = record.outputs[0].ladder if record.outputs else ()
    return next((name for name in classes if all(r.passes for r in of_outputs(record, name))), None)


def _of_output(output: OutputRecord, precision: str) -> Ratio:
    error = Error(frobenius=output.golden.relative_frobenius, token=output.golden.worst_token)
    return over(output.name, error, output.ladder[precision], output.rounding, precision)


def _of_stages(record: TrialRecord) -> Iterator[Ratio]:
    given = ((stage.name, stage.ladder[record.expect], stage.isolated is not None) for stage in record.stages)
    references = shown(given)
    for stage in record.stages:
        if stage.isolated is not None:
            yield over(stage.name, stage.isolated, references[stage.name], stage.rounding, record.expect)


def over(what: str, error: Error, reference: Error, rounding: Error, precision: str) -> Ratio:
    """Put an error over the limit that a reference's error and a rounding set."""
    allowed = limit(reference, rounding, precision)
    return Ratio(what, ratio(error, allowed), error, reference, allowed)
