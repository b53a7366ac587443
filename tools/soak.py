"""Kill ``snellen embed`` with SIGKILL at random moments until it is done, again and again: no row may differ.

Generated images, some damaged, some twice. One run is left alone; then in each of many rounds a run on a store of its
own is killed at a moment drawn at random, and begun again by the same command, until one comes to its end. Each store
must then equal the first row for row, and the comparison must see a row that was changed on purpose.

    python tools/soak.py --rounds 50 --images 2000 -o soak.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pyarrow import Table, chunked_array, concat_tables, parquet

ENCODER = ("-m", "vit_small_patch16_dinov3.lvd1689m", "--weights", "seed:0")
RECIPE = "stored | squash 32 bilinear | scale | mean 0.5 0.5 0.5 | std 0.5 0.5 0.5 | pool cls"
"""Four patches: what is tried here is the store, not the encoder."""

DAMAGED, TWICE = 0.03, 0.05
PATIENCE = 200
"""Attempts after which a round is given up: it does not get on."""


@dataclass(frozen=True)
class Round:
    """One round: how often it was killed, after how long each time, and how the last attempt ended."""

    kills: list[float]
    exit_code: int
    equal: bool
    differences: list[str]


def generate(folder: Path, count: int, seed: int) -> None:
    """Write images: small JPEG and PNG files, some of them damaged, some with the bytes of another."""
    drawn = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"{number % 10}" / f"{number:05d}.{'jpg' if number % 2 else 'png'}"
        path.parent.mkdir(exist_ok=True)
        kind = drawn.random()
        if number > 2 and kind < TWICE:
            shutil.copy(folder / f"{(number - 2) % 10}" / f"{number - 2:05d}{path.suffix}", path)
            continue
        width, height = drawn.integers(24, 64, 2)
        Image.fromarray(drawn.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        if kind > 1 - DAMAGED:
            path.write_bytes(path.read_bytes()[: int(drawn.integers(0, 200))])


def command(images: Path, out: Path) -> list[str]:
    """Return the command line of a run."""
    return [
        *(sys.executable, "-m", "snellen", "embed", str(images), *ENCODER, "--recipe", RECIPE),
        *("-o", f"{out}/", "--quiet"),
    ]


def attempt(line: list[str], kill_after: float | None) -> tuple[int, float]:
    """Run once, and kill the process and all it started after so many seconds; return exit code and time taken."""
    begin = time.monotonic()
    process = subprocess.Popen(line, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, time.monotonic() - begin


def rows(out: Path) -> Table:
    """Return all rows of a finished store, and nothing that says when and by whom they were made."""
    manifest = json.loads((out / "manifest.json").read_text())
    parts = [out / f"part-{part['number']:05d}.parquet" for part in manifest["parts"]]
    return concat_tables([parquet.read_table(part).replace_schema_metadata(None) for part in parts])


def differences(expected: Table, found: Table) -> list[str]:
    """Return what differs between two stores, a line for each column."""
    if expected.num_rows != found.num_rows:
        return [f"{found.num_rows} rows, and {expected.num_rows} expected"]
    names = sorted({*expected.column_names, *found.column_names})
    lines = []
    for name in names:
        if name not in expected.column_names or name not in found.column_names:
            lines.append(f"column {name} is missing on one side")
        elif not expected[name].equals(found[name]):
            pairs = zip(expected[name].to_pylist(), found[name].to_pylist(), strict=True)
            wrong = [number for number, (mine, theirs) in enumerate(pairs) if mine != theirs]
            lines.append(f"column {name} differs in {len(wrong)} rows, the first {wrong[:3]}")
    return lines


def control(expected: Table) -> None:
    """Raise unless the comparison sees a row left out, two rows exchanged and one number changed in its last bit."""
    order = list(range(expected.num_rows))
    order[0], order[1] = order[1], order[0]
    index = expected.column_names.index("embedding")
    vectors = expected["embedding"].to_pylist()
    row = next(number for number, vector in enumerate(vectors) if vector is not None)
    vectors[row][0] = float(np.nextafter(np.float32(vectors[row][0]), np.float32(np.inf)))
    field = expected.schema.field(index)
    spoilt = [
        expected.slice(1),
        expected.take(order),
        expected.set_column(index, field, chunked_array([vectors], field.type)),
    ]
    if not all(differences(expected, table) for table in spoilt) or differences(expected, expected):
        raise SystemExit("the comparison does not see what it must")


def one_round(images: Path, out: Path, expected: Table, length: float, drawn: random.Random) -> Round:
    """Kill and begin again until it is done; then compare."""
    kills: list[float] = []
    while len(kills) < PATIENCE:
        code, taken = attempt(command(images, out), drawn.uniform(0.05, 0.9) * length)
        if code >= 0:
            break
        kills.append(round(taken, 3))
    else:
        return Round(kills, -9, False, [f"not done after {PATIENCE} attempts"])
    if code not in (0, 1):  # 1: some inputs are damaged
        return Round(kills, code, False, [f"exit code {code}"])
    found = differences(expected, rows(out))
    left = [path.name for path in (out / ".snellen").rglob("*") if path.suffix in (".aside", ".journal")]
    return Round(kills, code, not found and not left, found + [f"left behind: {left}"] * bool(left))


def main() -> int:
    """Run the rounds; 0 where every store equals the first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    drawn = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="snellen-soak-") as name:
        images, clean = Path(name, "images"), Path(name, "clean")
        generate(images, asked.images, asked.seed)
        attempt(command(images, Path(name, "warm")), None)  # converts the encoder, which later ones find
        code, length = attempt(command(images, clean), None)
        if code not in (0, 1):
            raise SystemExit(f"the run that was left alone ended with {code}: {' '.join(command(images, clean))}")
        expected = rows(clean)
        control(expected)
        done = []
        for number in range(asked.rounds):
            done.append(one_round(images, Path(name, "out"), expected, length, drawn))
            shutil.rmtree(Path(name, "out"), ignore_errors=True)
            print(f"round {number + 1}: killed {len(done[-1].kills)} times, {'equal' if done[-1].equal else done[-1]}")
    kills = [moment for each in done for moment in each.kills]
    wrong = [each for each in done if not each.equal]
    print(
        f"{len(done)} rounds over {asked.images} images, {len(kills)} kills, a run left alone takes {length:.1f} s: "
        f"{len(done) - len(wrong)} stores equal row for row"
    )
    if asked.output:
        document = {"images": asked.images, "seconds_left_alone": length, "rounds": [asdict(each) for each in done]}
        asked.output.write_text(json.dumps(document, indent=1) + "\n")
    return int(bool(wrong) or not kills)


if __name__ == "__main__":
    raise SystemExit(main())
