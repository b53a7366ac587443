"""Trials as they could have happened, made by hand: what reports, readers and rules are tested on.

The figures follow the ladder that was measured on DINOv3 ViT-S/16 (float32 5.6e-7, hf32 4.1e-4, bfloat16 3.2e-3).
"""

from __future__ import annotations

from dataclasses import replace

from snellen.records.verify import (
    CandidateRecord,
    Check,
    Error,
    ImageMetrics,
    InputsRecord,
    Metrics,
    OutputRecord,
    StageRecord,
    SwitchRecord,
    Toggle,
    TrialRecord,
    Verdict,
)

CLASSES = {"float32": 5.6e-7, "hf32": 4.1e-4, "float16": 4.3e-4, "bfloat16": 3.2e-3}
STAGE_FLOOR = 2e-7
PHOTOS = ("astronaut.jpg", "cat.jpg", "clock.png", "咖啡.jpg")
SHAPES = {"cls": (4, 384), "registers": (4, 4, 384), "patches": (4, 256, 384), "pooled": (4, 384)}


def metrics(error: float | None, elements: int = 1536, nonfinite: int = 0) -> Metrics:
    """Return metrics that go together with a relative Frobenius error; without figures for None."""
    if error is None:
        return Metrics(elements=elements, nonfinite=nonfinite)
    return Metrics(
        elements=elements,
        nonfinite=0,
        max_abs=12 * error,
        max_abs_at=(2, 17),
        mean_abs=error,
        rmse=1.2 * error,
        max_relative=900 * error,
        mean_relative=3 * error,
        median_relative=error / 2,
        trimmed_relative=error,
        mean_ratio=error,
        relative_frobenius=error,
        gain=error / 10,
        cosine=1 - error**2 / 2,
        worst_token=1.3 * error,
        worst_token_at=(2,),
        mean_token_cosine=1 - error**2 / 2,
        p01_token_cosine=1 - error**2,
        snr_db=60.0,
        mere=3 * error,
        mare=900 * error,
        share_1e2=1.0,
        share_1e3=0.99,
        share_1e4=0.9,
        ulp_mean=2.0,
        ulp_p99=9.0,
        ulp_above_1=0.4,
        close_mismatched=0,
        polygraphy_exceeded=3,
    )


def error(size: float | None) -> Error:
    """Return an error whose worst token is a little worse than the whole."""
    return Error(frobenius=size, token=None if size is None else 1.3 * size)


def rungs(scale: float = 1.0) -> dict[str, Error]:
    """Return the ladder, all of it."""
    return {name: error(size * scale) for name, size in CLASSES.items()}


def output(name: str, size: float | None, *, shape: tuple[int, ...] | None = None, nonfinite: int = 0) -> OutputRecord:
    """Return one output of the candidate with the error ``size``."""
    shape = shape or SHAPES[name]
    elements = 1
    for extent in shape:
        elements *= extent
    image = ImageMetrics(
        nonfinite=nonfinite,
        max_abs=None if size is None else 12 * size,  # as of the whole
        mean_abs=size,
        mean_ratio=size,
        relative_frobenius=size,
        cosine=None if size is None else 1.0,
    )
    worse = replace(image, relative_frobenius=None if size is None else 1.1 * size)
    return OutputRecord(
        name=name,
        shape=shape,
        golden=metrics(size, elements, nonfinite),
        single=metrics(size, elements, nonfinite),
        reference=error(CLASSES["float32"]) if elements else error(None),
        rounding=error(2e-8) if elements else error(None),
        ladder=rungs() if elements else {name: error(None) for name in CLASSES},
        images=(image, worse, image, image) if elements else (),
    )


def stage(name: str, cumulative: float | None, isolated: float | None, *, precision: str = "float32") -> StageRecord:
    """Return one stage; the reference grows no further than the ladder's float32."""
    return StageRecord(
        name=name,
        cumulative=error(cumulative),
        isolated=error(isolated),
        reference_cumulative=error(CLASSES["float32"]),
        reference_isolated=error(STAGE_FLOOR),
        rounding=error(2e-8),
        ladder=rungs(0.4),
        precision=precision,
    )


def names(blocks: int) -> list[str]:
    """Return the names of the stages of an encoder of so many blocks."""
    return ["patches", *(f"block.{number:02}" for number in range(blocks)), "norm"]


