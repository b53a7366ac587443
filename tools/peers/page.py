"""Write docs/benchmarks.md from raw samples: tables of medians, ratios with their spread, and what was promised.

Ratios are formed within each round, for a shared machine drifts; the ceiling of a dtype is the best product of any
round of the same encoder's run, since a ceiling is what can be reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import geometric_mean, median
from typing import Any

from peers.cases import APART, BASELINE, BATCHES, CASES, FIRST_WEIGHTS, SCOUTING_S, SUBJECTS, TURN_S, WARM_WEIGHTS
from peers.figures import Raw, agreement, cases, ceiling, ended, holding, over, rate, share
from peers.promises import Promise, promises
from peers.quiet import quiet, table, warning
from snellen.records.timing import Ratio
from snellen.verification import likeness

TEXT = """# Benchmarks

Measured and written by `make bench-peers`; every sample is in [benchmarks/raw.json](benchmarks/raw.json).

{where}
{warning}
All weights are drawn from a seed, so the numbers say how fast the networks are, not what they see. Every way to run an
encoder is a process of its own with {threads} threads, idle until its turn. In each round all take their turn, of equal
length, in an order drawn anew. A rate is that of a continuous stream after a warm-up. Ratios are formed within each
round: median, and least to most over all.

Batches of {batches} images are tried shortly by every case, in this order; a further size is not begun when a case has
taken {scouting:.0f} s, its compiling included, and none of which one measurement would take more than {turn:.0f} s. Two
sizes that are nearly the best share the case's turn, and the one with the best median over the rounds counts in all.

snellen keeps several batches under way, which is how it embeds; the peers are called with one batch after another, as
their users call them. Premade pixels go in, pooled vectors come out. All have the weights that are drawn for timm's
name of an encoder, and pool as timm does; transformers, which builds it under its own name, has its tokens pooled so.

## Model only

Images per second, median over the rounds, and the batch size.

{rates}
## Ratios to timm in eager float32

{ratios}
## Share of the machine's ceiling

Operations of the network, attention among them, against the best product of two 2048 x 2048 matrices in torch that was
measured in any round of the same run. Ceilings in GFLOP/s: {ceilings}.

{shares}
## Whether all compute the same

Vectors of three photographs of the package that 8 bits are not calibrated on (whole; in quarters, too, for an encoder
that is measured in 8 bits), made by what was measured, beside those of timm in float32 for the same pixels: the error
relative to their size, cosines, and how often the nearest other picture is the same one. Shown to be the same is what
lies within {apart}; and in int8, whose cosines are {middle} in the median and
{least} at least, and whose scale is within {gain:.0%}.

{agreement}
## From JPEG files

Files of 500 x 375 pixels to vectors. Decoding: reading, decoding and preparing alone; model: premade pixels alone; both
allow 1 / (1 / decoding + 1 / model) together, of which the share is formed within each round.

{ends}
## Cold start

A new process to the first line of its output, the embedding of one photograph, weights on disk: seconds, median over
the runs, and least to most. A process before them filled the caches, snellen's and the system's; with an empty cache
snellen takes {filling}. The encoder is {cold_name}.

{cold}
## Memory

{memory}
## Batches

{tried}
## Not measured

{failed}
## What was promised

{promises}
## Quiet

{quiet}"""


def document(raw: Raw) -> str:
    """Return the whole page; what was not measured is said to be so."""
    subjects = {subject.name: raw["subjects"][subject.name] for subject in SUBJECTS if subject.name in raw["subjects"]}
    known = {name: raw["cold"] for name in ("cold",) if "rounds" in raw.get(name, {})}
    return TEXT.format(
        batches=", ".join(map(str, BATCHES)),
        scouting=SCOUTING_S,
        turn=TURN_S,
        apart=", ".join(f"{most:g} in {dtype}" for dtype, most in APART.items()),
        middle=likeness.COSINE_MEDIAN,
        least=likeness.COSINE_WORST_IMAGE,
        gain=likeness.GAIN,
        tried=_tried(subjects),
        failed=_failed(raw),
        where=_where(raw),
        threads=raw["threads"],
        warning=warning(subjects),
        rates=_rates(subjects),
        ratios=_ratios(subjects),
        ceilings=_ceilings(subjects),
        shares=_shares(subjects),
        agreement=_agreement(subjects),
        ends=_ends(raw["ends"]),
        cold_name=f"`{raw['cold']['name']}`" if known else "ViT-S/16",
        filling=f"{raw['cold']['filling_s']['snellen']:.1f} s" if known else "longer",
        cold=_cold(known),
        memory=_memory(raw),
        promises=_promises(promises(raw)),
        quiet=quiet(subjects),
    )


def names_of(subjects: dict[str, Raw]) -> list[str]:
    """Return the cases that were tried for any encoder, in the table's order."""
    return [case.name for case in CASES if any(case.name in cases(run) for run in subjects.values())]


def _where(raw: Raw) -> str:
    machine = raw["machine"]
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB" if machine["memory_bytes"] else "unknown memory"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    flags = ", ".join(machine["flags"]) or "unknown"
    return (
        f"{machine['product']}, {machine['cores']} cores, {memory}, {machine['system']} {machine['architecture']}; "
        f"instructions {flags}. {versions}."
    )


def _rates(subjects: dict[str, Raw]) -> str:
    names = names_of(subjects)
    return _crossed(subjects, names, _cell)


def _cell(run: Raw, name: str) -> str:
    images, found = rate(run, name), holding(run, name)
    if images is None or found is None:
        return "not measured" if name in cases(run) else ""
    return f"{images:.3g} (b{found['cases'][name]['counted']})"


