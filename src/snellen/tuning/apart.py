"""A candidate in a process of its own: it can be ended, its memory is its own, and what it breaks goes with it.

torch.compile may take minutes, a runtime may hang or abort, a batch may exhaust a device; none of that can be undone
inside a process. Starting one costs two or three seconds. Measuring happens on the other side, so that no copy between
the two is ever timed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

import snellen
from snellen.cache import drafts, root
from snellen.devices import Device
from snellen.encoders.features import Features, Tap
from snellen.errors import CandidateError, Unavailable
from snellen.model.model import Model
from snellen.records.plan import Setup
from snellen.records.timing import Rate, Stream
from snellen.runtimes.base import Runner, check_tap
from snellen.timing.feed import Answer
from snellen.tuning import wire
from snellen.tuning.folder import lay_down
from snellen.tuning.opened import Measured, MemoryFull, Stopped
from snellen.tuning.shown import meant, packed

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from snellen.runtimes.openvino.quantise import Calibration

    Array = NDArray[float32]
    Message = tuple[dict[str, Any], dict[str, Array]]

T = TypeVar("T")

UNSEEN = "it runs in a process of its own, which hands out outputs only"
TAIL = 300  # letters of what a process said last that are repeated
GRACE = 5.0  # seconds in which a process that was killed is gone, if the system ever lets go of it

START = """
import sys
if sys.path[0] == "":
    del sys.path[0]
sys.path.append(sys.argv.pop(1))
from snellen.tuning.child import main
main()
"""
"""What a process begins with: no module of the folder that somebody happens to stand in may take the place of one that
is imported. The package's own place is named, for it may have been found by that very folder."""
HOME = str(Path(snellen.__file__).parent.parent)


class Processes:
    """Opens candidates of one model, each in a process of its own; the model is laid down once."""

    def __init__(self, model: Model, device: Device, calibration: Calibration | None = None) -> None:
        """Lay the model down among the cache's drafts: what a process that was killed left there is swept."""
        self._calibration, self._device = calibration, device
        with contextlib.ExitStack() as held:
            self._folder = held.enter_context(drafts.Draft(root())).path
            self._folder.mkdir()
            lay_down(model, self._folder)
            self._held = held.pop_all()

    def open(self, setup: Setup, until: float) -> Apart:
        """Open a setup; ``until`` is when it is ended, by ``time.monotonic``. Raises what ``Apart.ask`` raises."""
        apart = Apart(self._folder, self._device, setup, until)
        images = meant(setup, self._calibration)
        try:
            apart.prepare(None if images is None or isinstance(images, str) else packed(images))
        except BaseException:
            apart.close()
            raise
        return apart

    def close(self) -> None:
        """Remove the model's folder."""
        self._held.close()


