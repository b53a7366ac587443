"""Print how far every encoder lies from the library it must agree with, and every fault that the comparison caught.

    python tools/parity.py               print the tables; exit with 1 if anything is over its limit or was not caught
    python tools/parity.py --markdown    write them to docs/parity.md too

In: the shrunken encoders, the whole ones and the controls of tests/parity, which the tests run through the same
functions. Out: for each encoder, library and direction (``out``: our weights, loaded there; ``in``: theirs, loaded
here) the stage that comes nearest to its limit. A distance is |ours - theirs| / |theirs|, in Frobenius norms over the
stage's tensor.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import torch  # noqa: E402

from conftest import declare_operators  # noqa: E402

DECLARED = declare_operators()  # before anything imports the libraries

from parity.cases import Case  # noqa: E402
from parity.compare import SINGLE, Distance, distances, inward, outward  # noqa: E402
from parity.controls import CASES, FAULTLESS, Control, controls, run, seen, too_far  # noqa: E402
from parity.whole import LOADERS, ORIGINALS, OTHERS, REPORTS, original, written  # noqa: E402
from snellen.devices import resolve  # noqa: E402

DIRECTIONS = (("out", outward), ("in", inward))
DTYPES = (torch.float64, torch.float32)
PARITY = ("family", "encoder", "library", "way", "float64", "limit", "at", "float32", "limit", "at", "verdict")
WHOLE = ("encoder", "written as", "read by", "float32", "limit", "at", "verdict")
CONTROLS = ("family", "encoder", "library", "fault", "largest", "limit", "at", "verdict")
WIDTHS = (16, 24, 25, 4, 8, 6, 24, 8, 6, 24, 0), (16, 18, 13, 33, 8, 6, 24, 0), (45, 13, 13, 8, 6, 18, 0)
PACKAGES = ("snellen", "torch", "timm", "transformers", "numpy")

Row = tuple[str, ...]

TEXT = """# Parity

Measured by `make parity`, written by `python tools/parity.py --markdown`: shrunken encoders with drawn weights, ours
against the library's own, stage by stage at every input size. A distance is the relative Frobenius one; the stage
shown is the one nearest its limit. Way: `out`, our weights written in the library's spelling and loaded there strictly;
`in`, the library's weights read here.

{where}

{parity}
## Whole encoders

Drawn weights written at full size as each library keeps them, loaded by that library (the originals' files by timm,
with the remapping it has for them), compared on a photograph.

{whole}
## Faults that must be seen

The same comparison with an encoder that is wrong in one way; none may pass. The last row is the right one.

{controls}"""


def parity_rows() -> Iterator[tuple[Row, bool]]:
    """Yield a row for each case and direction, and whether it is within its limits."""
    for case in CASES:
        for way, direction in DIRECTIONS:
            ours, oracle, _ = direction(case)
            yield _parity_row(case, way, distances(case, ours, oracle))


def _parity_row(case: Case, way: str, found: list[Distance]) -> tuple[Row, bool]:
    good = not too_far(found)
    parts = [_shown(worst([d for d in found if d.dtype == dtype])) for dtype in DTYPES]
    head = (case.family, case.name, case.dialect.name, way)
    return (*head, *parts[0], *parts[1], "pass" if good else "FAIL"), good


def whole_rows() -> Iterator[tuple[Row, bool]]:
    """Yield a row for each encoder at full size and library, and whether it is within its limit."""
    for name in REPORTS + OTHERS:
        for library in LOADERS:
            with TemporaryDirectory() as folder:
                yield _whole_row((name, library, library), written(name, library, Path(folder) / "out"))
    for name, dialect, file in ORIGINALS:
        with TemporaryDirectory() as folder:
            yield _whole_row((name, dialect, "timm"), original(name, dialect, Path(folder) / file))


def _whole_row(head: Row, found: dict[str, float]) -> tuple[Row, bool]:
    stage, value = max(found.items(), key=lambda one: one[1] if one[1] == one[1] else float("inf"))
    good = value <= SINGLE
    at = stage if value else "all equal"
    return (*head, f"{value:.1e}", f"{SINGLE:.0e}", at, "pass" if good else "FAIL"), good


def control_rows() -> Iterator[tuple[Row, bool]]:
    """Yield a row for each fault, and whether it was caught; the faultless encoder comes last and must not be."""
    for control in (*controls(), FAULTLESS):
        found = run(control)
        caught = seen(control, found)
        good = caught != (control is FAULTLESS)
        yield (*_names(control), *_shown(worst(found)), _verdict(caught, good)), good


def _names(control: Control) -> Row:
    return control.case.family, control.case.name, control.case.dialect.library, control.fault


def _verdict(caught: bool, good: bool) -> str:
    return ("caught" if caught else "passes") if good else ("WRONGLY CAUGHT" if caught else "MISSED")


def worst(found: list[Distance]) -> Distance:
    """Return the distance that comes nearest to its limit, or lies farthest beyond it; NaN lies beyond any."""
    return max(found, key=lambda d: d.value / d.limit if d.value == d.value else float("inf"))


def _shown(distance: Distance) -> Row:
    size = "x".join(map(str, distance.size))
    at = f"{distance.stage} {size}" if distance.value else "all equal"
    return f"{distance.value:.1e}", f"{distance.limit:.0e}", at


def _line(row: Row, widths: tuple[int, ...]) -> str:
    return "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def printed(header: Row, rows: Iterator[tuple[Row, bool]], widths: tuple[int, ...]) -> tuple[list[Row], int]:
    """Print a table as its rows come; return them, and how many are not as they must be."""
    kept, bad = [], 0
    print(_line(header, widths), flush=True)
    for row, good in rows:
        print(_line(row, widths), flush=True)
        kept.append(row)
        bad += not good
    return kept, bad


def where() -> str:
    """Say which machine and which versions measured."""
    device = resolve("cpu").describe()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    threads = f"{device['threads']} thread{'s' * (device['threads'] > 1)}"
    machine = f"{device['product']}, {threads}, {platform.system()} {device['machine']}"
    return f"{machine}; Python {platform.python_version()}, {versions}."


def markdown(header: Row, rows: list[Row]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    parity, over = printed(PARITY, parity_rows(), WIDTHS[0])
    print()
    whole, beyond = printed(WHOLE, whole_rows(), WIDTHS[2])
    print()
    faults, missed = printed(CONTROLS, control_rows(), WIDTHS[1])
    print(f"\n{where()}")
    compared, over = len(parity) + len(whole), over + beyond
    print(f"{compared} comparisons, {over} over the limit; {len(faults)} controls, {missed} not as they must be")
    if "--markdown" in sys.argv[1:]:
        tables = {"parity": markdown(PARITY, parity), "whole": markdown(WHOLE, whole)}
        text = TEXT.format(where=where(), controls=markdown(CONTROLS, faults), **tables)
        (ROOT / "docs" / "parity.md").write_text(text, encoding="utf-8")
        print("written: docs/parity.md")
    return int(bool(over or missed))


if __name__ == "__main__":
    sys.exit(main())
