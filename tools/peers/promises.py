"""What was promised, and whether it is so: every figure against its threshold, from raw samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import geometric_mean, median

from peers import cases
from peers.cases import SUBJECTS
from peers.figures import Raw, ended, over, share


@dataclass(frozen=True, slots=True)
class Promise:
    """One threshold and what was measured."""

    what: str
    encoder: str
    measured: str
    wanted: str
    verdict: str  # met, not met, not measured


def promises(raw: Raw) -> Iterator[Promise]:
    """Yield every promise, those too for which there is no measurement."""
    yield from _ratios(raw)
    yield from _ahead(raw)
    yield from _shares(raw)
    yield from _cold(raw)
    yield from _ends(raw)
    yield from _memory(raw)


def at_least(what: str, encoder: str, value: float | None, wanted: float, form: str = "{:.2f}") -> Promise:
    """Judge a figure that should be large."""
    return _judged(what, encoder, value, f"at least {form.format(wanted)}", value is not None and value >= wanted, form)


def at_most(what: str, encoder: str, value: float | None, wanted: float, form: str = "{:.2f}") -> Promise:
    """Judge a figure that should be small."""
    return _judged(what, encoder, value, f"at most {form.format(wanted)}", value is not None and value <= wanted, form)


def _judged(what: str, encoder: str, value: float | None, wanted: str, good: bool, form: str) -> Promise:
    if value is None:
        return Promise(what, encoder, "", wanted, "not measured")
    return Promise(what, encoder, form.format(value), wanted, "met" if good else "**not met**")


def _ratios(raw: Raw) -> Iterator[Promise]:
    wanted = (
        ("float32", cases.FLOAT32_RATIO, cases.FLOAT32_MEAN),
        ("bfloat16", cases.BFLOAT16_RATIO, cases.BFLOAT16_MEAN),
    )
    for dtype, each, mean in wanted:
        found = [_over(raw, subject.name, f"snellen {dtype}") for subject in SUBJECTS]
        for subject, value in zip(SUBJECTS, found, strict=True):
            yield at_least(f"{dtype} over timm float32", f"`{subject.name}`", value, each)
        measured = [value for value in found if value is not None]
        whole = geometric_mean(measured) if len(measured) == len(SUBJECTS) else None
        yield at_least(f"{dtype} over timm float32", "geometric mean of all five", whole, mean)
    value = _over(raw, cases.SMALL, "snellen int8")
    yield at_least("int8 over timm float32", f"`{cases.SMALL}`", value, cases.INT8_RATIO)


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
            yield _judged(f"{ours} over {theirs}", f"`{subject.name}`", value, "above 1", good, "{:.2f}")


def _shares(raw: Raw) -> Iterator[Promise]:
    for subject in SUBJECTS:
        run = raw["subjects"].get(subject.name)
        for dtype, wanted in (("float32", cases.FLOAT32_SHARE), ("bfloat16", subject.bfloat16_share)):
            value = share(run, f"snellen {dtype}") if run else None
            yield at_least(f"share of the {dtype} ceiling", f"`{subject.name}`", value, wanted, "{:.1%}")


def _cold(raw: Raw) -> Iterator[Promise]:
    ours = part = None
    if "cold" in raw:
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
    for what, key, wanted in (
        ("peak memory of the first run over the weights", "first_bytes", cases.FIRST_WEIGHTS),
        ("peak memory with a warm cache over the weights", "warm_bytes", cases.WARM_WEIGHTS),
    ):
        yield at_most(what, f"`{cases.LARGE}`", found and found[key] / found["weights_bytes"], wanted)


def _over(raw: Raw, subject: str, name: str, under: str = cases.BASELINE) -> float | None:
    run = raw["subjects"].get(subject)
    found = over(run, name, under) if run else None
    return None if found is None else found.median
