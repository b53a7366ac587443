"""The calibrated verdict in words: which precision was met, where it shows, what explains it, what to do."""

from __future__ import annotations

from snellen.records.precision import BITS
from snellen.records.verify import StageRecord, TrialRecord
from snellen.verification.ratios import by_size, of_outputs, of_stages, over

ORDER = tuple(BITS)

FEW = 4


def met(record: TrialRecord) -> str | None:
    """Name the precision class that was met: of the stages' roundings where they are known, else by size.

    None where no class explains the errors.
    """
    known = [stage.precision for stage in record.stages if stage.precision is not None]
    if not known:
        return by_size(record)
    classes = [class_of(words) for words in known]
    if None in classes:  # where a switch explains what no emulation does, the size of the errors names the class
        return by_size(record) if record.cause else None
    told = max((c for c in classes if c is not None), key=ORDER.index)
    # Where every stage is right and an output is not, the stages do not tell the class that was met.
    return by_size(record) if told == "float32" else told


def class_of(words: str) -> str | None:
    """Return the class that a rounding's words begin with; None for "unexplained"."""
    first = words.replace(",", " ").split()[0]
    return first if first in ORDER else None


def beyond(record: TrialRecord, worst: str, culprit: str | None) -> str:
    """Say what lies beyond its limit, in one sentence a person can act on."""
    beyond_limit = {r.what for r in of_stages(record) if not r.passes}
    lowered = [s for s in record.stages if s.name in beyond_limit and s.precision not in (None, "float32")]
    if any(check.name == "behaviour.repeats" and check.status == "unknown" for check in record.checks):
        return _transient(worst, culprit)
    if lowered and all(class_of(stage.precision or "") for stage in lowered):
        return _lowered(record, lowered)
    if record.cause is not None:
        return _switched(record, culprit or worst)
    if culprit is not None and not any(stage.isolated for stage in record.stages):
        return _drifting(record, worst, culprit)
    return _fault(record, culprit) if culprit is not None else _behind(record, worst)


def _behind(record: TrialRecord, worst: str) -> str:
    """Say of outputs that no stage explains where to look."""
    if not any(stage.isolated for stage in record.stages):
        return _sized(record, worst)
    later = _later(record, worst)
    if later:
        return f"every stage is right, but {worst} is not for {later}: look at how batches after the first are run"
    return f"every stage is right, but {worst} is not: the fault lies behind the last stage, in how outputs are taken"


def where(record: TrialRecord) -> str:
    """Say how far the candidate was looked at."""
    count = sum(stage.isolated is not None for stage in record.stages)
    free = sum(stage.cumulative is not None for stage in record.stages)
    if not count and free:
        return f"outputs only; {free} stages were watched in a second build, where errors pile up"
    if not count:
        return "outputs only, for it shows no stages"
    return f"all {count} stages are within their limits" if count > 1 else "the one stage it shows is within its limit"


def _lowered(record: TrialRecord, lowered: list[StageRecord]) -> str:
    """Say which lower precision explains the errors, where it is first seen, and what switched it on."""
    words = list(dict.fromkeys(str(stage.precision) for stage in lowered))
    worst = max((class_of(word) or "float32" for word in words), key=ORDER.index)
    asked = f"asked for {record.dtype}" if record.expect == record.dtype else f"expected {record.expect}"
    first = lowered[0].name
    return (
        f"{asked}; behaves like {worst} (about {BITS[worst]} bits), first visible at {first} ({', '.join(words)}); "
        f"{_others(record, lowered)}: {_cause(record)}"
    )


def _transient(worst: str, culprit: str | None) -> str:
    """Say that the error was there once and gone when the run was repeated."""
    at = f"{culprit} (fed the golden's input)" if culprit else worst
    return f"{at} was beyond its limit in one run and within it when repeated: look for what changes from run to run"


