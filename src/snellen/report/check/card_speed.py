"""Whether the speeds of a Markdown card follow from each other: percentiles, throughput, batch sizes, speed-ups.

In: a card, and the cases that were read of it. Out: findings, each with its line. What a card does not state (how many
runs, in which unit) is not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snellen.report.check.card_figures import at
from snellen.report.check.found import Findings, number
from snellen.report.check.rates import IDLE, Step, grow
from snellen.report.check.reading import Card
from snellen.report.check.samples import needed
from snellen.report.check.stated import Fact, Group, runs
from snellen.report.check.words import HOST, LATENCIES, SIMULATED, YES

FOLLOWS = 0.03
"""How far a rate may lie from the latency it follows from, beside rounding: cards divide by the mean or the median."""
MIDDLES = ("p50_ms", "mean_ms", "latency_ms")
"""What batch sizes are compared by: a median minds no outlier."""
UNSTABLE = "the card itself says that these samples are not stable"
PERCENTILES = (("p90_ms", 90.0), ("p95_ms", 95.0), ("p99_ms", 99.0))


def check(card: Card, groups: Sequence[Group], out: Findings) -> None:
    """Look at every speed that a card states."""
    _percentiles(card, groups, out)
    for group in groups:
        _throughput(group, out)
    _batches(card, groups, out)
    _speedups(card, groups, out)


def _percentiles(card: Card, groups: Sequence[Group], out: Findings) -> None:
    """Hold percentiles to the samples that stand beside them, else to the most that the card speaks of."""
    texts = [line.text for line in card.lines if not line.code] + [table.caption for table in card.tables]
    stated = {count for text in texts if (count := runs(text)) is not None}
    stated |= {fact.value for group in groups if (fact := group.get("count")) is not None}
    for group in groups:
        own = group.get("count")
        for name, percent in PERCENTILES:
            fact = group.get(name)
            if fact is None:
                continue
            most = own.value if own is not None else max(stated, default=None)
            told = own is not None or len(stated) == 1 or (most is not None and most < needed(percent))
            if most is None or not told:
                out.skip("percentile", f"the card does not say of how many runs p{percent:g} is", at(fact.line))
                continue
            seen = f"p{percent:g} of {most:g} runs"
            expected = f"none: it needs {needed(percent)}"
            out.judge("percentile", at(fact.line), holds=most >= needed(percent), seen=seen, expected=expected)


def _throughput(group: Group, out: Findings) -> None:
    """Hold images a second to batch over latency, by whichever of its latencies fits best."""
    rate, batch = group.get("throughput"), group.get("batch")
    if rate is None or batch is None or rate.value <= 0:
        return
    timed = [fact for name in LATENCIES if (fact := group.get(name)) is not None and fact.unit is not None]
    if not timed or any(fact.value <= 0 for fact in timed):
        out.skip("throughput", "there is no latency with a unit beside it", at(rate.line))
        return
    expected = [(1e3 * batch.value / fact.value, fact) for fact in timed]
    holds = any(_follows(rate, one, fact.half / fact.value) for one, fact in expected)
    seen = f"{number(rate.value)} a second at batch {batch.value:g}"
    one, fact = expected[0]
    what = f"about {one:.5g}, for a batch takes {number(fact.value)} ms"
    out.judge("throughput", at(rate.line), holds=holds, seen=seen, expected=what)


def _follows(rate: Fact, expected: float, rounded: float) -> bool:
    return abs(rate.value - expected) <= rate.half + (FOLLOWS + rounded) * expected


def _batches(card: Card, groups: Sequence[Group], out: Findings) -> None:
    """Hold larger batches to taking longer, table by table; lines under one heading are one table."""
    told = Told.of(card, groups)
    series: dict[tuple[object, str], list[Step]] = {}
    for group in groups:
        batch, timed = group.get("batch"), group.get(*MIDDLES)
        if batch is None or timed is None or timed.unit is None or timed.value <= 0:
            continue
        if told.unstable(batch.value):
            out.skip("batch", UNSTABLE, at(group.line))
            continue
        step = Step(
            batch=batch.value,
            ms=timed.value,
            place=at(group.line),
            low=told.low.get(batch.value),
            high=told.high.get(batch.value),
            host=told.host(batch.value),
            idle=told.simulated or told.shares.get(batch.value, 1.0) < IDLE,
        )
        series.setdefault((group.table, group.heading), []).append(step)
    for steps in series.values():
        if len({step.batch for step in steps}) == len(steps):
            grow(steps, out)
        else:
            out.skip("batch", "a batch size stands there several times", steps[0].place)


@dataclass(frozen=True, slots=True)
class Told:
    """What a card says of its batch sizes, wherever it says it."""

    low: dict[float, float]  # between which the latency lies, in ms
    high: dict[float, float]
    shares: dict[float, float]  # of the ceiling
    hosts: dict[float, str]  # whether the host is what binds, in its words
    stable: dict[float, str]
    bound: bool  # whether it says so of all of them, where it has no column for it
    simulated: bool  # such a device may take any time

    @classmethod
    def of(cls, card: Card, groups: Sequence[Group]) -> Told:
        """Gather it."""
        named = {name: _by_batch(groups, name) for name in ("low_ms", "high_ms", "share", "host", "stable")}
        hosts = {batch: fact.text for batch, fact in named["host"].items()}
        return cls(
            low={batch: fact.value for batch, fact in named["low_ms"].items()},
            high={batch: fact.value for batch, fact in named["high_ms"].items()},
            shares={batch: fact.value for batch, fact in named["share"].items()},
            hosts=hosts,
            stable={batch: fact.text for batch, fact in named["stable"].items()},
            bound=not hosts and any(HOST.search(line.text) for line in card.lines if not line.code),
            simulated=bool(SIMULATED.search(card.text)),
        )

    def host(self, batch: float) -> bool:
        """Tell whether the host is said to be what binds."""
        return self.bound or bool(YES.match(self.hosts.get(batch, "")))

    def unstable(self, batch: float) -> bool:
        """Tell whether the samples are said not to be of one thing."""
        return batch in self.stable and not YES.match(self.stable[batch])


def _by_batch(groups: Sequence[Group], name: str) -> dict[float, Fact]:
    return {b.value: fact for group in groups if (fact := group.get(name)) and (b := group.get("batch"))}


def _speedups(card: Card, groups: Sequence[Group], out: Findings) -> None:
    """Hold each speed-up to two latencies: beside it, or the only two of a baseline and a device that there are."""
    told = Told.of(card, groups)
    rows = [(group, fact) for group in groups if (fact := group.get(*LATENCIES)) is not None and fact.unit is not None]
    for group in groups:
        speedup = group.get("speedup")
        if speedup is None:
            continue
        batch = group.get("batch")
        if batch is not None and told.unstable(batch.value):
            out.skip("speedup", UNSTABLE, at(speedup.line))
            continue
        pairs = _beside(group) or _only(rows, group)
        if not pairs:
            out.skip("speedup", "the two latencies it is of cannot be told", at(speedup.line))
            continue
        expected = [(base.value / mine.value, base, mine) for base, mine in pairs]
        holds = any(
            _near(speedup, ratio, base, mine) or _between(group, speedup, ratio) for ratio, base, mine in expected
        )
        ratio, base, mine = expected[0]
        seen, what = f"{number(speedup.value)} times", f"{number(base.value)} ms over {number(mine.value)} ms"
        out.judge("speedup", at(speedup.line), holds=holds, seen=seen, expected=f"about {ratio:.4g}: {what}")


def _beside(group: Group) -> list[tuple[Fact, Fact]]:
    """Return the baseline's latency and this one's, of one kind, where a case states both."""
    found = ((group.get(f"base_{name}"), group.get(name)) for name in LATENCIES)
    pairs = [(base, mine) for base, mine in found if base is not None and mine is not None and mine.value > 0]
    first = group.get(*(f"base_{name}" for name in LATENCIES)), group.get(*LATENCIES)
    if not pairs and first[0] is not None and first[1] is not None and first[1].value > 0:
        pairs = [(first[0], first[1])]
    return [(base, mine) for base, mine in pairs if base.unit is not None and mine.unit is not None]


def _only(rows: Sequence[tuple[Group, Fact]], beside: Group) -> list[tuple[Fact, Fact]]:
    """Return the two latencies of this table, or of the only table that has one of a baseline and one other."""
    pairs: dict[tuple[object, str], tuple[Fact, Fact]] = {}
    places = dict.fromkeys((group.table, group.heading) for group, _ in rows)
    for place in places:
        found = [(group.base, fact) for group, fact in rows if (group.table, group.heading) == place]
        base, mine = ([fact for is_base, fact in found if is_base == side] for side in (True, False))
        if len(base) == len(mine) == 1 and mine[0].value > 0:
            pairs[place] = base[0], mine[0]
    here = (beside.table, beside.heading)
    return [pairs[here]] if here in pairs else list(pairs.values()) if len(pairs) == 1 else []


def _between(group: Group, speedup: Fact, ratio: float) -> bool:
    """Tell whether a ratio and a speed-up, which is a median of rounds' ratios, both lie between its bounds."""
    low, high = group.get("speedup_low"), group.get("speedup_high")
    if low is None or high is None:
        return False
    return all(low.value - low.half <= value <= high.value + high.half for value in (speedup.value, ratio))


def _near(speedup: Fact, ratio: float, base: Fact, mine: Fact) -> bool:
    rounded = base.half / base.value + mine.half / mine.value if base.value > 0 else 0.0
    return abs(speedup.value - ratio) <= speedup.half + (FOLLOWS + rounded) * ratio
