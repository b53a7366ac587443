"""Write the tables of docs/verdict-power.md from the rows of a sweep."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from faults import power
from snellen.devices import resolve

if TYPE_CHECKING:
    from faults.power import Row

TEXT = """# What a verdict is worth

{how} {scope} {where}

**Caught**: the outcome of a faulty encoder's trial is anything but "pass". **Refused**: the outcome of a healthy run is
neither "pass" nor "limited". A fault's **size** is measured in float64, where no rounding hides it: the faulty encoder
against the right one, for every output (worst call, worst token) and for every stage fed the right input. A fault is
**above the noise** if somewhere its size exceeds the calibrated limit plus the reference's own error: a run's rounding
may point the other way, so a smaller one can hide, whoever judges. The others are listed apart. Faults of the device's
arithmetic have the size of the same rounding on the CPU; those of place have none and must always be caught. The faulty
encoders add up their products in another order than the reference, to be other runs, as on a device; a healthy run in
that order is among the healthy ones.

## Rules

{rules}
What the rules are: [metrics.md](metrics.md). {verdict}

## Faults

Every fault above the noise: on how many encoders, the smallest and the largest size over what must be seen, how many
each rule caught, and the stage that the calibrated rule blamed first; "right" counts those that are the right one.

{faults}
## Precision that was not asked for

Asked for float32 on the simulated NPU: the class and the switch that the calibrated rule named.

{precision}
## Below the noise

These are not counted above, though some are caught. "Seen from": the size from which on the fault would be above.

{below}
## Healthy runs

How many each rule refused, and how near the worst came to its calibrated limit.

{healthy}"""

HOW = {False: "Measured and written by `make verdict-power`.", True: "Measured by `tools/verdict_power.py --whole`."}
SCOPE = {
    False: "The encoders of the five reports, shrunken, and a small ConvNeXt; drawn weights; four photographs.",
    True: "The encoders of the five reports at full size; drawn weights; two photographs.",
}

PACKAGES = ("snellen", "torch", "timm", "transformers")

Line = Sequence[str]


def document(rows: list[Row], *, whole: bool) -> str:
    """Return the whole page."""
    rules = list(rows[0].outcomes)
    wrong = power.wrong(rows)
    return TEXT.format(
        how=HOW[whole],
        scope=SCOPE[whole],
        where=where(),
        rules=_rules(rows),
        verdict=_summary(wrong),
        faults=_faults([row for row in rows if row.above], rules),
        precision=_precision([row for row in rows if row.kind == "precision"]),
        below=_below([row for row in rows if not row.healthy and not row.above]),
        healthy=_healthy([row for row in rows if row.healthy], rules),
    )


def where() -> str:
    """Say which machine and which versions measured."""
    device = resolve("cpu").describe()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{device['product']}, {platform.system()} {device['machine']}; Python {platform.python_version()}, {versions}."
    )


def _summary(wrong: power.Wrong) -> str:
    counts = (
        (wrong.missed, "missed"),
        (wrong.refused, "refused"),
        (wrong.misnamed, "blamed on the wrong block"),
        (wrong.misread, "of the wrong precision"),
    )
    return "The calibrated rule: " + ", ".join(f"{len(rows)} {what}" for rows, what in counts) + "."


def _rules(rows: Iterable[Row]) -> str:
    lines = [
        (t.rule, str(t.caught), str(t.missed), str(t.faults), str(t.refused), str(t.healthy)) for t in power.tally(rows)
    ]
    return table(("rule", "faults caught", "missed", "of", "healthy runs refused", "of"), lines)


def _faults(rows: list[Row], rules: list[str]) -> str:
    lines = []
    for name, group in grouped(rows).items():
        over = sorted(row.floor.ratio for row in group if row.floor is not None)
        caught = [_part(sum(row.caught(rule) for row in group), len(group)) for rule in rules]
        lines.append((name, str(len(group)), _span(over[0], over[-1]), *caught, _blamed(group), _right(group)))
    return table(("fault", "encoders", "size over noise", *rules, "blamed", "right"), lines)


def _blamed(group: list[Row]) -> str:
    return ", ".join(dict.fromkeys(f"`{row.culprit}`" if row.culprit else "none" for row in group))


def _right(group: list[Row]) -> str:
    known = [row for row in group if row.expected is not None]
    return _part(sum(row.culprit == row.expected for row in known), len(known)) if known else ""


def _precision(rows: list[Row]) -> str:
    lines = []
    for name, group in grouped(rows).items():
        classes = ", ".join(dict.fromkeys(row.precision or "none" for row in group))
        causes = ", ".join(dict.fromkeys(f"`{row.cause}`" if row.cause else "none" for row in group))
        right = _part(sum(not row.misread for row in group), len(group))
        lines.append((name, str(len(group)), classes, causes, right, _blamed(group)))
    return table(("arithmetic", "encoders", "class named", "switch named", "right", "first visible at"), lines)


def _below(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        assert row.floor is not None
        size = "" if row.floor.size is None else f"{row.floor.size:.1e}"
        seen = "" if row.floor.seen is None else f"{row.floor.seen:.1e}"
        lines.append((row.name, row.subject, size, row.floor.at, seen, row.outcomes[power.JUDGE]))
    return table(("fault", "encoder", "size", "largest at", "seen from", power.JUDGE), lines)


def _healthy(rows: list[Row], rules: list[str]) -> str:
    lines = []
    for name, group in grouped(rows).items():
        refused = [_part(sum(row.refused(rule) for row in group), len(group)) for rule in rules]
        nearest = max((row.ratio for row in group if row.ratio is not None), default=None)
        lines.append((name, str(len(group)), *refused, "" if nearest is None else f"{nearest:.2f}"))
    return table(("run", "encoders", *rules, "error over limit"), lines)


def grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Put the rows of one name together, in the order in which names first come."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.name, []).append(row)
    return groups


def _part(some: int, of: int) -> str:
    return f"{some}/{of}" if some != of else str(of)


def _span(least: float, most: float) -> str:
    return _number(least) if _number(least) == _number(most) else f"{_number(least)} to {_number(most)}"


def _number(value: float) -> str:
    return "any" if value == float("inf") else f"{value:.2g}" if value < 100 else f"{value:.0e}"


def table(header: Line, lines: Iterable[Line]) -> str:
    """Write a Markdown table."""
    rows = [header, ("---",) * len(header), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