def _switched(record: TrialRecord, first: str) -> str:
    """Say which switch explains the errors, where no emulation rounds quite as the device does."""
    name = by_size(record)
    like = f"behaves like {name} (about {BITS[name]} bits)" if name else "is further off than any class"
    return f"asked for {record.dtype}; {like}, first visible at {first}: {_cause(record)}"


def _others(record: TrialRecord, lowered: list[StageRecord]) -> str:
    rest = [stage for stage in record.stages if stage not in lowered]
    after = record.stages[record.stages.index(lowered[0]) + 1 :]
    if len(lowered) == 1:
        return "every stage after it adds nothing"
    if len(lowered) <= FEW:
        return f"so do {', '.join(stage.name for stage in lowered[1:])}"
    return f"so do {len(lowered) - 1} of the {len(after)} stages after it" if rest else "so does every stage"


def _cause(record: TrialRecord) -> str:
    if record.cause is not None:
        several = " and " in record.cause
        return f"{record.cause} {'are' if several else 'is'} the cause, for set to strict the run passes"
    if record.toggles:
        return "no precision switch explains it, for the device lowers it with all of them strict"
    loose = [s.name for s in record.candidate.switches if s.value != s.strict]
    if loose:
        return f"{', '.join(loose)} not strict, which was not tried: verify again with this class expected"
    return "every precision switch is strict already, so the runtime or the device lowers it by itself"


def _fault(record: TrialRecord, culprit: str) -> str:
    """Say which stage errs, by how much, and that no rounding explains it."""
    alone = {r.what: r for r in of_stages(record)}
    found = alone[culprit].value if culprit in alone else 0.0
    others = [name for name, r in alone.items() if name != culprit and not r.passes]
    if found is None:
        return f"{culprit} is not finite although it was fed the golden's input: look there"
    if found <= 1:
        return f"{culprit} is the first stage to drift further than the reference; fed the golden's input it is right"
    more = f"; so do {len(others)} other stages" if others else "; every other stage is right"
    rounding = "" if record.dtype != "float32" else ", and no rounding explains it"
    return (
        f"{culprit}, fed the golden's input, errs {found:.3g} times its limit{rounding}{more}: look for a fault there"
    )


def _drifting(record: TrialRecord, worst: str, culprit: str) -> str:
    """Say where errors first leave the reference's, of stages that ran freely and could not be fed the golden's."""
    stage = next(stage for stage in record.stages if stage.name == culprit)
    assert stage.cumulative is not None  # it drifts
    found = over(culprit, stage.cumulative, stage.reference_cumulative, stage.rounding, record.expect).value
    times = "is not finite" if found is None else f"is {found:.3g} times its limit"
    at = f"{culprit} is the first stage whose error, piled up as the network ran freely, {times}"
    if by_size(record) is not None:
        return f"{_sized(record, worst)}; {at}"
    return f"{at}; it cannot be fed the golden's input, so look for a fault there or just before it"


def _later(record: TrialRecord, worst: str) -> str:
    """Return the inputs that are wrong, where all of them are in batches after the first, whose stages were seen."""
    output = next(o for o in record.outputs if o.name == worst)
    first = record.environment.get("batch", len(output.images))
    allowed = next(r.allowed.frobenius for r in of_outputs(record) if r.what == worst) or 0.0
    wrong = [
        index
        for index, image in enumerate(output.images)
        if image.relative_frobenius is None or image.relative_frobenius > allowed
    ]
    if not wrong or wrong[0] < first:
        return ""
    return f"inputs {wrong[0] + 1} to {wrong[-1] + 1}" if len(wrong) > 1 else f"input {wrong[0] + 1}"


def _sized(record: TrialRecord, worst: str) -> str:
    """Say by size alone, where no stages are shown, which class the error is of."""
    name = by_size(record)
    if name is None:
        return f"{worst} lies further from float64 than any precision class explains: look for a fault"
    return (
        f"asked for {record.dtype}; {worst} errs more than {record.expect}, at most as {name} would "
        f"(about {BITS[name]} bits): {_cause(record)}; "
        "without stages a fault of that size cannot be told from it"
    )
