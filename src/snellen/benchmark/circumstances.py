"""What stands around two measurements: what differs beside their figures, and what is said before any of them.

In: two records. Out: sentences.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.bench import BenchRecord

DIGEST = 16  # letters of a digest that are told


def differing(first: BenchRecord, second: BenchRecord) -> Iterator[str]:
    """Yield what differs between two measurements beside their figures, and so may be why they differ."""
    one, other = _facts(first), _facts(second)
    yield from (f"{name}: {one[name]}, {other[name]}" for name in one if one[name] != other[name])
    versions = first.machine.versions, second.machine.versions
    for package in sorted({*versions[0], *versions[1]} - {"snellen"}):
        before, after = (found.get(package, "none") for found in versions)
        if before != after:
            yield f"{package}: {before}, {after}"
    yield from _loads(first, second)
    outcomes = [{point.batch: point.outcome for point in record.points} for record in (first, second)]
    for batch in sorted({*outcomes[0], *outcomes[1]}):
        ended = [str(known.get(batch, "not asked for")) for known in outcomes]
        if ended[0] != ended[1]:
            yield f"batch {batch}: {ended[0]}, {ended[1]}"


def cautions(first: BenchRecord, second: BenchRecord) -> Iterator[str]:
    """Yield what a reader has to know before any figure: what was simulated, and what was drawn."""
    records = {"the first": first, "the second": second}
    simulated = [name for name, record in records.items() if record.simulated]
    if simulated:
        yield f"SIMULATED: the device of {' and '.join(simulated)} was; these figures say nothing about hardware"
    seeded = [name for name, record in records.items() if (record.model.get("origin") or {}).get("kind") == "seed"]
    if seeded:
        yield f"SEEDED WEIGHTS: those of {' and '.join(seeded)} were drawn, not trained"
    if first.mode == "files":  # and so is the second, or they are not compared
        rates = (f"{record.files.images_per_s:.4g}" if record.files else "none" for record in (first, second))
        yield f"THE ENCODER ALONE is judged here; from files to vectors, which is not: {', '.join(rates)} images/s"
    yield "RANDOM PIXELS: both encoders were measured on drawn pixels, no photographs"


def moved(before: tuple[BenchRecord, BenchRecord], now: tuple[BenchRecord, BenchRecord]) -> Iterator[str]:
    """Yield which of two was measured on another machine before it was measured again here."""
    for which, old, new in zip(("first", "second"), before, now, strict=True):
        if old.machine.product != new.machine.product:
            yield f"the {which} was measured on {old.machine.product} before, and on {new.machine.product} again"


def _loads(first: BenchRecord, second: BenchRecord) -> Iterator[str]:
    """Yield how much else ran before each, where that was much for one of them: half of the threads."""
    loads = [record.load_before[0] if record.load_before else 0.0 for record in (first, second)]
    limits = [(record.machine.threads or 1) / 2 for record in (first, second)]
    if any(load > limit for load, limit in zip(loads, limits, strict=True)):
        yield f"processes that ran over the minute before: {loads[0]:.2g}, {loads[1]:.2g}"


def _facts(record: BenchRecord) -> dict[str, object]:
    model, device, machine = record.model, record.device, record.machine
    return {
        "model": model.get("variant"),
        "weights": str(model.get("digest") or model.get("origin"))[:DIGEST],
        "recipe": model.get("recipe_hash"),
        "input": "x".join(map(str, record.shape)),
        "setup": record.setup,
        "runtime's version": record.runtime_version,
        "device": device.get("name"),
        "product": device.get("product"),
        "simulated": "yes" if record.simulated else "no",
        "machine": machine.product,
        "threads": machine.threads,
        "snellen": record.version,
    }
