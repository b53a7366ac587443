"""Notes of a card: each applies because of a fact in the record, and never otherwise."""

from dataclasses import replace
from typing import Any

import pytest

import report_records
import trial_records
from card_cases import changed
from card_parts import blocks, words
from report_records import cpu_example, example
from snellen.records.report import ReportRecord
from snellen.report.card_markdown import markdown
from snellen.report.phrases import (
    LANGS,
    en_notes,
    phrase,
)
from snellen.report.sections.notes import NOTES, notes


def _config(**changes: Any) -> ReportRecord:
    return changed(example(), "facts", config={**example().facts.config, **changes})


def _point(**changes: Any) -> ReportRecord:
    points = (replace(example().bench.points[0], **changes), *example().bench.points[1:])
    return changed(example(), "bench", points=points)


def _checked(name: str, status: str) -> ReportRecord:
    trial = example().trial
    kept = tuple(check for check in trial.checks if check.name != name)
    found = trial_records.Check(name=name, status=status, because="said so")  # type: ignore[arg-type]
    return example(trial=replace(trial, checks=(*kept, found)))


def _strict() -> ReportRecord:
    trial = example().trial
    switches = tuple(replace(switch, value=switch.strict) for switch in trial.candidate.switches)
    return example(trial=replace(trial, candidate=replace(trial.candidate, switches=switches)))


def _loose_matmul() -> ReportRecord:
    trial = example().trial
    switches = tuple(replace(switch, value="True") for switch in trial.candidate.switches)
    return example(trial=replace(trial, candidate=replace(trial.candidate, switches=switches)))


def _stack(**stack: str) -> ReportRecord:
    return changed(example(), "environment", stack=stack)


def _cuda() -> ReportRecord:
    trial = example().trial
    return example(trial=replace(trial, candidate=replace(trial.candidate, device={"name": "cuda:0", "kind": "cuda"})))


def _verdict(outcome: str, others: str) -> ReportRecord:
    trial = example().trial
    verdicts = tuple(
        replace(verdict, outcome=outcome if verdict.rule == "calibrated" else others)  # type: ignore[arg-type]
        for verdict in trial.verdicts
    )
    return example(trial=replace(trial, verdicts=verdicts))


def _outputs(**changes: Any) -> ReportRecord:
    trial = example().trial
    outputs = tuple(
        replace(o, golden=replace(o.golden, **changes), single=replace(o.single, **changes)) for o in trial.outputs
    )
    return example(trial=replace(trial, outputs=outputs))


def _origin(kind: str) -> ReportRecord:
    return cpu_example(model={**cpu_example().model, "origin": {**cpu_example().model["origin"], "kind": kind}})


def _started(first_run_ms: float) -> ReportRecord:
    return changed(example(), "bench", start=replace(example().bench.start, first_run_ms=first_run_ms))


def _shown(**changes: Any) -> ReportRecord:
    return example(trial=replace(example().trial, **changes))


def _many(bench: Any) -> ReportRecord:
    return example(bench=replace(example().bench, points=bench))


LEARNED = {"position": "learned", "grid": 37}

CASES: dict[str, tuple[ReportRecord, ReportRecord]] = {
    "rules_blind": (example(), _verdict("pass", "pass")),
    "rules_strict": (_verdict("pass", "fail"), _verdict("pass", "pass")),
    "cosine_blind": (example(), _outputs(cosine=0.9)),
    "near_zero": (example(), _outputs(max_relative=1e-3, mean_relative=1e-3)),
    "stages_unseen": (cpu_example(), example()),
    "golden_bundle": (_shown(golden="vits16.golden 0123abcd"), example()),
    "left_out": (_shown(inputs=replace(example().trial.inputs, left_out=3)), example()),
    "convolution_switch": (example(), _strict()),
    "loose_switch": (_loose_matmul(), example()),
    "float64": (example(), cpu_example()),
    "torch_npu": (example(), _stack(driver="25.2.0")),
    "cann_unknown": (_stack(driver="25.2.0"), example()),
    "set_env": (example(), _cuda()),
    "log_directory": (example(), _cuda()),
    "nothing_patched": (example(), _cuda()),
    "visible_devices": (example(), cpu_example()),
    "several_devices": (example(), cpu_example()),
    "fallback": (_checked("placement.fallback", "warn"), example()),
    "fallback_unknown": (_checked("placement.fallback", "unknown"), example()),
    "not_deterministic": (_checked("behaviour.determinism", "warn"), example()),
    "findings": (
        changed(example(), "environment", findings=({"name": "npu.cann", "severity": "stop"},)),
        example(),
    ),
    "seeded": (example(), cpu_example()),
    "fixed_size": (changed(example(), "facts", fixed_size=True), example()),
    "positions_resized": (_config(**LEARNED), _config(position="learned", grid=16)),
    "no_classifier": (example(), _config(classes=1000)),
    "drawn_classifier": (_config(classes=1000), example()),
    "periods_rounded": (_config(rope_rounding=True), example()),
    "periods_exact": (example(), _config(rope_rounding=True)),
    "no_qkv_bias": (example(), _config(bias=False)),
    "cast": (changed(cpu_example(), "facts", stored={"bfloat16": 5}), cpu_example()),
    "mixed_precision": (example(), _shown(candidate=replace(example().trial.candidate, dtype="bfloat16"))),
    "lower_precision": (_shown(candidate=replace(example().trial.candidate, dtype="bfloat16")), example()),
    "licence": (example(), changed(example(), "facts", licence="Apache-2.0")),
    "git_lfs": (cpu_example(), example()),
    "mirror": (cpu_example(), _origin("modelscope")),
    "local_file": (_origin("file"), cpu_example()),
    "host_bound": (example(), _point(host_bound=False)),
    "task_queue": (example(), _point(host_bound=False)),
    "flat": (_many((report_records.point(1, 100.0), report_records.point(4, 25.0))), example()),
    "out_of_memory": (example(), cpu_example()),
    "allocator_npu": (example(), _cuda()),
    "allocator_cuda": (_cuda(), example()),
    "first_run": (example(), _started(160.0)),
    "percentiles": (example(), _many((report_records.point(1, 100.0, 500),))),
    "unstable": (
        _point(stability=replace(example().bench.points[0].stability, stable=False)),  # type: ignore[type-var]
        example(),
    ),
    "unsteady": (_point(steady=False), example()),
    "busy": (changed(example(), "bench", load_before=(3.0, 1.0, 1.0)), example()),
    "tuned": (cpu_example(), example()),
    "baseline": (example(), changed(example(), "bench", baseline=None)),
}


def test_every_note_has_a_case() -> None:
    assert list(CASES) == [note.key for note in NOTES]
    assert {f"note.{key}" for key in CASES} == set(en_notes.PHRASES)


@pytest.mark.parametrize("key", CASES)
def test_a_note_applies_because_of_a_fact_and_never_otherwise(key: str) -> None:
    applies, applies_not = CASES[key]
    assert key in {text.key.removeprefix("note.") for text in notes(applies)}
    assert key not in {text.key.removeprefix("note.") for text in notes(applies_not)}
    for lang in LANGS:
        longest = words(lang, f"note.{key}")
        assert longest in blocks(markdown(applies, lang))[phrase(lang, "section.notes")]
        assert longest not in blocks(markdown(applies_not, lang))[phrase(lang, "section.notes")]


def test_a_card_that_fails_proves_nothing() -> None:
    assert example().trial.verdict is not None
    assert example().trial.verdict.outcome == "fail"
    for lang, word in (("en", "proves"), ("zh", "证明了")):
        assert word not in blocks(markdown(example(), lang))[phrase(lang, "section.notes")]
