"""Make the cards of the five encoders that hand-written reports were made of, on the CPU and on a simulated NPU.

    python tools/cards.py                   write them to out/cards, a folder each
    python tools/cards.py --only aimv2      those whose name holds this word
    python tools/cards.py --examples        and copy two of them to docs/cards

In: nothing; weights are drawn from seed 0, so that no network is needed. Out: ten cards, each read again and held to
itself. Model and golden are shared by the two devices. Large encoders are judged on fewer photographs and measured at
fewer batch sizes; the cards say so.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import snellen
from snellen.cards import folder
from snellen.cards.card import card
from snellen.cards.pages import pages
from snellen.cards.speed import Settings
from snellen.cards.tried import Shown
from snellen.devices import simulated
from snellen.encoders.cost import operations
from snellen.model.model import Model
from snellen.report.check import check_file
from snellen.verification import golden as goldens
from snellen.verification.inputs import Inputs, photographs

ROOT = Path(__file__).parent.parent
OUT, DOCS = ROOT / "out" / "cards", ROOT / "docs" / "cards"

NAMES = (
    "vit_small_patch14_reg4_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m",
    "facebook/dinov3-vitb16-pretrain-lvd1689m",
    "google/vit-base-patch16-224-in21k",
    "apple/aimv2-large-patch14-224-distilled",
)
WEIGHTS = "seed:0"
DEVICES = ("cpu", "npu")
EXAMPLES = (("vit_small_patch16_dinov3.lvd1689m", "cpu"), ("vit_small_patch16_dinov3.lvd1689m", "npu"))

WORK = 130e9
"""Operations of all photographs together that a golden is computed of: eight of a small encoder, one of a large one."""
MEASURED_S = {"cpu": 50.0, "npu": 40.0}  # that all batch sizes of a card may take together, about
SECONDS = 1.0  # for each batch size


def shown(model: Model) -> Inputs:
    """Return as many of the package's photographs as there is time for."""
    whole = photographs()
    each = operations(model.encoder.config, *model.recipe.size)
    count = min(len(whole.paths), max(1, round(WORK / each)))
    return replace(whole, paths=whole.paths[:count], left_out=len(whole.paths) - count)


def place(name: str, device: str) -> str:
    """Return the name of a card's folder."""
    return f"{re.sub('[^A-Za-z0-9._-]', '-', name)}-{device}"


def make(name: str, out: Path) -> list[Path]:
    """Make the cards of one encoder; return their folders."""
    begun = time.perf_counter()
    model = snellen.load(name, weights=WEIGHTS)
    load_s = time.perf_counter() - begun
    inputs = shown(model)
    golden = goldens.compute(model, inputs, goldens.noises("float32"), lambda _: None)
    print(f"  loaded {load_s:.1f} s, golden {time.perf_counter() - begun - load_s:.1f} s", flush=True)
    written = []
    for device in DEVICES:
        start = time.perf_counter()
        to = out / place(name, device)
        if device == "npu":
            simulated.start()
        made = card(
            model,
            device=device,
            shown=Shown(golden=golden),
            settings=Settings(seconds=SECONDS, budget_s=MEASURED_S[device]),
            load_s=load_s,
            command=f"python tools/cards.py --only {name}",
        )
        simulated.stop()
        folder.publish(to, {**pages(made.record), **made.files})
        parts = ", ".join(f"{part} {spent:.1f}" for part, spent in made.record.seconds.items() if part != "total")
        verdict = made.record.trial.verdict
        print(
            f"  {device}: {verdict.outcome if verdict else 'no verdict'}, {time.perf_counter() - start:.1f} s: {parts}"
        )
        print("".join(f"    note: {note}\n" for note in made.record.notes), end="", flush=True)
        written.append(to)
    return written


def contradictions(card_: Path) -> list[str]:
    """Read a card again, and say what in it contradicts."""
    files = [card_ / folder.REPORT, *sorted(card_.glob("*.md"))]
    return [f"{path}: {one.place}: {one.seen}" for path in files for one in check_file(path).contradictions]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names that hold this word")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--examples", action="store_true", help="copy two cards to docs/cards")
    asked = parser.parse_args()
    begun, written = time.perf_counter(), []
    for name in NAMES:
        if asked.only in name:
            print(name, flush=True)
            written += make(name, asked.out)
            gc.collect()
    print(f"{len(written)} cards in {time.perf_counter() - begun:.0f} s, in {asked.out}")
    found = [line for each in written for line in contradictions(each)]
    print("\n".join(found) if found else "read again: no contradiction")
    if asked.examples:
        for name, device in EXAMPLES:
            source = asked.out / place(name, device)
            files = {
                path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()
            }
            folder.publish(DOCS / source.name, files)
            print(f"copied to {DOCS / source.name}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