CANDIDATE = CandidateRecord(
    runtime="eager",
    version="2.13.0",
    dtype="float32",
    device={"name": "cuda:0", "kind": "cuda", "product": "A GPU", "memory_bytes": 1 << 34},
    simulated=False,
    stages=True,
    switches=(
        SwitchRecord(name="torch.backends.cudnn.allow_tf32", value="True", strict="False"),
        SwitchRecord(name="torch.backends.cuda.matmul.allow_tf32", value="False", strict="False"),
    ),
)
CHECKS = (
    Check(name="selftest.golden", status="pass", because="the golden differs from itself by exactly 0", value=0.0),
    Check(name="selftest.perturbed", status="pass", because="one perturbed weight was seen", value=12.5, limit=1.0),
    Check(name="reference.noise", status="pass", because="the CPU's own run is calm", value=5e-7, limit=0.1),
    Check(name="placement.outputs", status="pass", because="every output lies on cuda:0"),
    Check(name="placement.fallbacks", status="unknown", because="this device does not say what it left to the CPU"),
    Check(name="behaviour.determinism", status="pass", because="two runs on one input agree in every bit"),
)
DIFFERS = Check(name="behaviour.determinism", status="warn", because="two runs on one input differ in the last bit")
OTHERS = (
    Verdict(rule="trimmed-1pct", outcome="pass", because="the trimmed mean relative error is below 1 %", ratio=1e-4),
    Verdict(rule="assert-close", outcome="pass", because="no element lies outside torch's tolerances", ratio=0.3),
)


def judged(record: TrialRecord, verdict: Verdict | None) -> TrialRecord:
    """Return the record with this verdict, beside those of the other rules."""
    return replace(record, verdict=verdict, verdicts=(*([verdict] if verdict else []), *OTHERS))


def passing(blocks: int = 12) -> TrialRecord:
    """Return a trial on a GPU that passed."""
    record = TrialRecord(
        model={
            "schema": "snellen.model/1",
            "name": "vit_small_patch16_dinov3",
            "variant": "vit_small_patch16_dinov3.lvd1689m",
            "origin": {"kind": "seed", "path": None, "repo": None, "revision": None, "seed": 7},
            "recipe": "resize 256 | crop 256",
            "recipe_hash": "0123abcd",
            "pool": "cls",
            "choices": [],
        },
        candidate=CANDIDATE,
        inputs=InputsRecord(kind="photographs", names=PHOTOS, shape=(4, 3, 256, 256), sha256="ab12" * 16),
        dtype="float32",
        expect="float32",
        outputs=tuple(output(name, 6.1e-7) for name in SHAPES),
        stages=tuple(stage(name, 6e-7, 2.2e-7) for name in names(blocks)),
        checks=CHECKS,
        golden="computed here",
        environment={"python": "3.11.9", "torch": "2.13.0", "threads": 2, "packages": ["torch", "numpy"]},
        started_at="2026-01-02T03:04:05.678901+00:00",
        seconds={"golden": 4.25, "ladder": 9.5, "candidate": 1.25},
    )
    verdict = Verdict(
        rule="calibrated",
        outcome="pass",
        because="every output lies within 4 times the error of the CPU's own float32 run",
        precision="float32",
        expected="float32",
        ratio=0.27,
    )
    return judged(record, verdict)


def failing(culprit: str = "block.03", blocks: int = 12) -> TrialRecord:
    """Return a trial with a fault in one block, which every later stage carries on."""
    record, found, stages = passing(blocks), False, []
    for clean in record.stages:
        at = clean.name == culprit
        found = found or at
        one = replace(clean, cumulative=error(8e-5)) if found else clean
        stages.append(replace(one, isolated=error(9e-5), precision="hf32") if at else one)
    verdict = Verdict(
        rule="calibrated",
        outcome="fail",
        because=f"{culprit} computes something else: 450 times the reference's error on the golden's input",
        culprit=culprit,
        precision=None,
        expected="float32",
        ratio=36.0,
        findings=(f"{culprit} alone: 9e-5 where 8.2e-7 is allowed", "every stage before it is clean"),
    )
    outputs = tuple(output(one.name, 8.1e-5) for one in record.outputs)
    return judged(replace(record, outputs=outputs, stages=tuple(stages)), verdict)


