"""Reports of every kind: names that are hostile, measurements that are bare, runs in which little went right."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import trial_records
from report_records import cpu_example, example
from snellen.records.report import ReportRecord
from snellen.verification.rules import concluded

HOSTILE = "a|b\n# <script>alert(1)</script> `x` [l](http://evil.example) **b** <img src=x onerror=y> _e_.jpg"


def hostile() -> ReportRecord:
    """Return a report in which everything that somebody may name is named badly."""
    record = example()
    inputs = replace(record.trial.inputs, kind="images", names=(HOSTILE, *record.trial.inputs.names[1:]))
    candidate = replace(record.trial.candidate, device={**record.trial.candidate.device, "product": HOSTILE})
    return replace(
        record,
        model={**record.model, "name": HOSTILE, "notes": [HOSTILE]},
        facts=replace(record.facts, title=HOSTILE, names=(HOSTILE,), steps=(HOSTILE,), licence=HOSTILE),
        environment=replace(
            record.environment,
            device={**record.environment.device, "product": HOSTILE, HOSTILE: HOSTILE},
            packages={HOSTILE: HOSTILE},
            findings=({"name": HOSTILE, "severity": HOSTILE, "seen": HOSTILE, "matters": "", "mend": HOSTILE},),
        ),
        evidence=replace(record.evidence, image=HOSTILE),
        trial=concluded(replace(record.trial, inputs=inputs, candidate=candidate), "calibrated"),
        pca=(replace(record.pca[0], image=HOSTILE),),
        files=(replace(record.files[0], name=HOSTILE),),
        command=f"snellen card {shlex.quote(HOSTILE)} -o ```",
        notes=(HOSTILE,),
    )


def changed(record: ReportRecord, part: str, **changes: Any) -> ReportRecord:
    """Return a report with a few fields of one part changed."""
    return replace(record, **{part: replace(getattr(record, part), **changes)})


def variants() -> Iterator[ReportRecord]:
    """Yield reports of every kind of trial, and of measurements that are bare."""
    yield example()
    yield cpu_example()
    yield hostile()
    bare = replace(example().bench, points=(), ceiling=None, bandwidth=None, files=None, baseline=None)
    yield example(bench=bare, seeds=(), pca=(), histograms=(), files=(), tune=None)
    for make in trial_records.ALL.values():
        yield example(trial=replace(make(), model=example().model))
    yield odd()
    yield odder()
    yield changed(example(), "bench", mode="throughput")
    trial = example().trial
    undecided = replace(trial.verdict, outcome="inconclusive") if trial.verdict else None
    yield changed(example(), "trial", verdict=undecided)


def odd() -> ReportRecord:
    """Return a report in which little went as it should."""
    record = example()
    trial = trial_records.nonfinite()
    toggle = replace(record.trial.toggles[0], explains=False)
    inputs = replace(trial.inputs, kind="random", names=("seed 1",), seeds=(1,), sha256="00" * 32)
    trial = replace(
        record.trial, outputs=trial.outputs, stages=trial.stages, inputs=inputs, toggles=(toggle,), cause=None
    )
    broken = replace(record.evidence.outputs[0], least=None, most=None, nonfinite=7)
    streamed = tuple(replace(point, latency=None) for point in record.bench.points)
    tune = cpu_example().tune
    assert tune is not None
    return replace(
        record,
        facts=replace(record.facts, digest="00", fixed_size=True),
        environment=replace(record.environment, stack={}),
        evidence=replace(record.evidence, outputs=(broken,), maps=()),
        trial=concluded(trial, "calibrated"),
        bench=replace(record.bench, mode="throughput", points=streamed, notes=("a note",)),
        tune=replace(tune, plan=None),
    )


def odder() -> ReportRecord:
    """Return a report judged by a rule of fixed limits, some missed and some kept, with weights from a file."""
    origin = {**cpu_example().model["origin"], "kind": "file", "path": "/somewhere/model.safetensors", "revision": None}
    record = cpu_example(model={**cpu_example().model, "origin": {**origin, "repo": None}})
    judge = concluded(record.trial, "abs-1e-2")
    assert judge.verdict is not None
    findings = (*judge.verdict.findings, "cls: cosine is 0.5, outside the limit (above 0.99)")
    findings += ("stage norm errs 7 times its limit",)
    return replace(record, trial=replace(judge, verdict=replace(judge.verdict, findings=findings)))
