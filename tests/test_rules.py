"""The rules of fixed limits: each passes and fails at both sides of its own limits, and says so in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from snellen.records.trials import read_trial
from snellen.records.verify import (
    CandidateRecord,
    Error,
    ImageMetrics,
    InputsRecord,
    Metrics,
    OutputRecord,
    TrialRecord,
    Verdict,
)
from snellen.verification.metrics import compare, error, image, rounding
from snellen.verification.rules import cards, standards
from snellen.verification.rules.common import Figure, apart

RULES = {**cards.RULES, **standards.RULES}
SHAPES = {"cls": (5, 6), "registers": (5, 0, 6), "patches": (5, 4, 6), "pooled": (5, 6), "logits": (5, 3)}
NONE = Error(frobenius=None, token=None)

Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def output(name: str, change: Change | None = None, dtype: str = "float32") -> OutputRecord:
    """Measure an output that is exact, or that is what ``change`` makes of the golden, a number drawn for each."""
    generator = torch.Generator().manual_seed(len(name))
    g = torch.randn(SHAPES[name], generator=generator, dtype=torch.float64)
    g = g.sign() * (1 + g.abs())
    a = g if change is None else change(g, torch.randn(SHAPES[name], generator=generator, dtype=torch.float64))
    return OutputRecord(
        name=name,
        shape=SHAPES[name],
        golden=compare(a, g, dtype),
        single=compare(a, g, dtype),
        reference=error(g.float(), g),
        rounding=rounding(g, dtype),
        ladder={},
        images=tuple(image(one, other) for one, other in zip(a, g, strict=True)),
    )


def trial(
    *outputs: OutputRecord, dtype: str = "float32", seeds: tuple[int, ...] = (42, 123, 256, 789, 1024)
) -> TrialRecord:
    names = tuple(f"seed:{seed}" for seed in seeds) or ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    return TrialRecord(
        model={},
        candidate=CandidateRecord(
            runtime="eager", version=None, dtype=dtype, device={"name": "npu:0"}, simulated=False, stages=True
        ),
        inputs=InputsRecord(kind="random", names=names, shape=(5, 3, 8, 8), sha256="", seeds=seeds),
        dtype=dtype,
        expect=dtype,
        outputs=outputs,
        stages=(),
        checks=(),
        golden="computed here",
    )


def whole(change: Change | None = None, **options) -> TrialRecord:
    return trial(*(output(name, change) for name in SHAPES), **options)


def having(name: str, **figures) -> TrialRecord:
    """Return a trial that is exact but for some figures of one output, against golden and float32 alike."""
    return trial(*(changed(each, **figures) if each.name == name else each for each in whole().outputs))


def changed(one: OutputRecord, **figures) -> OutputRecord:
    shared = {key: value for key, value in figures.items() if key in ImageMetrics.__slots__}
    images = (*one.images[:2], replace(one.images[2], **shared), *one.images[3:])
    return replace(one, single=replace(one.single, **figures), golden=replace(one.golden, **figures), images=images)


@pytest.mark.parametrize("rule", RULES)
def test_an_exact_candidate_passes(rule: str) -> None:
    verdict = RULES[rule](whole())
    assert (verdict.rule, verdict.outcome, verdict.exit_code) == (rule, "pass", 0)
    assert verdict.ratio in (0.0, None)
    assert verdict.findings[0] == verdict.because
    assert "within the limit" in verdict.because


@pytest.mark.parametrize("rule", RULES)
def test_a_candidate_of_other_weights_fails(rule: str) -> None:
    verdict = RULES[rule](whole(lambda g, noise: noise))
    assert (verdict.outcome, verdict.exit_code) == ("fail", 1)
    assert "outside the limit" in verdict.because
    assert verdict.ratio is None or verdict.ratio > 1
    assert verdict.findings[0] == verdict.because
    assert all("outside the limit" in finding for finding in verdict.findings)


T32 = 2.0**-13
LIMITS = [
    # rule, output, figure, the last value that passes, the first that fails
    ("trimmed-1pct", "patches", "trimmed_relative", 0.00999999, 0.01),
    ("trimmed-1pct", "pooled", "cosine", 0.9990001, 0.999),
    ("trimmed-1pct", "cls", "mean_abs", 0.00999999, 0.01),
    ("abs-1e-2", "patches", "max_abs", 0.01, 0.01000001),
    ("abs-1e-2", "pooled", "mean_abs", 0.01, 0.01000001),
    ("tensor-1pct", "cls", "mean_ratio", 0.00999999, 0.01),
    ("relative-top1", "logits", "mean_relative", 0.00999999, 0.01),
    ("relative-top1", "logits", "top1_match", 1.0, 0.999),
    ("cosine-seeds", "patches", "max_abs", 0.00999999, 0.01),
    ("cosine-seeds", "cls", "mean_abs", 0.00999999, 0.01),
    ("cosine-seeds", "patches", "cosine", 0.9900001, 0.99),
    ("assert-close", "logits", "close_mismatched", 0, 1),
    ("polygraphy", "cls", "polygraphy_exceeded", 0, 1),
    ("cann", "patches", "mere", 0.999999 * T32, T32),
    ("cann", "logits", "mare", 9.99999 * T32, 10 * T32),
]


@pytest.mark.parametrize(("rule", "name", "figure", "good", "bad"), LIMITS)
def test_both_sides_of_every_limit(rule: str, name: str, figure: str, good: float, bad: float) -> None:
    assert RULES[rule](having(name, **{figure: good})).outcome == "pass"
    verdict = RULES[rule](having(name, **{figure: bad}))
    assert verdict.outcome == "fail"
    assert verdict.because.startswith(name)
    assert len(verdict.findings) == 1
    if rule not in ("assert-close", "polygraphy") and figure != "top1_match":
        assert verdict.ratio == pytest.approx(1, rel=1e-4)


def test_every_rule_was_tried_at_its_limits() -> None:
    assert {row[0] for row in LIMITS} == set(RULES)


@pytest.mark.parametrize(
    ("rule", "name", "figure"),
    [
        ("trimmed-1pct", "logits", "mean_abs"),
        ("abs-1e-2", "logits", "max_abs"),
        ("tensor-1pct", "logits", "mean_ratio"),
        ("relative-top1", "patches", "mean_relative"),
        ("relative-top1", "pooled", "mean_relative"),
        ("cosine-seeds", "pooled", "max_abs"),
    ],
)
def test_what_a_report_does_not_look_at_does_not_count(rule: str, name: str, figure: str) -> None:
    assert RULES[rule](having(name, **{figure: 0.5})).outcome == "pass"


@pytest.mark.parametrize("rule", RULES)
def test_what_is_not_finite_fails_first_wherever_it_is(rule: str) -> None:
    def spoil(g: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        g = g.clone()
        g[(3,) + (0,) * (g.ndim - 1)] = float("nan")
        return g

    for bad in ("logits", "patches"):
        verdict = RULES[rule](trial(*(output(name, spoil if name == bad else None) for name in SHAPES)))
        assert verdict.outcome == "fail"
        assert (
            verdict.because == f"{bad}: 1 number is NaN or infinite where the reference is not, or the other way round"
        )
        assert verdict.ratio is None


@pytest.mark.parametrize("rule", RULES)
def test_against_the_golden_alone_not_finite_fails_too(rule: str) -> None:
    outputs = list(whole().outputs)
    outputs[0] = replace(outputs[0], golden=Metrics(elements=30, nonfinite=7))
    assert "7 numbers are" in RULES[rule](trial(*outputs)).because


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("outputs", [(), ("registers",)])
def test_nothing_compared_is_never_a_pass(rule: str, outputs: tuple[str, ...]) -> None:
    verdict = RULES[rule](trial(*(output(name) for name in outputs)))
    assert (verdict.outcome, verdict.exit_code, verdict.ratio) == ("inconclusive", 3, None)
    assert verdict.because.startswith("nothing was compared")


@pytest.mark.parametrize("rule", RULES)
def test_a_reference_that_is_not_finite_either_leaves_the_verdict_open(rule: str) -> None:
    broken = Metrics(elements=30, nonfinite=0)
    nothing = ImageMetrics(
        nonfinite=0, max_abs=None, mean_abs=None, mean_ratio=None, relative_frobenius=None, cosine=None
    )
    outputs = [replace(each, single=broken, golden=broken, images=(nothing,) * 5) for each in whole().outputs]
    verdict = RULES[rule](trial(*outputs))
    assert verdict.outcome == "inconclusive"
    assert "not finite" in verdict.because
    # ... but a limit that is missed elsewhere decides.
    others = [output(name, lambda g, noise: noise) for name in SHAPES if name != "cls"]
    assert RULES[rule](trial(outputs[0], *others)).outcome == "fail"


@pytest.mark.parametrize("rule", ["tensor-1pct"])
def test_an_infinite_figure_fails(rule: str) -> None:
    verdict = RULES[rule](having("cls", mean_ratio=None))  # the golden is zero, the candidate is not
    assert (verdict.outcome, verdict.ratio) == ("fail", None)
    assert "is infinite, outside the limit" in verdict.because


def test_a_cosine_that_does_not_exist_is_no_pass() -> None:
    for rule in ("trimmed-1pct", "cosine-seeds"):
        assert RULES[rule](having("patches", cosine=None)).outcome == "inconclusive"


def test_the_worst_figure_is_the_one_that_is_told() -> None:
    record = having("patches", max_abs=0.05, mean_abs=0.02)
    outputs = [changed(each, max_abs=0.03) if each.name == "cls" else each for each in record.outputs]
    verdict = RULES["abs-1e-2"](trial(*outputs))
    assert [finding.split(" is ")[0] for finding in verdict.findings] == [
        "patches: largest absolute error",
        "cls: largest absolute error",
        "patches: mean absolute error",
    ]
    assert verdict.ratio == pytest.approx(5)
    assert verdict.because == "patches: largest absolute error is 0.05, outside the limit (at most 0.01)"


def test_a_figure_and_its_limit_never_look_the_same() -> None:
    verdict = RULES["abs-1e-2"](having("cls", max_abs=0.01 + 1e-12))
    assert "0.010000000001," in verdict.because
    assert apart(0.01 + 4 / 3 * 1e-12, 0.01) == ("0.010000000001", "0.01")  # and no more digits than it takes
    assert apart(0.1, 0.2) == ("0.1", "0.2")
    assert len(set(apart(1.0, 1 + 2**-52))) == 2
    assert apart(123456789.0, 0.0) == ("123456789", "0")


def test_the_input_that_is_worst_is_named() -> None:
    assert RULES["cosine-seeds"](having("patches", max_abs=0.2)).because.startswith("patches of seed:256: largest")


def test_other_inputs_than_report_5_had_are_judged_and_said() -> None:
    assert RULES["cosine-seeds"](whole()).findings[-1].startswith("patches")
    verdict = RULES["cosine-seeds"](whole(seeds=()))
    assert verdict.outcome == "pass"
    assert verdict.findings[-1] == "report 5 shows five seeded inputs; this run shows 5 inputs that are not seeded"


def test_without_images_there_is_nothing_per_input() -> None:
    outputs = [replace(each, images=()) for each in whole().outputs]
    assert RULES["cosine-seeds"](trial(*outputs)).outcome == "inconclusive"


def test_without_logits_the_pooled_vector_stands_for_the_class() -> None:
    exact = trial(output("cls"), output("pooled"))
    assert RULES["relative-top1"](exact).outcome == "pass"
    assert "no logits" in RULES["relative-top1"](exact).findings[-1]
    verdict = RULES["relative-top1"](trial(output("cls"), output("pooled", lambda g, noise: g.roll(1, -1))))
    assert verdict.outcome == "fail"
    assert not any("no logits" in finding for finding in RULES["relative-top1"](whole()).findings)


def test_without_rows_there_is_no_top_1_and_no_pass() -> None:
    verdict = RULES["relative-top1"](having("logits", top1_match=None))
    assert verdict.outcome == "inconclusive"
    assert "[inputs, entries]" in verdict.because


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 2.0**-13), ("float16", 2.0**-10), ("bfloat16", 2.0**-7)])
def test_cann_judges_by_the_dtype_asked_for(dtype: str, limit: float) -> None:
    def off(by: float) -> Verdict:
        outputs = [output(name, lambda g, noise: g * (1 + by)) for name in SHAPES]
        return RULES["cann"](trial(*outputs, dtype=dtype))

    assert off(0.99 * limit).outcome == "pass"
    assert off(1.01 * limit).outcome == "fail"


def test_cann_without_a_limit_is_inconclusive() -> None:
    verdict = RULES["cann"](whole(dtype="float64"))
    assert verdict.outcome == "inconclusive"
    assert "float64" in verdict.because


def test_cann_looks_at_the_golden_and_the_others_at_float32() -> None:
    outputs = whole().outputs
    far = [each.single for each in whole(lambda g, noise: noise).outputs]
    golden = trial(*(replace(each, golden=other) for each, other in zip(outputs, far, strict=True)))
    assert [name for name, judge in RULES.items() if judge(golden).outcome == "fail"] == ["cann"]
    single = trial(*(replace(each, single=other) for each, other in zip(outputs, far, strict=True)))
    passing = [name for name, judge in RULES.items() if judge(single).outcome == "pass"]
    assert passing == ["cosine-seeds", "cann"]  # the former looks at inputs one by one, which were left as they are


def test_what_the_rules_are_blind_to() -> None:
    def off_by_a_500th(g: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return g * (1 + 2e-3 * noise.sign())  # ten thousand times what float32 resolves

    outcomes = {name: judge(whole(off_by_a_500th)).outcome for name, judge in RULES.items()}
    assert {name for name, outcome in outcomes.items() if outcome == "pass"} == set(cards.RULES)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("change", [None, lambda g, noise: g + 1e-4 * noise, lambda g, noise: g + 0.1 * noise])
def test_a_record_saved_and_read_back_gives_the_same_verdict(rule: str, change: Change | None) -> None:
    record = whole(change)
    back = read_trial(json.loads(json.dumps(record.to_dict(), allow_nan=False)))
    assert RULES[rule](back) == RULES[rule](record)
    json.dumps(RULES[rule](record).findings)


def test_a_figure_states_its_limit_in_either_direction() -> None:
    low = Figure("cosine", 0.5, "above", 0.9)
    assert (low.passes, low.ratio) == (False, pytest.approx(5))
    assert low.sentence == "cosine is 0.5, outside the limit (above 0.9)"
    assert not Figure("x", float("inf"), "above", 0.0).passes
    assert Figure("x", None, "at most", 1.0).sentence == "x could not be had: the reference itself is not finite there"
