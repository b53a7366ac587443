"""Write, resume and search a store of a million rows, made with a stub encoder: time and memory of each.

Tiny generated images in webdataset archives, the pipeline and the store as ``snellen embed`` uses them, an encoder
that is one product of matrices. The run is killed in the middle and begun again; then the store is searched, once part
by part, as the command does it, and once loaded into memory; fewer rows are searched beside it.

    python tools/large_store.py --rows 1000000 -o large_store.json
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from snellen.embed.engines import Local
from snellen.embed.filling import Order, Watching, fill
from snellen.embed.worker import Job
from snellen.recipes import Recipe
from snellen.records import ModelRecord, Origin
from snellen.runtimes.requests import Asked
from snellen.search import Searcher
from snellen.store import Store

WIDTH = 384
SIDE = 8
MEMBERS = 100_000
"""Images in an archive."""

RECIPE = Recipe.parse(f"stored | squash {SIDE} bilinear | scale | pool cls")
SEARCHES = 20


class Stub:
    """An encoder: pixels times a matrix that was drawn."""

    batch = 64
    recipe = RECIPE
    record = ModelRecord(
        name="stub",
        variant="stub",
        library="timm",
        family="vit",
        dialect=None,
        origin=Origin(kind="seed", seed=0),
        digest="0" * 64,
        recipe=RECIPE.text,
        recipe_hash=RECIPE.hash,
        pool="cls",
        dtype="float32",
        device="cpu",
        version="0",
    )

    def __init__(self) -> None:
        self._matrix = np.random.default_rng(0).standard_normal((3 * SIDE * SIDE, WIDTH), dtype=np.float32)

    def vectors(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Embed batches, one after the other."""
        for pixels in batches:
            yield (pixels.reshape(len(pixels), -1) - 0.5) @ self._matrix

    def close(self) -> None:
        """Do nothing."""


class StubJob(Job):
    """Opens the stub."""

    def open(self) -> Stub:
        """Open it."""
        return Stub()


@dataclass(frozen=True)
class Cost:
    """What a process took; ``ended`` is its exit code, or minus the signal that ended it."""

    seconds: float
    peak_mib: float
    ended: int


def archives(folder: Path, rows: int) -> None:
    """Write so many images of noise, no two alike, into archives."""
    folder.mkdir()
    drawn = np.random.default_rng(1)
    head = f"P6 {SIDE} {SIDE} 255\n".encode()
    for first in range(0, rows, MEMBERS):
        with tarfile.open(folder / f"{first // MEMBERS:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for number in range(first, min(rows, first + MEMBERS)):
                content = head + drawn.bytes(3 * SIDE * SIDE)
                member = tarfile.TarInfo(f"{number:08d}.ppm")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def embed(images: Path, out: Path) -> None:
    """Fill the store, or go on with it."""
    order = Order(folder=out, sources=(str(images),), command="the same again")
    watching = Watching(say=print, begin=lambda *_: None, add=lambda _: None)
    with Local(StubJob(asked=Asked(name="stub"), workers=2)) as engine:
        fill(order, engine, io.BytesIO(), watching)


def in_process(work: Iterable[str], kill_when: Path | None = None) -> Cost:
    """Run this program with other arguments in a process of its own; kill it when a file appears."""
    begin = time.monotonic()
    child = os.posix_spawn(sys.executable, [sys.executable, __file__, *work], dict(os.environ))
    ended = None
    while ended is None:
        done, status, usage = os.wait4(child, os.WNOHANG if kill_when is not None else 0)
        if done:
            ended = os.waitstatus_to_exitcode(status)
        elif kill_when is not None and kill_when.exists():
            os.kill(child, signal.SIGKILL)
            kill_when = None
        else:
            time.sleep(0.05)
    return Cost(time.monotonic() - begin, usage.ru_maxrss / 1024, ended)


def search(out: Path, small: int) -> None:
    """Print, as JSON, what loading and searching take."""
    store = Store.open(out)
    query = np.random.default_rng(2).standard_normal((1, WIDTH), dtype=np.float32)
    begin = time.perf_counter()
    streamed = Searcher(store, held=False).search(query, 10)
    stream_s = time.perf_counter() - begin
    begin = time.perf_counter()
    searcher = Searcher(store)
    load_s = time.perf_counter() - begin
    taken = []
    for _ in range(SEARCHES):
        begin = time.perf_counter()
        found = searcher.search(query, 10)
        taken.append(time.perf_counter() - begin)
    if found[0].ids.tolist() != streamed[0].ids.tolist():
        raise SystemExit("loaded and part by part, other rows are found")
    ids, units = searcher._held or ((), ())
    searcher._held = (ids[:small], units[:small])
    few = []
    for _ in range(SEARCHES):
        begin = time.perf_counter()
        searcher.search(query, 10)
        few.append(time.perf_counter() - begin)
    figures = {
        "rows": len(ids),
        "part_by_part_s": stream_s,
        "load_s": load_s,
        "search_s": statistics.median(taken),
        "search_most_s": max(taken),
        f"search_{small}_s": statistics.median(few),
        f"search_{small}_most_s": max(few),
    }
    print(json.dumps(figures))


def main() -> int:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--embed", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    if asked.embed:
        embed(*asked.embed)
        return 0
    if asked.search:
        search(asked.search, asked.small)
        return 0
    with tempfile.TemporaryDirectory(prefix="snellen-large-") as name:
        images, out = Path(name, "images"), Path(name, "store")
        archives(images, asked.rows)
        parts = -(-asked.rows // 10_000)
        half = out / f"part-{parts // 2:05d}.parquet"
        killed = in_process(["--embed", str(images), str(out)], kill_when=half)
        resumed = in_process(["--embed", str(images), str(out)])
        again = in_process(["--embed", str(images), str(out)])  # nothing is left to do
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        rows = Store.open(out).manifest.rows
        searched = in_process(["--search", str(out), "--small", str(asked.small)])
        shutil.rmtree(images)
    figures = {
        "rows": rows,
        "bytes": size,
        "killed": asdict(killed),
        "resumed": asdict(resumed),
        "nothing_to_do": asdict(again),
        "searched": asdict(searched),
    }
    print(json.dumps(figures, indent=1))
    if asked.output:
        asked.output.write_text(json.dumps(figures, indent=1) + "\n")
    return int(rows != asked.rows or killed.ended != -signal.SIGKILL or resumed.ended != 0)


if __name__ == "__main__":
    raise SystemExit(main())
