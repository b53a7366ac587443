"""Leaving in order when a search is told to end: what it laid down is removed, and its processes with it.

A scheduler ends with SIGTERM, a terminal that is closed with SIGHUP. Python would end at once, and leave both behind.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP")
SHIFT = 128  # what a shell adds to the number of a signal


@contextmanager
def orderly() -> Iterator[None]:
    """Turn these signals into SystemExit inside; those that somebody handles, and other threads, are left alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one would end the tidying
    raise SystemExit(SHIFT + number)