class Apart(Runner):
    """A runner whose work is done by another process, with a time by which every answer must be there."""

    note = UNSEEN
    gone: CandidateError | None

    def __init__(self, folder: Path, device: Device, setup: Setup, until: float) -> None:
        self.runtime, self.device, self.dtype, self.until = setup.runtime, device, setup.dtype, until
        self._setup, self.gone = setup, None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, HOME, str(folder)],
            env={**os.environ, "PYTHONSAFEPATH": "1"},  # also for the processes that it starts itself
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # compilers it starts are ended with it
        )
        self._answers: queue.Queue[Message | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def runner(self) -> Runner:
        """Itself: what is verified is what is measured."""
        return self

    def prepare(self, images: wire.Arrays | None = None) -> None:
        """Let the other process make the runner; ``images``: what 8 bits are calibrated on."""
        asked = {"setup": asdict(self._setup), "device": self.device.name, "torch_threads": torch.get_num_threads()}
        told, _ = self.ask("open", asked, images)
        self.version, self.ours, self.batch, self.dtype = told["version"], told["ours"], told["batch"], told["dtype"]

    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels over there."""
        check_tap(self, tap)
        told, arrays = self.ask("run", {}, {"pixels": pixels.numpy()})
        outputs: dict[str, Any] = {
            name: torch.from_numpy(array).to(getattr(torch, told["dtypes"][name])) for name, array in arrays.items()
        }
        height, width = told["grid"]
        return Features(cls=outputs.pop("cls", None), grid=(height, width), **outputs)

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches over there; all are sent before the first comes back."""
        _, arrays = self.ask("vectors", {}, _numbered(batches))
        yield from arrays.values()

    def rate(self, pixels: Sequence[Array], seconds: float) -> Measured[Rate]:
        """Measure throughput and latency."""
        return self._measure("rate", pixels, seconds, lambda found: Rate(**_tuples(found)))

    def stream(self, pixels: Sequence[Array], seconds: float) -> Measured[Stream]:
        """Measure throughput alone."""
        return self._measure("stream", pixels, seconds, lambda found: Stream(**_tuples(found)))

    def latencies(self, pixels: Sequence[Array], seconds: float) -> Measured[tuple[float, ...]]:
        """Time single images."""
        return self._measure("latencies", pixels, seconds, lambda found: tuple(found["latencies_s"]))

    def close(self) -> None:
        """End the process, and whatever it has started; do nothing where that was done."""
        self._kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        for stream in (self._process.stdin, self._said):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def ask(self, what: str, asked: Mapping[str, Any], arrays: wire.Arrays | None = None) -> Message:
        """Return the answer to a message.

        Raises Stopped where it is not there in time, Unavailable where the other side lacks something, MemoryFull,
        and CandidateError for whatever else it raised or died of.
        """
        left, late = max(self.until - time.monotonic(), 0.0), threading.Event()
        timer = threading.Timer(left, self._end, [late])  # a process that no longer reads lets nobody write, either
        timer.daemon = True
        timer.start()
        try:
            answer = self._exchanged({"do": what, **asked}, arrays, left + GRACE) if left else None
            died = None if answer or not left else self._process.wait(left + GRACE)
        except (queue.Empty, subprocess.TimeoutExpired):
            late.set()
        finally:
            timer.cancel()
        if late.is_set() or not left:
            self.close()
            self.gone = Stopped("it took longer than there was time for, and was ended")
            raise self.gone
        if answer is None:
            self.gone = CandidateError(f"its process died with {died}{self._last_words()}")
            raise self.gone
        return self._told(answer)

    def _exchanged(self, document: Mapping[str, Any], arrays: wire.Arrays | None, wait: float) -> Message | None:
        """Write a message and wait for the answer; None where the other side is gone."""
        assert self._process.stdin is not None
        try:
            wire.write(self._process.stdin, document, arrays)  # (it reads before it answers)
            return self._answers.get(timeout=wait)
        except (OSError, ValueError):  # it is gone, or was ended
            return None

    def _told(self, answer: Message) -> Message:
        """Return an answer, or raise the error that it tells of."""
        told = answer[0]
        if "error" not in told:
            return answer
        if told["not_here"]:
            raise Unavailable(told["error"], todo=told["todo"])
        if told.get("memory"):
            self.gone = MemoryFull(told["error"])
            raise self.gone
        raise CandidateError(told["error"])

    def _end(self, late: threading.Event) -> None:
        late.set()
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def _measure(
        self, what: str, pixels: Sequence[Array], seconds: float, made: Callable[[dict[str, Any]], T]
    ) -> Measured[T]:
        told, arrays = self.ask("measure", {"what": what, "seconds": seconds}, _numbered(pixels))
        answers = tuple(
            Answer(tuple(rows), vectors) for rows, vectors in zip(told["rows"], arrays.values(), strict=True)
        )
        return Measured(made(told["found"]), told["memory_bytes"], answers)

    def _listen(self) -> None:
        """Put every answer into the queue, and None at the end."""
        assert self._process.stdout is not None
        with self._process.stdout as stream, contextlib.suppress(OSError, ValueError):
            while (message := wire.read(stream)) is not None:
                self._answers.put(message)
        self._answers.put(None)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            return f": {lines[-1][-TAIL:]}" if lines else ""
        return ""


def _numbered(arrays: Iterable[Array]) -> dict[str, Array]:
    return {f"{number:06d}": array for number, array in enumerate(arrays)}


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
