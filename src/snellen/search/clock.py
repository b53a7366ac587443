"""Where the time went, by name: in the order in which laps end."""

from __future__ import annotations

import time


class Clock:
    """Seconds of each lap since the clock was made, in ``seconds``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._before = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a lap; one that was ended before grows."""
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._before, 6)
        self._before = now