def _ratios(subjects: dict[str, Raw]) -> str:
    names = [name for name in names_of(subjects) if name != BASELINE]
    table = _crossed(subjects, names, lambda run, name: spanned(over(run, name)))
    means = ["geometric mean"]
    for name in names:
        found = [value.median for run in subjects.values() if (value := over(run, name))]
        means.append(f"{geometric_mean(found):.2f} ({len(found)})" if found else "")
    return table + f"| {' | '.join(means)} |\n" if subjects else table


def _shares(subjects: dict[str, Raw]) -> str:
    names = [name for name in names_of(subjects) if not name.endswith("int8")]
    return _crossed(subjects, names, lambda run, name: percent(share(run, name)))


def _ceilings(subjects: dict[str, Raw]) -> str:
    dtypes = {dtype for run in subjects.values() for dtype in run.get("ceilings", ())}
    found = {dtype: [top for run in subjects.values() if (top := ceiling(run, dtype))] for dtype in sorted(dtypes)}
    spans = (f"{dtype} {min(tops) / 1e9:.0f} to {max(tops) / 1e9:.0f}" for dtype, tops in found.items() if tops)
    return "; ".join(spans) or "not measured"


def _agreement(subjects: dict[str, Raw]) -> str:
    lines = []
    for name, run in subjects.items():
        for case in names_of(subjects):
            found = agreement(run, case) if case != BASELINE else None
            if found is not None:
                cosines = f"{found.middle:.6f}, {found.least:.6f}"
                nearest = f"{found.nearest:.0%} of {found.pictures}"
                says = "yes" if found.holds else "**not shown**"
                lines.append((f"`{name}`", case, f"{found.apart:.2e}", cosines, f"{found.gain:+.2%}", nearest, says))
    head = ("encoder", "case", "relative error", "cosine: median, least", "scale", "same nearest", "the same")
    return table(head, lines)


def _tried(subjects: dict[str, Raw]) -> str:
    """Name the batch sizes that each case tried, and why not the others."""
    lines = []
    for subject, run in subjects.items():
        for name, case in cases(run).items():
            if "scout" in case:
                rates = ", ".join(f"{b}: {found['images_per_s']:.3g}" for b, found in case["scout"].items())
                left = ", ".join(f"{b}: {why}" for b, why in case["left"].items())
                lines.append((f"`{subject}`", name, rates, left, ", ".join(map(str, case["kept"]))))
    return table(("encoder", "case", "tried, with images per second", "not tried", "measured in the rounds"), lines)


def _failed(raw: Raw) -> str:
    """Say what could not be measured, and why."""
    lines = []
    for part in ("subjects", "ends"):
        for subject, run in raw[part].items():
            what = "" if part == "subjects" else ", from files"
            lines += [(f"`{subject}`", "all" + what, run["error"])] if "error" in run else []
            known = cases(run) if part == "subjects" else run.get("cases", {})
            lines += [(f"`{subject}`", name + what, case["error"]) for name, case in known.items() if "error" in case]
    lines += [("", part, raw[part]["error"]) for part in ("cold", "memory") if "error" in raw.get(part, {})]
    return table(("encoder", "what", "why"), lines) if lines else "Nothing fell out.\n"


def _ends(ends: dict[str, Raw]) -> str:
    lines = []
    for name, run in ends.items():
        for dtype, case in run.get("cases", {}).items():
            if "error" in case:
                lines.append((f"`{name}`", dtype, "not measured: " + case["error"], "", "", ""))
                continue
            values = case["table"]["values"]
            middle = [f"{median(value[key] for value in values):.3g}" for key in ("decode", "model", "end")]
            lines.append((f"`{name}`", dtype, *middle, spanned(ended(case), "{:.1%}")))
    return table(("encoder", "dtype", "decoding", "model", "both", "share"), lines)


def _cold(raw: Raw) -> str:
    if "cold" not in raw:
        return "Not measured.\n"
    rounds = raw["cold"]["rounds"]
    lines = []
    for name, starts in rounds.items():
        first, end = ([start[key] for start in starts] for key in ("first_s", "end_s"))
        span = f"{median(first):.2f} ({min(first):.2f} to {max(first):.2f})"
        lines.append((name, span, f"{median(end):.2f}"))
    return table(("library", "to the first embedding", "to the end of the process"), lines)


def _memory(raw: Raw) -> str:
    if "weights_bytes" not in raw.get("memory", {}):
        return "Not measured.\n"
    found = raw["memory"]
    size = found["weights_bytes"]
    lines = [
        (what, f"{found[key] / 2**20:.0f} MiB", f"{found[key] / size:.2f}", f"{most:.1f}")
        for what, key, most in (
            ("first run, which converts", "first_bytes", FIRST_WEIGHTS),
            ("with a warm cache", "warm_bytes", WARM_WEIGHTS),
        )
    ]
    what = f"`{found['name']}` in float32, whose weights take {size / 2**20:.0f} MiB"
    return f"Peak resident memory of `snellen embed` with {what}.\n\n" + table(
        ("run", "peak", "times the weights", "promised at most"), lines
    )


def _promises(found: Iterable[Promise]) -> str:
    lines = [(p.what, p.encoder, p.measured, p.wanted, p.verdict) for p in found]
    return table(("what", "encoder", "measured", "promised", ""), lines)


def spanned(found: Ratio | None, form: str = "{:.2f}") -> str:
    """Write a ratio with its spread."""
    if found is None:
        return ""
    return f"{form} ({form} to {form})".format(found.median, found.least, found.most)


def percent(value: float | None) -> str:
    """Write a share."""
    return "" if value is None else f"{value:.1%}"


def _crossed(subjects: dict[str, Raw], names: Sequence[str], cell: Any) -> str:
    lines = [(f"`{subject}`", *(cell(run, name) for name in names)) for subject, run in subjects.items()]
    return table(("encoder", *names), lines)
