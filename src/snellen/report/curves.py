"""The figures of a trial as tables and plots: its outputs, where they lie on the ladder, and the drift over stages.

In: a trial's record. Out: lines. The candidate is ``c``, the trusted run ``r``, the rungs of the ladder are numbered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snellen.records.verify import Error, OutputRecord, StageRecord, TrialRecord
from snellen.report.plots import LogAxis
from snellen.report.text import GAP, Column, cells, clip, cosine, figure, shape, table, wrapped
from snellen.verification.ratios import of_outputs, of_stages

CANDIDATE, REFERENCE = "c", "r"
HEADS = (("runs freely", "freely"), ("fed the golden input", "fed the golden", "fed"))  # longer ones before shorter
NAMES = 18  # cells for the name of a stage or output
SMALLEST = 8  # cells of a plot
ROOMY = 100  # a terminal this wide gets all columns

OUTPUTS = (
    Column(header="output"),
    Column(header="shape", right=True, goes=1),
    Column(header="error", right=True),
    Column(header="trusted", right=True),  # in the class required, whose limit the next column is about
    Column(header="/ limit", right=True),
    Column(header="token", right=True),
    Column(header="cosine", right=True),
    Column(header="max abs", right=True),
)
LEGEND = (
    "error: |candidate - golden| / |golden|; trusted: the same of the trusted run on the CPU in {}; token: the error "
    "of the worst token; / limit: the larger of the two over its calibrated limit, missed above 1"
)


def outputs(record: TrialRecord, width: int) -> Iterator[str]:
    """Yield the table of outputs, what is not finite in them, and the input that fares worst."""
    if not record.outputs:
        yield "  none: nothing was compared"
        return
    yield from table(OUTPUTS, (_output(record, output) for output in record.outputs), width, indent="  ")
    yield from wrapped(LEGEND.format(_classes(record, record.outputs)), width, first="  ")
    for output in record.outputs:
        if output.golden.nonfinite:
            said = f"{output.golden.nonfinite} of {output.golden.elements} numbers are not finite where they should be"
            yield from wrapped(f"{output.name}: {said}, or the other way round", width, first="  ! ")
    worst = worst_output(record)
    if worst is not None:
        yield from _worst_input(record, worst, width)


def over_limit(record: TrialRecord, output: OutputRecord) -> float | None:
    """Return an output's error over its calibrated limit for the class required; None where there is no such ratio."""
    return next((r.value for r in of_outputs(record) if r.what == output.name), None)


def stage_over_limit(record: TrialRecord, stage: StageRecord) -> float | None:
    """Return the same for a stage that is fed the golden's input."""
    return next((r.value for r in of_stages(record) if r.what == stage.name), None)


def trusted(record: TrialRecord, part: OutputRecord | StageRecord) -> tuple[str, Error]:
    """Return the run that judges an output, or a stage fed the golden's input: its precision class and its error.

    It is that of the class required; where the record holds none, that of the dtype asked for.
    """
    if record.expect in part.ladder:
        return record.expect, part.ladder[record.expect]
    return record.dtype, part.reference if isinstance(part, OutputRecord) else part.reference_isolated


def worst_output(record: TrialRecord) -> OutputRecord | None:
    """Return the output furthest above its limit, one that is not finite before all others; empty ones never."""

    def badness(output: OutputRecord) -> float:
        over = over_limit(record, output)
        return float("inf") if output.golden.relative_frobenius is None else over or 0.0

    return max((output for output in record.outputs if output.golden.elements), key=badness, default=None)


def _output(record: TrialRecord, output: OutputRecord) -> tuple[str, ...]:
    golden, (_, reference) = output.golden, trusted(record, output)
    none = "empty" if not golden.elements else "not finite" if golden.nonfinite else "-"
    return (
        clip(output.name, NAMES),
        shape(output.shape),
        none if golden.relative_frobenius is None else figure(golden.relative_frobenius),
        figure(reference.frobenius),
        figure(over_limit(record, output)),
        figure(golden.worst_token),
        cosine(golden.cosine),
        figure(golden.max_abs),
    )


def _worst_input(record: TrialRecord, output: OutputRecord, width: int) -> Iterator[str]:
    """Say which input alone has the largest error, where there are several."""
    if len(output.images) < 2:
        return
    errors = [float("inf") if one.relative_frobenius is None else one.relative_frobenius for one in output.images]
    number = errors.index(max(errors))
    names = record.inputs.names
    name = names[number] if number < len(names) else f"input {number}"
    error = output.images[number].relative_frobenius
    said = "not finite" if error is None else f"error {figure(error)} against the CPU's float32 run"
    yield from wrapped(f"worst input of {output.name}: {name}, {said}", width, first="  ")


