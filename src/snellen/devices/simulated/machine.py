"""The state of the simulated NPU: settings, switches, and for each device a queue and a ledger of its memory.

There is one in a process, as torch has one place for such a backend.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from snellen.devices.simulated.settings import Settings
from snellen.devices.simulated.statistics import Counts

Work = Callable[[], None]

BLOCK = 512  # bytes: an allocator hands out whole blocks
DEPTH = 4096  # launches a queue holds before the host has to wait

OPTIONS = {
    "ALLOW_CONV_HF32": "enable",  # what an Ascend NPU does unless told otherwise
    "ALLOW_MATMUL_HF32": "disable",
    "ACL_PRECISION_MODE": "must_keep_origin_dtype",
}


class Ledger:
    """Counts the bytes that live on one device."""

    def __init__(self) -> None:
        self.used = 0
        self.peak = 0
        self._lock = threading.RLock()  # a tensor may die, and give its bytes back, while another is being counted

    def take(self, size: int) -> int:
        """Count an allocation, and return the bytes that it takes; the caller has looked whether there is room."""
        blocks = -(-size // BLOCK) * BLOCK
        with self._lock:
            self.used += blocks
            self.peak = max(self.peak, self.used)
        return blocks

    def give(self, blocks: int) -> None:
        """Count the end of an allocation."""
        with self._lock:
            self.used -= blocks


class Card:
    """One device: what is queued on it and what lies in its memory."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.ledger = Ledger()
        self._queue: deque[Work] = deque()
        self._lock = threading.RLock()

    def put(self, work: Work) -> None:
        """Queue work behind what is there; wait only where the queue is full."""
        with self._lock:
            self._queue.append(work)
            MACHINE.counts.queued += 1
            if len(self._queue) >= DEPTH:
                self.drain()

    def drain(self) -> None:
        """Do all work that is queued."""
        import torch

        with self._lock:
            if not self._queue:
                return
            # Inference mode may write into every tensor, wherever it was made; what the caller has set for its own
            # CPU work (autocast) is nothing to the device.
            with torch.inference_mode(), torch.autocast("cpu", enabled=False):
                while self._queue:
                    work = self._queue.popleft()
                    MACHINE.counts.queued -= 1
                    if MACHINE.settings.launch_seconds:
                        time.sleep(MACHINE.settings.launch_seconds)
                    work()

    def idle(self) -> bool:
        """Tell whether nothing is queued."""
        return not self._queue


class Machine:
    """Everything that is simulated in this process."""

    def __init__(self) -> None:
        self.registered = False
        self.settings = Settings()
        self.options = dict(OPTIONS)
        self.cards: tuple[Card, ...] = ()
        self.current = 0
        self.counts = Counts()
        self.calls: Counter[str] = Counter()  # of operators and groups, for the faults
        self.former: dict[tuple[str, tuple[int, ...]], object] = {}  # results that a stale fault returns again

    def configure(self, settings: Settings) -> None:
        """Take other settings and start counting anew; work that is queued is done under the former ones."""
        for card in self.cards:
            card.drain()
        self.settings = settings
        while len(self.cards) < settings.devices:
            self.cards = (*self.cards, Card(len(self.cards)))
        self.current = min(self.current, settings.devices - 1)
        self.counts = Counts()
        self.calls = Counter()
        self.former = {}

    def reset(self) -> None:
        """Set everything, the switches too, to what it was at first."""
        self.configure(Settings())
        self.options = dict(OPTIONS)

    def wait(self, index: int | None = None) -> None:
        """Wait for one device; None: the current one."""
        self.counts.waits += 1
        self.cards[self.current if index is None else index].drain()


MACHINE = Machine()