def lowered() -> TrialRecord:
    """Return a trial whose convolution ran in hf32, because a switch was on."""
    record = failing("patches")
    switch = "torch.backends.cudnn.allow_tf32"
    verdict = Verdict(
        rule="calibrated",
        outcome="fail",
        because="asked for float32; behaves like hf32 (about 11 bits), first visible at patches",
        culprit="patches",
        precision="hf32",
        expected="float32",
        ratio=120.0,
    )
    toggles = (
        Toggle(switches=("torch.backends.cuda.matmul.allow_tf32",), precision="hf32", error=120.0, explains=False),
        Toggle(switches=(switch,), precision="float32", error=0.3, explains=True),
    )
    outputs = tuple(output(one.name, 2.8e-4) for one in record.outputs)
    return judged(replace(record, outputs=outputs, toggles=toggles, cause=switch), verdict)


def inconclusive() -> TrialRecord:
    """Return a trial in which the CPU was compared with itself."""
    because = "the candidate is the reference itself: the CPU was compared with the CPU"
    same = Check(name="placement.candidate", status="fail", because=because)
    record = replace(passing(), checks=(*CHECKS, same))
    return judged(record, Verdict(rule="calibrated", outcome="inconclusive", because=because, expected="float32"))


def limited() -> TrialRecord:
    """Return a trial that passed, with a warning."""
    record = replace(passing(), checks=(*CHECKS[:-1], DIFFERS))
    assert record.verdict is not None
    because = "within the limits, but two runs on one input differ"
    return judged(record, replace(record.verdict, outcome="limited", because=because))


def unverdicted() -> TrialRecord:
    """Return a trial whose self-test failed, which therefore has no verdict."""
    blind = Check(
        name="selftest.perturbed", status="fail", because="one perturbed weight was not seen", value=0.2, limit=1.0
    )
    return replace(passing(), checks=(CHECKS[0], blind, *CHECKS[2:]), verdict=None, verdicts=())


def nonfinite() -> TrialRecord:
    """Return a trial with NaN in the patches, from block 5 on."""
    record = failing("block.05")
    stages = tuple(
        replace(one, cumulative=error(None), isolated=error(None)) if number > names(12).index("block.04") else one
        for number, one in enumerate(record.stages)
    )
    outputs = (output("cls", None, nonfinite=1536), output("patches", None, nonfinite=7))
    return replace(record, outputs=outputs, stages=stages)


def stageless() -> TrialRecord:
    """Return a trial of a runtime that shows no stages; the trusted run's are there all the same."""
    record = passing()
    note = "onnxruntime fuses the blocks; --stages builds a second, instrumented graph"
    stages = tuple(replace(one, cumulative=None, isolated=None, precision=None) for one in record.stages)
    return replace(record, candidate=replace(record.candidate, runtime="onnx", stages=False, note=note), stages=stages)


def featureless() -> TrialRecord:
    """Return a trial of an encoder without class token and registers, and without any stages at all."""
    record = stageless()
    outputs = (output("registers", None, shape=(4, 0, 384)), output("patches", 6e-7))
    return replace(record, outputs=outputs, stages=())


def exact() -> TrialRecord:
    """Return a trial whose candidate differs by exactly nothing in one stage and one output."""
    record = passing()
    return replace(
        record,
        outputs=(output("cls", 0.0), *record.outputs[1:]),
        stages=(stage("patches", 0.0, 0.0), *record.stages[1:]),
    )


def simulated() -> TrialRecord:
    """Return the same as ``lowered``, on a simulated device."""
    record = lowered()
    device = {"name": "npu:0", "kind": "npu", "product": "simulated NPU", "simulated": True}
    return replace(record, candidate=replace(record.candidate, device=device, simulated=True))


def large() -> TrialRecord:
    """Return a trial of a 7B: 40 blocks, one of which is at fault."""
    return failing("block.31", blocks=40)


ALL = {
    "passing": passing,
    "failing": failing,
    "lowered": lowered,
    "inconclusive": inconclusive,
    "limited": limited,
    "unverdicted": unverdicted,
    "nonfinite": nonfinite,
    "stageless": stageless,
    "featureless": featureless,
    "exact": exact,
    "simulated": simulated,
    "large": large,
}
