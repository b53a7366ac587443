"""What is seen of a runner while it is open: that it runs, the verdict, the seeds, the pictures.

In: a model, a place, a runtime's name. Out: ``Seen``. The golden is computed once, and everything is held against it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snellen import runtimes
from snellen.cards import pictures, seeds
from snellen.cards.evidence import Looked, shown
from snellen.cards.log import Log
from snellen.cards.speed import Place
from snellen.devices import Device
from snellen.model.model import Model
from snellen.records.report import Evidence, Histogram, Pca, SeedRow
from snellen.records.verify import TrialRecord
from snellen.runtimes.base import Runner
from snellen.verification import trusted
from snellen.verification.candidate import running
from snellen.verification.drift import encode
from snellen.verification.golden import Golden, compute, noises, with_noise
from snellen.verification.inputs import Inputs, photographs
from snellen.verification.trial import verify

if TYPE_CHECKING:
    from torch import Tensor

PHOTOS = 2
"""Photographs whose patches are shown as colours; each takes some 40 kB of a card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What it is judged on: images and a golden, either of which may be missing, and whether a second build is made."""

    inputs: Inputs | None = None
    golden: Golden | None = None
    stages: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that was seen of a runner; ``place`` is what a measurement has to know."""

    evidence: Evidence
    trial: TrialRecord
    seeds: tuple[SeedRow, ...]
    pca: tuple[Pca, ...]
    histograms: tuple[Histogram, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Tried:
    """One runtime on trial."""

    model: Model
    device: Device
    runtime: str
    dtype: str
    log: Log

    def seen(self, what: Shown) -> Seen:
        """Open a runner, look at everything, and close it.

        Raises CandidateError where it does not run, ImageError for an image that is none.
        """
        self.log(f"{self.runtime} in {self.dtype} on {self.device.name}")
        begun = time.perf_counter()
        with self.log.part("prepare"):
            runner = runtimes.make(self.runtime, self.model, self.device, self.dtype)
            self.device.synchronize()
        prepare_s = time.perf_counter() - begun
        with runner:
            looked = self._looked(runner, what)
            cached = runner.reused  # before the same is compiled again
            golden, spent = self._golden(what)
            trial = self._trial(runner, golden, spent, looked)
            mine, reference = self._outputs(runner, golden)
            pca = self.log.attempt("pictures", "the pictures of patches", lambda: self._pca(golden, mine))
            histograms = self.log.attempt("pictures", "the histograms", lambda: _histograms(golden, mine, reference))
            self.log("random inputs")
            seeded = self.log.attempt("seeds", "the table of seeds", lambda: seeds.compared(runner, self.model))
            version = runner.version
        place = Place(
            device=self.device,
            runtime=self.runtime,
            version=version,
            dtype=self.dtype,
            prepare_s=prepare_s,
            first_s=looked.evidence.seconds,
            image_s=min(looked.again_s, seeded.image_s) if seeded else looked.again_s,
            cpu_s=seeded.cpu_s if seeded else looked.again_s,
            cached=cached,
        )
        return Seen(
            evidence=looked.evidence,
            trial=trial,
            seeds=seeded.rows if seeded else (),
            pca=pca or (),
            histograms=histograms or (),
            place=place,
        )

    def _looked(self, runner: Runner, what: Shown) -> Looked:
        """Run the first image, before anything is computed that would be in vain where it does not run."""
        self.log("evidence: one image")
        with self.log.part("evidence"):
            if what.golden is None:
                inputs = what.inputs or photographs()
                pixels = replace(inputs, paths=inputs.paths[:1], seeds=inputs.seeds[:1]).pixels(self.model.recipe)[:1]
                name = inputs.record(pixels).names[0]
            else:
                pixels, name = what.golden.pixels[:1], what.golden.about.inputs.names[0]
            looked = shown(runner, self.model.encoder, pixels, name, builds=what.stages)
        for note in looked.notes:
            self.log.note(note)
        return looked

    def _golden(self, what: Shown) -> tuple[Golden, float]:
        """Return the golden, with the noise that judges this dtype, and how long it took."""
        begun = time.perf_counter()
        with self.log.part("golden"):
            if what.golden is None:
                golden = compute(self.model, what.inputs or photographs(), noises(self.dtype), self.log)
            else:
                golden = with_noise(what.golden, self.model, noises(self.dtype), self.log)
        inputs = golden.about.inputs
        if inputs.left_out:
            whole = len(inputs.names) + inputs.left_out
            self.log.note(f"judged on {len(inputs.names)} of {whole} {inputs.kind}; the others were left out")
        return golden, time.perf_counter() - begun

    def _trial(self, runner: Runner, golden: Golden, spent: float, looked: Looked) -> TrialRecord:
        """Put the runner on trial; its seconds count the golden, too."""
        with self.log.part("verify"):
            trial = verify(
                self.model,
                device=self.device.name,
                dtype=self.dtype,
                candidate=runner,
                golden=golden,
                stages=looked.built,
                progress=self.log,
            )
        seconds = {name: round(s + spent, 3) if name in {"golden", "total"} else s for name, s in trial.seconds.items()}
        return replace(trial, seconds=seconds)

    def _outputs(self, runner: Runner, golden: Golden) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Run the golden's images once more through the candidate, and through the CPU in the dtype asked for."""
        self.log("pictures")
        with self.log.part("pictures"):
            mine = encode(running(runner, "for the pictures"), golden.pixels)
            if self.dtype == "float32":
                return mine, dict(golden.single)
            arithmetic, encoder = trusted.REFERENCE[self.dtype], self.model.encoder
            return mine, encode(lambda batch, tap: trusted.run(encoder, batch, arithmetic, tap), golden.pixels)

    def _pca(self, golden: Golden, mine: dict[str, Tensor]) -> tuple[Pca, ...]:
        """Colour the patches of the first photographs."""
        inputs, recipe = golden.about.inputs, self.model.recipe
        if inputs.kind not in ("photographs", "images"):
            self.log.note(f"no pictures of patches: the inputs are {inputs.kind}, which show nothing")
            return ()
        if "patches" not in mine or not bool(mine["patches"][:PHOTOS].isfinite().all()):
            self.log.note("no pictures of patches: the candidate gave none, or some that are not finite")
            return ()
        grid = self.model.encoder.grid(golden.pixels)
        return tuple(
            pictures.pca(name, grid, exact, other, pictures.photo(pixels, recipe))
            for name, exact, other, pixels in zip(
                inputs.names[:PHOTOS], golden.outputs["patches"], mine["patches"], golden.pixels, strict=False
            )
        )


def _histograms(golden: Golden, mine: dict[str, Tensor], reference: dict[str, Tensor]) -> tuple[Histogram, ...]:
    """Count the errors of every output that both gave."""
    names = [name for name in golden.outputs if name in mine and name in reference]
    return tuple(pictures.histogram(name, golden.outputs[name], mine[name], reference[name]) for name in names)
