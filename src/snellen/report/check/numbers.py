"""Figures of a report that cannot be, whatever they stand beside: cosines, sizes, blanks, and orders among them.

In: a report's document. Out: findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from snellen.report.check.found import Findings, number
from snellen.report.check.walk import Part, leaves

SIZES = ("_ms", "_s", "bytes", "_per_s", "_share", "_abs", "_percent", "frobenius", "token", "relative", "rmse")
"""How names of what is never below 0 end; "_s" are seconds."""
COUNTS = (
    "seconds",
    "parameters",
    "tensors",
    "tokens",
    "width",
    "elements",
    "nonfinite",
    "batch",
    "operations_per_image",
)

HELD = ("allocated_peak_bytes", "device_used_bytes", "process_peak_bytes", "memory_bytes", "total_bytes")
"""Memory that was held or is there: where nothing tells it is null."""

METRICS = ("max_abs", "mean_abs", "cosine")
FINITE = "a figure, for all numbers are finite"
RANGE = ("least", "most", "mean")
NAMED = (
    *("command", "started_at", "version", "model.name", "model.variant", "facts.title", "facts.digest"),
    *("environment.system", "environment.python", "evidence.image", "evidence.output_device"),
)

RISING = (
    ("mean_abs", "rmse", "max_abs"),
    ("median_relative", "max_relative"),
    ("trimmed_relative", "mean_relative", "max_relative"),
    ("mere", "mare"),
    ("relative_frobenius", "worst_token"),
)
"""Figures of one comparison, none of which can be larger than the next."""


def check(document: Part, out: Findings) -> None:
    """Look at every figure of a report."""
    for name, part in leaves(document):
        _possible(name, part, out)
    for part in (*_spent(document["seconds"]), *_spent(document["trial.seconds"])):
        out.judge("negative", part.place, holds=(part.number or 0) >= 0, seen=f"{part.value} s", expected="0 or more")
    for metrics in _metrics(document):
        for names in RISING:
            rising(metrics, names, out)
    for tensor in _tensors(document):
        rising(tensor, ("least", "mean", "most"), out)
    _blanks(document, out)


def rising(part: Part, names: Sequence[str], out: Findings) -> None:
    """Hold figures to their order; those that are not there are left out."""
    known = [(name, value) for name in names if (value := part[name].number) is not None]
    for (below, less), (above, more) in pairwise(known):
        out.judge(
            "order",
            part[below].place,
            holds=less <= more * (1 + 1e-9) + 1e-300 if more >= 0 else less <= more,
            seen=f"{below} {number(less)}",
            expected=f"at most {above}, {number(more)}",
        )


def _possible(name: str, part: Part, out: Findings) -> None:
    """Hold one figure to what its name says it is."""
    value = part.number or 0.0
    if "cosine" in name:
        out.judge("cosine", part.place, holds=abs(value) <= 1, seen=number(value), expected="from -1 to 1")
    elif name in HELD:
        what = f"{number(value)} bytes"
        out.judge("memory", part.place, holds=value > 0, seen=what, expected="more than 0, or null where none tells")
    elif name == "samples_ms":
        out.judge("negative", part.place, holds=value > 0, seen=f"{number(value)} ms", expected="more than 0")
    elif is_size(name):
        out.judge("negative", part.place, holds=value >= 0, seen=number(value), expected="0 or more")


def is_size(name: str) -> bool:
    """Tell whether figures of this name are never below 0."""
    return name.endswith(SIZES) or name in COUNTS


def _spent(seconds: Part) -> list[Part]:
    """Return the seconds of every part of a run."""
    return [part for _, part in seconds.items()]


def _tensors(document: Part) -> list[Part]:
    """Return every tensor that came out of the run that shows that it ran."""
    return [*document["evidence.outputs"].parts(), *document["evidence.maps"].parts()]


def _metrics(document: Part) -> list[Part]:
    """Return every comparison: each output's against the golden and the CPU's run, and each input's alone."""
    found = []
    for output in document["trial.outputs"].parts():
        found += [output["golden"], output["single"], *output["images"].parts()]
    return found


def _blanks(document: Part, out: Findings) -> None:
    """Look for figures that are left blank though nothing keeps them from being known."""
    for metrics in _metrics(document):
        if metrics["nonfinite"].number == 0 and metrics["elements"].number != 0:
            _filled(metrics, METRICS, FINITE, out)
    for tensor in _tensors(document):
        if tensor["nonfinite"].number == 0 and 0 not in tensor["shape"].sizes:
            _filled(tensor, RANGE, FINITE, out)
    for row in document["seeds"].parts():
        if any(row[name] for name in METRICS):
            _filled(row, METRICS, "a figure, as the others of the same row", out)
    for part in (document[name] for name in NAMED):
        if part.text is not None:
            out.judge("blank", part.place, holds=bool(part.text.strip()), seen="nothing", expected="a name")
    _unmeasured(document["bench"], out)


def _unmeasured(bench: Part, out: Findings) -> None:
    """Look for what of a measurement is missing without a reason."""
    for point in (*bench["points"].parts(), *bench["baseline.points"].parts()):
        _reasons(point, out)
    for whole, rate in (("ceiling", "operations_per_s"), ("bandwidth", "bytes_per_s")):
        if bench[whole] and not bench[whole][rate]:
            _told(bench[whole]["note"], bench[whole][rate].place, out)


def _reasons(point: Part, out: Findings) -> None:
    """Hold a batch size to a figure, or to a reason for none."""
    if point["outcome"].text == "measured":
        _filled(point, ("latency", "images_per_s"), "a figure, for it was measured", out)
    elif point["outcome"].text is not None:
        _told(point["because"], point["latency"].place, out)
    for percentile in point["latency.percentiles"].parts():
        if not percentile["ms"]:
            _told(percentile["because"], percentile["ms"].place, out)


def _filled(part: Part, names: Sequence[str], expected: str, out: Findings) -> None:
    for name in names:
        out.judge("blank", part[name].place, holds=bool(part[name]), seen="nothing", expected=expected)


def _told(reason: Part, place: str, out: Findings) -> None:
    holds = bool((reason.text or "").strip())
    out.judge("blank", place, holds=holds, seen="neither a figure nor a reason", expected="one of the two")
