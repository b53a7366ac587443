"""The benchmark's page: figures from raw samples, thresholds judged, nothing claimed that was not measured."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent.parent / "tools"))  # behind the tests: both have a "parity"

import bench_peers
from peers import channel, figures, page
from peers.alternate import alternated, count, started
from peers.cases import BASELINE, SMALL, SUBJECTS, Case, cases_of
from peers.channel import Load, Worker, WorkerError
from peers.promises import at_least, at_most, promises

LARGE = "apple/aimv2-large-patch14-224-distilled"


def rate(images, others=0.0):
    load = {"idle_workers": 0.0, "others": others, "stolen": None}
    return {"1": {"images_per_s": images, "latency_s": 1 / images, "load": load}}


def run(rounds, others=0.0, **vectors):
    """Return the raw samples of one encoder: each round gives a rate to every case."""
    vectors = {"vectors": [[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [0.2, 1.0]]} | vectors
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


def test_a_figure_that_misses_its_threshold_never_looks_like_it() -> None:
    missed = at_least("x", "y", 1.2496, 1.25)
    assert (missed.measured, missed.wanted, missed.verdict) == ("1.2496", "at least 1.2500", "**not met**")
    share = at_most("x", "y", 0.92004, 0.92, "{:.1%}")
    assert (share.measured, share.wanted) == ("92.004%", "at most 92.000%")
    met = at_least("x", "y", 1.25, 1.25)
    assert (met.measured, met.wanted, met.verdict) == ("1.25", "at least 1.25", "met")


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


def test_what_computes_something_else_is_not_met() -> None:
    one = run(ROUNDS)
    agreed = figures.agreement(one, "snellen int8")
    assert agreed is not None
    assert agreed.holds
    assert (agreed.apart, agreed.nearest, agreed.least) == (0, 1, pytest.approx(1))
    for vectors, apart in (
        ([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [1.0, 0.1]], 0.6),  # another picture's
        ([[1.03, 0.0], [1.03, 0.206], [0.0, 1.03], [0.206, 1.03]], 0.03),  # the scale, to which cosines are blind
    ):
        for name in ("snellen int8", "snellen float32"):
            one = run(ROUNDS)
            one["cases"][name]["vectors"] = vectors
            agreed = figures.agreement(one, name)
            assert agreed is not None
            assert not agreed.holds
            assert agreed.apart == pytest.approx(apart, rel=0.2)
            judged = found(raw_of(**{SMALL: one}))
            assert judged[f"{name.split()[1]} over timm float32", SMALL].verdict == "**not shown**"
    assert judged["int8 over timm float32", SMALL].verdict == "met"
    assert judged["snellen float32 over ONNX Runtime float32", SMALL].verdict == "**not shown**"
    for vectors in (None, [[1.0, 0.0]], [[1.0]] * 4):
        one["cases"]["snellen int8"]["vectors"] = vectors
        assert figures.agreement(one, "snellen int8") is None
        assert found(raw_of(**{SMALL: one}))["int8 over timm float32", SMALL].verdict == "**not shown**"


def test_float32_and_bfloat16_have_limits_of_their_own() -> None:
    rounds = [{"timm float32": 1.0, "x float32": 1.0, "x bfloat16": 1.0}]
    one = run(rounds)
    for by, float32, bfloat16 in ((5e-5, True, True), (2e-4, False, True), (0.04, False, False)):
        moved = [[(1 + by) * value for value in row] for row in one["cases"][BASELINE]["vectors"]]
        for name in ("x float32", "x bfloat16"):
            one["cases"][name]["vectors"] = moved
        assert figures.shown(one, "x float32") == float32
        assert figures.shown(one, "x bfloat16") == bfloat16
        assert figures.shown(one, "x float32", "x bfloat16") == (float32 and bfloat16)


def test_cases_can_be_chosen() -> None:
    small = next(subject for subject in SUBJECTS if subject.name == SMALL)
    assert Case("snellen", "int8") in cases_of(small, (), int8_all=False)
    assert all(case.dtype != "int8" for case in cases_of(SUBJECTS[-1], (), int8_all=False))
    assert any(case.dtype == "int8" for case in cases_of(SUBJECTS[-1], (), int8_all=True))
    assert {case.peer for case in cases_of(small, ("timm",), int8_all=False)} == {"timm"}
    chosen = cases_of(small, ("snellen int8",), int8_all=False)
    assert [case.name for case in chosen] == [BASELINE, "snellen int8"]  # what ratios are to is measured with it


def test_who_falls_is_left_out_and_the_others_go_on() -> None:
    def falls(_: float) -> float:
        if len(into["table"]["values"]) == 1:
            raise WorkerError("it fell")
        return 7.0

    into = {"cases": {"a": {"rounds": []}, "b": {"rounds": []}}}
    kept: list[int] = []
    told = argparse.Namespace(rounds=3, seconds=2.0)
    alternated(
        {"a": falls, "b": lambda seconds: seconds}, told, into, lambda: kept.append(len(into["table"]["values"]))
    )
    assert into["table"]["values"] == [{"b": 2.0}] * 3
    assert into["cases"]["a"] == {"error": "in round 2: it fell"}
    assert kept == [1, 2, 3]  # what there is can be written after every round


def test_a_case_that_cannot_be_built_is_noted(tmp_path: Path, monkeypatch) -> None:
    class Broken(Worker):
        def __init__(self, *_, **__) -> None:
            raise WorkerError("no such package")

    monkeypatch.setattr("peers.alternate.Worker", Broken)
    into: dict[str, object] = {}
    assert started(Case("timm", "float32"), SUBJECTS[0], into, False, tmp_path / "log") is None
    assert into == {"timm float32": {"error": "no such package"}}


def test_what_is_measured_again_deletes_nothing_else() -> None:
    before = run(ROUNDS)
    again = bench_peers.renewed(before)
    again |= run([{"timm float32": 10.0, "snellen int8": 60.0}] * 2)
    bench_peers.prune(again)
    assert figures.over(again, "snellen int8").values == (6.0, 6.0)
    assert figures.over(again, "snellen float32").values == (9.5, 1.25, 1.2)  # of the run that had both
    assert figures.rate(again, "ONNX Runtime float32") == 16.0
    again["cases"]["snellen int8"] = {"error": "it fell"}
    assert figures.over(again, "snellen int8") is None  # what no longer can be measured is not claimed
    assert "it fell" in page.document(raw_of(**{SMALL: again}))
    whole = bench_peers.renewed(again)
    whole |= run(ROUNDS)
    bench_peers.prune(whole)
    assert "earlier" not in whole


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
        Worker(log, kind="peer", threads=1, name="nobody", side=8, peer="snellen", dtype="float32")


def test_a_worker_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch) -> None:
    script = tmp_path / "sleeps.py"
    script.write_text("import time\nprint('{}', flush=True)\ntime.sleep(60)\n")
    monkeypatch.setattr(channel, "WORKER", script)
    worker = Worker(tmp_path / "log", kind="peer", threads=1)
    with pytest.raises(WorkerError, match="did not answer within 0 s"):
        worker.ask("measure", limit_s=0.1)
    assert worker.process.returncode == -9
    with pytest.raises(WorkerError, match="ended"):
        worker.ask("measure")
    worker.close()
    script.write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(WorkerError, match="did not answer"):
        Worker(tmp_path / "log", build_s=0.1, kind="peer", threads=1)


def test_vectors_are_kept_to_the_last_bit_in_few_bytes() -> None:
    row = [float(f"{value:.9g}") for value in np.random.default_rng(0).standard_normal(384, dtype=np.float32)]
    one = run(ROUNDS, vectors=[row, row[::-1]])
    one["earlier"] = [run(ROUNDS, vectors=[row[::-1]])]
    raw = raw_of(**{SMALL: one})
    kept = json.dumps(bench_peers.packed(raw))
    assert len(kept) < 0.6 * len(json.dumps(raw))
    again = bench_peers.unpacked(json.loads(kept))
    for mine, theirs in ((again["subjects"][SMALL], one), (again["subjects"][SMALL]["earlier"][0], one["earlier"][0])):
        for name, case in theirs["cases"].items():
            found, exact = (np.array(each["vectors"], np.float32) for each in (mine["cases"][name], case))
            assert np.array_equal(found, exact)
    assert json.dumps(bench_peers.packed(again)) == kept
    assert raw["subjects"][SMALL]["cases"]["snellen int8"]["vectors"][0] == row  # what goes on is left as it is
