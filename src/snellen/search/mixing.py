"""Whether vectors made here and now may stand beside those of a store: a sample of it, embedded again and judged.

In: a store, what reads its images, and where to embed. Out: a record with a verdict. Before anything is concluded, the
run has to show that it can tell vectors apart: those of other images, and those of the same images prepared otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from snellen import devices
from snellen._version import __version__
from snellen.errors import UsageError
from snellen.records.search import MixingRecord, PairRecord
from snellen.search import again
from snellen.search import limits as classes
from snellen.search.clock import Clock
from snellen.search.judge import is_told_apart, judge
from snellen.search.query import Encoder, Place
from snellen.search.sample import draw
from snellen.store import Store

SAMPLE = 64


def verify(
    store: Store,
    read: again.Reads,
    place: Place,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
    say: Callable[[str], object] = str,
) -> MixingRecord:
    """Embed a sample of a store again, and say whether its vectors and those made now may be mixed.

    Raises UsageError where the encoder that is opened is not the store's, or the sample is too small to say anything.
    """
    if sample < 2:
        raise UsageError(f"a sample of {sample} was asked for", expected="2 or more images", todo=f"--sample {SAMPLE}")
    limits = classes.of(store.identity.dtype)
    clock = Clock()
    drawn = draw(store, sample, seed)
    clock.lap("sample")
    with Encoder(store.manifest, place, images=sample, any_dtype=True) as encoder:
        clock.lap("open")
        say(f"embedding {len(drawn)} of the images again")
        found = again.embedded(encoder, drawn, read)
        clock.lap("embed")
        controls = tuple(again.controls(encoder, found, lambda control: is_told_apart(control, limits)))
        clock.lap("controls")
        model = encoder.record
    shares, nearest, among = again.neighbours(store, found)
    clock.lap("neighbours")
    record = MixingRecord(
        store=str(store.folder),
        identity=store.identity,
        model=model,
        simulated=devices.resolve(place.device).simulated,
        seed=seed,
        drawn=len(drawn),
        pairs=_pairs(found, shares),
        left_out=tuple(found.left_out),
        controls=controls,
        nearest=nearest,
        among=among,
        seconds=clock.seconds,
        peak_bytes=None,
        version=__version__,
    )
    return replace(record, verdict=judge(record))


def _pairs(found: again.Again, shares: list[float | None]) -> tuple[PairRecord, ...]:
    named = zip(found.rows, again.distances(found.then, found.now), shares, again.likes(found), strict=True)
    return tuple(
        PairRecord(
            id=row.outcome.id,
            path=row.outcome.image_path,
            part=row.part,
            run=row.run,
            distance=distance,
            neighbours=share,
            like=like,
        )
        for row, distance, share, like in named
    )
