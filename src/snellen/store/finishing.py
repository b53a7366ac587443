"""The end of a run: every part is there, the index over the rows is brought up to date, the manifest is written last.

In: a store whose parts are finished. Out: its manifest. A process that dies in between leaves the former manifest, and
the next one finishes again.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from snellen._version import __version__
from snellen.errors import UsageError
from snellen.records import ModelRecord
from snellen.records.store import Manifest, PartRecord, RunRecord
from snellen.store import known, listing, state
from snellen.store.files import keeping, put, to_json
from snellen.store.layout import Places
from snellen.store.lock import now
from snellen.store.state import RunState
from snellen.store.tables import table_of

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

_NAMED = 3


def finish(places: Places) -> Manifest:
    """Write the manifest with the run in work; whoever calls it has the store for itself.

    Raises UsageError, naming them, where parts are not finished. Without a run in work the manifest stays as it is.
    """
    former = state.manifest(places)
    run = state.unfinished(places, former)
    if run is None:
        if former is None:
            raise UsageError(
                f"no run was begun in {str(places.folder)!r}", todo="snellen embed SOURCE... -m MODEL -o OUT/"
            )
        return former
    parts, models = _parts(places, run)
    obsolete = _obsolete(places, run, former)
    with keeping(places.folder):
        places.journals.mkdir(exist_ok=True)
        _index(places, run, former, obsolete)
        manifest = Manifest(
            identity=run.identity,
            version=__version__,
            runs=(*(former.runs if former else ()), _record(run, models)),
            parts=(*(former.parts if former else ()), *parts),
            superseded=tuple(sorted({*(former.superseded if former else ()), *obsolete.tolist()})),
        )
        put(places.manifest, to_json(manifest.to_dict()), places.aside("manifest.json"))
    tidy(places, manifest, None)
    return manifest


def tidy(places: Places, manifest: Manifest | None, run: RunState | None) -> None:
    """Remove what is of no more use, or was left by a death; whoever calls it has the store for itself."""
    current = places.known(len(manifest.runs)) if manifest else None
    for path in places.inside.glob("known-*"):
        if path != current:
            shutil.rmtree(path, ignore_errors=True)
    if run is None:
        shutil.rmtree(places.journals, ignore_errors=True)


def index_of(places: Places, manifest: Manifest | None) -> known.Known:
    """Return the index over the rows of the finished runs; made anew where it is not there."""
    import numpy

    if manifest is None:
        return known.Known(None)
    folder = places.known(len(manifest.runs))
    if not known.whole(folder):
        parts = (places.part(part.number) for part in manifest.parts)
        known.build(folder, known.Known(None), parts, numpy.array(sorted(manifest.superseded), numpy.int64))
    return known.Known(folder)


def _parts(places: Places, run: RunState) -> tuple[tuple[PartRecord, ...], tuple[ModelRecord, ...]]:
    parts, models, missing = [], dict[str, ModelRecord](), []
    for number in run.numbers:
        there = state.finished_part(places, run.number, number)
        if there is None:
            missing.append(number)
        else:
            parts.append(there.part)
            models.setdefault(repr(there.model), there.model)
    if missing:
        raise incomplete(places, run, missing)
    return tuple(parts), tuple(models.values())


def incomplete(places: Places, run: RunState, missing: list[int]) -> UsageError:
    """Return the error of a run that lacks parts."""
    named = ", ".join(places.part(number).name for number in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return UsageError(
        f"{len(missing)} of the {run.parts} parts of the run are not finished: {named}{more}",
        expected="every part of the run, each once",
        todo=f"let the workers of these finish: {run.rest or 'give the command again that began the run'}",
    )


def _obsolete(places: Places, run: RunState, former: Manifest | None) -> NDArray[int64]:
    """Return the ids, sorted, of rows whose path was embedded anew; a row that is missing replaces no good one."""
    import numpy

    found: set[int] = set()
    if former is not None and run.replacing:
        missing = _missing(places, run)
        for identity, replaces, missed in listing.replaced(places, run):
            found.update(missed)
            if not missing[identity - run.first_id]:
                found.update(replaces)
    return numpy.array(sorted(found), numpy.int64)


def _missing(places: Places, run: RunState) -> NDArray[int64]:
    """Return which rows of a run are missing [rows] bool."""
    import numpy

    columns = [table_of(places.part(number), ["status"])["status"].to_numpy() == "missing" for number in run.numbers]
    made: NDArray[int64] = numpy.concatenate(columns)
    return made


def _index(places: Places, run: RunState, former: Manifest | None, obsolete: NDArray[int64]) -> None:
    parts = (places.part(number) for number in run.numbers)
    known.build(places.known(run.number + 1), index_of(places, former), parts, obsolete)


def _record(run: RunState, models: tuple[ModelRecord, ...]) -> RunRecord:
    return RunRecord(
        number=run.number,
        sources=run.sources,
        first_part=run.first_part,
        parts=run.parts,
        part_rows=run.part_rows,
        rows=run.rows,
        first_id=run.first_id,
        present=run.present,
        models=models,
        started=run.started,
        finished=now(),
    )
