"""The rules of five published reports, each as its report states it, applied to any trial.

In: a trial record. Out: a verdict. Each judges the candidate against the CPU's float32 run, for that is what those
reports compare, and looks at the outputs that its report looks at. None is calibrated: docs/metrics.md says what each
is blind to.
"""

from __future__ import annotations

from collections.abc import Callable

from snellen.records.verify import ImageMetrics, OutputRecord, TrialRecord, Verdict
from snellen.verification.rules.common import TOKENS, Bound, Figure, Rule, chosen, conclude, known

TRIMMED, ABSOLUTE, TENSOR, TOP1, SEEDS = "trimmed-1pct", "abs-1e-2", "tensor-1pct", "relative-top1", "cosine-seeds"

PERCENT = 0.01
ALIKE = 0.999

REPORT_5_INPUTS = 5

Read = Callable[[ImageMetrics], float | None]


def trimmed_1pct(record: TrialRecord) -> Verdict:
    """Judge as report 1: trimmed relative error < 1 %, cosine > 0.999, mean absolute error < 0.01, each output."""
    figures = []
    for output in chosen(record, (*TOKENS, "pooled")):
        name, m = output.name, output.single
        trimmed = known(m, m.trimmed_relative)
        figures += [
            Figure(f"{name}: mean relative error without the largest 5 %", trimmed, "below", PERCENT),
            Figure(f"{name}: cosine", m.cosine, "above", ALIKE),
            Figure(f"{name}: mean absolute error", known(m, m.mean_abs), "below", 0.01),
        ]
    return conclude(TRIMMED, record, figures)


def abs_1e_2(record: TrialRecord) -> Verdict:
    """Judge as report 2: largest and mean absolute error within 0.01, each output."""
    figures = []
    for output in chosen(record, (*TOKENS, "pooled")):
        name, m = output.name, output.single
        figures += [
            Figure(f"{name}: largest absolute error", known(m, m.max_abs), "at most", 0.01),
            Figure(f"{name}: mean absolute error", known(m, m.mean_abs), "at most", 0.01),
        ]
    return conclude(ABSOLUTE, record, figures)


def tensor_1pct(record: TrialRecord) -> Verdict:
    """Judge as report 3: mean absolute error below 1 % of the mean absolute value, each output."""
    figures = [
        Figure(
            f"{output.name}: mean absolute error over the mean absolute value",
            known(output.single, output.single.mean_ratio),
            "below",
            PERCENT,
        )
        for output in chosen(record, (*TOKENS, "pooled"))
    ]
    return conclude(TENSOR, record, figures)


def relative_top1(record: TrialRecord) -> Verdict:
    """Judge as report 4: mean relative error < 1 % and the largest entry in the same place for every input.

    Of the logits, or of the pooled vector where there are no logits.
    """
    outputs = list(chosen(record, ("logits",)))
    notes = () if outputs else ("no logits: the largest entry of the pooled vector stands for the class",)
    figures = []
    for output in outputs or chosen(record, ("pooled",)):
        name, m = output.name, output.single
        what = f"{name}: share of inputs whose largest entry is in the same place"
        absent = "the output is not [inputs, entries], or the reference is not finite there"
        figures += [
            Figure(what, m.top1_match, "at least", 1.0, absent),
            Figure(f"{name}: mean relative error", known(m, m.mean_relative), "below", PERCENT),
        ]
    return conclude(TOP1, record, figures, notes)


def cosine_seeds(record: TrialRecord) -> Verdict:
    """Judge as report 5: largest and mean absolute error below 0.01 and cosine above 0.99, every input alone."""
    figures = []
    for output in chosen(record, TOKENS):
        if output.images:
            figures += [
                _worst(record, output, "largest absolute error", lambda image: known(image, image.max_abs)),
                _worst(record, output, "mean absolute error", lambda image: known(image, image.mean_abs)),
                _worst(record, output, "cosine", lambda image: image.cosine),
            ]
    seeds, names = record.inputs.seeds, record.inputs.names
    shown = f"{len(seeds)} seeded inputs" if seeds else f"{len(names)} inputs that are not seeded"
    notes = () if len(seeds) == REPORT_5_INPUTS else (f"report 5 shows five seeded inputs; this run shows {shown}",)
    return conclude(SEEDS, record, figures, notes)


def _worst(record: TrialRecord, output: OutputRecord, what: str, read: Read) -> Figure:
    """Return this figure of the input that is worst in it."""
    names = record.inputs.names
    figures = []
    for at, image in enumerate(output.images):
        shown = names[at] if len(names) == len(output.images) else f"input {at}"
        bound: Bound = "above" if what == "cosine" else "below"
        limit = 1 - PERCENT if what == "cosine" else PERCENT
        figures.append(Figure(f"{output.name} of {shown}: {what}", read(image), bound, limit))
    return max(figures, key=lambda figure: figure.weight)


RULES: dict[str, Rule] = {
    TRIMMED: trimmed_1pct,
    ABSOLUTE: abs_1e_2,
    TENSOR: tensor_1pct,
    TOP1: relative_top1,
    SEEDS: cosine_seeds,
}
