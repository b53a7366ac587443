"""All cases of an encoder in alternation: each in a worker of its own, told in turn to measure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from peers.cases import CEILINGS, ENDS, THREADS, Case, Subject, cases_of
from peers.channel import Load, Worker, WorkerError
from snellen.records.timing import Rounds
from snellen.timing.rates import interleaved

Raw = dict[str, Any]


def rates(subject: Subject, told: argparse.Namespace, log: Path) -> Raw:
    """Measure every case and the ceilings of matrix products, round by round."""
    ceiling = Worker(log, kind="ceiling", threads=THREADS)
    workers: dict[str, Worker] = {}
    raw: Raw = {"rounds": told.rounds, "seconds": told.seconds, "cases": {}, "ceilings": {}}
    try:
        for case in cases_of(subject, tuple(told.only), int8_all=told.int8_all):
            _start(case, subject, workers, raw, told.seconds / 2, log)
        everyone = [ceiling, *workers.values()]
        turns: dict[str, Callable[[float], float]] = {}
        for name, worker in workers.items():
            turns[name] = _case(worker, everyone, raw["cases"][name])
        for dtype in CEILINGS:
            raw["ceilings"][dtype] = []
            turns[f"ceiling {dtype}"] = _ceiling(ceiling, dtype, raw["ceilings"][dtype])
        raw["table"] = asdict(_alternated(turns, told))
        for name, worker in workers.items():
            count(raw, name)
            if name.startswith("snellen"):
                raw["cases"][name] |= _asked(worker, "embed")
    finally:
        for worker in (ceiling, *workers.values()):
            worker.close()
    return raw


def count(raw: Raw, name: str) -> None:
    """Let one batch of a case count in all rounds, the one of the best median.

    The best of each round would favour whoever has more batches to choose from, on nothing but noise.
    """
    case = raw["cases"][name]
    batches = case["rounds"][0]
    case["counted"] = max(batches, key=lambda b: median(found[b]["images_per_s"] for found in case["rounds"]))
    for values, found in zip(raw["table"]["values"], case["rounds"], strict=True):
        values[name] = found[case["counted"]]["images_per_s"]


def ends(subject: Subject, told: argparse.Namespace, folder: Path, log: Path) -> Raw:
    """Measure decoding alone, the model alone and both together, for every dtype."""
    raw: Raw = {"rounds": told.rounds, "seconds": told.seconds, "cases": {}}
    only = set(told.only) & set(ENDS) or set(ENDS)
    for dtype in ENDS:
        if dtype not in only or (dtype == "int8" and not (subject.int8 or told.int8_all)):
            continue
        try:
            worker = Worker(log, kind="end", name=subject.name, dtype=dtype, folder=str(folder), threads=THREADS)
        except WorkerError as error:
            raw["cases"][dtype] = {"error": str(error)}
            continue
        try:
            found = raw["cases"][dtype] = {**worker.about, "rounds": {"decode": [], "model": [], "end": []}}
            found["table"] = asdict(_alternated(_end(worker, found["rounds"]), told))
        finally:
            worker.close()
    return raw


def _start(case: Case, subject: Subject, workers: dict[str, Worker], raw: Raw, seconds: float, log: Path) -> None:
    """Start a case's worker and let it look for its best batch; what cannot be measured is noted with the reason."""
    print(f"  {case.name}", file=sys.stderr, flush=True)
    spec = {"name": subject.name, "side": subject.side, "peer": case.peer, "dtype": case.dtype}
    try:
        worker = Worker(log, kind="peer", threads=THREADS, batches=case.batches, **spec)
    except WorkerError as error:
        raw["cases"][case.name] = {"error": str(error)}
        return
    try:
        raw["cases"][case.name] = {**worker.about, **worker.ask("scout", seconds=seconds), "rounds": []}
        workers[case.name] = worker
    except WorkerError as error:
        worker.close()
        raw["cases"][case.name] = {"error": str(error)}


def _case(worker: Worker, everyone: list[Worker], into: Raw) -> Callable[[float], float]:
    """Return what measures a case once: every batch it kept; which of them counts is seen in the end, see ``count``."""

    def turn(seconds: float) -> float:
        found: Raw = {}
        for batch in into["kept"]:
            load = Load(worker, [other for other in everyone if other is not worker])
            rate = worker.ask("measure", batch=batch, seconds=seconds)
            found[str(batch)] = {**rate, "load": load.end()}
        into["rounds"].append(found)
        return max(rate["images_per_s"] for rate in found.values())

    return turn


def _ceiling(worker: Worker, dtype: str, into: list[Raw]) -> Callable[[float], float]:
    def turn(_: float) -> float:
        into.append(worker.ask("measure", dtype=dtype))
        return float(into[-1]["operations_per_s"])

    return turn


def _end(worker: Worker, into: dict[str, list[Raw]]) -> dict[str, Callable[[float], float]]:
    """Return what measures each of the three once."""
    expected = worker.ask("model", seconds=1.0)["images_per_s"]

    def turn(do: str, **arguments: Any) -> Callable[[float], float]:
        def measure(seconds: float) -> float:
            into[do].append(worker.ask(do, seconds=seconds, **arguments))
            return float(into[do][-1]["images_per_s"])

        return measure

    return {"decode": turn("decode"), "model": turn("model"), "end": turn("end", expected=expected)}


def _alternated(turns: dict[str, Callable[[float], float]], told: argparse.Namespace) -> Rounds:
    return interleaved(turns, told.rounds, told.seconds)


def _asked(worker: Worker, do: str) -> Raw:
    try:
        return worker.ask(do)
    except WorkerError as error:
        return {f"{do}_error": str(error)}
