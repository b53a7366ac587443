"""Records come back from JSON as they were, or not at all."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import get_args, get_type_hints

import pytest

import trial_records
from fakes import RECORD
from snellen.errors import UsageError
from snellen.records.model import ModelRecord
from snellen.records.reading import _READERS, plain, read
from snellen.records.trials import read_trial
from snellen.records.verify import Error, Metrics, TrialRecord


def document(name: str = "passing") -> dict:
    return json.loads(json.dumps(trial_records.ALL[name]().to_dict(), allow_nan=False))


@pytest.mark.parametrize("name", trial_records.ALL)
def test_there_and_back_is_the_identity(name) -> None:
    record = trial_records.ALL[name]()
    assert read_trial(record.to_dict()) == record
    assert read_trial(document(name)) == record
    assert read_trial(document(name)).to_dict() == record.to_dict()


def test_other_records_come_back_too() -> None:
    values = json.loads(json.dumps(RECORD.to_dict()))
    assert values.pop("schema") == "snellen.model/1"
    assert read(ModelRecord, values) == RECORD


def test_what_is_held_untyped_can_be_made_plain_first() -> None:
    record = replace(trial_records.passing(), model=RECORD.to_dict())
    assert read_trial(json.loads(json.dumps(record.to_dict()))) != record  # tuples are lists in JSON
    record = replace(record, model=plain(RECORD.to_dict()))
    assert read_trial(json.loads(json.dumps(record.to_dict()))) == record
    with pytest.raises(UsageError, match=r"the value\.a is a set"):
        plain({"a": {1}})


def test_every_kind_of_field_has_a_reader() -> None:
    def kinds(cls: type) -> None:
        hints = get_type_hints(cls)
        for field in fields(cls):
            leaf(hints[field.name])

    def leaf(kind: object) -> None:
        parts = [part for part in get_args(kind) if part is not type(None) and part is not ...]
        if is_dataclass(kind):
            kinds(kind)  # type: ignore[arg-type]
        elif "Literal" not in str(kind):
            assert (getattr(kind, "__origin__", None) or type(kind) if parts else kind) in _READERS
            for part in parts:
                leaf(part)

    kinds(TrialRecord)


def test_a_number_may_go_without_its_point() -> None:
    assert read(Error, {"frobenius": 0, "token": 1}) == Error(frobenius=0.0, token=1.0)
    assert isinstance(read(Error, {"frobenius": 0, "token": 1}).token, float)


REMOVE = object()
TAMPERED = {
    "a figure as text": (("outputs", 2, "golden", "cosine"), "0.99", "outputs[2].golden.cosine is a string"),
    "a figure removed": (("outputs", 0, "golden", "cosine"), REMOVE, "outputs[0].golden.cosine is missing"),
    "a figure added": (("outputs", 0, "golden", "cosines"), 1.0, "outputs[0].golden.cosines is no field of a Metrics"),
    "a figure that is true": (("verdict", "ratio"), True, "verdict.ratio is true"),
    "a figure that is NaN": (("outputs", 0, "reference", "token"), float("nan"), "outputs[0].reference.token is nan"),
    "an infinite time": (("seconds", "golden"), float("inf"), "seconds.golden is inf"),
    "NaN where anything goes": (("environment", "load"), float("nan"), "environment.load is nan"),
    "half an element": (("outputs", 0, "golden", "elements"), 1.5, "outputs[0].golden.elements is a number"),
    "a count of true": (("outputs", 0, "golden", "nonfinite"), False, "outputs[0].golden.nonfinite is false"),
    "a null that is none": (("outputs", 0, "golden", "elements"), None, "outputs[0].golden.elements is null"),
    "no outcome": (("verdict", "outcome"), "passed", "verdict.outcome is 'passed'"),
    "an outcome of a list": (("verdict", "outcome"), ["pass"], "verdict.outcome is a list"),
    "a status": (("checks", 1, "status"), None, "checks[1].status is null"),
    "a text for a list": (("checks",), "none", "checks is a string"),
    "a text in a shape": (("outputs", 0, "shape", 1), "384", "outputs[0].shape[1] is a string"),
    "a list for an object": (("candidate",), [], "candidate is a list"),
    "a list for a ladder": (("stages", 3, "ladder"), [], "stages[3].ladder is a list"),
    "a rung": (("stages", 3, "ladder", "hf32"), 4e-4, "stages[3].ladder.hf32 is a number"),
    "simulated, as a word": (("candidate", "simulated"), "no", "candidate.simulated is a string"),
    "another schema": (("schema",), "snellen.verify/2", "the schema is 'snellen.verify/2'"),
    "no schema": (("schema",), REMOVE, "the schema is null"),
    "a distance below 0": (("outputs", 0, "golden", "max_abs"), -1e-9, "outputs[0].golden.max_abs is -1e-09"),
    "an error below 0": (("stages", 1, "isolated", "token"), -1, "stages[1].isolated.token is -1"),
    "a rung below 0": (("outputs", 1, "ladder", "hf32", "frobenius"), -4e-4, "outputs[1].ladder.hf32.frobenius is -"),
    "a count below 0": (("outputs", 0, "golden", "nonfinite"), -1, "outputs[0].golden.nonfinite is -1"),
    "one input's below 0": (("outputs", 0, "images", 1, "mean_abs"), -1.0, "outputs[0].images[1].mean_abs is -1.0"),
    "a cosine above 1": (("outputs", 0, "golden", "cosine"), 1.001, "outputs[0].golden.cosine is 1.001"),
    "a cosine below -1": (("outputs", 0, "single", "p01_token_cosine"), -2, "outputs[0].single.p01_token_cosine is -2"),
    "an origin of 5": (("model", "origin"), 5, "model.origin is a number"),
    "the golden's source": (("golden",), 3, "golden is a number"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_document_is_refused(case) -> None:
    place, value, message = TAMPERED[case]
    whole = document()
    part = whole
    for step in place[:-1]:
        part = part[step]
    if value is REMOVE:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    with pytest.raises(UsageError) as caught:
        read_trial(whole)
    assert message in caught.value.seen
    assert caught.value.expected
    assert caught.value.todo


def test_every_figure_is_needed() -> None:
    for field in fields(Metrics):
        whole = document()
        del whole["outputs"][1]["golden"][field.name]
        with pytest.raises(UsageError, match=rf"outputs\[1\]\.golden\.{field.name} is missing"):
            read_trial(whole)


def test_figures_that_may_lie_below_0_do() -> None:
    whole = document()
    whole["outputs"][0]["golden"] |= {"gain": -0.5, "snr_db": -3.0, "cosine": -1.0, "mean_token_cosine": 1}
    assert read_trial(whole).outputs[0].golden.gain == -0.5
    whole["model"]["origin"] = None
    assert read_trial(whole).model["origin"] is None


@pytest.mark.parametrize("whole", [None, [], "record", 3, {}, {"schema": ["snellen.verify/1"]}])
def test_what_is_no_record_is_refused(whole) -> None:
    with pytest.raises(UsageError):
        read_trial(whole)


def test_a_mark_of_simulation_is_believed_only_with_the_candidate() -> None:
    whole = document("simulated")
    assert "SIMULATED" in whole
    whole["candidate"]["simulated"] = False
    with pytest.raises(UsageError, match="marked SIMULATED"):
        read_trial(whole)
    del whole["SIMULATED"]
    whole["candidate"]["simulated"] = True
    assert read_trial(whole).candidate.simulated  # the mark is for people; the candidate says it too