def ladder(record: TrialRecord, width: int) -> Iterator[str]:
    """Yield a line for each output: the candidate among the trusted runs of every precision class."""
    shown = [output for output in record.outputs if output.golden.elements and output.ladder]
    worst = worst_output(record)
    if not shown or worst is None:
        yield "  none: there is no trusted run to stand beside"
        return
    names = min(max(cells(output.name) for output in shown), NAMES)
    found = [rung.frobenius for output in shown for rung in output.ladder.values()]
    axis = LogAxis.over(
        [*found, *(output.golden.relative_frobenius for output in shown)], max(width - names - 4, SMALLEST)
    )
    start = " " * (names + 4)
    yield start + axis.labels()
    yield start + axis.ruler()
    for output in shown:
        marks = {str(number): rung.frobenius for number, rung in enumerate(output.ladder.values(), 1)}
        yield f"  {_name(output.name, names)}{GAP}{axis.row({**marks, CANDIDATE: output.golden.relative_frobenius})}"
    figures = worst if worst.ladder else shown[0]
    rungs = [f"{n} {name} {figure(rung.frobenius)}" for n, (name, rung) in enumerate(figures.ladder.items(), 1)]
    rungs.append(f"c candidate {_error(figures.golden.relative_frobenius)}")
    yield from wrapped(f"{figures.name}: {'; '.join(rungs)}", width, first="  ")


def drift(record: TrialRecord, width: int) -> Iterator[str]:
    """Yield two plots beside each other, a line for each stage: running freely, and fed the golden's input."""
    note = "" if record.candidate.stages else record.candidate.note  # why there are none
    if not record.stages:
        yield from wrapped(f"none were compared{': ' + note if note else ''}", width, first="  ")
        return
    if note:
        yield from wrapped(note, width, first="  ")
    columns = _figures(record, width)
    names = min(max(cells(stage.name) for stage in record.stages), NAMES)
    sizes = [max(map(cells, column)) for column in columns]
    room = max((width - names - 4 - sum(sizes) - len(GAP) * (len(sizes) + 1)) // 2, SMALLEST)
    axis = LogAxis.over(_errors(record), room)
    margin = " " * (names + 4)
    heads = [f"{_fitting(head, room):<{room}}" for head in HEADS]
    yield margin + GAP.join(heads + _padded([c[0] for c in columns], sizes))
    yield margin + GAP.join([f"{axis.labels():<{room}}"] * 2).rstrip()
    yield margin + GAP.join([axis.ruler()] * 2)
    culprit = record.verdict.culprit if record.verdict else None
    for number, stage in enumerate(record.stages, 1):
        start = f"{'>' if stage.name == culprit else ' '} {_name(stage.name, names)}"
        plots = [
            axis.row(_marks(stage.cumulative, stage.reference_cumulative)),
            axis.row(_marks(stage.isolated, trusted(record, stage)[1])),
        ]
        yield GAP.join([start, *plots, *_padded([c[number] for c in columns], sizes)]).rstrip()
    yield from wrapped(_legend(record, culprit), width, first="  ")


def _fitting(names: Sequence[str], room: int) -> str:
    """Return the first name that fits, the longest standing first; the last one cut where none does."""
    return next((name for name in names if cells(name) <= room), clip(names[-1], room))


def _legend(record: TrialRecord, culprit: str | None) -> str:
    free, fed = record.dtype, _classes(record, record.stages)
    runs = free if free == fed else f"{free} (runs freely) and {fed} (fed the golden input)"
    parts = [f"c candidate, r trusted run on the CPU in {runs}; isolated: error of the stage alone"]
    if all(stage.isolated is None and stage.cumulative is None for stage in record.stages):
        parts = [f"r trusted run on the CPU in {runs}; the candidate shows no stages"]
    if culprit in {stage.name for stage in record.stages}:
        parts.append(f"> first culprit: {culprit}")
    return "; ".join(parts)


def _figures(record: TrialRecord, width: int) -> list[list[str]]:
    """Return the columns of figures beside the plots, each with its header first."""
    isolated = ["-" if stage.isolated is None else _error(stage.isolated.frobenius) for stage in record.stages]
    columns = [["isolated", *isolated]]
    if width >= ROOMY:
        columns.append(["/ limit", *(figure(stage_over_limit(record, stage)) for stage in record.stages)])
    if any(stage.precision for stage in record.stages):
        columns.append(["class", *(stage.precision or "-" for stage in record.stages)])
    return columns


def _error(size: float | None) -> str:
    return "not finite" if size is None else figure(size)


def _padded(texts: Sequence[str], sizes: Sequence[int]) -> list[str]:
    return [f"{text:>{size}}" for text, size in zip(texts, sizes, strict=True)]


def _marks(candidate: Error | None, reference: Error) -> dict[str, float | None]:
    marks = {REFERENCE: reference.frobenius}
    return marks if candidate is None else {**marks, CANDIDATE: candidate.frobenius}


def _classes(record: TrialRecord, parts: Sequence[OutputRecord] | Sequence[StageRecord]) -> str:
    """Name the class of the runs that judge these parts; one class for all of them, in any record of a trial."""
    return " or ".join(dict.fromkeys(trusted(record, part)[0] for part in parts))


def _errors(record: TrialRecord) -> Iterator[float | None]:
    for stage in record.stages:
        fed = trusted(record, stage)[1]
        for error in (stage.cumulative, stage.isolated, stage.reference_cumulative, fed):
            yield None if error is None else error.frobenius


def _name(name: str, size: int) -> str:
    short = clip(name, size)
    return short + " " * (size - cells(short))
