"""Keep the memory of decoded images from one to the next, instead of asking the system for it every time.

A photograph of 12 million pixels takes 48 MB, and that the system hands them over page by page, and empty, takes as
long as decoding it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

CORE: Any = vars(Image)["core"]

EACH = 4
"""Blocks kept for every thread that decodes; Pillow takes memory in blocks of 16 MB or less."""


class _Kept:
    """How many blocks Pillow keeps, by how many are asked for at the moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: list[int] = []
        self._before = 0

    def enter(self, blocks: int) -> None:
        with self._lock:
            if not self._inside:
                self._before = CORE.get_blocks_max()
            self._inside.append(blocks)
            self._set()

    def leave(self, blocks: int) -> None:
        with self._lock:
            self._inside.remove(blocks)
            self._set()

    def _set(self) -> None:
        """Ask Pillow for it; what it keeps beyond that it lets go at once."""
        CORE.set_blocks_max(max(self._before, sum(self._inside)))


_kept = _Kept()


@contextmanager
def kept(threads: int) -> Iterator[None]:
    """Let Pillow keep the memory of images that ``threads`` threads decode, for the length of the block.

    It keeps what has been used, and no more than 64 MB for a thread. What PILLOW_BLOCKS_MAX asks for stays the least.
    """
    _kept.enter(EACH * threads)
    try:
        yield
    finally:
        _kept.leave(EACH * threads)
