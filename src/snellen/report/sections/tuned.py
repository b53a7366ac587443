"""A search for the fastest setup that computes the same: what was picked, every candidate, the final."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.tuning import Final, Trial, TuneRecord
from snellen.report.sections import figures as f
from snellen.report.sections.parts import Name, Paragraph, Part, Say, Table, Text, headed, text, word

COLUMNS = (
    "setup",
    "outcome",
    "throughput",
    "spread",
    "latency_ms",
    "memory_mib",
    "ceiling_share",
    "over_limit",
    "because",
)


def tuned(tune: TuneRecord) -> Iterator[Part]:
    """Yield the search."""
    picked = Name(str(tune.plan.setup)) if tune.plan else Text("word.none")
    values: dict[str, Say] = {
        "goal": word("goal", tune.goal),
        "setup": picked,
        "default": Name(str(tune.default)),
        "seconds": f.number(tune.used_s),
    }
    yield Paragraph(text("tune.picked" if tune.plan else "tune.nothing", values))
    yield Table("tune", headed(*COLUMNS), tuple(map(_row, tune.trials)), tuple(range(2, 8)))
    if tune.final is not None:
        yield _final(tune.final)


def _row(trial: Trial) -> tuple[Say, ...]:
    return (
        Name(str(trial.setup)),
        word("tuned", trial.outcome),
        f.number(trial.images_per_s, 5),
        f.percent(trial.spread),
        f.NONE if trial.latency_s is None else f.ms(1e3 * trial.latency_s),
        f.mib(trial.memory_bytes),
        f.percent(trial.ceiling_share),
        f.NONE if trial.worst is None else f.apart(trial.worst, 1.0)[0],
        trial.because,
    )


def _final(final: Final) -> Table:
    pairs = zip(final.default_images_per_s, final.images_per_s, strict=False)
    body = tuple(
        (str(number), f.number(default, 5), f.number(mine, 5)) for number, (default, mine) in enumerate(pairs, 1)
    )
    ratio = {"ratio": f.number(final.ratio), "least": f.number(final.least), "most": f.number(final.most)}
    note = text("below.final", {"setup": Name(str(final.setup)), **ratio})
    return Table("tune_final", headed("round", "default_throughput", "setup_throughput"), body, (0, 1, 2), (note,))
