"""The benchmark's page: figures from raw samples, thresholds judged, nothing claimed that was not measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

from peers import figures, page
from peers.alternate import count
from peers.cases import SMALL, SUBJECTS, Case, cases_of
from peers.channel import Load, Worker, WorkerError
from peers.promises import promises

LARGE = "apple/aimv2-large-patch14-224-distilled"


def rate(images, others=0.0):
    load = {"idle_workers": 0.0, "others": others, "stolen": None}
    return {"1": {"images_per_s": images, "latency_s": 1 / images, "load": load}}


def run(rounds, others=0.0, **vectors):
    """Return the raw samples of one encoder: each round gives a rate to every case."""
    cases = {
        name: {
            "operations": 10**9,
            "rounds": [rate(values[name], others) for values in rounds],
            "counted": "1",
            **vectors,
        }
        for name in rounds[0]
    }
    ceilings = {dtype: [{"operations_per_s": top} for top in (90e9, 100e9)] for dtype in ("float32", "bfloat16")}
    return {"cases": cases, "ceilings": ceilings, "table": {"values": rounds, "orders": []}}


def raw_of(**subjects):
    machine = {
        "product": "Abacus",
        "architecture": "x",
        "cores": 2,
        "threads": 2,
        "flags": [],
        "memory_bytes": None,
        "system": "Linux",
        "versions": {"torch": "9"},
    }
    return {"machine": machine, "threads": 2, "subjects": subjects, "ends": {}}


ROUNDS = (
    {"timm float32": 10.0, "ONNX Runtime float32": 11.0, "snellen float32": 95.0, "snellen int8": 20.0},
    {"timm float32": 20.0, "ONNX Runtime float32": 22.0, "snellen float32": 25.0, "snellen int8": 80.0},
    {"timm float32": 10.0, "ONNX Runtime float32": 16.0, "snellen float32": 12.0, "snellen int8": 40.0},
)


def found(raw):
    return {(p.what, p.encoder.strip("`")): p for p in promises(raw)}


def test_ratios_are_of_the_same_round_and_shares_of_the_best_ceiling() -> None:
    one = run(ROUNDS)
    over = figures.over(one, "snellen float32")
    assert over is not None
    assert over.values == (9.5, 1.25, 1.2)
    assert over.median == 1.25
    assert figures.over(one, "timm bfloat16") is None
    assert figures.share(one, "snellen float32") == pytest.approx(25 * 1e9 / 100e9)
    assert figures.share(one, "torch.compile float32") is None


def test_one_batch_counts_in_all_rounds() -> None:
    rounds = [{"1": {"images_per_s": one}, "8": {"images_per_s": eight}} for one, eight in ((9, 5), (4, 5), (4, 5))]
    raw = {"cases": {"x": {"rounds": rounds}}, "table": {"values": [{"x": 9.0, "y": 1.0}] * 3}}
    raw["table"]["values"] = [dict(values) for values in raw["table"]["values"]]
    count(raw, "x")
    assert raw["cases"]["x"]["counted"] == "8"
    assert [values["x"] for values in raw["table"]["values"]] == [5, 5, 5]  # not 9 for the one lucky round
    assert [values["y"] for values in raw["table"]["values"]] == [1, 1, 1]


def test_promises_are_judged_by_their_thresholds() -> None:
    judged = found(raw_of(**{SMALL: run(ROUNDS)}))
    assert judged["float32 over timm float32", SMALL].verdict == "met"
    assert judged["int8 over timm float32", SMALL].verdict == "met"
    assert judged["snellen float32 over ONNX Runtime float32", SMALL].verdict == "met"
    assert judged["share of the float32 ceiling", SMALL].verdict == "**not met**"
    slow = tuple({**values, "snellen float32": 1.14 * values["timm float32"]} for values in ROUNDS)
    judged = found(raw_of(**{SMALL: run(slow)}))
    assert judged["float32 over timm float32", SMALL].verdict == "**not met**"
    assert judged["snellen float32 over ONNX Runtime float32", SMALL].verdict == "met"


def test_what_was_not_measured_is_not_met() -> None:
    verdicts = {p.verdict for p in promises(raw_of())}
    assert verdicts == {"not measured"}
    judged = found(raw_of(**{SMALL: run(ROUNDS)}))
    assert judged["float32 over timm float32", "geometric mean of all five"].verdict == "not measured"
    whole = raw_of(**{subject.name: run(ROUNDS) for subject in SUBJECTS})
    assert found(whole)["float32 over timm float32", "geometric mean of all five"].verdict == "met"


def test_files_cold_starts_and_memory_are_judged() -> None:
    raw = raw_of()
    values = [{"decode": 100.0, "model": 100.0, "end": end} for end in (40.0, 46.5, 50.0)]
    raw["ends"][SMALL] = {"cases": {"float32": {"table": {"values": values}}, "int8": {"error": "no nncf"}}}
    raw["cold"] = {"name": SMALL, "filling_s": {"snellen": 3.0}}
    raw["cold"]["rounds"] = {
        name: [{"first_s": s, "end_s": s}] for name, s in (("timm", 3.0), ("transformers", 4.0), ("snellen", 0.7))
    }
    raw["memory"] = {"name": LARGE, "weights_bytes": 100, "first_bytes": 320, "warm_bytes": 231}
    judged = found(raw)
    assert judged["from files, float32: share of what is allowed", SMALL].measured == "93.0%"
    assert judged["from files, float32: share of what is allowed", SMALL].verdict == "met"
    assert judged["from files, int8: share of what is allowed", SMALL].verdict == "not measured"
    assert judged["cold start, seconds", SMALL].verdict == "met"
    assert judged["cold start over timm's", SMALL].verdict == "**not met**"
    assert judged["peak memory of the first run over the weights", LARGE].verdict == "met"
    assert judged["peak memory with a warm cache over the weights", LARGE].verdict == "**not met**"
    assert "no nncf" in page.document(raw)


def test_the_page_says_what_it_does_not_know_and_that_the_machine_was_busy() -> None:
    text = page.document(raw_of())
    assert text.count("Not measured.") >= 6
    assert "not quiet" not in text
    assert "not quiet" not in page.document(raw_of(**{SMALL: run(ROUNDS, others=0.01)}))
    assert "not quiet" in page.document(raw_of(**{SMALL: run(ROUNDS, others=0.5)}))
    broken = run(ROUNDS)
    broken["cases"]["timm bfloat16"] = {"error": "it fell over"}
    assert "not measured" in page.document(raw_of(**{SMALL: broken}))


def test_agreement_counts_neighbours_and_keeps_the_least_cosine() -> None:
    one = run(ROUNDS)
    one["cases"]["snellen float32"]["vectors"] = [[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [0.2, 1.0]]
    one["cases"]["snellen int8"]["vectors"] = [[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [1.0, 0.1]]
    agreed = figures.agreement(one, "snellen int8")
    assert agreed is not None
    assert agreed[0] < 0.5
    assert agreed[1] == 0.0
    assert figures.agreement(one, "timm float32") is None
    one["cases"]["snellen int8"]["vectors"] = one["cases"]["snellen float32"]["vectors"]
    assert figures.agreement(one, "snellen int8") == (pytest.approx(1.0), 1.0)


def test_cases_can_be_chosen() -> None:
    small = next(subject for subject in SUBJECTS if subject.name == SMALL)
    assert Case("snellen", "int8", (1, 2, 4)) in cases_of(small, (), int8_all=False)
    assert all(case.dtype != "int8" for case in cases_of(SUBJECTS[-1], (), int8_all=False))
    assert any(case.dtype == "int8" for case in cases_of(SUBJECTS[-1], (), int8_all=True))
    assert {case.peer for case in cases_of(small, ("timm",), int8_all=False)} == {"timm"}
    assert [case.name for case in cases_of(small, ("timm float32",), int8_all=False)] == ["timm float32"]


def test_a_worker_answers_and_tells_what_went_wrong(tmp_path: Path) -> None:
    log = tmp_path / "log"
    worker = Worker(log, kind="ceiling", threads=1)
    try:
        load = Load(worker, [])
        with pytest.raises(WorkerError, match="there is no dtype named 'float7'"):
            worker.ask("measure", dtype="float7")
        assert worker.ask("measure", dtype="int8")["operations_per_s"] is None  # it goes on after an error
        assert load.end()["idle_workers"] == 0.0
    finally:
        worker.close()
    assert worker.process.returncode == 0
    with pytest.raises(WorkerError, match="ended"):
        worker.ask("measure", dtype="int8")
    with pytest.raises(WorkerError, match="there is no"):
        Worker(log, kind="peer", threads=1, name="nobody", side=8, peer="snellen", dtype="float32", batches=[1])
