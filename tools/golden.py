"""Compare published outputs of real weights with what comes out here, wherever weights and picture can be had.

    python tools/golden.py [--picture FOLDER] [--only TEXT] [--offline] [--require]

In: golden/*.json (one file a family; every value with its source), the picture in FOLDER or in the folder that
SNELLEN_GOLDEN_PICTURES names, and weights below SNELLEN_MODELS, in the hub's cache, or from the hub. Out: a row for
each published slice, what is missing and where it is to be had. Exit code 0: everything that was compared agrees;
1: something does not (or, with --require, is missing); 2: wrong usage; 3: nothing was compared.
"""

from __future__ import annotations

import gc
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

FOLDER = Path(__file__).parent.parent / "golden"
SCHEMA = "snellen.golden/1"
OUTPUTS = ("tokens", "cls", "patches", "pooled", "logits")
PICTURES = "SNELLEN_GOLDEN_PICTURES"
SOURCES = {
    "000000039769.jpg": "http://images.cocodataset.org/val2017/000000039769.jpg",
    "000000039769.png": "https://github.com/huggingface/transformers, "
    "tests/fixtures/tests_samples/COCO/000000039769.png",
}
"""The one picture (COCO val2017, two cats), and the copy of it that the tests of transformers keep."""

SPARE = 1.3  # memory that is needed, as a multiple of the weights in float32


@dataclass(frozen=True)
class Expected:
    """A published slice of an output: its values, where it starts, and the shape of the whole."""

    output: str
    shape: list[int]
    start: list[int]
    values: Any

    def __post_init__(self) -> None:
        ends = [first + length for first, length in zip(self.start, self.lengths, strict=True)]
        inside = all(0 <= first < end <= side for first, end, side in zip(self.start, ends, self.shape, strict=True))
        if self.output not in OUTPUTS or not inside:
            raise ValueError(f"{self} is not a part of an output of shape {self.shape}")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Count the values in every direction."""
        return np.asarray(self.values, dtype=np.float64).shape

    @property
    def slices(self) -> tuple[slice, ...]:
        """Return the place of the values in the whole."""
        return tuple(slice(first, first + length) for first, length in zip(self.start, self.lengths, strict=True))

    def __str__(self) -> str:
        return f"{self.output}[{', '.join(f'{part.start}:{part.stop}' for part in self.slices)}]"


@dataclass(frozen=True)
class Entry:
    """What was published of one model on one picture."""

    model: str
    weights: list[str]
    picture: str
    recipe: str
    expected: list[Expected]
    tolerance: dict[str, float]  # absolute, and relative to the published value
    source: str
    note: str = ""


@dataclass(frozen=True)
class Row:
    """How one slice compared: the largest difference, and the largest share of what is allowed."""

    entry: Entry
    what: str
    difference: float = np.inf
    share: float = np.inf
    remark: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether every value lies within what is allowed; one that is not a number does not."""
        return self.share <= 1


def read(folder: Path) -> list[Entry]:
    """Read every file of the folder; raise UsageError for one that is not of the schema."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise click.UsageError(f"there is no *.json in '{folder}'")
    entries = []
    for file in files:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            if document["schema"] != SCHEMA:
                raise ValueError(f"schema {document['schema']!r}, expected {SCHEMA!r}")
            for item in document["entries"]:
                expected = [Expected(**part) for part in item["expected"]]
                entries.append(Entry(**{**item, "expected": expected}))
                if set(item["tolerance"]) != {"absolute", "relative"} or not expected or not item["weights"]:
                    raise ValueError(f"{item['model']}: no values, no weights, or no tolerance")
        except (KeyError, TypeError, ValueError) as error:
            raise click.UsageError(f"'{file}' is not as expected: {type(error).__name__}: {error}") from None
    return entries


def compare(entry: Entry, picture: Path, weights: str) -> list[Row]:
    """Run one model and hold every published slice against what comes out."""
    import snellen

    model = snellen.load(entry.model, weights=weights, recipe=entry.recipe)
    features = model.features(picture)
    return [hold(entry, part, getattr(features, part.output)) for part in entry.expected]


def hold(entry: Entry, part: Expected, output: Any) -> Row:
    """Hold one published slice against the output it was taken from."""
    whole = None if output is None else output.double().numpy()
    if whole is None or list(whole.shape) != part.shape:
        seen = "there is none" if whole is None else f"shape {list(whole.shape)}"
        return Row(entry, str(part), remark=f"{seen}, expected {part.shape}")
    values = np.asarray(part.values, dtype=np.float64)
    away = np.abs(whole[part.slices] - values)
    share = away / (entry.tolerance["absolute"] + entry.tolerance["relative"] * np.abs(values))
    return Row(entry, str(part), float(away.max()), float(share.max()))


def find_picture(name: str, folder: Path | None) -> Path | None:
    """Return the picture's path, if the folder has it."""
    return folder / name if folder and (folder / name).is_file() else None


def find_weights(entry: Entry, online: bool) -> tuple[str | None, str]:
    """Return where the first of the entry's weights that can be had lie, or None and why there are none."""
    from snellen.checkpoints.sources import locate
    from snellen.errors import WeightsUnavailable

    refusals = []
    for weights in entry.weights:
        if weights.startswith("seed:"):
            return weights, ""
        try:
            with _offline(not online):
                return str(locate(weights).path), ""
        except WeightsUnavailable as error:
            refusals.append(error.seen)
    why = "; ".join(refusals) if online else "not on this machine"
    return None, f"weights {' or '.join(entry.weights)} ({why})"


