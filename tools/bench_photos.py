"""Measure photographs of 12 million pixels on their way to vectors: snellen exact and fast, and timm with a DataLoader.

    python tools/bench_photos.py           everything, on a quiet machine (about five minutes on two cores)
    python tools/bench_photos.py --quick   two short rounds, written to out/benchmarks
    ... --page                             write the page again from what was measured before

Out: docs/benchmarks/photos.json, every sample, and docs/benchmarks-photos.md, written from it. All cases take turns in
every round, in an order drawn anew; ratios are formed within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))

from peers import operators  # noqa: E402
from peers.cases import THREADS  # noqa: E402
from peers.channel import Load, Worker  # noqa: E402
from peers.figures import cosine  # noqa: E402
from peers.photos import LARGE, PHOTOS, large_photographs  # noqa: E402
from peers.quiet import table  # noqa: E402
from snellen.records.timing import Ratio, ratio  # noqa: E402
from snellen.timing import machine  # noqa: E402

SCHEMA = "snellen.bench-photos/1"
MODEL = "vit_small_patch16_224.augreg_in21k"
ANSWER_S = 600.0
COSINE = 0.995
Raw = dict[str, Any]

CASES = {
    "timm": "timm: float32, PIL, its own transform, a DataLoader with {threads} workers",
    "exact": "snellen exact",
    "fast": "snellen `--decode fast`",
    "encoder": "snellen, the encoder alone",
    "decode exact": "snellen, reading and decoding alone, exact",
    "decode fast": "snellen, reading and decoding alone, fast",
}

PROMISES = (("exact", "timm", 1.3), ("fast", "timm", 3.2), ("fast", "exact", 2.3))
OTHERS = (("decode fast", "decode exact"), ("fast", "encoder"), ("exact", "encoder"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL, help="timm's name of an encoder")
    parser.add_argument("--dtype", default="bfloat16", help="of snellen's encoder")
    parser.add_argument("--rounds", type=int, help="5, or 2 with --quick")
    parser.add_argument("--images", type=int, help="of one measurement: 96, or 16 with --quick")
    parser.add_argument("--quick", action="store_true", help="two rounds of 16 images, into out/benchmarks")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="where the page and benchmarks/ go")
    told = parser.parse_args()
    told.rounds, told.images = told.rounds or (2 if told.quick else 5), told.images or (16 if told.quick else 96)
    if told.quick:
        told.into = ROOT / "out" / "benchmarks" if told.into == ROOT / "docs" else told.into
    return told


def main() -> int:
    told = arguments()
    path = told.into / "benchmarks" / "photos.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not told.page:
        os.environ[operators.ASKED] = operators.look()
        os.environ.setdefault("SNELLEN_CACHE", str(ROOT / "out" / "benchmarks" / "cache"))
        with TemporaryDirectory() as folder:
            raw = measured(told, Path(folder) / "photographs", path.with_name("photos-workers.log"))
        path.write_text(json.dumps(raw).replace(f"{ROOT}/", "") + "\n", encoding="utf-8")
    text = page(json.loads(path.read_text(encoding="utf-8")))
    (told.into / "benchmarks-photos.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def measured(told: argparse.Namespace, folder: Path, log: Path) -> Raw:
    """Measure all cases in turns, and compare their vectors."""
    files = large_photographs(folder)
    raw: Raw = {
        "schema": SCHEMA,
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": asdict(machine.describe()),
        "threads": THREADS,
        "model": told.model,
        "dtype": told.dtype,
        "size": LARGE,
        "bytes": {file.name: file.stat().st_size for file in files},
        "images": told.images,
        "rounds": [],
    }
    spec = {"kind": "large", "name": told.model, "threads": THREADS, "folder": str(folder)}
    workers: list[Worker] = []
    try:
        for peer in ("snellen", "timm"):
            workers.append(Worker(log, peer=peer, dtype=told.dtype, **spec))
        own, timm = workers
        raw["about"] = {"snellen": own.about, "timm": timm.about}
        drawn = random.Random(0)
        for number in range(-1, told.rounds):
            order = drawn.sample(list(CASES), len(CASES))
            found = {case: _turn(case, own, timm, told.images if number >= 0 else 0) for case in order}
            if number >= 0:  # the round before the first warms up
                raw["rounds"].append({"order": order, "values": found})
        raw["cosines"] = {
            "large": _cosines(own, "fast", own, folder),
            "as they are": _cosines(own, "fast", own, PHOTOS),
            "timm": _cosines(timm, "timm", own, folder),
        }
    finally:
        for worker in workers:
            worker.close()
    return raw


def _turn(case: str, own: Worker, timm: Worker, images: int) -> Raw:
    """Measure one case once; no images are as few as wake its threads."""
    worker, other = (timm, own) if case == "timm" else (own, timm)
    print(f"  {case}", file=sys.stderr, flush=True)
    load = Load(worker, [other])
    found = worker.ask("measure", case=case, images=images or 2 * THREADS, limit_s=ANSWER_S)
    return {**found, "load": load.end()}


def _cosines(worker: Worker, way: str, own: Worker, folder: Path) -> dict[str, float]:
    """Return the cosine of each file's vector to that of exact decoding."""
    exact, found = (
        each.ask("vectors", way=name, folder=str(folder), limit_s=ANSWER_S)["vectors"]
        for each, name in ((own, "exact"), (worker, way))
    )
    return {name: cosine(found[name], exact[name]) for name in sorted(exact)}


