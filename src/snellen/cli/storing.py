"""``snellen embed -o FOLDER/``: what a store is filled with, by whom, and what is said of it.

In: what was asked for. Out: a store, counts, where the time went, and the one change that would help most.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snellen.cli import show
from snellen.cli.meter import Meter, span
from snellen.embed import sample
from snellen.embed.engines import Engine, Local, Processes
from snellen.embed.filling import Filled, Order, Watching, fill
from snellen.embed.patches import begin, first, room
from snellen.embed.patches.spec import Spec
from snellen.embed.progress import Circumstances, Progress, advice, shares
from snellen.embed.worker import Job
from snellen.errors import UsageError
from snellen.runtimes.requests import AUTO

if TYPE_CHECKING:
    from snellen.cli.embed import Asked
    from snellen.store import RunState

RAY = re.compile(r"ray(?::(?P<address>.+))?")

KEPT = "what is done stays in the store: the same command goes on with it"


def store(asked: Asked, job: Job, command: str) -> int:
    """Fill a store as asked for; return the exit code."""
    spec = None if asked.dense is None else Spec.parse(asked.dense)
    folder = Path(str(asked.output))
    begin.check(folder, spec)
    order = Order(
        folder=folder,
        sources=asked.sources,
        command=command,
        shard=_shard(asked.shard),
        layout=asked.layout,
        max_errors=asked.max_errors,
    )
    with _engine(asked, job) as engine:
        shown = _Shown(job.workers, asked.quiet)
        if spec is not None or asked.decode == "fast":
            order = replace(order, settle=partial(_settle, asked, job, spec, engine))
        try:
            filled = fill(order, engine, sys.stdin.buffer, Watching(say=shown.say, begin=shown.begin, add=shown.add))
        except KeyboardInterrupt:
            shown.meter.end()
            show.say(KEPT, quiet=asked.quiet)
            raise
        finally:
            shown.meter.end()
        record = engine.records[0]
    there = _circumstances(job, narrow=record.dtype != "float32", fast=asked.decode == "fast")
    show.say(f"{_summary(filled, shown.meter, there)}\n{show.headline(record)}", quiet=asked.quiet)
    groups = _duplicates(order.folder) if asked.dedup_report and filled.manifest is not None else None
    if asked.as_json:
        show.document(_document(filled, asked, groups))
    elif groups is not None:
        for group in groups:
            click.echo("\t".join(show.plain(str(row["image_path"])) for row in group))
    return int(filled.failed > 0)


def _settle(asked: Asked, job: Job, spec: Spec | None, engine: Engine, run: RunState) -> None:
    """Say before the first part what will be written and what fast decoding costs; ask whether to go on."""
    folder = Path(str(asked.output))
    with ExitStack() as stack:
        model = engine.model if isinstance(engine, Local) else stack.enter_context(_here(asked, job).open())
        if asked.decode == "fast" and run.rows:
            found = str(sample.fast_drift(model, sample.of_run(folder, run)))
            show.say(found, quiet=asked.quiet)
            engine.note(found)
        if spec is not None:
            ask = partial(click.confirm, default=False, err=True) if sys.stdin.isatty() else None
            first.start(folder, run, spec, model, partial(room.agree, yes=asked.yes, ask=ask), workers=job.workers)


def _here(asked: Asked, job: Job) -> Job:
    """Return what opens the encoder in this process, beside the workers; where Ray has the devices, on the CPU."""
    if RAY.fullmatch(asked.engine) is None:
        return replace(job, asked=replace(job.asked, device=_names(job)[0]))
    return replace(job, asked=replace(job.asked, device="cpu", dtype=None, runtime=AUTO, plan=False))


def _names(job: Job) -> tuple[str, ...]:
    """Return the devices that are meant."""
    from snellen import devices

    return devices.several(job.asked.device)


def _engine(asked: Asked, job: Job) -> Engine:
    """Return who does the parts."""
    ray = RAY.fullmatch(asked.engine)
    if ray is not None:
        from snellen.embed.ray_engine import Ray

        return Ray(job, address=ray["address"], threads=asked.workers, tell=partial(show.say, quiet=asked.quiet))
    if asked.engine != "local":
        raise UsageError(f"there is no engine {asked.engine!r}", expected="local, ray or ray:ADDRESS", todo="name one")
    names = _names(job)
    share = replace(job, workers=max(1, job.workers // len(names)))
    jobs = [replace(share, asked=replace(job.asked, device=name)) for name in names]
    return Local(jobs[0]) if len(jobs) == 1 else Processes(jobs)


def _shard(text: str | None) -> tuple[int, int] | None:
    """Read which share is meant."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise UsageError(f"--shard {text!r} is no share", expected="I/N with I from 0 to N - 1", todo="--shard 0/4")
    return int(found[1]), int(found[2])


class _Shown:
    """The meter of a run, made anew when it is known how much there is to do."""

    def __init__(self, workers: int, quiet: bool) -> None:
        self.workers, self.quiet = workers, quiet
        self.meter = Meter(0, workers, quiet=quiet)

    def begin(self, total: int, done: Counter[str]) -> None:
        """Start counting."""
        self.meter = Meter(total, self.workers, start=sum(done.values()), quiet=self.quiet)

    def add(self, progress: Progress) -> None:
        """Count what was done."""
        self.meter.add(progress)

    def say(self, text: str) -> None:
        """Say what happens."""
        show.say(text, quiet=self.quiet)


def _circumstances(job: Job, *, narrow: bool, fast: bool) -> Circumstances:
    from snellen.devices import processor

    host = job.asked.device == "cpu"
    return Circumstances(workers=job.workers, cores=processor.cores(), host=host, fast=fast, narrow=narrow)


def _summary(filled: Filled, meter: Meter, there: Circumstances) -> str:
    """Return counts, where the time went, and the one change that would help most."""
    counts = {"done": 0, **filled.counts}
    words = [f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items() if number or name == "done"]
    if filled.run.present:
        words.append(f"{filled.run.present:,} were in the store before")
    lines = [", ".join(words)]
    if meter.done:
        lines[0] += f"; {meter.done:,} in {span(meter.taken)}, {meter.rate:,.1f} images/s"
        lines += [shares(meter.spent, there.workers), advice(meter.spent, there)]
    if filled.missing:
        parts = "1 part is" if filled.missing == 1 else f"{filled.missing:,} parts are"
        lines.append(f"{parts} still to come from other shares")
    return "\n".join(line for line in lines if line)


def _document(filled: Filled, asked: Asked, groups: list[list[dict[str, object]]] | None) -> dict[str, object]:
    return {
        "schema": "snellen.embed.store/1",
        "output": asked.output,
        "run": filled.run.number,
        "inputs": filled.run.rows,
        "present": filled.run.present,
        "counts": dict(filled.counts),
        "missing_parts": filled.missing,
        "manifest": None if filled.manifest is None else filled.manifest.to_dict(),
        **({} if groups is None else {"duplicates": groups}),
    }


def _duplicates(folder: Path) -> list[list[dict[str, object]]]:
    """Return the groups of rows whose images are the same."""
    from snellen.store import Store, duplicates

    found = duplicates(Store.open(folder))
    return [[{"id": id_, "image_path": path} for id_, path in zip(g.ids, g.paths, strict=True)] for g in found]
