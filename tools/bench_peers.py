"""Measure snellen beside its peers: timm, transformers, torch.compile and ONNX Runtime, in one run, in alternation.

    make bench-peers                                     everything (about half an hour on two cores)
    .venv-peers/bin/python tools/bench_peers.py --quick  the smallest encoder, briefly; written to out/benchmarks
    ... --models SMALL --parts rates --only snellen timm part of it
    ... --page                                           write the page again from what was measured before

Out: docs/benchmarks/raw.json, every sample, and docs/benchmarks.md, written from it. What is measured again replaces
what was measured before; parts, encoders and cases that are not are kept, if they are of the same machine. What falls
is left out, with the reason, and after every round all samples are written.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))

from peers import cold, operators, page  # noqa: E402
from peers.alternate import ends, rates  # noqa: E402
from peers.cases import SMALL, SUBJECTS, THREADS  # noqa: E402
from peers.channel import WorkerError  # noqa: E402
from peers.photos import photographs  # noqa: E402
from snellen.timing import machine  # noqa: E402

PARTS = ("rates", "ends", "cold", "memory")
SCHEMA = "snellen.bench-peers/1"
Raw = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [subject.name for subject in SUBJECTS]
    parser.add_argument("--models", nargs="+", default=names, metavar="NAME", help="part of a name will do")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="CASE", help="a peer, a dtype, or both: 'timm float32'"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one turn, its warm-up among them")
    parser.add_argument("--int8-all", action="store_true", help="8 bits for every encoder, not for the ViT-S/16 alone")
    parser.add_argument("--quick", action="store_true", help="one small encoder, two short rounds, into out/benchmarks")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="where benchmarks.md and benchmarks/ go")
    told = parser.parse_args()
    if told.quick:
        told.models, told.rounds, told.seconds = [SMALL], 2, 1.0
        told.into = ROOT / "out" / "benchmarks" if told.into == ROOT / "docs" else told.into
    return told


def main() -> int:
    told = arguments()
    path = told.into / "benchmarks" / "raw.json"
    raw = read(path)
    if not told.page:
        os.environ[operators.ASKED] = operators.look()
        os.environ.setdefault("SNELLEN_CACHE", str(ROOT / "out" / "benchmarks" / "cache"))
        with TemporaryDirectory() as folder:
            measured(told, raw, path, Path(folder))
    text = page.document(read(path))
    told.into.mkdir(parents=True, exist_ok=True)
    (told.into / "benchmarks.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def read(path: Path) -> Raw:
    """Return what was measured before on this machine; end the program where it was another."""
    here = asdict(machine.describe())
    fresh = {"schema": SCHEMA, "machine": here, "threads": THREADS, "subjects": {}, "ends": {}}
    if not path.exists():
        return fresh
    raw = unpacked(json.loads(path.read_text(encoding="utf-8")))
    differing = [
        key for key in here if key != "memory_bytes" and raw["machine"][key] != json.loads(json.dumps(here[key]))
    ]
    if differing:
        sys.exit(
            f"{path} was measured on another machine or with other versions ({', '.join(differing)}): move it away"
        )
    return raw


def packed(raw: Raw) -> Raw:
    """Return the raw samples with vectors as float32 in base64: as text they would be most of the file."""

    def case(known: Raw) -> Raw:
        rows = known.get("vectors")
        if not rows:
            return known
        whole = numpy.array(rows, dtype="<f4")
        return known | {"vectors": {"shape": whole.shape, "float32": b64encode(whole.tobytes()).decode()}}

    return _each_case(raw, case)


def unpacked(raw: Raw) -> Raw:
    """Return the raw samples with vectors as rows of numbers again."""

    def case(known: Raw) -> Raw:
        held = known.get("vectors")
        if not isinstance(held, dict):
            return known
        whole = numpy.frombuffer(b64decode(held["float32"]), dtype="<f4").reshape(held["shape"])
        return known | {"vectors": whole.astype(float).tolist()}

    return _each_case(raw, case)


def _each_case(raw: Raw, change: Callable[[Raw], Raw]) -> Raw:
    """Return the raw samples with every case of every encoder changed, earlier runs of an encoder among them."""

    def run(known: Raw) -> Raw:
        cases = {name: change(case) for name, case in known.get("cases", {}).items()}
        earlier = [run(each) for each in known.get("earlier", [])]
        return known | ({"cases": cases} if cases else {}) | ({"earlier": earlier} if earlier else {})

    return raw | {"subjects": {name: run(known) for name, known in raw["subjects"].items()}}


def measured(told: argparse.Namespace, raw: Raw, path: Path, folder: Path) -> None:
    """Measure part after part; what falls is noted, and what there is is written all the while."""
    subjects = [subject for subject in SUBJECTS if any(name in subject.name for name in told.models)]
    log = path.with_name("workers.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)

    def save() -> None:
        draft = path.with_suffix(".draft")
        text = json.dumps(packed(raw)).replace(f"{ROOT}/", "")  # reasons may name files
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(path)

    def part(name: str, key: str, into: Raw, act: Callable[[Raw], None]) -> None:
        print(f"{name}: {key}", file=sys.stderr, flush=True)
        begin = time.monotonic()
        into.pop("error", None)
        into["made_at"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        try:
            act(into)
        except (WorkerError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            into["error"] = f"{type(error).__name__}: {error}"
            print(f"  {into['error']}", file=sys.stderr, flush=True)
        print(f"  {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        prune(into)
        save()

    if "rates" in told.parts:
        for subject in subjects:
            into = raw["subjects"][subject.name] = renewed(raw["subjects"].get(subject.name))
            part("rates", subject.name, into, lambda into, subject=subject: rates(subject, told, log, into, save))
    if "ends" in told.parts:
        photographs(folder / "photographs")
        for subject in subjects:
            run = lambda into, subject=subject: ends(subject, told, folder / "photographs", log, into, save)  # noqa: E731
            part("from files", subject.name, raw["ends"].setdefault(subject.name, {}), run)
    if "cold" in told.parts:
        part(
            "cold",
            "starts",
            raw.setdefault("cold", {}),
            lambda into: into.update(cold.cold_starts(folder, told.rounds)),
        )
    if "memory" in told.parts and not told.quick:
        part("memory", "peaks", raw.setdefault("memory", {}), lambda into: into.update(cold.memory(folder)))
    save()


def renewed(before: Raw | None) -> Raw:
    """Return an empty run that keeps the one before it, and those that it kept."""
    if before is None:
        return {"cases": {}}
    earlier = before.pop("earlier", [])
    return {"cases": {}, "earlier": [before, *earlier]}


def prune(run: Raw) -> None:
    """Let go of earlier runs all of whose cases were tried again."""
    known, kept = set(run.get("cases", ())), []
    for one in run.pop("earlier", ()):
        if set(one["cases"]) - known:
            kept.append(one)
            known |= set(one["cases"])
    if kept:
        run["earlier"] = kept


if __name__ == "__main__":
    sys.exit(main())