def over(raw: Raw, name: str, under: str) -> Ratio:
    """Return one case over another, round by round."""
    values = [each["values"] for each in raw["rounds"]]
    rates = [tuple(value[case]["images_per_s"] for value in values) for case in (name, under)]
    return ratio(rates[0], rates[1])


def page(raw: Raw) -> str:
    """Write what was measured."""
    rounds = [each["values"] for each in raw["rounds"]]
    rates = {case: [value[case]["images_per_s"] for value in rounds] for case in CASES}
    lines = [
        (text.format(threads=raw["threads"]), f"{median(rates[case]):.2f}", _range(rates[case]))
        for case, text in CASES.items()
    ]
    promised = [
        (*_line(raw, a, b), f"at least {least}", _met(over(raw, a, b).median >= least)) for a, b, least in PROMISES
    ]
    lowest = min(min(raw["cosines"][which].values()) for which in ("large", "as they are"))
    promised.append(
        ("cosine of fast to exact", f"{lowest:.6f}", "the lowest", f"at least {COSINE}", _met(lowest >= COSINE))
    )
    return "\n".join(
        (
            "# Photographs of 12 million pixels\n",
            f"{_machine(raw)}\n",
            _circumstances(raw),
            "## Images per second\n",
            table(("case", "median", "least to most"), lines),
            "## Ratios\n",
            table(("ratio", "median", "least to most", "promised", ""), promised),
            table(("ratio", "median", "least to most"), [_line(raw, a, b) for a, b in OTHERS]),
            "## Cosines\n",
            table(("of", "to", "files", "lowest", "median"), _cosine_lines(raw)),
            "## What else ran\n",
            _quiet(raw),
        )
    )


def _circumstances(raw: Raw) -> str:
    sizes = sorted(raw["bytes"].values())
    width, height = raw["size"]
    return (
        f"{len(sizes)} JPEG files of {width} x {height} pixels, quality 90, {sizes[0] / 1e6:.1f} to "
        f"{sizes[-1] / 1e6:.1f} MB, made of the package's photographs with detail and grain added. Encoder: "
        f"`{raw['model']}` with drawn weights; snellen in {raw['dtype']} ({raw['about']['snellen']['setup']}). One "
        f"measurement is {raw['images']} files from the first to the last vector; {len(raw['rounds'])} rounds, all "
        f"cases in each, in an order drawn anew. Exact: `{raw['about']['snellen']['recipes']['exact']}`; fast: `"
        f"{raw['about']['snellen']['recipes']['fast']}`.\n"
    )


def _machine(raw: Raw) -> str:
    here = raw["machine"]
    versions = here["versions"] | {"timm": raw["about"]["timm"]["version"]}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{here['product']}, {raw['threads']} cores, {here['system']}. {told}."


def _line(raw: Raw, name: str, under: str) -> tuple[str, str, str]:
    found = over(raw, name, under)
    return f"{name} over {under}", f"{found.median:.2f}", _range(found.values)


def _range(values: Any) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _met(holds: bool) -> str:
    return "met" if holds else "**missed**"


def _cosine_lines(raw: Raw) -> list[tuple[str, ...]]:
    names = {
        "large": ("fast", "exact", "12 million pixels"),
        "as they are": ("fast", "exact", "the package's photographs as they are"),
        "timm": ("timm in float32", f"snellen in {raw['dtype']}, exact", "12 million pixels"),
    }
    return [
        (*names[key], f"{min(found.values()):.6f}", f"{median(found.values()):.6f}")
        for key, found in raw["cosines"].items()
    ]


def _quiet(raw: Raw) -> str:
    loads = [value["load"] for each in raw["rounds"] for value in each["values"].values()]
    lines = []
    for key, what in (("idle_workers", "waiting workers"), ("others", "other processes"), ("stolen", "the host")):
        told = [load[key] for load in loads if load[key] is not None]
        if told:
            lines.append((what, f"{median(told):.1%}", f"{max(told):.1%}"))
    return "Share of all processors' time during the measurements.\n\n" + table(("to", "median", "most"), lines)


if __name__ == "__main__":
    sys.exit(main())
