"""Write docs/benchmarks.md from raw samples: tables of medians, ratios with their spread, and what was promised.

Ratios are formed within each round, for a shared machine drifts; the ceiling of a dtype is the best product of any
round of the same encoder's run, since a ceiling is what can be reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import geometric_mean, median
from typing import Any

from peers.cases import BASELINE, BUSY, CASES, SUBJECTS
from peers.figures import Raw, agreement, ceiling, ended, over, rate, share
from peers.promises import Promise, promises
from snellen.records.timing import Ratio

TEXT = """# Benchmarks

Measured and written by `make bench-peers`; every sample is in [benchmarks/raw.json](benchmarks/raw.json).

{where}
{warning}
All weights are drawn from a seed, so the numbers say how fast the networks are, not what they see. Every way to run an
encoder is a process of its own with {threads} threads, idle until its turn. In each round all take their turn, in an
order drawn anew; of several batch sizes the one with the best median over the rounds counts, in all rounds. A rate is
that of a continuous stream after a warm-up. Ratios are formed within each round: median, and least to most over all.

## Model only

Images per second, median over the rounds, and the batch size.

{rates}
## Ratios to timm in eager float32

{ratios}
## Share of the machine's ceiling

Operations of the network, attention among them, against the best product of two 2048 x 2048 matrices in torch that was
measured in any round of the same run. Ceilings in GFLOP/s: {ceilings}.

{shares}
## Agreement with float32

Vectors of the package's ten photographs, whole and in halves, against the same weights in float32 in the same runtime:
the least cosine, and how often the nearest other picture is the same one.

{agreement}
## From JPEG files

Files of 500 x 375 pixels to vectors. Decoding: reading, decoding and preparing alone; model: premade pixels alone; both
allow 1 / (1 / decoding + 1 / model) together, of which the share is formed within each round.

{ends}
## Cold start

A new process to its first embedding of one photograph, weights on disk, caches warm: seconds, median over the runs, and
least to most. The encoder is {cold_name}. Where snellen's cache is empty it takes {filling}.

{cold}
## Memory

{memory}
## What was promised

{promises}
## Quiet

{quiet}"""


def document(raw: Raw) -> str:
    """Return the whole page; what was not measured is said to be so."""
    subjects = {subject.name: raw["subjects"][subject.name] for subject in SUBJECTS if subject.name in raw["subjects"]}
    return TEXT.format(
        where=_where(raw),
        threads=raw["threads"],
        warning=_warning(subjects),
        rates=_rates(subjects),
        ratios=_ratios(subjects),
        ceilings=_ceilings(subjects),
        shares=_shares(subjects),
        agreement=_agreement(subjects),
        ends=_ends(raw["ends"]),
        cold_name=f"`{raw['cold']['name']}`" if "cold" in raw else "ViT-S/16",
        filling=f"{raw['cold']['filling_s']['snellen']:.1f} s" if "cold" in raw else "longer",
        cold=_cold(raw),
        memory=_memory(raw),
        promises=_promises(promises(raw)),
        quiet=_quiet(subjects),
    )


def names_of(subjects: dict[str, Raw]) -> list[str]:
    """Return the cases that were tried for any encoder, in the table's order."""
    return [case.name for case in CASES if any(case.name in run["cases"] for run in subjects.values())]


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
    images = rate(run, name)
    if images is None:
        return "not measured" if name in run["cases"] else ""
    return f"{images:.3g} (b{run['cases'][name]['counted']})"


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
    dtypes = {dtype for run in subjects.values() for dtype in run["ceilings"]}
    found = {dtype: [top for run in subjects.values() if (top := ceiling(run, dtype))] for dtype in sorted(dtypes)}
    spans = (f"{dtype} {min(tops) / 1e9:.0f} to {max(tops) / 1e9:.0f}" for dtype, tops in found.items() if tops)
    return "; ".join(spans) or "not measured"


def _agreement(subjects: dict[str, Raw]) -> str:
    lines = []
    for name, run in subjects.items():
        for case in names_of(subjects):
            found = agreement(run, case) if case != "snellen float32" else None
            if found is not None:
                count = len(run["cases"][case]["vectors"])
                lines.append((f"`{name}`", case, f"{found[0]:.6f}", f"{found[1]:.1%} of {count}"))
    return table(("encoder", "case", "least cosine", "same nearest"), lines)


def _ends(ends: dict[str, Raw]) -> str:
    lines = []
    for name, run in ends.items():
        for dtype, case in run["cases"].items():
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
    for name, runs in rounds.items():
        first, end = ([run[key] for run in runs] for key in ("first_s", "end_s"))
        span = f"{median(first):.2f} ({min(first):.2f} to {max(first):.2f})"
        lines.append((name, span, f"{median(end):.2f}"))
    return table(("library", "to the first embedding", "to the end of the process"), lines)


def _memory(raw: Raw) -> str:
    if "memory" not in raw:
        return "Not measured.\n"
    found = raw["memory"]
    size = found["weights_bytes"]
    lines = [
        (what, f"{found[key] / 2**20:.0f} MiB", f"{found[key] / size:.2f}")
        for what, key in (("first run, which converts", "first_bytes"), ("with a warm cache", "warm_bytes"))
    ]
    what = f"`{found['name']}` in float32, whose weights take {size / 2**20:.0f} MiB"
    return f"Peak resident memory of `snellen embed` with {what}.\n\n" + table(
        ("run", "peak", "times the weights"), lines
    )


def _promises(found: Iterable[Promise]) -> str:
    lines = [(p.what, p.encoder, p.measured, p.wanted, p.verdict) for p in found]
    return table(("what", "encoder", "measured", "promised", ""), lines)


def _loads(subjects: dict[str, Raw]) -> list[Raw]:
    """Return what else ran, measurement by measurement."""
    found = (found for run in subjects.values() for case in run["cases"].values() for found in case.get("rounds", ()))
    return [rate["load"] for rates in found for rate in rates.values()]


def _warning(subjects: dict[str, Raw]) -> str:
    """Say so where the machine was busy with other things."""
    busy = [load["others"] for load in _loads(subjects) if load["others"] is not None]
    if not busy or sum(share > BUSY for share in busy) <= len(busy) / 10:
        return ""
    return (
        f"\n**The machine was not quiet**: other processes took more than {BUSY:.0%} of its time in "
        f"{sum(share > BUSY for share in busy)} of {len(busy)} measurements. That slows libraries down unequally; "
        "measure again before any of this is quoted.\n"
    )


def _quiet(subjects: dict[str, Raw]) -> str:
    """Say how much else ran while something was measured."""
    loads = _loads(subjects)
    if not loads:
        return "Nothing was measured.\n"
    lines = []
    kinds = (("idle_workers", "waiting workers"), ("others", "other processes"), ("stolen", "taken by the host"))
    for key, what in kinds:
        told = sorted(load[key] for load in loads if load[key] is not None)
        if told:
            lines.append((what, f"{median(told):.1%}", f"{told[int(0.9 * (len(told) - 1))]:.1%}", f"{told[-1]:.1%}"))
    head = "Share of all processors' time during the measurements that went elsewhere.\n\n"
    return head + table(("to", "median", "nine of ten below", "most"), lines)


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


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; nothing measured is said."""
    body = list(lines)
    if not body:
        return "Not measured.\n"
    rows = [header, ["---"] * len(header), *body]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
