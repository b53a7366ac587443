"""Reports come back from JSON as they were or not at all, and the JSON Schema refuses what the reader refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from jsonschema import Draft202012Validator

import report_records
from snellen.errors import UsageError
from snellen.records.bench import Compared, CompareRecord, Percentile
from snellen.records.meanings import MEANINGS
from snellen.records.report import ReportRecord
from snellen.records.reports import read_bench, read_compare, read_report
from snellen.records.schema import comments, described_fields, packaged, records, report_schema, unit

EXAMPLES = {"example": report_records.example, "cpu_example": report_records.cpu_example}
SCHEMA = report_schema()
WHOLE = Draft202012Validator(SCHEMA)


@cache
def text(name: str) -> str:
    return json.dumps(EXAMPLES[name]().to_dict(), allow_nan=False)


def document(name: str = "cpu_example") -> dict[str, Any]:
    return json.loads(text(name))


def shortened(value: Any) -> Any:
    """Return a document with lists of two at most: one sample is as good as five hundred to a schema."""
    if isinstance(value, dict):
        return {name: shortened(part) for name, part in value.items()}
    return [shortened(part) for part in value[:2]] if isinstance(value, list) else value


def found(cls: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name of a record, its document) for every record inside a document."""
    yield cls.__name__, value
    hints = get_type_hints(cls)
    for field in fields(cls):
        yield from inside(hints[field.name], value[field.name])


def inside(kind: Any, value: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(kind):
        yield from found(kind, value)
    elif get_origin(kind) is tuple:
        for part in value:
            yield from inside(get_args(kind)[0], part)
    elif get_origin(kind) is dict:
        for part in value.values():
            yield from inside(get_args(kind)[1], part)
    elif value is not None:
        for part in get_args(kind):
            if is_dataclass(part) or get_args(part):
                yield from inside(part, value)


def firsts() -> dict[str, Any]:
    """Return one document of each kind of record, as the examples hold them."""
    every: dict[str, Any] = {}
    for name in EXAMPLES:
        for kind, value in found(ReportRecord, document(name)):
            every.setdefault(kind, value)
    return {kind: shortened(value) for kind, value in every.items()}


FIRSTS = firsts()


def validator(kind: str) -> Draft202012Validator:
    if kind == "ReportRecord":
        return WHOLE
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]})


# ---- reading


@pytest.mark.parametrize("name", EXAMPLES)
def test_there_and_back_is_the_identity(name: str) -> None:
    record = EXAMPLES[name]()
    assert read_report(document(name)) == record
    assert read_report(document(name)).to_dict() == record.to_dict()
    assert read_bench(json.loads(json.dumps(record.bench.to_dict()))) == record.bench


def test_a_comparison_comes_back() -> None:
    row = Compared(batch=1, first_p50_ms=2.0, second_p50_ms=2.2, ratio=1.1, low=1.05, high=1.15, verdict="slower")
    record = CompareRecord(first="a", second="b", threshold=0.05, again=False, rows=(row,), differing=())
    assert read_compare(json.loads(json.dumps(record.to_dict()))) == record


@pytest.mark.parametrize(
    "whole", [None, [], "card", {}, {"schema": "snellen.verify/1"}, {"schema": "snellen.report/2"}]
)
def test_what_is_no_report_is_refused(whole: object) -> None:
    for read in (read_report, read_bench, read_compare):
        with pytest.raises(UsageError):
            read(whole)
    assert not WHOLE.is_valid(whole)


def test_the_mark_and_the_flag_go_together() -> None:
    whole = document("example")
    assert next(iter(whole)) == "SIMULATED"
    del whole["SIMULATED"]
    with pytest.raises(UsageError, match=r"not marked SIMULATED, and trial\.candidate\.simulated is true"):
        read_report(whole)
    assert not WHOLE.is_valid(whole)
    whole = {"SIMULATED": "the device was simulated", **document("cpu_example")}
    with pytest.raises(UsageError, match="is marked SIMULATED"):
        read_report(whole)
    assert not WHOLE.is_valid(whole)
    bench = document("example")["bench"]
    with pytest.raises(UsageError, match="not marked SIMULATED, and simulated is true"):
        read_bench({"schema": "snellen.bench/1", **bench})


