"""A worker as its parent sees it: started, told what to do, watched while another one is measured. Standard library."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from peers.cases import ANSWER_S, BUILD_S

WORKER = Path(__file__).parent / "worker.py"
TICKS = os.sysconf("SC_CLK_TCK")


class WorkerError(Exception):
    """What a worker answered instead of a result."""


class Worker:
    """A process that waits on its standard input; one that does not answer in time is ended."""

    def __init__(self, log: Path, *, build_s: float = BUILD_S, **spec: Any) -> None:
        self.spec = spec
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(spec["threads"]), "PYTHONWARNINGS": "ignore"},
                start_new_session=True,  # so that what it starts can be ended with it
            )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self.about = self._answer(build_s)
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, *, limit_s: float = ANSWER_S, **arguments: Any) -> dict[str, Any]:
        """Tell the worker what to do and wait for what it answers; raise WorkerError for an error there."""
        assert self.process.stdin is not None
        try:
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
        except (BrokenPipeError, ValueError) as error:  # it fell, or it was closed
            raise WorkerError(f"the process has ended ({self.process.poll()})") from error
        return self._answer(limit_s)

    def cpu_s(self) -> float:
        """Return the processor time of it and of its children that ended; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:15])) / TICKS

    def close(self) -> None:
        """End the process: it has nothing more to read."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self._kill()

    def _kill(self) -> None:
        """End the process and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _listen(self) -> None:
        """Hand on every line, and an empty one at the end."""
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            for line in answers:
                self._lines.put(line)
        self._lines.put("")

    def _answer(self, limit_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            self._kill()
            raise WorkerError(f"it did not answer within {limit_s:.0f} s") from None
        if not line:
            raise WorkerError(f"the process ended without an answer ({self.process.wait()})")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise WorkerError(found["error"])
        return found


class Load:
    """What ran while something was measured, as shares of all processors' time; None where it cannot be told."""

    def __init__(self, measured: Worker, idle: list[Worker]) -> None:
        self.measured, self.idle = measured, idle
        self.begin = self._now()

    def end(self) -> dict[str, float | None]:
        """Return the shares of workers that should be idle, of other processes, and of what the host took away."""
        before, after = self.begin, self._now()
        whole = (after["time"] - before["time"]) * (os.cpu_count() or 1)
        spent = {name: after[name] - before[name] for name in after}
        told = after["busy"] > 0
        others = max(0.0, spent["busy"] - spent["measured"] - spent["idle"])
        return {
            "idle_workers": spent["idle"] / whole,
            "others": others / whole if told else None,
            "stolen": spent["stolen"] / whole if told else None,
        }

    def _now(self) -> dict[str, float]:
        busy = stolen = 0.0
        try:
            numbers = [int(text) for text in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]]
            user, nice, system, _, _, irq, softirq, steal, *_ = numbers
            busy, stolen = (user + nice + system + irq + softirq) / TICKS, steal / TICKS
        except (OSError, ValueError):
            pass
        return {
            "time": time.monotonic(),
            "busy": busy,
            "stolen": stolen,
            "measured": self.measured.cpu_s(),
            "idle": sum(worker.cpu_s() for worker in self.idle),
        }
