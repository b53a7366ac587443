"""From image files to vectors, as ``snellen embed`` does it, beside decoding alone and the encoder alone.

In: an encoder in its runtime, and paths. Out: three rates, and what the two parts would allow together. The three take
turns, in an order drawn anew each round. The files were read before: what is measured is not the disk.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.benchmark.cases import Case
from snellen.benchmark.memory import Peaks
from snellen.benchmark.sweep import ROUNDS, Progress, Track
from snellen.devices import processor
from snellen.embed import run
from snellen.embed.prepare import Preparing, Task
from snellen.embed.sources import Reader, named
from snellen.errors import UsageError
from snellen.model.model import Model
from snellen.records.bench import Files
from snellen.runtimes.opening import EightBit, Engine, Feeds, Overlapped

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Array = NDArray[float32]

PHOTOS = Path(__file__).parent.parent / "photos"
LEAST = 8  # images of one measurement

EIGHT_BIT = "files go to the device as 8-bit pixels, a quarter of what the encoder alone was fed"


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What embeds files: a recipe, and an engine that takes what the recipe makes."""

    recipe: Feeds
    engine: Engine
    batch: int
    paths: tuple[str, ...]
    clock: Callable[[], float]
    workers: int = field(default_factory=processor.cores)

    @property
    def group(self) -> int:
        """Images that are under way at once: of fewer, some workers would be idle."""
        return self.batch * self.workers

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches, as ``embed`` asks of a model."""
        return self.engine.vectors(batches)

    def decoded(self, count: int) -> float:
        """Return how long it takes to read and decode so many files, with nothing else going on."""
        with ThreadPoolExecutor(self.workers) as pool, Reader() as reader:
            preparing = Preparing(self.recipe, reader.read)
            begin = self.clock()
            found = pool.map(lambda path: _decoded(preparing, path), islice(cycle(self.paths), count))
            wrong = [text for text in found if text]
            taken = self.clock() - begin
        _check(wrong, count)
        return taken

    def embedded(self, count: int) -> float:
        """Return how long it takes to embed so many files, from the first to the last vector."""
        begin = self.clock()
        rows = run.embed(self, islice(cycle(self.paths), count), batch_size=self.batch, workers=self.workers)
        wrong = [outcome.error_message or outcome.status for outcome, _ in rows if outcome.status != "done"]
        taken = self.clock() - begin
        _check(wrong, count)
        return taken


def _decoded(preparing: Preparing, path: str) -> str:
    """Prepare one file; keep nothing of it, for the pixels of all would fill the memory."""
    outcome = preparing(Task(0, named(path))).outcome
    return "" if outcome.status == "done" else outcome.error_message or outcome.status


def chain(model: Model, case: Case, batch: int, images: Sequence[str]) -> Chain:
    """Return what embeds files through a case's runner: on an accelerator in 8 bits, where the recipe can."""
    runner, recipe = case.runner, model.recipe
    paths = tuple(images) or tuple(sorted(str(path) for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".png")))
    if runner.device.kind == "cpu" or not recipe.eight_bit:
        return Chain(recipe=recipe, engine=runner, batch=batch, paths=paths, clock=case.clock)
    overlapped = Overlapped(runner, recipe)
    return Chain(recipe=EightBit(recipe), engine=overlapped, batch=batch, paths=paths, clock=case.clock)


def measured(files: Chain, track: Track, seconds: float, *, seed: int, say: Progress) -> Files | None:
    """Measure decoding, the encoder alone (as visits of ``track``) and both, each for about ``seconds`` in all.

    None where the encoder did not fit into memory or raised; the track says so. Raises UsageError for a file that is no
    image.
    """
    count = ROUNDS[0]
    alone = Alone(track, seconds / count, say)
    if not track.survives(alone.warm):
        return None
    decodes = _count(files, seconds / count, files.group / files.decoded(files.group))
    embeds = _count(files, seconds / count, files.group / files.embedded(files.group))
    taken: dict[str, float] = {"decode": 0.0, "end": 0.0}
    drawn = random.Random(seed)
    for number in range(count):
        say(f"round {number + 1} of {count}: decoding, the encoder, and both")
        for part in drawn.sample(("decode", "model", "end"), 3):
            if part == "decode":
                taken[part] += files.decoded(decodes)
            elif part == "end":
                taken[part] += files.embedded(embeds)
            elif not track.survives(alone.visit):
                return None
    decode, end = count * decodes / taken["decode"], count * embeds / taken["end"]
    model = 1e3 * track.batch * len(track.samples_ms) / sum(track.samples_ms)
    allowed = 1 / (1 / decode + 1 / model)
    return Files(
        images_per_s=end,
        decode_images_per_s=decode,
        model_images_per_s=model,
        allowed_images_per_s=allowed,
        share=end / allowed,
        images=count * embeds,
        workers=files.workers,
    )


@dataclass(frozen=True)
class Alone:
    """The encoder alone, as one of the three."""

    track: Track
    seconds: float
    say: Progress

    def warm(self) -> None:
        """Let it run until it no longer gets faster."""
        self.say(f"warming up: {self.track.case.setup}, batch {self.track.batch}")
        peaks = Peaks(self.track.case.runner.device)
        peaks.begin()
        self.track.warm = self.track.ready().warm(self.seconds * ROUNDS[0])
        self.track.memory = peaks.end()  # without what decoding holds

    def visit(self) -> None:
        """Take one sample."""
        self.track.visits.append(self.track.ready().visit(self.seconds))


def _count(files: Chain, seconds: float, expected: float) -> int:
    """Return how many files take about so long: whole groups, or the end would be half idle."""
    return max(-(-LEAST // files.group), round(seconds * expected / files.group)) * files.group


def _check(wrong: Sequence[str], count: int) -> None:
    if wrong:
        raise UsageError(
            f"{len(wrong)} of {count} files were not embedded: {wrong[0].splitlines()[0]}",
            expected="images that can be decoded",
            todo="leave it out",
        )
