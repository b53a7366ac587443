"""All cases of an encoder in alternation: each in a worker of its own, told in turn to measure.

A case that falls is left out, with the reason, and the others go on; after every round what there is can be kept.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from peers.cases import CEILINGS, ENDS, SCOUT_S, THREADS, Case, Subject, cases_of
from peers.channel import Load, Worker, WorkerError

Raw = dict[str, Any]
Turns = dict[str, Callable[[float], float]]
Act = Callable[[], None]


def rates(subject: Subject, told: argparse.Namespace, log: Path, into: Raw, save: Act) -> None:
    """Measure every case and the ceilings of matrix products, round by round."""
    ceiling = Worker(log, kind="ceiling", threads=THREADS)
    workers: dict[str, Worker] = {}
    into |= {"rounds": told.rounds, "seconds": told.seconds, "cases": {}, "ceilings": {}}
    parts = subject.int8 or told.int8_all
    try:
        for case in cases_of(subject, tuple(told.only), int8_all=told.int8_all):
            print(f"  {case.name}", file=sys.stderr, flush=True)
            worker = started(case, subject, into["cases"], parts, log)
            if worker is not None:
                workers[case.name] = worker
        everyone = [ceiling, *workers.values()]
        turns: Turns = {name: _case(worker, everyone, into["cases"][name]) for name, worker in workers.items()}
        for dtype in CEILINGS:
            turns[f"ceiling {dtype}"] = _ceiling(ceiling, dtype, into["ceilings"].setdefault(dtype, []))

        def finish() -> None:
            for name, case in into["cases"].items():
                if case.get("rounds"):
                    count(into, name)
            save()

        alternated(turns, told, into, finish)
    finally:
        for worker in (ceiling, *workers.values()):
            worker.close()


def started(case: Case, subject: Subject, into: Raw, parts: bool, log: Path) -> Worker | None:
    """Start a case's worker, find its batch and see what it computes; note why where that cannot be done."""
    spec = {"name": subject.name, "side": subject.side, "peer": case.peer, "dtype": case.dtype}
    worker = None
    try:
        worker = Worker(log, kind="peer", threads=THREADS, **spec)
        found = {**worker.about, **worker.ask("scout", seconds=SCOUT_S), "rounds": []}
        into[case.name] = found | worker.ask("embed", batch=found["kept"][0], parts=parts)
    except WorkerError as error:
        if worker is not None:
            worker.close()
        into[case.name] = {"error": str(error)}
        return None
    return worker


def alternated(turns: Turns, told: argparse.Namespace, into: Raw, finish: Act) -> None:
    """Give all their turn once a round, in an order drawn anew; who falls is dropped from the rounds before, too."""
    drawn, alive = random.Random(0), dict(turns)
    table = into["table"] = {"values": [], "orders": []}
    for _ in range(told.rounds):
        order = drawn.sample(list(turns), len(turns))
        values: dict[str, float] = {}
        for name in [name for name in order if name in alive]:
            try:
                values[name] = alive[name](told.seconds)
            except WorkerError as error:
                drop(into, name, str(error))
                del alive[name]
        table["orders"].append(order)
        table["values"].append(values)
        finish()


def drop(into: Raw, name: str, reason: str) -> None:
    """Leave a case out of all rounds, and keep why; of ceilings and of parts of a whole only what is there is kept."""
    for values in into["table"]["values"]:
        values.pop(name, None)
    if name in into.get("cases", {}):
        into["cases"][name] = {"error": f"in round {len(into['table']['values']) + 1}: {reason}"}
    else:
        into["error"] = f"{name}: {reason}"


def count(raw: Raw, name: str) -> None:
    """Let one batch of a case count in all rounds, the one of the best median.

    The best of each round would favour whoever has more batches to choose from, on nothing but noise.
    """
    case = raw["cases"][name]
    batches = case["rounds"][0]
    case["counted"] = max(batches, key=lambda b: median(found[b]["images_per_s"] for found in case["rounds"]))
    for values, found in zip(raw["table"]["values"], case["rounds"], strict=True):
        values[name] = found[case["counted"]]["images_per_s"]


def ends(subject: Subject, told: argparse.Namespace, folder: Path, log: Path, into: Raw, save: Act) -> None:
    """Measure decoding alone, the model alone and both together, for every dtype."""
    into |= {"rounds": told.rounds, "seconds": told.seconds}
    cases = into.setdefault("cases", {})
    only = set(told.only) & set(ENDS) or set(ENDS)
    for dtype in ENDS:
        if dtype not in only or (dtype == "int8" and not (subject.int8 or told.int8_all)):
            continue
        worker = None
        try:
            worker = Worker(log, kind="end", name=subject.name, dtype=dtype, folder=str(folder), threads=THREADS)
            found = {**worker.about, "rounds": {"decode": [], "model": [], "end": []}}
            alternated(_end(worker, found["rounds"]), told, found, lambda: None)
            cases[dtype] = found
        except WorkerError as error:
            cases[dtype] = {"error": str(error)}
        finally:
            if worker is not None:
                worker.close()
        save()


def _case(worker: Worker, everyone: list[Worker], into: Raw) -> Callable[[float], float]:
    """Return what measures a case once: the batches it kept share its turn; which of them counts, ``count`` says."""

    def turn(seconds: float) -> float:
        found: Raw = {}
        for batch in into["kept"]:
            load = Load(worker, [other for other in everyone if other is not worker])
            rate = worker.ask("measure", batch=batch, seconds=seconds / len(into["kept"]))
            found[str(batch)] = {**rate, "load": load.end()}
        into["rounds"].append(found)
        return max(rate["images_per_s"] for rate in found.values())

    return turn


def _ceiling(worker: Worker, dtype: str, into: list[Raw]) -> Callable[[float], float]:
    def turn(_: float) -> float:
        into.append(worker.ask("measure", dtype=dtype))
        return float(into[-1]["operations_per_s"])

    return turn


def _end(worker: Worker, into: dict[str, list[Raw]]) -> Turns:
    """Return what measures each of the three once."""
    expected = worker.ask("model", seconds=1.0)["images_per_s"]

    def turn(do: str, **arguments: Any) -> Callable[[float], float]:
        def measure(seconds: float) -> float:
            into[do].append(worker.ask(do, seconds=seconds / 1.5, **arguments))
            return float(into[do][-1]["images_per_s"])

        return measure

    return {"decode": turn("decode"), "model": turn("model"), "end": turn("end", expected=expected)}