@pytest.mark.parametrize("origin", [None, "hub", {}, {"kind": "memory"}])
def test_a_model_of_no_known_origin_is_refused(origin: object) -> None:
    for place in ("model", "trial", "bench"):
        whole = document()
        part = whole if place == "model" else whole[place]
        part["model"]["origin"] = origin
        with pytest.raises(UsageError, match=r"model\.origin"):
            read_report(whole)


# ---- the schema


def test_the_packaged_schema_is_that_of_the_records() -> None:
    assert json.loads(packaged()) == SCHEMA, "make docs"


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for kind in SCHEMA["$defs"].values():
        assert kind["additionalProperties"] is False
        assert kind["required"] == list(kind["properties"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_our_reports_are_valid(name: str) -> None:
    assert list(WHOLE.iter_errors(document(name))) == []


def test_every_kind_of_record_is_in_an_example() -> None:
    assert set(FIRSTS) == set(records(ReportRecord))
    assert set(SCHEMA["$defs"]) == set(FIRSTS) - {"ReportRecord"}


@pytest.mark.parametrize("kind", FIRSTS)
def test_every_field_is_needed_under_its_name_and_of_its_type(kind: str) -> None:
    check, hints = validator(kind), get_type_hints(records(ReportRecord)[kind])
    whole = FIRSTS[kind]
    if kind == "ReportRecord":  # its parts are looked at by themselves
        whole = {"schema": "snellen.report/1", **whole}
    assert check.is_valid(whole)
    for name, value in FIRSTS[kind].items():
        if name in ("schema", "SIMULATED"):
            continue
        without = {key: part for key, part in whole.items() if key != name}
        assert not check.is_valid(without), name
        assert not check.is_valid({**without, f"{name}s": value}), name
        if hints[name] is not Any:
            wrong = "text" if isinstance(value, dict) else {"unexpected": []}
            assert not check.is_valid({**whole, name: wrong}), name


def test_the_reader_refuses_what_the_schema_refuses() -> None:
    for path in (("bench", "points", 0, "latency", "mean_ms"), ("trial", "outputs", 0, "golden", "cosine")):
        for wrong in ("0.5", None, True, [], 2 if path[-1] == "cosine" else "2 ms"):
            whole = shortened(document())
            part: Any = whole
            for step in path[:-1]:
                part = part[step]
            part[path[-1]] = wrong
            valid = WHOLE.is_valid(whole)
            assert valid == (wrong is None and path[-1] == "cosine")
            if valid:
                read_report(whole)
            else:
                with pytest.raises(UsageError):
                    read_report(whole)


@pytest.mark.parametrize("value", [1.000015, -2])
def test_a_cosine_beyond_1_is_not_valid(value: float) -> None:
    row = copy.deepcopy(FIRSTS["SeedRow"])
    assert validator("SeedRow").is_valid({**row, "cosine": 1})
    assert not validator("SeedRow").is_valid({**row, "cosine": value})
    assert not validator("SeedRow").is_valid({**row, "max_abs": -1e-9})


def test_what_stands_beside_a_field_is_its_description() -> None:
    assert comments(Percentile) == {
        "percent": "",
        "ms": "",
        "upper_ms": "with 99 % confidence it is at most this; None where no sample is high enough",
        "because": "why there is none",
    }
    properties = SCHEMA["$defs"]["Percentile"]["properties"]
    assert properties["upper_ms"]["description"].startswith("with 99 % confidence")
    assert properties["upper_ms"]["unit"] == "ms"
    assert SCHEMA["$defs"]["Percentile"]["description"].startswith("One percentile")


def test_every_field_says_what_it_is() -> None:
    silent, used = [], set()
    for name, cls in records(ReportRecord).items():
        for field, said in comments(cls).items():
            hint = str(get_type_hints(cls)[field])
            used |= {f"{name}.{field}", field} if not said else set()
            if not described_fields(cls)[field] and "snellen.records" not in hint:
                silent.append(f"{name}.{field}")
    assert silent == []
    assert sorted(set(MEANINGS) - used) == []


def test_units_follow_from_names() -> None:
    assert [unit(name) for name in ("mean_ms", "load_s", "images_per_s", "weights_bytes", "cv_percent", "batch")] == [
        *("ms", "s", "1/s", "bytes", "%"),
        None,
    ]
