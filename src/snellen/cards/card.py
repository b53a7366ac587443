"""One card from one run: that it ran, that it is the same encoder, how fast it is, and all that stands behind it.

In: a loaded model and a place to try it. Out: a ReportRecord, and the files that lie beside it. A verdict that is bad
gives a card like any other. What falls out of one (a measurement that raised, a runtime that shows no stages) is said
in its notes.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from snellen import devices, runtimes
from snellen._version import __version__
from snellen.cards import samples, speed
from snellen.cards.environment import environment
from snellen.cards.facts import facts
from snellen.cards.leavings import Leavings
from snellen.cards.log import Log, Progress
from snellen.cards.tried import Seen, Shown, Tried
from snellen.devices import Device
from snellen.errors import UsageError
from snellen.model.model import Model
from snellen.records import ModelRecord
from snellen.records.reading import plain
from snellen.records.report import File, ReportRecord
from snellen.records.tuning import TuneRecord
from snellen.report.terminal import SIMULATED
from snellen.tuning.tuner import tune as search
from snellen.verification import trusted

LOG, SAMPLES = "log.txt", "samples.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A card's record, and the files that lie beside it, by name: the log, the samples, what the device left."""

    record: ReportRecord
    files: Mapping[str, bytes]


def card(  # noqa: PLR0913  (each is a question a person asks by itself, and all have a good default)
    model: Model,
    *,
    device: str = "cpu",
    runtime: str | None = None,
    dtype: str = "float32",
    shown: Shown | None = None,
    tune: bool = False,
    settings: speed.Settings | None = None,
    load_s: float | None = None,
    command: str | None = None,
    progress: Progress | None = None,
) -> Made:
    """Gather the evidence of an encoder in a runtime on a device.

    ``model`` is loaded in float32 on the CPU. ``runtime`` is the device's default unless named. ``shown``: what it is
    judged on, the package's photographs by default. ``settings``: how much is measured. ``load_s``: how long it took to
    load, where that is known. ``command``: how the card was asked for.

    Raises UsageError for what cannot be judged, Unavailable for a device or runtime that is not here, CandidateError
    where the encoder does not run there at all.
    """
    place, asked = devices.resolve(device), shown or Shown()
    chosen = runtimes.default(place, dtype)
    name = runtime or chosen.value
    check(place, name, dtype)
    trusted.check_model(model)
    record = replace(model.record.run_as(dtype, name), device=place.name)
    if runtime is None:
        record = replace(record, choices=(*record.choices, chosen))
    run = Run(model, record, Tried(model, place, name, dtype, Log(progress)), command)
    return run.made(asked, replace(settings or speed.Settings(), load_s=load_s), tune=tune)


def check(device: Device, runtime: str, dtype: str) -> None:
    """Refuse what no card can be made of, before a model is there. Raises as ``card`` does."""
    if dtype not in trusted.REFERENCE:
        raise UsageError(
            f"a card in {dtype} was asked for",
            expected=f"one of {', '.join(trusted.REFERENCE)}, which a verdict can be given on",
            todo="--dtype float32",
        )
    runtimes.check(runtime, device, dtype)


@dataclass(frozen=True, slots=True)
class Run:
    """The run behind a card; ``record`` is the model as the candidate runs it."""

    model: Model
    record: ModelRecord
    tried: Tried
    command: str | None

    def made(self, asked: Shown, settings: speed.Settings, *, tune: bool) -> Made:
        """Gather everything, one thing after the other."""
        log, started = self.tried.log, datetime.now(timezone.utc).isoformat(timespec="seconds")
        leavings = Leavings(self.tried.device.leavings())
        with log.part("total"):
            log("facts: the weights, and the files they came from")
            with log.part("facts"):
                known = facts(self.model)
            with log.part("environment"):
                where = environment(self.tried.device, log)
            seen = self.tried.seen(asked)
            with log.part("bench"):
                bench = speed.measured(self.model, self.record, seen.place, settings, log)
            tuned = log.attempt("tune", "a faster setup", lambda: self._tuned(asked)) if tune else None
            left = log.attempt("stack", "what the device's own software left", lambda: leavings.found(log))
        command = self.command or " ".join(self._words())
        log(f"done: {seen.trial.verdict.outcome if seen.trial.verdict else 'no verdict'}")
        said = log.text(*self._head(seen), f"snellen {__version__}, begun at {started}", f"$ {command}", "")
        files = {LOG: said.encode(), SAMPLES: samples.table(bench).encode(), **(left or {})}
        report = ReportRecord(
            model=plain(self.record.to_dict()),
            facts=known,
            environment=where,
            evidence=seen.evidence,
            trial=seen.trial,
            seeds=seen.seeds,
            pca=seen.pca,
            histograms=seen.histograms,
            bench=bench,
            tune=tuned,
            command=command,
            files=_listed(files),
            notes=tuple(log.notes),
            started_at=started,
            seconds=dict(log.seconds),
            version=__version__,
        )
        return Made(record=report, files=files)

    def _tuned(self, asked: Shown) -> TuneRecord:
        inputs = asked.inputs
        images = inputs.paths if inputs is not None and inputs.kind == "images" else None
        return search(self.model, device=self.tried.device.name, images=images, progress=self.tried.log)

    def _head(self, seen: Seen) -> Iterator[str]:
        """Yield what is said before anything else."""
        if self.tried.device.simulated:
            yield SIMULATED
        if not self.record.origin.trained:
            yield from (note for note in self.record.notes if "drawn" in note)
        if seen.trial.inputs.kind == "random":
            yield "the inputs are random numbers, and no images"

    def _words(self) -> Iterator[str]:
        """Yield the command that asks for such a card, where nobody said how it was asked for."""
        origin, device = self.record.origin, self.tried.device
        yield from ("snellen", "card", shlex.quote(self.record.name))
        if not origin.trained:
            yield from ("--weights", f"seed:{origin.seed}")
        if self.record.recipe not in {choice.value for choice in self.record.choices}:
            yield from ("--recipe", shlex.quote(self.record.recipe))
        yield from ("--device", device.name, "--runtime", self.tried.runtime, "--dtype", self.tried.dtype)
        if device.simulated:
            yield "--simulate"
        yield from ("-o", "card")


def _listed(files: Mapping[str, bytes]) -> tuple[File, ...]:
    """Return names, sizes and digests of files."""
    return tuple(
        File(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in files.items()
    )
