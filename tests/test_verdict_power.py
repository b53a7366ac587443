"""The fault corpus: it is what it says, a part of it is tried, and its counting can fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faults import power, sizes, trial
from faults.healthy import REWRITES, healthy
from faults.places import stage
from faults.power import Floor, Row
from faults.runners import Plain
from faults.subjects import LABELS, drawn, photographs, subjects, whole
from faults.sweep import WHOLE_FAULTS, WHOLE_RUNS, ordered, pieces
from faults.table import FAULTS, by_name
from snellen.devices import simulated
from snellen.encoders.build import build
from snellen.verification.rules import RULES

SUBJECTS = {subject.label: subject for subject in subjects()}
MEASURED = [fault for fault in FAULTS if fault.kind not in ("placement", "precision") and fault.dtype == "float32"]
TRIED = (
    ("dinov3 S", "tanh GELU in one block"),
    ("dinov3 S", "eps of another family in one block"),
    ("dinov3 S", "rotary periods rounded to bfloat16"),
    ("aimv2", "one weight of the MLP times 1.5"),
    ("aimv2", "gate and value swapped"),
    ("dinov2 reg4", "position table off by one"),
    ("dinov2 reg4", "registers in another order"),
    ("vit in21k", "two blocks swapped"),
    ("convnext", "depth-wise convolution padded otherwise"),
    ("dinov3 S", "pixels divided by 256"),
    ("dinov3 S", "outputs times 1.00001"),
    ("aimv2", "third item of a batch wrong"),
    ("aimv2", "stale output: the batch before"),
    ("aimv2", "output buffer used again"),
    ("aimv2", "NaN in the second call only"),
    ("dinov3 S", "noise of 1e-4 in every run"),
    ("dinov3 S", "the CPU compared with itself"),
    ("dinov3 S", "computed on the CPU in silence"),
    ("dinov3 S", "a parameter left on the CPU"),
    ("dinov3 S", "hf32 in convolutions"),
    ("dinov3 S", "hf32 in matrix products"),
    ("dinov3 S", "a head zeroed (bfloat16)"),
)
HEALTHY = (
    ("dinov3 S", "norms folded into the weights"),
    ("dinov3 S", "attention in pieces of eight keys"),
    ("dinov3 S", "bfloat16 asked for, products in pieces"),
    ("dinov3 S", "simulated NPU, strict"),
    ("dinov3 S", "hf32 arithmetic, expected"),
    ("dinov3 S", "the model of transformers"),
    ("aimv2", "products added from the last"),
    ("aimv2", "one input"),
    ("aimv2", "the model of timm"),
    ("convnext", "convolutions as products"),
)


@pytest.fixture(autouse=True)
def apart():
    """Leave no simulated device behind."""
    yield
    if simulated.started():
        simulated.stop()


def first_fit(fits):
    return next(subject for subject in subjects() if fits(subject))


def test_the_corpus_is_as_large_as_it_claims() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 45
    assert all(any(fault.fits(subject) for subject in subjects()) for fault in FAULTS)
    assert len({(run.name, run.subject) for run in healthy()}) == len(list(healthy())) >= 40
    assert {(subject.name, LABELS[subject.name]) for subject in whole()} < {(s.name, s.label) for s in subjects()}
    assert {by_name(name).name for name in WHOLE_FAULTS} == set(WHOLE_FAULTS)
    assert set(WHOLE_RUNS) <= {run.name for run in healthy()}
    assert len(pieces()) == len(set(pieces())) > len(subjects())


@pytest.mark.parametrize("fault", MEASURED, ids=lambda fault: fault.name)
def test_a_fault_changes_the_encoder_where_it_says(fault) -> None:
    """In float64: its size is not 0, and the first stage that shows it is its culprit."""
    subject = first_fit(fault.fits)
    size = sizes.of_fault(fault, subject, photographs(subject, 4))
    assert size.largest > 1e-9
    first = next((name for name, error in size.stages.items() if error.frobenius > sizes.EXACT), None)
    assert first == (stage(build(subject.network), fault.culprit) if fault.culprit else None)


@pytest.mark.parametrize(("name", "edit", "fits"), REWRITES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rewrite_changes_nothing_but_rounding(name, edit, fits) -> None:
    subject = first_fit(fits)
    pixels = photographs(subject, 4)
    assert sizes.of_edit(edit, subject, pixels).largest < sizes.EXACT
    before, after = (Plain(drawn(subject.network, 0)) for _ in range(2))
    edit(after.encoder)
    one, other = before.run(pixels), after.run(pixels)
    assert not one.patches.equal(other.patches)  # or it would be the same run


def test_every_culprit_is_a_stage() -> None:
    for subject in subjects():
        encoder = build(subject.network)
        for fault in FAULTS:
            if fault.fits(subject) and fault.culprit:
                assert stage(encoder, fault.culprit) in encoder.stages


@pytest.mark.parametrize(("label", "name"), TRIED, ids=lambda value: value)
def test_a_fault_is_caught_and_blamed_on_the_right_stage(label, name) -> None:
    row, record = trial.try_fault(by_name(name), SUBJECTS[label])
    assert row.above
    assert row.caught("calibrated"), row.because
    assert row.culprit == row.expected, row.because
    assert not row.misread, (row.precision, row.cause)
    assert set(row.outcomes) == set(RULES)
    assert all(check.status == "pass" for check in record.checks if check.name.startswith("selftest."))


@pytest.mark.parametrize(("label", "name"), HEALTHY, ids=lambda value: value)
def test_a_healthy_run_is_let_alone(label, name) -> None:
    run = next(run for run in healthy((SUBJECTS[label],)) if run.name == name)
    row, _ = trial.try_healthy(run)
    assert not row.refused("calibrated"), row.because


def test_a_fault_below_the_noise_is_said_to_be_so() -> None:
    row, _ = trial.try_fault(by_name("outputs times 1.0000001"), SUBJECTS["dinov3 S"])
    assert not row.above
    assert row.floor.size == pytest.approx(1e-7, rel=1e-3)
    assert row.floor.seen > row.floor.size


def floor(ratio: float, **stages: float) -> Floor:
    return Floor(ratio=ratio, size=1e-6 * ratio, seen=1e-6, at="patches", stages=stages)


def rows(fault: str, run: str) -> list[Row]:
    """Three faults, one of them below the noise, and two healthy runs; a rule says the same to each kind."""
    faults = [
        Row(name=f"f{i}", subject="s", kind="block", outcomes={"calibrated": fault}, floor=floor(ratio, b=ratio))
        for i, ratio in enumerate((50.0, 2.0, 0.5))
    ]
    runs = [Row(name=f"h{i}", subject="s", kind="healthy", outcomes={"calibrated": run}) for i in range(2)]
    return faults + runs


@pytest.mark.parametrize(
    ("fault", "run", "caught", "refused"),
    [
        ("fail", "pass", 2, 0),
        ("inconclusive", "limited", 2, 0),
        ("limited", "pass", 2, 0),
        ("pass", "pass", 0, 0),  # a rule that always passes misses all
        ("fail", "fail", 2, 2),  # a rule that always fails refuses all
        ("fail", "inconclusive", 2, 2),
    ],
)
def test_counting(fault, run, caught, refused) -> None:
    (tally,) = power.tally(rows(fault, run))
    assert (tally.caught, tally.missed, tally.refused) == (caught, 2 - caught, refused)
    assert (tally.faults, tally.healthy) == (2, 2)
    wrong = power.wrong(rows(fault, run))
    assert (len(wrong.missed), len(wrong.refused)) == (2 - caught, refused)
    assert wrong.any == bool(2 - caught or refused)


def test_a_wrong_name_is_wrong() -> None:
    right = [replace(row, culprit="b", expected="b") if not row.healthy else row for row in rows("fail", "pass")]
    assert not power.wrong(right).any
    for other in ("a", None):
        assert len(power.wrong([replace(right[0], culprit=other), *right[1:]]).misnamed) == 1
    behind = replace(right[0], kind="outputs", culprit="b", expected=None)
    assert not power.wrong([behind, *right[1:]]).any  # no stage is to blame, so none is held against it
    read = replace(right[0], kind="precision", precision="hf32", cause="a switch", asked=("hf32", "a switch"))
    assert not power.wrong([read, *right[1:]]).any
    for asked in (("float16", "a switch"), ("hf32", None)):
        assert len(power.wrong([replace(read, asked=asked), *right[1:]]).misread) == 1


def test_a_table_that_proves_nothing_is_refused() -> None:
    every = rows("fail", "pass")
    for part in ([], every[:3], every[3:], every[2:]):
        with pytest.raises(ValueError, match="proves nothing"):
            power.wrong(part)


def test_the_stage_to_blame_is_one_that_can_be_seen() -> None:
    assert trial.first_above(floor(9.0, a=0.2, b=3.0, c=4.0), "b") == "b"
    assert trial.first_above(floor(9.0, a=0.2, b=0.3, c=4.0), "b") == "c"
    assert trial.first_above(floor(9.0, a=0.2), "a") is None
    assert trial.first_above(floor(9.0, a=3.0), None) is None


def test_rows_come_in_the_order_of_the_tables() -> None:
    names = (FAULTS[3].name, FAULTS[0].name, FAULTS[0].name)
    labels = ("aimv2", "aimv2", "dinov3 S")
    made = [Row(name=name, subject=label, kind="block", outcomes={}) for name, label in zip(names, labels, strict=True)]
    assert ordered(made) == made[::-1]