def too_large(entry: Entry) -> str | None:
    """Say so where the weights in float32 do not fit into this machine's memory."""
    from snellen import zoo

    counts = zoo.find(entry.model).variant.parameters
    needed = 4 * SPARE * max((count for _, count in counts), default=0)
    if not hasattr(os, "sysconf"):
        return None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed <= memory:
        return None
    return f"{needed / 2**30:.0f} GiB of memory (this machine has {memory / 2**30:.0f})"


def hub_answers() -> bool:
    """Ask the hub once, so that an unreachable one is not waited for again and again; say it if it is."""
    from snellen.checkpoints.hub import Hub

    hub = Hub.from_environment()
    if hub.offline:
        return False
    try:
        with urllib.request.urlopen(hub.endpoint, timeout=10):
            return True
    except urllib.error.HTTPError:
        return True  # it refuses this page, so it is there
    except (OSError, ValueError) as error:
        click.echo(f"{hub.endpoint} cannot be reached ({error}): only what is on this machine is looked at\n")
        return False


@contextmanager
def _offline(on: bool) -> Iterator[None]:
    """Forbid the hub for a while."""
    import huggingface_hub.constants  # noqa: F401 - reads the setting once, on import: then it has to be the user's

    before = dict(os.environ)
    try:
        os.environ.update({"HF_HUB_OFFLINE": "1"} if on else {})
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def check(entry: Entry, folder: Path | None, online: bool) -> tuple[list[Row], list[str]]:
    """Return the rows of one entry, or what is missing for it."""
    from snellen.errors import SnellenError

    picture, large = find_picture(entry.picture, folder), too_large(entry)
    weights, why = find_weights(entry, online and picture is not None and not large)
    lacking = ["" if weights else why, "" if picture else f"picture {entry.picture}", large or ""]
    if picture is None or weights is None or large:
        return [], [reason for reason in lacking if reason]
    try:
        return compare(entry, picture, weights), []
    except SnellenError as error:
        return [Row(entry, str(part), remark=error.seen) for part in entry.expected], []
    finally:
        gc.collect()  # the next one may need the memory


def check_all(entries: list[Entry], folder: Path | None, offline: bool) -> tuple[list[Row], dict[str, list[str]]]:
    """Check one after the other, and print each row when it is there."""
    from snellen.errors import SnellenError

    rows: list[Row] = []
    missing: dict[str, list[str]] = {}
    try:
        online = not offline and hub_answers()
        for entry in entries:
            found, lacking = check(entry, folder, online)
            for row in found:
                show(row)
            rows += found
            if lacking:
                missing[f"{entry.model} on {entry.picture}"] = lacking
    except SnellenError as error:  # a setting that names nothing, for example
        raise click.UsageError(str(error)) from None
    return rows, missing


def show(row: Row) -> None:
    """Print one row."""
    verdict = click.style("pass", fg="green") if row.passed else click.style("FAIL", fg="red", bold=True)
    allowed = "{absolute:g} + {relative:g} of the value".format(**row.entry.tolerance)
    numbers = row.remark or f"largest difference {row.difference:.1e}, allowed {allowed}"
    click.echo(f"{verdict}  {row.entry.model}  {row.what}  {numbers}")
    if not row.passed:
        click.echo(f"      source: {row.entry.source}; weights: {' or '.join(row.entry.weights)}")
    if not row.passed and row.entry.note:
        click.echo(f"      note: {row.entry.note}")


def show_missing(missing: dict[str, list[str]], pictures: set[str]) -> None:
    """Print what could not be compared, and where to get what it takes."""
    click.echo("\nNot compared, for want of:")
    for name, reasons in missing.items():
        click.echo(f"  {name}: {', '.join(reasons)}")
    click.echo("\nWhere to get it:")
    for picture in sorted(pictures):
        click.echo(f"  picture {picture}: {SOURCES.get(picture, 'not public')}")
    if pictures:
        click.echo(f"    Put it into a folder, and name the folder with --picture or {PICTURES}.")
    click.echo(
        "  weights: the hub repository of that name, or a mirror set with HF_ENDPOINT, or a copy of the repository\n"
        "    below a folder that SNELLEN_MODELS names. The DINOv3 repositories of facebook want an application and\n"
        "    HF_TOKEN; the copies of timm do not."
    )


@click.command()
@click.option("--picture", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar=PICTURES)
@click.option("--golden", type=click.Path(exists=True, file_okay=False, path_type=Path), default=FOLDER, hidden=True)
@click.option("--only", default="", help="Check only models whose name holds this text.")
@click.option("--offline", is_flag=True, help="Look for weights on this machine only.")
@click.option("--require", is_flag=True, help="Exit with 1 where anything is missing.")
def main(folder: Path | None, golden: Path, only: str, offline: bool, require: bool) -> None:
    """Compare published outputs of real weights with what comes out here."""
    entries = [entry for entry in read(golden) if only.lower() in entry.model.lower()]
    if not entries:
        raise click.UsageError(f"no entry is of a model with {only!r} in its name")
    rows, missing = check_all(entries, folder, offline)
    if missing:
        absent = {entry.picture for entry in entries if not find_picture(entry.picture, folder)}
        show_missing(missing, absent)
    failed = sum(not row.passed for row in rows)
    click.echo(f"\n{len(rows)} slices compared, {failed} failed; {len(missing)} of {len(entries)} entries not compared")
    if not rows:
        click.echo("nothing was compared: this is not a pass")
    raise SystemExit(1 if failed or (require and missing) else 0 if rows else 3)


if __name__ == "__main__":
    main()
