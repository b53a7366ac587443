"""What was promised, and whether it is so: every figure against its threshold, from raw samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import geometric_mean, median

from peers import cases
from peers.cases import SUBJECTS
from peers.figures import Raw, ended, over, share, shown

MOST_DIGITS = 6  # after the point


@dataclass(frozen=True, slots=True)
class Promise:
    """One threshold and what was measured."""

    what: str
    encoder: str
    measured: str
    wanted: str
    verdict: str  # met, not met, not shown (to compute the same thing), not measured


def promises(raw: Raw) -> Iterator[Promise]:
    """Yield every promise, those too for which there is no measurement."""
    yield from _ratios(raw)
    yield from _ahead(raw)
    yield from _shares(raw)
    yield from _cold(raw)
    yield from _ends(raw)
    yield from _memory(raw)


def at_least(
    what: str, encoder: str, value: float | None, wanted: float, form: str = "{:.2f}", *, same: bool = True
) -> Promise:
    """Judge a figure that should be large; ``same``: what it is of was seen to compute the same thing."""
    good = value is not None and value >= wanted
    measured, limit = _apart(value, wanted, form)
    return _judged(what, encoder, measured, f"at least {limit}", good=good, same=same)


def at_most(what: str, encoder: str, value: float | None, wanted: float, form: str = "{:.2f}") -> Promise:
    """Judge a figure that should be small."""
    good = value is not None and value <= wanted
    measured, limit = _apart(value, wanted, form)
    return _judged(what, encoder, measured, f"at most {limit}", good=good)


def _judged(what: str, encoder: str, measured: str, wanted: str, *, good: bool, same: bool = True) -> Promise:
    verdict = ("met" if same else "**not shown**") if good else "**not met**"
    return Promise(what, encoder, measured, wanted, verdict if measured else "not measured")


def _written(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _apart(value: float | None, wanted: float, form: str) -> tuple[str, str]:
    """Write a figure and its threshold with so many digits that they look equal only where they are."""
    whole, point, rest = form.partition(".")
    digits, kind = int(rest[0]), rest[1:]
    while value is not None and value != wanted and digits < MOST_DIGITS:
        form = f"{whole}{point}{digits}{kind}"
        if form.format(value) != form.format(wanted):
            break
        digits += 1
    return _written(value, form), form.format(wanted)


def _ratios(raw: Raw) -> Iterator[Promise]:
    wanted = (
        ("float32", cases.FLOAT32_RATIO, cases.FLOAT32_MEAN),
        ("bfloat16", cases.BFLOAT16_RATIO, cases.BFLOAT16_MEAN),
    )
    for dtype, each, mean in wanted:
        name = f"snellen {dtype}"
        found = [_over(raw, subject.name, name) for subject in SUBJECTS]
        same = [_shown(raw, subject.name, name) for subject in SUBJECTS]
        for subject, value, agrees in zip(SUBJECTS, found, same, strict=True):
            yield at_least(f"{dtype} over timm float32", f"`{subject.name}`", value, each, same=agrees)
        measured = [value for value in found if value is not None]
        whole = geometric_mean(measured) if len(measured) == len(SUBJECTS) else None
        yield at_least(f"{dtype} over timm float32", "geometric mean of all five", whole, mean, same=all(same))
    value = _over(raw, cases.SMALL, "snellen int8")
    agrees = _shown(raw, cases.SMALL, "snellen int8")
    yield at_least("int8 over timm float32", f"`{cases.SMALL}`", value, cases.INT8_RATIO, same=agrees)


def _ahead(raw: Raw) -> Iterator[Promise]:
    pairs = (
        ("snellen float32", "ONNX Runtime float32"),
        ("snellen float32", "torch.compile float32"),
        ("snellen bfloat16", "torch.compile bfloat16"),
    )
    for ours, theirs in pairs:
        for subject in SUBJECTS:
            value = _over(raw, subject.name, ours, theirs)
            good = value is not None and value > 1
            same = _shown(raw, subject.name, ours, theirs)
            found = _written(value, "{:.2f}")
            yield _judged(f"{ours} over {theirs}", f"`{subject.name}`", found, "above 1", good=good, same=same)


def _shares(raw: Raw) -> Iterator[Promise]:
    for subject in SUBJECTS:
        run = raw["subjects"].get(subject.name)
        for dtype, wanted in (("float32", cases.FLOAT32_SHARE), ("bfloat16", subject.bfloat16_share)):
            name = f"snellen {dtype}"
            value = share(run, name) if run else None
            same = _shown(raw, subject.name, name)
            yield at_least(f"share of the {dtype} ceiling", f"`{subject.name}`", value, wanted, "{:.1%}", same=same)


def _cold(raw: Raw) -> Iterator[Promise]:
    ours = part = None
    if "rounds" in raw.get("cold", {}):
        middle = {name: median(run["first_s"] for run in runs) for name, runs in raw["cold"]["rounds"].items()}
        ours, part = middle["snellen"], middle["snellen"] / middle["timm"]
    yield at_most("cold start, seconds", f"`{cases.SMALL}`", ours, cases.COLD_S)
    yield at_most("cold start over timm's", f"`{cases.SMALL}`", part, cases.COLD_PART)


def _ends(raw: Raw) -> Iterator[Promise]:
    for subject in SUBJECTS:
        found = raw["ends"].get(subject.name, {"cases": {}})["cases"]
        for dtype in ("float32", "bfloat16", *(("int8",) if subject.int8 else ())):
            reached = ended(found.get(dtype, {}))
            value = None if reached is None else reached.median
            yield at_least(
                f"from files, {dtype}: share of what is allowed", f"`{subject.name}`", value, cases.END_SHARE, "{:.1%}"
            )


def _memory(raw: Raw) -> Iterator[Promise]:
    found = raw.get("memory")
    if found is not None and "error" in found:
        found = None
    for what, key, wanted in (
        ("peak memory of the first run over the weights", "first_bytes", cases.FIRST_WEIGHTS),
        ("peak memory with a warm cache over the weights", "warm_bytes", cases.WARM_WEIGHTS),
    ):
        yield at_most(what, f"`{cases.LARGE}`", found and found[key] / found["weights_bytes"], wanted)


def _over(raw: Raw, subject: str, name: str, under: str = cases.BASELINE) -> float | None:
    run = raw["subjects"].get(subject)
    found = over(run, name, under) if run else None
    return None if found is None else found.median


def _shown(raw: Raw, subject: str, *names: str) -> bool:
    run = raw["subjects"].get(subject)
    return run is not None and shown(run, *names)
